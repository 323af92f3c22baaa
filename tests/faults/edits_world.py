"""A project that people edit while commands run: laid out alike for mlops and DVC, with what a command may not do to it.

``Side`` knows where a tool keeps content; ``Seen`` is what is there at a moment, as digests of bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlops_cli.core.digest import digest_of
from tests.faults import forked
from tests.faults.tools import GIT, Tool, git, run

DATA = ('data/set', 'data/one.csv')
OUTS = ('out/a', 'out/b', 'd', 'last.txt')
STAGE_OF = {'out/a': 'files', 'out/b': 'files', 'd': 'folder', 'last.txt': 'last'}
MANAGED = (*DATA, *OUTS)
UNTRACKED = ('notes/own.txt', 'data/loose.txt')
# Where people write: inputs, data and outputs, what nobody tracks, and new files in folders that are tracked as a whole.
PLACES = (
    *('data/set/1', 'data/set/2', 'data/one.csv', 'out/a', 'out/b', 'd/x', 'd/sub/y', 'd/sub/z', 'last.txt'),
    *('data/set/extra', 'd/mine', 'd/sub/mine', 'notes/own.txt', 'data/loose.txt', 'out/mine', 'src/in.txt'),
)
COMMANDS = {
    'files': 'mkdir -p out && cat src/in.txt > out/a && echo a ${k} >> out/a && (cat src/in.txt; echo b) > out/b',
    'folder': 'mkdir -p d/sub && cat data/set/1 src/in.txt > d/x && cat data/one.csv > d/sub/y && echo const > d/sub/z',
    'last': 'cat d/x out/a > last.txt',
}
DEPS = {'files': ['src/in.txt'], 'folder': ['data/set', 'data/one.csv', 'src/in.txt'], 'last': ['d', 'out/a']}
MODES = ('copy', 'hardlink', 'symlink')
INPUTS = ('src/in.txt', 'params.yaml', 'data/set/1', 'data/one.csv')
# What is in a revision: ``other`` is a branch at the first, ``main`` the second.
BASE_TEXTS: Mapping[str, Mapping[str, bytes]] = {
    'other': {
        'data/set/1': b'one\n', 'data/set/2': b'two\n', 'data/one.csv': b'a,b\n1,2\n', 'src/in.txt': b'in\n',
        'params.yaml': b'k: 1\n',
    },
    'main': {
        'data/set/1': b'one more\n', 'data/set/2': b'two\n', 'data/one.csv': b'a,b\n3,4\n', 'src/in.txt': b'in\n',
        'params.yaml': b'k: 2\n',
    },
}  # fmt: skip


def key(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def below(path: str, folders: tuple[str, ...] = MANAGED) -> str:
    """The managed path that a path is or lies in, else ''."""
    return next((one for one in folders if path == one or path.startswith(f'{one}/')), '')


def pipeline(quoted: bool) -> str:
    """``pipeline.yaml`` and ``dvc.yaml`` are alike in what is used here."""
    outs = {stage: [path for path in OUTS if STAGE_OF[path] == stage] for stage in COMMANDS}
    lines = ['stages:']
    for stage, command in COMMANDS.items():
        lines += [f'  {stage}:', f'    cmd: "{command}"', f'    deps: [{", ".join(DEPS[stage])}]']
        lines += [f'    outs: [{", ".join(outs[stage])}]', *(['    params: [k]'] if stage == 'files' else [])]
    return '\n'.join([*(['version: 1'] if quoted else []), *lines, ''])


@dataclass
class Seen:
    """``trees``: of each work tree, path -> digest of every file that is not the tool's own.  ``store``: content that the tool
    keeps and that is as it says; ``damaged``: names in it that are not.  ``kept``: what it put apart for people.  ``aside``:
    what a killed command has left for the next one to put back.  ``litter``: temporaries in the work trees."""

    trees: list[dict[str, str]]
    store: set[str] = field(default_factory=set)
    damaged: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    aside: set[str] = field(default_factory=set)
    litter: list[str] = field(default_factory=list)

    def all(self, *, without: tuple[int, str] | None = None) -> set[str]:
        """Every content that is somewhere.  ``without``: (tree, path) that is passed over."""
        found = self.store | self.kept | self.aside
        for number, tree in enumerate(self.trees):
            found |= {one for path, one in tree.items() if (number, path) != without}
        return found


class Side(ABC):
    """A tool and where it keeps things.  ``cache``: its folder, inside the project or beside it."""

    records = ('.gitignore', '.gitattributes')
    own = '.none'

    def __init__(self, tool: Tool, folder: Path, mode: str, shared: bool) -> None:
        self.tool, self.folder, self.mode, self.shared = tool, folder, mode, shared
        self.project = folder / 'p'
        self.environ: dict[str, str] = {}

    def roots(self) -> list[Path]:
        return [one for one in (self.project, self.folder / 'w') if (one / '.git').exists()]

    @abstractmethod
    def caches(self) -> list[Path]:
        """That hold what outputs hold."""

    def kept(self, root: Path) -> list[Path]:
        return []

    def aside(self, root: Path) -> list[Path]:
        return []

    @abstractmethod
    def objects(self, cache: Path) -> Iterator[tuple[str, bool, str]]:
        """(name, whether its bytes are those that it names, digest)."""

    def is_record(self, rel: str) -> bool:
        """Whether a file of a work tree is the tool's own to write."""
        return rel.rpartition('/')[2] in self.records

    @abstractmethod
    def record_of(self, path: str) -> str:
        """The file that says which content tracked data has."""

    def record_at(self, root: Path, path: str, revision: str = '') -> bytes:
        """What it says, in a revision or now; nothing where there is none."""
        if revision:
            return git(root, 'show', f'{revision}:{self.record_of(path)}').encode()
        file = root / self.record_of(path)
        return file.read_bytes() if file.exists() else b''

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The tool's own, for a command as mlops calls it."""
        return words

    @abstractmethod
    def lay(self) -> None:
        """Makes the project, with one run and a second revision; raises AssertionError."""

    def see(self) -> Seen:
        seen = Seen([])
        for root in self.roots():
            tree: dict[str, str] = {}
            for path in files(root, (self.own, '.git')):
                rel = str(path.relative_to(root))
                if '.mlops-tmp-' in rel:
                    seen.litter.append(rel)
                elif not self.is_record(rel) and (found := content(path)) is not None:
                    tree[rel] = found
            seen.trees.append(tree)
            for folders, into in ((self.kept(root), seen.kept), (self.aside(root), seen.aside)):
                for folder in folders:
                    into |= {found for path in files(folder, ()) if (found := content(path)) is not None}
        for cache in {str(path.resolve()): path for path in self.caches()}.values():
            for name, sound, found in self.objects(cache):
                seen.store.add(found) if sound else seen.damaged.add(name)
        return seen


