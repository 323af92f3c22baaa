"""The YAML reader: what it takes, what it refuses and where, and that no file can hurt it."""
from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.errors import UserError, UserErrors, Where
from mlops_cli.yamlfile import PIPELINE, Limits, edit_value, examine, read


def value(text: str | bytes) -> Any:
    return read(text if isinstance(text, bytes) else text.encode(), 'f.yaml').value


def mistakes(text: str | bytes, limits: Limits = PIPELINE) -> list[tuple[str, str, str]]:
    """(place, message, hint) of each."""
    with pytest.raises(UserErrors) as caught:
        read(text if isinstance(text, bytes) else text.encode(), 'f', limits=limits)
    return [(str(error.where), error.message, error.hint) for error in caught.value.errors]


@pytest.mark.parametrize(('text', 'expected'), [
    ('no', 'no'), ('yes', 'yes'), ('on', 'on'), ('off', 'off'), ('y', 'y'), ('n', 'n'),
    ('true', True), ('True', True), ('FALSE', False), ('null', None), ('~', None), ('', None), ('Null', None),
    ('1e-4', 1e-4), ('1E3', 1000.0), ('.5', 0.5), ('1.', 1.0), ('-2.5', -2.5), ('1e+2', 100.0),
    ('1:30', '1:30'), ('1_000', '1_000'), ('2026-11-20', '2026-11-20'), ('0b11', '0b11'),
    ('0x1F', 31), ('0o17', 15), ('0', 0), ('-0', 0), ('+3', 3), ('-9223372036854775808', -2**63),
    ('9223372036854775807', 2**63 - 1),
    ('"no"', 'no'), ("'1'", '1'), ('"1e-4"', '1e-4'), ('"012"', '012'), ("''", ''), ('"a\\tb\\n"', 'a\tb\n'),
    ('nullable', 'nullable'), ('nope', 'nope'), ('=', '='), ('1.2.3', '1.2.3'), ('-', '-'), ('.', '.'), ('.inf.', '.inf.'),
])
def test_scalars_are_yaml_1_2(text: str, expected: Any) -> None:
    if text == '-':
        found = value('a: "-"')['a']
    else:
        found = value(f'a: {text}')['a']
    assert found == expected and type(found) is type(expected)


def test_structure() -> None:
    assert value('a: [1, {b: 2}]\nc:\n  - d\n  -\n    e: |\n      x\n      y\n') == {
        'a': [1, {'b': 2}], 'c': ['d', {'e': 'x\ny\n'}]}
    assert value('') is None and value('# nothing\n') is None and value('---\n') is None
    assert value('%YAML 1.2\n---\na: 1\n...\n') == {'a': 1}
    assert value('a: 1\r\nb: |\r\n  x\r\n') == {'a': 1, 'b': 'x\n'}
    assert value('a: &x [1, 2]\nb: *x\nc: *x') == {'a': [1, 2], 'b': [1, 2], 'c': [1, 2]}
    assert value('&k a: 1\nb: {*k : 2}') == {'a': 1, 'b': {'a': 2}}
    assert value('{"a":1,"b":[true,null]}') == {'a': 1, 'b': [True, None]}
    assert value('"<<": 1') == {'<<': 1}


