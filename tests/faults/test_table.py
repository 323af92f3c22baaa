"""What was tried and how the table says it: no more than was tried, of no other code than this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import results, table
from tests.faults.base import Row, Setting, Verdict
from tests.faults.results import Changed, Results, Tried
from tests.faults.tools import Tool, mlops


def _none(_: Setting) -> Sequence[str]:
    return ()


ROW = Row('F1', 'killed', '', _none, lambda *_: Verdict())


def test_a_part_says_that_it_is_one(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    kept.add(ROW, mlops(), True, 'a', Verdict(1000, {'lost': 2}, 0.5), 3)
    kept.add(ROW, mlops(), True, 'b', Verdict(500), 3)
    kept.add(ROW, mlops(), False, 'c', Verdict(7), 1)
    assert table.counts(mlops(), kept.of(ROW, mlops(), True))[1:3] == ('1,500 (2 of 3 cases)', '2')
    assert table.counts(mlops(), kept.of(ROW, mlops(), False), 'the fast tier')[1] == '7 (the fast tier)'
    kept.add(ROW, mlops(), True, 'd', Verdict(1), 3)
    assert table.counts(mlops(), kept.of(ROW, mlops(), True))[1] == '1,501'


def test_what_was_tried_of_other_code_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Results(tmp_path)
    kept.add(ROW, mlops(), True, 'a', Verdict(1), 2)
    usual = results.version_of

    def other(row: Row, tool: Tool) -> str:
        return f'{usual(row, tool)}x'

    monkeypatch.setattr(results, 'version_of', other)
    with pytest.raises(Changed):
        kept.add(ROW, mlops(), True, 'b', Verdict(1), 2)
    assert Results(tmp_path).of(ROW, mlops(), True) == Tried()


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    kept.add(ROW, mlops(), True, 'a', Verdict(1), 1)
    whole = kept.path.read_bytes()
    kept.path.write_bytes(whole + whole[:-20])
    assert set(kept.of(ROW, mlops(), True).verdicts) == {'a'}
