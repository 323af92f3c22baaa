"""Tracked data (``mlops add``): one small file per path under ``.mlops/data``, which git tracks (docs/formats/data.md)."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX
from mlops_cli.records.files import at, damaged, read_object, read_small, write_in_batch

SCHEMA = 'mlops/data/v1'
SUFFIX = '.json'
LIMIT = 1 << 20  # bytes of a record
_NAME_BYTES = 255
_LIKE_A_RECORD = pattern(r'(\.json~*)(?=/)')


def record_path(path: str) -> str:
    """Where the record of a path stands.  A folder on the way whose name ends in ``.json`` gets ``~`` behind it, so that it
    is never a record's own name: two branches may add ``a`` and ``a.json/b``."""
    escaped = _LIKE_A_RECORD.sub(r'\1~', path)
    return f'{layout.DATA}/{escaped}{SUFFIX}'


def encode(path: str, ref: ObjectRef) -> bytes:
    return document({'schema': SCHEMA, 'path': path, 'ref': ref.to_json()})


def decode(data: bytes, file: str) -> tuple[str, ObjectRef]:
    """``file``: where the record stands.  Raises UserError with file and line where it is not a record of ours."""
    found = read_object(data, file, 'data record', SCHEMA)
    path = found.get('path')
    if not isinstance(path, str) or record_path(path) != file:
        raise damaged('data record', f'its name does not fit its path {str(path)[:200]!r}', at(file, data, 'path'))
    try:
        if check_path(path) != path or path == '.':
            raise ValueError('is not how mlops writes a path')
    except ValueError as error:
        raise damaged('data record', f'{path!r} {error}', at(file, data, 'path')) from error
    try:
        return path, ObjectRef.from_json(found.get('ref'))
    except ValueError as error:
        raise damaged('data record', error, at(file, data, 'ref')) from error


def tracked(root: Root) -> dict[str, ObjectRef]:
    """Path -> what it was when it was added, for all tracked data, sorted.  Raises UserError for a damaged record, OSError."""
    return dict(sorted(decode(read_small(root, file, LIMIT), file) for file in _records(root, layout.DATA)))


def _records(root: Root, folder: str) -> Iterator[str]:
    try:
        entries = root.scandir(folder)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f'{folder}/{entry.name}'
        if entry.is_dir():
            yield from _records(root, path)
        elif entry.name.endswith(SUFFIX) and not entry.name.startswith(PREFIX):
            yield path


def add(root: Root, path: str, ref: ObjectRef, batch: Batch) -> str:
    """Writes the record of one path; the record's own path.  Durable when the batch is.

    ``path``: as core.paths.check_path returns it.  Raises UserError where no record can have its name, OSError."""
    if path == '.':
        raise UserError('the project itself cannot be tracked data', hint='name the files and folders in it that are')
    file = record_path(path)
    if max(len(name.encode('utf-8', 'surrogateescape')) for name in file.split('/')) > _NAME_BYTES:
        raise UserError(
            f'{path} has a name too long for a record of it',
            hint=f'a name in it may have {_NAME_BYTES - len(SUFFIX)} bytes: rename it',
        )
    write_in_batch(root, file, encode(path, ref), batch)
    return file
