a.b.c
a.b.c = 1
del a.b
(1).real
1.0.real
"".join
