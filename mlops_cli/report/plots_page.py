"""The page of plots: all of them, of one point or of two compared, below a table of metrics.  Values in, HTML out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from mlops_cli.experiments.metrics import Comparison, Values
from mlops_cli.experiments.plots_values import Drawing, Lines, Picture, Plot
from mlops_cli.report import svg
from mlops_cli.report.metrics_tables import metrics_tables
from mlops_cli.report.page import escape, page
from mlops_cli.report.plots_draw import Panel, panels, together

Pair = tuple[Plot | None, Plot | None]

PICTURES = 48 << 20  # bytes of pictures in one page
INDEXED = 6  # plots from which the page begins with a list of them
INSTANCES = 8  # of a matrix that are drawn over each other, at most

STYLE = (
    svg.STYLE
    + """
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr));gap:1rem;align-items:start;
grid-auto-flow:dense}
.plots .wide{grid-column:1/-1}
.side{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:1rem;align-items:start}
.side>div{min-width:0}
.side img,figure>img{background:#fff;border-radius:4px}
.plots svg.chart{width:100%}
.plots.plots .matrix svg.chart{width:auto}
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
    body = [f'<header>{head}</header>', metrics_tables(metrics)]
    if len(pairs) > INDEXED:
        body.append(_index(pairs))
    for group, members in _by_group(pairs).items():
        body.append(f'<h2>{escape(group or "files of the workspace")}</h2>')
        shared = _shared([pairs[number] for number in members]) if single else ''
        body.append(f'<div class="plots">{shared}{"".join(figures[number] for number in members)}</div>')
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


def _by_group(pairs: Sequence[Pair]) -> dict[str, list[int]]:
    """The instances of a matrix are told together."""
    found: dict[str, list[int]] = {}
    for number, pair in enumerate(pairs):
        found.setdefault(_key(pair).stage.partition('@')[0], []).append(number)
    return found


def _shared(pairs: Sequence[Pair]) -> str:
    """The lines of all instances in one chart, for each plot that they have in common."""
    alike: dict[tuple[str, str, str], list[Plot]] = {}
    for pair in pairs:
        plot = _key(pair)
        if '@' in plot.stage and isinstance(plot.drawing.content, Lines):
            alike.setdefault((plot.drawing.title, plot.drawing.part, plot.drawing.y_label), []).append(plot)
    found = []
    for (title, part, _), plots in alike.items():
        stages = [plot.stage.partition('@')[2] for plot in plots]
        if 1 < len(plots) <= INSTANCES and len(set(stages)) == len(stages):
            drawings: list[tuple[str, Drawing]] = [(name, plot.drawing) for name, plot in zip(stages, plots, strict=True)]
            if chart := together(drawings):
                told = f'{part} · ' if part else ''
                caption = (
                    f'<figcaption>{escape(title)}<small>{escape(told)}{len(plots)} instances together</small></figcaption>'
                )
                found.append(f'<figure class="plot">{caption}{chart}</figure>')
    return ''.join(found)


def _index(pairs: Sequence[Pair]) -> str:
    entries = []
    several = len({_key(pair).stage for pair in pairs}) > 1
    for number, pair in enumerate(pairs, 1):
        plot = _key(pair)
        broken = any(one is not None and one.broken for one in pair)
        note = ' <span class="bad">(broken)</span>' if broken else ''
        name = f'{plot.drawing.title}: {plot.drawing.part}' if plot.drawing.part else plot.drawing.title
        told = f' <span class="soft">{escape(plot.stage)}</span>' if several else ''
        entries.append(f'<li><a href="#plot-{number}">{escape(name)}</a>{told}{note}</li>')
    return f'<nav><details open><summary>{len(pairs)} plots</summary><ul>{"".join(entries)}</ul></details></nav>'


# One plot


def _figure(pair: Pair, labels: tuple[str, str], name: str, left: list[int], single: bool) -> str:
    before, after = pair
    plot = _key(pair)
    if before is not None and after is not None and _same(before, after):
        pair, found = (None, after), panels(None, after.drawing, labels, single=True)
        same = '<p class="caption">the same at both</p>'
    else:
        found = panels(before.drawing if before else None, after.drawing if after else None, labels, single=single)
        same = ''
    made = [_panel(one, left) for one in found]
    inner = made[0] if len(made) == 1 else f'<div class="side">{"".join(f"<div>{text}</div>" for text in made)}</div>'
    part = f' · {escape(plot.drawing.part)}' if plot.drawing.part else ''
    instance = plot.stage.partition('@')[2]
    told = [escape(one) for one in (instance, plot.path if plot.drawing.title != plot.path else '') if one]
    path = f'<small>{" · ".join(told)}{part}</small>' if told or part else ''
    notes = same + ''.join(f'<p class="caption">{escape(text)}</p>' for text in _notes(pair, single or bool(same)))
    kind = ' wide' if len(made) > 1 else ''
    kind += ' matrix' if any('class="cell"' in one.chart for one in found) else ''
    caption = f'<figcaption>{escape(plot.drawing.title)}{path}</figcaption>'
    return f'<figure id="{name}" class="plot{kind}">{caption}{inner}{notes}</figure>'


def _same(before: Plot, after: Plot) -> bool:
    return before.drawing.content == after.drawing.content


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
