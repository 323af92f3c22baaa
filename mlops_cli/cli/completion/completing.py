"""What Tab offers for each kind of word: stages, outputs, runs, parameters, revisions.

Each function takes the beginning of a word and gives (word, a few words about it).  They read names only: nothing is
fingerprinted, planned or executed, and what cannot be read offers nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError

Offers = list[tuple[str, str]]

NEWEST = 50  # runs that are offered
MOST_INSTANCES = 200  # beyond these, instances are offered once the word holds an @
METRICS_FILES = 20  # of the workspace that are read for the names in them
MOST_METRICS = 200
HELP = 60  # characters


def stages(incomplete: str) -> Offers:
    """Stages, groups and instances; with at least one character also outputs."""
    return _stage_names(incomplete) + (outputs(incomplete) if incomplete else [])


def stage_names(incomplete: str) -> Offers:
    """Stages, groups and instances, not outputs."""
    return _stage_names(incomplete)


def outputs(incomplete: str) -> Offers:
    """Paths that stages make, from where the user stands."""
    pipeline = _pipeline()
    if pipeline is None:
        return []
    made = ((output.path, f'made by {stage.name}') for stage in pipeline.stages.values() for output in stage.outputs)
    return _beginning(incomplete, _from_here(made))


def metrics_files(incomplete: str) -> Offers:
    """Metrics files that stages make, from where the user stands."""
    return _of_role('metric', incomplete)


def plots_files(incomplete: str) -> Offers:
    """Plots files that stages make, from where the user stands."""
    return _of_role('plot', incomplete)


def recorded(incomplete: str) -> Offers:
    """What can be put into the workspace: stages, outputs and tracked data."""
    found = _stage_names(incomplete) + outputs(incomplete)
    folder = _folder()
    if folder is not None:
        from mlops_cli.fsio.paths import Root
        from mlops_cli.records import data

        with suppress(UserError, OSError), Root(folder) as root:
            found += _beginning(incomplete, _from_here((path, 'tracked data') for path in data.tracked(root)))
    return found


def runs(incomplete: str) -> Offers:
    """The newest runs, with when they started; of older ones those that begin like the word."""
    folder = _folder()
    if folder is None:
        return []
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.runs import Runs

    with suppress(UserError, OSError), Root(folder) as root:
        ids = Runs(root).ids()
        if not incomplete:
            return [_run_offer(one) for one in islice(ids, NEWEST)]
        short = ((one, one.partition('-')[2]) for one in ids)
        begun = islice((one for one, name in short if name.startswith(incomplete)), NEWEST)
        return [*_beginning(incomplete, [('last', 'the newest run')]), *map(_run_offer, begun)]
    return []


def _run_offer(run_id: str) -> tuple[str, str]:
    """An id begins with when the run started: no record is opened."""
    moment, _, short = run_id.partition('-')
    day, time = moment.partition('T')[::2]
    return short, f'started {day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]} UTC'


def revisions(incomplete: str) -> Offers:
    """Branches and tags."""
    folder = _folder()
    if folder is None:
        return []
    from mlops_cli import git

    return _beginning(incomplete, (('HEAD', 'the last commit'), *git.references(folder)))


def executors(incomplete: str) -> Offers:
    """What may start stages: what is built in, and what packages bring."""
    from mlops_cli.executors.all import BUILT_IN, outside

    brought = [(name, points[0].value) for name, points in outside().items()]
    return _beginning(incomplete, [*((name, 'built in') for name in BUILT_IN), *brought])


def points(incomplete: str) -> Offers:
    """What states are compared by: the workspace, revisions, runs."""
    return _beginning(incomplete, [('workspace', 'what is here now')]) + revisions(incomplete) + runs(incomplete)


def targets(incomplete: str) -> Offers:
    """What a lineage can be asked of: stages, outputs, tracked data, runs."""
    return recorded(incomplete) + runs(incomplete)


def params(incomplete: str) -> Offers:
    """``train.depth=`` with its present value; behind the ``=`` that value.  Other files' with ``FILE:`` in front."""
    folder = _folder()
    if folder is None:
        return []
    word, equals, _ = incomplete.partition('=')
    file, colon, key = word.rpartition(':')
    values = _flat(_load_params(folder, file or layout.PARAMS_FILE))
    if equals:
        present = values.get(key.removeprefix('+'))
        words = ['true', 'false'] if isinstance(present, bool) else [] if present is None else [_shown(present)]
        return _beginning(incomplete, [(f'{word}={one}', 'now' if one == _shown(present) else '') for one in words])
    start = f'{file}{colon}'
    found = [(f'{start}{name}=', f'now {_shown(one)}') for name, one in values.items()]
    if not colon and word:
        found += [(f'{other}:', 'parameters') for other in _param_files() if other != layout.PARAMS_FILE]
    return _beginning(incomplete, found)


def settings(incomplete: str) -> Offers:
    """Names that config knows."""
    from mlops_cli.records.config import KNOWN, VARIABLES

    return _beginning(incomplete, ((name, VARIABLES.get(name, '')) for name in KNOWN))


