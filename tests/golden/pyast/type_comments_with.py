with (a, b):  # type: X
    pass
with (a as c):  # type: Y
    pass
