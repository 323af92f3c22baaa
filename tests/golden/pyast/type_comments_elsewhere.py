# type: prose that no parser takes
x = [
    1,  # type: int
    2,
]
#type:squeezed
y = 1  #  type:   spaced out   
z = '# type: a string'
    # type: indented
