match a:
    case x if x > 1:
        pass
    case (1 | 2) as y if (z := y):
        pass
    case [1 as p, 2 as q]:
        pass
match = 1
match(a)
match[a]
match a,:
    case _: pass
