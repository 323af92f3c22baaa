"""A stage for a pipeline that is there already, which only its owner changes: what to paste, and where."""

from __future__ import annotations

from itertools import count

from mlops_cli import yamlfile
from mlops_cli.adopt.script import Guess
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.document import Document
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root


@dataclass(frozen=True, slots=True)
class Paste:
    """``text``: whole lines of YAML.  ``line``: the one of ``stages:`` that they go below; 0: at the end of the file.
    ``known``: the stage that has that command already, which leaves nothing to paste."""

    text: str
    line: int = 0
    known: str = ''


def beside(root: Root, guess: Guess) -> Paste:
    """As the stages there are indented, and by a name that none of them has.  A pipeline that cannot be read is taken as one
    in the usual form; its mistakes are told by what runs it."""
    try:
        document = yamlfile.read(
            read_file(root, layout.PIPELINE_FILE, yamlfile.PIPELINE.size), layout.PIPELINE_FILE, limits=yamlfile.PIPELINE
        )
    except (UserError, OSError):
        return Paste(guess.stage_yaml())
    if not isinstance(document.value, dict) or 'stages' not in document.value:
        return Paste(f'stages:\n{guess.stage_yaml()}')
    stages = document.value['stages']
    if not isinstance(stages, dict):
        stages = {}
    for name, stage in stages.items():
        written = stage.get('cmd') if isinstance(stage, dict) else None
        if isinstance(written, str) and f'{written} '.startswith(f'{guess.command} '):
            return Paste('', known=name)
    names = list(stages)
    free = (guess.stage, *(f'{guess.stage}-{number}' for number, _ in zip(count(2), names, strict=False)))
    name = next(name for name in free if name not in names)
    line = document.where(('stages',), key=True).line
    return Paste(replace(guess, stage=name).stage_yaml(_indent(document, names, line)), line)


def _indent(document: Document, names: list[str], line: int) -> int:
    if not names:
        return 2
    first = document.where(('stages', names[0]), key=True)
    return first.column - 1 if first.line > line else 2
