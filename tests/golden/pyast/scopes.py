def f():
    global a, b
    def g():
        nonlocal_ = 1
        def h():
            nonlocal nonlocal_
            del nonlocal_
    del a, (b, c)
