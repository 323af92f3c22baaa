"""What Python code means: which edits count and which do not, and what cannot be read."""
from __future__ import annotations

import ast
import re
import threading
import time
import tokenize
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.digest import digest_of
from mlops_cli.fingerprint.parsing import SOURCE_LIMIT
from mlops_cli.fingerprint.pyast import changed_parts, meaning, parts
from mlops_cli.fingerprint.pyast_text import FILENAME, sections, serialise
from mlops_cli.fingerprint.pyimports import facts_of, facts_of_large
from tests.support.pyast_rebuild import rebuild
from tests.support.stdlib import sample

ROOT = Path(__file__).parents[2]
@pytest.mark.parametrize('file', sample(40), ids=lambda file: Path(file).name)
def test_the_standard_library_keeps_its_meaning(file: str) -> None:
    source = Path(file).read_bytes()
    text = serialise(source)
    if text is None:
        pytest.skip(f'{file}: made to be unparsable')
    tree = ast.parse(source)
    if b'\nTypeComment' not in text:
        assert serialise(ast.unparse(tree).encode('utf-8', 'surrogatepass')) == text
    assert serialise(with_comments(source)) == text
    assert ast.unparse(rebuild(text.decode())) == ast.unparse(tree), 'the text keeps all there is to say'


def with_comments(source: bytes) -> bytes:
    """A comment behind every logical line, and an empty line after it."""
    lines = source.replace(b'\r\n', b'\n').split(b'\n')
    for token in tokenize.tokenize(BytesIO(b'\n'.join(lines)).readline):
        if token.type == tokenize.NEWLINE and token.string and b'#' not in lines[token.start[0] - 1]:
            lines[token.start[0] - 1] += b'  # note\n'
    return b'\n'.join(lines)


# What counts.

SAME = [
    ('x = 1', 'x = 1  # comment\n\n\n# another'),
    ('x = 1', 'x=1'),
    ('x = 1', '(x) = (1)'),
    ('x = 1; y = 2', 'x = 1\ny = 2'),
    ('if a: b', 'if a:\n\n        b'),
    ('if a:\n    b', 'if a:\n\tb'),
    ('if a: b\nelse:\n  if c: d', 'if a: b\nelif c: d'),
    ("x = 'a'", 'x = "a"'),
    ("x = 'a'", "x = '''a'''"),
    ("x = 'a'", "x = u'a'"),
    ("x = 'a'", "x = '\\x61'"),
    ("x = 'ab'", "x = 'a' 'b'"),
    ("x = 'ab'", "x = ('a'  # one\n     'b')"),
    ("x = 'ab'", "x = 'a\\\nb'"),
    ("x = '\\\\d'", "x = r'\\d'"),
    ("x = '\\\\d'", "x = '\\d'"),
    ('x = 1000', 'x = 1_000'),
    ('x = 1000', 'x = 0x3e8'),
    ('x = 1000.0', 'x = 1e3'),
    ('x = .1', 'x = 0.1000000000000000000001'),
    ('f(a, b)', 'f(\n    a,\n    b,\n)'),
    ('x = a + b', 'x = a + \\\n    b'),
    ('x = a + b', 'x = (a\n     + b)'),
    ('(a, b) = c', 'a, b = c'),
    ('x = (a,)', 'x = a,'),
    ('from a import b, c', 'from a import (b,\n    c)'),
    ('with (a as b, c as d): pass', 'with a as b, c as d: pass'),
    ('class A: pass', 'class A(): pass'),
    ('return_ = (yield_)', 'return_ = yield_'),
    ('a * b + c', '(a * b) + c'),
    ('x = a[(b, c)]', 'x = a[b, c]'),
    ("f'{a}b'", "f'{a}' 'b'"),
    ("f'{a}'", "f'{ a }'"),
    ("f'{a:}'", "f'{a}'"),
    ("f'{a!r}'", "f'''{a!r}'''"),
    ("f'a={a!r}'", "f'{a=}'"),
    ('ﬁ = 1', 'fi = 1'),
    ('x = 1\ny = 2\n', 'x = 1\r\ny = 2\r\n'),
    ("x = '''a\nb'''", "x = '''a\r\nb'''"),
    ("x = 'é'", "\ufeffx = 'é'"),
    ('x = 1', 'x = 1  # type: ignore'),
    ('x = 1', 'x = 1  #type:ignore[name-defined]  # noqa'),
    ('x = 1  # type: int', 'x = 1 #type:int   '),
    ('def f(a):  # type: (int) -> int\n    pass', 'def f(a):\n    # type: (int) -> int\n    pass'),
    ('def f(a,  # type: int\n      b): pass', 'def f(\n    a,  # type: int\n\n    b,\n): pass'),
    ('try: a\nexcept (A): b', 'try: a\nexcept A: b'),
    ('del (a)', 'del a'),
    ('lambda: (a)', 'lambda: a'),
    ('@(a)\ndef f(): pass', '@a\ndef f(): pass'),
    ('assert (a), (b)', 'assert a, b'),
]

