match a:
    case {}:
        pass
    case {"x": 1, "y": b}:
        pass
    case {1: _, **rest}:
        pass
    case {a.b: [c, d]}:
        pass
