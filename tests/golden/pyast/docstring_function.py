def f(a):
    """Says what f does.

    More of it.
    """
    return a


async def g():
    'one line'
