"""What Python code means: which edits count, which do not, and that every Python says the same."""
from __future__ import annotations

import ast
import hashlib
import json
import random
import re
import sys
import sysconfig
import threading
import tokenize
import warnings
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.digest import digest_of
from mlops_cli.fingerprint.pyast import PREFIX, changed_parts, meaning, parts
from mlops_cli.fingerprint.pyast_text import FILENAME, sections, serialise
from tests.support import pythons
from tests.support.pyast_rebuild import rebuild

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/golden/pyast'
EXPECTED = json.loads((GOLDEN / 'digests.json').read_text())
FILES = {str(GOLDEN / name): expected for name, expected in EXPECTED.items()}
SAMPLE = 200


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split('.')))


HERE = '.'.join(map(str, sys.version_info[:2]))


def standard_library() -> list[str]:
    found = sorted(str(path) for path in Path(sysconfig.get_path('stdlib')).rglob('*.py') if 'site-packages' not in path.parts)
    assert len(found) > 1000
    return found


def sample(count: int, *, largest: int = 40_000) -> list[str]:
    small = [path for path in standard_library() if Path(path).stat().st_size < largest]
    return random.Random(20).sample(small, count)


# The golden corpus.

def disagreements(version: str, answers: dict[str, str | None], *, docstrings: bool = True) -> list[str]:
    """What is wrong with an interpreter's texts of the corpus, by file; the digest it should have had or has."""
    wrong = []
    for file, expected in FILES.items():
        text = answers[file]
        said = None if text is None else str(digest_of(PREFIX + text.encode()))
        wanted = expected['digest'] if docstrings else expected.get('without docstrings', expected['digest'])
        if wanted and _version(version) < _version(expected['since']):
            wanted = None
        if said != wanted and not (said is None and expected.get('doubtful')):
            wrong.append(f'{version} {Path(file).name}: {said}, not {wanted}')
    return wrong


def test_the_corpus_is_complete() -> None:
    present = {path.name for path in GOLDEN.iterdir() if path.name.endswith(('.py', '.py.txt'))}
    assert present == EXPECTED.keys()
    assert len(present) >= 100
    assert {expected['since'] for expected in EXPECTED.values()} == {None, *pythons.VERSIONS}


@pytest.mark.parametrize('docstrings', [True, False])
def test_this_python_agrees_with_the_corpus(docstrings: bool) -> None:
    texts = {file: serialise(Path(file).read_bytes(), docstrings=docstrings) for file in FILES}
    answers = {file: None if text is None else text.decode() for file, text in texts.items()}
    assert not disagreements(HERE, answers, docstrings=docstrings)
    for file, text in texts.items():
        assert meaning(Path(file).read_bytes(), docstrings=docstrings) == (digest_of(PREFIX + text) if text else None)


@pytest.mark.parametrize('docstrings', [True, False])
@pytest.mark.parametrize('version', pythons.VERSIONS)
def test_another_python_agrees_with_the_corpus(version: str, docstrings: bool) -> None:
    python = pythons.interpreters().get(version)
    if not python:
        pytest.skip(f'no Python {version} in ~/.pyenv/versions or on PATH')
    assert not disagreements(version, pythons.texts(python, FILES, docstrings=docstrings, whole=True), docstrings=docstrings)


@pytest.mark.full
@pytest.mark.parametrize('docstrings', [True, False])
def test_python_3_14_in_node_agrees_with_the_corpus(docstrings: bool) -> None:
    package = pythons.pyodide()
    if isinstance(package, str):
        pytest.skip(package)
    answers = pythons.texts_in_node(package, FILES, docstrings=docstrings, whole=True)
    assert not disagreements('3.14', answers, docstrings=docstrings)


def test_new_syntax_for_an_old_thing_means_the_old_thing() -> None:
    expected = EXPECTED['except_bare.py.txt']
    assert expected['since'] == '3.14'
    old = (GOLDEN / 'except_bare.py.txt').read_bytes().replace(b'A, B', b'(A, B)').replace(b'C, D', b'(C, D)')
    assert str(meaning(old)) == expected['digest']


