a[*b]
a[*b, c]
a[c, *b, *d]
a[*b] = 1
def f(*args: *Ts): pass
