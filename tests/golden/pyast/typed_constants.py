1
1.0
True
'1'
b'1'
1j
