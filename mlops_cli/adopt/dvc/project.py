"""A DVC project as it stands: its dvc.yaml and .dvc files found as DVC finds them, resolved, with what their locks record.

Reads only inside the project.  Raises UserError with the place of what DVC could not read either."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli import git
from mlops_cli.adopt.dvc import config as settings
from mlops_cli.adopt.dvc import schema, values, yaml12
from mlops_cli.adopt.dvc.agreement import check
from mlops_cli.adopt.dvc.links import settle
from mlops_cli.adopt.dvc.reading import read
from mlops_cli.adopt.dvc.recorded import lock_of, tracked_of
from mlops_cli.adopt.dvc.resolver import Resolver
from mlops_cli.adopt.dvc.shape import stage_of
from mlops_cli.adopt.dvc.stages import File, Tracked
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.core.paths import check_path
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import FolderEntry, Root

PROJECT_FILE = 'dvc.yaml'
LOCK = 'dvc.lock'
SUFFIX = '.dvc'
IGNORE = '.dvcignore'
FOLDERS_LIMIT = 1_000_000
_ALWAYS = ('.git', '.hg', '.dvc')


@dataclass
class Project:
    """``files``: every dvc.yaml, those of the root first.  ``tracked``: outputs of .dvc files.  ``read``: the dvc.yaml and
    parameter files that the stages follow from, also those that are not there."""

    root: Root
    config: settings.Config
    files: list[File] = field(default_factory=list)
    tracked: list[Tracked] = field(default_factory=list)
    ignored: list[tuple[str, Ignore]] = field(default_factory=list)
    read: set[str] = field(default_factory=set)


def load(root: Root, environ: Mapping[str, str]) -> Project:
    """Raises UserErrors holding every file that DVC could not read either."""
    project = Project(root, settings.load(root, environ))
    reader = _Reader(project)
    problems: list[UserError] = []
    for path in _found(project, reader, problems):
        del path
    if not problems:
        settle(project)
    problems = problems or check(project)
    if problems:
        raise UserErrors(problems)
    project.files.sort(key=lambda one: (one.folder != '.', one.file))
    return project


def _found(project: Project, reader: _Reader, problems: list[UserError]) -> Iterator[str]:
    """Every file of DVC's in the project, read as it is met: what it makes is not looked into."""
    root = project.root
    level, made, seen = ['.'], set[str](), 0
    while level:
        files: list[str] = []
        folders: list[str] = []
        for folder in level:
            entries = root.scandir('' if folder == '.' else folder)
            names = {entry.name for entry in entries}
            if IGNORE in names:
                _take_ignore(project, folder)
            for entry in entries:
                path = entry.name if folder == '.' else f'{folder}/{entry.name}'
                if _is_ignored(project, path, entry):
                    continue
                if entry.is_dir():
                    folders.append(path)
                elif (entry.name == PROJECT_FILE or entry.name.endswith(SUFFIX)) and _is_file(root, path, entry):
                    files.append(path)
        seen += len(level)
        if seen > FOLDERS_LIMIT:
            raise UserError(f'more than {FOLDERS_LIMIT:,} folders', where=Where(root.path))
        # Without a slash behind them: where a .gitignore has empty lines with CRLF, git takes what ends in one for ignored.
        unseen = git.ignored(root.path, [*files, *folders]) or frozenset()
        for path in sorted(files):
            if path not in unseen:
                try:
                    made |= reader.take(path)
                except UserErrors as several:
                    problems += several.errors
                except UserError as error:
                    problems.append(error)
                yield path
        level = [folder for folder in sorted(folders)
                 if folder not in unseen and folder not in made and not _is_project(root, folder)]


def _is_file(root: Root, path: str, entry: FolderEntry) -> bool:
    """A file, or as to DVC a link to one."""
    return entry.is_file() or (entry.is_symlink() and os.path.isfile(root.full(path)))


def _is_project(root: Root, folder: str) -> bool:
    """A project of its own in a folder of this one, which DVC passes over."""
    found = root.stat(f'{folder}/{settings.FOLDER}')
    return found is not None and os.path.isdir(root.full(f'{folder}/{settings.FOLDER}'))


