"""The projects that ``mlops init`` can make: plain files in folders, copied as they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.pipeline.load import schema

GITIGNORE = 'gitignore'  # so named in a template, where git must not take it for its own


@dataclass(frozen=True, slots=True)
class Template:
    """``needs``: what has to be installed before it runs, such as ``-r requirements.txt``; empty: nothing."""

    name: str
    about: str
    needs: str = ''
    stages: int = 0


TEMPLATES = (
    Template('minimal', 'a polynomial through noisy points: a metric, a plot, a gate; nothing to install', stages=3),
    Template(
        'scikit-learn',
        'two kinds of models on bundled data, the better one kept and measured',
        '-r requirements.txt',
        5,
    ),
    Template(
        'pytorch',
        'a small network, on a GPU where there is one, with checkpoints and progress',
        '-r requirements.txt',
        4,
    ),
)
OTHER_NAMES = {'sklearn': 'scikit-learn', 'torch': 'pytorch'}


def find_template(name: str) -> Template:
    """Raises UserError with the near name."""
    wanted = OTHER_NAMES.get(name.lower(), name.lower())
    for template in TEMPLATES:
        if template.name == wanted:
            return template
    names = [template.name for template in TEMPLATES]
    raise UserError(f'there is no template {name[:80]!r}', hint=did_you_mean(wanted, names, what='templates'))


def files(template: Template) -> dict[str, bytes]:
    """Path in the project -> content, in the order of paths.  The lines for .gitignore are not among them."""
    return {path: data for path, data in _all(template).items() if path != GITIGNORE}


def ignored_lines(template: Template) -> tuple[str, ...]:
    """Lines for the project's .gitignore."""
    return tuple(_all(template)[GITIGNORE].decode().splitlines())


def _all(template: Template) -> Mapping[str, bytes]:
    """In the package, or in the repository it is developed in."""
    package = Path(__file__).parent.parent
    places = (package / 'templates', package.parent / 'examples' / 'templates')
    top = next(folder for place in places if (folder := place / template.name).is_dir())
    found = {}
    for here, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != '__pycache__']
        for name in names:
            path = Path(here, name)
            found[path.relative_to(top).as_posix()] = path.read_bytes()
    return dict(sorted(found.items()))


def editor_schema() -> bytes:
    """What ``.mlops/pipeline.schema.json`` holds: the schema of this version, for editors, which need no network then."""
    return (json.dumps(schema(), ensure_ascii=False, indent=1) + '\n').encode()


SCHEMA_LINE = f'# yaml-language-server: $schema={layout.EDITOR_SCHEMA}\n'
