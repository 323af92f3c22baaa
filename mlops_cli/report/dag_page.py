"""The page of a graph: the picture, which can be moved and searched, and what is known of each node.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlops_cli.report import dag_svg
from mlops_cli.report.dag import Drawing, Node
from mlops_cli.report.dag_script import SCRIPT
from mlops_cli.report.page import escape, page

STYLE = (
    dag_svg.STYLE
    + """
body{max-width:none}
#tools{display:none;gap:.5rem;align-items:center;margin:1rem 0 .5rem;flex-wrap:wrap}
.live #tools{display:flex}
#tools input,#tools button{font:inherit;color:inherit;background:var(--raised);border:1px solid var(--line);border-radius:6px;
padding:.25rem .7rem}
#tools button{cursor:pointer;min-width:2.2rem}
#tools input{width:16rem;max-width:60vw}
#scene{display:grid;grid-template-columns:minmax(0,1fr);gap:1rem}
#scene.open{grid-template-columns:minmax(0,1fr) minmax(17rem,26rem)}
#canvas{border:1px solid var(--line);border-radius:8px;overflow:auto;background:var(--ground)}
.live #canvas{overflow:hidden;height:72vh;min-height:20rem;cursor:grab;touch-action:none;user-select:none}
.live #canvas.held{cursor:grabbing}
.live #canvas svg{width:100%;height:100%;display:block}
#panel{display:none;overflow:auto;max-height:72vh}
.open #panel{display:block}
.live #details{display:none}
article{border-top:1px solid var(--line);padding:.25rem 0 .75rem;overflow-wrap:anywhere}
#panel article{border:0;padding:0}
article h3{margin:.5rem 0}
article dl{display:grid;grid-template-columns:minmax(5.5rem,max-content) minmax(0,1fr);gap:.2rem .9rem;margin:0;font-size:.93em}
article dt{color:var(--soft)}
article dd{margin:0;white-space:pre-line}
.legend{display:flex;gap:1.2rem;flex-wrap:wrap;margin:.5rem 0 0;padding:0;list-style:none;font-size:.9em}
.dag .box{cursor:pointer;outline:none}
.dag .box.chosen rect:not(.bar),.dag .box:focus-visible rect:not(.bar){stroke:var(--link);stroke-width:2.75}
.dag .box.found rect:not(.bar){stroke:var(--warn);stroke-width:2.75}
.dag .far{opacity:.22!important}
.dag .wire.near{stroke:var(--link);stroke-width:2}
.dag .tip.near{fill:var(--link)}
@media (max-width:60rem){#scene.open{grid-template-columns:minmax(0,1fr)}#panel{max-height:none}}
@media print{#tools,#panel{display:none!important}.live #details{display:block}.live #canvas{height:auto;overflow:visible}}
"""
)
TOOLS = """<div id="tools"><input id="find" type="search" placeholder="Find" aria-label="Find" autocomplete="off"
spellcheck="false">
<span id="hits" class="soft" role="status"></span>
<button id="out" type="button" aria-label="Smaller">&minus;</button><button id="in" type="button" aria-label="Larger">+</button>
<button id="fit" type="button">All of it</button>
<span class="soft">Click one to see what is known of it, and all that it depends on.</span></div>"""


def dag_page(
    drawing: Drawing,
    said: Iterable[str] = (),
    states: Mapping[str, str] | None = None,
    *,
    above: str = '',
    below: str = '',
) -> str:
    """``said``: sentences below the title.  ``states``: what the words on the nodes mean, for a legend.  ``above``, ``below``
    the picture: HTML that stands there as it is."""
    sentences = [f'<p class="soft">{escape(text)}</p>' for text in said]
    head = [f'<h1>{escape(drawing.title)}</h1>', *([above] if above else []), *sentences]
    used = {node.state for node in drawing.nodes}
    rows = [f'<li><b>{escape(word)}</b> <span class="soft">{escape(text)}</span></li>'
            for word, text in (states or {}).items() if word in used]  # fmt: skip
    legend = f'<ul class="legend">{"".join(rows)}</ul>' if rows else ''
    if not drawing.nodes:
        return page(drawing.title, '\n'.join([*head, '<p>There is nothing to draw.</p>', below]))
    scene = (
        f'{TOOLS}\n<div id="scene"><div id="canvas">{dag_svg.svg(drawing)}</div>\n'
        '<aside id="panel" aria-live="polite"></aside></div>'
    )
    reads: dict[str, list[str]] = {}
    read_by: dict[str, list[str]] = {}
    labels = {node.id: node.label for node in drawing.nodes}
    for edge in drawing.pairs():
        through = f' ({edge.label})' if edge.label else ''
        reads.setdefault(edge.target, []).append(labels[edge.source] + through)
        read_by.setdefault(edge.source, []).append(labels[edge.target] + through)
    details = [
        _article(node, number, reads.get(node.id, ()), read_by.get(node.id, ())) for number, node in enumerate(drawing.nodes)
    ]
    each = f'<section id="details"><h2>Each of them</h2>{"".join(details)}</section>'
    body = [*head, legend, scene, *([below] if below else []), each]
    return page(drawing.title, '\n'.join(body), script=SCRIPT, style=STYLE)


def _article(node: Node, number: int, reads: Iterable[str], read_by: Iterable[str]) -> str:
    rows = [*([('state', node.note)] if node.state and node.note else []), *node.details]
    rows += [('comes after', '\n'.join(reads))] if reads else []
    rows += [('comes before', '\n'.join(read_by))] if read_by else []
    listed = ''.join(f'<dt>{escape(name)}</dt><dd>{escape(text)}</dd>' for name, text in rows)
    return f'<article id="d{number}"><h3>{escape(node.label)}</h3><dl>{listed}</dl></article>'
