"""What may happen to a project between two commands: each function does one thing, and gives what undoes it, if anything has to
be undone before the project can be up to date again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.quick.world import FILES, Undo, World

Mutation = Callable[[World], Undo | None]

CODE = [name for name in FILES if name.endswith('.py')]
DATA = ['data/raw/a.csv', 'data/raw/more/c.csv', 'raw/x.csv', 'real/z.txt', 'big.csv', 'README.md']
OTHER = ['scripts/join.sh', 'scripts/deep/er/notes.txt']
IGNORED = ['scripts/skipped.tmp', 'scripts/deep/skip/inner.txt']
SETTINGS = ['params.yaml', 'conf/shared.yaml', 'conf/extra.yaml', 'serve/params.yaml', 'pipeline.yaml', 'serve/pipeline.yaml']
RULES = ['.mlopsignore', '.gitignore', '.gitattributes']
OUTPUTS = [
    'data/prepared/a.csv',
    'out/count.txt',
    'out/joined.txt',
    'models/model/weights',
    'metrics.json',
    'report.txt',
    'serve/packed/m/weights',
]
SOURCES = [*CODE, *DATA, *OTHER, *IGNORED, *SETTINGS, *RULES]
ALL = [*SOURCES, *OUTPUTS]
FOLDERS = [
    'data/raw',
    'data/raw/more',
    'raw',
    'real',
    'scripts',
    'scripts/deep',
    'scripts/deep/er',
    'src',
    'src/parts',
    'lib',
    'lib/pkg',
    'conf',
    'serve',
    'data/prepared',
    'out',
    'models',
    'models/model',
    'data',
    '.mlops/stages',
    '.mlops/data',
    '.mlops/runs',
]
PLACES = [
    '',
    'data/raw',
    'raw',
    'scripts',
    'scripts/deep',
    'scripts/deep/skip',
    'src',
    'src/parts',
    'lib',
    'lib/pkg',
    'real',
    'conf',
    'serve',
    'out',
    'data/prepared',
    '.mlops',
    '.mlops/stages',
    '.mlops/data',
    '.mlops/accepted',
]
NAMES = [
    'new.csv',
    'new.txt',
    'new.tmp',
    'new.py',
    'helpers.py',
    'parts.py',
    'os.py',
    'json.py',
    'shutil.py',
    'pkg.py',
    'one.py',
    '__init__.py',
    'sitecustomize.py',
    '.gitignore',
    '.gitattributes',
    '.mlopsignore',
    'params.yaml',
    'new.log',
    'pyproject.toml',
    'pyvenv.cfg',
    'requirements.txt',
    'uv.lock',
    'Pipfile',
    'environment.yml',
    'setup.py',
    'a\x01b.csv',
]


def restore(path: Path) -> Undo:
    """What brings a path back as it is now, links and folders included."""
    if path.is_symlink():
        target = os.readlink(path)
        return lambda: (remove(path), os.symlink(target, path))
    if path.is_dir():
        return lambda: None
    if not path.exists():
        return lambda: remove(path)
    data, mode = path.read_bytes(), path.stat().st_mode
    return lambda: (remove(path), path.parent.mkdir(parents=True, exist_ok=True), path.write_bytes(data), path.chmod(mode))


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def pick(world: World, names: list[str]) -> Path:
    """One that is a file now, if any is; named in the log."""
    files = [name for name in names if os.path.isfile(world.path / name)]
    name = world.random.choice(files or names)
    world.log[-1] += f' {name}'
    return world.path / name


def edit(world: World) -> Undo:
    path = pick(world, ALL)
    undo = restore(path)
    text = path.read_text() if path.exists() else ''
    how = world.random.choice(['append', 'comment', 'replace', 'truncate', 'newline'])
    world.log[-1] += f' {how}'
    texts = {
        'append': text + 'more\n',
        'comment': text + '# a remark\n',
        'replace': text.replace('e', 'E', 1),
        'truncate': text[: len(text) // 2],
        'newline': text + '\n',
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(texts[how])
    return undo


def edit_keeping_times(world: World) -> Undo:
    """Same size, same times."""
    path = pick(world, ALL)
    undo, facts = restore(path), path.stat()
    data = bytearray(path.read_bytes() or b'')
    if data:
        at = world.random.randrange(len(data))
        data[at] = (data[at] + 1) % 128
    if world.random.random() < 0.5:
        path.write_bytes(bytes(data))
    else:
        beside = path.with_name('.beside')
        beside.write_bytes(bytes(data))
        beside.chmod(facts.st_mode)
        os.utime(beside, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        os.replace(beside, path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return undo


def touch(world: World) -> None:
    os.utime(pick(world, ALL))


def same_content_renamed(world: World) -> None:
    path = pick(world, ALL)
    beside = path.with_name('.beside')
    shutil.copy2(path, beside)
    os.replace(beside, path)


def permissions(world: World) -> Undo:
    path = pick(world, ALL)
    mode = path.stat().st_mode
    path.chmod(mode ^ world.random.choice([0o100, 0o044, 0o400]))
    return lambda: path.chmod(mode)


def delete(world: World) -> Undo:
    path = pick(world, ALL)
    undo = restore(path)
    remove(path)
    return undo


def create(world: World) -> Undo:
    name = os.path.join(world.random.choice(PLACES), world.random.choice(NAMES))
    world.log[-1] += f' {name!r}'
    path = world.path / name
    undo = restore(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {'.gitignore': '*.csv\n*.py\n', '.gitattributes': '*.csv eol=crlf\n', '.mlopsignore': 'a.csv\n'}.get(
        path.name, 'x = 1\n'
    )
    path.write_text(text)
    return undo


def create_folder(world: World) -> Undo:
    name = os.path.join(
        world.random.choice(PLACES), world.random.choice(['new', 'helpers', 'parts', 'pkg', '.venv', '__pycache__', 'skip'])
    )
    path = world.path / name
    world.log[-1] += f' {name}'
    if path.exists():
        return lambda: None
    path.mkdir(parents=True)
    inner = world.random.choice(['', '__init__.py', 'inner.txt', 'inner.tmp', 'pyvenv.cfg'])
    if inner:
        (path / inner).write_text('y = 2\n')
    return lambda: remove(path)


def by_link(world: World) -> Undo:
    """A file or folder moved away, with a link to it in its place."""
    name = world.random.choice([*ALL, *FOLDERS])
    path = world.path / name
    world.log[-1] += f' {name}'
    if not path.exists() or path.is_symlink():
        return lambda: None
    away = (world.path if world.random.random() < 0.5 else world.path.parent) / f'moved-{world.random.randrange(10**9)}'
    os.rename(path, away)
    path.symlink_to(away if world.random.random() < 0.5 else os.path.relpath(away, path.parent))
    return lambda: (remove(path), os.rename(away, path))


def by_folder(world: World) -> Undo:
    path = pick(world, ALL)
    undo = restore(path)
    remove(path)
    path.mkdir(parents=True)
    return lambda: (remove(path), undo())


def folder_swapped(world: World) -> Undo:
    """A copy in place of a folder, which keeps all times."""
    name = world.random.choice(FOLDERS)
    world.log[-1] += f' {name}'
    path, copy = world.path / name, world.path.parent / f'copy-{world.random.randrange(10**9)}'
    if not path.is_dir() or path.is_symlink():
        return lambda: None
    shutil.copytree(path, copy, symlinks=True)
    if world.random.random() < 0.5 and (files := [one for one in copy.rglob('*') if one.is_file() and not one.is_symlink()]):
        world.random.choice(sorted(files)).write_text('swapped\n')
    away = copy.with_name(copy.name + '-old')
    os.rename(path, away)
    os.rename(copy, path)
    return lambda: (remove(path), os.rename(away, path))


def retarget(world: World) -> Undo:
    name, others = world.random.choice(
        [('current', ['raw', 'nowhere', './real', 'conf']), ('scripts/run.sh', ['nowhere', '../big.csv'])]
    )
    path = world.path / name
    undo = restore(path)
    remove(path)
    path.symlink_to(world.random.choice(others))
    world.log[-1] += f' {name} -> {os.readlink(path)}'
    return undo


def records(world: World) -> Undo:
    """Pins, records, acceptances: edited, removed, added."""
    folders = ['.mlops/stages', '.mlops/data', '.mlops/accepted', '.mlops/runs', '.mlops']
    found = sorted(
        path
        for folder in folders
        for path in (world.path / folder).rglob('*')
        if path.is_file() and not any(part in path.parts for part in ('cache', 'local'))
    )
    path = world.random.choice(found)
    undo = restore(path)
    how = world.random.choice(['edit', 'remove', 'copy', 'damage'])
    world.log[-1] += f' {how} {path.relative_to(world.path)}'
    if how == 'edit':
        path.write_text(path.read_text().replace('1', '2', 1))
    elif how == 'remove':
        path.unlink()
    elif how == 'damage':
        path.write_text('{')
    else:
        other = path.with_name(f'copy-{path.name}')
        shutil.copy(path, other)
        return lambda: remove(other)
    return undo


def configuration(world: World) -> Undo:
    """The project's, one's own, git's, for one or for all."""
    name, texts = world.random.choice(CONFIGURATION)
    path = (world.home if name.startswith('~/') else world.path) / name.removeprefix('~/')
    text = world.random.choice(texts)
    world.log[-1] += f' {name}: {text!r}'
    undo = restore(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'a') as file:
        file.write(text)
    return undo


