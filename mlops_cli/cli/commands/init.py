"""``mlops init``."""

from __future__ import annotations

import os
from typing import Annotated, Any, NoReturn

from mlops_cli import git
from mlops_cli.adopt import templates
from mlops_cli.adopt.beside import Paste, beside
from mlops_cli.adopt.script import Guess, guess
from mlops_cli.adopt.surroundings import Surroundings, look_around
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import one_line, out, out_lines, print_json
from mlops_cli.cli.screens.init import advice_lines, made_lines, template_lines
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import prepare_folders
from mlops_cli.records.gitignore import ATTRIBUTES, append_lines

README = 'README.md'
EXITS = exits.line(ExitCode.REFUSED)


@dataclass
class Made:
    """``directory``: as it was typed.  ``files``: relative to it.  ``guess``: of ``--script``.  ``inside``: the project that
    the folder lies in, if it does.  ``paste``: a stage for the pipeline that is there, which is not written over."""

    directory: str
    path: str
    files: list[str] = field(default_factory=list)
    template: templates.Template | None = None
    guess: Guess | None = None
    here: Surroundings = field(default_factory=Surroundings)
    inside: str = ''
    in_git: bool = True
    paste: Paste | None = None


def command(
    directory: Annotated[str, options.Argument(metavar='[DIR]', help='Where. Default: here.')] = '.',
    template: Annotated[
        str | None, options.Option('--template', '-t', metavar='NAME', help='minimal, scikit-learn or pytorch.')
    ] = None,
    script: Annotated[
        str | None, options.Option('--script', metavar='FILE', help='Make the first stage of a script that is there.')
    ] = None,
    schema: Annotated[
        bool, options.Option('--schema', help='Only write the schema that editors complete pipeline.yaml with, anew.')
    ] = False,
    list_: Annotated[bool, options.Option('--list', help='The templates there are.')] = False,
    json: options.Json = False,
) -> int:
    """Make a project: a template that runs as it is, or the first stage of a script that is there.

    Where there are scripts already, it says what to do with them. Never writes over a file, runs nothing. Where there is a
    pipeline, --script prints the stage to paste into it.

    Example:  mlops init wines --template scikit-learn
    """
    if list_:
        return _list(json)
    if template is not None and script is not None:
        raise UserError('--template and --script are two ways to begin', hint='take one of them')
    chosen = templates.find_template(template) if template is not None else None
    made = _make(directory, chosen, script, schema)
    if made.paste is not None:
        _refuse(made.paste, made, json)
    if json:
        print_json(_document(made))
    elif made.files or schema:
        out_lines(made_lines(made))
    else:
        out_lines(advice_lines(made))
    return 0


def _list(json: bool) -> int:
    if json:
        rows = [{'name': one.name, 'about': one.about, 'needs': one.needs} for one in templates.TEMPLATES]
        print_json({'schema': 'mlops/init/v1', 'templates': rows})
    else:
        for line in template_lines(templates.TEMPLATES):
            out(line)
    return 0


def _make(directory: str, template: templates.Template | None, script: str | None, schema: bool) -> Made:
    try:
        os.makedirs(directory, exist_ok=True)
        root = Root(directory)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f'{directory} is a file, not a folder', hint='name a folder, or one that does not exist yet') from error
    except OSError as error:
        raise machine_error(error, f'make {directory}') from error
    with root:
        made = Made(directory, root.path, template=template, inside=_project_around(root.path))
        made.in_git = git.top(root.path) is not None
        if schema:
            _write(root, made, {layout.EDITOR_SCHEMA: templates.editor_schema()}, replace=True)
            return made
        if script is not None:
            made.guess = guess(root, script)
        if made.guess is not None and root.stat(layout.PIPELINE_FILE) is not None:
            made.paste = beside(root, made.guess)
            return made
        _refuse_existing(root, directory)
        made.here = look_around(root)
        if made.guess is not None:
            text = templates.SCHEMA_LINE + made.guess.yaml()
            _begin(root, made, {layout.PIPELINE_FILE: text.encode()}, ())
        elif template is not None or made.here.empty:
            made.template = template or templates.TEMPLATES[0]
            _begin(root, made, templates.files(made.template), templates.ignored_lines(made.template))
    return made


