"""The canonical text of Python code, format pyast-v1 (docs/formats/pyast.md): what its digest is taken of.

Standard library only and nothing of this package, so that any interpreter from 3.11 on can run this one file and the
tests can compare what they say.  Knows nothing of digests, files or keys.
"""
from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from importlib.util import decode_source
from typing import Any, NamedTuple

FILENAME = '<mlops pyast-v1>'  # what the parser's warnings are about, so that one filter meets ours and nobody else's
FAILURES = (SyntaxError, ValueError, LookupError, OverflowError, RecursionError, MemoryError, tokenize.TokenError)

# Never written: `ctx` follows from the place, `kind` is the u of u'', type comments are written by their own rule.
OMITTED = frozenset({'ctx', 'kind', 'type_comment', 'type_ignores'})
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
TEXT_NODES = frozenset({'JoinedStr', 'FormattedValue', 'TemplateStr', 'Interpolation'})  # by name: 3.11 lacks two

_QUIET = ('ignore', None, Warning, re.compile(re.escape(FILENAME)), 0)
_MAYBE_TYPE_COMMENT = re.compile(rb'#[ \t]*type:[ \t]*+(?!ignore(?![0-9A-Za-z\x80-\xff]))')
_TYPE_COMMENT = re.compile(r'#[ \t]*type:[ \t]*+(?!ignore(?![0-9A-Za-z\x80-\U0010ffff]))')
_SHOWS = re.compile(rb'=\s*[!:}]')  # as at the end of f'{x=}'
_PLACES_IN_F_STRINGS = sys.version_info >= (3, 12)
_SHOWN = re.compile(rb'[\s)]*(#[^\n]*\n[\s)]*)*=\s*')  # from the end of the expression


class _Atoms(dict[type, Callable[[Any], str]]):
    """How values that are no nodes are written: as Python's ascii() does, but for numbers."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        return lambda value: f'{kind.__name__}({value!a})'  # a constant that no release has yet


_ATOMS = _Atoms({
    str: ascii,
    bytes: ascii,
    bool: ascii,
    type(None): ascii,
    type(...): ascii,
    int: hex,  # decimal has a limit of 4,300 digits
    float: float.hex,
    complex: lambda value: f'{value.imag.hex()}j',  # a literal has no real part
})


class _Fields(dict[type, tuple[str, ...]]):
    """The names of the fields of a class of nodes, sorted; of anything else none."""

    def __missing__(self, kind: type) -> tuple[str, ...]:
        found = self[kind] = tuple(sorted(set(getattr(kind, '_fields', ())) - OMITTED))
        return found


_FIELDS = _Fields()


class Section(NamedTuple):
    """A named piece of a module.  ``kind``: docstring, imports, module, function, class, method, constant or type; ``line``
    counts from 1; ``text``: its canonical text, several pieces of one name one after the other."""

    name: str
    kind: str
    line: int
    text: bytes


def serialise(source: bytes, *, docstrings: bool = True) -> bytes | None:
    """The canonical text of a Python source file, without the line that names the format; ASCII.

    None where this interpreter cannot parse it, or is known to read something in it otherwise than its successors."""
    module = _read(source, docstrings)
    if module is None:
        return None
    f_strings: list[Any] = []
    lines = _write(module.tree, f_strings) + _place(module.comments, module.anchors)
    return None if _misread(f_strings, source) else _text(lines)


def sections(source: bytes, *, docstrings: bool = True) -> list[Section] | None:
    """The same text cut into what people have names for, in order of first appearance; None as for :func:`serialise`."""
    module = _read(source, docstrings)
    if module is None:
        return None
    spans: list[tuple[int, int, str]] = []
    found: dict[str, tuple[str, int, list[str]]] = {}
    f_strings: list[Any] = []
    for name, kind, node in _split(module.tree.body, ''):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, 'decorator_list', ()))])
        spans.append((first, node.end_lineno, name))
        _, line, lines = found.get(name, (kind, first, []))
        lines += _write(node, f_strings)
        found[name] = (kind, line, lines)
    for comment in module.comments:
        at = comment[0]
        first, _, name = next((span for span in reversed(spans) if span[0] <= at <= span[1]), (1, 0, '<module>'))
        _, _, lines = found.setdefault(name, ('module', at, []))
        lines += _place([comment], [line for line in module.anchors if line >= first])
    if _misread(f_strings, source):
        return None
    return [Section(name, kind, line, _text(lines)) for name, (kind, line, lines) in found.items()]


class _Module(NamedTuple):
    tree: ast.Module
    comments: list[tuple[int, str]]  # line, text
    anchors: list[int]  # lines; empty where there is no comment to place


def _read(source: bytes, docstrings: bool) -> _Module | None:
    # A filter for our file name alone, put first again whenever others went before it, and never taken away:
    # warnings.catch_warnings would swap the filters of all threads.
    if not warnings.filters or warnings.filters[0] != _QUIET:
        warnings.filterwarnings('ignore', category=Warning, module=re.escape(FILENAME))
    try:
        tree = ast.parse(source, FILENAME)
        comments = _type_comments(source)
    except FAILURES:
        return None
    if not docstrings:
        _drop_docstrings(tree)
    return _Module(tree, comments, _anchors(tree) if comments else [])


def _text(lines: list[str]) -> bytes:
    return ('\n'.join(lines) + '\n').encode('ascii')


def _write(root: ast.AST, f_strings: list[Any]) -> list[str]:
    """One line a node, parents before children: the class, then its fields by name.  Adds to ``f_strings`` what it meets."""
    lines: list[str] = []
    stack: list[Any] = [root]
    emit, pop, push, fields, atoms = lines.append, stack.pop, stack.append, _FIELDS, _ATOMS
    while stack:
        node = pop()
        kind = type(node)
        if kind is ast.Name:  # these three are most of any program
            emit(f'Name id={node.id!a}')
        elif kind is ast.Constant:
            emit(f'Constant value={atoms[type(node.value)](node.value)}')
        elif kind is ast.Attribute:
            emit(f'Attribute attr={node.attr!a} value')
            push(node.value)
        elif kind in atoms:
            emit(atoms[kind](node))
        else:
            line = kind.__name__
            if line in TEXT_NODES:
                _normalise(node, f_strings)
            children: list[Any] = []
            for field in fields[kind]:
                value = getattr(node, field, None)
                if value is None:
                    continue
                of = type(value)
                if of is list:
                    if value:
                        line += f' {field}:{len(value)}'
                        children += value
                elif of in atoms:
                    if value or of is not int:
                        line += f' {field}={atoms[of](value)}'
                elif fields[of]:
                    line += f' {field}'
                    children.append(value)
                else:
                    line += f' {field}={of.__name__}'  # an operator
            emit(line)
            children.reverse()
            stack += children
    return lines


def _normalise(node: Any, f_strings: list[Any]) -> None:
    """Makes one of the ways in which releases describe the same f-string, or a part of one."""
    if hasattr(node, 'values'):
        node.values = _merged(node.values)
        f_strings.append(node)
        return
    if node.conversion == -1:
        node.conversion = None
    if node.format_spec is not None and not _merged(node.format_spec.values):
        node.format_spec = None


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
        for field in _FIELDS[type(node)]:
            value = getattr(node, field, None)
            if type(value) is list:
                stack += [child for child in value if isinstance(child, ast.AST) and not isinstance(child, ast.expr)]


def _split(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, str, Any]]:
    """Every statement of a module (or class, prefix ``Net.``) with the name and kind of the section it belongs to.
    Takes its methods and inner classes out of a class: they come after it."""
    for place, node in enumerate(body):
        match node:
            case ast.Expr(value=ast.Constant(value=str())) if not place and not prefix:
                yield '<docstring>', 'docstring', node
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
                yield name, 'function' if isinstance(node.value, ast.Lambda) else 'constant', node
            case _ if type(node).__name__ == 'TypeAlias':
                yield node.name.id, 'type', node  # type: ignore[attr-defined]  # since 3.12
            case _:
                yield '<module>', 'module', node


# Type comments.  Not as ast.parse(type_comments=True) gives them: it refuses files with such a comment in another
# place, and up to 3.12 reads `with (a, b):  # type: X` as one pair.

def _type_comments(source: bytes) -> list[tuple[int, str]]:
    """(line, text) of the comments that start with ``# type:``, less ``# type: ignore``.  Raises FAILURES."""
    if not _MAYBE_TYPE_COMMENT.search(source):
        return []
    readline = io.BytesIO(source.replace(b'\r\n', b'\n').replace(b'\r', b'\n')).readline
    comments = [token for token in tokenize.tokenize(readline) if token.type == tokenize.COMMENT]
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