CONFIGURATION: list[tuple[str, list[str]]] = [
    ('.mlops/config.yaml', ['jobs: 3\n', 'jobs: x\n', 'cache: {dir: /tmp}\n', 'a: [\n', '# nothing\n']),
    ('.mlops/config.local.yaml', ['jobs: 2\n', 'cache: {dir: elsewhere}\n', 'cache: {links: [copy]}\n', 'zzz: 1\n']),
    ('~/.config/mlops/config.yaml', ['jobs: 2\n', 'zzz: 1\n']),
    (
        '~/.gitconfig',
        [
            '[core]\n\texcludesFile = ~/ignored\n',
            '[core]\n\tignoreCase = true\n',
            '[include]\n\tpath = more\n',
            '[core\n',
            '[core]\n\tattributesFile = ~/attributes\n',
            '[core]\n\tfileMode = false\n',
            '[status]\n\tshowUntrackedFiles = no\n',
        ],
    ),
    ('~/.config/git/config', ['[core]\n\tautocrlf = true\n']),
    ('~/.config/git/ignore', ['*.py\n', '.mlops\n', 'report.txt\n']),
    ('~/.config/git/attributes', ['*.py eol=crlf\n']),
    ('~/ignored', ['*.yaml\n', '*.py\n', 'report.txt\n']),
    ('~/attributes', ['* text eol=crlf\n']),
    ('~/more', ['[core]\n\texcludesFile = ~/ignored\n', '[core\n', '[core]\n\tfileMode = false\n']),
    ('.git/info/exclude', ['*.md\n', '*.json\n', '*.py\n']),
    ('.git/info/attributes', ['*.py text eol=crlf\n']),
    (
        '.git/config',
        ['[core]\n\tfileMode = false\n', '[include]\n\tpath = more\n', '[core]\n\texcludesFile = .git/mine\n', '[x\n'],
    ),
    ('.git/more', ['[core]\n\texcludesFile = .git/mine\n']),
    ('.git/mine', ['*.py\n', 'metrics.json\n']),
]

