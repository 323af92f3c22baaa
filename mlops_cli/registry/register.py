"""``models register``: what a stage made, and all that is known about how, becomes a version of a model.  Runs nothing."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.manifest import Entry
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.locks import LockFile
from mlops_cli.git import commits
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.records import models
from mlops_cli.records.model_files import Models, unreadable
from mlops_cli.records.models import Person, Version, number_in
from mlops_cli.run.killed import refuse_pending
from mlops_cli.run.late_metrics import with_late_metrics
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.results import ResultEntry, outputs_digest
from mlops_cli.store.tree import walk

LOCK = 'models'  # of one worktree: numbers are given one after the other
ROWS = 500  # of each list in a version
VALUE = 2000  # characters of a parameter, a command
NAMED = 4  # stages in a sentence
FAR = 10_000  # numbers by which another branch may be ahead
RUNS = 100  # records in which a gate that failed is looked for


@dataclass(frozen=True)
class Registered:
    """``new``: whether it was not registered before.  ``path``: the file.  ``notes``: sentences for people."""

    version: Version
    new: bool
    path: str = ''
    notes: tuple[str, ...] = ()


def chosen(bench: Workbench, word: str) -> Stage:
    """The stage whose model is meant by a name of a model or a stage; without a word the only one.  Raises UserError."""
    having = {name: stage for name, stage in bench.pipeline.stages.items() if stage.model is not None}
    if not having:
        raise UserError(
            'no stage of the pipeline names a model',
            hint='write model: {name: NAME, path: OUTPUT} to the stage that makes it',
        )
    found = [
        stage
        for name, stage in having.items()
        if not word or word in (name, stage.group) or (stage.model is not None and stage.model.name == word)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        known = [*having, *(stage.model.name for stage in having.values() if stage.model)]
        raise UserError(f'no stage or model {word[:80]!r}', hint=did_you_mean(word, known, what='there are'))
    said = ', '.join(stage.name for stage in found[:NAMED]) + (f' and {len(found) - NAMED} more' if len(found) > NAMED else '')
    raise UserError(f'{len(found)} stages make a model{f" {word}" if word else ""}: {said}', hint='name one of them')


def register(bench: Workbench, stage: Stage, who: Person, when: str, text: str, sign: Any = None) -> Registered:
    """Writes a version of what the stage made; nothing where one says all that of this very model already.  Durable when
    the batch is.

    ``sign``: bytes -> a signature.  Raises UserError: something is out of date (5), a gate failed (1), the model is not in the
    cache (1)."""
    refuse_pending(bench.root, [output.path for output in stage.outputs])
    drafted = _draft(bench, stage, who, when, models.check_text(text))
    with LockFile(layout.LOCKS, root=bench.root, command='mlops models register') as locks, locks.holding(LOCK, timeout=60):
        known = Models(bench.root)
        model = known.all.get(drafted.name)
        if model is not None and model.problems:
            raise unreadable(model)
        for other in reversed(model.numbered if model else ()):
            if _says_all(other, drafted) and (sign is None or other.signature):
                return Registered(other, False, other.file)
        version = replace(drafted, number=next_number(bench, drafted.name, model.numbered if model else ()))
        if sign is not None:
            version = replace(version, signature=sign(version.signed_part))
        path = known.add(version, bench.batch)
        bench.batch.flush()  # before the next one looks which numbers there are
    return Registered(version, True, path)


def _says_all(one: Version, drafted: Version) -> bool:
    """Whether a version is the very same model, with all checks and metrics of today: policies ask for those."""
    same = one.ref == drafted.ref and one.results[0] == drafted.results[0]
    return same and set(drafted.checks) <= {*one.checks} and set(drafted.metrics) <= {*one.metrics}


def next_number(bench: Workbench, name: str, here: Sequence[Version]) -> int:
    """One more than any that this clone knows, also on other branches: fewer numbers are given twice.  What lies far beyond
    those that are here was given by nobody; if it was, the number is told apart by its digest."""
    folder = f'{models.folder_of(name)}/{models.VERSIONS}'
    numbers = [version.number for version in here]
    highest = max(numbers, default=0)
    numbers += map(number_in, commits.names_at(bench.root.path, git.tips(bench.root.path), folder))
    number = max((one for one in numbers if one <= highest + FAR), default=0) + 1
    if number > models.NUMBERS:
        last = max(here, key=lambda one: one.number)
        raise _refused(f'{name} has a {last.label}, and no number is left after it', f'if nobody means it: git rm {last.file}')
    return number


# What a version says


def _draft(bench: Workbench, stage: Stage, who: Person, when: str, text: str) -> Version:
    assert stage.model is not None
    name = models.check_name(stage.model.name)
    steps = look(bench, bench.order, Wishes()).plan.by_name
    step = steps[stage.name]
    _require_fresh(step, stage)
    before = _before(bench, stage.name)
    behind = _behind(bench, stage.name)
    checks = _checks(bench, {stage.name, *before, *behind}, steps)
    _require_passed(bench, stage.model.name, checks, steps)
    path = stage.model.path
    ref = step.made[path]
    if bench.store.missing([ref]):
        raise UserError(
            f'{path} is recorded, but this cache does not have it',
            hint=f'mlops fetch {shlex.quote(path)}, or mlops run --force {stage.name}',
            exit_code=ExitCode.FAILED,
        )
    fresh = [one for one in behind if steps[one].verdict is Verdict.FRESH and steps[one].manifest is not None]
    entry = _entry(bench, step)
    made = _made(bench, step, entry)
    origins = [steps[one] for one in (stage.name, *before) if steps[one].manifest is not None]
    lists, left_out = _lists(origins, {path for one in origins for path, _ in one.outputs})
    head = git.head(bench.root.path)
    metrics = tuple(metric for one in (stage.name, *fresh) for metric in _metrics(bench, steps[one]))
    if len(metrics) > ROWS:
        left_out['metrics'] = len(metrics) - ROWS
    return Version(
        name, 1, path, ref, sha256_of(bench, ref), stage.name, who, when, tuple(map(_result, origins))[:ROWS],
        head.commit if head else '', head.branch if head else '', text, made, metrics[:ROWS],
        checks=tuple(one for one in checks), **lists,
        environment=_environment(entry), usage=_usage(entry), seconds=entry.seconds if entry else None, left_out=left_out,
        changed=_changed(bench, lists),
    )  # fmt: skip


def _require_fresh(step: Step, stage: Stage) -> None:
    """Raises UserError (exit 5) where what lies there is not what the present code, data and parameters lead to."""
    if step.verdict is Verdict.FRESH and step.manifest is not None:
        return
    if step.verdict is Verdict.FRESH or stage.always_changed:
        word = 'frozen' if step.verdict is Verdict.FRESH else 'always_changed'
        raise _refused(f'{stage.name} is {word}: nobody can say what its model was made from', f'take {word} away, and run it')
    why = {
        Verdict.RESTORE: 'the workspace holds something else than what is recorded for this state',
        Verdict.BLOCKED: 'an input is missing',
        Verdict.MAYBE: f'it waits for {", ".join(step.waits_for[:NAMED])}',
    }.get(step.verdict, 'its code, data or parameters changed since it ran' if step.reasons else 'it has not run')
    raise _refused(f'{stage.name} is out of date, so its model is not registered: {why}', f'mlops run {stage.name}, then again')


def _refused(message: str, hint: str) -> UserError:
    return UserError(message, hint=hint, exit_code=ExitCode.REFUSED)


def _before(bench: Workbench, name: str) -> list[str]:
    """The stages that it came from, the nearest first."""
    found: dict[str, None] = {}
    waiting = list(bench.edges.get(name, ()))
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found[one] = None
            waiting += bench.edges.get(one, ())
    return list(found)


def _behind(bench: Workbench, name: str) -> list[str]:
    """The stages that use what it makes, in the pipeline's order."""
    found = {name}
    for one in bench.order:
        if not found.isdisjoint(bench.edges.get(one, ())):
            found.add(one)
    return [one for one in bench.order if one in found and one != name]


