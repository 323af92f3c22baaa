"""``mlops remote``: where a project's contents are kept beside this machine."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.setting_files import file_for, write_setting
from mlops_cli.cli.wiring import open_project
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.paths import Root
from mlops_cli.records import trust
from mlops_cli.records.config import Setting, load_origins, load_settings
from mlops_cli.records.destinations import Remote, check_name, read_remote

app = Folder('Remotes, which hold contents beside this machine: list (also without a command), add, remove.', helps=False)

_PERCENT = pattern(r'%[0-9A-Fa-f]{2}')
Name = Annotated[str, options.Argument(metavar='REMOTE', help='Its name, such as origin, which is the usual one.')]
Local = Annotated[bool, options.Option('--local', help='In .mlops/config.local.yaml: yours, here.')]


@app.command('add', epilog=exits.line(ExitCode.REFUSED))
def add(
    name: Name,
    url: Annotated[
        str,
        options.Argument(
            metavar='URL', help='s3://BUCKET/PREFIX, ssh://HOST/FOLDER, gs:// or az://, file://, or the path of a folder.'
        ),
    ],
    local: Local = False,
    json: options.Json = False,
) -> int:
    """Write a remote into .mlops/config.yaml, which git tracks, so that everybody has it.  Connects to nothing.

    Example:  mlops remote add origin s3://team-data/digits
    """
    url = url if '://' in url else os.path.abspath(os.path.expanduser(url))
    if url.startswith('file://') and _PERCENT.search(url):  # one folder here, and another for every other program
        raise UserError(f'{name}: no %-signs are read in {url[:80]}', hint='name the folder by its path alone')
    try:
        found = read_remote({'url': url})
        check_name(name)
    except ValueError as error:
        raise UserError(f'{name} {error}', hint='such as mlops remote add origin s3://BUCKET/PREFIX') from error
    if url.startswith(('gs://', 'az://', 'https://')):
        from mlops_cli.store.fsspec_bucket import require

        require(url)
    with Root(open_project().folder) as root:
        there = load_settings(root, os.environ).get(f'remotes.{name}')
        if there is not None and there.value.url != url:
            raise UserError(
                f'there is a remote {name}, which leads to {there.value.url}', where=there.where,
                hint=f'mlops remote remove {name}, or take another name', exit_code=ExitCode.REFUSED,
            )  # fmt: skip
        file = file_for(root, False, not local)
        write_setting(root, file, not local, ('remotes', name, 'url'), found.url)
        setting = load_settings(root, os.environ)[f'remotes.{name}']
        if trust.needs_confirmation(root, setting):
            trust.confirm(root, trust.subject_of(setting), time.time())  # who adds it means it
    if json:
        print_json({'schema': 'mlops/remote-add/v1', 'name': name, 'url': found.url, 'file': file})
        return 0
    out(Line(f'  added     {name}, {one_line(found.url)}', 'done'))
    out(context.keep_it(project_folder(), file) if not local else 'It is yours, here. To send what is recorded: mlops push')
    return 0


@app.command('list', epilog=exits.line(ExitCode.REFUSED))
def list_remotes(json: options.Json = False) -> int:
    """Which remotes there are, where each is written, and whether it may be used from this clone.

    Example:  mlops remote list
    """
    with Root(open_project().folder) as root:
        settings = [found[0] for name, found in sorted(load_origins(root, os.environ).items()) if name.startswith('remotes.')]
        rows = [_row(root, setting) for setting in settings]
    if json:
        print_json({'schema': 'mlops/remote-list/v1', 'rows': rows})
        return 0
    if not rows:
        out('No remotes. To add one: mlops remote add origin s3://BUCKET/PREFIX   or the path of a folder')
        return 0
    longest = max(len(row['name']) for row in rows)
    out_lines(
        [
            Line(
                f'  {row["name"]:<{longest}}  {one_line(row["url"])}  ({row["file"]}'
                + ('' if row['confirmed'] else f'; not confirmed yet: mlops config confirm remotes.{row["name"]}')
                + ')'
            )
            for row in rows
        ]
    )
    return 0


app.alone = list_remotes


def _row(root: Root, setting: Setting) -> dict[str, Any]:
    remote: Remote = setting.value
    return {
        'name': setting.name.partition('.')[2],
        'url': remote.url,
        'desc': remote.desc,
        'file': setting.source,
        'confirmed': not trust.needs_confirmation(root, setting),
    }


@app.command('remove', epilog=exits.line(ExitCode.REFUSED))
def remove(name: Name, json: options.Json = False) -> int:
    """Take a remote out of the file that names it.  What it holds stays there.

    Example:  mlops remote remove origin
    """
    with Root(open_project().folder) as root:
        found = load_settings(root, os.environ).get(f'remotes.{name}')
        if found is None:
            raise UserError(f'there is no remote {name!r}', hint='mlops remote list')
        file = found.source
        write_setting(root, file, found.came_by_git, ('remotes', name), None)
    if json:
        print_json({'schema': 'mlops/remote-remove/v1', 'name': name, 'file': file})
    else:
        out(Line(f'  removed   {name}, {one_line(found.value.url)}; what it holds is still there'))
    return 0
