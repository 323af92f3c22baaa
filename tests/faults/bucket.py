"""Whether a remote is whole, read with no help of the tool, as docs/formats/remote.md has it."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import blake3

PACK, INDEX = b'mlops pack-v1\n', b'mlops pack-index-v1\n'
ROW, END = struct.Struct('>32sQI'), struct.Struct('>Q14s')


def objects(folder: Path) -> tuple[dict[str, bytes], list[str]]:
    """(hex digest -> bytes, what is wrong).  A pack without an index is none yet."""
    found: dict[str, bytes] = {}
    wrong: list[str] = []
    for path in sorted((folder / 'packs-v1').glob('*.index')):
        index, pack = path.read_bytes(), path.with_suffix('.pack')
        if blake3.blake3(index).hexdigest() != path.stem or not index.startswith(INDEX):
            wrong.append(f'{path.name} is not what its name says')
            continue
        data = pack.read_bytes() if pack.exists() else b''
        if not data.startswith(PACK) or not data.endswith(index + END.pack(len(index), PACK)):
            wrong.append(f'{pack.name} is not there, or not whole')
            continue
        for name, offset, size in ROW.iter_unpack(index[len(INDEX) :]):
            found[name.hex()] = data[offset : offset + size]
    for path in (folder / 'objects-v1').glob('*/*'):
        found[path.parent.name + path.name] = path.read_bytes()
    wrong += [f'{name[:8]} has other bytes' for name, data in found.items() if blake3.blake3(data).hexdigest() != name]
    return found, wrong


def problems(folder: Path) -> list[str]:
    """Damage, and nodes of folders without what they name."""
    found, wrong = objects(folder)
    for name, data in found.items():
        if data.startswith(b'mlops tree-v1\n'):
            rows = [json.loads(line) for line in data.splitlines()[1:]]
            children = [row[2].removeprefix('blake3:') for row in rows if row[1] != 'link']
            wrong += [f'{name[:8]} names {child[:8]}, which is not there' for child in children if child not in found]
    return wrong


def left(folder: Path) -> list[str]:
    """Temporaries."""
    return sorted(os.listdir(folder / 'tmp')) if (folder / 'tmp').exists() else []
