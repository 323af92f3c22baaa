"""How a classifier treats groups: rates of each, and how far they lie apart.

The words mean what they mean in the literature: selection rate P(prediction), true positive rate P(prediction | label), false
positive rate P(prediction | no label); demographic parity compares selection rates, equalised odds the larger difference of
both other rates."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean

GROUPS = 200
LONGEST = 200  # characters of the name of a group
RATES = ('selection_rate', 'true_positive_rate', 'false_positive_rate', 'accuracy')


@dataclass
class Group:
    """``rows``: with label and prediction; of them ``true_positives`` and so on."""

    name: str
    rows: int = 0
    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    @property
    def rates(self) -> dict[str, float | None]:
        """None where there is nothing to divide by."""
        positives = self.true_positives + self.false_negatives
        negatives = self.rows - positives
        right = self.rows - self.false_positives - self.false_negatives
        return {
            'selection_rate': _share(self.true_positives + self.false_positives, self.rows),
            'true_positive_rate': _share(self.true_positives, positives),
            'false_positive_rate': _share(self.false_positives, negatives),
            'accuracy': _share(right, self.rows),
        }


@dataclass
class Fairness:
    """``left_out``: rows without a label, prediction or group."""

    groups: list[Group] = field(default_factory=list)
    left_out: int = 0

    def _rates(self, name: str) -> list[float]:
        return [rate for group in self.groups if (rate := group.rates[name]) is not None]

    def difference(self, name: str) -> float | None:
        rates = self._rates(name)
        return max(rates) - min(rates) if rates else None

    def ratio(self, name: str) -> float | None:
        """The least rate over the greatest; None where nothing is selected at all."""
        rates = self._rates(name)
        most: float = max(rates, default=0.0)
        return min(rates) / most if most else None

    @property
    def figures(self) -> dict[str, float | None]:
        odds = [self.difference(name) for name in ('true_positive_rate', 'false_positive_rate')]
        known = [one for one in odds if one is not None]
        return {
            'demographic_parity_difference': self.difference('selection_rate'),
            'demographic_parity_ratio': self.ratio('selection_rate'),
            'equalized_odds_difference': max(known) if known else None,
            'accuracy_difference': self.difference('accuracy'),
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def of_table(
    path: str,
    columns: tuple[str, str, tuple[str, ...]],
    positive: str,
    cut: float | None,
    open_file: reading.Open,
    step: Callable[[int], object],
) -> Fairness:
    """``columns``: of the label, the prediction, the groups.  ``positive``: the value that is one; empty: 1 and true.  ``cut``:
    a prediction is a score, and positive from there on.  Raises UserError."""
    label, prediction, by = columns
    found: dict[str, Group] = {}
    whole = Fairness()
    rows = 0
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            place = {name: at for at, name in enumerate(piece.names)}
            for name in (label, prediction, *by):
                if name not in place:
                    raise UserError(f'{path} has no column {name!r}', hint=did_you_mean(name, piece.names, what='there are'))
            labels, predictions = piece.cells[place[label]], piece.cells[place[prediction]]
            for truth, said, *names in zip(labels, predictions, *(piece.cells[place[name]] for name in by), strict=True):
                texts = [form.text_of(name) for name in names]
                if truth in (None, '') or said in (None, '') or not all(texts):
                    whole.left_out += 1
                    continue
                name = ', '.join(texts)[:LONGEST]
                _count(found, name, _is_positive(truth, positive, None), _is_positive(said, positive, cut))
            rows += piece.rows
            step(rows)
    whole.groups = sorted(found.values(), key=lambda group: group.name)
    if not whole.groups:
        raise UserError(f'{path} has no row with a label, a prediction and a group', exit_code=ExitCode.FAILED)
    return whole


def _count(found: dict[str, Group], name: str, truth: bool, said: bool) -> None:
    group = found.get(name)
    if group is None:
        if len(found) >= GROUPS:
            raise UserError(f'more than {GROUPS} groups', hint='name a column with few values')
        group = found[name] = Group(name)
    group.rows += 1
    group.true_positives += truth and said
    group.false_positives += said and not truth
    group.false_negatives += truth and not said


def _is_positive(value: Any, positive: str, cut: float | None) -> bool:
    if cut is not None:
        try:
            return float(value) >= cut
        except (TypeError, ValueError, OverflowError):
            raise UserError(f'{str(value)[:40]!r} is no score', hint='--score is for predictions that are numbers') from None
    text = form.text_of(value)
    return text == positive if positive else text.strip().lower() in ('1', '1.0', 'true')
