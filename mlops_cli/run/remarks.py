"""What a run has to say: of its plan before it begins, what somebody might rather do first; of its results once it is over,
those that differ from earlier ones, those that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.events import Note
from mlops_cli.core.paths import shell_word
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Acceptance
from mlops_cli.plan.known import Candidate, rival
from mlops_cli.plan.model import Metrics, Plan, Rival, Step
from mlops_cli.plan.sentences import Rivalry, blessing, made_under, rivalries, rivalry_of, run_name, some
from mlops_cli.records import data
from mlops_cli.records.metrics import recorded
from mlops_cli.records.pins import Pin
from mlops_cli.run.request import Request
from mlops_cli.run.states import State
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.results import ResultEntry

NAMED = 4  # stages that share a remark and are named in it


def worth_knowing(bench: Workbench, plan: Plan, request: Request) -> Iterator[str]:
    yield from _of_data(bench)
    if bench.config.remotes and not (request.pulled or bench.config.cache_remote):
        from mlops_cli.run.unpulled import unpulled

        if found := unpulled(bench, plan):
            yield f'{found.sentence} (mlops run --pull brings what it has instead of making it again)'


def _of_data(bench: Workbench) -> Iterator[str]:
    """Data of another commit looks like data: say so before anything is computed from it."""
    for path, then in data.tracked(bench.root).items():
        here = bench.workspace.ref(path)
        if here is not None and here.identity != then.identity:
            word = shell_word(path)
            yield (
                f'{path} is not what it was when it was added; stages use what is here '
                f'(mlops checkout {word} brings that back, mlops add {word} keeps this)'
            )


def rivals(
    stage: Stage,
    outputs: tuple[tuple[str, ObjectRef], ...],
    metrics: Metrics,
    pins: Sequence[Pin],
    entries: Sequence[ResultEntry],
) -> tuple[Rival, ...]:
    """How what a stage has just made differs from what is recorded for the same key.  A stage that is declared to differ each
    time (``always_changed``, ``persist``) has none."""
    if stage.always_changed or any(output.persist for output in stage.outputs):
        return ()
    mine = Candidate(outputs, metrics, True)
    runs = {entry.outputs: str(entry.origin.get('run', '')) for entry in entries if not entry.suspect}
    others = {tuple(sorted(pin.outputs)): pin.metrics for pin in pins}
    for entry in entries:
        if not entry.suspect:
            others.setdefault(entry.outputs, recorded(entry.metrics, [path for path, _ in entry.outputs]))
    return tuple(
        rival(mine, Candidate(made, numbers, True), runs.get(made, ''), stage)
        for made, numbers in others.items()
        if made != outputs
    )


class Ended(Protocol):
    """As much of what became of a stage as remarks need."""

    @property
    def state(self) -> State: ...
    @property
    def rivals(self) -> tuple[Rival, ...]: ...


def remarks(
    run: str,
    settled: Mapping[str, Ended],
    steps: Mapping[str, Step],
    accepted: Callable[[Digest], Sequence[Acceptance]],
    maker: Callable[[Digest, str], str],
) -> Iterator[Note]:
    """``accepted``, ``maker``: as in plan.facts.  What there is to say of several stages alike is said once."""
    about: dict[str, list[str]] = {}
    differing: list[Rivalry] = []
    outdone: dict[str, list[str]] = {}
    for name, one in settled.items():
        step = steps.get(name)
        if step is None or step.manifest is None:
            continue
        key = step.manifest.digest
        if one.state is State.DONE and one.rivals:
            others = tuple(replace(each, run=each.run or maker(key, each.outs8)) for each in one.rivals)
            differing.append(Rivalry(name, run, others))
            if text := _outdone(others, next(reversed(accepted(key)), None)):
                outdone.setdefault(text, []).append(name)
        elif one.state is State.RESTORED:
            for text in _restored(step):
                about.setdefault(text, []).append(name)
            differing += rivalry_of(step)
        elif one.state is State.FRESH:
            differing += rivalry_of(step)
    for text, names in (*rivalries(differing), *outdone.items(), *about.items()):
        yield Note(text, ', '.join(some(names, NAMED)))


def _outdone(others: tuple[Rival, ...], last: Acceptance | None) -> str:
    """Where somebody accepted another result than the one that was just made."""
    if last is None or last.outputs.hex[:8] not in {each.outs8 for each in others}:
        return ''
    return f'what {last.who or "somebody"} accepted still counts, which {run_name(last.run)} made: {last.reason}'


def _restored(step: Step) -> list[str]:
    said = []
    if under := made_under(step):
        said.append(f'made in another environment: {under} (mlops explain -v tells more)')
    if step.accepted is not None:
        said.append(blessing(step.accepted))
    return said
