match a:
    case 1 | -1 | 1.5 | -1j | 1 + 2j:
        pass
    case "a" "b" | b"c":
        pass
    case None | True | False:
        pass
    case a.b.c:
        pass
    case _:
        pass
