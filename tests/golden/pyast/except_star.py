try:
    a
except* A:
    b
except* (B, C) as group:
    raise group
else:
    c
finally:
    d
