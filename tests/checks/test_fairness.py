"""Rates of groups, against their definitions computed with another library."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from mlops_cli.checks import fairness
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
    assert found(path, positive='0.5').groups[0].false_positives == 1
    (tmp_path / 'q.csv').write_text('label,prediction,group\n1,much,a\n')
    with pytest.raises(UserError, match='no score'):
        found(tmp_path / 'q.csv', 0.5)


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