SYNTAX = [
    ('a: 1\na: 2\nb: 1\n a: 3', 'f:4:3', 'a ":" that cannot stand here', 'indentation'),
    ('\ta: 1', 'f:1:1', 'a tab is used for indentation', 'spaces'),
    ('a:\n\t- b', 'f:2:1', 'a tab is used for indentation', 'spaces'),
    ('a: b: c', 'f:1:5', 'a ":" that cannot stand here', 'quote text that holds ": "'),
    ('a: @b', 'f:1:4', 'unquoted text cannot start with "@"', 'quote it'),
    ('a: `b`', 'f:1:4', 'unquoted text cannot start with "`"', 'quote it'),
    ('a: %b', 'f:1:4', 'unquoted text cannot start with "%"', 'quote it'),
    ('a: *.csv', 'f:1:4', 'unquoted text cannot start with "*" or "&"', 'quote it'),
    ('a: [1\nb: 2', 'f:2:2', 'the "[" of line 1 is not closed', ''),
    ('x: 1\na: {b: 1', 'f:3:1', 'the "{" of line 2 is not closed', ''),
    ('a: "x', 'f:1:4', 'a quote that nothing closes', 'close it'),
    ('a: "\\d"', 'f:1:5', 'a backslash before a character', 'single quotes'),
    ('a: "\\xzz"', 'f:1:7', 'hexadecimal digits are missing', 'single quotes'),
    ('a: "\\ud800"', 'f:1:7', 'an escape that is no character', 'single quotes'),
    ('- a\nb: 1', 'f:2:1', 'no item of the list that starts in line 1', 'indentation'),
    ('a:\n  b: 1\n c: 2', 'f:3:2', 'does not continue the mapping that starts in line 1', 'indentation'),
    ('a: |x\n', 'f:1:5', 'text after "|"', 'next line'),
    ('a: ]', 'f:1:4', 'a value is missing before this', ''),
    ('a: - b', 'f:1:4', 'a "- " that cannot stand here', 'line of its own'),
    ('a: 1\nkey\nb: 2', 'f:2:1', 'a ":" is missing after this key', 'key: value'),
    ('a: !x!y z', 'f:1:4', 'a tag that nothing declares', 'quote'),
    ('%YAML 2.0\n---\na', 'f:1:1', 'another version than 1.2', 'remove'),
]


@pytest.mark.parametrize(('text', 'place', 'message', 'hint'), SYNTAX)
def test_syntax_errors_are_plain_sentences(text: str, place: str, message: str, hint: str) -> None:
    found = mistakes(text)[-1]
    assert found[0] == place and message in found[1] and hint in found[2]


REFUSED = [
    ('a: 1\nb: 2\na: 3', 'f:3:1', 'the key "a" is there already, in line 1', 'remove one'),
    ('1: x', 'f:1:1', 'the key 1 is no text', 'quote it: "1":'),
    ('true: x', 'f:1:1', 'the key true is no text', 'quote it: "true":'),
    ('~: x', 'f:1:1', 'the key ~ is no text', 'quote it'),
    ('? [a]\n: 1', 'f:1:3', 'a key is a list, not text', ''),
    ('? {a: 1}\n: 1', 'f:1:3', 'a key is a mapping, not text', ''),
    ('a: !!python/object/apply:os.system [x]', 'f:1:4', 'the tag !!python/object/apply:os.system is not supported', 'remove'),
    ('a: !!str 1', 'f:1:4', 'the tag !!str is not supported', 'quotes'),
    ('a: ! x', 'f:1:4', 'the tag ! is not supported', ''),
    ('a: !!map {}', 'f:1:4', 'the tag !!map is not supported', ''),
    ('a: 012', 'f:1:4', '012 is a number with a leading zero', 'write 12 or 0o12, or quote it'),
    ('a: 089', 'f:1:4', '089 is a number with a leading zero', 'write 89, or quote it'),
    ('a: -07', 'f:1:4', '-07 is a number with a leading zero', 'write -7'),
    ('a: 9223372036854775808', 'f:1:4', 'does not fit into 64 bits', 'quote it'),
    ('a: 0x' + 'f' * 100_000, 'f:1:4', 'does not fit into 64 bits', 'quote it'),
    ('a: ' + '9' * 100_000, 'f:1:4', 'does not fit into 64 bits', 'quote it'),
    ('a: .nan', 'f:1:4', '.nan is not a number', 'quote it'),
    ('a: -.inf', 'f:1:4', '-.inf is not a number', 'quote it'),
    ('a: 1e999', 'f:1:4', 'too large', 'quote it'),
    ('a: "\\x07"', 'f:1:4', 'the control character U+0007', 'remove'),
    ('a: "\\e[31m"', 'f:1:4', 'the control character U+001B', 'remove'),
    ('a: 1\n<<: {b: 1}', 'f:2:1', 'the merge key << is not part of YAML 1.2', 'vars'),
    ('a: &x {b: 1}\nc: {<<: *x}', 'f:2:5', 'the merge key << is not part of YAML 1.2', 'vars'),
    ('a: *b', 'f:1:4', 'there is no anchor &b', ''),
    ('a: &base 1\nb: *bse', 'f:2:4', 'there is no anchor &bse', 'did you mean base?'),
    ('a: &x [*x]', 'f:1:8', '*x stands inside what it names', 'write it out'),
    ('a: &x {b: {c: *x}}', 'f:1:15', '*x stands inside what it names', ''),
    ('a: 1\n---\nb: 2', 'f:2:1', 'a second document starts here', 'remove the "---"'),
    ('%TAG ! tag:x,2020:\n---\na: 1', 'f:1:1', 'the directive %TAG is not supported', 'remove'),
    (b'a: \xe9', 'f:1:4', 'the byte 0xE9 is not UTF-8', 'save the file as UTF-8'),
    (b'x: 1\n\xc3\xa9: \xff', 'f:2:4', 'the byte 0xFF is not UTF-8', ''),
    (b'\xef\xbb\xbfa: 1', 'f:1:1', 'byte order mark', 'without BOM'),
    ('a: 1'.encode('utf-16'), 'f:1:1', 'UTF-16', 'save it as UTF-8'),
    ('a: 1'.encode('utf-16-le'), 'f:1:1', 'UTF-16', 'save it as UTF-8'),
    ('a: 1'.encode('utf-32-be'), 'f:1:1', 'UTF-16', 'save it as UTF-8'),
    ('a: 1\nb: x\x07', 'f:2:5', 'the character U+0007', 'remove it'),
    ('a: \x00', 'f', 'UTF-16', ''),
    ('abcdef: \x00', 'f:1:9', 'the character U+0000', ''),
    ('a: x\u2028y', 'f:1:5', 'the character U+2028', '\\u2028'),
    ('a: \x85', 'f:1:4', 'the character U+0085', ''),
    ('\r\ra: \ufeff', 'f:3:4', 'the character U+FEFF', ''),
]


