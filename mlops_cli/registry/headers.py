"""What a model file says of itself in its header: safetensors, ONNX, skops.  A few kilobytes are read, nothing is loaded, and
never unpickled."""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.strictjson import read as read_json
from mlops_cli.core.units import plural

HEAD = 64 << 10  # bytes that are looked at first
HEADER = 8 << 20  # of a safetensors header
WHOLE = 64 << 20  # of a zip archive that is opened
SCHEMA = 4 << 20  # of skops's schema.json
ENTRIES = 20_000  # of an archive, each of which takes half a kilobyte to know
PICKLES = (b'\x80\x01', b'\x80\x02', b'\x80\x03', b'\x80\x04', b'\x80\x05')
PACKED = {
    b'\x1f\x8b': 'gzip', b'BZh': 'bz2', b'\xfd7zXZ': 'xz', b']\0\0': 'lzma', b'\x04\x22M\x18': 'lz4', b'(\xb5/\xfd': 'zstd',
}  # fmt: skip
LOADING = 'loading it runs code that is in it: load it only if you trust who made it, or save it as safetensors, ONNX or skops'

MAYBE = f'it may be a pickle, as joblib packs them: then {LOADING}'
OPERATIONS = 100_000  # of a pickle
RUNNING = ('GLOBAL', 'INST', 'STACK_GLOBAL', 'EXT1', 'EXT2', 'EXT4')  # what names something that is called
NAMES = re.compile(r'[\w.]+ [\w.]+')


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
        return _safetensors(head, size, read) or _packed(head) or _old(size, read) or _onnx(head)
    except Exception:  # noqa: BLE001 -- each way of packing has errors of its own
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
    if data.count(b'PK\x01\x02') > ENTRIES:
        return Header('zip archive', {})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if any(name.rpartition('/')[2].lower().endswith(('.pkl', '.pickle')) for name in names):  # whatever else it is called
            return Header('PyTorch archive' if any(name.endswith('data.pkl') for name in names) else 'zip archive', {}, LOADING)
        if 'schema.json' in names and archive.getinfo('schema.json').file_size <= SCHEMA:
            with archive.open('schema.json') as opened:
                schema = read_json(opened.read(SCHEMA), 'schema.json')
            if isinstance(schema, dict) and '__class__' in schema:
                kind = f'{str(schema.get("__module__", ""))[:80]}.{str(schema["__class__"])[:80]}'
                return Header('skops', {'class': kind})
        if any(name.endswith('.npy') for name in names):
            return Header('NumPy archive', {'arrays': plural(len(names), 'array')})
    return Header('zip archive', {'entries': plural(len(names), 'entry', 'entries')})


def _packed(head: bytes) -> Header | None:
    """What joblib writes compressed, as is usual, is a pickle too; what else is in it, nobody knows without unpacking all."""
    for mark, name in PACKED.items():
        if head.startswith(mark):
            return Header(f'packed by {name}', {}, MAYBE)
    if head[:1] == b'\x78' and len(head) > 1 and (head[0] << 8 | head[1]) % 31 == 0:
        return Header('packed by zlib', {}, MAYBE)
    return None


def _old(size: int, read: Callable[[int], bytes]) -> Header | None:
    """A pickle of protocol 0 or 1, which has no mark: its operations are walked over, none of them is done."""
    import pickletools

    data, count, last = io.BytesIO(read(min(size, WHOLE))), 0, ''
    try:
        for operation, argument, _ in itertools.islice(pickletools.genops(data), OPERATIONS):
            count, last = count + 1, operation.name
            if last in RUNNING and (not isinstance(argument, str) or NAMES.fullmatch(argument)):
                return Header('pickle', {}, LOADING)
    except Exception:  # noqa: BLE001 -- it is something else
        return None
    return Header('pickle', {}, LOADING) if count == OPERATIONS or (last == 'STOP' and data.tell() == size) else None


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
