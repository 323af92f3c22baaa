"""What ``add``, ``import`` and ``update`` share: what is said of data, what may be tracked, what to keep of it in git."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from typing import Annotated

from mlops_cli import git
from mlops_cli.cli import context, options
from mlops_cli.cli.console import Line, one_line, out, say
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.records import data, gitignore
from mlops_cli.run.workbench import Workbench

SHOWN = 5  # paths in the line that says what to keep

Desc = Annotated[str | None, options.Option('--desc', metavar='TEXT', help='What it is, for people; recorded.')]
Licence = Annotated[str | None, options.Option('--licence', metavar='TEXT', help='Such as CC-BY-4.0; recorded.')]
MaxAge = Annotated[
    str | None,
    options.Option('--max-age', metavar='AGE', help='Such as 30d: when it is older, status says so. "" for any age.'),
]


def said(record: data.Record, desc: str | None, licence: str | None, max_age: str | None, now: float) -> data.Record:
    """A record with what the options say; what none says stays.  Raises UserError."""
    texts = {'desc': record.desc, 'licence': record.licence, 'max_age': record.max_age}
    for name, text in (('desc', desc), ('licence', licence), ('max_age', max_age)):
        try:
            texts[name] = texts[name] if text is None else data.check(name, text)
        except ValueError as error:
            option = f'--{name.replace("_", "-")}'
            raise UserError(f'{option} {error}', hint='such as --max-age 30d' if name == 'max_age' else '') from error
    checked = data.today(now, texts['max_age'])
    return replace(record, desc=texts['desc'], licence=texts['licence'], max_age=texts['max_age'], checked=checked)


def refuse_made(bench: Workbench, path: str) -> None:
    """Raises UserError for what a stage makes."""
    if made := bench.describer.maker_of(path):
        raise UserError(
            f'{path} is made by stage {made[0]}', hint='outputs are stored by mlops run; only add what no stage makes'
        )
    inside = [output.path for stage in bench.pipeline.stages.values() for output in stage.outputs]
    if held := next((one for one in inside if one.startswith(f'{path}/')), None):
        raise UserError(f'{path} holds {held}, which a stage makes', hint='add the files beside it one by one')


def refuse_absent(bench: Workbench, path: str) -> None:
    """Raises UserError where nothing is."""
    if bench.root.stat(path) is None:
        parent = os.path.dirname(path)
        near = f'ls {shlex.quote(parent)} shows what is there' if parent else 'ls shows what is here'
        raise UserError(f'{path} does not exist', hint=near)


def refuse_overlap(path: str, others: Iterable[str]) -> None:
    """Two records of one file would each say what it has to be.  Raises UserError."""
    for other in sorted(others):
        if path.startswith(f'{other}/'):
            raise UserError(f'{path} lies in {other}, which is tracked as a whole', hint=f'mlops add {shlex.quote(other)}')
        if other.startswith(f'{path}/'):
            raise UserError(
                f'{path} holds {other}, which is tracked by itself',
                hint=f'to track all of it instead, first: rm {shlex.quote(data.record_path(other))}',
            )


def keep(bench: Workbench, written: Sequence[data.Record], changed: bool) -> None:
    """Leaves tracked data out of git, and says what of it git is to have.  ``changed``: whether any record was written."""
    paths = [one.path for one in written]
    ignored = gitignore.cover(bench.root, paths)
    both = [one for one in written if git.tracked(bench.root.path, [one.path])]
    for one in both:
        say(Line(f'note: git has {one_line(one.path)} too; what is below leaves it to mlops', 'note:'))
    if changed or ignored or both:
        records = [data.record_path(path) for path in paths] if len(paths) <= SHOWN else ['.mlops/data']
        files = [*records, *(['.gitignore', '.gitattributes'] if ignored else [])]
        folders = '-r ' if any(one.ref.kind == 'tree' for one in both) else ''
        keeping = context.keep_it(bench.root.path, ' '.join(map(shlex.quote, files)))
        if both:
            gone = f'rm {folders}--cached {" ".join(shlex.quote(one.path) for one in both)}'
            typed = context.typed('git', context.elsewhere(bench.root.path))
            keeping = keeping.replace('Keep it: ', f'Keep it: {typed} {gone} && ', 1)
        out(keeping)
