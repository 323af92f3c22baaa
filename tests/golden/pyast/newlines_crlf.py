x = 1
if x:
    y = '''a
b'''
    z = b'''a
b''' # type: bytes
f'''{x}
{x=}'''
w = 'a\
b'
