"""F4 at every change: a few states of each kind, and that the judge sees what must not be."""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pytest

from tests.faults import power_dvc, straced, warm
from tests.faults.base import Setting, Trial, Verdict
from tests.faults.medium import Crash, Held, Medium, crashes, shaped, snapshot
from tests.faults.recording import INDEX, Incomplete, record
from tests.faults.rows import f04_power
from tests.faults.tools import mlops

LEAST = 500


def setting(folder: Path) -> Setting:
    (folder / 'shared').mkdir()
    (folder / 'own').mkdir()
    return Setting(mlops(), folder / 'own', folder / 'shared', False)


def test_whatever_a_power_cut_leaves_is_mended_by_the_next_command(tmp_path: Path) -> None:
    verdict = f04_power.run(setting(tmp_path), 'all')
    assert dict(verdict.bad) == {}, verdict.notes
    assert verdict.tried >= LEAST


# The medium


def at(medium: Medium, operation: str, **details: object) -> None:
    medium.apply(operation, details)


def written(root: str) -> Medium:
    """A file written under another name, and renamed."""
    medium = Medium(root, {'a': Held('file', 0o644, b'old', 0)})
    at(medium, 'open', path=f'{root}/t', flags=os.O_CREAT | os.O_RDWR, mode=0o600)
    at(medium, 'write', path=f'{root}/t', inode=1, offset=0, data=b'new' * 3000)
    return medium


def contents(medium: Medium, *, ordered: bool, after: int) -> set[bytes]:
    return {crash.state['a'].data for crash in crashes(medium, ordered=ordered, seed=1, each=99, after=[after])}


@pytest.mark.parametrize('ordered', [True, False])
def test_a_name_given_before_its_data_is_durable_may_lead_to_anything(ordered: bool) -> None:
    medium = written('/x')
    at(medium, 'rename', source='/x/t', target='/x/a')
    found = contents(medium, ordered=ordered, after=medium.when)
    assert {b'old', b'', b'new' * 3000, bytes(9000)} <= found


@pytest.mark.parametrize('ordered', [True, False])
def test_one_given_afterwards_leads_to_the_old_or_the_new(ordered: bool) -> None:
    medium = written('/x')
    at(medium, 'fsync', path='/x/t', inode=1)
    at(medium, 'rename', source='/x/t', target='/x/a')
    assert contents(medium, ordered=ordered, after=medium.when) <= {b'old', b'new' * 3000}
    at(medium, 'fsync', path='/x', inode=0)
    assert contents(medium, ordered=ordered, after=5) == {b'new' * 3000}


def test_names_are_lost_in_order_only_where_the_file_system_has_one() -> None:
    medium = Medium('/x', {})
    for name in 'abc':
        at(medium, 'mkdir', path=f'/x/{name}', mode=0o777)
    ordered = {frozenset(crash.state) for crash in crashes(medium, ordered=True, seed=1, each=99)}
    loose = {frozenset(crash.state) for crash in crashes(medium, ordered=False, seed=1, each=99)}
    assert ordered == {frozenset(''), frozenset('a'), frozenset('ab'), frozenset('abc')}
    assert {frozenset('c'), frozenset('bc'), frozenset('ac')} <= loose


def test_an_fsync_of_a_file_that_was_not_changed_last_takes_nothing_along() -> None:
    medium = Medium('/x', {'old': Held('file', 0o644, b'1', 0)})
    at(medium, 'mkdir', path='/x/a', mode=0o777)
    at(medium, 'fsync', path='/x/old', inode=7)
    assert any('a' not in crash.state for crash in crashes(medium, ordered=True, seed=1, each=99, after=[2]))
    at(medium, 'chmod', path='/x/old', inode=7, mode=0o644)
    at(medium, 'fsync', path='/x/old', inode=7)
    assert all('a' in crash.state for crash in crashes(medium, ordered=True, seed=1, each=99, after=[4]))


def test_a_torn_file_is_made_of_what_was_and_is() -> None:
    old, new = b'a' * 4096 + b'b' * 4096, b'c' * 12000
    for seed in range(50):
        found = shaped(old, new, 'torn', random.Random(seed))
        for start in range(0, len(found), 4096):
            block, was = found[start : start + 4096], old[start : start + 4096]
            size = len(block)
            assert block in (was[:size], was.ljust(size, b'\0'), new[start : start + size], bytes(size))


# The judge


def found(tmp_path: Path, ordered: bool, lost: str = '', name: str = 'add') -> Verdict:
    """What is found after a cut in ``add``, or another one.  ``lost``: an operation that is made, and does nothing."""
    scenario, trial = f04_power.SCENARIOS[name], Trial()
    recording = f04_power.recording_of(mlops(), tmp_path / 'recorded', scenario, ordered, lambda operation: operation == lost)
    medium = recording.medium()
    judge = f04_power.Judge(mlops(), scenario, recording, medium.now(), medium.when, trial)
    for crash in f04_power.choose(recording, ordered=ordered, count=150):
        judge.found(crash)
    return trial.verdict()


@pytest.mark.parametrize('ordered', [True, False])
def test_the_judge_finds_nothing_where_nothing_is_wrong(tmp_path: Path, ordered: bool) -> None:
    assert found(tmp_path, ordered).notes == ()


