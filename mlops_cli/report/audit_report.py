"""What an audit found, as Markdown and as a page with a picture.  Values in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops_cli.checks.audit.model import Audited, Undeclared
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import plural
from mlops_cli.report.dag import Drawing, Edge, Node
from mlops_cli.report.dag_page import dag_page
from mlops_cli.report.dag_text import mermaid
from mlops_cli.report.data_report import MARK
from mlops_cli.report.markdown import HIDDEN, REPLACED, foreign, plain
from mlops_cli.report.page import escape

WORDS = {'read': 'reads', 'code': 'loads', 'write': 'writes', 'remove': 'removes'}
DONE = {'read': 'read', 'code': 'loaded', 'write': 'written', 'remove': 'removed'}
STATES = {
    'declared': 'all that it opens is declared',
    'undeclared': 'not declared',
    'unseen': 'it failed, or not all of it was seen',
}
HEAD = ('stage', 'what it does', 'path', '')
MANY = 8  # files of one folder that are drawn; of more the folder is
FILES = 15  # of a stage that are drawn, of each kind
STAGES = 150  # that are drawn; of more those of which there is something to say
LISTED = 500  # rows of the Markdown
_TICKS = pattern('`+')


@dataclass(frozen=True, slots=True)
class AuditReport:
    """``stages``: those of the pipeline that were audited, as a drawing whose nodes have their names.  ``verdict``: in a
    sentence.  ``diff``: what would be declared; ``left``: what has to be done by hand."""

    title: str
    verdict: str
    found: Sequence[Audited]
    stages: Drawing
    diff: str = ''
    left: Sequence[str] = ()

    @property
    def clean(self) -> bool:
        return all(one.clean for one in self.found)


def remark(row: Undeclared) -> str:
    """What follows on the path of a finding."""
    text = f' -> {row.leads_to}' if row.leads_to else ''
    if row.maker:
        text += f', which {row.maker} makes'
    if row.outside and row.kind == 'read':
        text += ', outside the project (mlops import brings it in)'
    elif row.outside and row.kind == 'code':
        text += ', code from outside the project'
    return text


def summary(one: Audited) -> str:
    """Of a stage, in one line."""
    if one.state not in ('done', ''):
        what = f'{one.state}{f": {one.message}" if one.message else ""}; so far '
    else:
        what = '' if one.whole else f'not all was seen, {one.why}; '
    counts = {kind: sum(row.kind == kind for row in one.undeclared) for kind in WORDS}
    reads, writes = counts['read'] + counts['code'], counts['write'] + counts['remove']
    parts = [plural(reads, 'undeclared read')] if reads else []
    parts += [plural(writes, 'undeclared write')] if writes else []
    parts += [f'{plural(len(one.unused), "dependency", "dependencies")} not opened'] if one.unused else []
    return what + (', '.join(parts) or 'nothing undeclared')


def rows(found: Sequence[Audited]) -> Iterator[tuple[str, str, str, str]]:
    """As HEAD names them."""
    for one in found:
        if not one.whole or one.state not in ('done', ''):
            yield one.stage, 'was not seen whole', '', summary(one)
        for row in one.undeclared:
            yield one.stage, WORDS[row.kind], row.path, remark(row).removeprefix(', ').strip()
        if one.beyond:
            yield one.stage, '', '', f'{one.beyond:,} paths that are not listed'
        for dep in one.unused:
            yield one.stage, 'does not open', dep.dep, f'declared under {"code" if dep.code else "deps"}'


def drawing(report: AuditReport) -> Drawing:
    """The stages, and beside them what they do not declare."""
    found = {one.stage: one for one in report.found}
    told = {name for name, one in found.items() if not one.clean or one.unused}
    few = len(report.stages.nodes) <= STAGES
    shown = [node for node in report.stages.nodes if node.id in found and (few or node.id in told)]
    nodes = [_stage(node, found[node.id]) for node in shown]
    files: dict[str, list[tuple[str, str, str]]] = {}
    edges = list(report.stages.edges)
    for node in shown:
        for path, outside, kind, maker in _drawn(found[node.id]):
            files.setdefault(path, []).append((node.id, kind, outside))
            if maker:
                edges.append(Edge(maker, f'path:{path}', path))
            ends = (node.id, f'path:{path}') if kind in ('write', 'remove') else (f'path:{path}', node.id)
            edges.append(Edge(*ends, path))
    return Drawing(report.title, (*nodes, *(_file(path, users) for path, users in files.items())), tuple(edges))


def _drawn(one: Audited) -> Iterator[tuple[str, str, str, str]]:
    """(path, where, what was done with it, who makes it), as many as fit into a picture; of many in a folder the folder."""
    for kind in WORDS:
        folders: dict[tuple[str, bool, str], list[str]] = {}
        for row in one.undeclared:
            if row.kind == kind:
                folders.setdefault((row.path.rpartition('/')[0], row.outside, row.maker), []).append(row.path)
        shown: list[tuple[str, str, str, str]] = []
        for (folder, outside, maker), paths in folders.items():
            names = [f'{folder}/ ({len(paths):,} files)'] if folder and len(paths) > MANY else paths
            shown += [(name, 'outside the project' if outside else '', kind, maker) for name in names]
        yield from shown[:FILES]
        if len(shown) > FILES:
            yield f'{len(shown) - FILES:,} more of {one.stage}', '', kind, ''
    for dep in one.unused[:FILES]:
        yield dep.dep, '', 'unused', ''


def _stage(node: Node, one: Audited) -> Node:
    state = 'unseen' if not one.whole or one.state not in ('done', '') else 'declared' if one.clean else 'undeclared'
    counts = {word: sum(row.kind == kind for row in one.undeclared) for kind, word in WORDS.items()}
    said = [f'{word} {count:,}' for word, count in counts.items() if count]
    said += [f'{one.beyond:,} more'] if one.beyond else []
    said += [f'{len(one.unused)} not opened'] if one.unused else []
    said = [one.state, *said] if one.state not in ('done', '') else said if one.whole else ['not seen whole', *said]
    note = ', '.join(said) or 'all declared'
    details = [(WORDS[row.kind], f'{row.path}{remark(row)}') for row in one.undeclared]
    details += [('not opened', dep.dep) for dep in one.unused]
    return replace(node, note=note, state=state, details=(*details, *node.details))


def _file(path: str, users: Sequence[tuple[str, str, str]]) -> Node:
    done = dict.fromkeys(DONE.get(kind, 'not opened') for _, kind, _ in users)
    note = ', '.join((*done, *dict.fromkeys(outside for *_, outside in users if outside)))
    told = tuple((stage, DONE.get(kind, 'declared, and not opened')) for stage, kind, _ in users)
    unused = all(kind == 'unused' for _, kind, _ in users)
    return Node(f'path:{path}', path, 'data' if unused else 'unknown', note, '' if unused else 'undeclared', 1, told)


def markdown(report: AuditReport) -> str:
    lines = [MARK, f'# {plain(report.title)}', '', plain(report.verdict), '']
    listed = list(rows(report.found))
    if listed:
        lines += [f'| {" | ".join(HEAD)} |', f'|{" --- |" * len(HEAD)}']
        lines += [f'| {plain(stage)} | {what} | {foreign(path, 400) if path else ""} | {plain(told)} |'
                  for stage, what, path, told in listed[:LISTED]]  # fmt: skip
        if len(listed) > LISTED:
            lines += ['', f'{len(listed) - LISTED:,} more rows are in the page and in the JSON.']
    if len(listed) <= LISTED and any(one.undeclared for one in report.found):
        lines += ['', '```mermaid', mermaid(drawing(report)).rstrip('\n'), '```']
    if report.diff:
        longest = max(map(len, _TICKS.findall(report.diff)), default=0)
        fence = '`' * max(3, longest + 1)
        text = '\n'.join(HIDDEN.sub(REPLACED, line) for line in report.diff.splitlines())
        lines += ['', f'{fence}diff', text, fence]
    lines += ['', *(f'* {plain(sentence)}' for sentence in report.left)] if report.left else []
    return '\n'.join(lines) + '\n'


def html(report: AuditReport) -> str:
    above = f'<p class="{"good" if report.clean else "bad"}">{escape(report.verdict)}</p>'
    parts = []
    listed = list(rows(report.found))
    if listed:
        head = ''.join(f'<th>{escape(one)}</th>' for one in HEAD)
        body = ''.join(f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in listed)
        table = f'<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        parts.append(f'<h2>What was found</h2><div class="scroll">{table}</div>')
    if report.diff:
        parts.append(f'<h2>What would be declared</h2><pre>{"".join(map(_line, report.diff.splitlines()))}</pre>')
    if report.left:
        parts.append(f'<h2>By hand</h2><ul>{"".join(f"<li>{escape(one)}</li>" for one in report.left)}</ul>')
    return dag_page(drawing(report), (), STATES, above=above, below='\n'.join(parts))


def _line(text: str) -> str:
    tone = {'+': 'good', '-': 'bad', '@': 'soft'}.get(text[:1], '')
    return f'<span class="{tone}">{escape(text)}</span>\n' if tone else f'{escape(text)}\n'

