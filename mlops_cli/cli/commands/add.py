"""``mlops add``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from typing import Annotated

from mlops_cli import git
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json, say
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.cli.words import output
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef, ref_document
from mlops_cli.core.units import show_size
from mlops_cli.records import data, gitignore
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.REFUSED)
SHOWN = 5  # paths in the line that says what to keep


@dataclass(frozen=True, slots=True)
class Added:
    """``record``: where what it is was written."""

    path: str
    ref: ObjectRef
    record: str
    changed: bool


def command(
    paths: Annotated[list[str], options.Argument(metavar='PATH...', help='Files or folders.')],
    json: options.Json = False,
) -> int:
    """Track data that no stage makes: its content goes to the store, its record to git, the data itself stays where it is.

    Example:  mlops add data/images data/labels.csv
    """
    with workbench() as bench, writing(bench):
        wanted = list(dict.fromkeys(project_relative(bench.root.path, word) for word in paths))
        before = data.tracked(bench.root)
        for path in wanted:
            refuse(bench, path)
            _refuse_overlap(path, {*before, *wanted})
        found = [_add(bench, path, before.get(path)) for path in wanted]
        bench.batch.flush()
        ignored = gitignore.cover(bench.root, wanted)
        if json:
            rows = [{**ref_document(one.path, one.ref), 'record': one.record, 'changed': one.changed} for one in found]
            print_json({'schema': 'mlops/add/v1', 'rows': rows})
            return 0
        for one in found:
            word = 'added' if one.changed else 'same'
            out(Line(f'  {word:<9} {output(one.path, one.ref, bench.store)}', 'done'))
        both = [one for one in found if git.tracked(bench.root.path, [one.path])]
    for one in both:
        say(Line(f'note: git has {one_line(one.path)} too; what is below leaves it to mlops', 'note:'))
    if any(one.changed for one in found) or ignored or both:
        records = [one.record for one in found] if len(found) <= SHOWN else ['.mlops/data']
        files = [*records, *(['.gitignore', '.gitattributes'] if ignored else [])]
        folders = '-r ' if any(one.ref.kind == 'tree' for one in both) else ''
        gone = f'git rm {folders}--cached {" ".join(shlex.quote(one.path) for one in both)} && ' if both else ''
        out(f'Keep it: {gone}git add {" ".join(map(shlex.quote, files))} && git commit')
    return 0


def refuse(bench: Workbench, path: str) -> None:
    """Raises UserError for what cannot be tracked data, before anything is read."""
    if made := bench.describer.maker_of(path):
        raise UserError(
            f'{path} is made by stage {made[0]}', hint='outputs are stored by mlops run; only add what no stage makes'
        )
    inside = [output.path for stage in bench.pipeline.stages.values() for output in stage.outputs]
    if held := next((one for one in inside if one.startswith(f'{path}/')), None):
        raise UserError(f'{path} holds {held}, which a stage makes', hint='add the files beside it one by one')
    if bench.root.stat(path) is None:
        parent = os.path.dirname(path)
        near = f'ls {shlex.quote(parent)} shows what is there' if parent else 'ls shows what is here'
        raise UserError(f'{path} does not exist', hint=near)


def _refuse_overlap(path: str, others: Iterable[str]) -> None:
    """Two records of one file would each say what it has to be.  Raises UserError."""
    for other in sorted(others):
        if path.startswith(f'{other}/'):
            raise UserError(f'{path} lies in {other}, which is tracked as a whole', hint=f'mlops add {shlex.quote(other)}')
        if other.startswith(f'{path}/'):
            raise UserError(
                f'{path} holds {other}, which is tracked by itself',
                hint=f'to track all of it instead, first: rm {shlex.quote(data.record_path(other))}',
            )


def _add(bench: Workbench, path: str, before: ObjectRef | None) -> Added:
    files = size = 0

    def known(file: str, status: os.stat_result) -> ObjectRef | None:
        nonlocal files, size
        files, size = files + 1, size + status.st_size
        progress.step()
        return bench.index.get(file, status)

    def seen(count: int) -> None:
        nonlocal files
        files += count
        progress.step()

    with Progress(lambda: f'  adding    {one_line(path)}: {files:,} files, {show_size(size)}') as progress:
        added = bench.store.add_path(bench.root, path, known=known, seen=seen)
    bench.index.put_added(added)
    record = data.add(bench.root, path, added.ref, bench.batch)
    return Added(path, added.ref, record, added.ref != before)
