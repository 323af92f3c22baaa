"""Models: what is registered under a name, and what was said and decided about it (docs/formats/models.md).

One small file for each fact, written once, named by what is in it: two branches never write one file with two contents.  What a
branch brings is believed only as far as it is well-formed; who may decide what is for the registry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes, document
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import LATEST, check_time
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError, Where
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.files import at, damaged, read_object
from mlops_cli.records.pins import slug

SCHEMA = 'mlops/model/v1'
LIMIT = 1 << 20  # bytes of a file
VERSIONS, ALIASES, APPROVALS, TAGS, NOTES = 'versions', 'aliases', 'approvals', 'tags', 'notes'
KINDS = {'promotion': ALIASES, 'approval': APPROVALS, 'tag': TAGS, 'note': NOTES}  # of a fact -> its folder
DECISIONS = ('promote', 'rollback', '')
TEXT = 2000  # characters of a note, and of whatever else a person says
SHORT = 400  # characters of a name, a path's end, a person
SIGNATURE = 4096
ROWS = 5000  # of a list
NUMBERS = 1_000_000
NAME = pattern(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')
ALIAS = pattern(r'(?!v?[0-9]+(?:-[0-9a-f]{4,8})?\Z)(?!latest\Z)(?![0-9a-f]{8,}\Z)[a-z][a-z0-9._-]{0,39}')  # nor a digest
TAG = pattern(r'[A-Za-z0-9][A-Za-z0-9._/-]{0,63}(?:=[A-Za-z0-9][A-Za-z0-9 ._/@+-]{0,127})?')
_VERSION = pattern(r'v(?P<number>[1-9][0-9]{0,6})-(?P<digest8>[0-9a-f]{8})\.json')
_FACT = pattern(r'[0-9]{8}T[0-9]{6}Z-(?P<digest16>[0-9a-f]{16})\.json')
_SHA256 = pattern(r'[0-9a-f]{64}')
_OUTS8 = pattern(r'[0-9a-f]{8}')
_UNSAFE = pattern('[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]')


@dataclass(frozen=True, slots=True)
class Person:
    """Who registered, approved, promoted or wrote something, as git's settings name them there."""

    name: str
    email: str = ''
    host: str = ''

    @property
    def shown(self) -> str:
        return f'{self.name} <{self.email}>' if self.email else self.name