# The standard library.

def compare_on(files: list[str], *, in_node: bool = False) -> int:
    """How many answers of other interpreters were compared with ours; a file that one of them cannot parse is none."""
    ours = {}
    for file in files:
        text = serialise(Path(file).read_bytes())
        ours[file] = text and hashlib.sha256(text).hexdigest()
    others = {version: pythons.texts(python, files) for version, python in pythons.interpreters().items() if version != HERE}
    if in_node:
        package = pythons.pyodide()
        if isinstance(package, str):
            pytest.skip(package)
        others['3.14 in node'] = pythons.texts_in_node(package, files)
    if not others:
        pytest.skip(f'no Python but {HERE} in ~/.pyenv/versions or on PATH')
    compared = [(version, file) for version, said in others.items() for file in files if said[file] and ours[file]]
    assert not [(version, file) for version, file in compared if others[version][file] != ours[file]]
    assert len(compared) > 0.9 * len(files) * len(others)
    return len(compared)


def test_all_pythons_agree_on_a_sample_of_the_standard_library() -> None:
    compare_on(sample(SAMPLE))


@pytest.mark.full
def test_all_pythons_agree_on_the_standard_library() -> None:
    compare_on(standard_library())


@pytest.mark.full
def test_python_3_14_in_node_agrees_on_the_standard_library() -> None:
    compare_on(sample(800, largest=100_000), in_node=True)


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


# Parts.

BEFORE = b'''"""A model."""
import json

LEARNING_RATE = 0.1
SIZES: list = [1]


def normalise(x):
    """Zero mean."""
    return x - x.mean()


class Net(Base):
    """A net."""
    width = 3

    def forward(self, x):
        """One step."""
        return x

    class Options:
        deep = True

        def show(self):
            pass


def old():
    pass


if __name__ == '__main__':
    old()
'''


def edited(*edits: tuple[bytes, bytes]) -> bytes:
    source = BEFORE
    for old, new in edits:
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def test_parts_have_names() -> None:
    assert list(parts(BEFORE)) == ['<docstring>', '<imports>', 'LEARNING_RATE', 'SIZES', 'normalise', 'Net', 'Net.forward',
                                   'Net.Options', 'Net.Options.show', 'old', '<module>']


def test_a_part_changes_alone() -> None:
    before, after = parts(BEFORE), parts(edited((b'return x\n', b'return -x\n')))
    assert {name for name in before if before[name] != after[name]} == {'Net.forward'}


def test_parts_of_one_name_are_one() -> None:
    source = b'@property\ndef a(): pass\n@a.setter\ndef a(x): pass\n'
    assert list(parts(source)) == ['a']
    assert parts(source)['a'] != parts(source.replace(b'(x)', b'(y)'))['a']
    assert parts(b'x = 1\nx = 2')['x'] != parts(b'x = 2\nx = 1')['x']


def test_parts_do_not_depend_on_where_they_stand() -> None:
    assert parts(b'\n\nimport a\n# moved\ndef f(): pass')['f'] == parts(b'def f():\n\tpass')['f']


def test_parts_of_a_file_cover_it() -> None:
    """Each line of the whole text, but for those of the module and of classes, is in a part."""
    for file in sample(10):
        source = Path(file).read_bytes()
        whole = (serialise(source) or b'').split(b'\n')
        cut = [line for section in sections(source) or () for line in section.text.split(b'\n')]

        def counted(lines: list[bytes]) -> list[bytes]:
            return sorted(line for line in lines if line and not line.startswith((b'Module', b'ClassDef', b'TypeComment')))

        assert counted(whole) == counted(cut)


