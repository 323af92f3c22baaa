"""``mlops data``: what is tracked, and what it looks like."""

from __future__ import annotations

import sys
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, out_lines, print_json, width
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.holding import rows_of
from mlops_cli.cli.screens.data import list_lines, show_lines
from mlops_cli.cli.wiring import workbench
from mlops_cli.records import data

app = Folder('Tracked data: list (also without a command), show.', helps=False)


@app.command('list', epilog=exits.line())
def list_data(
    paths: Annotated[list[str] | None, options.Argument(metavar='[PATH]...', help='Tracked data. Default: all.')] = None,
    json: options.Json = False,
) -> int:
    """What is tracked: its size, age, the stages that use it, and what it holds.  Tables are read once and remembered.

    Example:  mlops data list --json | jq -r '.rows[] | [.path, .size] | @tsv'
    """
    with workbench(tolerant=True) as bench:
        rows = rows_of(bench, paths or ())
        if json:
            print_json({'schema': 'mlops/data-list/v1', 'rows': [row.document() for row in rows]})
            return 0
        if not rows:
            out('Nothing is tracked. To track data: mlops add PATH, or from elsewhere mlops import URL PATH')
            return 0
        out_lines(list_lines(rows, bench.pipeline.groups, width(sys.stdout)))
    return 0


app.alone = list_data


@app.command('show', epilog=exits.line())
def show(
    paths: Annotated[list[str], options.Argument(metavar='PATH...', help='Tracked data.')],
    json: options.Json = False,
) -> int:
    """All about some data: where it came from, its terms, and the columns of a table or the kinds of files in a folder.

    Example:  mlops data show data/labels.csv
    """
    with workbench(tolerant=True) as bench:
        rows = rows_of(bench, paths)
        if json:
            found = [
                {**row.document(), 'statistics': row.statistics.document() if row.statistics else None,
                 'record': data.record_path(row.record.path)}
                for row in rows
            ]  # fmt: skip
            print_json({'schema': 'mlops/data-show/v1', 'rows': found})
            return 0
        for number, row in enumerate(rows):
            if number:
                out('')
            out_lines(show_lines(row, bench.pipeline.groups, width(sys.stdout)))
    return 0
