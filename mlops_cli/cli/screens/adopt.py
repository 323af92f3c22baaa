"""What ``mlops adopt dvc`` says: what counts now, what of each stage is to be checked, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.adopt.dvc.objects import Counts
from mlops_cli.adopt.dvc.taking import Adoption
from mlops_cli.cli.console import Line, one_line
from mlops_cli.core import layout
from mlops_cli.core.refs import ref_document
from mlops_cli.core.units import plural, show_size

SHOWN = 5  # of what is alike
CHECKS = 8  # of an entry, which may say the same of each of its paths


def adopted_document(adoption: Adoption, made: Sequence[str], counts: Counts) -> dict[str, Any]:
    taken, converted = adoption.taken, adoption.converted
    return {
        'schema': 'mlops/adopt-dvc/v1',
        'written': list(made),
        'stages': [
            {
                'name': name,
                'dvc': stage.name,
                'how': row.how,
                'adopted': stage.name in taken.adopted,
                'reasons': list(taken.states[stage.name].reasons),
                'check': row.check,
            }
            for row in converted.rows
            for stage, name in zip(row.stages, row.names, strict=True)
        ],
        'earlier': taken.earlier,
        'data': [ref_document(path, ref) for path, ref in taken.data.items()],
        'missing': [{'path': path, 'objects': objects} for path, objects in taken.missing.items()],
        'check': [*converted.check, *(f'{about}: {note}' for about, note in taken.notes)],
        'objects': {name: getattr(counts, name) for name in ('linked', 'copied', 'left', 'fetched', 'damaged')},
    }


def adopted_lines(adoption: Adoption, made: Sequence[str], counts: Counts) -> list[Line]:
    taken, converted = adoption.taken, adoption.converted
    lines = [Line(f'  wrote     {one_line(path)}') for path in made]
    for row in converted.rows:
        adopted = [stage for stage in row.stages if stage.name in taken.adopted]
        several = '' if len(row.stages) == 1 else f' ({len(adopted)} of {plural(len(row.stages), "instance")})'
        word = 'adopted' if len(adopted) == len(row.stages) else 'to run'
        lines.append(Line(f'  {word:<9} {one_line(row.names[0].partition("@")[0])}{several}, {row.how}', 'done'))
        reasons = {reason: None for stage in row.stages for reason in taken.states[stage.name].reasons}
        lines += [Line(f'            {one_line(reason)}') for reason in list(reasons)[:SHOWN]]
        if not reasons and len(adopted) < len(row.stages):
            lines.append(Line("            what it made or reads is neither here nor in DVC's cache"))
        lines += [Line(f'            check: {one_line(note)}') for note in row.check[:CHECKS]]
        if len(row.check) > CHECKS:
            lines.append(Line(f'            and {len(row.check) - CHECKS:,} more to check; all: --json'))
    lines += [Line(f'  tracked   {one_line(path)} ({show_size(ref.size)})') for path, ref in list(taken.data.items())[:SHOWN]]
    if len(taken.data) > SHOWN:
        lines.append(Line(f'            and {len(taken.data) - SHOWN} more'))
    lines += [Line(f'  check     {one_line(note)}') for note in converted.check]
    lines += _notes(taken.notes)
    lines += _missing(adoption)
    if taken.earlier:
        lines.append(Line(f"  kept      {plural(taken.earlier, 'result')} of earlier states, from DVC's run cache"))
    if counts.fetched:
        lines.append(Line(f'  fetched   {counts.fetched:,} contents from a remote of DVC'))
    if counts.left:
        lines.append(Line(f'  left      {counts.left:,} contents ({show_size(counts.left_bytes)}) on another disk: '
                          'mlops adopt dvc --copy brings them'))  # fmt: skip
    if counts.damaged:
        lines.append(Line(f"  damaged   {counts.damaged:,} objects of DVC's cache are not what their names say"))
    if adoption.project.config.cache_by_git and adoption.cache.folder is None:
        where = one_line(adoption.project.config.cache)
        lines.append(Line(f"  check     DVC's cache is {where}, as .dvc/config says, which came by git: it was not read"))
        lines.append(Line('            if that is right: mlops adopt dvc --cache DIR'))
    more = f' {layout.IGNORE_FILE}' if layout.IGNORE_FILE in made else ''
    lines.append(Line(f'Keep it: git add {layout.PIPELINE_FILE} .mlops{more} && git commit'))
    return lines


def _notes(notes: Sequence[tuple[str, str]]) -> list[Line]:
    """The same said of many paths is said of some of them."""
    said: dict[str, list[str]] = {}
    for about, note in notes:
        said.setdefault(note, []).append(about)
    lines: list[Line] = []
    for note, several in said.items():
        lines += [Line(f'  check     {one_line(about)}: {one_line(note)}') for about in several[:SHOWN]]
        lines += _more(len(several))
    return lines


def _more(count: int) -> list[Line]:
    return [Line(f'            and {count - SHOWN:,} more; all: --json')] if count > SHOWN else []


def _missing(adoption: Adoption) -> list[Line]:
    missing, config = adoption.taken.missing, adoption.project.config
    if not missing:
        return []
    lines = [Line(f'  missing   {one_line(path)} ({plural(len(objects), "object")})')
             for path, objects in list(missing.items())[:SHOWN]]  # fmt: skip
    lines += _more(len(missing))
    remote = config.remotes.get(config.default_remote) or next(iter(config.remotes.values()), None)
    where = 'no remote of DVC is set up: once it is here, mlops adopt dvc again'
    if remote is not None:
        where = f"DVC's remote {one_line(remote.name)} ({one_line(remote.url)}) may have it: mlops adopt dvc --fetch"
    return [*lines, Line(f'            {where}')]
