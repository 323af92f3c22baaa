"""``mlops ci``: workflows for CI services, and the comment on a pull request."""

from __future__ import annotations

import os
from typing import Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json, say
from mlops_cli.cli.folder import Folder
from mlops_cli.core.errors import ExitCode, UserError

app = Folder('CI: init writes a workflow, report tells what a pull request changes.')
SERVICES = ('github', 'gitlab')
LIMIT = 4 << 20  # bytes of a report that another job made


@app.command('init', epilog=exits.line(ExitCode.REFUSED))
def init(
    service: Annotated[str, options.Argument(metavar='SERVICE', help='github or gitlab.')],
    force: Annotated[bool, options.Option('--force', help='Also in the place of a file that is there and differs.')] = False,
    json: options.Json = False,
) -> int:
    """Write a workflow: pull requests run with a cache that they cannot write, and get one comment.

    Example:  mlops ci init github
    """
    if service not in SERVICES:
        raise UserError(f'there is no workflow for {service[:40]!r}', hint=f'there are {" and ".join(SERVICES)}')
    from mlops_cli.ci.workflows import FILES
    from mlops_cli.cli.wiring import open_project
    from mlops_cli.fsio.atomic import read_file, write_file
    from mlops_cli.fsio.paths import Root
    from mlops_cli.git import top

    project = open_project()
    folder = top(project.folder) or project.folder
    path, text = FILES[service], _workflow(service, project.folder, folder, bool(project.config.remotes))
    with Root(folder) as root:
        there = root.stat(path) is not None
        same = there and read_file(root, path, 1 << 20) == text.encode()
        if there and not same and not force:
            raise UserError(
                f'{path} is there already, and is another one',
                exit_code=ExitCode.REFUSED,
                hint=f'mlops ci init {service} --force writes it anew; git keeps what was committed of it',
            )
        if not same:
            root.makedirs(os.path.dirname(path)) if os.path.dirname(path) else None
            write_file(root, path, text.encode())
    state = 'same' if same else 'replaced' if there else 'written'
    if json:
        print_json({'schema': 'mlops/ci-init/v1', 'service': service, 'path': path, 'state': state})
    elif not context.current.quiet:
        out(Line(f'  {state:<9} {path}', state))
        out(context.keep_it(root.path, path))
    return ExitCode.DONE


def _workflow(service: str, project: str, top: str, remote: bool) -> str:
    """Raises UserError for names that cannot stand in one."""
    from mlops_cli.ci.workflows import Wanted, workflow
    from mlops_cli.git import head

    found = head(project)
    branch = found.branch if found is not None and found.branch in ('main', 'master', 'trunk', 'develop') else 'main'
    requirements = 'requirements.txt' if os.path.isfile(os.path.join(project, 'requirements.txt')) else ''
    try:
        return workflow(service, Wanted(branch, requirements, remote, os.path.relpath(project, top)))
    except ValueError as error:
        raise UserError(f'a workflow cannot be written: {error}', hint='rename the folder') from error


@app.command('report', epilog=exits.line(ExitCode.UNREACHABLE))
def report(
    base: Annotated[
        str,
        options.Option('--base', metavar='REV', help='What to compare with. Default: the target of the pull request, or HEAD.'),
    ] = '',
    source: Annotated[
        str, options.Option('--from', metavar='FILE', help='A report that --json printed in another job; no project is needed.')
    ] = '',
    post: Annotated[
        bool, options.Option('--post', help='Write it as a comment of the pull request, in the place of the one before.')
    ] = False,
    json: options.Json = False,
) -> int:
    """One comment in Markdown: what ran and was restored, metrics before and after, inputs that differ, cost, gates, approvals.

    Example:  mlops ci report --base v1.2
    """
    document = _read(source) if source else _gather(base)
    if json:
        print_json(document)
    from mlops_cli.ci.comment import markdown, marker

    text = markdown(document)
    if not json and not post:
        for line in text.rstrip('\n').split('\n'):
            out(line)
    summary = os.environ.get('GITHUB_STEP_SUMMARY')
    if summary and not json and not post:  # of the steps of a workflow one shows it
        _summarise(summary, text)
    if post:
        from mlops_cli.ci.platform import place_of, upsert

        done = upsert(place_of(os.environ), marker(document), text)
        say(Line(f'  {done}   the comment of the pull request', 'done'))
    return ExitCode.DONE


def _summarise(path: str, text: str) -> None:
    try:
        with open(path, 'a', encoding='utf-8') as file:
            file.write(text)
    except OSError as error:
        say(Line(f'note: the summary of the job cannot be written: {error.strerror}', 'note:'))


def _read(path: str) -> dict[str, Any]:
    """Raises UserError for what is no report."""
    from mlops_cli.ci.comment import SCHEMA
    from mlops_cli.core.strictjson import read

    hint = 'name a file that mlops ci report --json wrote'
    try:
        with open(path, 'rb') as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise UserError(f'{one_line(path)}: {error.strerror}', hint=hint) from error
    try:
        found = read(data, path) if len(data) <= LIMIT else None
    except UserError as error:
        raise UserError(error.message, where=error.where, hint=error.hint or hint) from error
    if not isinstance(found, dict) or found.get('schema') != SCHEMA:
        raise UserError(f'{one_line(path)} is no report', hint=hint)
    return found


def _gather(base: str) -> dict[str, Any]:
    from mlops_cli.ci.gathering import gather
    from mlops_cli.ci.platform import base_of
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.core.classes import replace
    from mlops_cli.experiments.points import WORKSPACE, find_point
    from mlops_cli.git import resolve
    from mlops_cli.git.hooking import merge_base

    with workbench() as bench:
        word = base or base_of(os.environ) or 'HEAD'
        one, two = resolve(bench.root.path, word), resolve(bench.root.path, 'HEAD')
        apart = merge_base(bench.root.path, one, two)
        if not apart:
            raise UserError(
                f'{word[:80]!r} and HEAD have no commit in common here',
                hint='a shallow clone? fetch-depth: 0, or git fetch --unshallow',
            )
        before = replace(find_point(bench, apart), label=f'{word} ({apart[:7]})')
        return gather(bench, before, find_point(bench, WORKSPACE))
