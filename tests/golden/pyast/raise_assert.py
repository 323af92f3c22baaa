raise
raise A
raise A from b
raise A() from None
assert a
assert a, b
assert (a, b)
