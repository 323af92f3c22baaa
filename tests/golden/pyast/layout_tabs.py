if a:
	b
	if c:
		d

def f():
	return (1,
2)
