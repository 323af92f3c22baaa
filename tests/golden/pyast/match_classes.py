match a:
    case A():
        pass
    case A(1, b):
        pass
    case A(x=1, y=b):
        pass
    case a.B(1, x=[c]):
        pass
    case A(x=None) | B(y=(1 | 2) as z):
        pass
