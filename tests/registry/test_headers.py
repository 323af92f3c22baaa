"""Headers of model files: what they say, and that nothing in them can do anything."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

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
