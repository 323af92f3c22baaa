"""A file or folder of this machine, or of a disk that it shares with others."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fingerprint.outside import hashed
from mlops_cli.fsio.paths import Root
from mlops_cli.run.origins.base import Brought, Into, Seen


class PathOrigin:
    """``path``: absolute.  ``counts``: as hashed has it.  It says nothing of its state: its content is read."""

    def __init__(self, path: str, counts: Callable[[str, bool], bool]) -> None:
        self.path, self.counts = path, counts

    def look(self, pins: Mapping[str, str]) -> Seen:
        del pins
        self._there()
        ref = hashed(self.path, self.counts)
        return Seen(None, ref, ref.size)

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought:
        del pins
        path = self._there()

        def count(number: int) -> None:
            into.files += number
            into.step()

        def known(_path: str, facts: os.stat_result) -> None:
            into.size += facts.st_size
            count(1)

        with Root(os.path.dirname(path)) as root:
            ref = into.store.add_path(root, os.path.basename(path), known=known, seen=count).ref
        into.store.batch.flush()
        return Brought(ref)

    def _there(self) -> str:
        """With links followed: a person or a confirmed record has named it."""
        path = os.path.realpath(self.path)
        if path == '/':
            raise UserError('/ is no data', hint='name a file or a folder in it')
        if not os.path.lexists(path):
            raise UserError(
                f'{self.path} does not exist here', exit_code=ExitCode.UNREACHABLE, hint='is its disk there? ls shows what is'
            )
        return path
