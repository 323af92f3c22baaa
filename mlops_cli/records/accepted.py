"""Acceptances: who said that a result counts, when and why (docs/formats/accepted.md).  Small files that git tracks and merges.

Each is written once and named by what is in it, so no two branches ever conflict in one.  What a branch brings is believed
only as far as it is well-formed; the review of the branch is what makes it trusted, as with pins.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import check_time
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import at, damaged, names_in, read_object, read_small, write_in_batch
from mlops_cli.records.pins import slug

SCHEMA = 'mlops/accepted/v1'
WHAT = 'acceptance'
LIMIT = 256 << 10  # bytes of a record
REASON_LENGTH = 1000  # characters
TEXT_LENGTH = 200  # characters of any other text
DIFFERENCES = 50  # rows of what differed
_NAME = pattern(r'(?P<slug>[^~]+)~(?P<key16>[0-9a-f]{16})-(?P<digest8>[0-9a-f]{8})\.json')
_CONTROL = pattern(r'[\x00-\x1f\x7f-\x9f\u2028\u2029]')

Difference = tuple[str, str, str | None, str | None, str]


@dataclass(frozen=True)
class Accepted:
    """``key``: what it is about.  ``outputs``: the digest of the outputs that count.  ``pin``: the name of their pin.
    ``when``: UTC, as ``2026-11-20T10:15:22Z``.  ``run``: the id of the run that made the outputs, empty where nobody knows.
    ``kind``: ``accepted`` (the present outputs), ``trusted`` (a suspect result), ``chosen`` (one of several).
    ``differed``: what was different then, as (kind, subject, before, after, detail)."""

    stage: str
    key: Digest
    outputs: Digest
    pin: str
    who: str
    host: str
    when: str
    reason: str
    run: str = ''
    kind: str = 'accepted'
    differed: tuple[Difference, ...] = ()

    @property
    def outs8(self) -> str:
        """Tells the results of one key apart, as pins and run records do."""
        return self.outputs.hex[:8]

    @cached_property
    def data(self) -> bytes:
        return document(
            {
                'schema': SCHEMA,
                'stage': self.stage,
                'kind': self.kind,
                'key': str(self.key),
                'outputs': str(self.outputs),
                'pin': self.pin,
                'who': self.who,
                'host': self.host,
                'when': self.when,
                'reason': self.reason,
                'run': self.run,
                'differed': [list(row) for row in self.differed],
            }
        )

    @property
    def file_name(self) -> str:
        """Named by what is in it: what differs never shares a name."""
        return f'{slug(self.stage)}~{self.key.hex[:16]}-{digest_of(self.data).hex[:8]}.json'

    @property
    def path(self) -> str:
        return f'{layout.ACCEPTED}/{self.file_name}'


KINDS = ('accepted', 'trusted', 'chosen')


def check_reason(text: str) -> str:
    """The reason as it is recorded.  Raises UserError for none, more than a line, or more than 1,000 characters."""
    reason = text.strip()
    if not reason:
        raise UserError('accept needs a reason', hint="--reason 'only log messages changed'; others read it, in git too")
    if _CONTROL.search(reason):
        raise UserError('the reason has to be one line of plain text', hint='say the rest in the message of the commit')
    if len(reason) > REASON_LENGTH:
        raise UserError(
            f'the reason has {len(reason):,} characters, more than {REASON_LENGTH:,}',
            hint='say the rest in the message of the commit',
        )
    return reason


def differences(rows: Sequence[Difference]) -> tuple[Difference, ...]:
    """As many of the rows as are recorded, each text as long as is recorded."""
    return tuple(
        (clipped(kind), clipped(subject), _maybe(before), _maybe(after), clipped(detail))
        for kind, subject, before, after, detail in rows[:DIFFERENCES]
    )


def clipped(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else f'{text[: TEXT_LENGTH - 1]}…'


def _maybe(text: str | None) -> str | None:
    return None if text is None else clipped(text)


def decode(data: bytes, file: str) -> Accepted:
    """``file``: where it stands; its name must fit.  A checkout with CRLF line ends is read as what was committed.

    Raises UserError naming the line where the file is not an acceptance of ours."""
    content = data.replace(b'\r\n', b'\n')
    found = read_object(content, file, WHAT, SCHEMA)

    def text(key: str, limit: int = TEXT_LENGTH) -> str:
        value = found.get(key)
        if not isinstance(value, str) or len(value) > limit:
            raise damaged(WHAT, f'{key} is {str(value)[:80]!r}', at(file, content, key))
        return value

    def digest(key: str) -> Digest:
        try:
            return Digest.parse(text(key))
        except ValueError as error:
            raise damaged(WHAT, error, at(file, content, key)) from error

    when, kind = text('when'), text('kind')
    try:
        check_time(when)
    except ValueError as error:
        raise damaged(WHAT, f'when: {error}', at(file, content, 'when')) from error
    if kind not in KINDS:
        raise damaged(WHAT, f'kind is {kind!r}', at(file, content, 'kind'))
    accepted = Accepted(
        text('stage', 10 * TEXT_LENGTH),
        digest('key'),
        digest('outputs'),
        text('pin', 2 * TEXT_LENGTH),
        text('who'),
        text('host'),
        when,
        text('reason', REASON_LENGTH),
        text('run'),
        kind,
        _rows(found.get('differed'), content, file),
    )
    if accepted.data != content or accepted.file_name != file.rpartition('/')[2]:
        raise damaged(WHAT, 'its content does not give its name', Where(file))
    return accepted


def _rows(value: Any, content: bytes, file: str) -> tuple[Difference, ...]:
    if not isinstance(value, list) or len(value) > DIFFERENCES:
        raise damaged(WHAT, 'differed is no list of differences', at(file, content, 'differed'))
    found: list[Difference] = []
    for position, row in enumerate(value):
        match row:
            case [str(kind), str(subject), None | str() as before, None | str() as after, str(detail)]:
                found.append((kind, subject, before, after, detail))
            case _:
                raise damaged(WHAT, f'not a difference: {str(row)[:80]}', at(file, content, 'differed', position))
    return tuple(found)


def is_accepted(name: str) -> bool:
    """Whether a file of this name may be an acceptance."""
    return _NAME.fullmatch(name) is not None


class Acceptances:
    """The folder of acceptances: listed once, a file read when its key is asked for.

    Raises UserError where a file that is asked for is damaged, or the folder a symbolic link; OSError."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._opened: dict[str, Accepted] = {}

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """key16 -> names of files."""
        names: dict[str, list[str]] = {}
        for name in sorted(names_in(self.root, layout.ACCEPTED)):
            if found := _NAME.fullmatch(name):
                names.setdefault(found['key16'], []).append(name)
        return names

    def names(self) -> list[str]:
        """Of all the files."""
        return [name for names in self._names.values() for name in names]

    def open(self, name: str) -> Accepted | None:
        """None if it has vanished since the listing: git took it away."""
        if name not in self._opened:
            path = f'{layout.ACCEPTED}/{name}'
            try:
                self._opened[name] = decode(read_small(self.root, path, LIMIT), path)
            except FileNotFoundError:
                return None
        return self._opened[name]

    def _all(self, names: Sequence[str]) -> tuple[Accepted, ...]:
        found = [one for one in map(self.open, names) if one is not None]
        return tuple(sorted(found, key=lambda one: (one.when, one.file_name)))

    def of_key(self, key: Digest) -> tuple[Accepted, ...]:
        """What was accepted of a key, oldest first; the last one counts."""
        return tuple(one for one in self._all(self._names.get(key.hex[:16], ())) if one.key == key)

    def of_stage(self, stage: str) -> tuple[Accepted, ...]:
        """What was ever accepted of an instance, oldest first."""
        start = f'{slug(stage)}~'
        names = [name for names in self._names.values() for name in names if name.startswith(start)]
        return self._all(names)

    def add(self, accepted: Accepted, batch: Batch) -> str:
        """Writes it; its path.  Durable when the batch is.  Raises OSError; UserError for what could not be read back."""
        path, data = accepted.path, accepted.data
        try:
            decode(data, path)
        except UserError as error:
            raise UserError(f'this acceptance cannot be recorded: {error.message}', exit_code=ExitCode.REFUSED) from error
        write_in_batch(self.root, path, data, batch)
        self._opened[accepted.file_name] = accepted
        names = self._names.setdefault(accepted.key.hex[:16], [])
        if accepted.file_name not in names:
            names.append(accepted.file_name)
        return path
