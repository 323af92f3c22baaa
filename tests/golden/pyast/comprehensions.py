[x for x in y]
{x for x in y}
{x: z for x, z in y}
(x for x in y)
[x for x in y if x if z]
[x for x in y for z in x]
[[x for x in y] for y in z]
[x for x in (a if b else c)]
