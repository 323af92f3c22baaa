x = []  # type: list[int]
for i in x:  # type: int
    pass
with a as b:  # type: B
    pass


def f(a, b=1):
    # type: (int, int) -> int
    return a


def g(a,  # type: int
      *b,  # type: str
      c=1,  # type: float
      **d  # type: object
      ):
    # type: (...) -> None
    pass