@pytest.mark.parametrize('ordered', [True, False])
def test_the_judge_sees_a_batch_without_its_fsync(tmp_path: Path, ordered: bool) -> None:
    assert {'corrupt', 'lost'} <= found(tmp_path, ordered, 'fsync').bad.keys()


def test_the_judge_sees_data_that_was_not_written_out_before_the_fsync_of_another_file(tmp_path: Path) -> None:
    assert 'corrupt' in found(tmp_path, True, 'sync_range').bad


def test_the_judge_sees_an_fsync_of_a_file_that_was_not_changed_last(tmp_path: Path) -> None:
    """The change of mode to what it is, before it."""
    assert found(tmp_path, True, 'chmod').bad


def test_the_judge_sees_names_that_are_not_durable_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.fsio.durable import Batch

    monkeypatch.setattr(Batch, '_settle', lambda self, device: None)
    assert found(tmp_path, True).bad.keys() == {'lost'}


def test_the_judge_sees_what_is_pulled_and_named_before_it_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.store.staging import Stage

    monkeypatch.setattr(Stage, 'settle', lambda self, count: None)
    assert 'corrupt' in found(tmp_path, False, name='pull many').bad


def test_the_judge_sees_records_that_come_before_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.fsio import durable

    monkeypatch.setattr(durable, '_naming_order', lambda item: (-item.level, *item.folder))
    assert any('which is not there' in note for note in found(tmp_path, True).notes)


@pytest.mark.parametrize('ordered', [True, False])
def test_the_judge_sees_an_index_that_is_believed_after_a_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ordered: bool
) -> None:
    """As it is where the machine seems to be the same."""
    monkeypatch.setattr(f04_power, 'another_boot', nullcontext)
    monkeypatch.setattr(f04_power, 'lay_index', fits)
    scenario, trial = f04_power.SCENARIOS['run'], Trial()
    recording = f04_power.recording_of(mlops(), tmp_path / 'recorded', scenario, ordered)
    after = [recording.medium().when]
    states = [one for one in crashes(recording.medium(), ordered=ordered, seed=1, each=40, after=after) if 'zero' in one.how]
    with mock.patch.object(f04_power.Judge, 'healed', lambda self, crash, project, dice: run(self, crash, project)):
        f04_power.try_all(mlops(), scenario, recording, states[:6], tmp_path, trial)
    assert 'wrong' in trial.verdict().bad


def fits(project: Path, databases: tuple[bytes, bytes], dice: random.Random) -> str:
    (project / INDEX).parent.mkdir(parents=True, exist_ok=True)
    (project / INDEX).write_bytes(f04_power.fitted(databases[1], project))
    return 'fitted'


def run(judge: f04_power.Judge, crash: Crash, project: Path) -> None:
    warm.do(judge.tool, project, 'run')
    judge.after(crash, project, 'run')


def test_the_judge_sees_lost_files_and_wrong_ones(tmp_path: Path) -> None:
    scenario = f04_power.SCENARIOS['checkout over others']
    recording = f04_power.recording_of(mlops(), tmp_path / 'recorded', scenario, True)
    medium = recording.medium()
    whole = medium.now()
    trial = Trial()
    judge = f04_power.Judge(mlops(), scenario, recording, whole, medium.when, trial)
    state = {path: held for path, held in whole.items() if held.data != f04_power.BY_HAND}
    state['result.txt'] = state['result.txt']._replace(data=b'else')
    f04_power.lay_out(state, tmp_path / 'p')
    judge.after(Crash(medium.when, 'by hand', state), tmp_path / 'p', 'run')
    assert dict(trial.verdict().bad) == {'lost': 1, 'wrong': 1}


def test_the_recorder_notices_what_it_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.fsio import ops

    f04_power.lay(mlops(), tmp_path / 'p')
    monkeypatch.setattr(ops, 'link', os.link)
    with pytest.raises((Incomplete, AssertionError)):
        record(mlops(), tmp_path / 'p', 'add', 'data/in.txt', ordered=True)


SCRIPT = """
mkdir -p a/b && printf one > a/x && printf two >> a/x && cat a/x a/x > 'a/b/y z' && mv a/x a/w && ln a/w a/v && ln -s w a/l
cp a/w a/u && rm a/v && chmod 600 a/u && cd a && printf here > there && mkdir c && rmdir c && sync there
"""


def test_what_strace_tells_is_what_was_done(tmp_path: Path) -> None:
    if why := power_dvc.lacks():
        pytest.skip(why)
    root = tmp_path / 'p'
    root.mkdir()
    subprocess.run([*straced.words(tmp_path / 'log'), 'sh', '-ec', SCRIPT], cwd=root, check=True)
    medium = Medium(str(root), {})
    told = [operation for operation, _ in straced.operations(tmp_path / 'log', medium)]
    assert {path: (held.kind, held.data) for path, held in medium.now().items()} == {
        path: (held.kind, held.data) for path, held in snapshot(root).items()
    }
    assert told.count('fsync') == 1
    assert (root / 'a/there').read_bytes() == b'here'


@pytest.fixture(scope='module', autouse=True)
def loaded() -> None:
    warm.load()
