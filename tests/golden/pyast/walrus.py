if (n := len(a)) > 10:
    pass
while chunk := read():
    pass
[y := 1, y ** 2]
[b for a in c if (b := a)]
x[y := 0]
{(a := 1): (b := 2)}
