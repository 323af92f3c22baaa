"""What is known here to be in a remote: which pins, and which tracked data.  Lost, it is only said again that it is to be sent.

``.mlops/local/remotes/<remote>/sent-v1``: a line of its own first, then one for each, sorted; a pin's name says what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.records.pins import decode as decode_pin
from mlops_cli.records.pins import is_pin
from mlops_cli.run.workbench import Workbench

FIRST = b'mlops sent-v1'
LIMIT = 64 << 20  # bytes: half a million pins


def remote_folder(url: str) -> str:
    """Where what is known of a remote is kept, relative to the project."""
    return f'{layout.REMOTES}/{digest_of(canonical_bytes(["remote", url])).hex[:16]}'


class Sent:
    """``url``: of the remote."""

    def __init__(self, root: Root, url: str) -> None:
        self._root, self._path = root, f'{remote_folder(url)}/sent-v1'

    def names(self) -> frozenset[str] | None:
        """None: nothing is known of it."""
        with suppress(OSError, UserError):
            lines = read_file(self._root, self._path, LIMIT).split(b'\n')
            if lines[0] == FIRST:
                return frozenset(line.decode('utf-8', 'surrogateescape') for line in lines[1:] if line)
        return None

    def add(self, names: Iterable[str]) -> None:
        """These are there, too."""
        known = self.names()
        every = {*(known or ()), *names}
        if known is None or every != known:
            lines = sorted(name.encode('utf-8', 'surrogateescape') for name in every)
            with suppress(OSError, UserError):
                write_file(self._root, self._path, b'\n'.join([FIRST, *lines, b'']), 0o600, durable=False)


def name_of_data(path: str, ref: ObjectRef) -> str:
    return f'{path} {ref.digest.hex}'


def pins_and_data(bench: Workbench, without: Collection[str] = (), only: Collection[str] | None = None) -> list[str]:
    """Names of pins, and of tracked data.  ``without``: none of which one of these paths is a part.  ``only``: those all of
    whose paths are among these.  Raises UserError."""
    found = []
    for name in bench.pins.names():
        if is_pin(name) and (content := bench.pins.bytes_of(name)) is not None:
            paths = {path for path, _ in decode_pin(content, f'{layout.STAGES}/{name}').outputs}
            if paths.isdisjoint(without) and (only is None or (paths and paths <= {*only})):
                found.append(name)
    for path, ref in data.tracked(bench.root).items():
        if path not in without and (only is None or path in only):
            found.append(name_of_data(path, ref))
    return found


def unknown_names(bench: Workbench, sent: Sent, wanted: Mapping[str, ObjectRef]) -> dict[str, tuple[str, ...]]:
    """Names of pins and tracked data that lead to just these contents and are not known to be there -> their paths.  A result
    without outputs has no path: its pin is all that anybody needs of it.  Raises UserError."""
    known = sent.names() or frozenset()
    found: dict[str, tuple[str, ...]] = {}
    for name in bench.pins.names():
        if is_pin(name) and name not in known and (content := bench.pins.bytes_of(name)) is not None:
            outputs = decode_pin(content, f'{layout.STAGES}/{name}').outputs
            if all(wanted.get(path) == ref for path, ref in outputs):
                found[name] = tuple(path for path, _ in outputs)
    for path, ref in data.tracked(bench.root).items():
        if wanted.get(path) == ref and name_of_data(path, ref) not in known:
            found[name_of_data(path, ref)] = (path,)
    return found


def unsent(bench: Workbench, url: str) -> tuple[int, tuple[str, ...]]:
    """(pins, tracked data) that are not known to be in a remote: at most what a push would look at.  Pins whose outputs are
    not here are no work for this clone.  Nothing where it has no cache and knows nothing of the remote.  Asks no network."""
    known = Sent(bench.root, url).names()
    if known is None:
        if not os.path.isdir(bench.store.objects):
            return 0, ()
        known = frozenset()
    pins = [name for name in bench.pins.names() if is_pin(name) and name not in known]
    others = data.tracked(bench.root).items()
    return _sendable(bench, pins), tuple(path for path, ref in others if name_of_data(path, ref) not in known)


def _sendable(bench: Workbench, pins: Iterable[str]) -> int:
    """How many of them this clone can send.  What has no outputs goes along with others, and is no reason to push by itself."""
    whole, bare = 0, 0
    for name in pins:
        if (content := bench.pins.bytes_of(name)) is not None:
            wanted = {ref.digest for _, ref in decode_pin(content, f'{layout.STAGES}/{name}').outputs}
            whole += bool(wanted) and bench.store.has(wanted) == wanted
            bare += not wanted
    return whole + bare if whole else 0
