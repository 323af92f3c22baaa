"""What ``mlops init`` says: what it wrote and what to type next, or what to do with the scripts that are here."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import Protocol

from mlops_cli.adopt.arguments import shown
from mlops_cli.adopt.script import Guess
from mlops_cli.adopt.surroundings import Surroundings
from mlops_cli.adopt.templates import Template
from mlops_cli.cli.console import Line, one_line
from mlops_cli.core.units import plural

SHOWN = 4  # files named
TOOLS = {
    'DVC': 'mlops adopt dvc takes it over, with what dvc.lock records, and runs nothing',
    'make': 'a target becomes a stage: its recipe under cmd, what it makes under outs',
    'Snakemake': 'a rule becomes a stage: its shell under cmd, input under deps, output under outs',
    'doit': 'a task becomes a stage: its actions under cmd, file_dep under deps, targets under outs',
    'MLflow': 'an entry point becomes a stage: its command under cmd, its parameters in params.yaml',
    'just': 'a recipe becomes a stage: its lines under cmd, what it makes under outs',
}


class Made(Protocol):
    """What the command did."""

    directory: str
    files: list[str]
    template: Template | None
    guess: Guess | None
    here: Surroundings
    inside: str
    in_git: bool


def template_lines(templates: Sequence[Template]) -> list[str]:
    width = max(len(template.name) for template in templates) + 2
    return [
        *(f'  {template.name.ljust(width)}{template.about}' for template in templates),
        'Take one: mlops init DIR --template NAME',
    ]


def made_lines(made: Made) -> list[Line]:
    lines = [Line(f'  wrote     {one_line(os.path.normpath(os.path.join(made.directory, file)))}') for file in made.files]
    if made.guess is not None:
        lines.append(Line(f'Stage {one_line(made.guess.stage)}: {one_line(made.guess.command)}'))
        for word, paths in (('reads', made.guess.reads), ('writes', made.guess.writes)):
            if paths:
                lines.append(Line(f'  it {word} {", ".join(map(one_line, paths))}'))
        if made.guess.needs:
            lines.append(Line(f'  it has no default for {shown(made.guess.needs)}: add that to cmd in pipeline.yaml'))
        if not made.guess.writes:
            lines.append(Line('  what it writes could not be told: list it under outs in pipeline.yaml'))
        else:
            lines.append(Line('  as far as the script itself says; modules that it imports are found by every run'))
    if made.inside:
        lines += _inside(made)
    if not made.files:
        return [*lines, Line('Nothing to write: the schema is of this version already')]
    if made.template is not None or made.guess is not None:
        lines += _next(made)
    return lines


def _inside(made: Made) -> list[Line]:
    folder = os.path.relpath(os.path.abspath(made.directory), made.inside)
    return [
        Line(f'note: {one_line(made.inside)} is a project already, and this is one of its own inside it', 'note:'),
        Line(f'      to have its stages there: include: [{one_line(folder)}/pipeline.yaml]'),
    ]


def _next(made: Made) -> list[Line]:
    steps = [] if os.path.normpath(made.directory) == '.' else [f'cd {shlex.quote(os.path.normpath(made.directory))}']
    if not made.in_git:
        steps.append('git init')
    if made.template is not None and made.template.needs:
        steps.append(f'python3 -m pip install {made.template.needs}')
    if made.guess is not None and made.guess.needs:
        begin = f'{" && ".join(steps)}, then ' if steps else ''
        return [Line(f'Next: {one_line(begin)}complete cmd in pipeline.yaml, then mlops run')]
    return [Line(f'Next: {one_line(" && ".join([*steps, "mlops run"]))}')]


def advice_lines(made: Made) -> list[Line]:
    """Nothing was written: there is something here already, and only its owner knows what it is for."""
    here, lines = made.here, [f'Here: {_found(made.here)}. Nothing was written, and nothing of it was run.']
    for file, tool in here.tools:
        lines.append(f'  {one_line(file)}: {TOOLS[tool]}')
    if here.scripts:
        first = one_line(shlex.quote(here.scripts[0]))
        lines += ['Begin with one script; what it reads and writes is found in its text:', f'  mlops init --script {first}']
    elif here.notebooks:
        first = one_line(shlex.quote(here.notebooks[0]))
        lines += [
            'A stage runs a notebook as a script; make one of it, then begin with that:',
            f'  jupyter nbconvert --to script {first}',
        ]
    if here.notebooks and here.scripts:
        lines.append('  a notebook becomes a script by: jupyter nbconvert --to script NOTEBOOK')
    lines += ['Or see a whole pipeline first, in a folder of its own:', '  mlops init example --template minimal']
    return [Line(line) for line in lines] + (_inside(made) if made.inside else [])


def _found(here: Surroundings) -> str:
    parts = [_some(here.scripts)] if here.scripts else []
    parts += [one_line(file) for file, _ in here.tools]
    parts += [plural(len(here.notebooks), 'notebook')] if here.notebooks else []
    return ', '.join(parts)


def _some(paths: Sequence[str]) -> str:
    shown = ', '.join(map(one_line, paths[:SHOWN]))
    return f'{shown} and {plural(len(paths) - SHOWN, "more script")}' if len(paths) > SHOWN else shown
