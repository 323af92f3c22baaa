"""Models in the terminal.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.cli.console import Line, clip, fill, one_line, wrap
from mlops_cli.cli.model_documents import fact_row, metrics_of
from mlops_cli.cli.tables import Column, table
from mlops_cli.core.clock import from_iso
from mlops_cli.core.units import ago, plural, show_both, show_money, show_number, show_seconds, show_size
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_standing import USE_CASE, aliases_of, doubles, holders, label, tag_value, tags
from mlops_cli.records.models import Fact, Version
from mlops_cli.registry.headers import Header
from mlops_cli.usage.cost import Cost

METRICS = 4  # columns of numbers
NAMED = 6  # files in a line
WIDTH = 12  # of the words in front


def list_lines(rows: Sequence[tuple[Model, Version]], now: float, columns: int, hidden: int = 0) -> list[Line]:
    """``hidden``: how many older versions are not among them."""
    names = _shown_metrics([version for _, version in rows])
    head = [
        Column('MODEL', least=12), Column('VERSION'), Column('ALIASES', least=10),
        *(Column(name, right=True) for name in names[:1]),
        Column('REGISTERED'), Column('BY', least=8), *(Column(name, right=True, optional=True) for name in names[1:]),
        Column('SIZE', right=True, optional=True), Column('USE CASE', least=8, optional=True),
        Column('TAGS', least=8, optional=True), Column('RUN', optional=True), Column('STAGE', optional=True),
    ]  # fmt: skip
    cells = []
    for model, version in rows:
        numbers = metrics_of(version)
        shown = [show_number(numbers[name]) if name in numbers else '' for name in names]
        marks = ', '.join(aliases_of(model, version.digest))
        of_all = tags(model, None)
        said = [tag for tag in (*of_all, *tags(model, version.digest)) if not tag.startswith(f'{USE_CASE}=')]
        cells.append([
            one_line(model.name), label(model, version.digest), one_line(marks), *shown[:1],
            ago(now - from_iso(version.when)), one_line(version.who.name), *shown[1:], show_size(version.ref.size),
            one_line(tag_value(of_all, USE_CASE)), one_line(', '.join(said)), version.short_run, one_line(version.stage),
        ])  # fmt: skip
    lines = [Line(text) for text in table(head, cells, columns)]
    if hidden:
        lines.append(Line(f'{plural(hidden, "older version")} of these: mlops models list --all'))
    return lines


def _shown_metrics(versions: Sequence[Version]) -> list[str]:
    """Those that most have, in the order of the newest version."""
    counts: dict[str, int] = {}
    for version in reversed(versions):
        for name in metrics_of(version):
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])[:METRICS]


def warning_lines(models: Sequence[Model]) -> list[Line]:
    """What nobody may overlook: damage, disputes, numbers that mean two versions."""
    lines = []
    for model in models:
        for error in model.problems:
            lines.append(Line(f'damaged     {one_line(str(error))}', 'damaged'))
        for said in doubles(model):
            lines.append(Line(f'note: {model.name}: two branches gave one number, so it names neither alone: {said}', 'note:'))
        for alias, holder in holders(model).items():
            if holder.problem is not None:
                lines.append(Line(f'damaged     {one_line(str(holder.problem))}', 'damaged'))
            elif holder.disputed:
                said = ' and '.join(label(model, one) for one in holder.versions)
                lines.append(
                    Line(f'note: {model.name}@{alias} was promoted on two branches, to {said}; nobody has decided yet', 'note:')
                )
    return lines


def show_lines(
    model: Model, version: Version, cost: Cost | None, header: Header | None, notes: Sequence[Fact], now: float, columns: int
) -> list[Line]:
    """All about a version, what people ask first at the top."""
    marks = ', '.join(aliases_of(model, version.digest)) or 'no alias'
    lines = [Line(f'{one_line(model.name)} {label(model, version.digest)}   ({one_line(marks)})')]

    def say(word: str, text: str) -> None:
        for number, part in enumerate(wrap(one_line(text), max(20, columns - WIDTH - 2))):
            lines.append(Line(f'  {word if not number else "":<{WIDTH}}{part}'))

    say('model', f'{version.path}, {show_size(version.ref.size)}' + (f', {header.summary}' if header else ''))
    if header and header.warning:
        say('beware', header.warning)
    say('digest', f'{version.ref.digest}')
    say('sha256', version.sha256)
    signed = ', signed' if version.signature else ''
    say('registered', f'{ago(now - from_iso(version.when))} ({version.when}) by {version.who.shown}{signed}')
    if version.text:
        say('why', version.text)
    for file, found in _by_file(version).items():
        say('metrics', f'{file}: ' + ', '.join(f'{name} {show_number(number)}' for name, number in found))
    say('stage', version.stage + (f', run {version.short_run}' if version.short_run else '') + _by(version))
    if version.seconds is not None:
        say('took', _usage(version) + _money(cost))
    if version.checks:
        say('passed', ', '.join(version.checks))
    for word, rows in (('params', [f'{name}={value}' for name, value in version.params]),
                       ('data', [path for path, _ in version.data]), ('code', [path for path, _ in version.code])):  # fmt: skip
        if rows:
            more = version.left_out.get(word, 0) + max(0, len(rows) - NAMED)
            say(word, ', '.join(rows[:NAMED]) + (f' and {more:,} more' if more else ''))
    if version.environment:
        say('under', environment_text(version.environment))
    if version.commit:
        others = f' and {len(version.changed) - NAMED} more' if len(version.changed) > NAMED else ''
        changed = f', and changes to {", ".join(version.changed[:NAMED])}{others}' if version.changed else ''
        say('commit', version.commit[:12] + (f' on {version.branch}' if version.branch else '') + changed)
    said = (*tags(model, None), *tags(model, version.digest))
    if said:
        say('tags', ', '.join(said))
    for note in notes:
        say('note', f'{note.who.name}, {note.when[:10]}: {note.text}')
    lines.append(Line(f'  {"more":<{WIDTH}}mlops models history {model.name}; mlops models card {model.name}@{version.label}'))
    return lines


def _by_file(version: Version) -> dict[str, list[tuple[str, float | int]]]:
    found: dict[str, list[tuple[str, float | int]]] = {}
    for file, name, number in version.metrics:
        found.setdefault(file, []).append((name, number))
    return found


def _by(version: Version) -> str:
    who = ' on '.join(filter(None, (version.made.get('who', ''), version.made.get('host', ''))))
    return f', by {who}' if who else ''


def _usage(version: Version) -> str:
    said = [show_seconds(version.seconds or 0.0)]
    if peak := version.usage.get('memory_peak_bytes'):
        said.append(f'{show_size(peak)} of memory')
    if gpus := version.usage.get('gpu_seconds'):
        said.append(f'{show_seconds(gpus)} of GPU')
    return ', '.join(said)


def _money(cost: Cost | None) -> str:
    if cost is None or not cost.amounts:
        return ''
    said = ' + '.join(show_money(amount, currency) for currency, amount in cost.amounts.items())
    return f', {said}' + (f' (not known: {cost.unknown})' if cost.unknown else '')


def environment_text(environment: Mapping[str, Any]) -> str:
    packages = environment.get('packages')
    named = [f'{name} {value}' for name, value in environment.items() if isinstance(value, str) and name != 'platform']
    named = [str(environment.get('platform', '')), *named] if environment.get('platform') else named
    if isinstance(packages, dict):
        named += [f'{name} {value}' for name, value in list(packages.items())[:NAMED]]
        named += [f'{len(packages) - NAMED} more packages'] if len(packages) > NAMED else []
    return ', '.join(named)


def history_lines(model: Model, rows: Sequence[Version | Fact], columns: int) -> list[Line]:
    """Newest first."""
    head = [
        Column('WHEN'), Column('WHAT'), Column('VERSION'), Column('ALIAS'), Column('BY', least=8),
        Column('WHY', least=16, optional=True), Column('GATES', least=12, optional=True),
    ]  # fmt: skip
    cells = []
    for one in rows:
        row = fact_row(model, one)
        what = f'{row["event"]}{" (signed)" if row["signed"] else ""}'
        before = f' (was {row["before"]})' if row['before'] else ''
        cells.append([
            row['when'].replace('T', ' ')[:16], what, f'{row["version"] or "all"}{before}', one_line(row['alias']),
            one_line(row['who']), one_line(row['text']), one_line(row['gates']),
        ])  # fmt: skip
    return [Line(text) for text in table(head, cells, columns)]


def diff_lines(before: Version, after: Version, rows: Sequence[Mapping[str, Any]], columns: int) -> list[Line]:
    """``rows``: kind, name, before, after."""
    lines = [Line(f'{before.name} {before.label} -> {after.name} {after.label}')]
    if not rows:
        return [*lines, Line('  the same in everything that is recorded')]
    width = min(32, max(len(one_line(row['name'])) for row in rows))
    last = ''
    for row in rows:
        word, last = (row['kind'] if row['kind'] != last else ''), row['kind']
        name = clip(one_line(row['name']), width)
        lines.append(Line(clip(f'  {word:<{WIDTH}}{name:<{width}}  {_change(row)}', columns)))
    return lines


def _change(row: Mapping[str, Any]) -> str:
    one, two = row['before'], row['after']
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (one, two)]
    if all(numbers):
        return ' -> '.join(show_both(one, two))
    if one is None or two is None:
        return f'only in the {"second" if one is None else "first"}' + _value(two if one is None else one)
    if row['kind'] in ('data', 'code', 'model'):
        return 'changed'
    return f'{one_line(str(one))} -> {one_line(str(two))}'


def _value(value: Any) -> str:
    return '' if isinstance(value, str) and value.startswith('blake3:') else f': {one_line(str(value))}'


def finding_lines(rows: Sequence[Any], checked: int, columns: int) -> list[Line]:
    lines = []
    for one in rows:
        word = 'damaged' if one.bad else ('absent' if one.missing else 'note:')
        for number, part in enumerate(fill(f'{one.where}: {one.problem}'.split(), max(30, columns - 12), separator=' ')):
            lines.append(Line(f'  {word if not number else "":<9} {one_line(part)}', word))
    bad = sum(one.bad for one in rows)
    end = f', {plural(bad, "problem")}' if bad else ': sound'
    return [*lines, Line(f'{plural(checked, "version")} checked{end}.')]
