"""Files whose bytes follow from what they say: no times, no memory addresses, no order by chance."""
from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from skops.io import dumps, load

SCHEMA = 'schema.json'
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive can name

# What skops does not trust by itself.  A forest is made of these; loading them runs no code from the file.
TRUSTED = ['sklearn.tree._tree.Tree']


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Sorted keys, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + '\n', encoding='utf-8')


def read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding='utf-8'))
    return value


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Comma-separated, with a line feed after each row on every platform."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)


def write_model(path: Path, model: Any) -> None:
    """A skops file, which unlike a pickle runs nothing when it is read.  Equal models make equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_without_addresses(dumps(model)))


def read_model(path: Path) -> Any:
    """The inverse of :func:`write_model`.  Raises skops' UntrustedTypesFoundException if the file holds other types."""
    return load(path, trusted=TRUSTED)


def _without_addresses(archive: bytes) -> bytes:
    """skops names every object and array by its address in memory, and zip stamps each file with the time: both differ
    from run to run.  Here objects are numbered as the schema meets them, and it is always 1980."""
    numbers: dict[int, int] = {}  # address -> number
    names: dict[str, str] = {}    # file name in the archive of skops -> in ours

    def renamed(node: Any) -> Any:
        if isinstance(node, list):
            return [renamed(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: renamed(value) for key, value in node.items()}
        if '__id__' in node:
            node['__id__'] = numbers.setdefault(node['__id__'], len(numbers) + 1)
        if node.get('type') == 'numpy' and 'file' in node:
            node['file'] = names.setdefault(node['file'], f'{len(names) + 1}.npy')
        return node

    rewritten = io.BytesIO()
    with ZipFile(io.BytesIO(archive)) as old, ZipFile(rewritten, 'w') as new:
        schema = json.dumps(renamed(json.loads(old.read(SCHEMA))), separators=(',', ':'))
        contents = {SCHEMA: schema.encode(), **{name: old.read(address) for address, name in names.items()}}
        lost = len(old.namelist()) - len(contents)
        if lost:
            raise ValueError(f'{lost} files of the skops archive are not named in its schema')
        for name, content in contents.items():
            new.writestr(ZipInfo(name, LONG_AGO), content, ZIP_DEFLATED)
    return rewritten.getvalue()
