def a():
    def b():
        def c():
            return lambda: (lambda: d)
        return c
    return b
