"""What a model file says of itself in its header: safetensors, ONNX, skops.  A few kilobytes are read, nothing is loaded, and
never unpickled."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.strictjson import read as read_json
from mlops_cli.core.units import plural

HEAD = 64 << 10  # bytes that are looked at first
HEADER = 8 << 20  # of a safetensors header
WHOLE = 64 << 20  # of a zip archive that is opened
SCHEMA = 4 << 20  # of skops's schema.json
PICKLES = (b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')
LOADING = 'loading it runs code that is in it: load it only if you trust who made it, or save it as safetensors, ONNX or skops'


@dataclass(frozen=True, slots=True)
class Header:
    """``format``: such as safetensors; empty where it is none that is known.  ``facts``: what it says of itself."""

    format: str
    facts: dict[str, Any]
    warning: str = ''

    @property
    def summary(self) -> str:
        said = ', '.join(str(value) for value in self.facts.values())
        return f'{self.format}: {said}' if said else self.format


def header_of(size: int, read: Callable[[int], bytes]) -> Header | None:
    """``read``: the first so many bytes.  None where it says nothing; never raises for what is wrong in a file."""
    try:
        head = read(min(size, HEAD))
        if head[:2] in PICKLES:
            return Header('pickle', {}, LOADING)
        if head[:4] == b'PK\x03\x04':
            return _zip(read(size)) if size <= WHOLE else Header('zip archive', {})
        if head[:4] == b'\x89HDF':
            return Header('HDF5', {})
        if head[:4] == b'GGUF':
            return Header('GGUF', {})
        return _safetensors(head, size, read) or _onnx(head)
    except (ValueError, UserError, OSError, RecursionError, zipfile.BadZipFile, NotImplementedError, EOFError):
        return None


def _safetensors(head: bytes, size: int, read: Callable[[int], bytes]) -> Header | None:
    length = int.from_bytes(head[:8], 'little')
    if len(head) < 10 or not 2 <= length <= min(HEADER, size - 8) or head[8:9] != b'{':
        return None
    found = json.loads(read(8 + length)[8 : 8 + length])
    tensors = [one for name, one in found.items() if name != '__metadata__' and isinstance(one, dict)]
    count = 0
    for one in tensors:
        shape = one.get('shape')
        if not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and 0 <= n < 1 << 50 for n in shape):
            return None
        number = 1
        for side in shape:
            number *= side
        count += number
    kinds = sorted({str(one.get('dtype'))[:8] for one in tensors})
    return Header('safetensors', {'tensors': plural(len(tensors), 'tensor'), 'parameters': f'{count:,} parameters',
                                  'types': '/'.join(kinds[:4])})  # fmt: skip


def _zip(data: bytes) -> Header:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if 'schema.json' in names and archive.getinfo('schema.json').file_size <= SCHEMA:
            with archive.open('schema.json') as opened:
                schema = read_json(opened.read(SCHEMA), 'schema.json')
            if isinstance(schema, dict) and '__class__' in schema:
                kind = f'{str(schema.get("__module__", ""))[:80]}.{str(schema["__class__"])[:80]}'
                return Header('skops', {'class': kind})
        if any(name.endswith('data.pkl') for name in names):
            return Header('PyTorch archive', {}, LOADING)
        if any(name.endswith('.npy') for name in names):
            return Header('NumPy archive', {'arrays': plural(len(names), 'array')})
    return Header('zip archive', {'entries': plural(len(names), 'entry', 'entries')})


def _onnx(head: bytes) -> Header | None:
    """The first fields of a ModelProto: ir_version, producer_name, producer_version."""
    facts: dict[str, Any] = {}
    place = 0
    if head[:1] != b'\x08':
        return None
    while place < len(head):
        tag, place = _varint(head, place)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(head, place)
            if field == 1:
                facts['ir'] = f'IR version {value}'
        elif wire == 2:
            length, place = _varint(head, place)
            if field in (2, 3) and length <= 200:
                facts['producer' if field == 2 else 'of'] = head[place : place + length].decode()
            place += length
        else:
            break
        if field == 7:
            break  # the graph
    return Header('ONNX', facts) if 'producer' in facts and 'ir' in facts else None


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError('no number')
