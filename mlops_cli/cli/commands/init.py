"""``mlops init``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import out, print_json
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import prepare_folders
from mlops_cli.records.gitignore import ATTRIBUTES, append_lines

PIPELINE = """\
# yaml-language-server: $schema=https://raw.githubusercontent.com/mlops-cli/mlops/main/pipeline.schema.yaml
version: 1
stages:
  hello:
    desc: Replace this by your first stage
    cmd: printf 'Hello, %s!\\n' ${greeting.name} > hello.txt
    params: [greeting]
    outs: [hello.txt]
"""
PARAMS = """\
greeting:
  name: world
"""

EXITS = exits.line(ExitCode.REFUSED)


def command(
    directory: Annotated[str, typer.Argument(metavar='[DIR]', help='Where. Default: here.')] = '.',
    json: options.Json = False,
) -> int:
    """Make a project: pipeline.yaml, params.yaml, .mlops/.  Never writes over a file.

    Example:  mlops init my-project && cd my-project && mlops run
    """
    os.makedirs(directory, exist_ok=True)
    made = []
    with Root(directory) as root:
        if root.stat(layout.PIPELINE_FILE) is not None:
            raise UserError(
                f'{os.path.join(directory, layout.PIPELINE_FILE)} exists',
                exit_code=ExitCode.REFUSED,
                hint='it is a project already: mlops status',
            )
        for file, text in ((layout.PIPELINE_FILE, PIPELINE), (layout.PARAMS_FILE, PARAMS)):
            if root.stat(file) is None:
                write_file(root, file, text.encode())
                made.append(file)
        prepare_folders(root)
        if append_lines(root, '.gitattributes', [ATTRIBUTES]):
            made.append('.gitattributes')
    if json:
        print_json({'schema': 'mlops/init/v1', 'directory': os.path.abspath(directory), 'made': [*made, layout.GITIGNORE]})
        return 0
    for file in made:
        out(f'  wrote     {os.path.normpath(os.path.join(directory, file))}')
    out('Next: mlops run' if directory == '.' else f'Next: mlops -C {directory} run')
    return 0
