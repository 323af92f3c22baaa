"""Lines in .gitignore: exactly the outputs, judged by git itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import append_lines
from mlops_cli.records.gitignore import ATTRIBUTES, cover, line_for
from tests.support.project import Project

NAMES = [
    'plain',
    'a b',
    ' leading',
    'trailing ',
    'trailing  ',
    '#hash',
    'a#b',
    '!bang',
    'a!b',
    '*',
    'a*b',
    '?',
    'a?b',
    '[ab]',
    'a[',
    ']',
    '[!a]',
    '\\',
    'a\\',
    '\\a',
    'a\\ ',
    '🚀',
    'é',
    'e\u0301',
    'caf\udce9',
    '\udcff\udcfe',
    'tab\tin',
    'tab\t',
    '**',
    '-x',
    ':x',
    ':(exclude)x',
    '$HOME',
    "it's",
    'a"b',
    '{a,b}',
    '~',
    '%',
    'a,b',
    '...',
    '.hidden',
    'a\x7fb',
    '\x01',
]


@pytest.fixture
def root(project: Project) -> Iterator[Root]:
    with Root(project.path) as opened:
        yield opened


def ignored_by_git(folder: Path, names: list[str]) -> set[str]:
    """Asked file by file through ``git status``, so not by what ``cover`` itself asks."""
    done = subprocess.run(
        ['git', 'ls-files', '-z', '--others', '--exclude-standard'], cwd=folder, check=True, capture_output=True
    )
    return set(names) - {os.fsdecode(name) for name in done.stdout.split(b'\0')}


def make(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_each_line_ignores_its_path_and_no_other(project: Project, root: Root) -> None:
    names = [*NAMES, *(f'deep/{name}/{name}' for name in NAMES)]
    make(project.path, names)
    for name in NAMES:
        (project.path / '.gitignore').unlink(missing_ok=True)
        assert cover(root, [name]) == (line_for(name),)
        assert ignored_by_git(project.path, names) == {name}


def test_all_of_them_at_once_and_then_nothing_more(project: Project, root: Root) -> None:
    names = [*NAMES, *(f'deep/{name}/{name}' for name in NAMES)]
    others = [f'other/{name}' for name in NAMES]
    make(project.path, [*names, *others])
    assert len(cover(root, names)) == len(names)
    assert ignored_by_git(project.path, [*names, *others]) == set(names)
    before = (project.path / '.gitignore').read_bytes()
    assert cover(root, names) == ()
    assert (project.path / '.gitignore').read_bytes() == before
    assert (project.path / '.gitattributes').read_text() == f'{ATTRIBUTES}\n'


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.text(st.sampled_from('ab\\*?[]!# .-^\t\udcff🚀'), min_size=1, max_size=6).filter(
            lambda name: name not in ('.', '..')
        ),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
@example(['a', 'a '])
def test_any_names(project: Project, root: Root, names: list[str]) -> None:
    for leftover in os.listdir(project.path):
        if leftover != '.git' and os.path.isfile(project.path / leftover):
            os.unlink(project.path / leftover)
    make(project.path, names)
    for name in names[::2]:
        cover(root, [name])
    assert ignored_by_git(project.path, names) == set(names[::2])


def test_a_path_with_a_line_break_has_no_line() -> None:
    with pytest.raises(ValueError, match='line break'):
        line_for('a\nb')


def test_only_what_nothing_covers(project: Project, root: Root) -> None:
    project.write('.gitignore', '*.bin\n/data/\n')
    project.write('models/.gitignore', '*\n')
    project.write('data/x', '')
    project.write('models/x', '')
    assert cover(root, ['a.bin', 'data/x', 'models/x', 'deep/b.bin']) == ()
    assert cover(root, ['metrics.json', 'a.bin', 'a.txt']) == ('/a.txt', '/metrics.json')
    assert project.read('.gitignore') == '*.bin\n/data/\n/a.txt\n/metrics.json\n'


def test_what_the_user_takes_back_stays_taken_back(project: Project, root: Root) -> None:
    cover(root, ['model.bin'])
    project.write('.gitignore', project.read('.gitignore') + '!/model.bin\n')
    before = project.read('.gitignore')
    cover(root, ['model.bin'])
    assert project.read('.gitignore') == before


@pytest.mark.parametrize(
    ('before', 'after'),
    [
        (b'', b'/a\n'),
        (b'x', b'x\n/a\n'),
        (b'x\n', b'x\n/a\n'),
        (b'x\r\ny\r\n', b'x\r\ny\r\n/a\r\n'),
        (b'x\r\ny', b'x\r\ny\r\n/a\r\n'),
        (b'\n\n', b'\n\n/a\n'),
        (b'caf\xe9\n', b'caf\xe9\n/a\n'),
        (b'# \xf0\x9f\x9a\x80 no end', b'# \xf0\x9f\x9a\x80 no end\n/a\n'),
        (b'\xef\xbb\xbfx\n', b'\xef\xbb\xbfx\n/a\n'),
    ],
)
def test_lines_are_added_as_the_file_has_them(project: Project, root: Root, before: bytes, after: bytes) -> None:
    project.write('.gitignore', before)
    assert cover(root, ['a']) == ('/a',)
    assert (project.path / '.gitignore').read_bytes() == after
    make(project.path, ['a', 'b'])
    assert ignored_by_git(project.path, ['a', 'b']) == {'a'}


def test_permissions_of_the_file_stay(project: Project, root: Root) -> None:
    project.write('.gitignore', 'x\n').chmod(0o600)
    cover(root, ['a'])
    assert (project.path / '.gitignore').stat().st_mode & 0o777 == 0o600


def test_lines_that_are_there_are_not_added_again(project: Project, root: Root) -> None:
    assert append_lines(root, 'f', ['a', 'b', 'a'])
    assert not append_lines(root, 'f', ['b'])
    assert append_lines(root, 'f', ['b', 'c'])
    assert project.read('f') == 'a\nb\nc\n'


@pytest.mark.parametrize('file', ['.gitignore', '.gitattributes'])
def test_a_symbolic_link_is_refused(project: Project, root: Root, tmp_path: Path, file: str) -> None:
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.write_text('mine\n')
    os.symlink(elsewhere, project.path / file)
    with pytest.raises(UserError, match='symbolic link') as raised:
        cover(root, ['a'])
    assert file in raised.value.message
    assert raised.value.exit_code == ExitCode.REFUSED
    assert raised.value.hint
    assert elsewhere.read_text() == 'mine\n'


def test_a_folder_in_its_place_is_refused(project: Project, root: Root) -> None:
    (project.path / '.gitignore').mkdir()
    with pytest.raises(UserError, match='not a regular file'):
        cover(root, ['a'])


def test_a_file_that_cannot_be_read_is_left_as_it_is(project: Project, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    path = project.write('.gitignore', 'x\n')

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr('mlops_cli.records.files.read_file', refuse)
    with pytest.raises(PermissionError, match='gitignore'):
        cover(root, ['a'])
    assert project.read('.gitignore') == 'x\n'


def test_a_project_below_the_top_of_the_repository(project: Project) -> None:
    project.write('team/project/pipeline.yaml', '')
    project.write('.gitignore', '*.tmp\n')
    with Root(project.path / 'team/project') as root:
        assert cover(root, ['a.tmp', 'out/b']) == ('/out/b',)
    make(project.path, ['out/b', 'team/project/out/b'])
    assert ignored_by_git(project.path, ['out/b', 'team/project/out/b']) == {'team/project/out/b'}
    assert project.read('team/project/.gitattributes') == f'{ATTRIBUTES}\n'


def test_a_worktree(project: Project, tmp_path: Path) -> None:
    project.commit('start')
    project.git('worktree', 'add', '-q', str(tmp_path / 'tree'))
    with Root(tmp_path / 'tree') as root:
        assert cover(root, ['a']) == ('/a',)
    assert (tmp_path / 'tree' / '.gitignore').read_text() == '/a\n'
    assert not project.exists('.gitignore')


def test_a_worktree_of_a_bare_repository(project: Project, tmp_path: Path) -> None:
    project.commit('start')
    project.git('clone', '-q', '--bare', str(project.path), str(tmp_path / 'bare.git'))
    project.git('-C', str(tmp_path / 'bare.git'), 'worktree', 'add', '-q', str(tmp_path / 'tree'))
    with Root(tmp_path / 'tree') as root:
        assert cover(root, ['a']) == ('/a',)


def test_without_a_repository_nothing_is_written(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        assert cover(root, ['a']) == ()
    assert os.listdir(tmp_path) == []


def test_without_git_nothing_is_written(project: Project, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(project.path))
    assert cover(root, ['a']) == ()
    assert not project.exists('.gitignore')


def test_an_output_behind_a_link_does_not_keep_others_from_being_covered(project: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / 'other')
    other.init_git()
    other.write('x', '')
    other.commit('start')
    project.git('-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', str(other.path), 'sub')
    os.symlink(tmp_path / 'other', project.path / 'link')
    with Root(project.path) as root:
        assert cover(root, ['a', 'sub/out', 'b', 'link/out', 'c']) == ('/a', '/b', '/c', '/sub/out')


def test_no_process_when_all_is_covered_and_few_when_not(
    project: Project, root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    real = subprocess.run

    def run(arguments: list[str], **options: object) -> object:
        started.append(arguments)
        return real(arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, 'run', run)
    outputs = [f'models/{number}/weights.bin' for number in range(1000)]
    assert len(cover(root, outputs)) == 1000
    assert len(started) <= 2
    started.clear()
    assert cover(root, outputs) == () and cover(root, []) == ()
    assert started == [], 'each has a line of its own'
    (project.path / '.gitignore').write_text('models/\n')
    assert cover(root, outputs) == ()
    assert len(started) == 1


def test_two_commands_at_once_lose_no_line(project: Project) -> None:
    script = (
        'import sys; from mlops_cli.fsio.paths import Root; from mlops_cli.records.gitignore import cover\n'
        'for number in range(8): cover(Root(sys.argv[1]), [f"{sys.argv[2]}-{number}"])'
    )
    running = [subprocess.Popen([sys.executable, '-c', script, str(project.path), str(which)]) for which in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert sorted(project.read('.gitignore').split()) == sorted(
        f'/{which}-{number}' for which in range(3) for number in range(8)
    )


def test_outside_git_only_where_somebody_means_to_use_it(tmp_path: Path) -> None:
    with Root(str(tmp_path)) as root:
        assert cover(root, ['a b', 'c']) == () and not (tmp_path / '.gitignore').exists()
        (tmp_path / '.gitignore').write_text('.venv/\n/c\n')
        assert cover(root, ['a b', 'c']) == ('/a\\ b',)
        assert cover(root, ['a b', 'c']) == ()
    assert (tmp_path / '.gitignore').read_text() == '.venv/\n/c\n/a\\ b\n'
