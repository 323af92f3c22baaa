"""A file or all below a prefix of a bucket, S3's or whatever else fsspec reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any, NamedTuple, TypeVar

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import check_path
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records.origin import SAID
from mlops_cli.run.origins.base import Brought, Into, Seen, Unreached
from mlops_cli.store.bucket import side_by_side
from mlops_cli.store.remote import failure, reading

SMALL = 4 << 20  # bytes of a file that one request brings
AT_ONCE = 8  # of these on their way
PIECE = 8 << 20  # bytes of a large one that one request brings
PIECES = 4
MEMORY = 256 << 20  # bytes of what is remembered of a folder's last state
# What a store says of the state of a file, under the names that fsspec's systems have for it.
TAGS = (
    *('ETag', 'etag', 'md5Hash', 'content_md5', 'md5', 'checksum', 'generation'),
    *('LastModified', 'mtime', 'last_modified'),
)
_R = TypeVar('_R')


class Row(NamedTuple):
    """One file.  ``tag``: differs when its content does; empty where the store says nothing of the kind."""

    name: str
    size: int
    tag: str


class BucketOrigin:
    """``root``: the project, under whose ``.mlops/local`` it is remembered which file of a folder had which content."""

    def __init__(self, root: Root, url: str) -> None:
        self.url, self._root = url, root
        self._system, self._path = reading(url)

    def look(self, pins: Mapping[str, str]) -> Seen:
        found = self._info()
        rows = self._rows() if found is None else [_row('', found)]
        said = self._listing(rows) if found is None else _pins(found)
        return Seen(said == dict(pins) if pins and said else None, size=sum(row.size for row in rows))

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought | None:
        found = self._info()
        if found is not None:
            said = _pins(found)
            if said and said == dict(pins):
                return None
            return Brought(self._file(_row('', found), into), said)
        rows = self._rows()
        said = self._listing(rows)
        if said and said == dict(pins):
            return None
        return Brought(self._folder(rows, into), said)

    def _guarded(self, work: Callable[[], _R]) -> _R:
        try:
            return work()
        except FileNotFoundError:
            raise Unreached(self.url, 'there is nothing', 'look at the address') from None
        except UserError:
            raise
        except Exception as error:
            raise failure(self.url, error) from error

    def _info(self) -> dict[str, Any] | None:
        """Of a file; None for a folder."""

        def work() -> dict[str, Any] | None:
            found: dict[str, Any] = self._system.info(self._path)
            return None if found.get('type') == 'directory' else found

        return self._guarded(work)

    def _rows(self) -> list[Row]:
        """What lies in the folder, sorted.  Raises UserError for names that could lead out of one."""
        rows = []
        for key, size, tag in self._guarded(lambda: [*self._listed()]):
            name = key.removeprefix(f'{self._path}/')
            if name.endswith('/') or not name:  # a folder made by a person's click
                continue
            try:
                if check_path(name) != name:
                    raise ValueError('is not how a path is written')
            except ValueError as error:
                raise UserError(
                    f'{self.url} holds {name[:200]!r}, which {error}', exit_code=ExitCode.REFUSED,
                    hint='import a part of it that has other names',
                ) from error  # fmt: skip
            rows.append(Row(name, size, tag))
        if not rows:
            raise Unreached(self.url, 'there is nothing', 'look at the address')
        return sorted(rows)

    def _listed(self) -> Iterator[tuple[str, int, str]]:
        if not hasattr(self._system, 'call_s3'):
            for key, facts in self._system.find(self._path, detail=True).items():
                row = _row(str(key), facts)
                yield row.name, row.size, row.tag
            return
        bucket, _, prefix = self._path.partition('/')
        more: dict[str, str] = {}
        while True:
            asked = {'Bucket': bucket, **({'Prefix': f'{prefix}/'} if prefix else {}), **more}
            page = self._system.call_s3('list_objects_v2', **asked)
            for one in page.get('Contents', ()):
                yield f'{bucket}/{one["Key"]}', one['Size'], one.get('ETag', '')
            if not page.get('IsTruncated'):
                return
            more = {'ContinuationToken': page['NextContinuationToken']}

    def _listing(self, rows: list[Row]) -> dict[str, str]:
        """What stands for the state of a folder; nothing where the store does not tell the state of its files."""
        if not all(row.tag for row in rows):
            return {}
        return {'listing': digest_of(b''.join(canonical_bytes([*row]) + b'\n' for row in rows)).hex}

    # Bringing

    def _folder(self, rows: list[Row], into: Into) -> ObjectRef:
        known = self._remembered()
        content: dict[str, ObjectRef] = {}
        for row in rows:
            ref = known.get((row.name, row.tag)) if row.tag else None
            if ref is not None and ref.size == row.size and into.store.sound(ref.digest, ref.size):
                content[row.name] = ref
        lacking = [row for row in rows if row.name not in content]
        into.expect(sum(row.size for row in lacking))
        small = [row for row in lacking if row.size <= SMALL]
        with closing(side_by_side(lambda row: (row, self._whole(row)), small, AT_ONCE)) as brought:
            for row, data in brought:
                content[row.name] = into.whole(data)
        for row in lacking:
            if row.size > SMALL:
                content[row.name] = into.file(self._pieces(row))
        ref = into.folder(content, self.url)
        self._remember(rows, content)
        return ref

    def _file(self, row: Row, into: Into) -> ObjectRef:
        into.expect(max(row.size, 0))
        ref = into.whole(self._whole(row)) if row.size <= SMALL else into.file(self._pieces(row))
        into.store.batch.flush()
        return ref

    def _key(self, row: Row) -> str:
        return f'{self._path}/{row.name}' if row.name else self._path

    def _whole(self, row: Row) -> bytes:
        data: bytes = self._guarded(lambda: self._system.cat_file(self._key(row)))
        if len(data) != row.size:
            raise self._changed(row)
        return data

    def _pieces(self, row: Row) -> Iterator[bytes]:
        """Of a large file; that it was the same all the time is asked at the end."""

        def piece(start: int) -> bytes:
            end = min(start + PIECE, row.size)
            data: bytes = self._guarded(lambda: self._system.cat_file(self._key(row), start=start, end=end))
            if len(data) != end - start:
                raise self._changed(row)
            return data

        with closing(side_by_side(piece, range(0, row.size, PIECE), PIECES)) as pieces:
            yield from pieces
        now = _row(row.name, self._guarded(lambda: self._system.info(self._key(row))))
        if row.tag and now.tag != row.tag:
            raise self._changed(row)

    def _changed(self, row: Row) -> Unreached:
        return Unreached(self.url, f'{row.name or "it"} changed while it was read', 'try again')

    # What is remembered

    @property
    def _memory(self) -> str:
        return f'{layout.IMPORTS}/{digest_of(canonical_bytes(["import", self.url])).hex[:16]}'

    def _remembered(self) -> dict[tuple[str, str], ObjectRef]:
        """(name, tag) -> content.  Lost or damaged, everything is brought again."""
        found: dict[tuple[str, str], ObjectRef] = {}
        with suppress(OSError, UserError, ValueError):
            for line in read_file(self._root, self._memory, MEMORY).decode().splitlines():
                name, tag, digest, size = line.split('\t')
                found[name, tag] = ObjectRef(Digest.parse(digest), int(size), 'file')
        return found

    def _remember(self, rows: list[Row], content: Mapping[str, ObjectRef]) -> None:
        lines = [
            f'{row.name}\t{row.tag}\t{content[row.name].digest}\t{content[row.name].size}\n'
            for row in rows if row.tag and '\t' not in row.tag and '\n' not in row.tag
        ]  # fmt: skip
        with suppress(OSError, UserError):
            write_file(self._root, self._memory, ''.join(lines).encode(), 0o600, durable=False)


def _row(name: str, facts: Mapping[str, Any]) -> Row:
    return Row(name, int(facts.get('size') or 0), _tag(facts))


def _tag(facts: Mapping[str, Any]) -> str:
    for name in TAGS:
        if facts.get(name):
            return str(facts[name])[:SAID]
    return ''


def _pins(facts: Mapping[str, Any]) -> dict[str, str]:
    version = facts.get('VersionId')
    found = {'etag': _tag(facts), 'version': str(version)[:SAID] if version not in (None, '', 'null') else ''}
    return {name: text for name, text in found.items() if text and text.isprintable()}
