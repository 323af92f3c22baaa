'a' 'b'
('a'
 'b'  # between
 'c')
b'a' b'b'
u'a' 'b'
r'\d' '\n'
