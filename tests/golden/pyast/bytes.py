b''
b'a'
rb'\d'
BR'\d'
b'\x00\xff'
b'''a
b'''