DIFFERENT = [
    ('x = 1', 'x = 2'),
    ('x = 1', 'y = 1'),
    ('x = 1', 'x = 1.0'),
    ('x = 1', 'x = True'),
    ('x = 1', "x = '1'"),
    ('x = 0', 'x = False'),
    ('x = 0', 'x = 0.0'),
    ('x = 0', 'x = 0j'),
    ('x = 0.0', 'x = -0.0'),
    ('x = None', "x = 'None'"),
    ('x = None', 'x = ...'),
    ('x = ...', 'x = Ellipsis'),
    ('x = True', "x = 'True'"),
    ("x = 'a'", "x = b'a'"),
    ("x = ''", "x = b''"),
    ("x = 'a'", "x = 'a '"),
    ("x = 'a'", "x = f'a'"),
    ("x = 'ab'", "x = 'a', 'b'"),
    ("x = '\\ud83d\\ude00'", "x = '\\U0001f600'"),
    ("x = '\\\\n'", "x = '\\n'"),
    ('x = 1e999', 'x = 1e308'),
    ('x = 9007199254740993', 'x = 9007199254740992'),
    ('x = 0.1', 'x = 0.10000000000000002'),
    ('x = 0x' + 'f' * 5000, 'x = 0x' + 'f' * 4999 + 'e'),
    ('a; b', 'b; a'),
    ('a', 'a; a'),
    ('pass', ''),
    ('a + b', 'a - b'),
    ('a + b', 'b + a'),
    ('a + b + c', 'a + (b + c)'),
    ('a < b < c', '(a < b) < c'),
    ('a and b and c', 'a and (b and c)'),
    ('a is b', 'a is not b'),
    ('not a in b', 'a not in b'),
    ('-a', '+a'),
    ('f(a, b)', 'f((a, b))'),
    ('f(a)', 'f(*a)'),
    ('f(*a)', 'f(**a)'),
    ('f(a=b)', 'f(b)'),
    ('f(a=1, b=2)', 'f(b=2, a=1)'),
    ('[a, b]', '(a, b)'),
    ('[a]', '{a}'),
    ('(a)', '(a,)'),
    ('{a: b}', '{a, b}'),
    ('{**a}', '{None: a}'),
    ('[x for x in y]', '(x for x in y)'),
    ('[x for x in y if a if b]', '[x for x in y if a and b]'),
    ('[x for x in y for z in w]', '[x for z in w for x in y]'),
    ('a[b:]', 'a[:b]'),
    ('a[b]', 'a[b,]'),
    ('a[::b]', 'a[b::]'),
    ('x: int', 'x: str'),
    ('x: int', '(x): int'),
    ('x: int = 1', 'x = 1'),
    ('x += 1', 'x = x + 1'),
    ('import a', 'import a as b'),
    ('import a.b', 'from a import b'),
    ('from a import b', 'from .a import b'),
    ('from . import b', 'from .. import b'),
    ('from a import *', 'from a import b'),
    ('def f(a): pass', 'def f(b): pass'),
    ('def f(a, b): pass', 'def f(a, *, b): pass'),
    ('def f(a, b): pass', 'def f(a, /, b): pass'),
    ('def f(*a): pass', 'def f(**a): pass'),
    ('def f(a, b=1): pass', 'def f(a=1, b=1): pass'),
    ('def f(*, a=1, b): pass', 'def f(*, a, b=1): pass'),
    ('def f(a: int): pass', 'def f(a): pass'),
    ('def f() -> int: pass', 'def f(): pass'),
    ('def f(): pass', 'async def f(): pass'),
    ('def f(): pass', 'def f(): return'),
    ('@a\n@b\ndef f(): pass', '@b\n@a\ndef f(): pass'),
    ('def f():\n  yield a', 'def f():\n  yield from a'),
    ('class A(B): pass', 'class A(metaclass=B): pass'),
    ('for a in b: pass', 'for a in b: pass\nelse: pass'),
    ('try: a\nexcept A: b', 'try: a\nexcept* A: b'),
    ('try: a\nexcept A: b', 'try: a\nexcept A as e: b'),
    ('try: a\nfinally: b', 'try: a\nexcept: b'),
    ('with a, b: pass', 'with (a, b) as c: pass'),
    ('raise a', 'raise a from None'),
    ('assert a, b', 'assert (a, b)'),
    ('def f(): global a', 'def f(): global b'),
    ('match a:\n case None: pass', 'match a:\n case True: pass'),
    ('match a:\n case None: pass', 'match a:\n case _: pass'),
    ('match a:\n case b: pass', 'match a:\n case b.c: pass'),
    ('match a:\n case [b]: pass', 'match a:\n case [*b]: pass'),
    ('match a:\n case A(b): pass', 'match a:\n case A(b=b): pass'),
    ('match a:\n case A(x=1, y=2): pass', 'match a:\n case A(y=1, x=2): pass'),
    ('match a:\n case {1: b}: pass', 'match a:\n case {1: b, **c}: pass'),
    ("f'{a}'", "f'{a!r}'"),
    ("f'{a!s}'", "f'{a!r}'"),
    ("f'{a}'", "f'{a:x}'"),
    ("f'{a:x}'", "f'{a:{x}}'"),
    ("f'{a=}'", "f'{a = }'"),
    ("f'{a}{b}'", "f'{a}' + f'{b}'"),
    ("'docstring'\nx = 1", "'another'\nx = 1"),
    ('def f():\n  "doc"', 'def f():\n  "dog"'),
    ('x = 1', 'x = 1  # type: int'),
    ('x = 1  # type: int', 'x = 1  # type: str'),
    ('x = 1  # type: int\ny = 2', 'x = 1\ny = 2  # type: int'),
    ('def f(a,  # type: int\n      b): pass', 'def f(a,\n      b  # type: int\n      ): pass'),
    ('x = [1]\n# type: prose', 'x = [1]\n# type: other prose'),
    ('x = [1,  # type: a\n     2]', 'x = [1,  # type: b\n     2]'),
    ('x = 1  # type: ignored', 'x = 1'),
]


