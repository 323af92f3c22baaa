"""Outputs out of a stage's way and back: killed at any step, nothing is lost, and putting back ends where it should."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio import filesystem, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.run import aside

ATTEMPT, RUN, STAGE = '7k2m9q4c-train-1', '20261120T101522Z-7k2m9q4c', 'train'
OUTPUTS = ['model.bin', 'data/out put', 'deep/er/🚀/x', 'folder', 'caf\udce9', 'absent', 'data/absent/too', '-x']
FOLDERS = ('folder',)
BEFORE = [path for path in OUTPUTS if 'absent' not in path]


def output_at(place: str) -> str:
    """The output that lies at a place aside."""
    return place.removeprefix(f'{aside.folder_of(ATTEMPT)}/')


def always(_place: str, _near: Nearby) -> bool:
    return True


def never(_place: str, _near: Nearby) -> bool:
    return False


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def write(root: Root, path: str, text: str) -> None:
    target = Path(root.full(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(os.fsencode(text))


def make(root: Root, paths: list[str], text: str) -> None:
    """Outputs as a stage makes them."""
    for path in paths:
        if path in FOLDERS:
            write(root, f'{path}/inner/a', f'{text} {path}')
            Path(root.full(f'{path}/empty')).mkdir()
        else:
            write(root, path, f'{text} {path}')


def everything(root: Root) -> dict[str, str]:
    """Every file below the project, with its content."""
    found = {}
    for folder, _, files in os.walk(root.path):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, root.path)] = os.fsdecode(file.read())
    return found


def workspace(root: Root) -> dict[str, str]:
    return {path: text for path, text in everything(root).items() if not path.startswith('.mlops/')}


def expected(paths: list[str], text: str) -> dict[str, str]:
    return {f'{path}/inner/a' if path in FOLDERS else path: f'{text} {path}' for path in paths}


def nothing_left(root: Root) -> bool:
    work = Path(root.full(layout.WORK))
    return not work.exists() or not list(work.iterdir())


def put_back(root: Root, outputs: list[str] = OUTPUTS) -> tuple[str, ...]:
    return aside.put_back(root, ATTEMPT, RUN, STAGE, outputs)


# One after the other


def test_a_failed_attempt_leaves_everything_as_it_was_and_its_own_apart(root: Root) -> None:
    make(root, BEFORE, 'before')
    assert aside.move(root, ATTEMPT, OUTPUTS) == tuple(BEFORE)
    assert workspace(root) == {}
    assert root.stat(f'{aside.folder_of(ATTEMPT)}/data/out put') is not None
    made = ['model.bin', 'folder', 'absent']
    make(root, made, 'partial')
    assert put_back(root) == ('model.bin', 'folder', 'absent')
    assert workspace(root) == expected(BEFORE, 'before')
    kept = {
        path.removeprefix(f'{aside.failed_folder(RUN, STAGE)}/'): text
        for path, text in everything(root).items()
        if layout.FAILED in path
    }
    assert kept == expected(made, 'partial')
    assert Path(root.full('folder/empty')).is_dir()
    assert nothing_left(root)


def test_a_good_attempt_drops_what_is_stored_and_keeps_the_rest(root: Root) -> None:
    make(root, BEFORE, 'before')
    aside.move(root, ATTEMPT, OUTPUTS)
    make(root, OUTPUTS, 'result')
    kept = aside.finish(root, ATTEMPT, RUN, BEFORE, lambda place, _: output_at(place) not in ('folder', '-x'))
    assert kept == (f'{layout.RESCUE}/{RUN}/-x', f'{layout.RESCUE}/{RUN}/folder')
    assert workspace(root) == expected(OUTPUTS, 'result')
    rescued = {
        path.removeprefix(f'{layout.RESCUE}/{RUN}/'): text for path, text in everything(root).items() if layout.RESCUE in path
    }
    assert rescued == expected(['folder', '-x'], 'before')
    assert nothing_left(root)
    assert put_back(root) == ()
    assert workspace(root) == expected(OUTPUTS, 'result')


def test_with_nothing_there_before_what_was_left_is_kept_apart(root: Root) -> None:
    assert aside.move(root, ATTEMPT, OUTPUTS) == ()
    make(root, ['folder', 'absent'], 'partial')
    assert put_back(root) == ('folder', 'absent')
    assert workspace(root) == {}
    assert nothing_left(root)


def test_with_nothing_there_before_a_result_stays(root: Root) -> None:
    aside.move(root, ATTEMPT, OUTPUTS)
    make(root, OUTPUTS, 'result')
    assert aside.finish(root, ATTEMPT, RUN, [], always) == ()
    assert put_back(root) == ()
    assert workspace(root) == expected(OUTPUTS, 'result')
    assert nothing_left(root)


def test_an_attempt_that_never_began_is_left_alone(root: Root) -> None:
    """Killed between the journal's line and the first move."""
    make(root, BEFORE, 'before')
    assert put_back(root) == ()
    assert workspace(root) == expected(BEFORE, 'before')
    assert not os.path.exists(root.full(layout.FAILED))


