def f():
    f'not one'


def g():
    b'nor this'


def h():
    pass
    'nor here'


if True:
    'nor in a block'
