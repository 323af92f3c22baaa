class A: pass
class A(): pass
class A(B): pass
class A(B, C, metaclass=M, x=1): pass
class A(*b, **c): pass
class A:
    x = 1
    y: int = 2
    def m(self): return self.x
    @property
    def p(self): return super().p
    class B: pass
