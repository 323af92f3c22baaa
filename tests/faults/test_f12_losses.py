"""F12 in small: the very same code on a few scenarios, and whether each sees what it is there for."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.base import Bad, Setting
from tests.faults.edits_world import Side, files, save_as_editors_do
from tests.faults.rows import f12_losses
from tests.faults.tools import REPOSITORY, Done, mlops


@pytest.fixture(scope='module')
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('shared')


@pytest.fixture
def setting(shared: Path, tmp_path: Path) -> Setting:
    return Setting(mlops(), tmp_path, shared, full=False)


@pytest.mark.parametrize('case', f12_losses.cases(Setting(mlops(), Path(), Path(), full=False)))
def test_nothing_is_lost_as_it_was(setting: Setting, case: str) -> None:
    verdict = f12_losses.tried(setting, case)
    assert verdict.notes == () and verdict.bad == {} and verdict.tried == 1


def replaced(side: Side) -> None:
    for path in ('data/one.csv', 'data/set/1', 'out/a', 'd/x'):
        save_as_editors_do(side.project / path, b'other bytes')


def gone(side: Side) -> None:
    for path in (side.project / 'data').rglob('*.csv'):
        path.unlink()
    for cache in side.caches():
        for path in files(cache / 'objects-v1', ()):
            path.unlink()


def escapes(side: Side) -> None:
    if (side.folder / 'outside').exists() and (side.project / 'deep').is_symlink():
        (side.project / 'deep/post-checkout').write_text('here')


def damages(side: Side) -> None:
    for path in files(side.caches()[0] / 'objects-v1', ()):
        if path.stat().st_size:
            f12_losses.damage(path)


SPOILED = [
    ('1258', replaced, 'checkout', Bad.LOST),
    ('278', damages, 'run', Bad.CORRUPT),
    ('5978', replaced, 'checkout', Bad.CORRUPT),
    ('4634', replaced, 'run', Bad.STUCK),
    ('8874', gone, 'checkout', Bad.LOST),
    ('11101', escapes, 'checkout', Bad.ESCAPED),
]


@pytest.mark.parametrize(('issue', 'spoil', 'after', 'kind'), SPOILED, ids=lambda value: getattr(value, '__name__', str(value)))
def test_a_scenario_sees(
    setting: Setting, issue: str, spoil: Callable[[Side], None], after: str, kind: Bad, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = f12_losses.do

    def spoiled(side: Side, *words: str, before: tuple[str, ...] = ()) -> Done:
        found = done(side, *words, before=before)
        if words[0] == after:
            spoil(side)
        return found

    monkeypatch.setattr(f12_losses, 'do', spoiled)
    case = next(name for name in f12_losses.ALL if name.startswith(issue))
    assert f12_losses.tried(setting, case).bad == {kind.value: 1}


def test_every_issue_of_the_page_has_its_test() -> None:
    """And every test its line: docs/explanation/losses.md."""
    page = (REPOSITORY / 'docs/explanation/losses.md').read_text()
    there = {name for file in (REPOSITORY / 'tests/cases').glob('test_dvc_*.py') for name in NAMES.findall(file.read_text())}
    assert there == {*re.findall(r'`(test_(?:dvc|snakemake)_\w+)`', page)} and len(there) > 20
    told = {*re.findall(r'(?:#|Snakemake )(\d+)', page)}
    assert {number for name in f12_losses.ALL for number in re.findall(r'\d{3,}', name)} <= told


NAMES = re.compile(r'^def (test_(?:dvc|snakemake)_\w+)', re.MULTILINE)
