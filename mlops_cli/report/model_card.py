"""A model card in Markdown, out of what is recorded of a version.  Values in, text out; what came from a name or a file cannot
act on whoever shows the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mlops_cli.core.canonical import canonical
from mlops_cli.core.units import show_money, show_number, show_seconds, show_size
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_standing import aliases_of, approvals, holders, label, tags
from mlops_cli.records.models import Version
from mlops_cli.registry.headers import Header
from mlops_cli.report.markdown import plain
from mlops_cli.usage.cost import Cost

ROWS = 50


def markdown(model: Model, version: Version, cost: Cost | None, header: Header | None) -> str:
    """The whole page."""
    marks = ', '.join(aliases_of(model, version.digest))
    lines = [f'# {plain(model.name)} {label(model, version.digest)}', '']
    if version.text:
        lines += [plain(version.text), '']
    lines += _table(['', ''], [(name, text) for name, text in _facts(model, version, cost, header, marks) if text])
    if header and header.warning:
        lines += ['', f'**Beware:** {plain(header.warning)}.']
    lines += _section('Metrics', ['file', 'metric', 'value'],
                      [(file, name, show_number(value)) for file, name, value in version.metrics])  # fmt: skip
    if version.checks:
        lines += ['', f'Checks that had passed: {", ".join(map(plain, version.checks))}.']
    lines += _section('Parameters', ['name', 'value'], [(name, canonical(value)) for name, value in version.params],
                      version.left_out.get('params', 0))  # fmt: skip
    lines += _section('Data', ['path', 'digest'], [(path, digest.hex[:16]) for path, digest in version.data],
                      version.left_out.get('data', 0))  # fmt: skip
    lines += _section('How it was made', ['stage', 'command', 'key'], [
        (stage, next((text for name, text in version.commands if name == stage), ''), key.hex[:16])
        for stage, key, _ in version.results
    ])  # fmt: skip
    lines += _section('Code', ['file', 'meaning'], [(path, digest.hex[:16]) for path, digest in version.code],
                      version.left_out.get('code', 0))  # fmt: skip
    lines += _section('Environment', ['', 'version'], list(_environment(version)))
    lines += _section('Decisions', ['when', 'what', 'by', 'why'], list(_decisions(model, version)))
    notes = [fact for fact in model.of_kind('note') if fact.version in (None, version.digest)]
    lines += _section('Notes', ['when', 'by', 'note'], [(fact.when[:10], fact.who.name, fact.text) for fact in notes])
    return '\n'.join([*lines, ''])


def _facts(model: Model, version: Version, cost: Cost | None, header: Header | None, marks: str) -> Iterable[tuple[str, str]]:
    made = version.made
    yield 'Aliases', marks
    yield 'Tags', ', '.join((*tags(model, None), *tags(model, version.digest)))
    yield 'File', f'{version.path}, {show_size(version.ref.size)}'
    yield 'Format', header.summary if header else ''
    yield 'BLAKE3', version.ref.digest.hex
    yield 'SHA-256', version.sha256
    yield 'Registered', f'{version.when} by {version.who.shown}{", signed" if version.signature else ""}'
    yield 'Trained', ', '.join(filter(None, (made.get('when', ''), made.get('who', ''), made.get('host', ''))))
    yield 'Run', made.get('run', '')
    yield 'Commit', version.commit + (f', and changes to {", ".join(version.changed[:ROWS])}' if version.changed else '')
    yield 'Took', show_seconds(version.seconds) if version.seconds is not None else ''
    yield 'Memory', show_size(version.usage['memory_peak_bytes']) if version.usage.get('memory_peak_bytes') else ''
    yield 'GPU time', show_seconds(version.usage['gpu_seconds']) if version.usage.get('gpu_seconds') else ''
    if cost is not None and cost.amounts:
        yield 'Cost', ' + '.join(show_money(amount, currency) for currency, amount in cost.amounts.items())


def _environment(version: Version) -> Iterable[tuple[str, str]]:
    for name, value in version.environment.items():
        if isinstance(value, dict):
            yield from ((str(key), str(one)) for key, one in value.items())
        else:
            yield str(name), str(value)


def _decisions(model: Model, version: Version) -> Iterable[Sequence[str]]:
    for alias in holders(model):
        for fact in approvals(model, version.digest, alias):
            yield fact.when, f'approved for {alias}', fact.who.shown, fact.text
    for fact in model.of_kind('promotion'):
        if fact.version == version.digest:
            word = 'rolled back to it' if fact.decision == 'rollback' else 'promoted'
            yield fact.when, f'{word}: {fact.alias}', fact.who.shown, fact.text


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]], left_out: int = 0) -> list[str]:
    if not rows:
        return []
    more = left_out + max(0, len(rows) - ROWS)
    return ['', f'## {title}', '', *_table(head, rows[:ROWS]), *(['', f'And {more:,} more.'] if more else [])]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [f'| {" | ".join(head)} |', f'|{"---|" * len(head)}']
    return lines + [f'| {" | ".join(plain(str(cell)) for cell in row)} |' for row in rows]
