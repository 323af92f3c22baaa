"""``mlops checkout``."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from mlops_cli import git
from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out_lines, print_json, width, wrap
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import output_words, workbench, writing
from mlops_cli.cli.words import fold, output, some
from mlops_cli.core.clock import run_id
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_size
from mlops_cli.plan.select import matching
from mlops_cli.records import data as tracked
from mlops_cli.run.checkout import Outcome, Targets, Watched, at_revision, bring, recorded, tracked_targets, unsaved
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import MissingObject

EXITS = exits.line(ExitCode.REFUSED, failed='nothing recorded for a stage')

MOST = 40  # paths of a kind that are listed


def command(
    paths: Annotated[
        list[str] | None, options.Argument(metavar='[PATH|STAGE]...', help='Outputs, tracked data or stages. Default: all.')
    ] = None,
    revision: Annotated[
        str, options.Option('--at', metavar='REV', help='What a git revision computes, instead of the present state.')
    ] = '',
    force: Annotated[
        bool,
        options.Option(
            '--force', '-f', help='Also over changes that are saved nowhere; they are kept under .mlops/local/rescue.'
        ),
    ] = False,
    no_backup: Annotated[bool, options.Option('--no-backup', help='With --force: destroy them instead.')] = False,
    clean: Annotated[bool, options.Option('--clean', help='Take untracked files of tracked folders away too.')] = False,
    json: options.Json = False,
) -> int:
    """Put recorded outputs of the present state into the workspace.  Never runs a stage, never destroys unsaved work.

    Example:  mlops checkout --at v1.2 best.skops        byte for byte
    """
    with workbench() as bench, writing(bench):
        placing = Placing(bench, force, no_backup, clean)
        targets, done = placing.at(revision, paths or ()) if revision else placing.present(paths or ())
        if json:
            print_json({'schema': 'mlops/checkout/v1', **document(done, targets)})
        else:
            out_lines(lines(bench, done, targets, width(sys.stdout)))
    return ExitCode.FAILED if targets.unknown else ExitCode.DONE


class Placing:
    """What the options say of how things are placed.  Its methods place what is meant by words of the command line, and raise
    UserError where that is not here, or would destroy what is saved nowhere."""

    def __init__(self, bench: Workbench, force: bool = False, no_backup: bool = False, clean: bool = False) -> None:
        self.bench, self.force, self.no_backup, self.clean = bench, force, no_backup, clean

    def at(self, revision: str, paths: Sequence[str]) -> tuple[Targets, Outcome]:
        """What a git revision computes."""
        words = output_words(self.bench, paths)
        _check_revision(self.bench, revision)
        with at_revision(self.bench, revision) as other:
            data, outputs = _data(other, words), _outputs(other, words)
        targets = Targets({**data.wanted, **outputs.wanted}, outputs.unknown, outputs.steps)
        return targets, self.these(targets)

    def present(self, paths: Sequence[str]) -> tuple[Targets, Outcome]:
        """What the present state of the project is recorded to lead to."""
        return _in_turn(self.bench, output_words(self.bench, paths), self.these)

    def these(self, targets: Targets) -> Outcome:
        """What is known to be meant."""
        alone = len(targets.wanted) == 1 and all(self.bench.root.stat(path) is None for path in targets.wanted)
        if not alone:  # what is alone, and takes no other's place, is placed whole or not at all
            _refuse_absent(self.bench, targets.wanted)
        _refuse_loss(unsaved(self.bench, targets.wanted, clean=self.clean), self.force)
        identity = run_id(time.time(), os.urandom(16))
        backup = not (self.force and self.no_backup)
        try:
            with Progress(lambda: _line(watched)) as progress:
                watched = Watched(progress.step)
                return bring(self.bench, targets, identity, backup=backup, clean=self.clean, watched=watched)
        except MissingObject:
            _refuse_absent(self.bench, targets.wanted)
            raise


def _line(watched: Watched) -> str:
    return f'  placing   {plural(watched.files, "file")}, {show_size(watched.size)} of {show_size(watched.expected)}'


def _check_revision(bench: Workbench, word: str) -> None:
    """Raises UserError, of a run with what to type instead."""
    try:
        git.resolve(bench.root.path, word)
    except UserError as error:
        from mlops_cli.experiments.run_names import no_revision

        raise no_revision(bench, word, error) from error


def document(done: Outcome, targets: Targets) -> dict[str, Any]:
    return {
        'placed': list(done.placed),
        'same': done.same,
        'kept': list(done.kept),
        'stayed': list(done.stayed),
        'unknown': [{'stage': stage, 'reason': why} for stage, why in targets.unknown],
    }


def _refuse_absent(bench: Workbench, wanted: Mapping[str, ObjectRef]) -> None:
    gone = [path for path, ref in wanted.items() if not bench.holds(path, ref) and bench.store.missing([ref])]
    if gone:
        more = f' and {plural(len(gone) - 5, "other path")}' if len(gone) > 5 else ''
        raise UserError(
            f'not in this cache, so nothing was placed: {", ".join(gone[:5])}{more}',
            exit_code=ExitCode.FAILED,
            hint=f'mlops pull brings it from a remote that has it{_from_source(bench, gone)}; or name what else to place',
        )


def _from_source(bench: Workbench, paths: Sequence[str]) -> str:
    records = tracked.records(bench.root)
    imported = [path for path in paths if path in records and records[path].source is not None]
    return f', mlops update {shlex.quote(imported[0])} from where it was imported' if imported else ''


def _refuse_loss(lost: Mapping[str, str], force: bool) -> None:
    if lost and not force:
        what = '; '.join(f'{path} ({what})' for path, what in sorted(lost.items())[:5])
        words = ' '.join(map(shlex.quote, sorted(lost)[:5]))
        raise UserError(
            f'not saved anywhere, so left alone: {what}',
            exit_code=ExitCode.REFUSED,
            hint=f'mlops checkout --force {words} keeps what is there under .mlops/local/rescue first',
        )


def lines(bench: Workbench, done: Outcome, targets: Targets, columns: int) -> list[Line]:
    """What went where; of many paths the first ones, unless more is asked for."""
    found = _listed('placed', [output(path, targets.wanted[path], bench.store) for path in done.placed])
    found += _listed('kept', [f'{one_line(path)}   (what stood there before; mv it back to undo)' for path in done.kept])
    found += _listed('stayed', [f'{one_line(path)}   (not tracked; --clean takes it away)' for path in done.stayed])
    reasons: dict[str, list[str]] = {}
    for stage, why in targets.unknown:
        reasons.setdefault(why, []).append(stage)
    for why, stages in reasons.items():
        names = fold(stages, bench.pipeline.groups)
        for index, text in enumerate(wrap(f'{", ".join(some(names, MOST))}: {one_line(why)}', columns - 12)):
            found.append(Line(f'  {"" if index else "nothing":<9} {text}'))
    size = sum(targets.wanted[path].size for path in done.placed)
    sized = f', {show_size(size)}' if done.placed else ''
    found.append(Line(f'{plural(len(done.placed), "path")} placed{sized}, {done.same:,} already right.'))
    if targets.unknown:
        found.append(Line(f'{plural(len(targets.unknown), "stage")} without a recorded result for this state: mlops run'))
    return found


def _listed(word: str, texts: Sequence[str]) -> list[Line]:
    shown = texts if context.current.verbose else texts[:MOST]
    lines = [Line(f'  {word:<9} {text}', word) for text in shown]
    return lines + ([Line(f'  {"":<9} and {len(texts) - len(shown):,} more')] if len(shown) < len(texts) else [])


def _in_turn(bench: Workbench, words: Sequence[str], place: Callable[[Targets], Outcome]) -> tuple[Targets, Outcome]:
    """Tracked data first: which outputs belong to the present state follows from it."""
    _stages_and_paths(bench, words)  # a wrong word is told before anything is placed
    data = _data(bench, words)
    first = place(data)
    outputs = _outputs(bench, words)
    try:
        second = place(outputs)
    except UserError:
        if first.placed and not context.current.json:
            out_lines(lines(bench, first, data, width(sys.stdout)))
        raise
    return both([data, outputs], [first, second])


def both(targets: Sequence[Targets], done: Sequence[Outcome]) -> tuple[Targets, Outcome]:
    """Tracked data, and the outputs that follow from it, as one."""
    outcome = Outcome(
        tuple(path for one in done for path in one.placed),
        sum(one.same for one in done),
        tuple(path for one in done for path in one.kept),
        tuple(path for one in done for path in one.stayed),
    )
    wanted = {path: ref for one in targets for path, ref in one.wanted.items()}
    return Targets(wanted, targets[-1].unknown, targets[-1].steps), outcome


def _data(bench: Workbench, words: Sequence[str]) -> Targets:
    """Tracked data: all of it, or what the words name."""
    tracked = tracked_targets(bench)
    paths = {_path(word) for word in words}
    return Targets({path: ref for path, ref in tracked.items() if not words or path in paths})


def _outputs(bench: Workbench, words: Sequence[str]) -> Targets:
    """Outputs: all of them, or those that the words mean.  Raises UserError."""
    if not words:
        return recorded(bench, bench.order)
    stages, paths = _stages_and_paths(bench, words)
    if not stages:
        return Targets({})
    found = recorded(bench, bench.order)
    wanted = {path: ref for path, ref in found.wanted.items() if path in paths}
    return Targets(wanted, tuple(item for item in found.unknown if item[0] in stages), found.steps)


def _stages_and_paths(bench: Workbench, words: Sequence[str]) -> tuple[set[str], set[str]]:
    """The stages and outputs that the words mean, which are no tracked data.  Raises UserError."""
    tracked = tracked_targets(bench)
    makers = {output.path: stage.name for stage in bench.pipeline.stages.values() for output in stage.outputs}
    stages, paths = set[str](), set[str]()
    for word in words:
        path = _path(word)
        if path in tracked:
            continue
        if path in makers:
            paths.add(path)
            stages.add(makers[path])
        else:
            names = matching(bench.pipeline, word)
            stages.update(names)
            paths.update(output.path for name in names for output in bench.pipeline.stages[name].outputs)
    return stages, paths


def _path(word: str) -> str:
    return word.removeprefix('./').rstrip('/')
