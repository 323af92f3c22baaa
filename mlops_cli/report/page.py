"""One self-contained HTML page: style inside, no network, light and dark.  Values in, text out; knows no project.

What stands in a page is either made by this package or went through :func:`escape`.  The page says so to the browser too: its
policy refuses every request, and every script but the one that it was made with.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape as _escape

from mlops_cli.core.patterns import pattern

# What XML cannot hold, what turns text around or does not show, and what a file cannot be encoded with; joiners are letters.
_UNFIT = pattern('[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff'
                 '\ufffe\uffff\U000e0000-\U000e007f]')

MADE = '<meta name="generator" content="mlops">'  # by which a page is known to be one of ours
STYLE = """
:root{color-scheme:light dark;--ground:#fff;--raised:#f6f7f9;--ink:#1b1f24;--soft:#5b6570;--line:#d9dee4;--link:#0b62b5;
--good:#0a7a3d;--bad:#b8321f;--warn:#8a5a00;--warn-ground:#fff6e0}
@media (prefers-color-scheme:dark){:root{--ground:#14171b;--raised:#1c2026;--ink:#e4e7eb;--soft:#9aa5b1;--line:#343b44;
--link:#6cb2f5;--good:#4cc38a;--bad:#ff8a73;--warn:#f0c25e;--warn-ground:#2b2417}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.5rem 4rem;max-width:88rem;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.25rem 0 .75rem}
h3{font-size:1rem;margin:1.5rem 0 .5rem}
p{margin:.5rem 0;max-width:52rem}
a{color:var(--link)}
h1,h2,h3,p,td,th,figcaption,.note{overflow-wrap:anywhere}
code,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
pre{background:var(--raised);border:1px solid var(--line);border-radius:6px;padding:.75rem 1rem;overflow:auto;margin:.75rem 0}
.soft{color:var(--soft)}
.good{color:var(--good)}
.bad{color:var(--bad)}
.scroll{overflow-x:auto}
.scroll td,.scroll th{overflow-wrap:break-word;max-width:26rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.5rem 0}
th{font-weight:600;color:var(--soft);text-align:left;font-size:.85em;vertical-align:bottom}
th,td{padding:.3rem 1rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.number,th.number{text-align:right;white-space:nowrap}
tr:last-child>td{border-bottom:0}
figure,.card{margin:0;padding:1rem;border:1px solid var(--line);border-radius:8px;background:var(--ground);min-width:0}
figure img,figure svg{display:block;max-width:100%;height:auto}
figcaption{font-weight:600;margin-bottom:.5rem}
figcaption small,.caption{display:block;font-weight:400;color:var(--soft);font-size:.85em}
.note{background:var(--warn-ground);color:var(--warn);border-radius:6px;padding:.6rem .8rem;margin:.5rem 0;font-size:.93em}
details{margin:.75rem 0}
summary{cursor:pointer}
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85em}
@media print{body{max-width:none;padding:0}figure,.card,tr{break-inside:avoid}}
"""


def escape(text: str) -> str:
    """Text for an element or a quoted attribute of HTML or SVG.

    Quotes and brackets lose their meaning; control characters, lone surrogates, marks that turn text, and such as do not show,
    become U+FFFD."""
    return _escape(_UNFIT.sub('\ufffd', text), quote=True)


def page(title: str, body_html: str, *, script: str = '', style: str = '') -> str:
    """The document.  ``body_html`` and ``style`` stand there as they are: whoever makes them has escaped what is not theirs.

    ``script``: JavaScript of ours at the end of the body, without which the page must still tell everything; it holds no value
    from a project.  Raises ValueError for a script or style that would end its element."""
    for name, text in (('script', script), ('style', style)):
        if f'</{name}' in text.lower() or '<!--' in text:
            raise ValueError(f'this {name} would not stay inside its element')
    # The digest, not 'unsafe-inline': no other script runs, whatever came into the page.
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"; script-src 'sha256-{digest}'" if script else ''
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:{allowed}; base-uri 'none'; form-action 'none'"
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'{MADE}\n'
        f'<title>{escape(title)}</title>\n'
        '<link rel="icon" href="data:,">\n'
        f'<style>{STYLE}{style}</style>'
    )
    tail = f'<script>{script}</script>\n' if script else ''
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body_html}\n{tail}</body>\n</html>\n'
