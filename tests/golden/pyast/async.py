async def f():
    await a
    async for x in y:
        pass
    else:
        pass
    async with a as b, c:
        pass
    return await (await a).b
    yield await a
