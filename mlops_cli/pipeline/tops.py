"""``metrics`` and ``plots`` at the top of a pipeline file: what they say of the outputs of stages, and of what lies in them."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.core.classes import replace
from mlops_cli.core.document import Document
from mlops_cli.core.errors import Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import ancestors, join_path
from mlops_cli.pipeline import paramfile
from mlops_cli.pipeline.build import PLOT_KEYS
from mlops_cli.pipeline.sources import Problems
from mlops_cli.pipeline.spec import Metric, Output, Stage

_ROLES: Mapping[str, Any] = {'metrics': 'metric', 'plots': 'plot'}


def take(document: Document, folder: str, stages: dict[str, Stage], complete: bool, problems: Problems) -> None:
    """Gives each entry to the stage that makes it.  ``complete``: whether all stages could be built."""
    makers = {output.path: stage.name for stage in stages.values() for output in stage.outputs}
    found: dict[str, list[Output]] = {}
    first: dict[tuple[str, str, str], Where] = {}
    for key, role in _ROLES.items():
        for path, settings, where in _entries(document, folder, key, problems):
            made = next((one for one in (path, *ancestors(path)) if one in makers), None)
            if made is None:
                if complete:
                    hint = did_you_mean(path, makers, what='outputs') or 'list it in the stage that writes it'
                    problems.add(f'{key}: no stage makes {path}', where, hint)
                continue
            own = next(one for one in stages[makers[made]].outputs if one.path == made)
            said = repr(settings) if role == 'plot' and settings else ''  # of one table there may be several charts
            before = own.where if made == path and own.role == role and not said else first.setdefault((key, path, said), where)
            if before is not where:
                problems.add(f'{key}: {path} is listed already, at {before}', where, 'list it once')
            elif key == 'metrics' and not path.endswith(paramfile.SUFFIXES):
                problems.add(f'metrics: {path} is no file of numbers', where,
                             f'those end in {", ".join(paramfile.SUFFIXES)}; list others under plots')
            else:
                found.setdefault(makers[made], []).append(_read(path, role, settings, where))
    for name, reads in found.items():
        stages[name] = replace(stages[name], reads=(*stages[name].reads, *reads))


def _read(path: str, role: Any, settings: Mapping[str, Any], where: Where) -> Output:
    if role == 'plot':
        return Output(path, role, plot={key: settings[key] for key in PLOT_KEYS if key in settings}, where=where)
    tolerance = {name: float(number) for name, number in settings.get('tolerance', {}).items()}
    return Output(path, role, metric=Metric(settings.get('primary'), settings.get('goals', {}), tolerance), where=where)


def _entries(document: Document, folder: str, key: str, problems: Problems) -> Iterator[tuple[str, Mapping[str, Any], Where]]:
    """(path, settings, place), as far as the schema takes them."""
    written = document.value.get(key)
    for number, entry in enumerate(written if isinstance(written, list) else ()):
        for text, settings in entry.items() if isinstance(entry, Mapping) else [(entry, {})]:
            at = (key, number, text) if isinstance(entry, Mapping) else (key, number)
            where = document.where(at, key=isinstance(entry, Mapping))
            if isinstance(text, str) and isinstance(settings, Mapping):
                try:
                    yield join_path(folder, text), settings, where
                except ValueError as error:
                    problems.add(f'{key}: "{text[:80]}" {error}', where)
