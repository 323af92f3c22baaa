"""Digits as values and as CSV files: a row is an id, a label and 64 pixels."""
from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

PREPARED = Path('data/prepared')
SIDE = 8
CLASSES = np.arange(10)
HEADER = ','.join(['id', 'label', *(f'p{row}{column}' for row in range(SIDE) for column in range(SIDE))])


@dataclass(frozen=True)
class Digits:
    """``ids``: (n,) positions in the original collection.  ``labels``: (n,) 0 to 9.  ``pixels``: (n, 64) ink, 0 to 16."""

    ids: np.ndarray
    labels: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: np.ndarray) -> Digits:
        """The digits at some positions, in that order."""
        return Digits(self.ids[chosen], self.labels[chosen], self.pixels[chosen])

    def share(self, share: float) -> Digits:
        """The first part of each class, ``share`` between 0 and 1, at least one digit of each."""
        kept = [of[:max(1, ceil(share * len(of)))] for of in (np.flatnonzero(self.labels == c) for c in CLASSES)]
        return self.rows(np.sort(np.concatenate(kept)))


def write_digits(name: str, digits: Digits, folder: Path = PREPARED) -> Path:
    """Writes ``<folder>/<name>.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}.csv'
    table = np.column_stack([digits.ids, digits.labels, digits.pixels])
    np.savetxt(path, table, fmt='%d', delimiter=',', header=HEADER, comments='')
    return path


def read_digits(name: str, folder: Path = PREPARED) -> Digits:
    """The inverse of :func:`write_digits`.  Raises OSError if the file is absent, ValueError if it is not of this form."""
    path = folder / f'{name}.csv'
    with path.open(encoding='ascii') as file:
        if file.readline().rstrip('\n') != HEADER:
            raise ValueError(f'{path}: the first line is not the header of a table of digits')
        table = np.loadtxt(file, dtype=np.int64, delimiter=',', ndmin=2)
    return Digits(table[:, 0], table[:, 1], table[:, 2:])
