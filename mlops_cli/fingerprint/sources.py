"""The meaning of a code file, by what kind of file it is."""

from __future__ import annotations

from mlops_cli.core.digest import Digest
from mlops_cli.fingerprint import notebook, pyast
from mlops_cli.fingerprint.parsing import NOTEBOOK


def meaning_of(path: str, source: bytes, *, docstrings: bool = True) -> Digest | None:
    """What counts of it in place of its bytes; None where these do."""
    if path.endswith(NOTEBOOK):
        return notebook.meaning(source, docstrings=docstrings)
    return pyast.meaning(source, docstrings=docstrings)


def changed_parts(path: str, before: bytes, after: bytes) -> tuple[str, ...]:
    """Phrases for what differs in meaning; empty where nothing does, or nobody can tell."""
    if path.endswith(NOTEBOOK):
        return notebook.changed_cells(before, after)
    return pyast.changed_parts(before, after)
