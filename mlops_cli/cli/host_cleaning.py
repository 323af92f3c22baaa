"""``mlops gc --host``: says what in a host's folder nobody has used for long, and takes it out."""

from __future__ import annotations

import os
import time
from typing import Any

from mlops_cli.cli.agreeing import agreed
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.trusting import require_confirmed
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import ago, plural, show_size
from mlops_cli.store.frames import text_of

SCHEMA = 'mlops/gc-host/v1'
KINDS = {'job': 'jobs', 'environment': 'environments', 'packages': 'packages', 'cache': 'caches', 'contents': 'contents'}
MOST = 100_000


def clean(name: str, grace: float, dry_run: bool, json: bool) -> ExitCode:
    from mlops_cli.executors.ssh import bucket_of
    from mlops_cli.records.config import HOSTS, load_settings
    from mlops_cli.run.hosts import known

    with workbench() as bench:
        host = known(bench, name)
        require_confirmed(bench.root, load_settings(bench.root, os.environ)[f'{HOSTS}.{name}'])
    if not host.url.startswith('ssh://'):
        raise UserError(f'{name} is a cluster, whose folder is not cleared yet', hint='remove what is old there by hand')
    bucket = bucket_of(host.place, host.python)
    try:
        asked = {'do': 'clear', 'grace_seconds': grace, 'dry_run': True}
        found = _read(bucket.ask(asked))
        done = False
        if found['items'] and not dry_run:
            question = f'Remove {plural(len(found["items"]), "thing")} from {name}'
            agreed(question, _lines(name, found), f'mlops gc --host {name} --yes', json)
            found = _read(bucket.ask({**asked, 'dry_run': False}))
            done = True
    finally:
        bucket.close()
    if json:
        print_json({'schema': SCHEMA, 'host': name, 'removed': done, **found})
        return ExitCode.DONE
    for line in _lines(name, found):
        out(line)
    if done:
        out(Line(f'  removed   {show_size(sum(item["bytes"] for item in found["items"]))}', 'done'))
    return ExitCode.DONE


def _read(answer: dict[str, Any]) -> dict[str, Any]:
    """What the host says, as far as it is what it should be."""
    rows, kept = answer.get('items'), answer.get('kept')
    items = [
        {'kind': row[0], 'path': text_of(row[1])[:300], 'bytes': max(0, int(row[2])), 'used': float(row[3])}
        for row in (rows[:MOST] if isinstance(rows, list) else ())
        if isinstance(row, list) and len(row) == 4 and row[0] in KINDS
        and isinstance(row[2], int) and isinstance(row[3], int | float)
    ]  # fmt: skip
    counts = {kind: kept[kind] for kind in KINDS if isinstance(kept, dict) and isinstance(kept.get(kind), int)}
    running = answer.get('running')
    jobs = running if isinstance(running, int) else 0
    return {'items': items, 'kept': counts, 'running': jobs, 'others': bool(answer.get('others')),
            'remote': bool(answer.get('remote'))}


def _lines(name: str, found: dict[str, Any]) -> list[str]:
    items, now = found['items'], time.time()
    size = show_size(sum(item['bytes'] for item in items))
    lines = [f'{name}: {plural(len(items), "thing")} that nobody has used for long: {size}.' if items
             else f'{name}: all of it was used lately.']  # fmt: skip
    for kind, words in KINDS.items():
        mine = [item for item in items if item['kind'] == kind]
        if mine:
            last = ago(max(0.0, now - max(item['used'] for item in mine)))
            size = show_size(sum(item['bytes'] for item in mine))
            lines.append(f'  {words:<12}  {len(mine):>4}  {size:>7}  the last used {last}')
    if found['kept']:
        lines.append(f'  kept          {", ".join(plural(count, kind, KINDS[kind]) for kind, count in found["kept"].items())}')
    if found['running'] or found['others']:
        runs = 'runs' if found['running'] == 1 else 'run'
        why = f'{plural(found["running"], "job")} {runs} there' if found['running'] else 'somebody else is connected'
        lines.append(f'  not looked at caches and contents, while {why}')
    elif found['remote']:
        lines.append('  not looked at contents: the folder is a remote or a cache, too')
    return [one_line(line) for line in lines]