def both(pair: tuple[str, str]) -> list[bytes]:
    return [text.encode() for text in pair]


def test_the_tables_are_long_enough() -> None:
    assert len(SAME) >= 30
    assert len(DIFFERENT) >= 40
    assert len(set(SAME)) == len(SAME)
    assert len(set(DIFFERENT)) == len(DIFFERENT)


@pytest.mark.parametrize('pair', SAME, ids=lambda pair: repr(pair[1])[:40])
def test_layout_does_not_count(pair: tuple[str, str]) -> None:
    one, two = both(pair)
    assert meaning(one) is not None
    assert serialise(one) == serialise(two)
    assert meaning(one) == meaning(two)


@pytest.mark.parametrize('pair', DIFFERENT, ids=lambda pair: repr(pair[1])[:40])
def test_every_edit_counts(pair: tuple[str, str]) -> None:
    one, two = map(meaning, both(pair))
    assert one is not None and two is not None
    assert one != two


def test_encodings_do_not_count() -> None:
    encoded = [("# coding: latin-1\nx = 'é'\n", 'latin-1'), ("# coding: utf-8\nx = 'é'\n", 'utf-8'), ("x = 'é'\n", 'utf-8-sig')]
    meanings = {meaning(text.encode(encoding)) for text, encoding in encoded}
    assert len(meanings) == 1
    assert None not in meanings


# Docstrings.