def _checks(bench: Workbench, about: set[str], steps: Mapping[str, Step]) -> list[str]:
    """The stages that make nothing, and look only at what the model came from, is, or led to: gates and checks of data."""
    read = {entry.name for one in about for entry in bench.drafts[one].entries if entry.kind == 'data'}
    found = []
    for name, stage in bench.pipeline.stages.items():
        if not stage.outputs and name in steps:
            makers = bench.edges.get(name, ())
            reads = {entry.name for entry in bench.drafts[name].entries if entry.kind == 'data'}
            if about.issuperset(makers) if makers else not read.isdisjoint(reads):
                found.append(name)
    return found


def _require_passed(bench: Workbench, model: str, checks: Iterable[str], steps: Mapping[str, Step]) -> None:
    """Raises UserError: exit 1 where a gate failed in this very state, 5 where one has not been run."""
    waiting = [name for name in checks if steps[name].verdict is not Verdict.FRESH]
    for name in waiting:
        manifest = steps[name].manifest
        if manifest is not None and (run := _failed_in(bench, name, manifest.digest)):
            raise UserError(
                f'{model} is not registered: {name} failed in run {run}',
                hint=f'mlops logs {name} tells why',
                exit_code=ExitCode.FAILED,
            )
    if waiting:
        more = f' and {len(waiting) - NAMED} more' if len(waiting) > NAMED else ''
        raise _refused(
            f'{model} is not registered: {", ".join(waiting[:NAMED])}{more} {"has" if len(waiting) == 1 else "have"} not passed'
            ' in this state',
            f'mlops run {" ".join(waiting[:NAMED])}',
        )


