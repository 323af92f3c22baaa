"""``mlops add``."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.cli.documents import ref_document
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_size
from mlops_cli.records import data, gitignore

EXITS = exits.line(ExitCode.REFUSED)


def command(
    paths: Annotated[list[str], typer.Argument(metavar='PATH...', help='Files or folders.')],
    json: options.Json = False,
) -> int:
    """Track data that no stage makes: its content goes to the store, its record to git, the data itself stays where it is.

    Example:  mlops add data/images && git add .mlops/data data/.gitignore
    """
    found = []
    with workbench() as bench, writing(bench):
        for path in [project_relative(bench.root.path, word) for word in paths]:
            made = bench.describer.maker_of(path)
            if made:
                raise UserError(
                    f'{path} is made by stage {made[0]}', hint='outputs are stored by mlops run; only add what no stage makes'
                )
            if bench.root.stat(path) is None:
                raise UserError(f'{path} does not exist')
            added = bench.store.add_path(bench.root, path, known=bench.index.get)
            bench.index.put_many(added.files, moment=added.moment)
            found.append((path, added.ref, data.add(bench.root, path, added.ref, bench.batch)))
        bench.batch.flush()
        lines = gitignore.cover(bench.root, [path for path, _, _ in found])
    if json:
        print_json(
            {'schema': 'mlops/add/v1', 'rows': [{**ref_document(path, ref), 'record': record} for path, ref, record in found]}
        )
        return 0
    for path, ref, _ in found:
        out(f'  added     {path}  {show_size(ref.size)}  {ref.digest.short}')
    out(f'Keep it: git add {" ".join(record for _, _, record in found[:3])}{" .gitignore" if lines else ""} && git commit')
    return 0