def test_docstrings_can_be_left_out() -> None:
    told = b'"""m"""\nx = 1\nclass A:\n  "c"\n  def f(self):\n    "f"\n    async def g():\n      "g"\n      return 1\n'
    bare = b'x = 1\nclass A:\n  def f(self):\n    async def g():\n      return 1\n'
    assert meaning(told) != meaning(bare)
    assert meaning(told, docstrings=False) == meaning(bare, docstrings=False) == meaning(bare)


def test_a_body_of_a_docstring_alone_is_pass() -> None:
    assert meaning(b'def f():\n    "doc"', docstrings=False) == meaning(b'def f(): pass')
    assert meaning(b'class A:\n    "doc"', docstrings=False) == meaning(b'class A: pass')
    assert meaning(b'"doc"', docstrings=False) == meaning(b'')


@pytest.mark.parametrize('source', ['x = 1\n"late"', 'def f():\n    b"bytes"', 'def f():\n    f"text"', 'if a:\n    "block"'])
def test_other_strings_are_no_docstrings(source: str) -> None:
    assert meaning(source.encode(), docstrings=False) == meaning(source.encode())


def test_only_the_first_string_is_a_docstring() -> None:
    source = b'class A:\n    "doc"\n    "second"\n    def f(self):\n        "doc"\n        "second"\n'
    without = b'class A:\n    "second"\n    def f(self):\n        "second"\n'
    assert serialise(source, docstrings=False) == serialise(without)
    taken = {section.name: section.text for section in sections(source, docstrings=False) or ()}
    assert taken == {section.name: section.text for section in sections(without) or ()}


def test_a_type_comment_keeps_its_place_without_docstrings() -> None:
    assert meaning(b'"doc"\nx = 1  # type: int', docstrings=False) == meaning(b'x = 1  # type: int')


# What cannot be parsed, and what is hard to parse.

@pytest.mark.parametrize('source', [
    b'def f(:', b'x = 1\0', b'\xff', b'# coding: klingon\nx', b'# coding: hex\n7831', b'x = 1' + b'0' * 5000,
    b'(' * 300 + b')' * 300, b'-' * 100_000 + b'1', b'a' + b'.b' * 100_000, b'+'.join([b'a'] * 100_000),
    b'if a: b\n' + b'elif c: d\n' * 50_000,
    b'x = "unfinished', b'if a:\nb', b'\tx', b'x = 1\\',
], ids=lambda source: repr(source[:12]))
def test_what_cannot_be_parsed_has_no_meaning(source: bytes) -> None:
    assert meaning(source) is None
    assert parts(source) == {}
    assert changed_parts(source, b'x = 1') == ()


@pytest.mark.parametrize('source', [
    b'-' * 900 + b'1', b'+'.join([b'a'] * 900), b'a' + b'.b' * 900, b'a' + b'()' * 900, b'if a: b\n' + b'elif c: d\n' * 900,
    b'lambda: ' * 900 + b'1', b' and '.join([b'a'] * 50_000), b'x = 1\n' * 20_000, b"'a' " * 20_000, b"f'{a}' " * 5000,
], ids=lambda source: repr(source[:12]))
def test_long_and_deep_code_has_a_meaning(source: bytes) -> None:
    assert meaning(source) is not None
    assert parts(source)


