"""``mlops add``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json, say
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.tracking import Desc, Licence, MaxAge, keep, refuse_absent, refuse_made, refuse_overlap, said
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.cli.words import output
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.errors import ExitCode
from mlops_cli.core.refs import ObjectRef, ref_document
from mlops_cli.core.units import show_size
from mlops_cli.records import data, gitignore
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:
    from mlops_cli.fingerprint.added import Whole
    from mlops_cli.store.ingest import Listing

EXITS = exits.line(ExitCode.REFUSED)


@dataclass(frozen=True, slots=True)
class Added:
    """``file``: where the record was written.  ``changed``: whether it is new or says other things than before."""

    record: data.Record
    file: str
    changed: bool


def command(
    paths: Annotated[list[str], options.Argument(metavar='PATH...', help='Files or folders.')],
    desc: Desc = None,
    licence: Licence = None,
    max_age: MaxAge = None,
    json: options.Json = False,
) -> int:
    """Track data that no stage makes: its content goes to the store, its record to git, the data itself stays where it is.

    Example:  mlops add data/images data/labels.csv
    """
    with workbench() as bench, writing(bench):
        wanted = list(dict.fromkeys(project_relative(bench.root.path, word) for word in paths))
        before = data.records(bench.root)
        for path in wanted:
            refuse_made(bench, path)
            refuse_absent(bench, path)
            refuse_overlap(path, {*before, *wanted})
            said(data.Record(path, ObjectRef.from_json(_NOTHING)), desc, licence, max_age, 0.0)  # what is mistyped, at once
        found = []
        for path in wanted:
            ref = _store(bench, path)
            old = before.get(path)
            record = said(_again(old, path, ref), desc, licence, max_age, time.time())
            found.append(Added(record, data.write(bench.root, record, bench.batch), record != old))
        bench.batch.flush()
        if json:
            gitignore.cover(bench.root, wanted)
            rows = [
                {**ref_document(one.record.path, one.record.ref), 'record': one.file, 'changed': one.changed} for one in found
            ]
            print_json({'schema': 'mlops/add/v1', 'rows': rows})
            return 0
        for one in found:
            word = 'added' if one.changed else 'same'
            old = before.get(one.record.path)
            text = output(one.record.path, one.record.ref, bench.store) + _grown(bench, old, one.record)
            out(Line(f'  {word:<9} {text}', 'done'))
            _tell_source(old, one.record)
        keep(bench, [one.record for one in found], any(one.changed for one in found))
    return 0


_NOTHING = ['file', 'blake3:' + '0' * 64, 0]


def _again(old: data.Record | None, path: str, ref: ObjectRef) -> data.Record:
    """What is said of data stays when it is added again; where it came from, if it still is that."""
    if old is None:
        return data.Record(path, ref)
    return replace(old, ref=ref, in_place=False, source=old.source if old.ref == ref else None)


def _tell_source(old: data.Record | None, new: data.Record) -> None:
    if old is not None and old.source is not None and new.source is None:
        came = one_line(old.source.shown)
        say(Line(f'note: {one_line(new.path)} is no longer what {came} held, so update leaves it alone from here on', 'note:'))


def _grown(bench: Workbench, old: data.Record | None, new: data.Record) -> str:
    """``: 10 new, 1 gone`` of a folder that was added before; empty where that is not known."""
    if old is None or old.ref == new.ref or old.ref.kind != 'tree' or new.ref.kind != 'tree':
        return ''
    from mlops_cli.run.importing import changes

    found = changes(bench, old.ref, new.ref)
    counts = ((found.new, 'new'), (found.changed, 'changed'), (found.gone, 'gone'))
    words = ', '.join(f'{count:,} {word}' for count, word in counts if count)
    return f': {words}' if words else ''


def _store(bench: Workbench, path: str) -> ObjectRef:
    files = size = 0
    whole: Whole | None = None

    def known(file: str, status: os.stat_result) -> ObjectRef | None:
        nonlocal files, size
        files, size = files + 1, size + status.st_size
        progress.step()
        return bench.index.get(file, status)

    def seen(count: int) -> None:
        nonlocal files
        files += count
        progress.step()

    def listed(listing: Listing) -> None:
        nonlocal whole
        if whole is None:
            from mlops_cli.fingerprint.added import Whole  # of no use to a file

            whole = Whole(bench.index, bench.workspace.ignore)
        whole.listed(listing)

    with Progress(lambda: f'  adding    {one_line(path)}: {files:,} files, {show_size(size)}') as progress:
        added = bench.store.add_path(bench.root, path, known=known, seen=seen, listed=listed)
    bench.index.put_added(added)
    bench.workspace.forget(path)
    if whole is not None:
        whole.remember()
    if whole is None or whole.is_counted:  # by far the most frequent
        return added.ref
    from mlops_cli.run.counted import only_counted

    return only_counted(bench, path, added.ref)
