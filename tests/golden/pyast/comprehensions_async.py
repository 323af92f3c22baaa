async def f():
    [x async for x in y]
    {await x for x in y}
    return (x async for x in y if await z)
