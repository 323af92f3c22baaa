"""The canonical text of Python code, format pyast-v1 (docs/formats/pyast.md): what its digest is taken of.

Standard library only and nothing of this package, so that any interpreter from 3.11 on can run this one file and the
tests can compare what they say.  Knows nothing of digests, files or keys.
"""
from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from importlib.util import decode_source
from typing import Any, NamedTuple

FILENAME = '<mlops pyast-v1>'  # what the parser's warnings are about, so that one filter meets ours and nobody else's
FAILURES = (SyntaxError, ValueError, LookupError, OverflowError, RecursionError, MemoryError)

# Never written: `ctx` follows from the place, `kind` is the u of u'', type comments are written by their own rule.
OMITTED = frozenset({'ctx', 'kind', 'type_comment', 'type_ignores'})
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
F_STRINGS = frozenset({'JoinedStr', 'TemplateStr'})  # by name: 3.14 has two classes that 3.11 lacks
REPLACEMENTS = frozenset({'FormattedValue', 'Interpolation'})

_QUIET = ('ignore', None, Warning, re.compile(re.escape(FILENAME)), 0)
_MAYBE_TYPE_COMMENT = re.compile(rb'#[ \t]*type:[ \t]*(?!ignore(?![0-9A-Za-z\x80-\xff]))')
_TYPE_COMMENT = re.compile(r'#[ \t]*type:[ \t]*(?!ignore(?![0-9A-Za-z\x80-\U0010ffff]))')
_MAYBE_SHOWN = re.compile(rb'=\s*(?:![rsa]\s*)?[:}]')  # the end of f'{x=}'

_ATOMS: dict[type, Callable[[Any], str]] = {
    str: ascii,
    bytes: ascii,
    bool: ascii,
    type(None): ascii,
    type(...): ascii,
    int: hex,  # decimal has a limit of 4,300 digits
    float: float.hex,
    complex: lambda value: f'{value.imag.hex()}j',  # a literal has no real part
}
_FIELDS: dict[type, tuple[str, ...]] = {}


class Section(NamedTuple):
    """A named piece of a module.  ``kind``: imports, module, function, class, method, constant or type; ``line`` counts
    from 1; ``text``: its canonical text, several pieces of one name one after the other."""

    name: str
    kind: str
    line: int
    text: bytes


def serialise(source: bytes, *, docstrings: bool = True) -> bytes | None:
    """The canonical text of a Python source file, without the line that names the format; ASCII.

    None where this interpreter cannot parse it, or is known to read something in it otherwise than its successors."""
    tree = _parse(source)
    comments = None if tree is None else _type_comments(source)
    if tree is None or comments is None:
        return None
    if not docstrings:
        _drop_docstrings(tree)
    lines = _write(tree)
    if comments:
        lines += _place(comments, _anchors(tree))
    return ('\n'.join(lines) + '\n').encode('ascii')


def sections(source: bytes, *, docstrings: bool = True) -> list[Section] | None:
    """The same text cut into what people have names for, in order of first appearance; None as for :func:`serialise`."""
    tree = _parse(source)
    comments = None if tree is None else _type_comments(source)
    if tree is None or comments is None:
        return None
    if not docstrings:
        _drop_docstrings(tree)
    spans: list[tuple[int, int, str]] = []
    found: dict[str, tuple[str, int, list[str]]] = {}
    for name, kind, node in _split(tree.body, ''):
        first = min([node.lineno, *(d.lineno for d in getattr(node, 'decorator_list', ()))])
        last = node.end_lineno or node.lineno
        spans.append((first, last, name))
        _, line, lines = found.get(name, (kind, first, []))
        lines += _write(node)
        found[name] = (kind, line, lines)
    anchors = _anchors(tree) if comments else []
    for comment in comments:
        first, last, name = next((s for s in reversed(spans) if s[0] <= comment[0] <= s[1]), (1, 0, '<module>'))
        _, _, lines = found.setdefault(name, ('module', comment[0], []))
        lines += _place([comment], [line for line in anchors if line >= first])
    return [Section(name, kind, line, ('\n'.join(lines) + '\n').encode('ascii'))
            for name, (kind, line, lines) in found.items()]


