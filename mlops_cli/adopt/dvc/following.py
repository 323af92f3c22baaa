"""A pipeline.yaml that follows dvc.yaml: derived, never edited, and refused once what it was derived from is another.

Its first lines hold the digests of the rest of it and of the files of DVC that it was made from, and their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlops_cli.adopt.dvc import reading
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.paths import check_path
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.paths import Root

MARK = '# mlops follows DVC: '
_FIRST = pattern(r'# mlops follows DVC: ([0-9a-f]{32}) ([0-9a-f]{32})')
_FROM = '# from: '
_EDIT = '# edit dvc.yaml, then: mlops adopt dvc'
LIMIT = 64 << 20  # bytes of a file
FILES = 10_000


@dataclass(frozen=True)
class Followed:
    """``body``, ``sources``: digests, 32 hex digits each.  ``files``: relative to the project."""

    body: str
    sources: str
    files: tuple[str, ...]
    intact: bool


def marked(text: str, root: Root, files: Iterable[str]) -> str:
    """The text of a pipeline.yaml that follows.  Raises OSError, UserError."""
    names = sorted(set(files))
    sources = state(root, names)
    lines = [f'{MARK}{_short(text.encode())} {sources}', *(f'{_FROM}{name}' for name in names), _EDIT]
    return '\n'.join([*lines, text])


def read(data: bytes) -> Followed | None:
    """None for a pipeline.yaml that follows nothing.  Raises UserError for lines of ours that somebody changed."""
    if not data.startswith(MARK.encode()):
        return None
    first, _, rest = data.decode('utf-8', 'replace').partition('\n')
    found = _FIRST.fullmatch(first)
    files: list[str] = []
    while rest.startswith(_FROM) and len(files) < FILES:
        line, _, rest = rest.partition('\n')
        files.append(line.removeprefix(_FROM))
    line, _, rest = rest.partition('\n')
    try:
        if found is None or line != _EDIT or any(check_path(name) != name for name in files):
            raise ValueError
    except ValueError:
        raise UserError('its first lines, which say what it follows, were changed', where=Where(layout.PIPELINE_FILE, 1, 1),
                        hint='git checkout pipeline.yaml, or take these lines away to follow no more',
                        exit_code=ExitCode.REFUSED) from None  # fmt: skip
    return Followed(found[1], found[2], tuple(files), _short(rest.encode()) == found[1])


def state(root: Root, files: Iterable[str]) -> str:
    """The digest of what files hold; of one that is not there, of that."""
    parts: list[bytes] = []
    for name in files:
        try:
            parts.append(f'{name}\0{digest_of(reading.read(root, name, LIMIT)).hex}\n'.encode())
        except (FileNotFoundError, NotADirectoryError):
            parts.append(f'{name}\0-\n'.encode())
    return _short(b''.join(parts))


def _short(data: bytes) -> str:
    return digest_of(data).hex[:32]


def require_current(root: Root, data: bytes) -> None:
    """Raises UserError where a pipeline.yaml that follows was edited, or what it follows has changed."""
    found = read(data)
    if found is None:
        return
    if not found.intact:
        raise UserError(
            f'{layout.PIPELINE_FILE} follows dvc.yaml, and was edited', exit_code=ExitCode.REFUSED,
            where=Where(layout.PIPELINE_FILE),
            hint='edit dvc.yaml, then mlops adopt dvc; to follow no more, take the first lines of pipeline.yaml away',
        )  # fmt: skip
    if state(root, found.files) != found.sources:
        changed = next((name for name in found.files if re.search(r'(^|/)dvc\.yaml$', name)), found.files[0])
        raise UserError(
            f'{changed}, or a parameter file that it uses, changed since pipeline.yaml was derived from it',
            where=Where(layout.PIPELINE_FILE), hint='mlops adopt dvc derives it anew, and takes over what dvc.lock records',
        )  # fmt: skip
