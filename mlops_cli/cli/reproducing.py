"""``mlops reproduce``, from the word that was typed to the verdict: what is brought, what is run, what is told of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mlops_cli.cli import context
from mlops_cli.cli.console import Line, one_line, say
from mlops_cli.cli.performing import perform
from mlops_cli.cli.screens.run import RunScreen
from mlops_cli.cli.sharing import tiers_of
from mlops_cli.cli.transferring import depot_of
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.events import Event, Note
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_size
from mlops_cli.experiments.model import UNKNOWN, StagePoint
from mlops_cli.experiments.points import recorded
from mlops_cli.experiments.reproduce.candidates import Wanted, unfit, wanted, wanted_model
from mlops_cli.experiments.reproduce.choose import sample
from mlops_cli.experiments.reproduce.judge import judge
from mlops_cli.experiments.reproduce.model import Judged, Verdict
from mlops_cli.experiments.reproduce.place import Bring, Laid, apart, inputs, laid_out, place
from mlops_cli.plan.sentences import NOT_DETERMINISTIC
from mlops_cli.records import model_names as names
from mlops_cli.run.elsewhere import take_entry
from mlops_cli.run.report import Report
from mlops_cli.run.request import Request
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import transfer
from mlops_cli.store.depot import Depot
from mlops_cli.store.results import outputs_digest
from mlops_cli.store.shared_results import SharedResults
from mlops_cli.store.transfer import Told

NAMED = 3


@dataclass(frozen=True)
class Reproduced:
    """``sampled``: the share of ``of`` stages that was asked for, None where it was all.  ``borrowed``: as Laid has it."""

    what: Wanted
    commit: str
    dirty: bool
    verdict: Verdict
    sampled: float | None
    of: int
    borrowed: tuple[str, ...]
    code: int


@dataclass(frozen=True, slots=True)
class Wishes:
    """``share``: of the stages, None for all.  ``remote``: '' for the usual one."""

    word: str
    share: float | None = None
    pull: bool = False
    remote: str = ''
    jobs: int = 0
    host: str = ''


def reproduce(wishes: Wishes, *, silent: bool) -> Reproduced:
    """Raises UserError, OSError."""
    with workbench(tolerant=True) as bench, writing(bench), _remote(bench, wishes) as remote:
        what = _wanted(bench, wishes.word)
        if remote is not None and what.rows is not None:
            remote.results(bench, {(key, outs8) for _, key, outs8 in what.rows})
        with laid_out(bench, what) as laid:
            _refuse_unfit(what, laid, wishes.pull)
            if remote is not None:
                laid = _with_results(bench, laid, remote)
            known = [name for name in laid.bench.order if _is_known(laid, name)]
            if not known:
                raise UserError(
                    f'nothing is recorded of {what.label}, so there is nothing to compare with',
                    hint='name a run (mlops runs list), or a commit whose pipeline was run',
                    exit_code=ExitCode.FAILED,
                )
            stages = known if wishes.share is None else sample(known, wishes.share, what.seed)
            place(bench, laid, inputs(laid, stages), _bring(bench, remote))
            if not silent:
                _tell_begin(what, laid, stages, known, wishes.share)
            verdict, code = _perform(bench, laid, stages, wishes, silent)
    return Reproduced(what, laid.commit, laid.dirty, verdict, wishes.share, len(known), laid.borrowed, code)


def _wanted(bench: Workbench, word: str) -> Wanted:
    try:
        found = wanted(bench, word)
        if names.is_name(bench.root, word):  # whoever may push a tag does not decide what a model's name means
            other = f'{word.partition("@")[0]}@DIGEST' if '@' in word else f'{word}@latest'
            raise UserError(
                f'{word} may be a model, or {found.label}',
                hint=f'of the model: {other}; of git: such as refs/tags/{word}, or the commit',
                exit_code=ExitCode.REFUSED,
            )
        return found
    except UserError as error:
        if 'is no run and no revision' not in error.message:
            raise
        if not names.is_name(bench.root, word):
            raise UserError(error.message, hint=f'{error.hint}, or a model (mlops models list)') from error
        named = names.resolve(bench.root, word)
        return wanted_model(bench, named.version, named.shown)


def _is_known(laid: Laid, name: str) -> bool:
    """Whether it can be compared, and is run at all."""
    point = laid.expected.get(name)
    return point is not None and point.state != UNKNOWN and not laid.bench.pipeline.stages[name].frozen


def _refuse_unfit(what: Wanted, laid: Laid, pulled: bool) -> None:
    """A run of which neither commit nor cache has what it was made of: what came out would say nothing about it."""
    if not laid.unfitting or what.rows is None:
        return
    name, names = next(iter(laid.unfitting.items()))
    parts = ', '.join(one_line(part) for part in names[:NAMED]) or 'it is not in that pipeline'
    lost = 'what it was made from was neither committed nor pushed'
    hint = lost if pulled else 'its sources may be in the remote: --pull'
    raise unfit(what.label, f'{one_line(name)} is not what it was: {parts}', hint)


def _tell_begin(what: Wanted, laid: Laid, stages: Sequence[str], known: Sequence[str], share: float | None) -> None:
    if context.current.quiet:
        return
    source = f'commit {laid.commit[:7]}' if laid.commit else 'its sources'
    source += ', with the sources of the run' if laid.dirty and laid.commit else ''
    say(f'{one_line(what.label)} again, apart from everything, from {source}')
    if share is not None:
        of = f'{len(stages)} of {plural(len(known), "stage")}'
        say(f'sample: {of}, chosen by {what.seeded}; their inputs are the recorded ones')
    for path in laid.borrowed:
        say(Line(f'note: {one_line(path)} is in no commit: taken from the workspace', 'note:'))


def _perform(bench: Workbench, laid: Laid, stages: Sequence[str], wishes: Wishes, silent: bool) -> tuple[Verdict, int]:
    verdicts: list[Verdict] = []
    with apart(laid) as anew:
        every = len(stages) == len(anew.pipeline.stages)
        request = Request(
            () if every else tuple(stages),
            wishes.jobs or bench.config.jobs,
            force=True,
            lookup=False,
            keep_going=True,
            only=True,
            lock_timeout=context.current.lock_timeout,
            command=('mlops', *sys.argv[1:]),
            host=wishes.host,
        )

        def then(report: Report, _screen: RunScreen) -> None:
            verdicts.append(judge(bench, anew, stages, laid.expected, report))

        code = perform(anew, request, silent=silent, then=then, unsaid=_is_of_rivals)
    stopped = code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP)
    return verdicts[0], code if stopped else _code(verdicts[0])


def _is_of_rivals(event: Event) -> bool:
    """That results differ is the verdict's to say, and the run that would be named is in no record."""
    return isinstance(event, Note) and event.text.startswith(NOT_DETERMINISTIC)


