"""The picture, the page and the Markdown of an audit."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from mlops_cli.checks.audit.model import Audited, Undeclared, Unused
from mlops_cli.report.audit_report import FILES, LISTED, STAGES, AuditReport, drawing, html, markdown
from mlops_cli.report.dag import Drawing, Edge, Node
from mlops_cli.report.dag_svg import svg

EVIL = '```\n</pre><img src=x onerror=alert(1)>|@all ![](http://x.example)\x1b[2J\u202e"]'


def report(*found: Audited, diff: str = '', edges: tuple[tuple[str, str], ...] = ()) -> AuditReport:
    nodes = tuple(Node(one.stage, one.stage) for one in found)
    stages = Drawing('Stages', nodes, tuple(Edge(*edge) for edge in edges))
    return AuditReport('Audit of p', '1 of 2 stages open what they do not declare.', found, stages, diff, ('mend it',))


def test_the_picture_says_who_does_what() -> None:
    rows = (
        Undeclared('read', 'a.csv'),
        Undeclared('read', 'b.csv', maker='one'),
        Undeclared('code', '/far/x.py', outside=True),
        Undeclared('write', 'log'),
    )
    shared = Undeclared('read', 'a.csv')
    made = drawing(report(
        Audited('one', 'strace'), Audited('two', 'strace', rows, (Unused('old.csv'),)),
        Audited('three', 'strace', (shared,), whole=False, why='strace was ended'), edges=(('one', 'two'),),
    ))  # fmt: skip
    nodes = {node.id: node for node in made.nodes}
    assert [nodes[name].state for name in ('one', 'two', 'three')] == ['declared', 'undeclared', 'unseen']
    assert nodes['two'].note == 'reads 2, loads 1, writes 1, 1 not opened' and nodes['one'].note == 'all declared'
    assert nodes['three'].note == 'not seen whole, reads 1'
    assert {(edge.source, edge.target) for edge in made.edges} == {
        ('one', 'two'), ('path:a.csv', 'two'), ('one', 'path:b.csv'), ('path:b.csv', 'two'), ('path:/far/x.py', 'two'),
        ('two', 'path:log'), ('path:old.csv', 'two'), ('path:a.csv', 'three'),
    }  # fmt: skip
    assert nodes['path:/far/x.py'].note == 'loaded, outside the project' and nodes['path:a.csv'].details == (
        ('two', 'read'), ('three', 'read'),
    )  # fmt: skip
    assert nodes['path:old.csv'].kind == 'data' and not nodes['path:old.csv'].state
    assert svg(made).count('class="box') == 8


def test_many_are_told_and_not_all_drawn() -> None:
    many = tuple(Undeclared('read', f'{at}.csv') for at in range(LISTED + 3))
    clean = tuple(Audited(f'clean-{at}', 'strace') for at in range(STAGES))
    made = report(Audited('a', 'strace', many), *clean)
    nodes = drawing(made).nodes
    assert len(nodes) == 1 + FILES + 1 and nodes[-1].label == f'{LISTED + 3 - FILES} more of a'
    folder = tuple(Undeclared('read', f'data/{at}.csv') for at in range(9))
    assert [node.label for node in drawing(report(Audited('a', 'strace', folder))).nodes] == ['a', 'data/ (9 files)']
    page, text = html(made), markdown(made)
    assert f'{LISTED + 2}.csv' in page and page.count('<tr>') == LISTED + 4
    assert '3 more rows' in text and 'mermaid' not in text


def test_names_do_nothing() -> None:
    diff = f'--- a/pipeline.yaml\n+    deps: [{EVIL}]\n+ ````\n'
    made = report(Audited(EVIL, 'strace', (Undeclared('read', EVIL, maker=EVIL, leads_to=EVIL),), (Unused(EVIL),)), diff=diff)
    page, text = html(made), markdown(made)
    assert '<img' not in page and '</pre><' not in page.replace('</pre><h2>By hand', '')
    assert '\x1b' not in page + text and '\u202e' not in page + text
    ElementTree.fromstring(re.sub(r'^<!doctype html>|<meta [^>]*>|<link [^>]*>|<script>.*</script>|<input [^>]*>', '', page,
                                  flags=re.DOTALL | re.MULTILINE).replace('&minus;', '-'))  # fmt: skip
    before, _, rest = text.partition('\n`````diff\n')
    assert rest.count('`````') == 1  # nothing within ends it
    table, _, picture = before.partition('\n```mermaid\n')
    assert all(one not in table for one in ('<img', 'http://', '@all', '!['))
    assert picture.count('```') == 1 and '<img' not in picture and ']"]' not in picture


def test_nothing_to_say() -> None:
    clean = AuditReport('Audit of p', '1 stage, nothing undeclared.', (Audited('a', 'strace'),), Drawing('', (Node('a', 'a'),)))
    page, text = html(clean), markdown(clean)
    assert '<p class="good">1 stage, nothing undeclared.</p>' in page and '<h2>What was found' not in page
    assert text == '<!-- made by mlops -->\n# Audit of p\n\n1 stage, nothing undeclared.\n\n'