class Mlops(Side):
    own = '.mlops'

    def __init__(self, tool: Tool, folder: Path, mode: str, shared: bool) -> None:
        super().__init__(tool, folder, mode, shared)
        self.environ = {'MLOPS_CACHE_LINKS': mode, 'MLOPS_DURABILITY': 'none'}
        if shared:
            self.environ['MLOPS_CACHE_DIR'] = str(folder / 'cache')

    def caches(self) -> list[Path]:
        return [self.folder / 'cache'] if self.shared else [root / '.mlops/cache' for root in self.roots()]

    def kept(self, root: Path) -> list[Path]:
        local = root / '.mlops/local'
        trash = [cache / 'trash' for cache in self.caches()]
        return [local / 'rescue', local / 'failed', *trash]

    def aside(self, root: Path) -> list[Path]:
        return [root / '.mlops/local/work']

    def objects(self, cache: Path) -> Iterator[tuple[str, bool, str]]:
        for path in files(cache / 'objects-v1', ()):
            data = path.read_bytes()
            name = path.parent.name + path.name
            yield name, digest_of(data).hex == name, key(data)

    def record_of(self, path: str) -> str:
        return f'.mlops/data/{path}.json'

    def lay(self) -> None:
        environ = self.tool.environment(Path(f'{self.project}-home'), self.environ)

        def do(*words: str) -> None:
            done = forked.do(words, self.project, environ)
            assert done.code == 0, done.said

        lay_files(self.project)
        git(self.project, 'init', '-q', '-b', 'main')
        (self.project / 'pipeline.yaml').write_text(pipeline(True))
        do('add', *DATA)
        second(self.project, lambda: do('run'), lambda: do('add', *DATA))


class Dvc(Side):
    own = '.dvc'
    records = ('.gitignore', '.dvcignore', 'dvc.lock')

    def __init__(self, tool: Tool, folder: Path, mode: str, shared: bool) -> None:
        super().__init__(tool, folder, mode, shared)
        self.environ = {'DVC_SITE_CACHE_DIR': str(folder / 'site')}

    def caches(self) -> list[Path]:
        return [self.folder / 'cache'] if self.shared else [root / '.dvc/cache' for root in self.roots()]

    def objects(self, cache: Path) -> Iterator[tuple[str, bool, str]]:
        for path in files(cache / 'files/md5', ()):
            data, name = path.read_bytes(), path.parent.name + path.name
            yield name, hashlib.md5(data).hexdigest() == name.removesuffix('.dir'), key(data)

    def is_record(self, rel: str) -> bool:
        return super().is_record(rel) or rel.endswith('.dvc')

    def record_of(self, path: str) -> str:
        return f'{path}.dvc'

    def words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        verb, *rest = words
        if verb == 'accept':
            return ('commit', '-q', '-f', rest[0])
        return ({'run': 'repro'}.get(verb, verb), '-q', *rest)

    def lay(self) -> None:
        def do(*words: str) -> None:
            self.tool.do(self.project, *words, environ=self.environ, code=0)

        lay_files(self.project)
        git(self.project, 'init', '-q', '-b', 'main')
        do('init', '-q')
        do('config', 'core.analytics', 'false')
        do('config', 'core.check_update', 'false')
        do('config', 'cache.type', self.mode)
        if self.shared:
            do('cache', 'dir', str(self.folder / 'cache'))
        (self.project / 'dvc.yaml').write_text(pipeline(False))
        do('add', '-q', *DATA)
        second(self.project, lambda: do('repro', '-q'), lambda: do('add', '-q', *DATA))


