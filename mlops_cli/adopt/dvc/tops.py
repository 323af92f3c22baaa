"""``metrics`` and ``plots`` at the top of a dvc.yaml as those of a pipeline.yaml: of the files that stages make."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlops_cli.adopt.dvc.agreement import is_unsayable
from mlops_cli.adopt.dvc.schema import PLOT
from mlops_cli.adopt.dvc.stages import File, Out
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.paths import ancestors, check_path
from mlops_cli.pipeline import paramfile


@dataclass
class Tops:
    """``metrics``, ``plots``: entries of a pipeline.yaml.  ``check``: what they cannot say, in DVC's words."""

    metrics: list[Any] = field(default_factory=list)
    plots: list[Any] = field(default_factory=list)
    check: list[str] = field(default_factory=list)

    def lines(self) -> dict[str, list[Any]]:
        return {key: value for key, value in (('metrics', self.metrics), ('plots', self.plots)) if value}


def tops_of(files: Sequence[File]) -> Tops:
    found = Tops()
    outs = {out.path.path: out for file in files for stage in file.stages for out in stage.outs
            if out.path.path is not None and not is_unsayable(out.path.path)}  # fmt: skip
    for file in files:
        left = [path for path in _listed(file.tops.get('metrics')) if not _metric(found, outs, file.folder, path)]
        _tell(found, file, 'metrics', left)
        _tell(found, file, 'plots', [name for name, said in _charts(file) if not _plot(found, outs, file, name, said)])
        _tell(found, file, 'params', _listed(file.tops.get('params')))
        sets = file.tops.get('datasets') or ()
        _tell(found, file, 'datasets', [str(one.get('name') if isinstance(one, dict) else one) for one in sets])
    return found


def _charts(file: File) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in file.tops.get('plots') or ():
        yield from ((str(name), said or {}) for name, said in (one if isinstance(one, dict) else {one: None}).items())


def _listed(value: Any) -> list[str]:
    return [str(one) for one in value or ()]


def _tell(found: Tops, file: File, key: str, left: Sequence[str]) -> None:
    if left:
        text = ', '.join(left)
        why = ' of what no stage makes' if key in ('metrics', 'plots') else ''
        found.check.append(f'{file.file}: {key} at its top{why} have no place in pipeline.yaml: '
                           + (text if len(text) < 80 else f'{text[:79]}…'))  # fmt: skip


def _made(outs: Mapping[str, Out], folder: str, written: str) -> tuple[str, Out] | None:
    """A path from the root, and the output that it is or lies in."""
    path = posixpath.normpath(posixpath.join(folder, written))
    try:
        maker = next((one for one in (path, *ancestors(check_path(path))) if one in outs), None)
    except ValueError:
        return None
    return None if maker is None else (path, outs[maker])


def _metric(found: Tops, outs: Mapping[str, Out], folder: str, written: str) -> bool:
    """Whether it could be said."""
    made = _made(outs, folder, written)
    if made is None or not made[0].endswith(paramfile.SUFFIXES):
        return False
    if (made[0] != made[1].path.path or made[1].kind != 'metrics') and made[0] not in found.metrics:
        found.metrics.append(made[0])
    return True


def _plot(found: Tops, outs: Mapping[str, Out], file: File, name: str, said: Mapping[str, Any]) -> bool:
    """One entry for each file that it draws: what DVC draws in one picture is several here."""
    drawn = list(_drawn(name, said))
    if not all(_made(outs, file.folder, path) for path, _ in drawn):
        return False
    if len(drawn) > 1:
        found.check.append(f'{file.file}: {name} draws {len(drawn)} files in one chart: here each has its own')
    for written, settings in drawn:
        path, out = _made(outs, file.folder, written) or ('', None)
        entry = {path: settings} if settings else path
        plain = out is not None and out.path.path == path and out.kind == 'plots' and not settings
        if not plain and entry not in found.plots:
            found.plots.append(entry)
    return True


def _drawn(name: str, said: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file, settings)."""
    x, y = said.get('x'), said.get('y')
    rest = {key: said[key] for key in PLOT if key in said and key not in ('x', 'y') and said[key] not in ('', None)}
    files = y if isinstance(y, dict) else x if isinstance(x, dict) else {name: y}
    for file, columns in files.items():
        settings = dict(rest)
        across = (x.get(file) or next(iter(x.values()), None)) if isinstance(x, dict) else x
        if isinstance(across, list):
            across = across[0] if across else None
        if across:
            settings['x'] = str(across)
        columns = columns if isinstance(y, dict) or not isinstance(x, dict) else y
        if columns:
            settings['y'] = [str(one) for one in columns] if isinstance(columns, list) else str(columns)
        if str(file) != name:
            settings.setdefault('title', name)
        yield str(file), settings
