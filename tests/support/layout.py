"""Little projects with an interpreter of their own, real or only pretended, for tests of what a command runs."""
from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops_cli.fingerprint.closure import Found, ImportCache, find_code
from mlops_cli.pipeline.spec import Command


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def pretended_python(folder: Path, *, minor: str = '3.11') -> Path:
    """A python's files without the python: enough for what reads it from disk.  Gives its ``bin``."""
    base = folder.parent / f'{folder.name}-base'
    write(base, {f'bin/python{minor}': '', f'lib/python{minor}/os.py': '', f'lib/python{minor}/json/__init__.py': '',
                 f'lib/python{minor}/random.py': ''})
    (base / f'bin/python{minor}').chmod(0o755)
    write(folder, {'pyvenv.cfg': f'home = {base}/bin\ninclude-system-site-packages = false\nversion = {minor}.7\n',
                   f'lib/python{minor}/site-packages/numpy/__init__.py': ''})
    (folder / 'bin').mkdir()
    for name in ('python', 'python3', f'python{minor}'):
        (folder / 'bin' / name).symlink_to(base / f'bin/python{minor}')
    return folder / 'bin'


def site_packages(bin_folder: Path) -> Path:
    return next((bin_folder.parent / 'lib').glob('python3*/site-packages'))


class Layout:
    """A project in ``root`` and the environment in which its commands would run."""

    def __init__(self, root: Path, bin_folder: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.environ = {'PATH': f'{bin_folder}:/usr/bin:/bin', 'HOME': str(root.parent / 'home')}
        self.site = site_packages(bin_folder)

    def write(self, files: Mapping[str, str]) -> Layout:
        write(self.root, files)
        return self

    def find(self, *commands: str, wdir: str = '.', outputs: Iterable[str] = (), deps: Iterable[str] = (),
             cache: ImportCache | None = None, argv: bool = False, environ: Mapping[str, str] | None = None) -> Found:
        covered = frozenset(deps)
        return find_code(
            Command('argv' if argv else 'shell', commands), wdir, str(self.root), environ={**self.environ, **(environ or {})},
            declared_outputs=frozenset(outputs), covered=lambda path: path in covered, cache=cache)

    def files(self, *commands: str, **options: object) -> list[str]:
        """The files found, where all of it could be followed."""
        found = self.find(*commands, **options)  # type: ignore[arg-type]
        assert found.unknown == ()
        return list(found.files)


def program(path: Path, text: str) -> Path:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chmod(path, 0o755)
    return path
