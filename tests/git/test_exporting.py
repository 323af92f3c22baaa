"""Export: the files of a commit as they are, and never outside the folder they are meant for."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import ops
from mlops_cli.git.exporting import export
from tests.support.project import GIT, Project
from tests.support.repositories import committed_project, empty


@pytest.fixture(autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git without anybody's settings."""
    for name, value in {**GIT, 'HOME': str(tmp_path_factory.mktemp('home')), 'XDG_CONFIG_HOME': ''}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def committed(project: Project) -> Project:
    return committed_project(project)


def content(folder: Path) -> dict[str, bytes | str]:
    """Every path below a folder with what it holds; of a link, what it says."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob('*'))
        if path.is_symlink() or path.is_file()
    }


def test_export_writes_what_was_committed(committed: Project, tmp_path: Path) -> None:
    committed.write('sub/run.sh', '#!/bin/sh\n').chmod(0o755)
    committed.write('sub/é 🚀', b'\0\xff\r\n')
    committed.write('sub/caf\udce9', 'bytes')
    committed.write('.gitattributes', '* text=auto eol=crlf\n')
    commit = committed.commit('third')
    committed.write('sub/run.sh', 'changed since')
    written = export(str(committed.path), commit, str(empty(tmp_path)))
    found = content(tmp_path / 'target')
    assert written == tuple(sorted(found))
    assert (found['sub/run.sh'], found['sub/é 🚀'], found['sub/caf\udce9'], found['a.txt']) == (
        b'#!/bin/sh\n',
        b'\0\xff\r\n',
        b'bytes',
        b'changed\n',
    )
    assert (tmp_path / 'target/sub/run.sh').stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / 'target/a.txt').stat().st_mode & stat.S_IXUSR


def test_export_of_a_project_below_the_top(committed: Project, tmp_path: Path) -> None:
    assert export(str(committed.path / 'sub/project'), 'HEAD~1', str(empty(tmp_path))) == ('b.txt',)
    assert content(tmp_path / 'target') == {'b.txt': b'two\n'}


def test_export_of_a_commit_that_has_nothing_there(committed: Project, tmp_path: Path) -> None:
    (committed.path / 'later').mkdir()
    assert export(str(committed.path / 'later'), 'HEAD', str(empty(tmp_path))) == ()


def test_export_leaves_out_submodules_and_what_of_mlops_is_no_record(committed: Project, tmp_path: Path) -> None:
    kept = [
        '.mlops/config.yaml',
        '.mlops/.gitignore',
        '.mlops/stages/a~1.json',
        '.mlops/data/x.json',
        '.mlops/runs/2026-11/x.json',
        '.mlops/models/m/1',
    ]
    dropped = [
        '.mlops/local/journal/x.jsonl',
        '.mlops/local/index-v1.sqlite',
        '.mlops/cache/results-v1/x',
        '.mlops/config.local.yaml',
        '.mlops/x',
        '.mlops/stages.json',
        'deep/.mlops/stages/x.json',
        'deep/.mlops/local/x',
    ]
    for path in (*kept, *dropped):
        committed.write(path, path)
    committed.git('add', '-f', '.mlops', 'deep')
    committed.git('update-index', '--add', '--cacheinfo', f'160000,{committed.git("rev-parse", "HEAD").strip()},module')
    committed.git('commit', '-q', '-m', 'all of it')
    assert export(str(committed.path), 'HEAD', str(empty(tmp_path))) == tuple(
        sorted(['.gitignore', 'a.txt', 'sub/project/b.txt', *kept])
    )


LINKS = {
    'inside': 'a.txt',
    'sub/up': '../a.txt',
    'sub/deep': 'project/b.txt',
    'sub/here': '.',
    'sub/project/top': '../..',
    'through': 'sub/up',
    'nowhere': 'not-there',
    'sub/dot': './project',
}
ESCAPES = {
    'abs': '/etc/passwd',
    'up': '../x',
    'sub/up2': '../../x',
    'winding': 'sub/../../x',
    'back': 'sub/..',
    'git': '.git/config',
    'GIT': '.GIT/x',
    'mlops': '.mlops/local',
    'long': 'x/' * 2500,
    'subgit': 'sub/../.git',
}


def test_export_keeps_links_that_stay_inside_and_no_other(committed: Project, tmp_path: Path) -> None:
    for path, target in (LINKS | {path: target for path, target in ESCAPES.items() if len(target) < 4000}).items():
        os.symlink(target, committed.path / path)
    committed.git('add', '-A')
    blob = subprocess.run(
        ['git', 'hash-object', '-w', '--stdin'],
        cwd=committed.path,
        input=ESCAPES['long'].encode(),
        capture_output=True,
        check=True,
    )
    committed.git('update-index', '--add', '--cacheinfo', f'120000,{blob.stdout.decode().strip()},long')
    committed.git('commit', '-q', '-m', 'links')
    export(str(committed.path), 'HEAD', str(empty(tmp_path)))
    found = {path: value for path, value in content(tmp_path / 'target').items() if isinstance(value, str)}
    assert found == LINKS


def tree_of(project: Project, *entries: tuple[str, bytes, str]) -> str:
    """A commit with a tree of (mode, name bytes, object), as no git would make it."""
    data = b''.join(mode.encode() + b' ' + name + b'\0' + bytes.fromhex(found) for mode, name, found in entries)
    tree = (
        subprocess.run(
            ['git', 'hash-object', '-t', 'tree', '-w', '--stdin', '--literally'],
            cwd=project.path,
            input=data,
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    return project.git('commit-tree', '-m', 'hostile', tree).strip()


def blob_of(project: Project, data: bytes = b'evil\n') -> str:
    return (
        subprocess.run(['git', 'hash-object', '-w', '--stdin'], cwd=project.path, input=data, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


@pytest.mark.parametrize(
    'name',
    [
        '../evil',
        '..',
        '.',
        '.git/hooks/pre-commit',
        '.git',
        '.GIT',
        '.Git',
        '.git ',
        '.git.',
        'git~1',
        'GIT~1',
        '.g\u200cit',
        '.git:x',
        '/etc/evil',
        'a//b',
        'a/../../evil',
        'a/./b',
        'x/.git/config',
        '.MLOPS/local/x',
        'a/.Mlops/x',
        '.mlops./local/x',
        'mlops~1/x',
        'a/',
    ],
)
def test_a_commit_with_names_that_lead_elsewhere_is_refused_before_anything_is_written(
    committed: Project, tmp_path: Path, name: str
) -> None:
    blob = blob_of(committed)
    commit = tree_of(committed, ('100644', b'0-first', blob), ('100644', name.encode(), blob))
    folder = empty(tmp_path)
    before = content(tmp_path)
    with pytest.raises(UserError) as raised:
        export(str(committed.path), commit, str(folder))
    assert raised.value.exit_code == ExitCode.REFUSED
    assert raised.value.hint
    assert content(tmp_path) == before
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize('name', ['.mlops/local/x', '.mlops/cache/x', '.mlops/config.local.yaml', '.mlops'])
def test_parts_of_mlops_that_are_this_machines_own_are_never_written(committed: Project, tmp_path: Path, name: str) -> None:
    commit = tree_of(committed, ('100644', name.encode(), blob_of(committed)), ('100644', b'a', blob_of(committed)))
    assert export(str(committed.path), commit, str(empty(tmp_path))) == ('a',)
    assert content(tmp_path / 'target') == {'a': b'evil\n'}


def test_nothing_is_written_through_a_link(committed: Project, tmp_path: Path) -> None:
    blob, outside = blob_of(committed), blob_of(committed, os.fsencode(tmp_path / 'outside'))
    (tmp_path / 'outside').mkdir()
    for target in (outside, blob_of(committed, b'sub')):
        commit = tree_of(committed, ('120000', b'a', target), ('100644', b'a/evil', blob))
        folder = empty(tmp_path / f'{target}') if (tmp_path / f'{target}').mkdir() is None else tmp_path
        try:
            export(str(committed.path), commit, str(folder))
        except UserError as error:
            assert error.exit_code == ExitCode.REFUSED
        assert list((tmp_path / 'outside').iterdir()) == []


@pytest.mark.parametrize('entries', [[b'a', b'a'], [b'a', b'a/b'], [b'a/b', b'a']])
def test_names_that_collide_are_refused(committed: Project, tmp_path: Path, entries: list[bytes]) -> None:
    commit = tree_of(committed, *[('100644', name, blob_of(committed, name)) for name in entries])
    with pytest.raises(UserError, match='refused the commit'):
        export(str(committed.path), commit, str(empty(tmp_path)))


def test_names_that_differ_in_case_alone_are_two_files_where_that_counts(
    committed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = tree_of(committed, *[('100644', name, blob_of(committed, name)) for name in (b'A', b'a')])
    assert export(str(committed.path), commit, str(empty(tmp_path))) == ('A', 'a')
    real = ops.open_new

    def forgetful(path: str, mode: int = 0o600, dir_fd: int | None = None) -> int:
        return real(path.lower(), mode, dir_fd)

    monkeypatch.setattr(ops, 'open_new', forgetful)  # as a file system that takes both for one name
    (tmp_path / 'second').mkdir()
    with pytest.raises(UserError, match='perhaps in another case'):
        export(str(committed.path), commit, str(tmp_path / 'second'))


def test_a_large_blob_is_streamed(committed: Project, tmp_path: Path) -> None:
    size = 64 << 20
    committed.write('large', os.urandom(1 << 20) * (size >> 20))
    commit = committed.commit('large')
    script = (
        'import resource, sys\nfrom mlops_cli.git.exporting import export\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'export(sys.argv[1], sys.argv[2], sys.argv[3])\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)'
    )
    done = subprocess.run(
        [sys.executable, '-c', script, str(committed.path), commit, str(empty(tmp_path))], capture_output=True, check=True
    )
    assert int(done.stdout) < 24 << 10, f'{int(done.stdout) >> 10} MiB more memory for a file of 64 MiB'
    assert (tmp_path / 'target/large').read_bytes() == (committed.path / 'large').read_bytes()


def test_a_missing_commit_or_object_is_told(committed: Project, tmp_path: Path) -> None:
    folder = str(committed.path)
    with pytest.raises(UserError, match='no revision'):
        export(folder, '0123456789' * 4, str(empty(tmp_path)))
    blob = committed.git('rev-parse', 'HEAD:a.txt').strip()
    path = committed.path / '.git/objects' / blob[:2] / blob[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(UserError, match='not in this clone') as raised:
        export(folder, 'HEAD', str(tmp_path / 'target'))
    assert (raised.value.exit_code, 'a.txt' in raised.value.message) == (ExitCode.UNREACHABLE, True)
    tree = committed.git('rev-parse', 'HEAD:sub').strip()
    path = committed.path / '.git/objects' / tree[:2] / tree[2:]
    path.chmod(0o600)
    path.unlink()
    with pytest.raises(UserError, match='cannot read all of commit'):
        export(folder, 'HEAD', str(tmp_path / 'target'))


def test_what_stands_in_the_target_is_not_overwritten(committed: Project, tmp_path: Path) -> None:
    folder = empty(tmp_path)
    (folder / 'a.txt').write_text('mine')
    with pytest.raises(UserError, match='is there already'):
        export(str(committed.path), 'HEAD', str(folder))
    assert (folder / 'a.txt').read_text() == 'mine'


def test_replaced_objects_and_grafts_do_not_count(committed: Project, tmp_path: Path) -> None:
    other = blob_of(committed, b'replaced\n')
    committed.git('replace', committed.git('rev-parse', 'HEAD:a.txt').strip(), other)
    export(str(committed.path), 'HEAD', str(empty(tmp_path)))
    assert (tmp_path / 'target/a.txt').read_text() == 'changed\n'


def test_a_repository_with_sha256(tmp_path: Path) -> None:
    project = Project(tmp_path / 'project')
    project.git('init', '-q', '-b', 'main', '--object-format=sha256')
    project.write('a.txt', 'one')
    commit = project.commit('first')
    assert len(commit) == 64
    assert export(str(project.path), commit, str(empty(tmp_path))) == ('a.txt',)


def test_no_process_is_left(committed: Project, tmp_path: Path) -> None:
    blob = blob_of(committed)
    commit = tree_of(committed, *[('100644', b'%d' % number, blob) for number in range(10, 50)], ('100644', b'99', 'e' * 40))
    before = children()
    with pytest.raises(UserError, match='not in this clone'):
        export(str(committed.path), commit, str(empty(tmp_path)))
    assert children() <= before  # an earlier test's own may still end


def children() -> set[str]:
    """This process's children, the unreaped ones too."""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/stat') as file:
            if int(file.read().rpartition(')')[2].split()[1]) == os.getpid():
                found.add(pid)
    return found
