a = 1; b = 2;
if a: b; c
x = a + \
    b
y = (  # why
    a
)
z = [1,
     2,
     ]
no_newline_at_end = True