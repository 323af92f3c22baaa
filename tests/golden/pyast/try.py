try:
    a
except A:
    b
except (B, C) as e:
    raise
except:
    c
else:
    d
finally:
    e
try: a
finally: b
