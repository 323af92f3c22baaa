"""Headers of model files: what they say, and that nothing in them can do anything."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import zipfile
import zlib

import pytest

from mlops_cli.registry.headers import HEADER, Header, header_of


def header(data: bytes) -> Header | None:
    return header_of(len(data), lambda count: data[:count])


def safetensors(head: object, length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return (len(text) if length is None else length).to_bytes(8, 'little') + text + b'\0' * 64


def archive(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name.replace('__', '/').replace('_json', '.json').replace('_pkl', '.pkl'), content)
    return made.getvalue()


def test_what_they_say() -> None:
    layers = {'a': {'dtype': 'F32', 'shape': [3, 4]}, 'b': {'dtype': 'BF16', 'shape': []}}
    found = header(safetensors({'__metadata__': {'format': 'pt'}, **layers}))
    assert found is not None and found.summary == 'safetensors: 2 tensors, 13 parameters, BF16/F32'
    onnx = b'\x08\x08' + b'\x12\x07pytorch' + b'\x1a\x032.4' + b'\x3a\x05graph'
    found = header(onnx)
    assert found is not None and found.summary == 'ONNX: IR version 8, pytorch, 2.4'
    found = header(archive(schema_json=json.dumps({'__class__': 'Pipeline', '__module__': 'sklearn.pipeline'}).encode()))
    assert found is not None and found.summary == 'skops: sklearn.pipeline.Pipeline'
    found = header(archive(model__data_pkl=b'x'))
    assert found is not None and found.format == 'PyTorch archive' and 'runs code' in found.warning
    found = header(pickle.dumps({'a': 1}))
    assert found is not None and found.format == 'pickle' and 'runs code' in found.warning


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ('touch /nowhere/evil',)


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('value', [Evil(), {'a': [1.5, 'x']}, [Evil()], (1, 2), 'text', {}], ids=range(6))
def test_no_pickle_goes_without_a_warning(protocol: int, value: object) -> None:
    data = pickle.dumps(value, protocol)
    found = header(data)
    assert found is not None and found.format == 'pickle' and 'runs code' in found.warning
    for packed in (zlib.compress(data), zlib.compress(data, 9), gzip.compress(data), bz2.compress(data), lzma.compress(data)):
        found = header(packed)
        assert found is not None and 'may be a pickle' in found.warning


@pytest.mark.parametrize('start', [b'N0', b'I1\n0', b'\x80\x00', b'(0', b'N0' * 60_000, b')0'])
def test_a_pickle_that_begins_otherwise(start: bytes) -> None:
    found = header(start + b"cos\nsystem\n(S'x'\ntR." + b'whatever')
    assert found is not None and 'runs code' in found.warning


def test_an_archive_with_a_pickle_is_not_called_safe() -> None:
    schema = json.dumps({'__class__': 'LogisticRegression', '__module__': 'sklearn'}).encode()
    found = header(archive(schema_json=schema, archive__data_pkl=b'x'))
    assert found is not None and 'runs code' in found.warning and 'skops' not in found.summary


def test_a_text_is_no_pickle() -> None:
    for data in (b'(see the note)\n', b'could be\nanything\n', b'Kx', b'IF x\nprint', b'{"a": 1}', b'[1, 2]', b'x,y\n1,2\n'):
        found = header(data)
        assert found is None or not found.warning, data


def test_what_skops_writes_is_read() -> None:
    skops = pytest.importorskip('skops.io')
    numpy = pytest.importorskip('numpy')
    found = header(skops.dumps({'weights': numpy.ones(3)}))
    assert found is not None and found.summary == 'skops: builtins.dict'


@pytest.mark.parametrize(
    'data',
    [
        b'', b'x', b'plain text', b'PK\x03\x04', b'PK\x03\x04' + b'\xff' * 100, b'\x08' + b'\xff' * 100,
        b'\x08\x01\x12\xff\xff\xff\xff\x7f', safetensors(b'{"a": '), safetensors(b'[' * 60_000),
        safetensors({'a': {'shape': [1 << 60]}}), safetensors({'a': {'shape': -1}}),
        safetensors(b'{}', length=HEADER + 1), safetensors(b'{}', length=2**63),
        safetensors({'a': {'dtype': {}, 'shape': ['x']}}),
        safetensors(b'{"a": NaN}'), archive(schema_json=b'{' * 10_000), archive(schema_json=b'0' * (5 << 20)),
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_broken_says_nothing_and_breaks_nothing(data: bytes) -> None:
    found = header(data)
    assert found is None or found.summary


@pytest.mark.parametrize('kind', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_with_a_byte_that_is_wrong(kind: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', kind) as one:
        one.writestr('schema.json', json.dumps({'__class__': 'Pipeline', '__module__': 'sklearn.pipeline'}))
    for place in range(4, len(made.getvalue())):
        for byte in (0, 1, 255):
            data = bytearray(made.getvalue())
            data[place] = byte
            found = header(bytes(data))
            assert found is None or found.summary


def test_an_archive_of_very_many_entries_is_not_opened() -> None:
    entry = b'PK\x01\x02' + bytes(24) + (1).to_bytes(2, 'little') + bytes(16) + b'x'
    count = 200_000
    end = b'PK\x05\x06' + bytes(8) + (len(entry) * count).to_bytes(4, 'little') + (4).to_bytes(4, 'little') + bytes(2)
    found = header(b'PK\x03\x04' + entry * count + end)
    assert found is not None and found.summary == 'zip archive'
