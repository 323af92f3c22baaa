"""What runs on a host before anything of ours is there: sent over ssh as text, run by the interpreter that was found there.

Standard input holds a document, and the bundle if it is asked for; then this becomes mlops_cli.store.far.  Imports nothing of
mlops_cli until that is in its place.  Format: docs/formats/ssh.md."""
from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import sysconfig
import time
import zipfile
from importlib import import_module
from typing import Any, BinaryIO, NoReturn

VERSION = 1
MOST = 32 << 20  # bytes of a bundle
KEPT_SECONDS = 30 * 86400.0  # of a bundle that nobody uses


class Refused(Exception):
    """``args``: what is wrong, what helps."""


def say(target: BinaryIO, facts: dict[str, Any]) -> None:
    target.write(json.dumps(facts).encode() + b'\n')
    target.flush()


def bundles() -> str:
    """The folder of all bundles."""
    base = os.environ.get('XDG_CACHE_HOME') or ''
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser('~'), '.cache')
    return os.path.join(base, 'mlops', 'bundles-v1')


def named(files: dict[str, bytes]) -> str:
    """What a bundle is called: hex of 16 bytes."""
    seen = hashlib.sha256()
    for name, data in sorted(files.items()):
        seen.update(f'{name}\0{len(data)}\0'.encode() + data)
    return seen.hexdigest()[:32]


def is_whole(place: str, name: str) -> bool:
    """Whether a bundle is there, as it was sent; one that is not is removed."""
    files = {}
    for folder, inner, names in os.walk(place):
        inner[:] = [one for one in inner if one != '__pycache__']
        for one in names:
            path = os.path.join(folder, one)
            with open(path, 'rb') as file:
                files[os.path.relpath(path, place).replace(os.sep, '/')] = file.read()
    if named(files) == name:
        return True
    shutil.rmtree(place, ignore_errors=True)
    return False


def receive(source: BinaryIO, name: str) -> dict[str, bytes]:
    size = int(source.readline(20))
    if not 0 < size <= MOST:
        raise Refused(f'the bundle has {size} bytes', '')
    files = {}
    with zipfile.ZipFile(io.BytesIO(source.read(size))) as packed:
        if sum(one.file_size for one in packed.infolist()) > 4 * MOST:
            raise Refused('the bundle is too large', '')
        for one in packed.infolist():
            parts = one.filename.split('/')
            if '' in parts or '.' in parts or '..' in parts:
                raise Refused(f'the bundle holds {one.filename!r}', '')
            files[one.filename] = packed.read(one)
    if named(files) != name:
        raise Refused('the bundle did not arrive as it was sent', '')
    return files


def put(place: str, files: dict[str, bytes]) -> None:
    """Whole or not at all."""
    new = f'{place}.{os.getpid()}-{time.time_ns()}.new'
    try:
        for name, data in files.items():
            path = os.path.join(new, name)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path, 'xb') as file:
                file.write(data)
        os.sync()
        try:
            os.rename(new, place)
        except OSError:
            if not os.path.isdir(place):  # else somebody was faster
                raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def sweep(folder: str) -> None:
    """Bundles, and pieces of them, that nobody has used for long."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if os.lstat(path).st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def prepare(source: BinaryIO, target: BinaryIO) -> tuple[str, str, str]:
    """(folder of the bundle, folder that is to be served, by which module).  Raises Refused, OSError."""
    asked = json.loads(source.readline(1 << 16))
    target.write(b'\0mlops ssh-v1\n')
    if asked['version'] != VERSION:
        raise Refused('it is of another version', '')
    suffix = sysconfig.get_config_var('EXT_SUFFIX') or ''
    name = asked['compiled'] if asked['suffix'] == suffix else asked['plain']
    place = os.path.join(bundles(), name)
    there = is_whole(place, name)
    say(target, {'version': VERSION, 'python': sys.version.split()[0], 'suffix': suffix, 'bundle': '' if there else name})
    if not there:
        files = receive(source, name)
        os.makedirs(bundles(), mode=0o700, exist_ok=True)
        sweep(bundles())
        put(place, files)
    os.utime(place)
    return place, asked['folder'], asked.get('serve') or 'mlops_cli.store.far'


def load(place: str, module: str) -> Any:
    """The module that goes on: it is of the bundle."""
    sys.path.insert(0, place)
    try:
        from mlops_cli.core import digest

        digest.digest_of(b'')
    except ImportError:  # no compiled BLAKE3 for this machine: the one in plain Python does
        for name in [name for name in sys.modules if name.partition('.')[0] in ('mlops_cli', 'blake3')]:
            del sys.modules[name]
        sys.path.insert(0, os.path.join(place, 'plain'))
    return import_module(module)


def main() -> NoReturn:
    source = sys.stdin.buffer
    target = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)  # what anybody prints goes with the errors
    try:
        place, folder, module = prepare(source, target)
        far = load(place, module)
    except Refused as error:
        say(target, {'failed': error.args[0], 'hint': error.args[1]})
        sys.exit(1)
    except OSError as error:
        hint = 'mlops keeps some 2 MiB of its own files there: is there room, may you write?'
        say(target, {'failed': f'{error.filename or bundles()}: {error.strerror}', 'hint': hint})
        sys.exit(1)
    sys.exit(far.serve(source, target, folder))


if __name__ == '__main__':
    main()
