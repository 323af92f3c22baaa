"""What is known of one recorded result, as words and texts: for a tree in the terminal, and for the page of a drawing.

Values in, texts out; they hold names and values as they are: whoever shows them makes them harmless."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.manifest import Entry
from mlops_cli.core.sources import is_source
from mlops_cli.core.units import show_seconds, show_size
from mlops_cli.experiments.lineage_model import Made

VALUE = 200  # characters of a value
Facts = list[tuple[str, list[str]]]


def result_facts(made: Made, *, full: bool = False) -> Facts:
    """What a result is, apart from where its inputs came from.  ``full``: its key, pins and other runs, too."""
    facts: Facts = []
    if made.maker.edited:
        worded = dict.fromkeys(made.maker.worded, ' in comments or formatting only')
        edits = [f'{path} differed from the commit{worded.get(path, "")}' for path in made.maker.edited]
        facts.append(('not in git', edits))
    facts += [('accepted', [f'{one.when[:10]} by {one.who}: {one.reason}']) for one in made.accepted]
    if made.accepted and not made.ran and made.maker.short:
        facts.append(('not run', [f'the outputs are those of run {made.maker.short}, which had other inputs']))
    if made.entry is not None and made.entry.suspect:
        facts.append(('suspect', ['its code or inputs changed while it ran; mlops never uses this result']))
    if made.manifest is None:
        facts.append(('made of', ['not recorded here']))
    facts += [
        ('command', [command_of(entry) for entry in made.entries if entry.kind == 'command']),
        ('code', [entry.name for entry in made.entries if entry.kind == 'code' and not is_data(entry)]),
        ('params', [_param(entry) for entry in made.entries if entry.kind == 'param']),
        ('the run used', _of_run(made)),
        ('environment', _surroundings(made)),
        ('made', outputs_of(made)),
        ('metrics', [f'{name} {_number(number)}' for _, name, number in made.metrics]),
        ('took', [show_seconds(made.seconds)] if made.seconds is not None and (made.ran or not made.accepted) else []),
    ]
    if full:
        facts.append(('key', [str(made.key)]))
        facts.append(('pin', list(made.pins) or ['nowhere on this branch']))
        again = [f'{run.run.partition("-")[2]} ({run.state})' for run in made.ran if run.run != made.maker.run]
        facts.append(('also in', again))
    return [(word, texts) for word, texts in facts if texts]


def is_data(entry: Entry) -> bool:
    """Whether people call an input data: what a command names and is no source, too."""
    return entry.kind == 'data' or (entry.kind == 'code' and not is_source(entry.name))


def _of_run(made: Made) -> list[str]:
    """Parameters that templates of the run's stages used; which of them this stage's did, no record tells."""
    if made.record is None or made.record.id != made.maker.run:
        return []
    values = ((f'{file}:{key}'.removeprefix(f'{layout.PARAMS_FILE}:'), value) for file, key, value in made.record.values or ())
    return [f'{name} {value if isinstance(value, str) else canonical(value)}' for name, value in values]


def outputs_of(made: Made) -> list[str]:
    return [f'{path} ({show_size(ref.size)})' for path, ref in made.outputs]


def maker_rows(made: Made) -> Facts:
    """By whom, where, from which commit."""
    maker = made.maker
    by = ' on '.join(text for text in (maker.who, maker.host) if text)
    who = [*([by] if by else []), *(['in CI'] if maker.ci else []), *(['a trial'] if maker.trial else [])]
    branch = f' ({maker.branch})' if maker.branch else ''
    edits = '' if maker.edited is None else ', its files with edits' if maker.edited else ', its files as committed'
    commit = [f'{maker.commit[:7]}{branch}{edits}'] if maker.commit else []
    return [(word, texts) for word, texts in (('by', who), ('commit', commit)) if texts]


def when(made: Made) -> str:
    """``2026-11-20 10:15 UTC``, or nothing."""
    return f'{made.maker.at[:10]} {made.maker.at[11:16]} UTC' if made.maker.at else ''


def maker_facts(made: Made) -> list[str]:
    """All of it in words of one sentence."""
    rows = [f'{word} {", ".join(texts)}' for word, texts in maker_rows(made)]
    return [text for text in (when(made), *rows) if text]


def _surroundings(made: Made) -> list[str]:
    texts = [f'{entry.name}={plain(entry)}' for entry in made.entries if entry.kind == 'environment']
    python = made.environment.get('python')
    texts += [f'Python {python}'] if isinstance(python, str) and python else []
    packages = made.environment.get('packages')
    if isinstance(packages, Mapping):
        texts += [f'{name} {version}' for name, version in packages.items()]
    return texts + [str(made.environment[name]) for name in ('platform', 'gpu_driver') if made.environment.get(name)]


def command_of(entry: Entry) -> str:
    try:
        found = json.loads(entry.value or '')
        text = found.get('cmd') or ' '.join(found.get('argv', ()))
        return text + (f' (in {found["wdir"]})' if 'wdir' in found else '')
    except (ValueError, AttributeError, TypeError):
        return entry.digest.short


def _param(entry: Entry) -> str:
    return f'{entry.name.removeprefix(f"{layout.PARAMS_FILE}:")} {plain(entry)}'


def plain(entry: Entry) -> str:
    """An entry's value as people write it; its digest where the value is too long to be recorded."""
    if entry.value is None:
        return entry.digest.short
    if entry.kind == 'environment' and entry.name.startswith('secret:'):
        return '(a secret)'
    found = json.loads(entry.value)
    text = found if isinstance(found, str) else entry.value
    return text if len(text) <= VALUE else f'{text[: VALUE - 1]}…'


def _number(number: float | int) -> str:
    return f'{number:,}' if isinstance(number, int) else f'{number:.4g}'
