match a, b:
    case []:
        pass
    case [x]:
        pass
    case (x, y):
        pass
    case x, *rest:
        pass
    case [*_, x]:
        pass
    case (x):
        pass
    case (x,):
        pass