GIT = """\
add -A
add -A; commit -qm more
commit -q --allow-empty -m nothing
checkout -q -b side{}
switch -q main
reset -q --soft HEAD~1
reset -q
rm -q --cached params.yaml
rm -rq --cached src
tag t{}
checkout -q --detach
pack-refs --all
gc -q
branch -m renamed{}
commit -q --amend -m amended
update-index --assume-unchanged params.yaml
update-index --no-assume-unchanged params.yaml
config core.fileMode false
config --unset core.fileMode
symbolic-ref HEAD refs/heads/none{}
stash -q; stash pop -q
stash -q
stash pop -q
add -f .mlops/config.local.yaml
update-ref refs/heads/other{} HEAD
symbolic-ref refs/heads/alias refs/heads/main
symbolic-ref HEAD refs/heads/alias
worktree add -q ../tree{}
update-index --chmod=+x params.yaml
init -q src
init -q raw
config core.excludesFile .git/mine
update-index -q --refresh
"""


def in_git(world: World) -> Undo | None:
    number = str(world.random.randrange(10**6))
    for line in world.random.choice(GIT.splitlines()).split('; '):
        words = line.replace('{}', number).split()
        world.log[-1] += f' git {" ".join(words)};'
        done = subprocess.run(['git', *words], cwd=world.path, env=world.environ, capture_output=True, check=False)
        world.log[-1] += '' if done.returncode == 0 else ' (in vain)'
        if words[0] == 'init':
            return lambda: remove(world.path / words[2] / '.git')
    return None


