"""What models cost: each with all recorded results that led to it, every one of them counted once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest
from mlops_cli.experiments.ledger import Ledger, Row
from mlops_cli.experiments.lineage import upstream
from mlops_cli.experiments.lineage_model import Made, Target
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.costs import costs_of, works
from mlops_cli.records.runs import Run
from mlops_cli.usage.cost import Cost, Work
from mlops_cli.usage.prices import Book

Result = tuple[Digest, str]  # a key, and what tells its results apart
UNRECORDED = 'what results took whose run is not recorded here'
UNKNOWN_INPUTS = 'what led to results whose inputs are not known here'


@dataclass(frozen=True, slots=True)
class Making:
    """How a result came to be."""

    run: Run
    work: Work
    cost: Cost


@dataclass
class ModelCost:
    """``last``: what led to its last result; ``run``: that had this, its short name.  ``results``: how many there are."""

    model: str
    run: str = ''
    started: str = ''
    results: int = 0
    last: Row = field(default_factory=lambda: Row(''))


@dataclass(frozen=True)
class ModelLedger:
    """``ledger``: of all results that each model ever had; in its total each result counts once, whichever models it led to."""

    ledger: Ledger
    models: Sequence[ModelCost]


def models_of(pipeline: Pipeline) -> dict[str, frozenset[str]]:
    """Model -> the stages that make it."""
    found: dict[str, set[str]] = {}
    for name, stage in pipeline.stages.items():
        if stage.model is not None:
            found.setdefault(stage.model.name, set()).add(name)
    return {model: frozenset(stages) for model, stages in sorted(found.items())}


def model_ledger(
    records: Records, runs: Iterable[Run], book: Book, since: float | None = None, until: float | None = None
) -> ModelLedger:
    """``since``, ``until``: of runs whose work counts.  Raises UserError, OSError."""
    every = sorted(runs, key=lambda run: run.id)
    counting = _Counting(every, book, since, until)
    rows: dict[str, Row] = {}
    told: list[ModelCost] = []
    all_led: dict[str, Made] = {}
    lost: set[Result] = set()
    for model, stages in models_of(records.bench.pipeline).items():
        had = _had(every, stages)
        if not had:
            continue
        led, gone = _led(records, had)
        all_led |= led
        lost |= gone
        rows[model] = counting.row(model, led.values(), gone)
        last, run = next(reversed(had.items()))
        one = ModelCost(model, run.short, run.started, len(had))
        one.last = counting.row(model, *_values(_led(records, {last: run})))
        told.append(one)
    why: dict[str, int] = {}
    total = counting.row('', all_led.values(), lost, why)
    return ModelLedger(Ledger(rows, total, why), told)


def _values(found: tuple[dict[str, Made], set[Result]]) -> tuple[Iterable[Made], set[Result]]:
    return found[0].values(), found[1]


def _had(runs: Sequence[Run], stages: frozenset[str]) -> dict[Result, Run]:
    """The results that the stages of a model had, the one that was had last at the end, each with its last run."""
    found: dict[Result, Run] = {}
    for run in runs:
        had = [(one.key, one.outs8) for one in run.stages
               if one.name in stages and one.state in ('done', 'restored') and one.key is not None and one.outs8]  # fmt: skip
        for key, outs8 in [*had, *((key, outs8) for name, key, outs8 in run.fresh_stages if name in stages)]:
            found.pop((key, outs8), None)
            found[key, outs8] = run
    return found


def _led(records: Records, results: Iterable[Result]) -> tuple[dict[str, Made], set[Result]]:
    """By id the results that led to some, with these; and those of which nothing is known here but the run."""
    makers: list[str] = []
    gone: set[Result] = set()
    for key, outs8 in results:
        found = [made.id for made in records.of_key(key) if made.outs8 == outs8]
        makers += found
        gone |= set() if found else {(key, outs8)}
    return dict(upstream(records, Target('', 'stage', '', makers=tuple(makers))).results), gone


class _Counting:
    def __init__(self, runs: Sequence[Run], book: Book, since: float | None, until: float | None) -> None:
        self._since, self._until = since, until
        self._made: dict[Result, Making] = {}
        self._of_run: dict[tuple[str, str], Making] = {}
        for run in runs:
            for one, work, cost in zip(run.stages, works(run), costs_of(run, book), strict=True):
                if work is not None and cost is not None and one.outs8:
                    making = Making(run, work, cost)
                    self._of_run.setdefault((run.id, one.outs8), making)
                    if one.state == 'done' and one.key is not None:
                        self._made.setdefault((one.key, one.outs8), making)

    def row(self, name: str, led: Iterable[Made], gone: Iterable[Result], why: dict[str, int] | None = None) -> Row:
        """``why``: takes what is not known, and of how many."""
        row, reasons = Row(name), {} if why is None else why
        for made in led:
            making = self._made.get((made.key, made.outs8)) or self._accepted(made)
            self._count(row, making, reasons)
            if made.manifest is None:
                _lack(row, reasons, UNKNOWN_INPUTS)
        for result in gone:
            self._count(row, self._made.get(result), reasons)
            _lack(row, reasons, UNKNOWN_INPUTS)
        return row

    def _accepted(self, made: Made) -> Making | None:
        """Of what nobody ran: of the run whose outputs were accepted."""
        return next((found for one in made.accepted if (found := self._of_run.get((one.run, made.outs8)))), None)

    def _count(self, row: Row, making: Making | None, why: dict[str, int]) -> None:
        if making is None:
            _lack(row, why, UNRECORDED)
            return
        at = from_iso(making.run.started)
        if (self._since is None or at >= self._since) and (self._until is None or at < self._until):
            row.ran(making.run, making.work, making.cost)
            if making.cost.unknown:
                why[making.cost.unknown] = why.get(making.cost.unknown, 0) + 1


def _lack(row: Row, why: dict[str, int], text: str) -> None:
    row.unknown += 1
    why[text] = why.get(text, 0) + 1