def take_ignores(project: Project) -> list[tuple[str, Ignore]]:
    """What the .dvcignore files of a project say, without reading anything else of DVC."""
    level = ['.']
    while level:
        below: list[str] = []
        for folder in level:
            entries = project.root.scandir('' if folder == '.' else folder)
            if IGNORE in {entry.name for entry in entries}:
                _take_ignore(project, folder)
            paths = [(entry, entry.name if folder == '.' else f'{folder}/{entry.name}') for entry in entries]
            below += [path for entry, path in paths
                      if entry.is_dir() and not entry.is_symlink() and not _is_ignored(project, path, entry)]
        level = below
    return project.ignored


def _take_ignore(project: Project, folder: str) -> None:
    rel = IGNORE if folder == '.' else f'{folder}/{IGNORE}'
    lines = read(project.root, rel, 1 << 20).decode('utf-8', 'surrogateescape').splitlines()
    project.ignored.append((folder, Ignore(tuple(line.strip() for line in lines))))


def _is_ignored(project: Project, path: str, entry: FolderEntry) -> bool:
    return entry.name in _ALWAYS or is_ignored(project.ignored, path, entry.is_dir())


def is_ignored(rules: list[tuple[str, Ignore]], path: str, is_dir: bool) -> bool:
    """Whether a .dvcignore says so."""
    for folder, ignore in rules:
        if folder == '.':
            below = path
        elif path.startswith(f'{folder}/'):
            below = path[len(folder) + 1 :]
        else:
            continue
        if ignore.matches(below, is_dir):
            return True
    return False


class _Reader:
    """Reads the files of one project, parameter files once."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root = project.root
        self.values: dict[str, Any] = {}

    def bytes_of(self, rel: str, limit: int) -> bytes | None:
        try:
            return read(self.root, rel, limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise machine_error(error, f'read {rel}') from None

    def parameters(self, folder: str, written: str) -> tuple[str, Any] | None:
        rel = posixpath.normpath(posixpath.join(folder, written))
        if not rel.startswith(('/', '../')):  # what lies around the project is nothing that a pipeline.yaml can follow
            try:
                self.project.read.add(check_path(rel))
            except ValueError as error:
                raise UserError(f'{written} {error}') from None
        if rel not in self.values:
            data = self.bytes_of(rel, values.SIZE_LIMIT)
            if data is None:
                return None
            self.values[rel] = values.read(data, rel)
        return rel, self.values[rel]

    def take(self, path: str) -> set[str]:
        """The paths that a file's stages or data make.  Raises UserError."""
        if path.endswith(SUFFIX) and posixpath.basename(path) != PROJECT_FILE:
            loaded = yaml12.read(self.bytes_of(path, yaml12.SIZE_LIMIT) or b'', path)
            found = tracked_of(loaded, path, self.root.path)
            self.project.tracked += found
            return {one.path.path for one in found if one.path.path is not None}
        self.project.read.add(path)
        file = self.pipeline(path)
        self.project.files.append(file)
        return {out.path.path for stage in file.stages for out in stage.outs if out.path.path is not None}

    def pipeline(self, path: str) -> File:
        folder = posixpath.dirname(path) or '.'
        loaded = yaml12.read(self.bytes_of(path, yaml12.SIZE_LIMIT) or b'', path)
        data = schema.check(loaded)
        resolver = Resolver(loaded, data, folder, self.parameters, self.project.config.parsing)
        stages = []
        groups: dict[str, list[Any]] = {}
        for one in resolver.stages():
            stage = stage_of(one, path, folder, loaded, self.root.path)
            stages.append(stage)
            groups.setdefault(one.entry, []).append(stage)
        lock = posixpath.splitext(path)[0] + '.lock'
        locked = self.bytes_of(lock, yaml12.SIZE_LIMIT)
        locks = lock_of(yaml12.read(locked, lock), {stage.key: stage for stage in stages}) if locked is not None else {}
        tops = {key: resolver.top(key) for key in ('metrics', 'plots', 'params', 'datasets', 'artifacts')}
        return File(path, folder, data, loaded.text, tuple(stages), locks,
                    {name: tuple(some) for name, some in groups.items()}, tops,
                    {name: (where.line - 1, where.column - 1) for name in groups
                     if (where := loaded.where('stages', name)).line})