def _parse(source: bytes) -> ast.Module | None:
    # A filter for our file name alone, put first again whenever others went before it, and never taken away:
    # warnings.catch_warnings would swap the filters of all threads.
    if not warnings.filters or warnings.filters[0] != _QUIET:
        warnings.filterwarnings('ignore', category=Warning, module=re.escape(FILENAME))
    try:
        tree = ast.parse(source, FILENAME)
        if _misreads_shown_text() and _MAYBE_SHOWN.search(source) and _has_misread_text(tree, source):
            return None
    except FAILURES:
        return None
    return tree


def _write(root: ast.AST) -> list[str]:
    """One line a node, parents before children: the class, then its fields by name."""
    lines: list[str] = []
    emit = lines.append
    stack: list[Any] = [root]
    pop, push = stack.pop, stack.append
    while stack:
        node = pop()
        kind = type(node)
        if kind is ast.Name:  # these three are most of any program
            emit(f'Name id={node.id!a}')
        elif kind is ast.Constant:
            emit(f'Constant value={_atom(node.value)}')
        elif kind is ast.Attribute:
            emit(f'Attribute attr={node.attr!a} value')
            push(node.value)
        elif kind in _ATOMS:
            emit(_ATOMS[kind](node))
        else:
            line, children = _describe(node, kind)
            emit(line)
            if children:
                children.reverse()
                stack += children
    return lines


def _describe(node: Any, kind: type) -> tuple[str, list[Any]]:
    """The line of a node and its children, which follow it in this order."""
    line = kind.__name__
    if line == 'MatchSingleton':
        return f'MatchSingleton value={_atom(node.value)}', []
    if line in F_STRINGS:
        values = _merged(node.values)
        return (f'{line} values:{len(values)}' if values else line), values
    replacement = line in REPLACEMENTS
    children: list[Any] = []
    for field in _FIELDS.get(kind) or _fields(kind):
        value = getattr(node, field, None)
        if value is None:
            continue
        of = type(value)
        if of is list:
            if value:
                line += f' {field}:{len(value)}'
                children += value
        elif of in _ATOMS:
            if (value or of is not int) and not (replacement and value == -1):
                line += f' {field}={_ATOMS[of](value)}'
        elif not (_FIELDS.get(of) or _fields(of)):
            line += f' {field}={of.__name__}'  # an operator
        elif not (replacement and field == 'format_spec' and not _merged(value.values)):
            line += f' {field}'
            children.append(value)
    return line, children


def _fields(kind: type) -> tuple[str, ...]:
    found = tuple(sorted(set(getattr(kind, '_fields', ())) - OMITTED))
    _FIELDS[kind] = found
    return found


def _atom(value: object) -> str:
    write = _ATOMS.get(type(value))
    return write(value) if write else f'{type(value).__name__}({value!a})'


def _merged(values: list[Any]) -> list[Any]:
    """The pieces of an f-string with neighbouring text as one str and empty text left out: 3.12 adds some."""
    merged: list[Any] = []
    for value in values:
        if type(value) is not ast.Constant:
            merged.append(value)
        elif merged and type(merged[-1]) is str:
            merged[-1] += str(value.value)
        elif value.value:
            merged.append(value.value)
    return merged


def _drop_docstrings(tree: ast.Module) -> None:
    for node in _statements(tree):
        match node:
            case ast.Module(body=[ast.Expr(value=ast.Constant(value=str())), *rest]):
                node.body = rest
            case (ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())) as docstring, *rest])
                  | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as docstring, *rest])
                  | ast.AsyncFunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as docstring, *rest])):
                node.body = rest or [ast.copy_location(ast.Pass(), docstring)]  # whoever takes it away must write pass


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The module, its statements and what holds statements (handlers, cases), but no expression."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        yield node
        for field in _FIELDS.get(type(node)) or _fields(type(node)):
            value = getattr(node, field, None)
            if type(value) is list:
                stack += [child for child in value if isinstance(child, ast.AST) and not isinstance(child, ast.expr)]