def remotes(incomplete: str) -> Offers:
    """Where contents are kept beside this machine."""
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.config import load_config

    found: dict[str, str] = {}
    if folder := _folder():
        with suppress(UserError, OSError), Root(folder) as root:
            found = {name: remote.url for name, remote in load_config(root, os.environ).remotes.items()}
    return _beginning(incomplete, found.items())


def hosts(incomplete: str) -> Offers:
    """Machines that stages may run on."""
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.config import load_config

    found: dict[str, str] = {}
    if folder := _folder():
        with suppress(UserError, OSError), Root(folder) as root:
            found = {name: host.url for name, host in load_config(root, os.environ).hosts.items()}
    return _beginning(incomplete, found.items())


def remotes_of_dvc(incomplete: str) -> Offers:
    """What the DVC project in the current folder calls its remotes."""
    from mlops_cli.adopt.dvc.config import load
    from mlops_cli.fsio.paths import Root

    found: dict[str, str] = {}
    with suppress(OSError, UserError), Root(os.getcwd()) as root:
        found = {name: one.url for name, one in load(root, os.environ).remotes.items()}
    return _beginning(incomplete, found.items())


def model_names(incomplete: str) -> Offers:
    """Models that are registered; behind an ``@`` their aliases and versions."""
    from mlops_cli.core.units import plural
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.model_files import Models
    from mlops_cli.records.model_standing import holders, label

    found: dict[str, str] = {}
    if folder := _folder():
        with suppress(UserError, OSError), Root(folder) as root:
            for name, model in Models(root).all.items():
                found[name] = plural(len(model.versions), 'version')
                if incomplete.startswith(f'{name}@'):
                    for alias, holder in holders(model).items():
                        found[f'{name}@{alias}'] = ', '.join(label(model, one) for one in holder.versions)
                    for version in reversed(model.numbered):
                        found[f'{name}@{label(model, version.digest)}'] = f'{version.when[:10]}, {version.who.name}'
    return _beginning(incomplete, found.items())


def model_aliases(incomplete: str) -> Offers:
    """Aliases that some model has."""
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.model_files import Models
    from mlops_cli.records.model_standing import holders

    found: dict[str, str] = {}
    if folder := _folder():
        with suppress(UserError, OSError), Root(folder) as root:
            for name, model in Models(root).all.items():
                found |= dict.fromkeys(holders(model), f'of {name}')
    return _beginning(incomplete, found.items())


def templates(incomplete: str) -> Offers:
    """What init can begin with."""
    from mlops_cli.adopt.templates import TEMPLATES

    return _beginning(incomplete, ((one.name, one.about) for one in TEMPLATES))


def states(incomplete: str) -> Offers:
    """How runs and stages end."""
    from mlops_cli.cli.words import state_word
    from mlops_cli.records.runs import ENDINGS, STATES

    return _beginning(incomplete, ((state_word(name), '') for name in dict.fromkeys((*ENDINGS, *STATES))))


def kinds(incomplete: str) -> Offers:
    """Kinds of plots."""
    from mlops_cli.experiments.plots_values import KINDS

    return _beginning(incomplete, ((name, '') for name in KINDS))


def columns(incomplete: str) -> Offers:
    """What runs can be sorted and shown by; of a list with commas the last one."""
    from mlops_cli.records.asking import FIELDS

    before, comma, last = incomplete.rpartition(',')
    start = f'{before}{comma}' + ('-' if last.startswith('-') else '')
    pipeline = _pipeline()
    folder = _folder()
    metrics = _metric_names(folder, pipeline) if folder is not None and pipeline is not None else []
    fields = [name for name in FIELDS if name != 'interrupted']  # it is called stopped, too
    found = {**dict.fromkeys(metrics, 'metric'), **dict.fromkeys(fields, 'field')}
    for name in _flat(_load_params(folder, layout.PARAMS_FILE)) if folder else ():
        found.setdefault(name, 'parameter')
    return _beginning(incomplete, ((f'{start}{name}', about) for name, about in found.items()))


def _metric_names(folder: str, pipeline: Any) -> list[str]:
    """Primary ones first, then those with a goal, then what the metrics files of the workspace hold."""
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.files import read_small
    from mlops_cli.records.metrics import LIMIT, scalars

    files = {one.path: one.metric for stage in pipeline.stages.values() for one in stage.read_as('metric')}
    declared = [metric for metric in files.values() if metric is not None]
    found = dict.fromkeys([metric.primary for metric in declared if metric.primary])
    found |= dict.fromkeys(name for metric in declared for name in metric.goals)
    with suppress(UserError, OSError), Root(folder) as root:
        for path in islice(files, METRICS_FILES):
            with suppress(UserError, OSError):
                found |= dict.fromkeys(name for name, _ in scalars(read_small(root, path, LIMIT), path))
    return list(islice(found, MOST_METRICS))


def connections(incomplete: str) -> Offers:
    """Variables that may hold the address of a database."""
    return _beginning(incomplete, ((f'env:{name}', '') for name in sorted(os.environ) if not name.startswith('_')))


def shared(incomplete: str) -> Offers:
    """By what files are compared."""
    return _beginning(incomplete, ((name, '') for name in ('content', 'name', 'stem')))


