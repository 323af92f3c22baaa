"""How a classifier treats groups: rates of each, and how far they lie apart.

The words mean what they mean in the literature: selection rate P(prediction), true positive rate P(prediction | label), false
positive rate P(prediction | no label); demographic parity compares selection rates, equalised odds the larger difference of
both other rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from mlops_cli.checks import contract as form
from mlops_cli.checks import reading, sql_table
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean

GROUPS = 200
VALUES = 50  # of a column of labels that are remembered
COMBINATIONS = 50_000  # of labels, predictions and groups that DuckDB counts
LONGEST = 200  # characters of the name of a group
RATES = ('selection_rate', 'true_positive_rate', 'false_positive_rate', 'accuracy')

Columns = tuple[str, str, tuple[str, ...]]  # of the label, the prediction, the groups
Row = tuple[Any, Any, Sequence[Any], int]  # label, prediction, groups, and how many such rows


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
    columns: Columns,
    positive: str,
    cut: float | None,
    open_file: reading.Open,
    step: Callable[[int], object],
) -> Fairness:
    """``columns``: of the label, the prediction, the groups.  ``positive``: the value that is one; empty: 1 and true.  ``cut``:
    a prediction is a score, and positive from there on.  Raises UserError, also where the words of a column are not those that
    mean yes or no: rates of a table that nobody understood are all alike."""
    label, prediction, _ = columns
    found = Fairness()
    groups: dict[str, Group] = {}
    truths, answers = _Words(label, positive), _Words(prediction, positive) if cut is None else _Scores(prediction, cut)
    told = _counted(path, columns, cut, open_file)
    for truth, said, names, rows in told if told is not None else _rows(path, columns, open_file, step):
        texts = [form.text_of(name) for name in names]
        if truth in (None, '') or said in (None, '') or not all(texts):
            found.left_out += rows
            continue
        _count(groups, ', '.join(texts)[:LONGEST], truths.is_positive(truth), answers.is_positive(said), rows)
    found.groups = sorted(groups.values(), key=lambda group: group.name)
    if not found.groups:
        raise UserError(f'{path} has no row with a label, a prediction and a group', exit_code=ExitCode.FAILED)
    truths.refuse_foreign(answers if isinstance(answers, _Words) else truths)
    return found


def _refuse_missing(path: str, columns: Columns, names: Sequence[str]) -> None:
    label, prediction, by = columns
    for name in (label, prediction, *by):
        if name not in names:
            raise UserError(f'{path} has no column {name!r}', hint=did_you_mean(name, names, what='there are'))


def _rows(path: str, columns: Columns, open_file: reading.Open, step: Callable[[int], object]) -> Iterator[Row]:
    label, prediction, by = columns
    rows = 0
    with closing(reading.pieces(path, open_file)) as pieces:
        for piece in pieces:
            _refuse_missing(path, columns, piece.names)
            place = {name: at for at, name in enumerate(piece.names)}
            asked = (piece.cells[place[name]] for name in (label, prediction, *by))
            for truth, said, *names in zip(*asked, strict=True):
                yield truth, said, names, 1
            rows += piece.rows
            step(rows)


def _counted(path: str, columns: Columns, cut: float | None, open_file: reading.Open) -> list[Row] | None:
    """How often each label, prediction and group come together, by DuckDB; None where only reading rows can tell.  Of scores,
    what counts is on which side of the cut they are."""
    try:
        with sql_table.table(path, open_file) as file:
            if file is None:
                return None
            kinds, parquet = dict(file.columns), sql_table.is_parquet(path)
            _refuse_missing(path, columns, list(kinds))
            label, prediction, by = columns
            if any(kinds[name].startswith('TIMESTAMP') for name in (label, prediction, *by)):
                return None
            cells = sql_table.Cells(prediction, kinds[prediction], parquet)
            chosen = cells.name if cut is None else f'CASE WHEN NOT {cells.null} THEN ({cells.number}) >= {float(cut)!r} END'
            others = [sql_table.Cells(name, kinds[name], parquet).name for name in (label, *by)]
            values = [f'{cells.null} AS missing', f'{chosen} AS said', *(f'{one} AS c{at}' for at, one in enumerate(others))]
            names = ['missing', 'said', *(f'c{at}' for at in range(len(others)))]
            rows = file.of_values([*names, 'count(*)'], values, f'GROUP BY {", ".join(names)} LIMIT {COMBINATIONS + 1}')
    except UserError:
        if sql_table.is_parquet(path):
            raise
        return None
    if len(rows) > COMBINATIONS or (cut is not None and any(said is None and not missing for missing, said, *_ in rows)):
        return None  # or a score that is no finite number
    found: list[Row] = []
    for missing, said, truth, *names, count in rows:
        answer = reading.plain(said) if cut is None else None if missing else math.inf if said else -math.inf
        found.append((reading.plain(truth), answer, list(map(reading.plain, names)), int(count)))
    return found


def _count(found: dict[str, Group], name: str, truth: bool, said: bool, rows: int) -> None:
    group = found.get(name)
    if group is None:
        if len(found) >= GROUPS:
            raise UserError(f'more than {GROUPS} groups', hint='name a column with few values')
        group = found[name] = Group(name)
    group.rows += rows
    group.true_positives += rows * (truth and said)
    group.false_positives += rows * (said and not truth)
    group.false_negatives += rows * (truth and not said)


class _Words:
    """Of a column of labels or predictions; ``positive`` empty: 1 and true are yes, 0 and false no, nothing else is."""

    def __init__(self, column: str, positive: str) -> None:
        self._column, self._positive = column, positive
        self._other: set[str] = set()
        self._any = False

    def is_positive(self, value: Any) -> bool:
        text = form.text_of(value)
        if not self._positive:
            if (word := text.strip().lower()) not in ('1', '1.0', 'true', '0', '0.0', 'false'):
                raise UserError(
                    f'{text[:40]!r} in the column {self._column!r} is neither 1 nor 0, true nor false',
                    hint='name the value that counts as positive: --positive VALUE; of scores the least one: --score X',
                )
            return word in ('1', '1.0', 'true')
        if text == self._positive:
            self._any = True
            return True
        if len(self._other) <= VALUES:
            self._other.add(text)
        return False

    def refuse_foreign(self, other: _Words) -> None:
        """Where the positive value is in neither column, or one column has it and the other has words of its own."""
        if not self._positive:
            return
        for one, two in ((self, other), (other, self)):
            if not one._any and (not two._any or not one._other <= two._other):
                raise UserError(
                    f'nothing in the column {one._column!r} is {self._positive!r}',
                    hint=f'--positive takes one of its values: {", ".join(sorted(one._other)[:5])}'[:LONGEST],
                )


class _Scores:
    def __init__(self, column: str, cut: float) -> None:
        self._column, self._cut = column, cut

    def is_positive(self, value: Any) -> bool:
        try:
            score = float(value)
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        if math.isnan(score):  # no confident no
            raise UserError(
                f'{str(value)[:40]!r} in the column {self._column!r} is no score',
                hint='--score is for predictions that are numbers; leave a cell empty where there is none',
            )
        return score >= self._cut
