"""The runs that died here and of which nothing is undone yet, as their journals tell.  Reads; undoing is recover.py's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import inside

if TYPE_CHECKING:
    from mlops_cli.fsio.paths import Root

MOST_BYTES = 16 << 20  # of a journal; what is behind them is not told


@dataclass(frozen=True, slots=True)
class Killed:
    """A run, or a checkout, whose process is gone before it ended.  ``stages``: those that it had begun and not ended, each
    with the outputs that the next command which writes puts back; of a stage in a folder of its own there are none."""

    run: str
    stages: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def short(self) -> str:
        return self.run.partition('-')[2]

    @property
    def puts_back(self) -> bool:
        return any(outputs for _, outputs in self.stages)


def killed(root: Root) -> tuple[Killed, ...]:
    """Oldest first.  Cheap where there is none; takes no lock.  Raises OSError where the journals cannot be read."""
    try:
        names = sorted(entry.name for entry in root.scandir(layout.JOURNAL))
    except (FileNotFoundError, NotADirectoryError, PermissionError, UserError):
        return ()
    return tuple(_killed(root, names)) if names else ()


def _killed(root: Root, names: Iterable[str]) -> Iterator[Killed]:
    from mlops_cli.fsio.journal import SUFFIX, decode

    for name in names:
        data = _abandoned(root, f'{layout.JOURNAL}/{name}') if name.endswith(SUFFIX) else b''
        records = decode(data)[0] if data else []
        if not any(record.get('do') in ('recorded', 'done') for record in records):
            opened = _open_attempts(records)
            if opened or any(record.get('do') == 'run' for record in records):
                yield Killed(name.removesuffix(SUFFIX), opened)


def _abandoned(root: Root, path: str) -> bytes:
    """What a journal says whose owner is gone; nothing of one that is going on, or that is no journal."""
    from mlops_cli.fsio import locks, ops

    try:
        fd = root.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError, UserError):
        return b''
    try:
        if not stat.S_ISREG(ops.fstat(fd).st_mode) or locks.is_locked(fd):
            return b''
        with open(fd, 'rb', closefd=False) as file:
            return file.read(MOST_BYTES)
    finally:
        os.close(fd)


def _open_attempts(records: Iterable[dict[str, Any]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    opened: dict[str, tuple[str, tuple[str, ...]]] = {}
    for record in records:
        match record:
            case {'do': 'begin', 'attempt': str(attempt), 'stage': str(stage), 'outputs': list(outputs)}:
                opened[attempt] = stage, tuple(map(str, outputs))
            case {'do': 'end', 'attempt': str(attempt)}:
                opened.pop(attempt, None)
            case _:
                pass
    return tuple(opened.values())


def refuse_pending(root: Root, paths: Iterable[str]) -> None:
    """Raises UserError (exit 5) where undoing a killed run would move something at these paths: what lies there now is not
    what would lie there a moment later."""
    wanted = tuple(paths)
    for one in killed(root):
        for stage, outputs in one.stages:
            if met := touching(outputs, wanted):
                raise UserError(
                    f'run {one.short} was killed here while {stage} ran, and is not undone yet: {met} would be put back'
                    ' as it was before that run',
                    hint='mlops checkout undoes it, and says where what stands there now goes; then look again',
                    exit_code=ExitCode.REFUSED,
                )


def touching(outputs: Iterable[str], paths: Iterable[str]) -> str:
    """The first of the outputs that is one of the paths, lies in one, or has one in it; '' if none does."""
    known = tuple(paths)
    return next((one for one in outputs if any(inside(one, path) or inside(path, one) for path in known)), '')
