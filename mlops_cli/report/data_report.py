"""Checks of data as Markdown and as one page with a picture of each column.  Values in, text out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mlops_cli.core.classes import dataclass
from mlops_cli.core.units import plural
from mlops_cli.report.markdown import plain
from mlops_cli.report.page import MADE, escape, page
from mlops_cli.report.svg import STYLE, Axes, Group, bars, histogram

MARK = '<!-- made by mlops -->'
PICTURES = 200  # columns that are drawn
BARS = 12
LONGEST = 300  # characters of a cell: names of columns may be as long as a file


@dataclass(frozen=True, slots=True)
class Picture:
    """A column: numbers, or how often each value is there; ``before`` of what it is compared with.  ``note``: below the
    name."""

    name: str
    note: str
    numbers: Sequence[float] = ()
    counts: Mapping[str, float] | None = None
    before: Mapping[str, float] | None = None
    bad: bool = False


def markdown(title: str, verdict: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [MARK, f'# {plain(title)}', '', plain(verdict), '']
    if rows:
        lines += [f'| {" | ".join(head)} |', f'|{" --- |" * len(head)}']
        lines += [f'| {" | ".join(plain(_short(cell)) for cell in row)} |' for row in rows]
    return '\n'.join(lines) + '\n'


def html(
    title: str, verdict: str, passed: bool, head: Sequence[str], rows: Sequence[Sequence[str]], pictures: Sequence[Picture]
) -> str:
    parts = [f'<h1>{escape(title)}</h1>', f'<p class="{"good" if passed else "bad"}">{escape(verdict)}</p>']
    if rows:
        top = ''.join(f'<th>{escape(one)}</th>' for one in head)
        body = ''.join(f'<tr>{"".join(f"<td>{escape(_short(cell))}</td>" for cell in row)}</tr>' for row in rows)
        parts.append(f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>')
    shown = sorted(pictures, key=lambda one: not one.bad)[:PICTURES]
    if shown:
        parts.append('<h2>Columns</h2><div class="cards">')
        parts += [_figure(one) for one in shown]
        parts.append('</div>')
    if len(pictures) > len(shown):
        parts.append(f'<p class="soft">{plural(len(pictures) - len(shown), "more column")} not drawn.</p>')
    style = STYLE + '.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:1rem}'
    return page(title, '\n'.join(parts), style=style)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'


def _figure(one: Picture) -> str:
    tone = ' class="bad"' if one.bad else ''
    caption = f'<figcaption{tone}>{escape(one.name[:80])}<small>{escape(one.note)}</small></figcaption>'
    axes = Axes(x=one.name[:40], y='rows')
    drawn = ''
    if one.numbers:
        drawn = histogram([Group(one.name[:40], list(one.numbers), 0)], axes)
    elif one.counts:
        counts = Counter(dict(one.counts))
        counts.update(dict.fromkeys(one.before or (), 0.0))
        names = list(one.counts)[:BARS] if one.before is not None else [name for name, _ in counts.most_common(BARS)]
        groups = [Group('now', [float(one.counts.get(name, 0)) for name in names], 0)]
        if one.before is not None:
            groups.insert(0, Group('baseline', [float(one.before.get(name, 0)) for name in names], 0, True))
            axes = Axes(x=one.name[:40], y='share of rows')
        drawn = bars([name[:20] for name in names], groups, axes)
    return f'<figure>{caption}{drawn}</figure>'


__all__ = ['MADE', 'MARK', 'Picture', 'html', 'markdown']
