"""``mlops export``: hands a project to another tool."""

from __future__ import annotations

from typing import Annotated, Any

from mlops_cli import git
from mlops_cli.adopt.dvc import config as settings
from mlops_cli.adopt.dvc.exporting import Exported, Exporter
from mlops_cli.adopt.dvc.giving import Given, give
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.project import Project, take_ignores
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out_lines, print_json
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.facts import Wishes
from mlops_cli.records.gitignore import append_lines
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench

app = Folder('Hand the project to another tool: dvc.')
LIMIT = 64 << 20  # bytes of a file that is there
IGNORED = ('/config.local', '/tmp', '/cache')  # what dvc init keeps from git


@app.command('dvc', epilog=exits.line(ExitCode.REFUSED))
def dvc(
    force: Annotated[
        bool, options.Option('--force', help='Write over the dvc.yaml, dvc.lock and .dvc files that are there.')
    ] = False,
    no_objects: Annotated[
        bool, options.Option('--no-objects', help="Put no contents into DVC's cache; dvc commit does it later.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Write dvc.yaml, dvc.lock and .dvc files of what is here, so that dvc status finds up to date what is so here.

    Example:  mlops export dvc
    """
    at = ''

    def told(name: str) -> None:
        nonlocal at
        at = name
        progress.step()

    with workbench() as bench, writing(bench), Progress(lambda: f'  exporting {one_line(at)}') as progress:
        config = settings.load(bench.root, bench.environ)
        hashes = Hashes(bench.root, take_ignores(Project(bench.root, config)), config.cache, lambda _: progress.step())
        steps = {step.stage: step for step in look(bench, bench.order, Wishes()).plan.steps}
        exported = Exporter(bench, steps, hashes, told).export()
        written = _write(bench, exported, force)
        given = Given()
        if not no_objects and not config.cache_by_git:
            given = give(bench, hashes, config.cache, exported.contents)
        elif not no_objects:
            exported.check.append((config.cache, "DVC's cache, as .dvc/config says, which came by git: nothing was put there"))
    if json:
        print_json(_document(exported, written, given))
    else:
        out_lines(_lines(exported, written, given))
    return ExitCode.DONE


def _write(bench: Workbench, exported: Exported, force: bool) -> list[str]:
    """The files that were made or changed; all of them or none."""
    changed = {path: text for path, text in exported.files.items() if _read(bench.root, path) != text.encode()}
    taken = [path for path in changed if bench.root.stat(path) is not None]
    if taken and not force:
        more = f', so do {len(taken) - 1} more' if taken[1:] else ''
        raise UserError(
            f'{taken[0]} exists, and differs from what would be written{more}',
            exit_code=ExitCode.REFUSED, hint='move it away, or --force: git has it, if it was committed',
        )  # fmt: skip
    made: list[str] = []
    if bench.root.stat(settings.FOLDER) is None:
        append_lines(bench.root, f'{settings.FOLDER}/.gitignore', IGNORED)
        config = b'' if git.has_repository(bench.root.path) else b'[core]\n    no_scm = true\n'
        write_file(bench.root, f'{settings.FOLDER}/config', config)
        made += [f'{settings.FOLDER}/.gitignore', f'{settings.FOLDER}/config']
    for path, text in changed.items():
        write_file(bench.root, path, text.encode())
    return [*made, *changed]


def _read(root: Root, path: str) -> bytes | None:
    try:
        return read_file(root, path, LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _document(exported: Exported, written: list[str], given: Given) -> dict[str, Any]:
    return {
        'schema': 'mlops/export-dvc/v1',
        'written': written,
        'stages': [
            {'name': name, 'dvc': theirs, 'locked': name in exported.locked,
             'check': [note for about, note in exported.check if about == name]}
            for name, theirs in exported.names.items()
        ],
        'check': [f'{about}: {note}' for about, note in exported.check if about not in exported.names],
        'objects': {'linked': given.linked, 'copied': given.copied, 'present': given.present},
    }  # fmt: skip


def _lines(exported: Exported, written: list[str], given: Given) -> list[Line]:
    lines = [Line(f'  wrote     {one_line(path)}', 'done') for path in written] or [Line('  same      nothing to write')]
    for name, theirs in exported.names.items():
        word = 'locked' if name in exported.locked else 'to run'
        lines.append(Line(f'  {word:<9} {one_line(name)}' + (f' as {theirs}' if theirs != name else '')))
        lines += [Line(f'            check: {one_line(note)}') for about, note in exported.check if about == name]
    lines += [Line(f'  check     {one_line(about)}: {one_line(note)}') for about, note in exported.check
              if about not in exported.names]  # fmt: skip
    if given.linked or given.copied:
        lines.append(Line(f"  contents  {given.linked:,} linked into DVC's cache, {given.copied:,} copied"))
    lines.append(Line('Look: dvc status'))
    return lines
