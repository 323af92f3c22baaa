def f(a, /): pass
def f(a, b=1, /): pass
def f(a, /, b): pass
def f(a, b=1, /, c=2, *, d, e=3, **g): pass