def test_nested_outputs_go_and_come_with_the_outer_one(root: Root) -> None:
    for outputs in (['folder', 'folder/inner', 'folder/inner/a'], ['folder/inner/a', 'folder']):
        make(root, ['folder'], 'before') if not os.path.exists(root.full('folder')) else None
        assert aside.move(root, ATTEMPT, outputs) == ('folder',)
        write(root, 'folder/inner/a', 'partial')
        assert put_back(root, outputs) == ('folder',)
        assert workspace(root) == expected(['folder'], 'before')
        assert nothing_left(root)


def test_links_are_moved_and_never_followed(root: Root, tmp_path: Path) -> None:
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'x').write_text('mine')
    os.symlink(tmp_path / 'elsewhere', root.full('model.bin'))
    aside.move(root, ATTEMPT, ['model.bin'])
    os.symlink('nowhere', root.full('model.bin'))
    put_back(root, ['model.bin'])
    assert os.readlink(root.full('model.bin')) == str(tmp_path / 'elsewhere')
    assert os.readlink(root.full(f'{aside.failed_folder(RUN, STAGE)}/model.bin')) == 'nowhere'
    assert (tmp_path / 'elsewhere' / 'x').read_text() == 'mine'
    os.symlink(tmp_path / 'elsewhere', root.full('linked'))
    with pytest.raises(UserError, match='symbolic link'):
        aside.move(root, 'other', ['linked/x'])


def test_what_is_kept_is_never_written_over(root: Root) -> None:
    for number in range(1, 4):
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, ['folder', 'model.bin'][: 1 + number % 2], f'attempt {number}')
        put_back(root)
    folder = aside.failed_folder(RUN, STAGE)
    kept = {path: text for path, text in everything(root).items() if path.startswith(folder)}
    assert kept == {
        f'{folder}/folder/inner/a': 'attempt 1 folder',
        f'{folder}/model.bin': 'attempt 1 model.bin',
        f'{folder}.2/folder/inner/a': 'attempt 2 folder',
        f'{folder}.3/folder/inner/a': 'attempt 3 folder',
        f'{folder}.3/model.bin': 'attempt 3 model.bin',
    }
    for number in range(1, 3):
        make(root, ['model.bin'], f'before {number}')
        aside.move(root, ATTEMPT, ['model.bin'])
        kept_at = aside.finish(root, ATTEMPT, RUN, ['model.bin'], never)
        assert kept_at == (f'{layout.RESCUE}/{RUN}{"" if number == 1 else f".{number}"}/model.bin',)


def test_what_is_kept_finds_a_place_beside_a_file_where_it_needs_a_folder(root: Root) -> None:
    write(root, f'{layout.RESCUE}/{RUN}/a', 'a file')
    write(root, 'source', 'kept')
    assert aside.keep(root, f'{layout.RESCUE}/{RUN}', 'a/b/c', 'source') == f'{layout.RESCUE}/{RUN}.2/a/b/c'
    write(root, 'source', 'kept too')
    write(root, f'{layout.FAILED}/x', 'a file')
    assert aside.keep(root, f'{layout.FAILED}/x', 'y', 'source') == f'{layout.FAILED}/x.2/y'


def test_what_somebody_put_where_an_output_was_is_kept(root: Root) -> None:
    """Between the kill and the next command."""
    make(root, BEFORE, 'before')
    moved = list(BEFORE)
    kill_at(7, lambda: aside.move(root, ATTEMPT, OUTPUTS))  # just after the first of them
    write(root, 'model.bin', 'by hand')
    put_back(root)
    assert workspace(root) == expected(moved, 'before')
    assert 'by hand' in everything(root).values()


def test_what_a_caller_forgot_to_name_is_rescued_and_not_removed(root: Root) -> None:
    make(root, BEFORE, 'before')
    aside.move(root, ATTEMPT, OUTPUTS)
    put_back(root, ['model.bin'])
    assert set(expected(BEFORE, 'before').values()) <= set(everything(root).values())
    assert nothing_left(root)


@pytest.mark.parametrize('stage', ['train', 'train@a-1', '..', 'a/b', '🚀', 'x' * 300, '', 'Train'])
def test_every_stage_has_a_folder_for_what_failed(root: Root, stage: str) -> None:
    aside.move(root, ATTEMPT, ['model.bin'])
    write(root, 'model.bin', 'partial')
    assert aside.put_back(root, ATTEMPT, RUN, stage, ['model.bin']) == ('model.bin',)
    kept = aside.failed_folder(RUN, stage)
    assert kept.startswith(f'{layout.FAILED}/{RUN}/')
    assert everything(root) == {f'{kept}/model.bin': 'partial'}


