"""The page of plots: all of them, of one point or of two compared, below a table of metrics.  Values in, HTML out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from mlops_cli.experiments.metrics import Change, Comparison, Missing, Value, Values
from mlops_cli.experiments.plots_values import Picture, Plot
from mlops_cli.report import svg
from mlops_cli.report.page import escape, page
from mlops_cli.report.plots_draw import Panel, panels
from mlops_cli.report.scale import figure

Pair = tuple[Plot | None, Plot | None]

PICTURES = 48 << 20  # bytes of pictures in one page
INDEXED = 6  # plots from which the page begins with a list of them
ROWS = 300  # of the table of metrics
WORDS = {'better': 'better', 'worse': 'worse', 'within': 'within tolerance', 'new': 'new', 'gone': 'gone'}

STYLE = (
    svg.STYLE
    + """
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr));gap:1rem;align-items:start}
.plots .wide{grid-column:1/-1}
.side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1rem;align-items:start}
.side>div{min-width:0}
.side img,figure>img{background:#fff;border-radius:4px}
.plots svg.chart{width:100%}
.matrix svg.chart{max-width:30rem}
nav ul{columns:18rem;padding-left:1.1rem;margin:.5rem 0}
"""
)


def plots_page(
    title: str,
    pairs: Sequence[Pair],
    labels: tuple[str, str],
    *,
    metrics: Comparison | Values | None = None,
    single: bool = False,
) -> str:
    """``labels``: of the two points; with ``single`` only the second one is shown.  ``pairs``: each plot before and after."""
    left = [PICTURES]
    figures = [_figure(pair, labels, f'plot-{number}', left, single) for number, pair in enumerate(pairs, 1)]
    head = f'<h1>{escape(title)}</h1>' + _of(labels, single)
    body = [f'<header>{head}</header>', _metrics(metrics)]
    if len(pairs) > INDEXED:
        body.append(_index(pairs))
    for stage, members in _by_stage(pairs).items():
        body.append(f'<h2>{escape(stage or "files of the workspace")}</h2>')
        body.append(f'<div class="plots">{"".join(figures[number] for number in members)}</div>')
    if not pairs:
        body.append('<p class="note">No stage lists a file under plots.</p>')
    body.append('<footer>Made by mlops. This page is one file: it needs no network and runs no script.</footer>')
    return page(title, '\n'.join(body), style=STYLE)


def _of(labels: tuple[str, str], single: bool) -> str:
    if single:
        return f'<p class="soft">{escape(labels[1])}</p>'
    how = 'Lines: dashed is before, solid is after.'
    return f'<p>{escape(labels[0])} <span class="soft">→</span> {escape(labels[1])} <span class="soft">· {how}</span></p>'


def _key(pair: Pair) -> Plot:
    plot = pair[1] or pair[0]
    assert plot is not None
    return plot


def _by_stage(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        found.setdefault(_key(pair).stage, []).append(number)
    return found


def _index(pairs: Sequence[Pair]) -> str:
    entries = []
    for number, pair in enumerate(pairs, 1):
        plot = _key(pair)
        broken = any(one is not None and one.broken for one in pair)
        note = ' <span class="bad">(something is wrong)</span>' if broken else ''
        name = f'{plot.drawing.title}: {plot.drawing.part}' if plot.drawing.part else plot.drawing.title
        told = f' <span class="soft">{escape(plot.stage)}</span>' if plot.stage else ''
        entries.append(f'<li><a href="#plot-{number}">{escape(name)}</a>{told}{note}</li>')
    return f'<nav><details open><summary>{len(pairs)} plots</summary><ul>{"".join(entries)}</ul></details></nav>'


# One plot


def _figure(pair: Pair, labels: tuple[str, str], name: str, left: list[int], single: bool) -> str:
    before, after = pair
    plot = _key(pair)
    found = panels(before.drawing if before else None, after.drawing if after else None, labels, single=single)
    made = [_panel(one, left) for one in found]
    inner = made[0] if len(made) == 1 else f'<div class="side">{"".join(f"<div>{text}</div>" for text in made)}</div>'
    part = f' · {escape(plot.drawing.part)}' if plot.drawing.part else ''
    path = '' if plot.drawing.title == plot.path and not part else f'<small>{escape(plot.path)}{part}</small>'
    notes = ''.join(f'<p class="caption">{escape(text)}</p>' for text in _notes(pair, single))
    kind = ' wide' if len(made) > 1 else ''
    kind += ' matrix' if any('class="cell"' in one.chart for one in found) else ''
    caption = f'<figcaption>{escape(plot.drawing.title)}{path}</figcaption>'
    return f'<figure id="{name}" class="plot{kind}">{caption}{inner}{notes}</figure>'


def _notes(pair: Pair, single: bool) -> list[str]:
    """What was left out, of each point; once where both say the same."""
    found = []
    sides = [plot for plot in pair if plot is not None]
    texts = [plot.drawing.notes for plot in sides]
    if len(texts) == 2 and texts[0] == texts[1]:
        sides, single = sides[:1], True
    for plot in sides:
        found += [text if single else f'{plot.point}: {text}' for text in plot.drawing.notes]
    return found


def _panel(one: Panel, left: list[int]) -> str:
    caption = f'<p class="caption">{escape(one.caption)}</p>' if one.caption else ''
    if one.problem:
        hint = f'<br>{escape(one.hint)}' if one.hint else ''
        return f'{caption}<div class="note">{escape(one.problem)}.{hint}</div>'
    if one.picture is not None:
        return caption + _picture(one.picture, left)
    return caption + one.chart


def _picture(picture: Picture, left: list[int]) -> str:
    """Always by way of <img>, where a picture can neither run a script nor load anything."""
    left[0] -= len(picture.data)
    if left[0] < 0:
        return f'<div class="note">Left out: the pictures of this page have more than {PICTURES >> 20} MiB.</div>'
    size = f' width="{picture.size[0]}" height="{picture.size[1]}"' if picture.size else ''
    data = b64encode(picture.data).decode()
    return f'<img src="data:{picture.media};base64,{data}"{size} alt="">'


# Metrics


def _metrics(found: Comparison | Values | None) -> str:
    if found is None or not (found.rows or found.missing):
        return ''
    if isinstance(found, Values):
        head = '<th>stage</th><th>metric</th><th class="number">value</th><th>goal</th>'
        rows = [_value_row(row) for row in found.rows[:ROWS]]
    else:
        head = '<th>stage</th><th>metric</th><th class="number">before</th><th class="number">after</th>'
        head += '<th class="number">change</th><th></th>'
        rows = [_change_row(row) for row in found.rows[:ROWS]]
    more = f'<p class="soft">and {len(found.rows) - ROWS:,} more</p>' if len(found.rows) > ROWS else ''
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    missing = ''.join(f'<li>{_missing(one)}</li>' for one in found.missing[:ROWS])
    missing = f'<ul class="soft">{missing}</ul>' if missing else ''
    return f'<h2>Metrics</h2>{table if rows else ""}{more}{missing}'


def _missing(one: Missing) -> str:
    return escape(f'{one.file or one.stage} at {one.point}: {one.reason}')


def _name(name: str, primary: bool) -> str:
    return f'<strong>{escape(name)}</strong>' if primary else escape(name)


def _number(value: float | int | None, note: str = '') -> str:
    return f'<td class="number">{escape(note or "–") if value is None else figure(value)}</td>'


def _value_row(row: Value) -> str:
    goal = {'max': 'more is better', 'min': 'less is better'}.get(row.goal or '', '')
    name = f'<td>{escape(row.stage)}</td><td>{_name(row.name, row.primary)}</td>'
    return f'<tr>{name}{_number(row.value, row.note)}<td class="soft">{goal}</td></tr>'


def _change_row(row: Change) -> str:
    colour = ' class="good"' if row.verdict == 'better' else ' class="bad"' if row.failing else ' class="soft"'
    change = row.change
    shown = '' if change is None else '0' if change == 0 else f'{"+" if change > 0 else ""}{figure(change)}'
    said = WORDS.get(row.verdict, '')
    told = f'{said} ({row.note})' if row.note and said else said or row.note
    return (
        f'<tr><td>{escape(row.stage)}</td><td>{_name(row.name, row.primary)}</td>{_number(row.before)}{_number(row.after)}'
        f'<td class="number">{shown}</td><td{colour}>{escape(told)}</td></tr>'
    )