def no_git(world: World) -> Undo:
    away = world.path.parent / f'git-away-{world.random.randrange(10**9)}'
    name = world.random.choice(['.git', '.git/HEAD', '.git/index', '.git/refs', '.git/objects'])
    world.log[-1] += f' {name}'
    if not (world.path / name).exists():
        return lambda: None
    os.rename(world.path / name, away)
    return lambda: (remove(world.path / name), os.rename(away, world.path / name))


def around(world: World) -> Undo:
    """Something appears above the project."""
    name = world.random.choice(['pipeline.yaml', '.gitignore', 'params.yaml', '.mlopsignore', 'pyproject.toml'])
    world.log[-1] += f' {name}'
    text = 'include: [project/pipeline.yaml]\n' if world.random.random() < 0.5 else 'stages: {}\n'
    path = world.path.parent / name
    path.write_text(text)
    return lambda: remove(path)


def programs(world: World) -> Undo:
    """Another program earlier on PATH, or one there that can be executed now."""
    name = world.random.choice(['python', 'git', 'cat', 'sh', 'python3'])
    path = world.tools / name
    real = shutil.which(name, path=world.project.environ['PATH'].partition(':')[2])
    world.log[-1] += f' {name}'
    remove(path)  # never written through: nothing here leads to a program of the machine
    beside = world.tools.parent / f'{name}-beside'
    text = f'#!/bin/sh\nexec {real} "$@"\n' if world.random.random() < 0.7 else '#!/bin/sh\nexit 9\n'
    if world.random.random() < 0.5:
        beside.write_text(text)
        beside.chmod(0o755)
        path.symlink_to(beside)
    else:
        path.write_text(text)
        if world.random.random() < 0.7:
            path.chmod(0o755)
    return lambda: remove(path)


def executable(world: World) -> Undo:
    for name in ('git', 'python'):
        path = world.tools / name
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode ^ 0o111)
            return lambda: remove(path)
    return programs(world)


OWN = """\
.mlops/local/answers-v1 damage
.mlops/local/answers-v1 cut
.mlops/local/answers-v1 delete
.mlops/local/answers-v1 link
.mlops/local/answers-v1 folder
.mlops/local/settled-v1 damage
.mlops/local/settled-v1 cut
.mlops/local/settled-v1 delete
.mlops/local/settled-v1 link
.mlops/local/index-v1.sqlite delete
.mlops/local/index-v1.sqlite damage
.mlops/local/index-v1.sqlite link
.mlops/local delete
.mlops/local link
.mlops/local/locks-v1 delete
.mlops/local/locks-v1 link
.mlops/local/logs delete
.mlops/local/journal delete
.mlops/local/live delete
.mlops/cache/objects-v1 delete
.mlops/cache/objects-v1 link
.mlops/cache/results-v1 delete
.mlops/cache/results-v1 link
.mlops/cache delete
.mlops/cache link
.mlops/cache/tmp link
.mlops/cache/locks-v1 link
.mlops/cache/tmp delete
.mlops/cache/locks-v1 delete
"""


def own(world: World) -> Undo | None:
    """What belongs to mlops alone is deleted, damaged, put in the place of."""
    name, how = world.random.choice(OWN.splitlines()).split()
    path, away = world.path / name, world.path.parent / f'own-{world.random.randrange(10**9)}'
    world.log[-1] += f' {how} {name}'
    if not path.exists():
        return None
    if how in ('damage', 'cut') and path.is_file():
        data = bytearray(path.read_bytes())
        if how == 'damage' and data:
            at = world.random.randrange(len(data))
            data[at] ^= 1 << world.random.randrange(8)
            world.log[-1] += f' at {at}'
        path.write_bytes(bytes(data if how == 'damage' else data[: world.random.randrange(len(data) + 1)]))
        return None
    os.rename(path, away)
    if how == 'link':
        path.symlink_to(away)
    if how == 'folder':
        path.mkdir()
    return lambda: (remove(path), os.rename(away, path))