def _split(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str, Any]]:
    """Every statement of a module (or class, prefix ``Net.``) with the name and kind of the section it belongs to.
    Takes its methods and inner classes out of a class: they come after it."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield prefix + node.name, 'method' if prefix else 'function', node
            case ast.ClassDef():
                inner = [child for child in node.body if isinstance(child, DEFINITIONS)]
                node.body = [child for child in node.body if not isinstance(child, DEFINITIONS)]
                yield prefix + node.name, 'class', node
                yield from _split(inner, f'{prefix}{node.name}.')
            case ast.Import() | ast.ImportFrom():
                yield '<imports>', 'imports', node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, 'constant', node
            case _ if type(node).__name__ == 'TypeAlias':
                yield node.name.id, 'type', node  # type: ignore[attr-defined]  # since 3.12
            case _:
                yield '<module>', 'module', node


# Type comments.  Not as ast.parse(type_comments=True) gives them: it refuses files with such a comment in another
# place, and up to 3.12 reads `with (a, b):  # type: X` as one pair.

def _type_comments(source: bytes) -> list[tuple[int, str]] | None:
    """(line, text) of the comments that start with ``# type:``, less ``# type: ignore``; None if it has no tokens."""
    if not _MAYBE_TYPE_COMMENT.search(source):
        return []
    readline = io.BytesIO(source.replace(b'\r\n', b'\n').replace(b'\r', b'\n')).readline
    try:
        comments = [token for token in tokenize.tokenize(readline) if token.type == tokenize.COMMENT]
    except (*FAILURES, tokenize.TokenError):
        return None
    return [(comment.start[0], comment.string[found.end():].strip())
            for comment in comments if (found := _TYPE_COMMENT.match(comment.string))]


def _anchors(tree: ast.Module) -> list[int]:
    """The first lines of all statements and parameters of functions, sorted: a comment belongs to the last before it."""
    lines = []
    for node in _statements(tree):
        if isinstance(node, ast.stmt):
            lines.append(node.lineno)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            named = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
            lines += [parameter.lineno for parameter in named if parameter]
    return sorted(lines)


def _place(comments: list[tuple[int, str]], anchors: list[int]) -> list[str]:
    return [f'TypeComment after={bisect_right(anchors, line):#x} text={text!a}' for line, text in comments]


# The text that f'{x=}' shows.  Some releases of 3.12 and 3.13 cut it at != and at # in a string.

_misreads: list[bool] = []


def _misreads_shown_text() -> bool:
    if not _misreads:
        shown = ast.parse('f"{a!=b=}", f"{\'#\'=}"')
        _misreads.append("'a!=b='" not in ast.dump(shown) or '"\'#\'="' not in ast.dump(shown))
    return _misreads[0]


def _has_misread_text(tree: ast.AST, source: bytes) -> bool:
    """Whether an f-string shows text that this interpreter may have cut.  Only for 3.12 and up, which know the place of
    each part of an f-string."""
    lines = [line.encode() for line in decode_source(source).split('\n')]
    for node in ast.walk(tree):
        if type(node) is not ast.FormattedValue:
            continue
        start, end, stop = (node.lineno, node.col_offset), _end(node.value), _end(node)
        after = _between(lines, end, stop).lstrip(b' \t\f\n)')
        shown = _between(lines, start, end)
        if after[:1] == b'#' or (after[:1] == b'=' and (b'!=' in shown or b'#' in shown)):
            return True
    return False


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def _between(lines: list[bytes], start: tuple[int, int], end: tuple[int, int]) -> bytes:
    """The source from one place to another, as (line from 1, bytes of UTF-8 from 0)."""
    text = b'\n'.join(lines[start[0] - 1:end[0]])
    return text[start[1]:len(text) - len(lines[end[0] - 1]) + end[1]]
