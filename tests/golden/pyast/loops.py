for a in b:
    continue
else:
    pass
while a:
    break
else:
    pass
for a, *b in c, d: pass
for a in *b, c: pass
for a.b in c: pass
