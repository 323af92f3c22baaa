"""Parameters: read from their files, changed by ``--set`` in memory or in a copy of a file.

An overlay maps (file, dotted key) to a value; a key with a leading ``+`` may be new.  Files are only read here.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.core.paths import check_path
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import plain_scalar
from mlops_cli.core.values import MISSING, Missing, assigned, lookup, path_of
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import paramfile

__all__ = ['MISSING', 'Overlay', 'Params', 'apply', 'parse_assignment', 'parse_assignments', 'render_file']

Overlay = Mapping[tuple[str, str], Any]

_FLOW = pattern(r'[\[{"\']')
_INDENT = pattern(r'\n([ \t]+)"')


class Params:
    """The parameter files of a project, each read once, with an overlay on top.  ``root``: the project's folder."""

    def __init__(self, root: Root, overlay: Overlay | None = None) -> None:
        self.root = root
        self.overlay: Overlay = overlay or {}
        self._documents: dict[str, dict[str, Any] | Missing] = {}
        self._digests: dict[str, Digest | None] = {}

    def load(self, file: str) -> dict[str, Any]:
        """All parameters of a file, with the overlay.  Raises UserError if it is not there, is not what paramfile.read takes,
        or if the overlay does not fit; OSError never."""
        found = self._load(file)
        if isinstance(found, Missing):
            raise UserError(f'there is no parameter file {file}', where=Where(file), hint='make it, or take it out of params:')
        return found

    def value(self, file: str, key: str | None) -> Any:
        """The value of a dotted key (None: the whole file), or MISSING if key or file is not there.  Raises as :meth:`load`."""
        found = self._load(file)
        return found if key is None or isinstance(found, Missing) else lookup(found, key)

    def forget_unless(self, file: str, digest: Digest | None) -> None:
        """Read a file again, when next asked, if it was read with other content than this.  None: it is not there."""
        if file in self._documents and self._digests[file] != digest:
            del self._documents[file]

    def _load(self, file: str) -> dict[str, Any] | Missing:
        if file not in self._documents:
            changes = {key: value for (overlaid, key), value in self.overlay.items() if overlaid == file}
            data = _read(self.root, file)
            self._digests[file] = None if data is None else digest_of(data)
            document: Any = MISSING
            if data is not None:
                document = paramfile.read(data, file)
            for key, value in changes.items():
                document = apply({} if document is MISSING else document, key, value, file=file)
            self._documents[file] = document
        return self._documents[file]


def apply(document: dict[str, Any], key: str, value: Any, *, file: str = layout.PARAMS_FILE) -> dict[str, Any]:
    """A copy of the parameters with one value set.  A key with a leading ``+`` may be new; mappings on the way are made.

    Raises UserError for an unknown key, with the near one, and where a scalar or list stands in the way."""
    changed: dict[str, Any] = assigned(document, path_of(document, key, file), value)
    return changed


def parse_assignment(text: str, default_file: str = layout.PARAMS_FILE) -> tuple[str, str, Any]:
    """``[FILE:]a.b=VALUE`` of ``--set`` as (file, key, value); VALUE is a YAML scalar, or ``[...]``, ``{...}``, quoted text.

    ``+a.b=VALUE`` keeps its ``+`` in the key: it may be new.  Raises UserError."""
    left, equals, written = text.partition('=')
    file, colon, key = left.rpartition(':')
    added = '+' if file.startswith('+') or key.startswith('+') else ''
    file, key = file.removeprefix('+') if colon else default_file, key.removeprefix('+')
    if not equals or not key.strip():
        raise UserError(f'--set {text}: not KEY=VALUE', hint='such as --set train.lr=0.01, or --set big.yaml:train.lr=0.01')
    try:
        file = check_path(file)
    except ValueError as error:
        raise UserError(f'--set {text}: the file {file!r} {error}') from None
    if not file.endswith(paramfile.SUFFIXES):
        raise UserError(f'--set {text}: {file} is no parameter file', hint=f'those end in {", ".join(paramfile.SUFFIXES)}')
    value = _value(written.strip(), key)
    for _, secret in paramfile.secrets(value):
        raise UserError(f'--set {key}=...: the value looks like {secret}', hint=paramfile.SECRET_HINT)
    return file, f'{added}{key.strip()}', value


