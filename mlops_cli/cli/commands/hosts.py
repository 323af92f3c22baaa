"""``mlops hosts``: machines that stages may run on."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.commands.hosts_setup import setup
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.screens.hosts import Listed, list_document, list_lines
from mlops_cli.cli.setting_files import file_for, write_setting
from mlops_cli.cli.trusting import require_confirmed
from mlops_cli.cli.wiring import open_project
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.units import plural, show_size
from mlops_cli.fsio.paths import Root
from mlops_cli.records import sightings, trust
from mlops_cli.records.config import Setting, load_config, load_origins, load_settings
from mlops_cli.records.costs import book_of
from mlops_cli.records.destinations import Host, check_name, read_host
from mlops_cli.run.request import ANY, LOCAL
from mlops_cli.usage.prices import Book

app = Folder('Machines that stages may run on: list (also without a command), add, check, setup, remove.', helps=False)

Name = Annotated[str, options.Argument(metavar='HOST', help='Its name, such as gpu1.')]
Local = Annotated[bool, options.Option('--local', help='In .mlops/config.local.yaml: yours, here.')]
Python = Annotated[str, options.Option('--python', metavar='PATH', help='The interpreter to start there.')]
FACTS = ('name', 'system', 'python', 'cpus', 'memory_bytes', 'free_bytes', 'folder', 'gpus', 'containers', 'jobs',
         *sightings.ENGINES)  # fmt: skip
Path = Annotated[str, options.Option('--path', metavar='PATH', help='Folders there with programs, before all others.')]
Submit = Annotated[str, options.Option('--submit', metavar='WORDS', help='For sbatch, or for pods: image=NAME.')]
LITTLE = 1 << 30  # bytes of room with which work is likely to fail


@app.command('add', epilog=exits.line(ExitCode.REFUSED))
def add(
    name: Name,
    url: Annotated[str, options.Argument(metavar='URL', help='ssh://, slurm:// or ray://[USER@]HOST[:PORT][/FOLDER]; k8s://C/NAMESPACE/CLAIM.')],
    python: Python = '',
    path: Path = '',
    submit: Submit = '',
    local: Local = False,
    json: options.Json = False,
) -> int:
    """Write a host into .mlops/config.yaml, which git tracks, so that everybody has it.  Connects to nothing.

    Example:  mlops hosts add gpu1 ssh://ada@gpu1.example.org
    """
    given = {'url': url} | {key: value for key, value in (('python', python), ('path', path), ('submit', submit)) if value}
    try:
        found = read_host(given)
        check_name(name)
        if name in (LOCAL, ANY):
            raise ValueError('is what this machine is called' if name == LOCAL else 'means any host')
    except ValueError as error:
        raise UserError(f'{name} {error}', hint='such as mlops hosts add gpu1 ssh://user@host') from error
    with Root(open_project().folder) as root:
        there = load_settings(root, os.environ).get(f'hosts.{name}')
        if there is not None and there.value.url != found.url:
            raise UserError(
                f'there is a host {name}, which leads to {there.value.url}', where=there.where,
                hint=f'mlops hosts remove {name}, or take another name', exit_code=ExitCode.REFUSED,
            )  # fmt: skip
        file = file_for(root, False, not local)
        for key, value in found.to_json().items():
            write_setting(root, file, not local, ('hosts', name, key), value)
        setting = load_settings(root, os.environ)[f'hosts.{name}']
        if trust.needs_confirmation(root, setting):
            trust.confirm(root, trust.subject_of(setting), time.time())  # who adds it means it
    if json:
        print_json({'schema': 'mlops/hosts-add/v1', 'name': name, 'url': found.url, 'file': file})
        return 0
    out(Line(f'  added     {name}, {one_line(found.url)}', 'done'))
    keep = '' if local else f'{context.keep_it(project_folder(), file)}.  '
    out(f'{keep}Can it be used? mlops hosts check {name}')
    return 0


@app.command('list', epilog=exits.line(ExitCode.REFUSED))
def list_hosts(json: options.Json = False) -> int:
    """Which hosts there are, what each had when it was last seen, and what it costs.  Connects to nothing.

    Example:  mlops hosts list
    """
    with Root(open_project().folder) as root:
        found = [_listed(root, setting) for setting in _settings(root)]
        book = book_of(load_config(root, os.environ)) if found else Book()
    now = time.time()
    if json:
        print_json({'schema': 'mlops/hosts-list/v1', 'rows': [list_document(one, book, now) for one in found]})
        return 0
    if not found:
        out('No hosts. To add one: mlops hosts add gpu1 ssh://user@host')
        return 0
    out_lines(list_lines(found, book, now))
    return 0


app.alone = list_hosts


def _settings(root: Root) -> list[Setting]:
    return [found[0] for name, found in sorted(load_origins(root, os.environ).items()) if name.startswith('hosts.')]


def _listed(root: Root, setting: Setting) -> Listed:
    name, host = setting.name.partition('.')[2], setting.value
    confirmed = not trust.needs_confirmation(root, setting)
    return Listed(name, host.url, host.desc, setting.source, confirmed, sightings.last(root, name, host.url))


@app.command('check', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED))
def check(
    names: Annotated[list[str] | None, options.Argument(metavar='[HOST]...', help='Which. Default: all.')] = None,
    json: options.Json = False,
) -> int:
    """Connect to each host and say what it has, or what is wrong with it and what mends that.

    Example:  mlops hosts check        all of them
    """
    with Root(open_project().folder) as root:
        settings = {setting.name.partition('.')[2]: setting for setting in _settings(root)}
        for name in names or ():
            if name not in settings:
                near = did_you_mean(name, settings, what='there are') if settings else f'mlops hosts add {name} ssh://user@host'
                raise UserError(f'there is no host {name!r}', hint=near)
        unconfirmed = [name for name in names or settings if trust.needs_confirmation(root, settings[name])]
        rows = [_checked(root, name, settings[name]) for name in names or settings]
    if json:
        print_json({'schema': 'mlops/hosts-check/v1', 'rows': rows})
    elif not rows:
        out('No hosts. To add one: mlops hosts add gpu1 ssh://user@host')
    else:
        out_lines([line for row in rows for line in _lines(row)])
    wrong = [row['name'] for row in rows if not row['usable']]
    return ExitCode.DONE if not wrong else ExitCode.REFUSED if {*wrong} <= {*unconfirmed} else ExitCode.UNREACHABLE


def _checked(root: Root, name: str, setting: Setting) -> dict[str, Any]:
    from mlops_cli.executors.ssh import bucket_of, question
    from mlops_cli.store.bucket import Unreachable

    host: Host = setting.value
    row: dict[str, Any] = {'name': name, 'url': host.url, 'usable': False, 'problem': '', 'hint': '', 'seconds': None}
    row['facts'] = {}
    began = time.monotonic()
    try:
        require_confirmed(root, setting)
    except UserError as error:  # of the others there may be something to say
        return row | {'problem': error.message, 'hint': error.hint}
    try:
        bucket = bucket_of(host.place, host.python, host.words)
        try:
            facts = bucket.ask({**question(host.path, host.words), 'thorough': True})
        finally:
            bucket.close()
    except Unreachable as error:
        return row | {'problem': error.problem, 'hint': error.hint or ''}
    seconds = round(time.monotonic() - began, 3)
    sightings.keep(root, name, host.url, facts, time.time())
    return row | {'usable': True, 'seconds': seconds, 'facts': {key: facts.get(key) for key in FACTS}}


def _lines(row: dict[str, Any]) -> Sequence[Line]:
    name = one_line(row['name'])
    if not row['usable']:
        found = [Line(f'  {name}: {one_line(row["problem"])}', 'failed')]
        return [*found, Line(f'    hint: {one_line(row["hint"])}')] if row['hint'] else found
    facts = row['facts']
    parts = [one_line(str(facts['name'])), one_line(str(facts['system'])), f'Python {one_line(str(facts["python"]))}']
    engine = next((name for name in sightings.ENGINES if isinstance(facts[name], dict)), '')
    if engine:
        from mlops_cli.run.hosts import cluster_summary

        parts.append(cluster_summary(facts, facts[engine], engine))
    elif isinstance(facts['cpus'], int):
        parts.append(plural(facts['cpus'], 'CPU'))
    if not engine and isinstance(facts['memory_bytes'], int) and facts['memory_bytes']:
        parts.append(f'{show_size(facts["memory_bytes"])} of memory')
    gpus = [gpu for gpu in facts['gpus'] or () if isinstance(gpu, dict)] if isinstance(facts['gpus'], list) else []
    parts += [f'{one_line(str(gpu.get("name")))}' for gpu in gpus]
    lines = [Line(f'  {name}: {", ".join(parts)}', 'done')]
    if isinstance(facts['free_bytes'], int):
        room = f'{show_size(facts["free_bytes"])} free in {one_line(str(facts["folder"]))}'
        lines.append(Line(f'    {room}' + (': make room there' if facts['free_bytes'] < LITTLE else ''), ''))
    if not engine and isinstance(facts['containers'], list) and facts['containers']:
        lines.append(Line(f'    images are run by {one_line(" and ".join(map(str, facts["containers"])))}', ''))
    return lines


app.command('setup', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED))(setup)


@app.command('remove', epilog=exits.line(ExitCode.REFUSED))
def remove(name: Name, json: options.Json = False) -> int:
    """Take a host out of the file that names it.  What lies there stays there.

    Example:  mlops hosts remove gpu1
    """
    with Root(open_project().folder) as root:
        found = load_settings(root, os.environ).get(f'hosts.{name}')
        if found is None:
            raise UserError(f'there is no host {name!r}', hint='mlops hosts list')
        write_setting(root, found.source, found.came_by_git, ('hosts', name), None)
        sightings.forget(root, name)
    if json:
        print_json({'schema': 'mlops/hosts-remove/v1', 'name': name, 'file': found.source})
    else:
        out(Line(f'  removed   {name}, {one_line(found.value.url)}'))
    return 0
