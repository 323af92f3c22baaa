"""The files that a pipeline is made from, each read once, and the values that templates may use.  Checks no stage."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import digest_of
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import join_path
from mlops_cli.core.values import assigned, path_of
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import paramfile
from mlops_cli.pipeline.template import Scope, TemplateError, resolve_vars

Path = tuple[str | int, ...]
Overlay = Mapping[tuple[str, str], Any]
MISTAKES_SHOWN = 100


class Problems:
    """Mistakes, collected so that all can be told at once."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []

    def add(self, message: str, where: Where, hint: str = '') -> None:
        self.errors.append(UserError(message, hint=hint, where=where))

    @contextmanager
    def caught(self, where: Where | None = None, prefix: str = '') -> Iterator[None]:
        """Notes the UserErrors raised inside; ``where``: the place of those that have none."""
        try:
            yield
        except UserErrors as several:
            self.errors += several.errors
        except UserError as error:
            self.errors.append(UserError(prefix + error.message, hint=error.hint, where=error.where or where,
                                         exit_code=error.exit_code))

    def raise_if_any(self) -> None:
        """Raises UserErrors, by file and place, each mistake once."""
        if not self.errors:
            return
        unique = {(error.where, error.message): error for error in self.errors}
        ordered = sorted(unique.values(), key=lambda error: error.where or Where(''))
        if len(ordered) > MISTAKES_SHOWN:
            rest = len(ordered) - MISTAKES_SHOWN
            ordered = [*ordered[:MISTAKES_SHOWN], UserError(f'and {rest:,} more mistakes', where=ordered[MISTAKES_SHOWN].where)]
        raise UserErrors(ordered)


class Sources:
    """Reads files of the project and remembers which.  ``overlay``: (file, dotted key) -> value of ``--set``.  ``given``: what
    files hold in place of what they hold on disk.

    ``files``: each with its bytes and their digest.  ``steady``: each was the same whenever it was looked at.  ``idle``,
    ``used``: parameter files beside pipeline files whose templates cannot, or may, use a value of them."""

    def __init__(self, root: Root, overlay: Overlay, given: Mapping[str, bytes] | None = None) -> None:
        self.root = root
        self.given = given or {}
        self.overlay = overlay
        self.files: dict[str, tuple[int, str]] = {}
        self.absent: dict[str, None] = {}
        self.steady = True
        self.idle: set[str] = set()
        self.used: set[str] = set()
        self._values: dict[str, dict[str, Any]] = {}

    def bytes_of(self, rel: str, limit: int) -> bytes | None:
        """The content of a file, None if it is absent.  Raises UserError, without a place."""
        try:
            data = self.given[rel] if rel in self.given else read_file(self.root, rel, limit)
        except (FileNotFoundError, NotADirectoryError):
            self.absent[rel] = None
            self.steady &= rel not in self.files
            return None
        except OSError as error:
            raise machine_error(error, 'read') from None
        found = len(data), digest_of(data).hex
        self.steady &= rel not in self.absent and self.files.setdefault(rel, found) == found
        return data

    def values(self, rel: str) -> dict[str, Any] | None:
        """The values of a parameter file with the overlay applied, None if it is absent.  Raises UserError."""
        if rel not in self._values:
            data = self.bytes_of(rel, paramfile.SIZE_LIMIT)
            changes = {key: value for (file, key), value in self.overlay.items() if file == rel}
            if data is None and not changes:
                return None
            values: Any = {} if data is None else paramfile.read(data, rel)
            for key, value in changes.items():
                try:
                    values = assigned(values, path_of(values, key, rel), value)
                except UserError as error:
                    raise UserError(f'--set: {error.message}', hint=error.hint, where=Where(rel)) from None
            self._values[rel] = values
        return self._values[rel]