def parse_assignments(root: Root, texts: Sequence[str], default_file: str = layout.PARAMS_FILE) -> dict[tuple[str, str], Any]:
    """All ``--set`` options of a command as an overlay; a later one wins.

    Raises UserErrors with everything that is wrong, unknown parameters of the files in ``root`` included."""
    overlay: dict[tuple[str, str], Any] = {}
    problems: list[UserError] = []
    for text in texts:
        try:
            file, key, value = parse_assignment(text, default_file)
            Params(root, {**{entry: old for entry, old in overlay.items() if entry[0] == file}, (file, key): value}).load(file)
        except UserErrors as errors:
            problems += [_with_hint(error) for error in errors.errors]
        except UserError as error:
            problems.append(_with_hint(error))
        else:
            plain = key.removeprefix('+')
            added = key != plain or (file, f'+{plain}') in overlay
            for twin in (plain, f'+{plain}'):
                overlay.pop((file, twin), None)
            overlay[file, f'+{plain}' if added else plain] = value
    if problems:
        raise UserErrors(problems)
    return overlay


def _with_hint(error: UserError) -> UserError:
    if error.hint:
        return error
    hint = "a value is YAML in one line: 0.5, text, [1, 2], '{a: 1}'"
    return UserError(error.message, where=error.where, hint=hint, exit_code=error.exit_code)


def render_file(file: str, data: bytes, overlay: Overlay | Mapping[str, Any]) -> bytes:
    """The bytes of a parameter file with an overlay (or key -> value, of this file) written in; b'' is an empty file.

    YAML keeps its comments, JSON its indentation, TOML every other byte.  Raises UserError as :func:`apply`, and where TOML
    has no single line for a value."""
    changes = {entry if isinstance(entry, str) else entry[1]: value for entry, value in overlay.items()
               if isinstance(entry, str) or entry[0] == file}
    if not changes:
        return data
    document = paramfile.read(data or _empty(file), file)
    for key, value in changes.items():
        path = path_of(document, key, file)
        document = assigned(document, path, value)
        if file.endswith('.toml'):
            from mlops_cli.fingerprint.tomledit import edit_value
            data = edit_value(data, path, value, file=file)
        elif not file.endswith('.json'):
            from mlops_cli import yamlfile
            data = yamlfile.edit_value(data, path, value, file=file)
    return _json(data, document) if file.endswith('.json') else data


def _empty(file: str) -> bytes:
    return b'{}' if file.endswith('.json') else b''


def _json(data: bytes, document: Any) -> bytes:
    """The document as the file was written: indented or not, with a newline at its end or not."""
    text = data.decode() or '{\n  "x": 0}\n'
    indent = found[1] if (found := _INDENT.search(text)) else None
    blank = ' ' if indent or ': ' in text or ', ' in text else ''
    separators = (',' if indent else f',{blank}', f':{blank}')
    dumped = json.dumps(document, indent=indent, separators=separators, ensure_ascii=text.isascii(), allow_nan=False)
    return (dumped + ('\n' if text.endswith('\n') else '')).encode('utf-8', 'surrogatepass')


def _read(root: Root, file: str) -> bytes | None:
    try:
        return read_file(root, file, paramfile.SIZE_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise machine_error(error, 'read') from None


def _value(written: str, key: str) -> Any:
    if not written:
        raise UserError(f'--set {key}=: no value', hint=f"write {key}=null, or '{key}=\"\"' for empty text")
    try:
        written.encode()
        if not _FLOW.match(written):
            return plain_scalar(written)
    except UnicodeEncodeError:
        raise UserError(f'--set {key}=...: the value is not UTF-8') from None
    except ValueError as error:
        raise UserError(f'--set {key}=...: {error}') from None
    from mlops_cli import yamlfile
    return yamlfile.read(written.encode(), f'--set {key}').value
