"""``mlops hosts setup``."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

from mlops_cli.cli import options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.trusting import require_confirmed
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode

Send = Annotated[bool, options.Option('--send', help='Fetch packages here and send them, whether it reaches an index or not.')]
WORDS = {'done': 'done', 'there': 'there', 'wrong': 'WRONG'}


def setup(
    name: Annotated[str, options.Argument(metavar='HOST', help='Its name, such as gpu1.')],
    send: Send = False,
    json: options.Json = False,
) -> int:
    """Prepare a host: look what it has, make its folder, bring what runs stages there, and make their environments ahead, with
    packages from here where it reaches no index.  Again it does what is missing.

    Example:  mlops hosts setup gpu1
    """
    from mlops_cli.records.config import HOSTS, load_settings
    from mlops_cli.run.hosts import known
    from mlops_cli.run.preparing import prepare

    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with workbench() as bench:
        host = known(bench, name)
        require_confirmed(bench.root, load_settings(bench.root, os.environ)[f'{HOSTS}.{name}'])
        for one in prepare(bench, name, host, send, lambda: None):
            rows.append({'what': one.what, 'state': one.state, 'text': one.text, 'hint': one.hint, 'stages': [*one.stages]})
            if not json:
                _tell(rows[-1])
    wrong = any(row['state'] == 'wrong' for row in rows)
    if json:
        seconds = round(time.monotonic() - began, 3)
        print_json({'schema': 'mlops/hosts-setup/v1', 'name': name, 'ready': not wrong, 'seconds': seconds, 'rows': rows})
    elif not wrong:
        out(f'{name} is ready: mlops run --host {name}')
    return ExitCode.UNREACHABLE if wrong else ExitCode.DONE


def _tell(row: dict[str, Any]) -> None:
    stages = row['stages']
    of = f' ({", ".join(stages[:4])}{", ..." if len(stages) > 4 else ""})' if stages else ''
    word = WORDS[row['state']]
    style = 'failed' if word == 'WRONG' else word
    out(Line(f'  {word:<6} {one_line(row["what"])}{one_line(of)}: {one_line(row["text"])}', style))
    if row['hint']:
        out(Line(f'    hint: {one_line(row["hint"])}'))
