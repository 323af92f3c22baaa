"""What of us goes to a host: the files of core, fsio, store, usage and job, BLAKE3 and pynvml, as one zip
(docs/formats/ssh.md).

Named by what is in it, so that a host has each version once, and two versions of mlops do not meet."""
from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import zipfile
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AREAS = ('core', 'fsio', 'store', 'usage', 'job')
HOME = frozenset(  # of no use over there
    f'store/{name}.py' for name in ('remote', 'fsspec_bucket', 's3', 's3_http', 's3_settings', 'ssh', 'ssh_line', 'bundle')
)
START = 'store/far_start.py'
PLAIN = 'plain/blake3.py'
SUFFIX = EXTENSION_SUFFIXES[0]  # of compiled modules: says which Python, machine and C library they are for


def source(rel: str) -> bytes:
    """A file of the package."""
    with open(os.path.join(PACKAGE, rel), 'rb') as file:
        return file.read()


@cache
def files(compiled: bool) -> dict[str, bytes]:
    """Path -> bytes.  ``compiled``: with the BLAKE3 that is installed here, for a host whose SUFFIX is the same."""
    found = {'mlops_cli/__init__.py': source('__init__.py'), PLAIN: source('store/far_blake3.py')}
    for area in AREAS:
        for name in sorted(os.listdir(os.path.join(PACKAGE, area))):
            rel = f'{area}/{name}'
            if name.endswith('.py') and rel not in HOME:
                found[f'mlops_cli/{rel}'] = source(rel)
    if compiled:
        found |= _blake3()
    return found | _pynvml()


def _pynvml() -> dict[str, bytes]:
    """A module of its own in plain Python; it finds the driver over there."""
    spec = importlib.util.find_spec('pynvml')
    if spec is None or spec.origin is None or os.path.basename(spec.origin) != 'pynvml.py':
        return {}
    with open(spec.origin, 'rb') as file:
        return {'pynvml.py': file.read()}


def _blake3() -> dict[str, bytes]:
    spec = importlib.util.find_spec('blake3')
    folder = os.path.dirname(spec.origin) if spec is not None and spec.origin else ''
    found = {}
    for name in os.listdir(folder) if os.path.basename(folder) == 'blake3' else ():
        if name.endswith(('.py', SUFFIX)):
            with open(os.path.join(folder, name), 'rb') as file:
                found[f'blake3/{name}'] = file.read()
    return found if any(name.endswith(SUFFIX) for name in found) else {}


@cache
def name(compiled: bool) -> str:
    """32 hex digits; what the host compares with what it has, and with what came."""
    seen = hashlib.sha256()
    for path, data in sorted(files(compiled).items()):
        seen.update(f'{path}\0{len(data)}\0'.encode() + data)
    return seen.hexdigest()[:32]


def packed(compiled: bool) -> bytes:
    """The zip."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as into:
        for path, data in files(compiled).items():
            into.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return kept.getvalue()
