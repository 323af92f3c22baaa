"""The pipeline as it was loaded last, kept in ``.mlops/local/pipeline-v1`` (docs/formats/pipeline.md) and taken from there
while all that it was made from is the same: without YAML, without the schema, in a tenth of the time.

Believed only with a seal by the user's own secret, so that no branch or archive can bring one along.  What is the least unusual
is loaded afresh; what cannot be kept is not, which is no error."""
from __future__ import annotations

import marshal
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from mlops_cli import __version__
from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of, seal
from mlops_cli.core.errors import UserError
from mlops_cli.fsio import token
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.plain import pipeline_of, plain
from mlops_cli.pipeline.spec import Pipeline

MAGIC = b'mlops pipeline 1\n'
SEAL = 32  # bytes
PURPOSE = 'pipeline-v1'
LENGTH = 4  # bytes of a length
LIMIT = 128 << 20  # bytes of the file
OFF = 'MLOPS_QUICK'
Folder = str | os.PathLike[str]


def load(root: Folder, *, environ: Mapping[str, str], overlay: Mapping[tuple[str, str], Any] | None = None) -> Pipeline:
    """As load.load of the folder's pipeline.yaml: the same Pipeline, or the same errors."""
    keeps = not overlay and environ.get(OFF) != '0'
    found = _kept(root, environ) if keeps else None
    if found is not None:
        return found
    from mlops_cli.pipeline.load import load_from

    seen = _Seen(environ)
    pipeline, sources = load_from(root, layout.PIPELINE_FILE, seen, overlay)
    if keeps and sources.steady:
        with suppress(OSError, UserError, ValueError):
            _keep(root, pipeline, sources.files, seen.asked, environ)
    return pipeline


class _Seen(Mapping[str, str]):
    """The environment, and which variables of it were asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.asked: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        self.asked[name] = None
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        raise TypeError('which variables there are is nothing that a pipeline is made from')

    def __len__(self) -> int:
        raise TypeError('how many variables there are is nothing that a pipeline is made from')


def _facts(root: Folder) -> bytes:
    """What else has to be the same: who reads it and how, and where the project lies, whose name may be that of its folder.
    The states of our own files, too: one version may be installed over another of the same number."""
    own = os.path.dirname(__file__)
    with os.scandir(own) as entries:
        states = sorted((entry.name, entry.stat().st_mtime_ns) for entry in entries if entry.is_file())
    states += [(name, os.stat(os.path.join(own, name)).st_mtime_ns) for name in ('..', '../core', '../yamlfile.py')]
    facts = (__version__, sys.version, sys.byteorder, own, os.path.realpath(root), states)
    return repr(facts).encode('utf-8', 'surrogateescape')


def _variables(names: Iterable[str], environ: Mapping[str, str], secret: bytes) -> bytes:
    """The values of variables, sealed, so that none can be guessed from the file."""
    values = [None if value is None else value.encode('utf-8', 'surrogatepass') for value in map(environ.get, names)]
    return seal(marshal.dumps(values, 0), secret, f'{PURPOSE} variables')


def _kept(root: Folder, environ: Mapping[str, str]) -> Pipeline | None:
    """What is kept, if it would be loaded so again."""
    try:
        with Root(root) as opened:
            data = read_file(opened, layout.PIPELINE_KEPT, LIMIT)
            secret = token.read(environ)
            start = len(MAGIC) + SEAL
            if not data.startswith(MAGIC) or seal(memoryview(data)[start:], secret, PURPOSE) != data[len(MAGIC):start]:
                return None
            facts, conditions, values = _parts(data, start)
            if facts != _facts(root):
                return None
            files, absent, names, variables = marshal.loads(conditions)
            if variables == _variables(names, environ, secret) and _are_same(opened, files) and _are_absent(opened, absent):
                return pipeline_of(marshal.loads(values))
    except (OSError, UserError):
        pass
    return None


def _parts(data: bytes, at: int) -> Iterator[memoryview]:
    whole = memoryview(data)
    for _ in range(2):
        end = at + LENGTH + int.from_bytes(data[at:at + LENGTH], 'little')
        yield whole[at + LENGTH:end]
        at = end
    yield whole[at:]


def _are_same(root: Root, files: Mapping[str, tuple[int, str]]) -> bool:
    return all(digest_of(read_file(root, rel, size)).hex == digest for rel, (size, digest) in files.items())


def _are_absent(root: Root, paths: Iterable[str]) -> bool:
    for rel in paths:
        try:
            os.close(root.open(rel))
            return False
        except (FileNotFoundError, NotADirectoryError):
            pass
    return True


def _keep(root: Folder, pipeline: Pipeline, files: Mapping[str, tuple[int, str]], variables: Iterable[str],
          environ: Mapping[str, str]) -> None:
    """Raises OSError, UserError, ValueError where it cannot be kept."""
    with Root(root) as opened:
        folder = opened.stat(layout.LOCAL)
        if folder is None or not stat.S_ISDIR(folder.st_mode) or folder.st_uid != os.geteuid():
            return  # no command that writes was here, or it is not for us
        if opened.stat(layout.GITIGNORE) is None:
            return  # git would see it
        secret = token.made(environ)
        names = tuple(variables)
        conditions = marshal.dumps((dict(files), pipeline.absent, names, _variables(names, environ, secret)))
        facts = _facts(root)
        rest = b''.join((len(facts).to_bytes(LENGTH, 'little'), facts, len(conditions).to_bytes(LENGTH, 'little'), conditions,
                         marshal.dumps(plain(pipeline))))
        data = b''.join((MAGIC, seal(rest, secret, PURPOSE), rest))
        if len(data) <= LIMIT:
            write_file(opened, layout.PIPELINE_KEPT, data, 0o600, durable=False)
