"""What was learnt of Python sources, folders and interpreters, kept for many stages of one walk and, as plain values, from
one process to the next."""
from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.classes import replace
from mlops_cli.fingerprint import interpreter as interpreters
from mlops_cli.fingerprint.folders import Folders
from mlops_cli.fingerprint.interpreter import Interpreter
from mlops_cli.fingerprint.parsing import NOTEBOOK, SOURCE_LIMIT
from mlops_cli.fingerprint.pyfacts import Facts

READ_LIMIT = 64 << 20  # bytes of a Python source
_SETTLED_NS = 100_000_000  # a file changed less than this before it was read may change again under the same times

Signature = tuple[int, ...]


class ImportCache:
    """What was learnt of files, folders and interpreters, for many stages of one walk.  Not for several threads at once.

    ``remembered``: what :meth:`remember` of an earlier process gave; what is not of its form is left out."""

    def __init__(self, remembered: Mapping[str, Any] | None = None) -> None:
        self._facts: dict[str, tuple[Signature, Facts]] = {}
        self._seen: dict[str, Facts] = {}
        for path, value in (remembered or {}).items():
            try:
                signature, facts = value
                self._facts[path] = (tuple(int(part) for part in signature), Facts.from_json(facts))
            except (ValueError, TypeError):
                continue
        self.parsed = 0  # sources that had to be parsed
        self.renew()

    def renew(self) -> None:
        """Looks at the disk anew from here on; sources whose stat signature is the same are not parsed again."""
        self._seen = {}
        self._folders: dict[str, Folders] = {}
        self._interpreters: dict[tuple[str, ...], Interpreter] = {}
        self.answers: dict[tuple[Any, ...], Any] = {}  # of callers: search paths, programs on PATH, console scripts

    def remember(self) -> dict[str, Any]:
        """Plain JSON values of every source known, for the next process."""
        return {path: [list(signature), facts.to_json()] for path, (signature, facts) in self._facts.items()}

    def folders(self, root: str) -> Folders:
        found = self._folders.get(root)
        if found is None:
            found = self._folders[root] = Folders(root)
        return found

    def interpreter(self, path: str, environ: Mapping[str, str]) -> Interpreter:
        """As :func:`interpreter.read`, read once."""
        key = (path, *(environ.get(name, '') for name in ('HOME', 'PYTHONUSERBASE', 'PYTHONNOUSERSITE')))
        found = self._interpreters.get(key)
        if found is None:
            found = self._interpreters[key] = interpreters.read(path, environ)
        return found

    def facts(self, path: str) -> Facts:
        """Of the source at an absolute path that holds no links; parsed once while its stat signature stays."""
        found = self._seen.get(path)
        if found is None:
            found = self._seen[path] = self._read(path)
        return found

    def _read(self, path: str) -> Facts:
        known = self._facts.get(path)
        try:
            if known is not None and known[0] == _signature(os.lstat(path)):
                return known[1]
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            return Facts(problem=f'cannot be read ({error.strerror})')
        from mlops_cli.fingerprint.pyimports import facts_of, facts_of_large

        with os.fdopen(descriptor, 'rb') as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Facts(problem='is no regular file')
            if status.st_size > READ_LIMIT:
                return Facts(problem=f'it is larger than {READ_LIMIT >> 20} MiB')
            now = time.time_ns()
            source = stream.read(READ_LIMIT)
            if path.endswith(NOTEBOOK):
                facts = _facts_of_notebook(source)
            else:
                facts = facts_of(source) if len(source) <= SOURCE_LIMIT else facts_of_large(source)
        self.parsed += 1
        if status.st_ctime_ns + _SETTLED_NS < now:
            self._facts[path] = (_signature(status), facts)
        return facts


def _facts_of_notebook(data: bytes) -> Facts:
    from mlops_cli.fingerprint.notebook import python_of
    from mlops_cli.fingerprint.pyimports import facts_of

    try:
        text, unseen = python_of(data)
    except ValueError as error:
        return Facts(problem=str(error))
    found = facts_of(text)
    return replace(found, dynamic=(*found.dynamic, *unseen))


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
