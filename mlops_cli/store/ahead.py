"""Folders that are listed here while a crew reads what was listed before."""
from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator


class Ahead(ABC):
    """The folders of a walk whose files are to be read, each with their names: who reads them goes through it, who waits for
    one asks :meth:`has`, and either takes the walk further."""

    def __init__(self) -> None:
        self.wanted: set[str] = set()
        self._passed: set[str] = set()
        self._ready: deque[tuple[str, list[str]]] = deque()

    @abstractmethod
    def step(self) -> tuple[str, list[str], bool] | None:
        """One more folder, the names in it, and whether it is wanted; None after the last."""

    def __iter__(self) -> Iterator[tuple[str, list[str]]]:
        while self._ready or self._further():
            if self._ready:
                yield self._ready.popleft()

    def enough(self, count: int) -> bool:
        """Whether they have so many files."""
        while (few := sum(len(names) for _, names in self._ready) < count) and self._further():
            pass
        return not few

    def has(self, folder: str) -> bool:
        """Whether a folder is one of them, which may be asked in the order of the walk."""
        while folder not in self._passed and self._further():
            pass
        return folder in self.wanted

    def _further(self) -> bool:
        found = self.step()
        if found is None:
            return False
        folder, names, wanted = found
        self._passed.add(folder)
        if wanted:
            self.wanted.add(folder)
            self._ready.append((folder, names))
        return True
