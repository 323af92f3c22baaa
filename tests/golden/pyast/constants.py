None
True
False
...
Ellipsis
__debug__
NotImplemented
