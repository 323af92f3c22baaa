"""Tracked data (``mlops add``): one small file per path under ``.mlops/data``, which git tracks (docs/formats/data.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import write_in_batch
from mlops_cli.records.pins import read_small

SCHEMA = 'mlops/data/v1'


def record_path(path: str) -> str:
    return f'{layout.DATA}/{path}.json'


def encode(path: str, ref: ObjectRef) -> bytes:
    return document({'schema': SCHEMA, 'path': path, 'ref': ref.to_json()})


def decode(data: bytes, file: str) -> tuple[str, ObjectRef]:
    """Raises UserError where the file is not a record of ours."""
    try:
        found = json.loads(data)
        if found['schema'] != SCHEMA:
            raise UserError(
                f'this record has the format {found["schema"]!r}, which this version does not know',
                where=Where(file),
                hint='update mlops',
            )
        path = found['path']
        if not isinstance(path, str) or record_path(path) != file:
            raise ValueError(f'its name does not fit its path {path!r}')
        return path, ObjectRef.from_json(found['ref'])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f'damaged data record: {error}',
            where=Where(file),
            exit_code=ExitCode.FAILED,
            hint=f'put it back with: git checkout -- {file}',
        ) from error


def tracked(root: Root) -> dict[str, ObjectRef]:
    """Path -> what it was when it was added, for all tracked data.  Raises UserError for a damaged record."""
    return dict(decode(read_small(root, file), file) for file in sorted(_records(root.path, layout.DATA)))


def _records(top: str, folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(os.path.join(top, folder)))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _records(top, f'{folder}/{entry.name}')
        elif entry.name.endswith('.json') and not entry.name.startswith('.'):
            yield f'{folder}/{entry.name}'


def add(root: Root, path: str, ref: ObjectRef, batch: Batch) -> str:
    """Writes the record of one path; the record's own path.  Durable when the batch is."""
    file = record_path(path)
    write_in_batch(root, file, encode(path, ref), batch)
    return file
