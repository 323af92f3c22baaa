def f(): pass
def f(a): pass
def f(a, b=1): pass
def f(*a): pass
def f(**a): pass
def f(*, a): pass
def f(*, a=1, b): pass
def f(a, *b, c, d=2, **e): pass
