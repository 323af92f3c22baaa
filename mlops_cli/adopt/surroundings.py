"""What lies in a folder that is to become a project: scripts, notebooks, files of other tools.  Names only; runs nothing."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.core.classes import dataclass
from mlops_cli.fsio.paths import Root

FOLDERS = ('', 'src', 'scripts', 'notebooks')  # looked into, each for itself
LIMIT = 2000  # names looked at in one folder
# Names that a pipeline often begins with, the likeliest first.
_LIKELY = ('train', 'main', 'run', 'prepare', 'preprocess', 'fit', 'model', 'evaluate')
_NOT_RUN = ('setup.py', 'conftest.py', '__init__.py', '__main__.py', 'noxfile.py', 'dodo.py')
_OTHER_TOOLS = {
    'dvc.yaml': 'DVC',
    'Makefile': 'make',
    'makefile': 'make',
    'GNUmakefile': 'make',
    'Snakefile': 'Snakemake',
    'dodo.py': 'doit',
    'MLproject': 'MLflow',
    'Justfile': 'just',
    'justfile': 'just',
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Paths relative to the folder.  ``scripts``: Python and shell scripts, those likely to come first in front.  ``tools``:
    (file, tool) of other tools that run commands."""

    scripts: tuple[str, ...] = ()
    notebooks: tuple[str, ...] = ()
    tools: tuple[tuple[str, str], ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.scripts or self.notebooks or self.tools)


def look_around(root: Root) -> Surroundings:
    """Raises OSError where the folder itself cannot be read."""
    names = list(_names(root))
    scripts = [path for path in names if path.endswith(('.py', '.sh', '.R')) and _may_run(path)]
    tools = [(path, _OTHER_TOOLS[path]) for path in names if path in _OTHER_TOOLS]
    notebooks = [path for path in names if path.endswith('.ipynb')]
    return Surroundings(tuple(sorted(scripts, key=_rank)), tuple(sorted(notebooks)), tuple(sorted(tools)))


def _names(root: Root) -> Iterator[str]:
    for folder in FOLDERS:
        try:
            entries = root.scandir(folder)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for entry in entries[:LIMIT]:
            if entry.is_file():
                yield f'{folder}/{entry.name}' if folder else entry.name


def _may_run(path: str) -> bool:
    name = path.rpartition('/')[2]
    return name not in _NOT_RUN and not name.startswith(('test_', '.', '_')) and not name.endswith('_test.py')


def _rank(path: str) -> tuple[int, int, str]:
    stem = path.rpartition('/')[2].partition('.')[0].lower()
    likely = next((place for place, word in enumerate(_LIKELY) if stem.startswith(word)), len(_LIKELY))
    return likely, path.count('/'), path