def objects(world: World) -> Undo:
    """One object or result is gone, or damaged."""
    found = sorted(
        one for part in ('objects-v1', 'results-v1') for one in (world.path / '.mlops/cache' / part).rglob('*') if one.is_file()
    )
    if not found:
        return lambda: None
    path = world.random.choice(found)
    world.log[-1] += f' {path.relative_to(world.path)}'
    undo = restore(path)
    path.chmod(0o644)
    if world.random.random() < 0.5:
        path.unlink()
    else:
        path.write_bytes(b'damaged')
    return undo


def journal(world: World) -> Undo:
    """What a killed run leaves."""
    folder = world.path / '.mlops/local/journal'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / world.random.choice(['20261121T010203000-abcdefgh.jsonl', 'other', '20261121T010203000-abcdefgh'])
    path.write_text(json.dumps({'do': 'run'}) + '\n')
    world.log[-1] += f' {path.name}'
    return lambda: remove(path)


COMMANDS = """\
run
accept count --reason again --yes
accept join --reason so --yes
add README.md
checkout
run --force count
status --json
explain train
doctor
verify
run --set train.lr=0.25
graph
-C src status
add raw/x.csv
runs list
"""


def commands(world: World) -> None:
    words = world.random.choice(COMMANDS.splitlines()).split()
    found = world.ask(*words)
    world.log[-1] += f' mlops {" ".join(words)} -> {found.code}'


MUTATIONS: list[tuple[int, Mutation]] = [
    (8, edit),
    (6, edit_keeping_times),
    (3, touch),
    (3, same_content_renamed),
    (3, permissions),
    (4, delete),
    (8, create),
    (5, create_folder),
    (6, by_link),
    (2, by_folder),
    (4, folder_swapped),
    (2, retarget),
    (7, records),
    (9, configuration),
    (12, in_git),
    (3, no_git),
    (3, around),
    (4, programs),
    (2, executable),
    (7, own),
    (3, objects),
    (2, journal),
    (5, commands),
]


EDITS: list[tuple[int, Mutation]] = [
    (30, edit),
    (8, edit_keeping_times),
    (6, touch),
    (4, same_content_renamed),
    (4, in_git),
    (2, delete),
    (1, create),
    (1, permissions),
    (1, records),
    (1, objects),
    (1, commands),
]


def random_edit(world: World) -> Undo | None:
    """Mostly another content for a file that is there."""
    return random_mutation(world, EDITS)


def random_mutation(world: World, mutations: list[tuple[int, Mutation]] = MUTATIONS) -> Undo | None:
    mutation = world.random.choices([one for _, one in mutations], [weight for weight, _ in mutations])[0]
    world.log.append(mutation.__name__)
    with suppress(OSError, UnicodeDecodeError):
        return mutation(world)
    world.log[-1] += ' (in vain)'
    return None


def views(world: World) -> Iterator[tuple[list[str], str, dict[str, str]]]:
    """Ways to ask, each with where and with which variables."""
    for command in (['status'], ['plan'], ['run']):
        yield command, '.', {}
    command = world.random.choice(['status', 'plan', 'run'])
    where = world.random.choice(['.', 'src', 'data/raw', 'serve', 'scripts/deep'])
    environ = world.random.choice(
        [
            {},
            {'FLAVOUR': 'sour'},
            {'COLUMNS': '40'},
            {'COLUMNS': '150'},
            {'TERM': 'dumb'},
            {'MLOPS_JOBS': '3'},
            {'MLOPS_CACHE_DIR': str(world.path.parent / 'other-cache')},
            {'MLOPS_QUIET': '1'},
            {'MLOPS_VERBOSE': '1'},
            {'PYTHONPATH': 'lib'},
            {'OTHER': '1'},
            {'LC_ALL': 'C'},
            {'HOME': str(world.path.parent / 'nowhere')},
        ]
    )
    words = {
        'status': ['-v', '--exit-code', '--strict'],
        'plan': ['-v', '--exit-code', '--strict'],
        'run': ['-k', '-j2', '--jobs=2'],
    }
    option = world.random.choice([[], [world.random.choice(words[command])]])
    if os.path.isdir(world.path / where):
        yield [command, *option], where, environ