@pytest.mark.parametrize(('text', 'place', 'message', 'hint'), REFUSED, ids=[str(row[0])[:24] for row in REFUSED])
def test_what_could_surprise_is_refused(text: str | bytes, place: str, message: str, hint: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert found[0][0].startswith(place) and message in found[0][1] and hint in found[0][2]


def test_all_mistakes_are_told_at_once_in_their_order() -> None:
    text = 'a: 012\nb: {x: 1, x: 2}\n1: !!int 3\nc: .inf\na: *gone\nd: [\n'
    assert [place for place, _, _ in mistakes(text)] == [
        'f:1:4', 'f:2:11', 'f:3:1', 'f:3:4', 'f:4:4', 'f:5:1', 'f:5:4', 'f:7:1']


def test_mistakes_are_values_too_and_the_rest_is_there() -> None:
    document, errors = examine(b'a: 1\nb: .nan\na: 2\n2: x\n', 'f')
    assert document is not None and document.value == {'a': 1, 'b': '.nan'}
    assert [error.where for error in errors] == [Where('f', 2, 4), Where('f', 3, 1), Where('f', 4, 1)]


def bomb(levels: int, width: int = 10) -> str:
    lines = ['a0: &a0 [' + 'x, ' * 100 + ']']
    lines += [f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * width)}]' for n in range(1, levels)]
    return '\n'.join(lines)


HOSTILE: list[tuple[str, bytes, str]] = [
    ('brackets', b'[' * 50_000, 'more than 64'),
    ('braces', b'{' * 50_000, 'more than 64'),
    ('lines of brackets', b'[\n' * 50_000, 'more than 64'),
    ('dashes', b'- ' * 50_000, 'more than 64'),
    ('question marks', b'? ' * 50_000, 'more than 64'),
    ('keys', b''.join(b' ' * n + b'a:\n' for n in range(2_000)), 'more than 64'),
    ('closing', b']' * 50_000, 'missing'),
    ('laughs', bomb(5).encode(), 'aliases repeat'),
    ('many aliases', ('a: &a x\nb: [' + '*a, ' * 51 + ']').encode(), 'more than 50 aliases'),
    ('deep aliases', '\n'.join(['a0: &a0 ' + '[' * 20 + ']' * 20]
                               + [f'a{n}: &a{n} {"[" * 20}*a{n - 1}{"]" * 20}' for n in range(1, 6)]).encode(), 'more than 64'),
    ('long text', b'a: ' + b'x' * 300_000, 'more than 262,144 bytes'),
    ('long key', b'x' * 300_000 + b': 1', ''),
    ('long block', b'a: |\n' + b'  xxxxxxx\n' * 50_000, 'more than 262,144 bytes'),
    ('directives', b'%TAG !a! b\n' * 100_000, 'too many lines start with "%"'),
    ('size', b'a' * (16 << 20) + b'b', 'the limit is 16,777,216'),
    ('anchors', b''.join(b'- &a%d x\n' % n for n in range(100_000)) + b'- 09', 'leading zero'),
    ('duplicate keys', b'a: 1\n' * 100_000, 'more mistakes'),
    ('quotes', b'"' * 99_999, ''),
    ('colons', b':' * 50_000, ''),
    ('tags', b'!' * 50_000, ''),
]