@dataclass(frozen=True)
class Version:
    """A model as it was registered.  ``path``: the output that it is.  ``sha256``: of the file; of a folder, of the lines that
    sha256sum prints for its files, sorted by path.  ``results``: (stage, key, outs8), its own first, then those before it.
    ``checks``: stages without outputs that had passed.  ``data``, ``code``: (path, identity).  ``params``: (name, value).
    ``made``: run, who, host, when, commit, branch of the run that trained it, as far as known.  ``left_out``: how many rows of
    which list found no room.  ``commit``, ``branch``: where it was registered.  ``changed``: files that it was made from which
    that commit does not have so: they come with the commit that brings this version."""

    name: str
    number: int
    path: str
    ref: ObjectRef
    sha256: str
    stage: str
    who: Person
    when: str
    results: tuple[tuple[str, Digest, str], ...]
    commit: str = ''
    branch: str = ''
    text: str = ''
    made: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[tuple[str, str, float | int], ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    data: tuple[tuple[str, Digest], ...] = ()
    code: tuple[tuple[str, Digest], ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
    checks: tuple[str, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    signature: str = ''

    @cached_property
    def content(self) -> dict[str, Any]:
        return {
            'schema': SCHEMA, 'name': self.name, 'number': self.number, 'path': self.path, 'model': self.ref.to_json(),
            'sha256': self.sha256, 'stage': self.stage, 'who': self.who.name, 'email': self.who.email, 'host': self.who.host,
            'when': self.when, 'results': [[stage, str(key), outs8] for stage, key, outs8 in self.results],
            'commit': self.commit, 'branch': self.branch, 'text': self.text, 'made': dict(self.made),
            'metrics': [list(row) for row in self.metrics], 'params': [list(row) for row in self.params],
            'data': [[path, str(digest)] for path, digest in self.data],
            'code': [[path, str(digest)] for path, digest in self.code],
            'commands': [list(row) for row in self.commands], 'checks': list(self.checks),
            'environment': dict(self.environment), 'usage': dict(self.usage), 'seconds': self.seconds,
            'left_out': dict(self.left_out), 'changed': list(self.changed), 'signature': self.signature,
        }  # fmt: skip

    @cached_property
    def encoded(self) -> bytes:
        return document(self.content)

    @cached_property
    def digest(self) -> Digest:
        """Stands for this version with all that is said in its file: what approvals and promotions name."""
        return digest_of(self.encoded)

    @property
    def numbers(self) -> dict[str, dict[str, float | int]]:
        """Its metrics: file -> name -> number."""
        found: dict[str, dict[str, float | int]] = {}
        for file, name, number in self.metrics:
            found.setdefault(file, {})[name] = number
        return found

    @property
    def label(self) -> str:
        return f'v{self.number}'

    @property
    def id(self) -> str:
        """Never means another version, whatever is merged."""
        return f'v{self.number}-{self.digest.hex[:8]}'

    @property
    def file(self) -> str:
        return f'{folder_of(self.name)}/{VERSIONS}/{self.id}.json'

    @property
    def signed_part(self) -> bytes:
        return signed_part(self.content)

    @property
    def short_run(self) -> str:
        return self.made.get('run', '').partition('-')[2]


@dataclass(frozen=True)
class Fact:
    """What somebody decided or said.  ``kind``: promotion (who holds an alias from now on), approval, tag, note.  ``version``:
    the digest of the version it is about; None for the model as a whole, and where an alias is taken from everybody.
    ``alias``: of a promotion, or for which an approval counts.  ``text``: what was said, or the tag.  ``decision``: of a
    promotion: promote, rollback.  ``follows``: the promotions of the alias that this one takes the place of.  ``approvals``:
    on which it rests.  ``gates``: what the gates said then.  ``off``: a tag that is taken away."""

    kind: str
    name: str
    version: Digest | None
    who: Person
    when: str
    alias: str = ''
    text: str = ''
    decision: str = ''
    follows: tuple[Digest, ...] = ()
    approvals: tuple[Digest, ...] = ()
    gates: tuple[str, ...] = ()
    off: bool = False
    signature: str = ''

    @cached_property
    def content(self) -> dict[str, Any]:
        common: dict[str, Any] = {
            'schema': f'mlops/model-{self.kind}/v1', 'name': self.name, 'version': str(self.version) if self.version else '',
            'who': self.who.name, 'email': self.who.email, 'host': self.who.host, 'when': self.when, 'text': self.text,
        }  # fmt: skip
        if self.kind == 'promotion':
            common |= {
                'alias': self.alias, 'decision': self.decision, 'follows': [str(one) for one in self.follows],
                'approvals': [str(one) for one in self.approvals], 'gates': list(self.gates), 'signature': self.signature,
            }  # fmt: skip
        elif self.kind == 'approval':
            common |= {'alias': self.alias, 'signature': self.signature}
        elif self.kind == 'tag':
            common |= {'off': self.off}
        return common

    @cached_property
    def encoded(self) -> bytes:
        return document(self.content)

    @cached_property
    def digest(self) -> Digest:
        return digest_of(self.encoded)

    @property
    def file(self) -> str:
        stamp = self.when.replace('-', '').replace(':', '')
        folder = f'{folder_of(self.name)}/{KINDS[self.kind]}'
        return f'{f"{folder}/{self.alias}" if self.kind == "promotion" else folder}/{stamp}-{self.digest.hex[:16]}.json'

    @property
    def signed_part(self) -> bytes:
        return signed_part(self.content)


def signed_part(content: Mapping[str, Any]) -> bytes:
    """What a signature is made of: all that a file says but the signature, with a first line that nothing else has."""
    return b'mlops model-v1\n' + canonical_bytes({key: value for key, value in content.items() if key != 'signature'})


def signed(one: Version | Fact, signature: str) -> Version | Fact:
    return replace(one, signature=signature)


def folder_of(name: str) -> str:
    return f'{layout.MODELS}/{slug(name)}'


def check_name(name: str) -> str:
    """Raises UserError."""
    if not NAME.fullmatch(name):
        raise UserError(f'{name[:80]!r} is no name of a model', hint='letters, digits, _, - and . , at most 100 of them')
    return name


def check_alias(alias: str) -> str:
    """Raises UserError."""
    if not ALIAS.fullmatch(alias):
        raise UserError(
            f'{alias[:80]!r} is no alias',
            hint='such as prod or staging: small letters, digits, _, - and . ; no v1, no latest, nothing like a digest',
        )
    return alias


def check_tag(tag: str) -> str:
    """Raises UserError."""
    if not TAG.fullmatch(tag):
        raise UserError(f'{tag[:80]!r} is no tag', hint='such as baseline or use-case=ocr: letters, digits and ._/-')
    return tag


def check_text(text: str) -> str:
    """What a person says, as it is recorded.  Raises UserError."""
    text = text.strip()
    if _UNSAFE.search(text):
        raise UserError('the text has control characters in it', hint='write plain text; lines may be several')
    if len(text) > TEXT:
        raise UserError(f'the text has {len(text):,} characters, more than {TEXT:,}', hint='put the rest into a file of yours')
    return text


def is_version(name: str) -> bool:
    """Whether a file of this name may be a version."""
    return _VERSION.fullmatch(name) is not None


def number_in(name: str) -> int:
    """The number in the name of a version's file; 0 where it is none."""
    found = _VERSION.fullmatch(name)
    number = int(found['number']) if found else 0
    return number if number <= NUMBERS else 0


# Reading


def decode(data: bytes, file: str) -> Version | Fact:
    """``file``: where it stands in the project; place and name must fit.  A checkout with CRLF line ends is read as what was
    committed.  Raises UserError naming the line where it is not as we wrote it."""
    content = data.replace(b'\r\n', b'\n')
    parts = file.removeprefix(f'{layout.MODELS}/').split('/')
    kind = next((kind for kind, folder in KINDS.items() if parts[1:2] == [folder]), '')
    if parts[1:2] != [VERSIONS] and not kind:
        raise UserError('this version does not know such records of models', where=Where(file), hint='update mlops')
    what = f'{kind or "version"} of a model'
    reader = _Reader(read_object(content, file, what, f'mlops/model-{kind}/v1' if kind else SCHEMA), content, file, what)
    try:
        found: Version | Fact = _fact(kind, reader) if kind else _version(reader)
        fits = found.encoded == content
    except (ValueError, TypeError) as error:
        raise damaged(what, error, Where(file)) from error
    if not fits or found.file != file:
        raise damaged(what, 'its content does not give its name', Where(file))
    return found


class _Reader:
    def __init__(self, found: dict[str, Any], data: bytes, file: str, what: str) -> None:
        self.found, self.data, self.file, self.what = found, data, file, what

    def wrong(self, key: str, value: Any = None) -> UserError:
        return damaged(self.what, f'{key} is {str(value)[:80]!r}', at(self.file, self.data, key))

    def text(self, key: str, limit: int = SHORT, *, lines: bool = False) -> str:
        value = self.found.get(key)
        if not isinstance(value, str) or len(value) > limit or _UNSAFE.search(value) or (not lines and '\n' in value):
            raise self.wrong(key, value)
        return value

    def match(self, key: str, form: Any, *, empty: bool = False) -> str:
        value = self.text(key)
        if not (empty and not value) and not form.fullmatch(value):
            raise self.wrong(key, value)
        return value

    def time(self, key: str) -> str:
        try:
            return check_time(self.text(key))
        except ValueError as error:
            raise self.wrong(key, self.found.get(key)) from error

    def digest(self, key: str) -> Digest | None:
        value = self.text(key)
        return _digest(value) if value else None

    def rows(self, key: str) -> list[Any]:
        value = self.found.get(key)
        if not isinstance(value, list) or len(value) > ROWS:
            raise self.wrong(key, value)
        return value

    def texts(self, key: str, limit: int = TEXT) -> tuple[str, ...]:
        rows = self.rows(key)
        if not all(isinstance(row, str) and len(row) <= limit and not _UNSAFE.search(row) for row in rows):
            raise self.wrong(key, rows)
        return tuple(rows)

    def mapping(self, key: str) -> dict[str, Any]:
        value = self.found.get(key)
        if not isinstance(value, dict) or len(value) > ROWS:
            raise self.wrong(key, value)
        return value

    def person(self) -> Person:
        return Person(self.text('who'), self.text('email'), self.text('host'))


def _digest(value: Any) -> Digest:
    if not isinstance(value, str):
        raise ValueError(f'not a digest: {str(value)[:80]!r}')
    return Digest.parse(value)


def _row(value: Any, *kinds: type) -> list[Any]:
    """Raises ValueError."""
    if type(value) is list and len(value) == len(kinds):
        for item, kind in zip(value, kinds, strict=True):
            if kind is not object and type(item) is not kind:
                break
        else:
            return value
    raise ValueError(f'not a row of it: {str(value)[:80]!r}')


def _number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f'no number: {str(value)[:80]!r}')
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= NUMBERS:
        raise ValueError(f'no whole number: {str(value)[:80]!r}')
    return value


def _version(reader: _Reader) -> Version:
    from mlops_cli.core.paths import check_path

    number, seconds = reader.found.get('number'), reader.found.get('seconds')
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= NUMBERS:
        raise reader.wrong('number', number)
    results = []
    for row in reader.rows('results'):
        stage, key, outs8 = _row(row, str, str, str)
        if not _OUTS8.fullmatch(outs8):
            raise ValueError(f'no result: {str(row)[:80]}')
        results.append((stage, _digest(key), outs8))
    if not results:
        raise reader.wrong('results', [])
    made = reader.mapping('made')
    if not all(isinstance(value, str) and len(value) <= SHORT and not _UNSAFE.search(value) for value in made.values()):
        raise reader.wrong('made', made)
    metrics = [_row(row, str, str, object) for row in reader.rows('metrics')]
    return Version(
        reader.match('name', NAME),
        number,
        check_path(reader.text('path', 4096)),
        ObjectRef.from_json(reader.found.get('model')),
        reader.match('sha256', _SHA256),
        reader.text('stage'),
        reader.person(),
        reader.time('when'),
        tuple(results),
        reader.text('commit'),
        reader.text('branch'),
        reader.text('text', TEXT, lines=True),
        made,
        tuple((file, name, _number(value)) for file, name, value in metrics),
        tuple((name, value) for name, value in (_row(row, str, object) for row in reader.rows('params'))),
        tuple((path, _digest(value)) for path, value in (_row(row, str, str) for row in reader.rows('data'))),
        tuple((path, _digest(value)) for path, value in (_row(row, str, str) for row in reader.rows('code'))),
        tuple((stage, text) for stage, text in (_row(row, str, str) for row in reader.rows('commands'))),
        reader.texts('checks', SHORT),
        reader.mapping('environment'),
        {str(name): _number(value) for name, value in reader.mapping('usage').items()},
        None if seconds is None else _seconds(seconds),
        {str(name): _whole(value) for name, value in reader.mapping('left_out').items()},
        reader.texts('changed', 4096),
        reader.text('signature', SIGNATURE, lines=True),
    )


def _seconds(value: Any) -> float | int:
    if not 0 <= _number(value) <= LATEST:
        raise ValueError(f'no duration: {str(value)[:80]!r}')
    return _number(value)


def _fact(kind: str, reader: _Reader) -> Fact:
    common: dict[str, Any] = {
        'kind': kind, 'name': reader.match('name', NAME), 'version': reader.digest('version'), 'who': reader.person(),
        'when': reader.time('when'), 'text': reader.text('text', TEXT, lines=True),
    }  # fmt: skip
    if kind == 'promotion':
        decision = reader.text('decision')
        if decision not in DECISIONS[:2]:
            raise reader.wrong('decision', decision)
        common |= {
            'alias': reader.match('alias', ALIAS), 'decision': decision,
            'follows': tuple(map(_digest, reader.rows('follows'))),
            'approvals': tuple(map(_digest, reader.rows('approvals'))),
            'gates': reader.texts('gates'), 'signature': reader.text('signature', SIGNATURE, lines=True),
        }  # fmt: skip
    elif kind == 'approval':
        common |= {'alias': reader.match('alias', ALIAS), 'signature': reader.text('signature', SIGNATURE, lines=True)}
    elif kind == 'tag':
        off = reader.found.get('off')
        if not isinstance(off, bool) or not TAG.fullmatch(common['text']):
            raise reader.wrong('text', common['text'])
        common |= {'off': off}
    if kind in ('promotion', 'approval') and common['version'] is None:
        raise reader.wrong('version', '')
    return Fact(**common)


def name_fits(path: str) -> bool:
    """Whether a path below ``.mlops/models`` has a name that one of ours may have."""
    parts = path.removeprefix(f'{layout.MODELS}/').split('/')
    if parts[1:2] == [VERSIONS]:
        return len(parts) == 3 and is_version(parts[2])
    depth = 4 if parts[1:2] == [ALIASES] else 3
    return len(parts) == depth and parts[1] in KINDS.values() and _FACT.fullmatch(parts[-1]) is not None
