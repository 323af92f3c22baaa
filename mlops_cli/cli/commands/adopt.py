"""``mlops adopt``: takes over the projects of other tools."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from mlops_cli.adopt.dvc import config as settings
from mlops_cli.adopt.dvc import following, ignoring
from mlops_cli.adopt.dvc import project as projects
from mlops_cli.adopt.dvc.convert import Converted, convert
from mlops_cli.adopt.dvc.hashes import Hashes, link_into
from mlops_cli.adopt.dvc.objects import Cache, Counts, Taking
from mlops_cli.adopt.dvc.project import Project
from mlops_cli.adopt.dvc.taking import REASON, Adoption
from mlops_cli.adopt.templates import editor_schema
from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import one_line, out_lines, print_json
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.screens.adopt import adopted_document, adopted_lines
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_size
from mlops_cli.fingerprint.ignore import SIZE_LIMIT as IGNORE_LIMIT
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records import gitignore
from mlops_cli.records.files import prepare_folders
from mlops_cli.run.accept import Author
from mlops_cli.run.person import who

if TYPE_CHECKING:
    from mlops_cli.adopt.dvc.remote import Far

app = Folder('Take over the project of another tool: dvc.')
LIMIT = 16 << 20  # bytes of a pipeline.yaml


@app.command('dvc', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED))
def dvc(
    follow: Annotated[
        bool, options.Option('--follow', help='dvc.yaml stays the source: pipeline.yaml is derived from it, and never edited.')
    ] = False,
    cache: Annotated[
        str, options.Option('--cache', metavar='DIR', help="DVC's cache, where its settings came by git and name another disk.")
    ] = '',
    copy: Annotated[
        bool, options.Option('--copy', help="Copy out of DVC's cache what lies on another disk and cannot be linked.")
    ] = False,
    fetch: Annotated[
        bool, options.Option('--fetch', help="Read what DVC's cache lacks from its remote, in S3 or a folder.")
    ] = False,
    remote: Annotated[str, options.Option('--remote', metavar='NAME', help="With --fetch: another remote of DVC's.")] = '',
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='Show what would be written, write nothing.')] = False,
    json: options.Json = False,
) -> int:
    """Take over a DVC project: pipeline.yaml is written, and what dvc.lock and .dvc files record counts from now on, without
    running or copying anything.  Nothing of DVC's is changed.

    Example:  mlops adopt dvc
    """
    context.enter(_dvc_folder(os.getcwd()))
    with Root(os.getcwd()) as root:
        project = projects.load(root, os.environ)
        converted = convert(project, os.path.basename(os.path.realpath(root.path)))
        if dry_run:
            out_lines([one_line(line) for line in converted.text.splitlines()], foreign=True)
            return 0
        folder = cache or (None if project.config.cache_by_git else project.config.cache)
        _refuse_links(project, cache or project.config.cache)  # looked at, not read, so also where that came by git
        made = _write(root, project, converted, follow) + _write_ignored(root, project, converted)
        with Cache(folder) as theirs, ExitStack() as stack:
            far = None
            if fetch:
                from mlops_cli.adopt.dvc.remote import open_far

                far = open_far(project.config, remote)
                stack.callback(far.bucket.close)
            adoption, counts = _take(project, converted, theirs, copy, far)
    if json:
        print_json(adopted_document(adoption, made, counts))
    else:
        out_lines(adopted_lines(adoption, made, counts))
    return ExitCode.DONE


def _dvc_folder(start: str) -> str:
    """The nearest folder, from ``start`` upwards, with a .dvc.  Raises UserError."""
    folder = start
    if os.path.isfile(os.path.join(start, projects.PROJECT_FILE)) and not _has_dvc_above(start):
        return start  # DVC itself would not run here, and yet what is meant is clear
    while not os.path.isdir(os.path.join(folder, settings.FOLDER)):
        if folder == os.path.dirname(folder):
            raise UserError(f'there is no {settings.FOLDER} in {start} or above it', hint='a DVC project is where dvc init ran')
        folder = os.path.dirname(folder)
    return folder


def _has_dvc_above(folder: str) -> bool:
    return os.path.isdir(os.path.join(folder, settings.FOLDER)) or (
        folder != os.path.dirname(folder) and _has_dvc_above(os.path.dirname(folder))
    )


def _refuse_links(project: Project, cache: str | None) -> None:
    """Data that DVC placed as links into its cache is nothing that a stored folder may hold.  Raises UserError (exit 5)."""
    paths = [one.path.path for one in project.tracked]
    paths += [out.path.path for file in project.files for stage in file.stages for out in stage.outs]
    found = next((link for path in paths if path is not None and (link := link_into(project.root, path, cache))), '')
    if found:
        raise UserError(
            f"{found} is a symbolic link into DVC's cache, as all data may be here: mlops keeps files, not links",
            exit_code=ExitCode.REFUSED,
            hint='dvc config cache.type reflink,hardlink,copy && dvc checkout --relink, then mlops adopt dvc',
        )


def _write(root: Root, project: Project, converted: Converted, follow: bool) -> list[str]:
    """Writes pipeline.yaml once, or anew where it follows; the files that were made."""
    present = read_file(root, layout.PIPELINE_FILE, LIMIT) if root.stat(layout.PIPELINE_FILE) is not None else None
    followed = following.read(present) if present is not None else None
    follow |= followed is not None
    data = (following.marked(converted.text, root, project.read) if follow else converted.text).encode()
    if present is not None and not (followed is not None and followed.intact and present != data):
        if present != data:
            raise UserError(
                f'{layout.PIPELINE_FILE} exists, and differs from what would be written', exit_code=ExitCode.REFUSED,
                hint=f'mlops adopt dvc --dry-run shows that; to begin anew, move {layout.PIPELINE_FILE} away',
            )  # fmt: skip
        return []
    prepare_folders(root)
    write_file(root, layout.EDITOR_SCHEMA, editor_schema())
    write_file(root, layout.PIPELINE_FILE, data)
    return [layout.EDITOR_SCHEMA, layout.PIPELINE_FILE]


def _write_ignored(root: Root, project: Project, converted: Converted) -> list[str]:
    """What .dvcignore hides is hidden here, too; a .mlopsignore that is there stays as it is."""
    data = ignoring.text_of(project.ignored).encode()
    if not data:
        return []
    if root.stat(layout.IGNORE_FILE) is None:
        write_file(root, layout.IGNORE_FILE, data)
        return [layout.IGNORE_FILE]
    if read_file(root, layout.IGNORE_FILE, IGNORE_LIMIT) != data:
        converted.check.append(f'{layout.IGNORE_FILE} is there already: what .dvcignore says was not added to it')
    return []


def _take(project: Project, converted: Converted, theirs: Cache, copy: bool, far: Far | None) -> tuple[Adoption, Counts]:
    read = 0
    at = ''

    def seen(count: int) -> None:
        nonlocal read
        read += count
        progress.step()

    def told(path: str) -> None:
        nonlocal at
        at = path
        progress.step()

    root = project.root
    author = Author(who(root.path), os.uname().nodename, time.time(), REASON)
    hashes = Hashes(root, project.ignored, theirs.folder or root.path, seen)
    adoption = Adoption(project, converted, hashes, theirs, author)
    counts = Counts()
    with Progress(lambda: f'  adopting  {one_line(at)}: {show_size(read)} read') as progress:
        for step in (adoption.take_data, adoption.take_stages):  # the data first: stages are looked at with its records
            with workbench() as bench, writing(bench):
                taking = Taking(theirs, bench.store, copy=copy, far=far)
                taking.counts = counts
                step(bench, taking, told)
                bench.batch.flush()
                bench.index.flush()
                outputs = [output.path for stage in bench.pipeline.stages.values() for output in stage.outputs if output.cache]
                gitignore.cover(bench.root, [*adoption.taken.data, *outputs])
    return adoption, counts