@pytest.mark.parametrize(('edits', 'phrases'), [
    ([], ()),
    ([(b'import json', b'import json  # comment')], ()),
    ([(b'x - x.mean()', b'x - x.mean(0)')], ('function normalise changed',)),
    ([(b'def normalise', b'async def normalise')], ('function normalise changed',)),
    ([(b'return x\n', b'return -x\n')], ('method Net.forward changed',)),
    ([(b'Net(Base)', b'Net(Other)')], ('class Net changed',)),
    ([(b'width = 3', b'width = 4')], ('class Net changed',)),
    ([(b'deep = True', b'deep = False')], ('class Net.Options changed',)),
    ([(b'import json', b'import json, os')], ('imports changed',)),
    ([(b'import json\n', b'')], ('imports changed',)),
    ([(b'= 0.1', b'= 0.2')], ('constant LEARNING_RATE changed',)),
    ([(b'SIZES: list', b'SIZES: tuple')], ('constant SIZES changed',)),
    ([(b'    old()', b'    old(1)')], ('module-level code changed',)),
    ([(b'def old():', b'def new():')], ('function old removed', 'function new added')),
    ([(b'class Options:', b'class Choices:')], ('class Net.Options removed', 'class Net.Choices added')),
    ([(b'def forward', b'def backward')], ('method Net.forward removed', 'method Net.backward added')),
    ([(b'class Net(', b'class Web(')], ('class Net removed', 'class Web added')),
    ([(b'LEARNING_RATE = 0.1\n', b'')], ('constant LEARNING_RATE removed',)),
    ([(b'= 0.1\n', b'= 0.1\nlate = 1\n')], ('constant late added',)),
    ([(b'Zero mean.', b'No mean.')], ('docstring of function normalise changed',)),
    ([(b'One step.', b'Two steps.')], ('docstring of method Net.forward changed',)),
    ([(b'A net.', b'A graph.')], ('docstring of class Net changed',)),
    ([(b'A model.', b'Models.')], ('docstring of the module changed',)),
    ([(b'"""A model."""\n', b'')], ('docstring of the module changed',)),
    ([(b'Zero mean.', b'No mean.'), (b'x - x.mean()', b'x')], ('function normalise changed',)),
    ([(b'= [1]', b'= [1]  # type: list[int]')], ('constant SIZES changed',)),
    ([(b'json', b'os'), (b'= 0.1', b'= 0.2'), (b'x.mean()', b'1'), (b'return x\n', b'pass\n'), (b'    old()', b'    f()')],
     ('imports changed', 'constant LEARNING_RATE changed', 'function normalise changed', 'method Net.forward changed',
      'module-level code changed')),
])
def test_what_changed_is_said_in_words(edits: list[tuple[bytes, bytes]], phrases: tuple[str, ...]) -> None:
    assert changed_parts(BEFORE, edited(*edits)) == phrases


def test_what_is_gone_stands_where_it_stood() -> None:
    before = b'def a(): pass\ndef b(): pass\ndef c(): pass\ndef d(): pass\n'
    after = b'def a(): 1\ndef c(): 1\ndef e(): pass\n'
    assert changed_parts(before, after) == (
        'function a changed', 'function b removed', 'function c changed', 'function d removed', 'function e added')


def test_a_changed_order_is_said() -> None:
    assert changed_parts(b'def f(): a\ndef g(): b\n', b'def g(): b\ndef f(): a\n') == ('order of definitions changed',)


def test_without_docstrings_a_new_one_is_no_change() -> None:
    assert changed_parts(BEFORE, edited((b'A net.', b'Changed.')), docstrings=False) == ()
    assert changed_parts(b'', b'"doc"', docstrings=False) == ()
    assert changed_parts(b'class A:\n  def f(self): 1\n', b'class A:\n  "doc"\n  def f(self): 1\n', docstrings=False) == ()


def test_whole_changes_and_part_changes_agree() -> None:
    """For every pair of the tables: something is said if and only if the meaning changed."""
    for pair in SAME:
        assert changed_parts(*both(pair)) == ()
    for pair in DIFFERENT:
        assert changed_parts(*both(pair))
