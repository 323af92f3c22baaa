"""Rates of groups, against their definitions computed with another library."""

from __future__ import annotations

import os
import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from mlops_cli.checks import fairness, sql_table
from mlops_cli.core.errors import UserError
from tests.support.project import Project


def found(path: Path, cut: float | None = None, positive: str = '') -> fairness.Fairness:
    columns = ('label', 'prediction', ('group',))
    return fairness.of_table(str(path), columns, positive, cut, lambda name: os.open(name, os.O_RDONLY), lambda _: None)


def test_as_defined(tmp_path: Path) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix

    chance = random.Random(3)
    rows = [(int(chance.random() < 0.4), int(chance.random() < 0.5), chance.choice('abc')) for _ in range(3000)]
    path = tmp_path / 'p.csv'
    path.write_text('label,prediction,group\n' + ''.join(f'{a},{b},{c}\n' for a, b, c in rows) + '1,,a\n')
    mine = found(path)
    rates: dict[str, dict[str, float]] = {}
    for name in 'abc':
        truth, said = zip(*[(a, b) for a, b, c in rows if c == name], strict=True)
        tn, fp, fn, tp = confusion_matrix(truth, said).ravel()
        rates[name] = {'selection_rate': sum(said) / len(said), 'true_positive_rate': tp / (tp + fn),
                       'false_positive_rate': fp / (fp + tn), 'accuracy': accuracy_score(truth, said)}  # fmt: skip
    assert mine.left_out == 1 and [one.name for one in mine.groups] == ['a', 'b', 'c']
    for one in mine.groups:
        assert one.rates == pytest.approx(rates[one.name], abs=1e-12)

    def spread(name: str) -> float:
        return max(one[name] for one in rates.values()) - min(one[name] for one in rates.values())

    chosen = [one['selection_rate'] for one in rates.values()]
    assert mine.figures == pytest.approx({
        'demographic_parity_difference': spread('selection_rate'), 'demographic_parity_ratio': min(chosen) / max(chosen),
        'equalized_odds_difference': max(spread('true_positive_rate'), spread('false_positive_rate')),
        'accuracy_difference': spread('accuracy'),
    }, abs=1e-9)  # fmt: skip


def test_scores_words_and_nothing_to_divide_by(tmp_path: Path) -> None:
    path = tmp_path / 'p.jsonl'
    path.write_text('{"label": 0, "prediction": 0.5, "group": "x"}\n{"label": 0, "prediction": 0.4, "group": "y"}\n')
    assert found(path, 0.5).figures['equalized_odds_difference'] == 1.0
    assert found(path, 0.5).groups[0].rates['true_positive_rate'] is None
    assert found(path, 2.0).figures['demographic_parity_ratio'] is None
    (tmp_path / 'w.csv').write_text('label,prediction,group\nno,yes,a\nno,no,b\n')
    assert found(tmp_path / 'w.csv', positive='yes').groups[0].false_positives == 1
    (tmp_path / 'q.csv').write_text('label,prediction,group\n1,much,a\n')
    with pytest.raises(UserError, match='no score'):
        found(tmp_path / 'q.csv', 0.5)


@pytest.mark.parametrize(('rows', 'cut', 'positive', 'says'), [
    ('yes,no,a\nyes,yes,b\nno,yes,a\n', None, '', "'yes' in the column 'label' is neither 1 nor 0"),
    ('1,no,a\n1,yes,b\n', None, '', "in the column 'prediction' is neither"),
    ('yes,no,a\nyes,yes,b\n', None, 'Yes', "nothing in the column 'label' is 'Yes'"),
    ('yes,0,a\nyes,1,b\nno,1,a\n', None, 'yes', "nothing in the column 'prediction' is 'yes'"),
    ('0,yes,a\n1,yes,b\n1,no,a\n', None, 'yes', "nothing in the column 'label' is 'yes'"),
    ('yes,0.1,a\nno,0.9,b\n', 0.5, 'Yes', "nothing in the column 'label' is 'Yes'"),
    ('1,nan,a\n1,0.9,b\n', 0.5, '', "'nan' in the column 'prediction' is no score"),
])  # fmt: skip
def test_words_nobody_understood_are_no_equal_rates(
    tmp_path: Path, rows: str, cut: float | None, positive: str, says: str
) -> None:
    (tmp_path / 'q.csv').write_text(f'label,prediction,group\n{rows}')
    with pytest.raises(UserError, match=says):
        found(tmp_path / 'q.csv', cut, positive)