@pytest.mark.parametrize(
    'path', ['.git', '.git/hooks', '.mlops/local/journal', '../x', '/etc/passwd', '.', '', 'a/../../b', '.GIT/x']
)
def test_a_tampered_journal_moves_nothing_that_is_not_an_output(root: Root, path: str) -> None:
    write(root, '.git/hooks/x', 'mine')
    before = everything(root)
    for attempt in (ATTEMPT, '../x', 'a/b', '', '..'):
        with pytest.raises(UserError) as raised:
            aside.put_back(root, attempt, RUN, STAGE, [path])
        assert raised.value.exit_code == ExitCode.REFUSED
        with pytest.raises(UserError):
            aside.move(root, attempt, [path])
    assert everything(root) == before


# Killed


def kill_at(number: int, step: Callable[[], object], error: type[BaseException] = Killed) -> bool:
    """Ends a step just before its n-th change of the disk, counted from 1; whether it got that far."""
    count = 0

    def count_down(_: str, __: dict[str, object]) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise error(errno.EIO, 'Input/output error')

    try:
        with ops.inject(count_down):
            step()
    except error:
        return True
    return False


def points(prepare: Callable[[], Root], step: Callable[[Root], object]) -> Iterator[Root]:
    """A project for each change that a step makes of the disk, killed just before it."""
    number = 0
    while True:
        number += 1
        root = prepare()
        if not kill_at(number, lambda root=root: step(root)):  # type: ignore[misc]
            assert number > 3, 'this would show nothing'
            root.close()
            return
        yield root
        root.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Root]:
    numbers = iter(range(10_000))

    def prepare() -> Root:
        folder = tmp_path / f'project-{next(numbers)}'
        folder.mkdir()
        return Root(folder)

    return prepare


@pytest.mark.parametrize('error', [Killed, OSError])
@pytest.mark.parametrize('there', [BEFORE, ['model.bin'], ['folder'], []], ids=['many', 'a file', 'a folder', 'nothing'])
def test_killed_while_moving_aside(fresh: Callable[[], Root], there: list[str], error: type[BaseException]) -> None:
    number = 0
    while True:
        number += 1
        root = fresh()
        make(root, there, 'before')
        if not kill_at(number, lambda root=root: aside.move(root, ATTEMPT, OUTPUTS), error):  # type: ignore[misc]
            break
        assert put_back(root) == (), 'nothing was made yet, so nothing has failed'
        assert workspace(root) == expected(there, 'before')
        assert nothing_left(root)
        assert not os.path.exists(root.full(layout.FAILED))
    assert number > 4


@pytest.mark.parametrize('there', [BEFORE, []], ids=['many', 'nothing'])
def test_killed_while_the_command_runs(fresh: Callable[[], Root], there: list[str]) -> None:
    for made in range(len(OUTPUTS) + 1):
        root = fresh()
        make(root, there, 'before')
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, OUTPUTS[:made], 'partial')
        assert put_back(root) == tuple(OUTPUTS[:made])
        assert workspace(root) == expected(there, 'before')
        assert set(expected(OUTPUTS[:made], 'partial').values()) <= set(everything(root).values())
        assert nothing_left(root)


@pytest.mark.parametrize('there', [BEFORE, ['folder'], []], ids=['many', 'a folder', 'nothing'])
def test_killed_while_putting_back_also_again_and_again(fresh: Callable[[], Root], there: list[str]) -> None:
    def prepare() -> Root:
        root = fresh()
        make(root, there, 'before')
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, OUTPUTS[::2], 'partial')
        return root

    for step in (1, 2, 3):
        for root in points(prepare, put_back):
            for number in range(1, 200, step):
                if not kill_at(number, lambda root=root: put_back(root)):  # type: ignore[misc]
                    break
            put_back(root)
            assert workspace(root) == expected(there, 'before')
            lost = set(expected(OUTPUTS[::2], 'partial').values()) - set(everything(root).values())
            assert not lost
            assert nothing_left(root)


