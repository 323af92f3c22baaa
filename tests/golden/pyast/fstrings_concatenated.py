'a' f'b'
'a' f'{b}' 'c'
f'a' f'{b}'
f'{a}' 'b' 'c' f'd{e}'
f'{a}' f'{b}'
('a'
 f'{b}'  # between
 'c')
u'a' f'{b}'
rf'\d' '\n' f'{a}'