def test_what_is_too_large_to_parse_has_no_meaning() -> None:
    table = b'x = 1\n' * (SOURCE_LIMIT // 6)
    assert meaning(table) is not None and meaning(table + b'x = 1\n' * 2) is None
    assert parts(table + b'x = 1\n' * 2) == {} and 'larger than 2 MiB' in facts_of(table + b'x = 1\n' * 2).problem


def test_imports_of_a_large_source_are_found_where_they_begin_a_line() -> None:
    source = b'import os, helper\nfrom a.b import (c,\n  d)\n  from . import x as y\nif 1:\n    import late  # why\nimport (\n'
    facts = facts_of_large(source + b'x = 1\n' * (SOURCE_LIMIT // 6) + b'from last import *')
    assert [name for name, _, _ in facts.imports] == ['os', 'helper', 'a.b', '', 'late', 'last']
    assert facts.imports[2][2] == ('c', 'd') and 'larger than 2 MiB' in facts.problem
    began = time.process_time()
    for line in (b'import a%d\n', b'from a%d import (\n', b'import (((%d'):
        facts_of_large(b''.join(line % number for number in range(300_000)))
    assert time.process_time() - began < 20  # 2 s where it was measured


def test_threads_may_share_it() -> None:
    sources = [Path(file).read_bytes() for file in sample(10)]
    alone = [meaning(source) for source in sources]
    found: list[list[object]] = []
    threads = [threading.Thread(target=lambda: found.append([meaning(source) for source in sources])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 4


# Warnings.

WARNS = [b"x = '\\d'", b"b'\\d'", b'1if x else 2', b"x is 'a'", b"f'\\d{x}'", b"x = '\\d'  # type: str", b'assert (a, b)']


@pytest.mark.parametrize('source', WARNS)
def test_nothing_is_said_of_the_users_code(source: bytes) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter('always')
        assert meaning(source) is not None
    assert not heard
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert meaning(source) is not None


def test_the_warnings_of_others_are_still_heard() -> None:
    meaning(b"'\\d'")
    assert sum(FILENAME in str(getattr(item[3], 'pattern', '')).replace('\\', '') for item in warnings.filters) == 1
    with pytest.warns((SyntaxWarning, DeprecationWarning), match='invalid escape'):
        compile("'\\d'", 'theirs.py', 'exec')
    meaning(b"'\\d'")
    with pytest.raises(SyntaxError):  # a warning is an error in the tests
        compile("'\\d'", 'theirs.py', 'exec')


# The text.

@given(st.text(st.characters(codec=None, exclude_categories=())))
@settings(max_examples=200, deadline=None)
def test_strings_are_kept_to_the_last_surrogate(value: str) -> None:
    text = serialise(f'x = {value!a}'.encode())
    assert text is not None
    written = text.decode().split('\n')[3].removeprefix('Constant value=')
    assert ast.literal_eval(written) == value


@given(st.one_of(st.integers(min_value=0), st.floats(min_value=0, allow_nan=False, allow_infinity=False), st.binary()))
@settings(max_examples=200, deadline=None)
def test_numbers_and_bytes_are_kept(value: object) -> None:
    text = serialise(f'x = {value!r}'.encode())
    assert text is not None
    [assignment] = rebuild(text.decode()).body
    kept = assignment.value.value  # type: ignore[attr-defined]
    assert (type(kept), kept) == (type(value), value)


class Mode(ast.AST):
    _fields = ()


class Later(ast.stmt):
    _fields = ('value', 'items', 'mode', 'absent', 'none_yet', 'zero')


def test_unknown_nodes_and_fields_are_written_by_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [ast.Name(id='a'), 'b', None]
    node = Later(value=ast.Constant(value=frozenset({1})), items=items, mode=Mode(), none_yet=None, zero=0)
    monkeypatch.setattr(ast, 'parse', lambda *_: ast.Module(body=[node], type_ignores=[]))
    text = serialise(b'')
    assert text is not None
    assert text.decode().splitlines() == [
        'Module body:1',
        'Later items:3 mode=Mode value',
        "Name id='a'",
        "'b'",
        'None',
        'Constant value=frozenset(frozenset({1}))',
    ]


def test_the_vectors_of_the_page() -> None:
    page = (ROOT / 'docs/formats/pyast.md').read_text().split('## Vectors')[1].split('## Parts')[0]
    digests = re.findall(r'^`(blake3:\w{64})`$', page, re.M)
    sources = [source.encode() for source in re.findall(r'```python\n(.*?)```', page, re.S)]
    texts = [text.encode() for text in re.findall(r'```text\n(.*?)```', page, re.S)]
    function, sizes = sources
    assert [str(meaning(b'')), str(meaning(function)), str(meaning(function, docstrings=False)), str(meaning(sizes))] == digests
    assert [serialise(function), serialise(function, docstrings=False), serialise(sizes)] == texts
    assert serialise(b'') == b'Module\n'
    assert [str(digest_of(b'mlops pyast-v1\n' + text)) for text in (b'Module\n', *texts)] == digests


def test_words_and_digests_agree() -> None:
    """For every pair of the tables: something is said to have changed if and only if the meaning did."""
    for pair in SAME:
        assert changed_parts(*both(pair)) == ()
    for pair in DIFFERENT:
        assert changed_parts(*both(pair))
