class A:
    'Doc' ' in two pieces.'
    'a second string is none'

    def m(self):
        ('''in parentheses''')

    class B:
        r'''raw \d'''
        x = 1