# What releases from 3.12 on do not agree about.  Some of 3.12 to 3.14 cut the text that f'{x=}' shows at a !=, a #, a ::
# or a lambda; some take the backslash out of rf'{x:\d}'; and {{ behind {y} in a format changed its sense.

def _misread(f_strings: list[Any], source: bytes) -> bool:
    """Whether this interpreter may have read one of the f-strings wrongly.  Only from 3.12 on do their parts know their
    place; 3.11 reads them all well."""
    if not _PLACES_IN_F_STRINGS:
        return False
    formats = {id(value.format_spec) for node in f_strings for value in node.values if getattr(value, 'format_spec', None)}
    if not formats and not _SHOWS.search(source):
        return False
    try:
        lines = [line.encode() for line in decode_source(source).split('\n')]
    except FAILURES:
        return True
    return any(_is_misread(node, lines, id(node) in formats) for node in f_strings)


def _is_misread(f_string: Any, lines: list[bytes], is_format: bool) -> bool:
    before = b''
    for value in f_string.values:
        if type(value) is str:
            before = value.encode('utf-8', 'surrogatepass')
            continue
        after = _between(lines, _end(value.value), _end(value))
        equals = _SHOWN.match(after)
        if equals:
            shown = _between(lines, (value.lineno, value.col_offset + 1), _end(value.value)) + equals.group()
            if is_format or not before.endswith(shown):  # a comment in between is not shown, and so no end either
                return True
        if value.format_spec and (b'\\' in after or b'{{' in after):
            return True
        before = b''
    return False


def _end(node: Any) -> tuple[int, int]:
    return node.end_lineno, node.end_col_offset


def _between(lines: list[bytes], start: tuple[int, int], end: tuple[int, int]) -> bytes:
    """The source from one place to another, as (line from 1, bytes of UTF-8 from 0)."""
    text = b'\n'.join(lines[start[0] - 1:end[0]])
    return text[start[1]:len(text) - len(lines[end[0] - 1]) + end[1]]
