"""What a stage is to find around it in another folder: the variables it gets, and the environment beside its lock file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from mlops_cli.core.paths import inside
from mlops_cli.fingerprint import interpreter
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.spec import Pipeline

# What a hook of git sets for the repository that it belongs to, and what would lead a command of ours back there.
DROPPED = frozenset((
    'GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_PREFIX', 'GIT_COMMON_DIR', 'GIT_OBJECT_DIRECTORY', 'GIT_NAMESPACE',
    'GIT_ALTERNATE_OBJECT_DIRECTORIES', 'GIT_GRAFT_FILE', 'GIT_SHALLOW_FILE', 'GIT_REPLACE_REF_BASE',
    'GIT_INTERNAL_SUPER_PREFIX', 'MLOPS_DIRECTORY', 'MLOPS_CACHE_DIR', 'MLOPS_CACHE_REMOTE', 'MLOPS_CACHE_TIER',
))  # fmt: skip
VENVS = (('.venv', 'pyvenv.cfg'), ('venv', 'pyvenv.cfg'), ('.conda', 'conda-meta'))


def variables(environ: Mapping[str, str], project: str, there: str, editable: Iterable[str] = ()) -> dict[str, str]:
    """``project``, ``there``: absolute paths of the project and of its copy.  ``editable``: folders of the project that the
    interpreter knows: its copy of them comes first, or it would be the present code that runs."""
    kept = {name: value for name, value in environ.items() if name not in DROPPED}
    listed = [part for part in environ.get('PYTHONPATH', '').split(os.pathsep) if part]
    moved = [_moved(part, project, there) for part in listed]
    copies = [_moved(part, project, there) for part in editable]
    usual = [os.path.join(there, 'src')] if os.path.isdir(os.path.join(there, 'src')) else []
    if path := os.pathsep.join(dict.fromkeys([*moved, *copies, *usual])):
        kept['PYTHONPATH'] = path
    return kept


def _moved(path: str, project: str, there: str) -> str:
    if not os.path.isabs(path) or not inside(path, project):
        return path
    return os.path.normpath(os.path.join(there, os.path.relpath(path, project)))


def editable(pythons: Iterable[str], project: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Folders of the project that these interpreters import from wherever they start: editable installs, .pth files."""
    found: list[str] = []
    for python in dict.fromkeys(pythons):
        about = ImportCache().interpreter(python, environ)
        mapped = [os.path.dirname(path) for paths in about.mapped.values() for path in paths]
        installed = [place for folder in interpreter.editable_folders(about) for place in (f'{folder}/src', folder)]
        found += [path for path in (*about.folders, *mapped, *installed) if inside(path, project) and os.path.isdir(path)]
    return tuple(dict.fromkeys(path for path in found if '/.mlops/' not in path and '/site-packages' not in path))


def link_environments(project: Root, there: Root, pipeline: Pipeline) -> None:
    """A virtual environment of the project stands in its copy, too: it is in no commit.  Raises OSError."""
    folders = {''} | {
        os.path.dirname(stage.environment.path) for stage in pipeline.stages.values() if stage.environment is not None
    }
    for folder in sorted(folders):
        for name, mark in VENVS:
            path = f'{folder}/{name}' if folder else name
            if os.path.exists(project.full(f'{path}/{mark}')) and not os.path.lexists(there.full(path)):
                if folder:
                    there.makedirs(folder)
                with there.parent(path) as (fd, link):
                    ops.symlink(project.full(path), link, dir_fd=fd)