def test_who_is_never_chosen_is_understood(tmp_path: Path) -> None:
    (tmp_path / 'q.csv').write_text('label,prediction,group\nyes,no,a\nno,no,b\n')
    assert found(tmp_path / 'q.csv', positive='yes').figures['demographic_parity_difference'] == 0


@pytest.mark.skipif(find_spec('duckdb') is None, reason='needs duckdb')
def test_both_ways_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    chance = random.Random(4)
    cells = ['0', '1', '1.0', ' 1', 'True', '']
    rows = [f'{chance.choice(cells)},{chance.choice(cells)},{chance.choice(["a", "b", ""])}' for _ in range(500)]
    path = tmp_path / 'p.csv'
    path.write_text('label,prediction,group\n' + '\n'.join(rows) + '\n')
    scores = tmp_path / 's.csv'
    scored = (f'{at % 2},{at % 7 / 7:.2f},{at % 3}\n' for at in range(90))
    scores.write_text('label,prediction,group\n' + ''.join(scored) + '0,,a\n')
    parquet = tmp_path / 's.parquet'
    duckdb.execute(f"COPY (SELECT * FROM read_csv('{scores}')) TO '{parquet}' (FORMAT parquet)")
    asked = [(path, None, ''), (path, None, '1.0'), (scores, 0.5, '')]
    by_rows = [found(*one) for one in asked]
    monkeypatch.setattr(sql_table, 'SMALL', 0)
    with monkeypatch.context() as patch:
        patch.setattr(fairness, '_rows', lambda *_: pytest.fail('read row by row'))
        assert [found(*one) for one in asked] == by_rows
        assert found(parquet, 0.5) == by_rows[2]
    path.write_text('label,prediction,group\n1,much,a\n')
    with pytest.raises(UserError, match='no score'):
        found(path, 0.5)


def test_limits(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write('p.csv', 'label,prediction,g\n1,1,a\n0,1,a\n1,0,\x1b[31mb\n0,0,\x1b[31mb\n')
    words = ('check', 'fairness', 'p.csv', '--group', 'g')
    assert 'demographic parity difference: 1.0000' in project.mlops(*words).out
    failed = project.mlops(*words, '--max-odds', '0.1', '-o', 'a.html', '-o', 'a.md', code=1)
    assert 'equalized odds difference: 1.0000, at most 0.1   FAILED' in failed.out and '\x1b' not in failed.out
    assert '<svg' in (project.path / 'a.html').read_text()
    assert not project.mlops(*words, '--min-ratio', '0.8', '--json', code=1).json['passed']
    assert "no column 'x'" in project.mlops('check', 'fairness', 'p.csv', '-g', 'x', code=2).err


@pytest.mark.full
def test_as_fairlearn_says(tmp_path: Path) -> None:
    metrics = pytest.importorskip('fairlearn.metrics')
    from sklearn.metrics import accuracy_score

    chance = random.Random(11)
    rows = [(int(chance.random() < 0.3), int(chance.random() < 0.4), chance.choice('abcd')) for _ in range(4000)]
    path = tmp_path / 'p.csv'
    path.write_text('label,prediction,group\n' + ''.join(f'{a},{b},{c}\n' for a, b, c in rows))
    truth, said, groups = zip(*rows, strict=True)
    asked = {'sensitive_features': groups}
    mine = found(path)
    assert mine.figures == pytest.approx({
        'demographic_parity_difference': metrics.demographic_parity_difference(truth, said, **asked),
        'demographic_parity_ratio': metrics.demographic_parity_ratio(truth, said, **asked),
        'equalized_odds_difference': metrics.equalized_odds_difference(truth, said, **asked),
        'accuracy_difference': metrics.MetricFrame(metrics=accuracy_score, y_true=truth, y_pred=said, **asked).difference(),
    }, abs=1e-9)  # fmt: skip
    frame = metrics.MetricFrame(
        metrics={'selection_rate': metrics.selection_rate, 'true_positive_rate': metrics.true_positive_rate,
                 'false_positive_rate': metrics.false_positive_rate, 'accuracy': accuracy_score},
        y_true=truth, y_pred=said, **asked,
    )  # fmt: skip
    for one in mine.groups:
        assert one.rates == pytest.approx(frame.by_group.loc[one.name].to_dict(), abs=1e-9)
