if a:
    pass
elif b:
    pass
else:
    pass
if a: pass
if a:
    if b:
        pass
    else:
        pass
