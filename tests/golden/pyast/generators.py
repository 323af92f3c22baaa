def f():
    yield
    yield a
    yield a, b
    x = yield
    x = yield a
    yield from a
    x = yield from a
    (yield)
    return
    return a
    return a, *b
