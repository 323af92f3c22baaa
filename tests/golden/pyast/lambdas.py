lambda: 0
lambda x: x
lambda x, /, y=1, *a, z, w=2, **k: (x, y)
lambda *, a: a
lambda: (yield)