@pytest.mark.parametrize('there', [BEFORE, ['folder'], ['model.bin', '-x']], ids=['many', 'a folder', 'two files'])
@pytest.mark.parametrize('stored', [0, 1, 2], ids=['all stored', 'some stored', 'none stored'])
def test_killed_while_finishing(fresh: Callable[[], Root], there: list[str], stored: int) -> None:
    unstored = [path for number, path in enumerate(there) if stored == 2 or (stored == 1 and number % 2)]

    def prepare() -> Root:
        root = fresh()
        make(root, there, 'before')
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, OUTPUTS, 'result')
        return root

    outcomes = set()
    def finish(root: Root) -> None:
        aside.finish(root, ATTEMPT, RUN, there, lambda place, _: output_at(place) not in unstored)

    for root in points(prepare, finish):
        for number in (1, 2, 3, 5, 8):
            kill_at(number, lambda root=root: put_back(root))  # type: ignore[misc]
        put_back(root)
        undone = workspace(root) == expected(there, 'before')
        outcomes.add(undone)
        texts = set(everything(root).values())
        assert set(expected(unstored, 'before').values()) <= texts, 'what was nowhere else is still there'
        assert set(expected(OUTPUTS, 'result').values()) <= texts
        if not undone:
            assert workspace(root) == expected(OUTPUTS, 'result')
        assert nothing_left(root)
    assert outcomes == {True, False}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(OUTPUTS), unique=True),
    st.lists(st.sampled_from(OUTPUTS), unique=True),
    st.integers(1, 60),
    st.integers(1, 60),
    st.booleans(),
)
def test_any_attempt_killed_twice_anywhere(
    fresh: Callable[[], Root], there: list[str], made: list[str], first: int, second: int, succeeds: bool
) -> None:
    root = fresh()
    make(root, there, 'before')

    def attempt() -> None:
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, made, 'new')
        if succeeds:
            aside.finish(root, ATTEMPT, RUN, there, never)
        else:
            put_back(root)

    killed = kill_at(first, attempt)
    kill_at(second, lambda: put_back(root))
    put_back(root)
    done = workspace(root) == expected(made, 'new')
    assert done or workspace(root) == expected(there, 'before')
    assert done or killed or not succeeds
    assert set(expected(there, 'before').values()) <= set(everything(root).values())
    assert nothing_left(root)
    root.close()


def test_it_costs_little_where_nothing_was_there(root: Root) -> None:
    changes: list[str] = []
    root.makedirs(layout.WORK)
    with ops.record(lambda operation, _: changes.append(operation)):
        aside.move(root, ATTEMPT, OUTPUTS)
        aside.finish(root, ATTEMPT, RUN, [], always)
    assert changes == ['open', 'unlink']


def test_where_the_way_was_clear_what_is_new_is_kept_apart_and_nothing_else_is_made(root: Root) -> None:
    make(root, ['model.bin'], 'new')
    kept = aside.put_back(root, ATTEMPT, RUN, STAGE, ['model.bin', 'absent'], clear=True)
    assert kept == ('model.bin',)
    assert everything(root) == {f'{aside.failed_folder(RUN, STAGE)}/model.bin': 'new model.bin'}
    assert aside.put_back(root, ATTEMPT, RUN, STAGE, ['model.bin', 'absent'], clear=True) == ()


def test_killed_while_putting_back_where_the_way_was_clear(fresh: Callable[[], Root]) -> None:
    def prepare() -> Root:
        root = fresh()
        make(root, BEFORE, 'new')
        return root

    def put_back(root: Root) -> None:
        aside.put_back(root, ATTEMPT, RUN, STAGE, OUTPUTS, clear=True)

    for root in points(prepare, put_back):
        put_back(root)
        with prepare() as untouched:
            assert sorted(everything(root).values()) == sorted(everything(untouched).values())
        assert all(path.startswith(layout.FAILED) for path in everything(root))


@pytest.mark.parametrize('keeps_order', [False, True])
def test_where_names_are_given_in_any_order_what_was_moved_is_found_before_others_get_its_name(
        root: Root, keeps_order: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may else leave the later name and not the earlier move."""
    kind = filesystem.FileSystem('any', ordered=keeps_order, network=False)
    monkeypatch.setattr(filesystem, 'probe', lambda _fd: kind)
    make(root, BEFORE, 'old')
    seen: list[tuple[str, str]] = []
    with ops.record(lambda operation, details: seen.append((operation, str(details.get('target') or details['path'])))):
        aside.move(root, ATTEMPT, OUTPUTS)
        make(root, BEFORE, 'new')
        aside.finish(root, ATTEMPT, RUN, OUTPUTS, never)
    work = root.full(f'{layout.WORK}/{ATTEMPT}')
    synced = {path for operation, path in seen[:seen.index(('rename', work))] if operation == 'fsync'}
    wanted = {os.path.dirname(f'{work}.to/aside/{path}') for path in BEFORE}
    wanted |= {f'{work}.to/aside', f'{work}.to', os.path.dirname(work), root.full(layout.LOCAL)}
    assert synced >= wanted if not keeps_order else not synced
    kept = [path for operation, path in seen[:seen.index(('rename', f'{work}.done'))] if operation == 'fsync']
    assert {os.path.dirname(f'{work}/rescue/{path}') for path in BEFORE} <= {*kept} if not keeps_order else not kept
