a = 1
a = b = 1
a, b = c
(a) = 1
a.b = c[d] = 1
