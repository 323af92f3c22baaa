"""``mlops export``: hands a project to another tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from mlops_cli import git
from mlops_cli.adopt.dvc import config as settings
from mlops_cli.adopt.dvc.exporting import Exported, Exporter
from mlops_cli.adopt.dvc.giving import Given, give
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.project import Project, take_ignores
from mlops_cli.adopt.engines import airflow as for_airflow
from mlops_cli.adopt.engines import argo as for_argo
from mlops_cli.adopt.engines import snakemake as for_snakemake
from mlops_cli.adopt.engines.tasks import Task, identifier, label, tasks, to_check
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out_lines, print_json
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.facts import Wishes
from mlops_cli.records.gitignore import append_lines
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench

app = Folder('Hand the project to another tool: dvc, snakemake, airflow, argo.')

Force = Annotated[bool, options.Option('--force', help='Write over the file that is there.')]
Output = Annotated[str, options.Option('--output', '-o', metavar='FILE', help='Where to write it, in the project.')]
Text = Callable[[str, Sequence[Task]], str]
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


@app.command('snakemake', epilog=exits.line(ExitCode.REFUSED))
def snakemake(output: Output = for_snakemake.FILE, force: Force = False, json: options.Json = False) -> int:
    """Write a Snakefile with a rule for each stage, which calls mlops run --only STAGE.

    Example:  mlops export snakemake -o workflow/Snakefile
    """
    return _engine('snakemake', output, force, json, identifier, for_snakemake.text)


@app.command('airflow', epilog=exits.line(ExitCode.REFUSED))
def airflow(output: Output = 'mlops_dag.py', force: Force = False, json: options.Json = False) -> int:
    """Write a DAG for Airflow with a task for each stage, which calls mlops run --only STAGE.

    Example:  mlops export airflow -o dags/train.py
    """
    return _engine('airflow', output, force, json, identifier, for_airflow.text)


@app.command('argo', epilog=exits.line(ExitCode.REFUSED))
def argo(
    image: Annotated[str, options.Option('--image', metavar='IMAGE', help='With what the stages need, and mlops.')] = '',
    claim: Annotated[
        str, options.Option('--claim', metavar='VOLUME', help='Of the volume on which the project lies, at its top.')
    ] = 'project',
    output: Output = 'workflow.yaml',
    force: Force = False,
    json: options.Json = False,
) -> int:
    """Write a Workflow for Argo with a task for each stage, which calls mlops run --only STAGE.

    Example:  mlops export argo --image registry.example.org/ml:3
    """
    if not image:
        raise UserError('a task of Argo needs an image', hint='--image registry.example.org/ml:3, with what the stages need')
    return _engine('argo', output, force, json, label, lambda name, found: for_argo.text(name, found, image, claim))


def _engine(engine: str, output: str, force: bool, json: bool, named: Callable[[str], str], text: Text) -> int:
    """The graph, handed to another engine in one file."""
    with workbench() as bench, writing(bench):
        found = tasks(bench.pipeline, bench.order, bench.edges, named)
        if not found:
            raise UserError('the pipeline has no stages', hint='add one under stages: in pipeline.yaml')
        path = project_relative(bench.root.path, output)
        changed = _one_file(bench.root, path, text(bench.pipeline.name, found).encode(), force)
        notes = list(to_check(found))
    if json:
        print_json({
            'schema': f'mlops/export-{engine}/v1', 'file': path, 'written': changed,
            'stages': [{'name': task.stage.name, 'task': task.name, 'after': [*task.after]} for task in found],
            'check': [f'{about}: {note}' for about, note in notes],
        })  # fmt: skip
        return ExitCode.DONE
    done = Line(f'  wrote     {one_line(path)}', 'done') if changed else Line(f'  same      {one_line(path)}')
    out_lines([done, *(Line(f'  check     {one_line(about)}: {one_line(note)}') for about, note in notes)])
    return ExitCode.DONE


def _one_file(root: Root, path: str, data: bytes, force: bool) -> bool:
    """Whether it had to be written."""
    if _read(root, path) == data:
        return False
    if root.stat(path) is not None and not force:
        raise UserError(f'{path} exists, and differs from what would be written', exit_code=ExitCode.REFUSED,
                        hint='name another one with --output, or --force: git has it, if it was committed')
    root.makedirs(path.rpartition('/')[0])
    write_file(root, path, data)
    return True


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