@pytest.mark.parametrize(('data', 'message'), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_no_file_can_hurt(data: bytes, message: str) -> None:
    begin = time.process_time()
    try:
        read(data, 'f', limits=PIPELINE)
    except UserErrors as error:
        assert message in str(error)
        assert all(one.where and one.where.file == 'f' for one in error.errors)
    else:
        assert not message
    assert time.process_time() - begin < 5


def test_the_line_of_what_is_too_much_is_told() -> None:
    for end in (b'\n', b'\r', b'\r\n'):
        with pytest.raises(UserErrors, match='too many lines') as caught:
            read(b'# one' + end + b'# two' + end + (b'%TAG !a! b' + end) * 100_000, 'f', limits=PIPELINE)
        assert [one.where.line for one in caught.value.errors if one.where] == [3]


@pytest.mark.full
def test_a_file_of_two_million_values_is_the_most() -> None:
    with pytest.raises(UserErrors, match='more than 2,000,000 values'):
        read(b'[' + b'1,' * 2_100_000 + b']', 'f', limits=PIPELINE)


def test_ordinary_files_have_smaller_limits() -> None:
    with pytest.raises(UserErrors, match='the limit is 1,048,576'):
        read(b'a' * (1 << 20) + b'b', 'f')
    with pytest.raises(UserErrors, match='more than 100,000 values'):
        read(b'[' + b'1,' * 100_000 + b']', 'f')


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=200)
       | st.text(alphabet='ab1:-?[]{},&*!|>\'"%@`#~<. \n\t\r0xe\\', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        document = read(data, 'f')
    except UserErrors as error:
        assert all(one.where for one in error.errors)
    else:
        document.where(('a', 0, 'b'))


letters = st.characters(exclude_categories=['Cc', 'Cs', 'Cn'], exclude_characters='\ufeff\u2028\u2029')
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=letters, max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text('abc', min_size=1, max_size=3), below, max_size=3),
    max_leaves=8)


# Places

PLACES = b'''\
# first
stages:
  train:
    cmd: >-
      python train.py
      --lr ${lr}
      --seed ${seed}
    deps: [a, {stage: prepare}]
  "eval":
    - 1
shared: &s
  x: 1
copy: *s
'''


@pytest.mark.parametrize(('path', 'place', 'key_place'), [
    ((), '2:1', '2:1'),
    (('stages',), '3:3', '2:1'),
    (('stages', 'train'), '4:5', '3:3'),
    (('stages', 'train', 'cmd'), '4:10', '4:5'),
    (('stages', 'train', 'deps', 0), '8:12', '8:12'),
    (('stages', 'train', 'deps', 1, 'stage'), '8:23', '8:16'),
    (('stages', 'eval', 0), '10:7', '10:7'),
    (('copy',), '13:7', '13:1'),
    (('copy', 'x'), '12:6', '12:3'),
    (('stages', 'train', 'outs'), '4:5', '4:5'),
    (('stages', 'train', 'deps', 7, 'x'), '8:11', '8:11'),
    (('nothing', 'x'), '2:1', '2:1'),
])
def test_everything_has_a_place(path: tuple[str | int, ...], place: str, key_place: str) -> None:
    document = read(PLACES, 'p.yaml')
    assert str(document.where(path)) == f'p.yaml:{place}'
    assert str(document.where(path, key=True)) == f'p.yaml:{key_place}'


def test_a_template_inside_a_long_text_has_its_own_line() -> None:
    document = read(PLACES, 'p.yaml')
    path = ('stages', 'train', 'cmd')
    text = document.value['stages']['train']['cmd']
    assert str(document.where_in(path, text.index('${lr}'))) == 'p.yaml:6:12'
    assert str(document.where_in(path, text.index('${seed}'))) == 'p.yaml:7:14'
    assert str(document.where_in(path, 0)) == 'p.yaml:4:10'