SIDES = {'mlops': Mlops, 'dvc': Dvc}


def lay_files(root: Path) -> None:
    root.mkdir(parents=True)
    for path, text in {**BASE_TEXTS['other'], 'notes/own.txt': b'mine, and in no list\n', 'data/loose.txt': b'loose\n'}.items():
        write(root / path, text)


def second(root: Path, compute: Callable[[], None], track: Callable[[], None]) -> None:
    """One revision computed and committed, then another, and a branch that is at the first."""
    compute()
    commit(root)
    git(root, 'branch', 'other')
    for path, text in BASE_TEXTS['main'].items():
        save_as_editors_do(root / path, text)
    track()
    compute()
    commit(root)


def commit(root: Path) -> None:
    git(root, 'add', '-A', '--', '.', ':!notes', ':!data/loose.txt')
    git(root, 'commit', '-q', '--allow-empty', '-m', 'state')


def copied(side: Side, shared: Path) -> None:
    """The side's project, made once for each way of linking, and copied."""
    made = type(side)(side.tool, shared / f'{side.mode}-{"shared" if side.shared else "own"}', side.mode, side.shared)
    if not (made.folder / 'made').exists():
        shutil.rmtree(made.folder, ignore_errors=True)
        made.folder.mkdir(parents=True)
        made.lay()
        (made.folder / 'made').touch()
    subprocess.run(['cp', '-a', f'{made.folder}/.', str(side.folder)], check=True)
    for path in files(side.project, ('.git',)):
        if path.is_symlink() and (target := os.readlink(path)).startswith(f'{made.folder}/'):
            path.unlink()
            path.symlink_to(target.replace(str(made.folder), str(side.folder), 1))
    settings = side.project / '.dvc/config'
    if settings.exists():
        settings.write_text(settings.read_text().replace(str(made.folder), str(side.folder)))


# What people do


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def save_as_editors_do(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f'.{path.name}.swp')
    beside.write_bytes(data)
    os.replace(beside, path)


def edit(root: Path, path: str, how: str, number: int, large: bool = False) -> str | None:
    """Somebody saves something that was never there before; the digest of it, None where that cannot be done.

    What may not be written, as a link into a cache, is replaced, as editors do it."""
    target = root / path
    try:
        facts = target.lstat()
    except OSError:
        facts = None
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        return None
    old = b'' if facts is None or not target.is_file() else target.read_bytes()
    text = f'{number:08d} {path}\n'.encode()
    if how == 'append':
        data = old + text
    elif how.startswith('same') and len(old) >= 8:
        data = text[:8] + old[8:]
    else:
        data = text + (b'%d' % number) * (300_000 if large else 0)
    protected = facts is not None and (not stat.S_ISREG(facts.st_mode) or not facts.st_mode & stat.S_IWUSR)
    try:
        if how == 'replace' or protected or facts is None:
            save_as_editors_do(target, data)
        else:
            with open(target, 'r+b') as file:
                file.write(data)
                file.truncate()
            if how == 'same, with its times':
                os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    except OSError:  # a file is where a folder would be
        return None
    return key(data)


# What is there


def files(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    """All files and links below; folders named in ``without`` at the top are passed over."""
    for here, folders, names in os.walk(folder):
        if here == str(folder):
            folders[:] = [name for name in folders if name not in without]
            names = [name for name in names if name not in without]
        for name in names:
            yield Path(here, name)
        for name in list(folders):
            if os.path.islink(os.path.join(here, name)):
                yield Path(here, name)


def content(path: Path) -> str | None:
    """The digest of a file's bytes; of a link into a cache those of the object; of another link what it says."""
    try:
        if path.is_symlink():
            target = os.readlink(path)
            if '/objects-v1/' in target or '/files/md5/' in target:
                return key(path.read_bytes())
            return f'link to {target}'
        data = path.read_bytes()
    except OSError:
        return None
    return key(data) if data else None


def outcome_of(texts: Mapping[str, bytes]) -> dict[str, bytes]:
    """What the stages make of these inputs: path -> bytes."""
    source, k = texts['src/in.txt'], texts['params.yaml'].partition(b':')[2].strip()
    found = {'out/a': source + b'a ' + k + b'\n', 'out/b': source + b'b\n'}
    found |= {'d/x': texts['data/set/1'] + source, 'd/sub/y': texts['data/one.csv'], 'd/sub/z': b'const\n'}
    return {**found, 'last.txt': found['d/x'] + found['out/a']}


def git_may_fail(root: Path, *words: str) -> bool:
    return run(['git', *words], root, {'PATH': os.environ.get('PATH', os.defpath), 'HOME': '/nowhere', **GIT}).code == 0
