"""What a run has to say of its results once it is over: those that differ from earlier ones, those that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from mlops_cli.core.digest import Digest
from mlops_cli.core.events import Note
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Acceptance
from mlops_cli.plan.known import Candidate, rival
from mlops_cli.plan.model import Metrics, Rival, Step
from mlops_cli.plan.sentences import blessing, made_under, rivalry, run_name, some
from mlops_cli.records.metrics import recorded
from mlops_cli.records.pins import Pin
from mlops_cli.run.states import State
from mlops_cli.store.results import ResultEntry

NAMED = 4  # stages that share a remark and are named in it


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
    for name, one in settled.items():
        step = steps.get(name)
        if step is None or step.manifest is None:
            continue
        key = step.manifest.digest
        if one.state is State.DONE and one.rivals:
            others = tuple(replace(each, run=each.run or maker(key, each.outs8)) for each in one.rivals)
            said = [_differing(run, name, others, next(reversed(accepted(key)), None))]
        elif one.state is State.RESTORED:
            said = _restored(step)
        else:
            continue
        for text in said:
            about.setdefault(text, []).append(name)
    for text, names in about.items():
        yield Note(text, ', '.join(some(names, NAMED)))


def _differing(run: str, name: str, others: tuple[Rival, ...], last: Acceptance | None) -> str:
    text = rivalry(name, run, others)
    if last is not None and last.outputs.hex[:8] in {each.outs8 for each in others}:
        text += f'; until then what {last.who or "somebody"} accepted counts, which {run_name(last.run)} made'
    return text


def _restored(step: Step) -> list[str]:
    said = []
    if under := made_under(step):
        said.append(f'made in another environment: {under} (mlops explain -v tells more)')
    if step.accepted is not None:
        said.append(blessing(step.accepted))
    if step.rivals:
        said.append(rivalry(step.stage, step.run, step.rivals))
    return said
