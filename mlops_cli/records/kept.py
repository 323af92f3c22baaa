"""Runs that somebody wants to keep: one small file each under ``.mlops/kept``, which git tracks (docs/formats/kept.md).

A file is named by the run and by what is in it, so that two branches that keep one run never conflict.
"""

from __future__ import annotations

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import ID_ALPHABET, ID_LENGTH
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import at, damaged, names_in, read_object, read_small, write_in_batch

SCHEMA = 'mlops/kept/v1'
LIMIT = 1 << 16  # bytes of a file
REASON_LIMIT = 2000  # characters
_NAME = pattern(rf'(?P<run>[0-9]{{8}}T[0-9]{{6}}Z-[{ID_ALPHABET}]{{{ID_LENGTH}}})~(?P<digest8>[0-9a-f]{{8}})\.json')
_WHEN = pattern(r'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z')


@dataclass(frozen=True, slots=True)
class Keep:
    """That a run is kept.  ``run``: its id.  ``when``: UTC, as 2026-11-20T10:15:22Z."""

    run: str
    reason: str = ''
    who: str = ''
    when: str = ''

    def encode(self) -> bytes:
        return document(
            {'schema': SCHEMA, 'run': self.run, 'reason': self.reason, 'who': self.who, 'when': self.when}
        )

    @property
    def file_name(self) -> str:
        return f'{self.run}~{digest_of(self.encode()).hex[:8]}.json'


def decode(data: bytes, file: str) -> Keep:
    """``file``: where it stands; its name must fit.  Raises UserError with file and line where it is none of ours."""
    found = read_object(data, file, 'kept run', SCHEMA)
    for key in ('run', 'reason', 'who', 'when'):
        if not isinstance(found.get(key), str):
            raise damaged('kept run', f'{key} is no text', at(file, data, key))
    if not _WHEN.fullmatch(found['when']):
        raise damaged('kept run', f'when is {found["when"][:40]!r}', at(file, data, 'when'))
    name = _NAME.fullmatch(file.rpartition('/')[2])
    if name is None or name['run'] != found['run']:
        raise damaged('kept run', 'its name does not fit its run', at(file, data, 'run'))
    return Keep(found['run'], found['reason'], found['who'], found['when'])


def run_of(name: str) -> str | None:
    """The id of the run that a file of this name keeps; None if it is none of ours."""
    found = _NAME.fullmatch(name)
    return found['run'] if found else None


class Kept:
    """The folder of kept runs.  Which runs are kept is told by the names of files alone.

    Raises UserError where a file that is read is damaged, or the folder a symbolic link; OSError."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def files(self) -> dict[str, tuple[str, ...]]:
        """Id of each run that is kept -> the files that say so, relative to the project."""
        found: dict[str, tuple[str, ...]] = {}
        for name in sorted(names_in(self.root, layout.KEPT)):
            if match := _NAME.fullmatch(name):
                found[match['run']] = (*found.get(match['run'], ()), f'{layout.KEPT}/{name}')
        return found

    def of(self, run_id: str) -> tuple[Keep, ...]:
        """What is said about a run, oldest first; more than one where two branches kept it."""
        found = []
        for path in self.files().get(run_id, ()):
            try:
                found.append(decode(read_small(self.root, path, LIMIT), path))
            except FileNotFoundError:
                continue  # git has taken it away since the listing
        return tuple(sorted(found, key=lambda keep: (keep.when, keep.file_name)))

    def add(self, keep: Keep, batch: Batch) -> str:
        """Writes it; its path.  Durable when the batch is.  Raises OSError; UserError for a reason that is too long."""
        if len(keep.reason) > REASON_LIMIT:
            raise UserError(
                f'the reason has {len(keep.reason):,} characters, more than {REASON_LIMIT:,}', hint='say it in fewer words'
            )
        path = f'{layout.KEPT}/{keep.file_name}'
        write_in_batch(self.root, path, keep.encode(), batch)
        return path

    def remove(self, run_id: str) -> tuple[str, ...]:
        """Takes away what says that a run is kept; the paths that were there.  Raises OSError."""
        paths = self.files().get(run_id, ())
        for path in paths:
            self.root.unlink(path)
        return paths
