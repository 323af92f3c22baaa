"""``mlops update``."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.bringing import bring, place
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.tracking import keep
from mlops_cli.cli.trusting import require_source
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.cli.words import output
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.refs import ref_document
from mlops_cli.core.units import show_size
from mlops_cli.records import data, gitignore
from mlops_cli.run import importing
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED)


@dataclass(frozen=True, slots=True)
class Updated:
    """``state``: ``same``, ``brought`` where that was not here, ``updated``; of a dry run ``changed`` or ``unknown`` in its
    place; ``failed`` for ``error``.  ``before``, ``record``: as it was, and is.  ``rewritten``: whether the record says other
    things than before."""

    state: str
    before: data.Record
    record: data.Record
    changes: importing.Changes | None = None
    error: UserError | None = None
    kept: tuple[str, ...] = ()

    @property
    def rewritten(self) -> bool:
        return self.record != self.before


def command(
    paths: Annotated[
        list[str] | None, options.Argument(metavar='[PATH]...', help='Imported data. Default: all of it.')
    ] = None,
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='Only look whether the sources changed.')] = False,
    force: Annotated[
        bool,
        options.Option(
            '--force', '-f', help='Also over changes that are saved nowhere; they are kept under .mlops/local/rescue.'
        ),
    ] = False,
    json: options.Json = False,
) -> int:
    """Look whether imported data changed where it came from; bring it, and move the pin.

    Example:  mlops update --dry-run
    """
    with workbench() as bench, writing(bench):
        done = []
        for record in _chosen(bench, paths or ()):
            try:
                done.append(_look(bench, record) if dry_run else _update(bench, record, force))
            except UserError as error:
                done.append(Updated('failed', record, record, error=error))
                if len(paths or ()) == 1:
                    raise
        written = [one.record for one in done if one.rewritten]
        if json:
            gitignore.cover(bench.root, [one.path for one in written])
            print_json({'schema': 'mlops/update/v1', 'dry_run': dry_run, 'rows': [_document(one) for one in done]})
        else:
            for one in done:
                _tell(bench, one)
            if not done:
                out('Nothing was imported here. To import something: mlops import URL PATH')
            if written:
                keep(bench, written, True)
    codes = [one.error.exit_code for one in done if one.error is not None]
    return exits.first(codes) if codes else ExitCode.DONE


def _chosen(bench: Workbench, words: Sequence[str]) -> list[data.Record]:
    records = data.records(bench.root)
    imported = {path: one for path, one in records.items() if one.source is not None}
    if not words:
        return list(imported.values())
    found = []
    for word in words:
        path = project_relative(bench.root.path, word)
        if path in imported:
            found.append(imported[path])
        elif path in records:
            hint = f'mlops add {shlex.quote(path)}'
            raise UserError(f'{path} was added, not imported: it has no source to look at', hint=hint)
        else:
            raise UserError(f'{path} is not tracked', hint=did_you_mean(path, imported, what='imported are'))
    return found


def _look(bench: Workbench, record: data.Record) -> Updated:
    from mlops_cli.run.origins.all import open_origin

    assert record.source is not None
    require_source(bench.root, record.path, importing.place_of(bench, record.source))
    seen = open_origin(bench, record.source, record.path).look(record.source.pins)
    same = seen.same if seen.ref is None else seen.ref == record.ref
    return Updated({True: 'same', False: 'changed', None: 'unknown'}[same], record, record)


def _update(bench: Workbench, record: data.Record, force: bool) -> Updated:
    assert record.source is not None
    require_source(bench.root, record.path, importing.place_of(bench, record.source))
    found = bring(bench, record, time.time())
    kept: tuple[str, ...] = ()
    if found.changes is not None:
        if not force and importing.edited(bench, record, found.record.ref):
            raise _edited(record)
        kept = place(bench, found.record, force, record.ref)
    absent = found.changes is None and bench.root.stat(record.path) is None
    if absent:
        kept = place(bench, found.record, force)
    if found.record != record:
        data.write(bench.root, found.record, bench.batch)
        bench.batch.flush()
    state = 'brought' if absent else 'same' if found.changes is None else 'updated'
    return Updated(state, record, found.record, found.changes, kept=kept)


def _edited(record: data.Record) -> UserError:
    """What a person changed after it was imported is not replaced behind their back, even where it is saved."""
    path = shlex.quote(record.path)
    return UserError(
        f'{record.path} changed at its source, and here too: it is not what was imported', exit_code=ExitCode.REFUSED,
        hint=f'mlops add {path} keeps yours; mlops update --force {path} takes theirs, and keeps yours aside',
    )  # fmt: skip


def _document(one: Updated) -> dict[str, Any]:
    changes = one.changes
    return {
        **ref_document(one.record.path, one.record.ref),
        'state': one.state,
        'before': str(one.before.ref.digest),
        'source': one.record.source.shown if one.record.source is not None else '',
        'checked': one.record.checked,
        'new': changes.new if changes else 0,
        'changed': changes.changed if changes else 0,
        'gone': changes.gone if changes else 0,
        'bytes': changes.bytes if changes else 0,
        'error': str(one.error) if one.error is not None else '',
        'kept': list(one.kept),
    }


def _tell(bench: Workbench, one: Updated) -> None:
    path = one_line(one.record.path)
    source = one_line(one.record.source.shown) if one.record.source is not None else ''
    if one.error is not None:
        hint = f' ({one_line(one.error.hint)})' if one.error.hint else ''
        out(Line(f'  {"failed":<9} {path}: {one_line(one.error.message)}{hint}', 'failed'))
    elif one.state == 'same':
        checked = f'; looked at {one.record.checked}' if one.rewritten and one.record.checked else ''
        out(Line(f'  {"same":<9} {path}, as {source} has it{checked}', 'done'))
    elif one.state == 'brought':
        out(Line(f'  {"brought":<9} {output(one.record.path, one.record.ref, bench.store)}, as {source} has it', 'done'))
    elif one.state == 'updated':
        out(Line(f'  {"updated":<9} {output(one.record.path, one.record.ref, bench.store)}: {_changed(one)}', 'done'))
    elif one.state == 'changed':
        out(f'  {"changed":<9} {path}, at {source}')
    else:
        out(f'  {"unknown":<9} {path}: {source} says nothing of its state; without --dry-run it is fetched and compared')
    for kept in one.kept:
        out(f'  {"kept":<9} {one_line(kept)}   (what stood there before; mv it back to undo)')


def _changed(one: Updated) -> str:
    changes = one.changes
    assert changes is not None
    size = f'{"+" if changes.bytes >= 0 else "-"}{show_size(abs(changes.bytes))}'
    if one.record.ref.kind != 'tree' or one.before.ref.kind != 'tree':
        return f'changed, {size}'
    if changes.new is None:
        return f'changed, {size} (what it was is not in this cache)'
    counts = ((changes.new, 'new'), (changes.changed, 'changed'), (changes.gone, 'gone'))
    return f'{", ".join(f"{count:,} {word}" for count, word in counts if count) or "changed"}, {size}'
