"""F11 in small: the very same code on a few sequences, and whether its judge sees what it is there for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.base import Bad, Setting
from tests.faults.edits_judge import Act, Played
from tests.faults.edits_world import Side, save_as_editors_do
from tests.faults.rows import f11_edits
from tests.faults.tools import Done, mlops


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('shared')


@pytest.fixture
def setting(shared: Path, tmp_path: Path) -> Setting:
    return Setting(mlops(), tmp_path, shared, full=False)


@pytest.fixture
def side(setting: Setting) -> Side:
    return f11_edits.laid(setting, setting.folder / 'laid', 'copy', False)


@pytest.mark.parametrize('case', f11_edits.cases(Setting(mlops(), Path(), Path(), full=False)))
def test_no_byte_of_anybody_is_gone(setting: Setting, case: str) -> None:
    verdict = f11_edits.run(setting, case)
    assert verdict.notes == () and verdict.bad == {} and verdict.tried


class Spoiled(Played):
    """Something goes wrong just after the first command."""

    def __init__(self, side: Side, spoil: Callable[[Path, Done], Done | None]) -> None:
        super().__init__(side)
        self.spoil: Callable[[Path, Done], Done | None] | None = spoil

    def perform(self, act: Act, root: Path, log: Path) -> Done:
        done = super().perform(act, root, log)
        spoil, self.spoil = self.spoil, None
        return (spoil(root, done) if spoil else None) or done


def gone(root: Path, _: Done) -> None:
    (root / 'data/set/1').unlink()


def touched(root: Path, _: Done) -> None:
    save_as_editors_do(root / 'notes/own.txt', b'yours')


def other_data(root: Path, _: Done) -> None:
    save_as_editors_do(root / 'data/one.csv', b'other')


def other_output(root: Path, _: Done) -> None:
    save_as_editors_do(root / 'out/a', b'other')


def object_gone(root: Path, _: Done) -> None:
    next(path for path in (root / '.mlops/cache/objects-v1').rglob('*') if path.is_file()).unlink()


def object_flipped(root: Path, _: Done) -> None:
    victim = next(path for path in (root / '.mlops/cache/objects-v1').rglob('*') if path.is_file() and path.read_bytes())
    data = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def lies_about(root: Path, _: Done) -> None:
    (root / '.mlops/local/work/x/aside').mkdir(parents=True)
    (root / '.mlops/local/work/x/aside/old').write_text('one')
    (root / 'src/.mlops-tmp-1').write_text('two')


def crash(_: Path, done: Done) -> Done:
    return replace(done, code=70, err='Traceback')


def says_it_kept(_: Path, done: Done) -> Done:
    return replace(done, out=json.dumps({**json.loads(done.out), 'kept': ['.mlops/local/rescue/x/d']}))


def says_it_stayed(_: Path, done: Done) -> Done:
    return replace(done, out=json.dumps({**json.loads(done.out), 'stayed': ['d/nothing']}), code=0)


EDITED = Act('edit', ('data/set/1', 'replace'), number=7)
CHECKOUT = Act('do', ('checkout', '--force', '--json'))
SPOILED = [
    (gone, [EDITED, Act('do', ('checkout',))], Bad.LOST),
    (gone, [EDITED, CHECKOUT], Bad.CORRUPT),
    (gone, [Act('do', ('add', 'data/set'))], Bad.LOST),
    (touched, [CHECKOUT], Bad.LOST),
    (touched, [Act('do', ('status',))], Bad.LOST),
    (other_data, [Act('do', ('run',))], Bad.LOST),
    (other_data, [Act('delete', ('data/one.csv',)), CHECKOUT], Bad.CORRUPT),
    (other_output, [Act('do', ('run',))], Bad.WRONG),
    (other_output, [Act('delete', ('out/a',)), CHECKOUT], Bad.CORRUPT),
    (object_gone, [CHECKOUT], Bad.LOST),
    (object_flipped, [CHECKOUT], Bad.LOST),
    (lies_about, [CHECKOUT], Bad.LEAKED),
    (crash, [CHECKOUT], Bad.WRONG),
    (says_it_kept, [CHECKOUT], Bad.WRONG),
    (says_it_stayed, [CHECKOUT], Bad.WRONG),
]


@pytest.mark.parametrize(('spoil', 'acts', 'kind'), SPOILED, ids=lambda value: getattr(value, '__name__', ''))
def test_the_judge_sees(side: Side, spoil: Callable[[Path, Done], Done | None], acts: list[Act], kind: Bad) -> None:
    played = Spoiled(side, spoil)
    for act in acts:
        played.act(act)
    if kind is Bad.LEAKED:
        played.end()
    assert kind in {one.kind for one in played.problems}, played.problems


def test_the_judge_has_nothing_to_say_where_nothing_is_wrong(side: Side) -> None:
    acts = [EDITED, Act('do', ('checkout', '--json')), CHECKOUT, Act('do', ('run',)), Act('do', ('add', 'data/set'))]
    assert Played(side).play(acts) == []


def test_what_is_saved_at_an_output_while_its_stage_runs_is_the_stages_to_write_over(setting: Setting) -> None:
    for at in range(26, 40):
        side = f11_edits.laid(setting, setting.folder / f'at-{at}', 'copy', False)
        acts = [
            Act('edit', ('src/in.txt', 'over'), number=1),
            Act('do', ('run', 'folder'), meanwhile=(at, 'd/x', 'over', 2)),
        ]
        played = Played(side)
        for act in acts:
            played.act(act)
        assert played.problems == []
        log = side.folder / 'edited'
        if log.exists() and json.loads(log.read_text())['begun']:
            return
    raise AssertionError('no edit fell between')


def test_a_sequence_is_told_by_the_fewest_steps(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that loses the content of one file, if that was edited before."""
    spoiled = Played.perform

    def perform(played: Played, act: Act, root: Path, log: Path) -> Done:
        done = spoiled(played, act, root, log)
        if act.words[0] == 'status' and (root / 'out/a').read_bytes().startswith(b'00000007'):
            (root / 'out/a').unlink()
        return done

    monkeypatch.setattr(Played, 'perform', perform)
    edits = [Act('edit', (path, 'replace'), number=number) for number, path in enumerate(('d/x', 'data/loose.txt', 'out/a'), 5)]
    acts = [edits[0], Act('do', ('plan',)), *edits[1:], Act('commit'), Act('do', ('status',)), Act('do', ('add', 'data/set'))]
    found, text = f11_edits.shortest(setting, 'copy', False, acts, Bad.LOST)
    assert found == [edits[2], Act('do', ('status',))] and 'out/a' in text
