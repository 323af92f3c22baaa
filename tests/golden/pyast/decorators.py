@a
@b.c
@d(1)
@e[0].f
@(lambda f: f)
@g if h else i
def f(): pass


@a
class A: pass


@a
async def g(): pass
