"""What the workspace holds: by content, opened only where something changed, and never beyond the project."""
from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint import scan
from mlops_cli.fingerprint.files import HOPS, Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.store.local import LocalStore
from mlops_cli.store.tree import build, walk
from tests.support.indexes import Later

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / 'project'
    made.mkdir()
    return made


@pytest.fixture
def root(folder: Path) -> Iterator[Root]:
    with Root(folder) as opened:
        yield opened


def open_workspace(root: Root, ignore: str = '', *, kind: type[Index] = Later, objects: str | None = None) -> Workspace:
    """What a new command sees."""
    index = kind(Path(root.path, '.mlops/local/index-v1.sqlite'), root)
    return Workspace(root, index, Ignore.of(ignore), objects=objects)


@pytest.fixture
def workspace(root: Root) -> Workspace:
    return open_workspace(root)


def write(path: Path, data: str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data)
    path.chmod(mode)
    return path


def blob(data: str, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(data.encode()), len(data.encode()), kind)  # type: ignore[arg-type]


class Opened:
    """Counts the files that are opened to be hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        real = scan.hash_open_file

        def counted(fd: int, path: str) -> tuple[ObjectRef, os.stat_result]:
            self.paths.append(path)
            return real(fd, path)

        monkeypatch.setattr('mlops_cli.fingerprint.scan.hash_open_file', counted)
        monkeypatch.setattr('mlops_cli.fingerprint.files.hash_open_file', counted)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    return Opened(monkeypatch)


# Content

def test_files_folders_and_nothing(workspace: Workspace, folder: Path) -> None:
    write(folder / 'a.txt', 'hello')
    write(folder / 'run.sh', '#!', 0o755)
    write(folder / 'data/sub/b', 'b')
    (folder / 'data/empty').mkdir()
    (folder / 'data/l').symlink_to('sub/b')
    assert workspace.ref('a.txt') == blob('hello')
    assert workspace.ref('run.sh') == blob('#!', 'exec')
    for path in ('nothing', 'data/nothing', 'a.txt/below', 'nothing/at/all'):
        assert workspace.ref(path) is None
    nodes = workspace.nodes('data')
    ref = workspace.ref('data')
    assert ref is not None
    assert {path: entry.kind for path, entry in walk(ref, nodes.__getitem__)} == {
        'empty': 'dir', 'l': 'link', 'sub': 'dir', 'sub/b': 'file'}
    assert workspace.nodes('a.txt') == workspace.nodes('nothing') == {}
    assert workspace.ref('.') is not None


def test_a_folder_is_what_the_store_makes_of_it(workspace: Workspace, root: Root, folder: Path, tmp_path: Path) -> None:
    random.seed(3)
    for _ in range(60):
        path = '/'.join(random.choice('abc') * random.randint(1, 2) for _ in range(random.randint(1, 4)))
        if not (folder / 'out' / path).exists():
            try:
                write(folder / 'out' / path, path, random.choice((0o644, 0o755)))
            except (FileExistsError, NotADirectoryError):
                continue
    write(folder / 'out/x.pyc', 'ignored among inputs only')
    store = LocalStore(tmp_path / 'cache', batch=Batch('none'))
    complete = store.add_path(root, 'out').ref
    assert workspace.ref('out', ignore=False) == complete
    assert workspace.ref('out') != complete
    (folder / 'out/x.pyc').unlink()
    workspace.forget('out')
    assert workspace.ref('out') == workspace.ref('out', ignore=False) == store.add_path(root, 'out').ref
    nodes = workspace.nodes('out')
    assert all(digest_of(node) == digest for digest, node in nodes.items())
    store.close()


def test_ignored_names_do_not_count_as_inputs_at_any_depth(root: Root, folder: Path) -> None:
    workspace = open_workspace(root, 'skip/\n/data/top.tmp\n*.log\n!keep.log\n')
    for path in ('data/a', 'data/__pycache__/x.pyc', 'data/skip/a', 'data/deep/skip/b', 'data/top.tmp', 'data/deep/top.tmp',
                 'data/x.log', 'data/keep.log', 'data/.git/config', 'data/.mlops-tmp-00000000-1-2-3'):
        write(folder / path, 'x')
    nodes = workspace.nodes('data')
    ref = workspace.ref('data')
    assert ref is not None
    assert [path for path, entry in walk(ref, nodes.__getitem__) if entry.kind != 'dir'] == ['a', 'deep/top.tmp', 'keep.log']
    assert workspace.ref('data/x.log') == blob('x'), 'what is named is meant'


def test_other_rules_are_another_look(root: Root, folder: Path) -> None:
    write(folder / 'data/a', 'x')
    write(folder / 'data/b.tmp', 'x')
    all_of_it = open_workspace(root).ref('data')
    part = open_workspace(root, '*.tmp').ref('data')
    assert part == build({'a': blob('x')})[0]
    assert [open_workspace(root, rules).ref('data') for rules in ('', '*.tmp', '')] == [all_of_it, part, all_of_it]


# Only what changed is opened

def fill(folder: Path, count: int = 120) -> None:
    for number in range(count):
        write(folder / f'data/d{number % 6}/f{number}', f'{number}')


def command(root: Root, path: str = 'data') -> ObjectRef | None:
    workspace = open_workspace(root)
    ref = workspace.ref(path)
    workspace.index.close()
    return ref


def test_nothing_is_opened_twice_and_one_change_opens_one_file(root: Root, folder: Path, opened: Opened) -> None:
    fill(folder)
    first = command(root)
    assert len(opened.paths) == 120
    opened.paths.clear()
    assert command(root) == first
    assert not opened.paths
    write(folder / 'data/d3/f3', 'changed')
    changed = command(root)
    assert opened.paths == ['data/d3/f3']
    assert changed != first
    opened.paths.clear()
    write(folder / 'data/d3/f3', '3')
    (folder / 'data/d4/f4').rename(folder / 'data/d4/renamed')
    (folder / 'data/d5/f5').unlink()
    write(folder / 'data/d0/new', 'new')
    assert command(root) not in (first, changed)
    assert sorted(opened.paths) == ['data/d0/new', 'data/d3/f3', 'data/d4/renamed']


@pytest.mark.parametrize('change', [
    'content', 'mode', 'rename', 'remove', 'add', 'empty folder', 'link', 'link elsewhere', 'kind'])
def test_every_change_of_a_sealed_folder_is_seen_and_undone(root: Root, folder: Path, change: str) -> None:
    fill(folder, 12)
    (folder / 'data/l').symlink_to('d0')
    first = command(root)
    assert command(root) == first
    match change:
        case 'content':
            write(folder / 'data/d0/f0', 'O')
        case 'mode':
            (folder / 'data/d0/f0').chmod(0o755)
        case 'rename':
            (folder / 'data/d0/f0').rename(folder / 'data/d0/f00')
        case 'remove':
            (folder / 'data/d0/f0').unlink()
        case 'add':
            write(folder / 'data/d0/more', '')
        case 'empty folder':
            (folder / 'data/d0/empty').mkdir()
        case 'link':
            (folder / 'data/d0/l').symlink_to('f0')
        case 'link elsewhere':
            (folder / 'data/l').unlink()
            (folder / 'data/l').symlink_to('d1')
        case _:
            (folder / 'data/d0/f0').unlink()
            (folder / 'data/d0/f0').mkdir()
    second = command(root)
    assert second != first
    assert command(root) == second
    match change:
        case 'content':
            write(folder / 'data/d0/f0', '0')
        case 'mode':
            (folder / 'data/d0/f0').chmod(0o644)
        case 'rename':
            (folder / 'data/d0/f00').rename(folder / 'data/d0/f0')
        case 'remove':
            write(folder / 'data/d0/f0', '0')
        case 'add':
            (folder / 'data/d0/more').unlink()
        case 'empty folder':
            (folder / 'data/d0/empty').rmdir()
        case 'link':
            (folder / 'data/d0/l').unlink()
        case 'link elsewhere':
            (folder / 'data/l').unlink()
            (folder / 'data/l').symlink_to('d0')
        case _:
            (folder / 'data/d0/f0').rmdir()
            write(folder / 'data/d0/f0', '0')
    assert command(root) == first


def test_fresh_files_are_hashed_again_at_the_next_look_and_then_known(root: Root, folder: Path, opened: Opened) -> None:
    fill(folder, 6)
    for number in range(3, 6):
        os.utime(folder / f'data/d{number}/f{number}', ns=(0, (folder / 'data').stat().st_mtime_ns + 3600 * SECOND))
    workspace = open_workspace(root)
    ref = workspace.ref('data')
    assert workspace.seen.unsettled == {f'data/d{number}/f{number}' for number in range(3, 6)}
    workspace.index.close()
    opened.paths.clear()
    assert command(root) == ref
    assert sorted(opened.paths) == [f'data/d{number}/f{number}' for number in range(3, 6)]
    for number in range(3, 6):
        os.utime(folder / f'data/d{number}/f{number}', (1, 1))
    assert command(root) == ref
    opened.paths.clear()
    assert command(root) == ref
    assert not opened.paths


def test_no_edit_within_a_folder_is_missed_by_the_real_clock(root: Root, folder: Path) -> None:
    fill(folder, 20)
    workspace = open_workspace(root, kind=Index)
    random.seed(9)
    for number in range(300):
        path = folder / f'data/d{number % 20 % 6}/f{number % 20}'
        before = path.stat()
        text = f'{random.randrange(10)}' * before.st_size
        path.write_text(text)
        if number % 2:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        workspace.forget()
        nodes = workspace.nodes('data') if number % 3 else {}
        ref = workspace.ref('data')
        assert ref is not None
        found = dict(walk(ref, (nodes or workspace.nodes('data')).__getitem__))
        assert found[f'd{number % 20 % 6}/f{number % 20}'].digest == digest_of(text.encode())


def test_what_was_added_or_placed_is_not_hashed_again_once_it_settled(
        root: Root, folder: Path, tmp_path: Path, opened: Opened) -> None:
    fill(folder)
    store = LocalStore(tmp_path / 'cache', batch=Batch('none'))
    workspace = open_workspace(root)
    store.verified = workspace.index
    added = store.add_path(root, 'data', known=workspace.index.get)
    workspace.index.put_many(added.files, moment=added.moment)
    assert workspace.ref('data', ignore=False) == added.ref
    assert not opened.paths
    again = store.add_path(root, 'data', known=workspace.index.get)
    assert again.ref == added.ref
    store.close()


def test_it_looks_again_only_when_told(workspace: Workspace, folder: Path) -> None:
    write(folder / 'data/sub/a', '1')
    write(folder / 'other', 'x')
    first = [workspace.ref(path) for path in ('data', 'data/sub', 'data/sub/a', 'other')]
    write(folder / 'data/sub/a', '2')
    (folder / 'other').unlink()
    assert [workspace.ref(path) for path in ('data', 'data/sub', 'data/sub/a', 'other')] == first
    workspace.forget('data/sub')
    second = [workspace.ref(path) for path in ('data', 'data/sub', 'data/sub/a', 'other')]
    assert [one != two for one, two in zip(first, second, strict=True)] == [True, True, True, False]
    write(folder / 'data/sub/a', '3')
    workspace.forget('data/sub/a')
    assert workspace.ref('data') not in (first[0], second[0])
    workspace.forget()
    assert workspace.ref('other') is None


# Links

def test_links_within_the_project_are_followed_for_inputs(workspace: Workspace, folder: Path) -> None:
    write(folder / 'real/sub/a', 'a')
    (folder / 'file').symlink_to('real/sub/a')
    (folder / 'dir').symlink_to('real')
    (folder / 'twice').symlink_to('dir/sub')
    (folder / 'absolute').symlink_to(folder / 'real/sub/a')
    (folder / 'up').mkdir()
    (folder / 'up/back').symlink_to('../up/../dir/sub')
    for path in ('file', 'dir/sub/a', 'twice/a', 'absolute', 'up/back/a'):
        assert workspace.ref(path) == blob('a'), path
        with open(workspace.open(path)) as file:
            assert file.read() == 'a'
    assert workspace.ref('dir') == workspace.ref('real')
    assert workspace.ref('up/back') == workspace.ref('real/sub')
    assert workspace.ref('dir/nothing') is None


def test_a_link_out_of_a_folder_but_not_of_the_project_counts_by_what_it_leads_to(root: Root, folder: Path) -> None:
    write(folder / 'shared/big.bin', 'big')
    write(folder / 'data/a', 'a')
    (folder / 'data/big').symlink_to('../shared/big.bin')
    (folder / 'data/all').symlink_to('../shared')
    workspace = open_workspace(root)
    nodes = workspace.nodes('data')
    ref = workspace.ref('data')
    assert ref is not None
    assert {path: entry.kind for path, entry in walk(ref, nodes.__getitem__)} == {
        'a': 'file', 'all': 'dir', 'all/big.bin': 'file', 'big': 'file'}
    workspace.index.close()
    assert command(root) == ref
    write(folder / 'shared/big.bin', 'BIG')
    assert command(root) != ref
    with pytest.raises(UserError, match=r'data/(all|big) is a symbolic link'):
        open_workspace(root).ref('data', ignore=False)


@pytest.mark.parametrize(('name', 'target'), [
    ('l', '/etc/passwd'), ('l', '..'), ('l', '../../etc'), ('sub/l', '../..'), ('sub/l', 'up/../../../x'), ('l', '/'),
    ('l', '.git/config'), ('l', '.mlops/config.yaml'), ('l', 'm'), ('l', 'l'),
])
def test_links_out_of_the_project_and_in_circles_are_refused(
        workspace: Workspace, folder: Path, tmp_path: Path, name: str, target: str) -> None:
    for path in ('sub/up/x', '.git/config', '.mlops/config.yaml'):
        write(folder / path, 'x')
    write(tmp_path / 'x', 'secret')
    (folder / 'm').symlink_to('sub/up/../../../x' if name != 'm' else 'l')
    (folder / name).symlink_to(target)
    for path in (name, f'{name}/below'):
        for look in (workspace.ref, workspace.open):
            with pytest.raises(UserError) as caught:
                look(path)
            assert caught.value.exit_code is ExitCode.REFUSED
            assert caught.value.hint


def test_a_chain_of_links_has_an_end(workspace: Workspace, folder: Path) -> None:
    write(folder / 'l0', 'x')
    for number in range(HOPS + 2):
        (folder / f'l{number + 1}').symlink_to(f'l{number}')
    assert workspace.ref(f'l{HOPS}') == blob('x')
    with pytest.raises(UserError, match=f'more than {HOPS}'):
        workspace.ref(f'l{HOPS + 1}')


def test_a_folder_that_contains_itself_is_refused(workspace: Workspace, folder: Path) -> None:
    write(folder / 'a/b/f', 'x')
    (folder / 'a/b/up').symlink_to('../../a')
    with pytest.raises(UserError, match='contains itself'):
        workspace.ref('a/b')
    (folder / 'a/b/up').unlink()
    (folder / 'c').mkdir()
    (folder / 'c/d').symlink_to('../a')
    (folder / 'a/c').symlink_to('../c')
    for path in ('a', 'c'):
        with pytest.raises(UserError, match='contains itself'):
            workspace.ref(path)


def test_outputs_are_no_links_but_for_ours_into_the_cache(root: Root, folder: Path, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / 'cache', batch=Batch('none'), links=['symlink'])
    content, nodes = build({'a': store.add_bytes(b'a' * 10), 'sub/b': store.add_bytes(b'b')})
    store.add_nodes(nodes.values())
    store.batch.flush()
    store.materialise(content, root, 'out')
    store.materialise(store.add_bytes(b'b'), root, 'single')
    assert (folder / 'out/a').is_symlink()
    workspace = open_workspace(root, objects=store.objects)
    for ignore in (True, False):
        assert workspace.ref('out', ignore=ignore) == content
        assert workspace.ref('single', ignore=ignore) == blob('b')
    assert workspace.glob('out/**') == ('out/a', 'out/sub/b')
    with open(workspace.open('single')) as file:
        assert file.read() == 'b'
    (folder / 'real').mkdir()
    (folder / 'out2').symlink_to('real')
    with pytest.raises(UserError, match='out2 is a symbolic link'):
        workspace.ref('out2', ignore=False)
    with pytest.raises(UserError, match='symbolic link'):
        workspace.ref('out2/x', ignore=False)
    store.close()


def test_pipes_sockets_and_devices_are_refused_unread(workspace: Workspace, folder: Path) -> None:
    (folder / 'data').mkdir()
    os.mkfifo(folder / 'data/pipe')
    with pytest.raises(UserError, match='data/pipe is a named pipe'):
        workspace.ref('data')
    with pytest.raises(UserError, match='data/pipe is a named pipe'):
        workspace.ref('data/pipe')
    with pytest.raises(UserError, match='data/pipe is a named pipe'):
        workspace.open('data/pipe')
    (folder / 'data/pipe').unlink()
    workspace.forget()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / 'data/socket'))
    with pytest.raises(UserError, match='data/socket is a socket'):
        workspace.ref('data')
    assert workspace.glob('data/*') == ()


@pytest.mark.parametrize('names', [('a', 'A'), ('\u00e9', 'e\u0301'), ('sub', 'git~1')])
def test_names_that_cannot_be_told_apart_elsewhere_are_refused(
        workspace: Workspace, folder: Path, names: tuple[str, str]) -> None:
    for name in names:
        write(folder / 'data' / name, 'x')
    with pytest.raises(UserError, match='data holds'):
        workspace.ref('data')


def test_what_was_looked_at_is_listed(workspace: Workspace, folder: Path) -> None:
    write(folder / 'real', 'x')
    (folder / 'link').symlink_to('real')
    write(folder / 'data/a', 'a')
    workspace.ref('link')
    workspace.ref('nothing')
    data = workspace.ref('data')
    workspace.glob('data/*')
    assert workspace.seen.files.keys() == {'real', 'link', 'nothing'}
    assert workspace.seen.files['nothing'] == 0 != workspace.seen.files['real']
    assert workspace.seen.trees == {('data', True): data}
    assert workspace.seen.folders.keys() == {'', 'data'}


# Patterns

@pytest.mark.parametrize(('pattern', 'found'), [
    ('*', 'a.csv b.txt'), ('*.csv', 'a.csv'), ('?.csv', 'a.csv'), ('[ab].*', 'a.csv b.txt'), ('[!a].*', 'b.txt'),
    ('d/*', 'd/c.csv d/e.csv'), ('*/*.csv', 'd/c.csv d/e.csv'), ('**/*.csv', 'a.csv d/c.csv d/e.csv d/sub/f.csv d/sub/s/g.csv'),
    ('d/**', 'd/c.csv d/e.csv d/sub/f.csv d/sub/s/g.csv'), ('**', 'a.csv b.txt d/c.csv d/e.csv d/sub/f.csv d/sub/s/g.csv'),
    ('d/**/g.csv', 'd/sub/s/g.csv'), ('d/**/*.csv', 'd/c.csv d/e.csv d/sub/f.csv d/sub/s/g.csv'),
    ('**/sub/**', 'd/sub/f.csv d/sub/s/g.csv'),
    ('**/**/c.csv', 'd/c.csv'), ('d/sub', ''), ('nothing/*', ''), ('a.csv/*', ''), ('.*', '.hidden'), ('.h*', '.hidden'),
    ('.dir/*', '.dir/x'), ('*/x', ''), ('.*/x', '.dir/x'), ('d/[ce].csv', 'd/c.csv d/e.csv'), ('*.pyc', ''), ('d/skip*', ''),
    ('D/*', ''), ('l*', 'l.csv'),
])
def test_globs(root: Root, folder: Path, pattern: str, found: str) -> None:
    for path in ('a.csv', 'b.txt', 'd/c.csv', 'd/e.csv', 'd/sub/f.csv', 'd/sub/s/g.csv', '.hidden', '.dir/x', 'd/x.pyc',
                 'd/skip.csv'):
        write(folder / path, path)
    if pattern == 'l*':
        (folder / 'l.csv').symlink_to('d/c.csv')
        (folder / 'ldir').symlink_to('d')
        (folder / 'lnothing').symlink_to('nowhere')
    workspace = open_workspace(root, 'skip*')
    assert workspace.glob(pattern) == tuple(found.split())


def test_a_pattern_that_could_run_away_ends(workspace: Workspace, folder: Path) -> None:
    for number in range(40):
        write(folder / ('d/' * (number % 8 + 1)) / f'f{number}', 'x')
    assert len(workspace.glob('/'.join(['**'] * 12 + ['f*']))) == 40
