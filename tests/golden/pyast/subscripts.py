a[0]
a[b]
a[b, c]
a[b,]
a[(b, c)]
a[0] = 1
del a[0]
a[b][c]
a[()]