def corrections(incomplete: str) -> Offers:
    return _beginning(incomplete, ((name, '') for name in ('holm', 'none')))


# A parameter's metavar says what it takes, and so what Tab offers: no command does anything for it.
def services(incomplete: str) -> Offers:
    return _beginning(incomplete, ((name, '') for name in ('github', 'gitlab')))


def hooks(incomplete: str) -> Offers:
    return _beginning(incomplete, ((name, '') for name in ('pre-commit', 'post-checkout', 'post-merge', 'pre-push')))


BY_METAVAR: Mapping[str, Callable[[str], Offers]] = {
    'STAGE': stages,
    'RUN': runs,
    'ID': runs,
    'REV': revisions,
    'POINT': points,
    'A': points,
    'B': points,
    'TARGET': targets,
    'METRICS': metrics_files,
    'PLOT': plots_files,
    'KEY=VALUE': params,
    'STATE': states,
    'EXECUTOR': executors,
    'KIND': kinds,
    'HOOK': hooks,
    'SERVICE': services,
    'REMOTE': remotes,
    'HOST': hosts,
    'PLACE': remotes,
    'MODEL': model_names,
    'ALIAS': model_aliases,
}
# Where a name can be of many things, the command decides: command and option, or command and metavar of an argument.
BY_PLACE: Mapping[str, Callable[[str], Offers]] = {
    'init --template': templates,
    'adopt dvc --remote': remotes_of_dvc,
    'config get NAME': settings,
    'config set NAME': settings,
    'config confirm NAME': settings,
    'runs list --sort': columns,
    'import --connection': connections,
    'check drift --correction': corrections,
    'check overlap --by': shared,
    'runs list --columns': columns,
}


def by_metavar(place: str, metavar: str, incomplete: str) -> Offers:
    """``[PATH|STAGE]...`` offers what can be checked out, ``STAGE|RUN`` both."""
    if place in BY_PLACE:
        return BY_PLACE[place](incomplete)
    words = words_of(metavar)
    if 'PATH' in words and 'STAGE' in words:
        return recorded(incomplete)
    return [offer for word in words if word in BY_METAVAR for offer in BY_METAVAR[word](incomplete)]


def words_of(metavar: str) -> list[str]:
    """``[PATH|STAGE]...`` is PATH and STAGE."""
    return re.findall(r'[A-Z][A-Z=]*', metavar)


# What they read


def _folder() -> str | None:
    """The project that the user stands in."""
    from mlops_cli.cli.finding import project_folder

    try:
        return project_folder()
    except (UserError, OSError):
        return None


def _pipeline() -> Any:
    """The project's Pipeline, or None where there is none or it has mistakes."""
    folder = _folder()
    if folder is None:
        return None
    from mlops_cli.pipeline.kept import load

    try:
        return load(folder, environ=dict(os.environ))
    except (UserError, OSError):
        return None


def _stage_names(incomplete: str) -> Offers:
    pipeline = _pipeline()
    if pipeline is None:
        return []
    every = '@' in incomplete or len(pipeline.stages) <= MOST_INSTANCES
    found: dict[str, str] = {}
    for group, names in pipeline.groups.items():
        one = pipeline.stages[names[0]]
        about = one.desc or ' '.join(one.command.words)
        if names != (group,):
            found[group] = f'{len(names):,} instances'
        if every or names == (group,):
            found |= dict.fromkeys(names, about)
    return _beginning(incomplete, found.items())


def _of_role(role: str, incomplete: str) -> Offers:
    pipeline = _pipeline()
    if pipeline is None:
        return []
    made = (
        (output.path, f'made by {stage.name}')
        for stage in pipeline.stages.values()
        for output in stage.read_as(role)
    )
    return _beginning(incomplete, _from_here(made))


def _from_here(found: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Paths from the project's root, as they are typed where the user stands."""
    folder = os.path.realpath(_folder() or '.')
    here = os.path.realpath(os.getcwd())
    for path, about in found:
        yield (path if here == folder else os.path.relpath(os.path.join(folder, path), here)), about


def _beginning(incomplete: str, found: Iterable[tuple[str, str]]) -> Offers:
    return [(word, ' '.join(about.split())[:HELP]) for word, about in found if word.startswith(incomplete)]


def _param_files() -> tuple[str, ...]:
    pipeline = _pipeline()
    if pipeline is None:
        return ()
    return tuple(dict.fromkeys(ref.file for stage in pipeline.stages.values() for ref in stage.params))


def _load_params(folder: str, file: str) -> Mapping[str, Any]:
    from mlops_cli.fingerprint.params import Params
    from mlops_cli.fsio.paths import Root

    try:
        with Root(folder) as root:
            return Params(root).load(file)
    except (UserError, OSError, ValueError):
        return {}


def _flat(value: Any, start: str = '') -> dict[str, Any]:
    """Dotted key -> scalar or list, for all of a document."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = f'{start}{key}'
        if isinstance(inner, Mapping):
            found |= _flat(inner, f'{name}.')
        else:
            found[name] = inner
    return found


def _shown(value: Any) -> str:
    import json

    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str, separators=(',', ':'))
