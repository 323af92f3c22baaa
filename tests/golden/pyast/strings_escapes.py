'\n\t\\\'\"\a\b\f\v\r\0\x41\101\u00e9\U0001f600\N{LATIN SMALL LETTER E WITH ACUTE}'
'\d\ \8 \#'
b'\d\u0041\x00\xff'
r'\d\''