def _refuse_existing(root: Root, directory: str) -> None:
    if root.stat(layout.PIPELINE_FILE) is not None:
        raise UserError(
            f'{os.path.normpath(os.path.join(directory, layout.PIPELINE_FILE))} exists',
            exit_code=ExitCode.REFUSED,
            hint='it is a project already: mlops status',
        )


def _refuse(paste: Paste, made: Made, json: bool) -> NoReturn:
    """The stage that would be written goes to standard output alone, where it can be taken from.  Raises UserError."""
    file = os.path.normpath(os.path.join(made.directory, layout.PIPELINE_FILE))
    below = f'into it, below stages: in line {paste.line}' if paste.line else 'at the end of it'
    if paste.known:
        hint = f'its stage {paste.known} runs this script already: mlops status'
    elif json:
        hint = f'paste this stage {below}:\n{paste.text}'
    else:
        out_lines([one_line(line) for line in paste.text.splitlines()], foreign=True)
        hint = f'paste the lines above {below}'
    raise UserError(f'{file} exists, and nothing is written over', exit_code=ExitCode.REFUSED, hint=hint)


def _project_around(path: str) -> str:
    """The nearest folder above that is a project; empty if none is."""
    folder = os.path.dirname(path)
    while True:
        if os.path.isfile(os.path.join(folder, layout.PIPELINE_FILE)):
            return folder
        if folder == os.path.dirname(folder):
            return ''
        folder = os.path.dirname(folder)


def _begin(root: Root, made: Made, files: dict[str, bytes], ignored: tuple[str, ...]) -> None:
    """Writes all of it; pipeline.yaml, which makes it a project, last, so that what was cut short can be repeated."""
    if root.stat(README) is not None:
        files = {path: data for path, data in files.items() if path != README}  # a fresh repository often has one
    taken = [path for path, data in files.items() if root.stat(path) is not None and not _same(root, path, data)]
    if taken:
        more = f' and {len(taken) - 1} more' if len(taken) > 1 else ''
        raise UserError(
            f'{os.path.normpath(os.path.join(made.directory, taken[0]))}{more} exists, and nothing is written over',
            exit_code=ExitCode.REFUSED,
            hint='take another folder: mlops init DIR --template NAME',
        )
    files = dict(sorted(files.items(), key=lambda one: one[0] == layout.PIPELINE_FILE))
    prepare_folders(root)
    _write(root, made, {layout.EDITOR_SCHEMA: templates.editor_schema()}, replace=True)
    for name, lines in (('.gitattributes', (ATTRIBUTES,)), ('.gitignore', ignored)):
        if append_lines(root, name, lines):
            made.files.append(name)
    _write(root, made, files)


def _same(root: Root, path: str, data: bytes) -> bool:
    try:
        return read_file(root, path, len(data)) == data
    except (OSError, UserError):
        return False


def _write(root: Root, made: Made, files: dict[str, bytes], *, replace: bool = False) -> None:
    for path, data in files.items():
        if (replace or root.stat(path) is None) and not _same(root, path, data):
            write_file(root, path, data)
            made.files.append(path)


def _document(made: Made) -> dict[str, Any]:
    return {
        'schema': 'mlops/init/v1',
        'directory': made.path,
        'made': made.files,
        'template': made.template.name if made.template else None,
        'needs': made.template.needs if made.template else '',
        'stage': None
        if made.guess is None
        else {
            'name': made.guess.stage,
            'cmd': made.guess.command,
            'reads': list(made.guess.reads),
            'writes': list(made.guess.writes),
            'needs': list(made.guess.needs),
        },
        'here': {
            'scripts': list(made.here.scripts),
            'notebooks': list(made.here.notebooks),
            'tools': [{'file': file, 'tool': tool} for file, tool in made.here.tools],
        },
    }
