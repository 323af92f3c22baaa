"""What git's answers about a project depend on: where its head and index are, what it is told to ignore, and by which files of
settings, wherever they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from mlops_cli import git
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.programs import find_program

LIMIT = 4096  # bytes of git's small files
HOPS = 5  # as git: of a head that names a name that names a name
LEADING = pattern(r'include\.path|includeif\..*\.path|core\.excludesfile|core\.attributesfile', re.DOTALL)
OTHERWISE = ('core.worktree', 'extensions.refstorage')  # settings with which all of it may lie elsewhere


def repository(root: str, home: str, top: str, own: str) -> set[str] | None:
    """Paths; None where the answer would depend on more.  ``top``: the folder that holds ``.git``, which is ``own``."""
    found = {top, own}
    if os.path.isfile(own):
        named = re.fullmatch(r'gitdir: (.*)\n?', _text(own))
        if named is None:
            return None
        own = os.path.normpath(os.path.join(top, named[1]))
    common = own
    if os.path.isfile(f'{own}/commondir'):
        common = os.path.normpath(os.path.join(own, _text(f'{own}/commondir').strip()))
    if os.path.lexists(f'{common}/reftable') or not all(os.path.isdir(f'{common}/{name}') for name in ('objects', 'refs')):
        return None
    found |= {own, common, f'{common}/objects', f'{common}/refs', f'{common}/reftable'}
    found |= {f'{own}/{name}' for name in ('HEAD', 'index', 'commondir', 'config.worktree')}
    found |= {f'{common}/{name}' for name in ('config', 'packed-refs', 'info/exclude', 'info/attributes')}
    heads = _heads(own, common)
    settings = _settings(root, top, home)
    return None if heads is None or settings is None else found | heads | settings


def _text(path: str) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), encoding='utf-8', errors='surrogateescape') as file:
        return file.read(LIMIT)


def _heads(own: str, common: str) -> set[str] | None:
    """The files of the head and of what it names."""
    found: set[str] = set()
    path = f'{own}/HEAD'
    for _ in range(HOPS):
        if os.path.islink(path):
            return None
        found.add(path)
        try:
            text = _text(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):  # packed, or no commit yet
            return found if path != f'{own}/HEAD' else None
        if not text.startswith('ref: '):
            return found
        name = text.removeprefix('ref: ').strip()
        if not name.startswith('refs/') or '..' in name:
            return None
        path = f'{common}/{name}'
    return None


def _settings(root: str, top: str, home: str) -> set[str] | None:
    """The files of settings that git reads or would read, and those that they name."""
    done = git.ask(root, ['config', '--list', '--includes', '--show-origin', '-z'])
    if done is None or done.returncode:
        return None
    found = {os.path.join(root, path) for path in _usual(home)}
    fields = os.fsdecode(done.stdout).split('\0')
    for origin, setting in zip(fields[::2], fields[1::2], strict=False):
        name, _, value = setting.partition('\n')
        file = os.path.join(top, origin.removeprefix('file:')) if origin.startswith('file:') else ''
        if file:
            found.add(os.path.normpath(file))
        if name in OTHERWISE:
            return None
        if LEADING.fullmatch(name):
            path = os.path.expanduser(value)
            if not value or value.startswith('%') or path.startswith('~') or (name[:2] == 'in' and not file):
                return None
            found |= {os.path.normpath(os.path.join(base, path)) for base in (os.path.dirname(file) or root, root, top)}
    return found


def _usual(home: str) -> Iterator[str]:
    """Where git looks for settings of the system and of the user."""
    program = find_program('git') or ''
    for folder in ('/etc', os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(program))), 'etc')):
        yield from (f'{folder}/gitconfig', f'{folder}/gitattributes')
    yield from filter(None, (os.environ.get(name, '') for name in ('GIT_CONFIG_SYSTEM', 'GIT_CONFIG_GLOBAL')))
    yield f'{home}/.gitconfig'
    settings = os.environ.get('XDG_CONFIG_HOME') or f'{home}/.config'
    yield from (f'{settings}/git/{name}' for name in ('config', 'ignore', 'attributes'))


def rules(top: str, folders: Iterable[str], apart: str) -> Iterator[str]:
    """The files in folders of the repository that say what is ignored there.  ``apart``: a folder that none of it is about."""
    start = f'{top.rstrip("/")}/'
    for folder in folders:
        if (folder == top or folder.startswith(start)) and folder != apart and not folder.startswith(f'{apart}/'):
            yield from (f'{folder}/.gitignore', f'{folder}/.gitattributes')