def _failed_in(bench: Workbench, stage: str, key: Digest) -> str:
    """The newest run in which a stage failed with this key; empty where it did not."""
    for number, run in enumerate(bench.runs.newest()):
        for one in run.stages:
            if one.name == stage and one.key == key:
                return run.short if one.state == 'failed' else ''
        if number > RUNS:
            break
    return ''


def _result(step: Step) -> tuple[str, Digest, str]:
    assert step.manifest is not None
    return step.stage, step.manifest.digest, outputs_digest(step.outputs).hex[:8]


def _entry(bench: Workbench, step: Step) -> ResultEntry | None:
    assert step.manifest is not None
    found = [one for one in bench.results.lookup(step.manifest.digest) if not one.suspect and one.outputs == step.outputs]
    return min(found, default=None, key=lambda one: one.created)


def _metrics(bench: Workbench, step: Step) -> tuple[tuple[str, str, float | int], ...]:
    assert step.manifest is not None
    for pin in bench.pins.of_key(step.manifest.digest):
        if dict(pin.outputs) == step.made:
            return with_late_metrics(bench, step.stage, step.made, pin.metrics)
    return ()


def _made(bench: Workbench, step: Step, entry: ResultEntry | None) -> dict[str, str]:
    """The run that trained it, as its record says; without one, as the cache notes it."""
    origin = entry.origin if entry else {}
    run_id = str(origin.get('run') or '') or step.run
    found = {name: str(origin.get(name) or '') for name in ('who', 'email', 'host')}
    found |= {'run': run_id, 'when': entry.created if entry else ''}
    if run_id:
        with suppress(UserError, OSError):
            run = bench.runs.get(run_id)
            found |= {'when': run.started, 'who': run.who, 'host': run.host, 'commit': run.commit, 'branch': run.branch}
    return {name: value[: models.SHORT] for name, value in found.items() if value}


