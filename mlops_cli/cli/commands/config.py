"""``mlops config``: settings, where their values come from, and what of them is confirmed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, out, out_lines, print_json, say, width
from mlops_cli.cli.finding import find_project, project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.screens.config import Row, home_short, list_lines, shown, shown_of
from mlops_cli.cli.setting_files import file_for, write_setting
from mlops_cli.cli.trusting import require_confirmed
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.fsio.paths import Root
from mlops_cli.records import config_edit, trust
from mlops_cli.records.config import DEFAULTS, LOCAL_ONLY, VARIABLES, Setting, load_origins
from mlops_cli.records.destinations import Host, Remote
from mlops_cli.records.policies import ModelPolicies
from mlops_cli.usage.prices import Prices

WAIT_SECONDS = 10.0

app = Folder('Settings, and where each value comes from: list (also without a command), get, set, confirm.', helps=False)

Name = Annotated[str, options.Argument(metavar='NAME', help='Such as jobs, cache.dir, tokens.licence or remotes.origin.')]


@contextmanager
def _project() -> Iterator[Root | None]:
    """The project's folder, None outside one: a person's own settings are there anywhere."""
    folder = find_project(os.getcwd())
    if not folder:
        yield None
        return
    with Root(folder) as root:
        yield root


def _rows(root: Root | None, found: Mapping[str, tuple[Setting, ...]]) -> list[Row]:
    return [
        Row(settings, root is not None and trust.needs_confirmation(root, settings[0])) for _, settings in sorted(found.items())
    ]


@app.command('list', epilog=exits.line(ExitCode.REFUSED))
def list_settings(json: options.Json = False) -> int:
    """Every setting: its value, where it comes from; with -v also what it overrides.

    Example:  mlops config list -v
    """
    with _project() as root:
        rows = _rows(root, load_origins(root, os.environ))
    if json:
        print_json({'schema': 'mlops/config-list/v1', 'rows': [_flat(row) for row in rows]})
    else:
        out_lines(list_lines(rows, width(sys.stdout), everything=context.current.verbose))
    return 0


app.alone = list_settings


@app.command('get', epilog=exits.line(ExitCode.REFUSED))
def get(name: Name, json: options.Json = False) -> int:
    """One value, as it counts here; with -v where it comes from.

    Example:  mlops config get cache.dir
    """
    with _project() as root:
        row = _row_of(root, name)
    part = config_edit.path_of(name)[2:]
    value = row.value.value.to_json().get(part[0]) if part else row.value.value
    if part and value is None:
        raise UserError(f'{name} is not set', hint=f'mlops config get {name.rpartition(".")[0]}')
    if json:
        print_json({'schema': 'mlops/config-get/v1', **_flat(row), 'name': name, 'value': _plain(value)})
    elif context.current.verbose:
        out(f'{shown(value) if part else shown_of(row.value)}   ({row.origin})')
    else:
        out(shown(value))
        if shown_of(row.value) != shown(value) and not part and not context.current.quiet:
            say(f'{name} is {shown_of(row.value)}')
    return 0


def _row_of(root: Root | None, name: str) -> Row:
    path = config_edit.path_of(name)
    found = load_origins(root, os.environ)
    setting = '.'.join(path[:2])
    if setting not in found:
        there = [one for one in found if one.partition('.')[0] == path[0]]
        hint = did_you_mean(setting, there, what='there are') or f'mlops config set {setting} ...'
        raise UserError(f'{setting} is not set', hint=hint)
    return _rows(root, {setting: found[setting]})[0]


@app.command('set', epilog=exits.line(ExitCode.REFUSED))
def set_value(
    name: Name,
    value: Annotated[str | None, options.Argument(metavar='[VALUE]', help='A word, or YAML in brackets.')] = None,
    local: Annotated[bool, options.Option('--local', help=f'In {layout.CONFIG_LOCAL}: yours, here. The default.')] = False,
    user: Annotated[bool, options.Option('--user', help='In ~/.config/mlops/config.yaml: yours, everywhere.')] = False,
    project: Annotated[bool, options.Option('--project', help=f"In {layout.CONFIG}: the team's, tracked by git.")] = False,
    unset: Annotated[bool, options.Option('--unset', help='Take it out of the file.')] = False,
    json: options.Json = False,
) -> int:
    """Write a setting into one of the files; comments and everything else in it stay.

    Example:  mlops config set jobs 4
    """
    path = config_edit.path_of(name)
    if local + user + project > 1:
        raise UserError('--local, --user and --project are three places', hint='take one of them')
    if (value is None) != unset:
        wanted = f'mlops config set {name} VALUE, or --unset'
        raise UserError('VALUE is missing' if value is None else 'a value, and --unset', hint=wanted)
    if project and name in LOCAL_ONLY and not unset:
        hint = f'mlops config set {name} {value}   writes it to {layout.CONFIG_LOCAL}, which git ignores'
        raise UserError(f'{name} may not come with a branch', hint=hint, exit_code=ExitCode.REFUSED)
    with _project() as root:
        file = file_for(root, user, project)
        write_setting(root, file, project, path, value)
        row = _after(root, '.'.join(path[:2]))
    place = file if os.path.isabs(file) else os.path.relpath(os.path.join(root.path if root else '', file))
    if json:
        print_json({'schema': 'mlops/config-set/v1', 'name': name, 'file': place, 'counts': _flat(row) if row else None})
        return 0
    out(Line(f'  wrote     {home_short(place)}'))
    if row is not None and row.value.source != file:
        said = 'now' if unset else 'all the same'
        out(Line(f'note: here {row.value.name} is {shown(row.value.value)} {said}, from {row.origin}', 'note:'))
    return 0


def _after(root: Root | None, setting: str) -> Row | None:
    found = load_origins(root, os.environ).get(setting)
    return _rows(root, {setting: found})[0] if found else None


@app.command('confirm', epilog=exits.line(ExitCode.REFUSED))
def confirm(name: Name, json: options.Json = False) -> int:
    """Say that a remote or host which came with git may be used from this clone. Asks; --yes answers.

    Example:  mlops config confirm remotes.origin --yes
    """
    with _project() as root:
        if root is None:
            project_folder()
        assert root is not None
        row = _row_of(root, name)
        if not row.value.leads_out:
            raise UserError(f'{name} needs no confirmation', hint='only remotes and hosts do: they lead out')
        if row.value.came_by_git:
            require_confirmed(root, row.value)
    if json:
        print_json({'schema': 'mlops/config-confirm/v1', 'name': row.value.name, 'leads_to': row.value.value.leads_to})
    elif row.value.came_by_git:
        out(f'{row.value.name} leads to {row.value.value.leads_to}: confirmed for this clone, until it changes')
    else:
        out(f'{row.value.name} is your own, from {row.origin}: nothing to confirm')
    return 0


def _flat(row: Row) -> dict[str, Any]:
    setting = row.value
    where = setting.where
    return {
        'name': setting.name,
        'value': _plain(setting.value),
        'source': setting.source,
        'file': where.file if where else None,
        'line': where.line if where else None,
        'variable': VARIABLES.get(setting.name),
        'default': _plain(DEFAULTS.get(setting.name)),
        'confirmed': not row.unconfirmed if setting.leads_out else None,
        'overrides': [
            {'value': _plain(one.value), 'source': one.source, 'line': one.where.line if one.where else None}
            for one in row.settings[1:]
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Remote | Host | Prices | ModelPolicies):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value
