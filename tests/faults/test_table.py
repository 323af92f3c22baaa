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


class TestNewest:
    """Which counts are shown where the code, or how it is tried, has changed since."""

    def add(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, *cases: str, bad: bool = False, of: int = 2
    ) -> None:
        monkeypatch.setattr(results, 'version_of', lambda *_: version)
        monkeypatch.setattr(results, 'commit_of', lambda _: f'commit of {version}')
        kept = Results(folder)
        for case in cases:
            kept.add(ROW, mlops(), True, case, Verdict(1, {'lost': 1} if bad else {}), of)

    def shown(self, folder: Path) -> tuple[str, int]:
        found = Results(folder).newest(ROW, mlops(), True)
        return found.commit, len(found.verdicts)

    def test_the_last_one_that_was_tried_to_its_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.shown(tmp_path) == ('', 0)
        self.add(tmp_path, monkeypatch, '1', 'a', 'b')
        self.add(tmp_path, monkeypatch, '2', 'a')
        assert self.shown(tmp_path) == ('commit of 1', 2)
        self.add(tmp_path, monkeypatch, '2', 'b')
        assert self.shown(tmp_path) == ('commit of 2', 2)

    def test_a_part_of_it_where_none_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add(tmp_path, monkeypatch, '1', 'a')
        self.add(tmp_path, monkeypatch, '2', 'b')
        assert self.shown(tmp_path) == ('commit of 2', 1)

    def test_a_part_with_anything_bad_hides_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add(tmp_path, monkeypatch, '1', 'a', 'b')
        self.add(tmp_path, monkeypatch, '2', 'a', bad=True)
        assert self.shown(tmp_path) == ('commit of 2', 1)

    def test_what_was_bad_and_is_mended_counts_as_it_was_tried_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.add(tmp_path, monkeypatch, '1', 'a')
        self.add(tmp_path, monkeypatch, '1', 'b', bad=True)
        assert Results(tmp_path).newest(ROW, mlops(), True).bad
        self.add(tmp_path, monkeypatch, '2', 'b')
        found = Results(tmp_path).newest(ROW, mlops(), True)
        assert not found.bad
        assert found.commit == 'commit of 1 (1 again of commit of 2)'
        self.add(tmp_path, monkeypatch, '3', 'b', bad=True)
        assert self.shown(tmp_path) == ('commit of 3', 1)

    def test_the_largest_part_where_none_was_tried_to_its_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.add(tmp_path, monkeypatch, '1', 'a', bad=True, of=9)
        self.add(tmp_path, monkeypatch, '2', 'a', of=9)
        self.add(tmp_path, monkeypatch, '2', 'b', bad=True, of=9)
        self.add(tmp_path, monkeypatch, '3', 'c', of=9)
        assert self.shown(tmp_path) == ('commit of 3', 1)  # of 2 something is bad, of which nobody knows better
        self.add(tmp_path, monkeypatch, '3', 'b', of=9)
        assert self.shown(tmp_path) == ('commit of 3', 2)
        self.add(tmp_path, monkeypatch, '4', 'd', of=9)
        assert self.shown(tmp_path) == ('commit of 3', 2)
        self.add(tmp_path, monkeypatch, '4', 'e', bad=True, of=9)
        assert self.shown(tmp_path) == ('commit of 4', 2)


class TestStanding:
    """What a page has that was counted on another machine."""

    ZERO = ('0',) * 6
    PAGE = (
        f'{table.BEGIN}\n'
        '| row | what is done | tool | tried | lost | corrupt | wrong | escaped | leaked | stuck | heals in | of |\n'
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n'
        '| F1 | killed | mlops | 2,431 | 0 | 0 | 0 | 0 | 0 | 0 | 1.98 s | b0a9f5f |\n'
        '| F1 |  | dvc | 20 (20 of 64 cases) | 0 | 0 | 0 | 0 | 2 | 0 | 1.65 s | 3.67.1 |\n'
        f'| F2 | errors | mlops | not tried |  |  |  |  |  |  |  |  |\n{table.END}\n| F3 | x | mlops | 1 | | | | | | | | |'
    )

    def test_is_read(self) -> None:
        found = table.standing(self.PAGE)
        assert [*found] == [('F1', 'mlops'), ('F1', 'dvc'), ('F2', 'mlops')]
        assert found['F1', 'mlops'] == ('mlops', '2,431', *self.ZERO, '1.98 s', 'b0a9f5f')

    def test_stands_until_more_or_worse_is_known(self) -> None:
        whole = ('mlops', '2,431', *self.ZERO, '1.98 s', 'b0a9f5f')
        part = ('mlops', '20 (2 of 9 cases)', *self.ZERO, '', '6161f5a')
        worse = ('mlops', '20 (2 of 9 cases)', '0', '10', '0', '0', '0', '0', '', '6161f5a')
        none = ('mlops', 'not tried', *('',) * 8)
        other = ('mlops', '2,500', *self.ZERO, '1.98 s', '6161f5a')
        older = ('mlops', '10 (1 of 9 cases)', *self.ZERO, '', '322d05d')
        assert table.chosen(none, whole) == table.chosen(part, whole) == whole
        assert table.chosen(worse, whole) == worse and table.chosen(other, whole) == other
        assert table.chosen(part, older) == part and table.chosen(none, older) == older
        assert table.chosen(none, None) == none and table.chosen(part, none) == part
