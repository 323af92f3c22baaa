"""What an attempt consumed as time went by: format usage-v1 (docs/formats/usage.md).  Values in, bytes out.

A row each second at first; of a long attempt every other row goes whenever there are many, so that it never has more than
``MOST`` and they are evenly spread."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = b'mlops usage-v1\n'
COLUMNS = ('seconds', 'cpu_seconds', 'memory_bytes', 'read_bytes', 'write_bytes')
SUFFIX = '.usage'  # of its file, behind the name of the log
MOST = 2048
MOST_FIGURE = 1 << 60
SIZE_LIMIT = 1 << 20  # bytes that we read



class Series:
    """``rows``: of COLUMNS.  Seconds since the attempt began; of processors since then; bytes of memory at that moment, of
    storage read and written since then, None where that is not known."""

    __slots__ = ('_every', '_seen', 'rows')

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, int, int | None, int | None]] = []
        self._every = 1
        self._seen = 0

    def add(self, seconds: float, cpu_seconds: float, memory: int | None, read: int | None, written: int | None, *,
            last: bool = False) -> None:
        """A look at it; the ``last`` one counts however many there are.  ``memory`` None: as in the row before.

        What only grows is never less than in the row before: processes that have just ended may be in no count for a moment."""
        if last or self._seen % self._every == 0:
            if self.rows:
                _, cpu, held, before, after = self.rows[-1]
                memory = held if memory is None else memory
                cpu_seconds = max(cpu, cpu_seconds)
                read = before if read is None else max(read, before or 0)
                written = after if written is None else max(written, after or 0)
            self.rows.append((round(seconds, 2), round(cpu_seconds, 2), memory or 0, read, written))
            if len(self.rows) > MOST:
                del self.rows[1::2]
                self._every *= 2
        self._seen += 1

    def encode(self) -> bytes:
        return HEAD + b''.join(b'[%b]\n' % ','.join(map(_text, row)).encode() for row in self.rows)


def _text(figure: float | None) -> str:
    return 'null' if figure is None else repr(figure)


def decode(data: bytes) -> list[Sequence[float | None]]:
    """The rows.  Raises ValueError for what is no series."""
    import json  # more than all the rest, and who writes these does not read them

    if not data.startswith(HEAD):
        raise ValueError('not of the format usage-v1')
    found: list[Sequence[float | None]] = []
    for line in data[len(HEAD):].splitlines():
        row = json.loads(line)
        if not isinstance(row, list) or len(row) < len(COLUMNS) or not all(map(_is_figure, row)) or None in row[:3]:
            raise ValueError(f'not a row of a series: {str(row)[:80]}')
        if found and row[0] < found[-1][0]:
            raise ValueError('rows out of order')
        found.append(row[:len(COLUMNS)])
    return found


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST_FIGURE)