def _environment(entry: ResultEntry | None) -> dict[str, Any]:
    found = dict(entry.environment) if entry else {}
    if isinstance(packages := found.get('packages'), dict) and len(packages) > ROWS:
        found['packages'] = dict(sorted(packages.items())[:ROWS])
    return found


def _usage(entry: ResultEntry | None) -> dict[str, float]:
    usage = entry.usage if entry else {}
    return {name: value for name, value in usage.items() if isinstance(value, int | float) and not isinstance(value, bool)}


def _lists(steps: Sequence[Step], made: set[str]) -> tuple[dict[str, Any], dict[str, int]]:
    """What the model and all before it were made of, each once; and of how many there was no room.  ``made``: paths that
    stages made, which are no origin."""
    entries = [(step.stage, entry) for step in steps for entry in (step.manifest.entries if step.manifest else ())]
    found: dict[str, dict[str, Any]] = {'params': {}, 'data': {}, 'code': {}, 'commands': {}}
    for stage, entry in entries:
        if entry.kind == 'param':
            found['params'].setdefault(entry.name, _value(entry))
        elif entry.kind == 'command':
            found['commands'].setdefault(stage, _command(entry))
        elif entry.kind in ('data', 'code') and not _is_made(entry.name, made) and entry.value is None:
            found[entry.kind].setdefault(entry.name, entry.digest)
    left_out = {kind: len(rows) - ROWS for kind, rows in found.items() if len(rows) > ROWS}
    return {kind: tuple(sorted(rows.items()))[:ROWS] for kind, rows in found.items()}, left_out


def _is_made(path: str, made: set[str]) -> bool:
    return path in made or any(path.startswith(f'{one}/') for one in made)


def _changed(bench: Workbench, lists: Mapping[str, Any]) -> tuple[str, ...]:
    """Files that it was made from which are not in the present commit as they are."""
    files = {layout.PIPELINE_FILE, layout.PARAMS_FILE, *(name for name, _ in (*lists['code'], *lists['data']))}
    files |= {name.partition(':')[0] for name, _ in lists['params']} - set(bench.tracked)
    known = [path for path in sorted(files - set(bench.tracked)) if bench.root.stat(path) is not None]
    wanted = set(known)
    return tuple(path for path in git.changed(bench.root.path, known) if path in wanted)[:ROWS] if known else ()


def _value(entry: Entry) -> Any:
    if entry.value is None or len(entry.value) > VALUE:
        return None
    return json.loads(entry.value)


def _command(entry: Entry) -> str:
    value = json.loads(entry.value) if entry.value else {}
    found = value.get('cmd', value.get('argv', '')) if isinstance(value, dict) else value
    text = found if isinstance(found, str) else canonical(found)
    return text[:VALUE]


def sha256_of(bench: Workbench, ref: ObjectRef) -> str:
    """Of a file; of a folder, of the lines that sha256sum prints for its files, sorted by path.  What is read is compared with
    its name on the way.  Raises UserError (exit 1) where the cache does not hold it whole."""
    try:
        if ref.kind != 'tree':
            return _sha256(bench, ref.digest)
        lines = []
        for path, entry in walk(ref, bench.store.read):
            if entry.digest is not None and entry.kind in ('file', 'exec'):
                lines.append((path, _sha256(bench, entry.digest)))
        text = ''.join(f'{digest}  {path}\n' for path, digest in sorted(lines))
        return hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()
    except (MissingObject, Damaged) as error:
        raise UserError(
            f'the model is damaged or not in this cache: {error}',
            hint='mlops fetch --all brings it from a remote that has it',
            exit_code=ExitCode.FAILED,
        ) from error


def _sha256(bench: Workbench, digest: Digest) -> str:
    made = hashlib.sha256()
    for _, chunks in bench.store.get([digest]):
        for chunk in chunks:
            made.update(chunk)
    return made.hexdigest()