# Editing

EDITED = b'''\
# head
train:   # the model
    lr: 0.01     # rate
    layers: [1, 2,   3]
    name: 'abc'
    note: |
      two
      lines
    steps:
      - a   # one
      - b
# tail
'''


@pytest.mark.parametrize(('path', 'new', 'before', 'after'), [
    (('train', 'lr'), 1e-5, b'0.01', b'1.0e-05'),
    (('train', 'lr'), 3, b'0.01', b'3'),
    (('train', 'lr'), None, b'0.01', b'null'),
    (('train', 'lr'), 'no', b'0.01', b'"no"'),
    (('train', 'lr'), 'adam', b'0.01', b'adam'),
    (('train', 'layers'), [4, 'x'], b'[1, 2,   3]', b'[4, x]'),
    (('train', 'layers', 1), {'a': True}, b'2', b'{a: true}'),
    (('train', 'name'), 'x y', b"'abc'", b'"x y"'),
    (('train', 'steps', 1), 'c', b'- b', b'- c'),
])
def test_an_edit_touches_nothing_else(path: tuple[str | int, ...], new: Any, before: bytes, after: bytes) -> None:
    assert edit_value(EDITED, path, new) == EDITED.replace(before, after)


def test_a_new_key_keeps_the_comments() -> None:
    edited = edit_value(EDITED, ('train', 'optimizer', 'name'), 'adam').decode()
    assert read(edited.encode(), 'f').value['train']['optimizer'] == {'name': 'adam'}
    assert all(comment in edited for comment in ('# head', '# the model', '# rate', '# one', '# tail'))
    assert "name: 'abc'" in edited and '    lr: 0.01' in edited
    assert edit_value(EDITED, ('other',), [1]).decode().endswith('# tail\nother: [1]\n')


def test_a_block_is_replaced() -> None:
    assert read(edit_value(EDITED, ('train', 'note'), 'one'), 'f').value['train']['note'] == 'one'
    assert read(edit_value(EDITED, ('train', 'steps'), []), 'f').value['train']['steps'] == []


def test_an_edit_of_odd_files() -> None:
    assert edit_value(b'', ('a', 'b'), 1) == b'a:\n  b: 1\n'
    assert edit_value(b'a:\n', ('a',), 'x') == b'a: x\n'
    assert edit_value(b'a:\r\n- 1\r\n', ('b',), 2) == b'a:\r\n- 1\r\nb: 2\r\n'
    assert edit_value(b'---\na: 1\n', ('b',), '1:30') == b'---\na: 1\nb: "1:30"\n'


@pytest.mark.parametrize(('path', 'place', 'message'), [
    (('train', 'name', 'x'), '5:11', 'train.name is text, there is no x in it'),
    (('train', 'steps', 7), '10:7', 'train.steps is a list, there is no 7 in it'),
    ((0,), '2:1', 'the file is a mapping'),
])
def test_an_edit_that_leads_nowhere(path: tuple[str | int, ...], place: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        edit_value(EDITED, path, 1)
    assert str(caught.value.where) == f'params.yaml:{place}'


def test_what_is_shared_cannot_be_edited_in_one_place() -> None:
    with pytest.raises(UserError, match='without touching other values'):
        edit_value(b'a: &x {b: 1}\nc: *x\n', ('a', 'b'), 2)


@settings(max_examples=60, deadline=2000)
@given(plain)
def test_whatever_is_set_is_read_back(new: Any) -> None:
    edited = edit_value(EDITED, ('train', 'lr'), new)
    assert read(edited, 'f').value['train']['lr'] == new
    assert read(edited, 'f').value['train']['steps'] == ['a', 'b']


def test_a_thousand_stages_are_read_fast() -> None:
    stage = '  stage{0}:\n    cmd: python src/step.py --n {0}\n    deps:\n      - data/{0}.csv\n    outs:\n      - out{0}.csv\n'
    data = ('stages:\n' + ''.join(stage.format(n) for n in range(1000))).encode()
    begin = time.process_time()
    read(data, 'f', limits=PIPELINE)
    assert time.process_time() - begin < 0.5