def _code(verdict: Verdict) -> int:
    return ExitCode.DONE if verdict.word in ('identical', 'within') else ExitCode.FAILED


class _Remote:
    def __init__(self, name: str, depot: Depot) -> None:
        self.name, self.depot = name, depot
        self.told = Told()

    def results(self, bench: Workbench, wanted: set[tuple[Digest, str]]) -> None:
        """What is known of results that are not here, with what explains them.  Raises Unreachable, OSError."""
        lacking = {
            (key, outs8)
            for key, outs8 in wanted
            if not any(one.entry8 == outs8 for one in bench.results.lookup(key))
        }
        found = tiers_of(bench)
        shared = SharedResults(self.depot.bucket, found.read, found.write)
        for entry in shared.these(lacking) if lacking else ():
            take_entry(entry, bench.store, bench.results, self.depot, self.told)
        bench.batch.flush()

    def objects(self, bench: Workbench, lacking: Sequence[tuple[str, ObjectRef]]) -> None:
        transfer.fetch(bench.store, self.depot, lacking, self.told)
        bench.batch.flush()
        if self.told.objects and not context.current.quiet:
            said = f'{plural(self.told.objects, "object")}, {show_size(self.told.size)} from {self.name}'
            say(Line(f'  fetched   {said}', 'done'))


@contextmanager
def _remote(bench: Workbench, wishes: Wishes) -> Iterator[_Remote | None]:
    if not (wishes.pull or wishes.remote):
        yield None
        return
    with depot_of(bench, wishes.remote) as (name, depot):
        yield _Remote(name, depot)


def _with_results(bench: Workbench, laid: Laid, remote: _Remote) -> Laid:
    """With what the remote knows of the recorded results: what they were made under."""
    asked = {
        name: (one.key, outputs_digest(sorted(one.outputs.items())).hex[:8])
        for name, one in laid.expected.items()
        if one.key is not None and one.state != UNKNOWN and not one.environment
    }
    remote.results(bench, {*asked.values()})
    found: dict[str, StagePoint] = dict(laid.expected)
    for name, (_, outs8) in asked.items():
        found[name] = recorded(laid.bench, found[name], outs8)
    return replace(laid, expected=found)


def _bring(bench: Workbench, remote: _Remote | None) -> Bring:
    def bring(lacking: Sequence[tuple[str, ObjectRef]]) -> None:
        if remote is not None:
            remote.objects(bench, lacking)

    return bring


def document(found: Reproduced) -> Mapping[str, object]:
    first = found.verdict.first
    return {
        'schema': 'mlops/reproduce/v1',
        'of': found.what.label,
        'run': found.what.run.id if found.what.run is not None else None,
        'commit': found.commit,
        'sources': found.dirty,
        'verdict': found.verdict.word,
        'first': first.stage if first is not None else None,
        'sampled': found.sampled,
        'stages_in_all': found.of,
        'borrowed': list(found.borrowed),
        'stages': [_row(one) for one in found.verdict.stages],
    }


def _row(one: Judged) -> dict[str, object]:
    return {
        'name': one.stage,
        'verdict': one.verdict,
        'outputs': one.outputs,
        'changed': [
            {
                'path': change.path,
                'before': str(change.before.digest) if change.before else None,
                'after': str(change.after.digest) if change.after else None,
                'size_before': change.before.size if change.before else None,
                'size_after': change.after.size if change.after else None,
                'byte': change.at,
                'line': change.line,
                'names_its_folder': change.names_folder,
            }
            for change in one.changed
        ],
        'metrics': [
            {'file': n.file, 'name': n.name, 'before': n.before, 'after': n.after, 'tolerance': n.tolerance, 'within': n.within}
            for n in one.numbers
        ],
        'environment': None
        if one.environment is None
        else [{'name': name, 'before': before, 'after': after} for name, before, after in one.environment],
        'inputs': list(one.inputs),
        'seconds': round(one.seconds, 3),
        'recorded_seconds': one.recorded_seconds,
        'message': one.message,
    }
