from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Batch:
    items: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)


async def batches(source: AsyncIterator[int], size: int = 2) -> AsyncIterator[Batch]:
    found: list[int] = []
    async for item in source:
        found.append(item)
        if len(found) == size:
            yield Batch(found)
            found = []
    if found:
        yield Batch(found)


async def main() -> None:
    async with asyncio.timeout(1):
        try:
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
        except* ValueError as group:
            for error in group.exceptions:
                match error.args:
                    case [str(message), *_] if message:
                        print(message)
                    case _:
                        raise