@dataclass(frozen=True)
class Part:
    """One pipeline file.  ``folder``: what its paths are relative to.  ``params``: the parameter file it names, None for the
    params.yaml of each stage's folder.  ``complete``: all its values could be read."""

    document: Document
    folder: str
    params: str | None
    scope: Scope
    complete: bool
    places: dict[Path, Where] = field(default_factory=dict)

    def where(self, path: Path, *, key: bool = False) -> Where:
        """As of the document, remembered: the instances of a stage ask for the same ones."""
        known = (*path, key)
        if known not in self.places:
            self.places[known] = self.document.where(path, key=key)
        return self.places[known]

    def where_of(self, error: TemplateError, path: Path) -> Where:
        """The place of a mistake in a template below ``path``."""
        full = (*path, *error.path)
        value: Any = self.document.value
        for number, step in enumerate(full):
            if isinstance(value, Mapping) and isinstance(step, str) and '${' in step and number == len(full) - 1:
                return self.document.where_in(full, error.offset or 0, key=True)
            try:
                value = value[step]
            except (LookupError, TypeError):
                return self.where(full)
        if isinstance(value, str) and error.offset is not None:
            return self.document.where_in(full, error.offset)
        return self.where(full)


def scope_of(document: Document, folder: str, sources: Sources, problems: Problems) -> tuple[Scope, str | None, bool]:
    """What the templates of a pipeline file may use; its parameter file, if it names one; whether all could be read."""
    before = len(problems.errors)
    written = document.value.get('params')
    scope, named, file = Scope({}), None, ''
    with problems.caught(document.where(('params',))):
        if isinstance(written, str):
            named = _join(folder, written)
            if not named.endswith(paramfile.SUFFIXES):
                raise UserError(f'{named} is no parameter file', hint=f'those end in {", ".join(paramfile.SUFFIXES)}')
        file = named or _join(folder, layout.PARAMS_FILE)
        idle = named is None and not _uses_values(document)
        (sources.idle if idle else sources.used).add(file)
        values = _values_of(file, idle, sources)
        if values is None and named:
            raise UserError(f'there is no parameter file {file}', hint='make it, or remove params')
        scope = Scope({}).merged(values or {}, origin=file)
    scope = with_vars(document.value.get('vars'), scope, document, ('vars',), folder, sources, problems, loaded=file)
    return scope, named, len(problems.errors) == before


def _uses_values(document: Document) -> bool:
    """Whether anything in a file may be about parameters: where nothing is, how params.yaml stands does not matter to it."""
    return '${' in document.text.replace('\\${', '') or bool(document.value.get('vars'))


def _values_of(file: str, tolerant: bool, sources: Sources) -> dict[str, Any] | None:
    """``tolerant``: none where the file is wrong.  Raises UserError."""
    try:
        return sources.values(file)
    except UserError:
        if not tolerant or sources.overlay:
            raise
        return None


def with_vars(entries: Any, scope: Scope, document: Document, path: Path, folder: str, sources: Sources, problems: Problems,
              *, loaded: str = '') -> Scope:
    """The scope with the entries of a ``vars`` added in order.  ``loaded``: a file whose values it has already."""
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        return scope
    for number, entry in enumerate(entries):
        here = (*path, number)
        with problems.caught(document.where(here)):
            if isinstance(entry, Mapping):
                try:
                    scope = resolve_vars([entry], scope)
                except TemplateError as error:
                    part = Part(document, folder, None, scope, True)
                    raise UserError(error.message, hint=error.hint, where=part.where_of(_below(error), here)) from None
            elif isinstance(entry, str):
                rel, values = _file_values(entry, folder, sources)
                if rel != loaded or ':' in entry:
                    scope = scope.merged(values, source=rel, origin=rel)
    return scope


def _below(error: TemplateError) -> TemplateError:
    """The same without the position of the entry, which we know better."""
    error.path = error.path[1:]
    return error


def _file_values(entry: str, folder: str, sources: Sources) -> tuple[str, dict[str, Any]]:
    """The values of ``file`` or ``file:key,key``.  Raises UserError."""
    written, _, keys = entry.partition(':')
    rel = _join(folder, written)
    if not rel.endswith(paramfile.SUFFIXES):
        raise UserError(f'vars takes files that end in {", ".join(paramfile.SUFFIXES)}, not {rel}')
    values = sources.values(rel)
    if values is None:
        raise UserError(f'there is no file {rel}', hint='paths are relative to the folder of the pipeline file')
    if not keys:
        return rel, values
    chosen = [key.strip() for key in keys.split(',')]
    for key in chosen:
        if key not in values:
            raise UserError(f'{rel} has no top-level key {key}', hint=did_you_mean(key, values, what='keys there'))
    return rel, {key: values[key] for key in chosen}


def _join(folder: str, text: str) -> str:
    try:
        return join_path(folder, text)
    except ValueError as error:
        raise UserError(f'"{text[:80]}" {error}', hint='paths lie inside the project') from None
