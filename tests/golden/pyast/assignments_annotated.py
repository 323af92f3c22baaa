a: int
a: int = 1
(a): int
(a): int = 1
a.b: int
a[b]: int = 1
a: "str" = ""
a: tuple[int, ...] = 1, 2
