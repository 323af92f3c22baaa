"""What an attempt consumed as time went by: format usage-v1 (docs/formats/usage.md).  Values in, bytes out.

A row each second at first; of a long attempt every other row goes whenever there are many, so that it never has more than
``MOST`` and they are evenly spread."""
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[Sequence[float | None]]

HEAD = b'mlops usage-v1\n'
COLUMNS = ('seconds', 'cpu_seconds', 'memory_bytes', 'read_bytes', 'write_bytes')
GPU_COLUMNS = ('busy', 'memory_bytes', 'watts', 'joules')  # behind those, of each GPU
NETWORK_COLUMNS = ('received_bytes', 'sent_bytes')  # behind all of them, where anything went over the network
SUFFIX = '.usage'  # of its file, behind the name of the log
MOST = 2048
MOST_FIGURE = 1 << 60
SIZE_LIMIT = 1 << 20  # bytes that we read


class Series:
    """``rows``: of COLUMNS and NETWORK_COLUMNS.  Seconds since the attempt began; of processors since then; bytes of memory at
    that moment, of storage read and written since then, None where that is not known; received and sent since then."""

    __slots__ = ('_every', '_seen', 'rows')

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, int, int | None, int | None, int, int]] = []
        self._every = 1
        self._seen = 0

    def add(self, seconds: float, cpu_seconds: float, memory: int | None, read: int | None, written: int | None,
            moved: tuple[int, int] | None = None, *, last: bool = False) -> None:
        """A look at it; the ``last`` one counts however many there are.  ``memory`` None: as in the row before.

        What only grows is never less than in the row before: processes that have just ended may be in no count for a moment."""
        if last or self._seen % self._every == 0:
            received, sent = moved or (0, 0)
            if self.rows:
                _, cpu, held, before, after, came, went = self.rows[-1]
                received, sent = max(received, came), max(sent, went)
                memory = held if memory is None else memory
                cpu_seconds = max(cpu, cpu_seconds)
                read = before if read is None else max(read, before or 0)
                written = after if written is None else max(written, after or 0)
            self.rows.append((round(seconds, 2), round(cpu_seconds, 2), memory or 0, read, written, received, sent))
            if len(self.rows) > MOST:
                del self.rows[1::2]
                self._every *= 2
        self._seen += 1

    def encode(self) -> bytes:
        quiet = not self.rows or not any(self.rows[-1][len(COLUMNS):])
        return _encoded([row[: len(COLUMNS)] for row in self.rows] if quiet else self.rows)


def _text(figure: float | None) -> str:
    return 'null' if figure is None else repr(figure)


def decode(data: bytes) -> list[Sequence[float | None]]:
    """The rows, all of one length.  Raises ValueError for what is no series."""
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
        found.append(row)
    width = len(COLUMNS) + cards(found) * len(GPU_COLUMNS) + (len(NETWORK_COLUMNS) if network_at(found) else 0)
    return [row[:width] for row in found]


def cards(rows: Rows) -> int:
    """How many GPUs they tell of."""
    return (min(map(len, rows), default=0) - len(COLUMNS)) // len(GPU_COLUMNS) if rows else 0


def network_at(rows: Rows) -> int | None:
    """Where NETWORK_COLUMNS begin in them: there are four for each GPU, so two more are those.  None where nothing tells."""
    width = min(map(len, rows), default=0)
    told = (width - len(COLUMNS)) % len(GPU_COLUMNS) == len(NETWORK_COLUMNS)
    return len(COLUMNS) + cards(rows) * len(GPU_COLUMNS) if told else None


def side_by_side(series: Sequence[Rows]) -> tuple[list[str], list[list[list[float | None]]]]:
    """What the columns of all of them are called, and their rows, with None where one tells less than another; those that
    lack GPUs alone are shorter."""
    most, network = max(map(cards, series), default=0), [network_at(rows) for rows in series]
    names = [*COLUMNS, *(f'gpu_{card}_{name}' for card in range(most) for name in GPU_COLUMNS)]
    found = []
    for rows, at in zip(series, network, strict=True):
        lacking = [None] * (len(names) - at) if at else []
        found.append([[*row[:at], *lacking, *(row[at:] if at else ())] for row in rows])
    return [*names, *(NETWORK_COLUMNS if any(network) else ())], found


def with_gpus(data: bytes, looks: Sequence[tuple[float, Sequence[float | None]]]) -> bytes:
    """A series with what GPUs did beside it.  ``looks``: when, and the figures of GPU_COLUMNS for each, at moments of their
    own: what a GPU has drawn is taken from between two of them, the rest from the nearest.

    Raises ValueError for what is no series."""
    from bisect import bisect_left

    rows = decode(data)
    if not looks:
        return data
    behind = network_at(rows)
    times = [when for when, _ in looks]
    lines = []
    for row in rows:
        at = float(row[0] or 0)
        after = min(bisect_left(times, at), len(times) - 1)
        before = max(after - 1, 0)
        near = looks[after if times[after] - at < at - times[before] else before][1]
        lines.append([*row[: len(COLUMNS)], *(
            _between(looks[before], looks[after], number, at) if number % len(GPU_COLUMNS) == len(GPU_COLUMNS) - 1 else figure
            for number, figure in enumerate(near)
        ), *(row[behind:] if behind else ())])  # fmt: skip
    while (made := _encoded(lines)) and len(made) > SIZE_LIMIT:
        lines = lines[:-1:2] + lines[-1:]
    return made


def _between(one: tuple[float, Sequence[float | None]], other: tuple[float, Sequence[float | None]], number: int, at: float
             ) -> float | None:
    low, high = one[1][number], other[1][number]
    if low is None or high is None or other[0] <= one[0]:
        return high if low is None else low
    share = min(1.0, max(0.0, (at - one[0]) / (other[0] - one[0])))
    return round(low + share * (high - low), 1)


def _encoded(rows: Rows) -> bytes:
    return HEAD + b''.join(b'[%b]\n' % ','.join(map(_text, row)).encode() for row in rows)


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST_FIGURE)
