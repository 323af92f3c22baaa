from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli import yamlfile
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.core.scalars import plain_scalar
from mlops_cli.fingerprint.params import (
    MISSING,
    Params,
    apply,
    parse_assignment,
    parse_assignments,
    render_file,
)
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import paramfile

YAML = """\
# the model
train:
  lr: 1e-4      # slow
  layers: [64, 32]
  note:
a.b: dotted
a: {b: nested, c.d: {e: 1}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with Root(tmp_path) as opened:
        yield opened


def write(root: Root, name: str, text: str) -> None:
    Path(root.full(name)).write_text(text)


# Reading

def test_values_by_dotted_keys_and_missing_is_not_null(root: Root) -> None:
    write(root, 'params.yaml', YAML)
    params = Params(root)
    for key, value in {'train.lr': 1e-4, 'train.layers': [64, 32], 'train.layers.1': 32, 'train.layers[0]': 64,
                       'train.note': None,
                       'a.b': 'dotted', 'a.c.d.e': 1, 'a.c.d': {'e': 1}}.items():
        assert params.value('params.yaml', key) == value
    for key in ('lr', 'train.lrr', 'train.lr.x', 'train.note.x', 'train.layers.2', 'train.layers.x', '', '.', 'train.',
                '.train'):
        assert params.value('params.yaml', key) is MISSING
    assert params.value('params.yaml', None) == yamlfile.read(YAML.encode(), 'x').value
    assert params.value('absent.yaml', 'x') is MISSING
    assert params.value('absent.yaml', None) is MISSING
    with pytest.raises(UserError, match='there is no parameter file absent'):
        params.load('absent.yaml')


def test_one_value_in_every_format(root: Root) -> None:
    write(root, 'p.yaml', 'train: {lr: 0.1, n: 3, on: true, name: x, list: [1, 2.5]}\n')
    write(root, 'p.json', '{"train": {"lr": 0.1, "n": 3, "on": true, "name": "x", "list": [1, 2.5]}}')
    write(root, 'p.toml', '[train]\nlr = 0.1\nn = 3\non = true\nname = "x"\nlist = [1, 2.5]\n')
    params = Params(root)
    loaded = [params.load(f'p.{suffix}') for suffix in ('yaml', 'json', 'toml')]
    assert loaded[0] == loaded[1] == loaded[2]
    write(root, 'd.toml', 'day = 2026-11-20\nat = 2026-11-20T10:15:00Z\n')
    assert params.load('d.toml') == {'day': '2026-11-20', 'at': '2026-11-20T10:15:00+00:00'}
    write(root, 'empty.yaml', '# nothing\n')
    assert params.load('empty.yaml') == {}


@pytest.mark.parametrize(('name', 'text', 'message', 'line', 'column'), [
    ('p.json', '{"a": 1,\n "b": {"c": 1,\n "c": 2}}', 'the key "c" again: it is on line 2', 3, 2),
    ('p.json', '{"a": [1,\n  NaN]}', 'NaN is not a finite number', 2, 3),
    ('p.json', '{"a": -Infinity}', '-Infinity is not', 1, 7),
    ('p.json', '{"a":\n1e999}', '1e999 is not a finite number', 2, 1),
    ('p.json', '{"a": 9223372036854775808}', '64 bits', 1, 7),
    ('p.json', '{"a": ' + '9' * 5000 + '}', '64 bits', 1, 7),
    ('p.json', '{"a": 1,}', 'not JSON', 1, 9),
    ('p.json', '[1]', 'this one is a list', 1, 1),
    ('p.json', '{"a":' * 70 + '1' + '}' * 70, 'more than 64 levels', 1, 321),
    ('p.json', '[' * 100_000, 'more than 64 levels', 1, 65),
    ('p.json', '\ufeff{}', 'byte order mark', 1, 1),
    ('p.json', '{"a": "\\":[{", "a": "NaN"}', 'the key "a" again', 1, 16),
    ('p.toml', 'a = 1\nb = nan\n', 'not finite', 2, 1),
    ('p.toml', 'a = [1.0,\n inf]\n', 'not finite', 0, 0),
    ('p.toml', 'a = 1\na = 2\n', 'not TOML', 2, 6),
    ('p.toml', 'a = 9223372036854775808', '64 bits', 0, 0),
    ('p.toml', 'a = ' + '9' * 5000, 'not TOML', 1, 5),
    ('p.toml', 'a = ' + '[' * 5000, 'nested', 0, 0),
    ('p.yaml', 'a: 1\na: 2\n', 'is there already', 2, 1),
    ('p.yaml', 'a: .nan\n', 'not a number', 1, 4),
    ('p.yaml', '- 1\n', 'this one is a list', 1, 1),
    ('p.yaml', 'word\n', 'this one is text', 1, 1),
])
def test_what_is_refused_has_its_place(root: Root, name: str, text: str, message: str, line: int, column: int) -> None:
    write(root, name, text)
    with pytest.raises(UserError) as caught:
        Params(root).value(name, 'a')
    assert message in str(caught.value)
    assert caught.value.where is not None
    assert (caught.value.where.file, caught.value.where.line, caught.value.where.column) == (name, line, column)


def test_files_that_are_none_or_too_large_are_refused(root: Root) -> None:
    os.mkfifo(root.full('fifo.yaml'))
    Path(root.full('folder.yaml')).mkdir()
    with open(root.full('large.json'), 'wb') as file:
        file.truncate((16 << 20) + 1)
    Path(root.full('link.yaml')).symlink_to('/etc/hostname')
    Path(root.full('bytes.json')).write_bytes(b'{"a":\n"\xff"}')
    for name in ('fifo.yaml', 'folder.yaml', 'large.json', 'link.yaml', 'bytes.json'):
        with pytest.raises(UserError):
            Params(root).load(name)
    with pytest.raises(UserError, match=r'(?s)p.json.*more than'):
        paramfile.read(b'{"a": [' + b'0,' * 2_000_001 + b'0]}', 'p.json')


def test_values_that_look_like_secrets_are_refused_names_never(root: Root) -> None:
    token = 'hf' + '_AbCdEfGhIjKlMnOpQrStUvWxYz12345678'
    write(root, 'ok.yaml', 'max_tokens: 512\npad_token: "<pad>"\nsecret: 1\npassword: tiger\n')
    assert Params(root).value('ok.yaml', 'max_tokens') == 512
    write(root, 'bad.yaml', f'a: 1\ndeep:\n  list:\n  - x\n  - {token}\n')
    write(root, 'bad.json', f'{{"a": "{token}"}}')
    for name, where in (('bad.yaml', 'bad.yaml:5:5: deep.list.1'), ('bad.json', 'bad.json: a')):
        with pytest.raises(UserErrors) as caught:
            Params(root).value(name, 'a')
        assert str(caught.value) == f'{where} looks like a Hugging Face token'
        assert token not in repr(caught.value) + caught.value.hint
        assert caught.value.exit_code == 2
    with pytest.raises(UserError, match='looks like a Hugging Face token') as single:
        parse_assignment(f'a=[{token}]')
    assert token not in str(single.value)


# --set

@pytest.mark.parametrize(('text', 'expected'), [
    ('lr=1e-4', ('params.yaml', 'lr', 1e-4)), ('train.lr=0.1', ('params.yaml', 'train.lr', 0.1)), ('n=3', ('params.yaml', 'n',
                                                                                                           3)),
    ('x="1"', ('params.yaml', 'x', '1')), ("x='a: b'", ('params.yaml', 'x', 'a: b')), ('x=true', ('params.yaml', 'x', True)),
    ('x=no', ('params.yaml', 'x', 'no')), ('x=null', ('params.yaml', 'x', None)), ('x=""', ('params.yaml', 'x', '')),
    ('x=[1, a, 2.5]', ('params.yaml', 'x', [1, 'a', 2.5])), ('x={a: 1, b: [c]}', ('params.yaml', 'x', {'a': 1, 'b': ['c']})),
    ('x=a=b', ('params.yaml', 'x', 'a=b')), ('x=a: b', ('params.yaml', 'x', 'a: b')), ('x=*a', ('params.yaml', 'x', '*a')),
    ('x=# no', ('params.yaml', 'x', '# no')), ('x=!tag', ('params.yaml', 'x', '!tag')), ('x= 5 ', ('params.yaml', 'x', 5)),
    ('conf/big.yaml:train.lr=1', ('conf/big.yaml', 'train.lr', 1)), ('./p.json:a=1', ('p.json', 'a', 1)),
    ('+a.b=1', ('params.yaml', '+a.b', 1)), ('p.toml:+a=1', ('p.toml', '+a', 1)), ('+p.toml:a=1', ('p.toml', '+a', 1)),
    ('url=http://x/y', ('params.yaml', 'url', 'http://x/y')),
])
def test_an_assignment(text: str, expected: tuple[str, str, Any]) -> None:
    found = parse_assignment(text)
    assert found == expected
    assert type(found[2]) is type(expected[2])


@pytest.mark.parametrize(('text', 'message', 'hint'), [
    ('lr', 'not KEY=VALUE', 'train.lr=0.01'), ('=1', 'not KEY=VALUE', ''), ('+=1', 'not KEY=VALUE', ''), ('p.yaml:=1',
                                                                                                          'not KEY', ''),
    ('lr=', 'no value', 'lr=null'), ('lr=.nan', '.nan', ''), ('lr=1e999', '1e999', ''),
    ('n=9223372036854775808', '64 bits', ''),
    ('x=[1', '--set x', ''), ('x="a" b', '--set x', ''), ('x={a: 1, a: 2}', 'is there already', ''),
    ('../p.yaml:a=1', '..', ''),
    ('a.txt:x=1', 'no parameter file', '.yaml'), ('a:x=1', 'no parameter file', ''), ('.git/p.yaml:a=1', '.git', ''),
    ('x=\udce9', 'not UTF-8', ''),
])
def test_a_wrong_assignment_is_refused(text: str, message: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_assignment(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


@given(st.text(st.sampled_from('0123456789.eE+-_xoabfinNtrulTRUE~ :'), min_size=1, max_size=12))
def test_an_unquoted_value_means_what_it_means_in_a_yaml_file(text: str) -> None:
    text = text.strip()
    if not text or text[0] in '-:' or ': ' in text or text.endswith(':'):
        return  # not a plain scalar in a file; after --set KEY= it is text
    document, errors = yamlfile.examine(f'x: {text}\n'.encode(), 'p.yaml')
    try:
        value = plain_scalar(text)
    except ValueError:
        assert errors
        return
    if not errors:
        assert document is not None
        assert document.value == {'x': value}
        assert type(document.value['x']) is type(value)


def test_an_assignment_changes_what_is_there_and_adds_only_when_asked() -> None:
    document = {'train': {'lr': 1, 'layers': [1, 2], 'note': None}, 'a.b': 1, 'a': {'b': 2}, 'n': 3}
    for key, value, expected in (
        ('train.lr', 5, {**document, 'train': {'lr': 5, 'layers': [1, 2], 'note': None}}),
        ('+train.lr', 5, {**document, 'train': {'lr': 5, 'layers': [1, 2], 'note': None}}),
        ('train.layers.1', 5, {**document, 'train': {'lr': 1, 'layers': [1, 5], 'note': None}}),
        ('train.layers[0]', 5, {**document, 'train': {'lr': 1, 'layers': [5, 2], 'note': None}}),
        ('a.b', 5, {**document, 'a.b': 5}),
        ('train', {'x': 1}, {**document, 'train': {'x': 1}}),
        ('+new', 5, {**document, 'new': 5}),
        ('+new.deep.er', 5, {**document, 'new': {'deep': {'er': 5}}}),
        ('+train.new', 5, {**document, 'train': {'lr': 1, 'layers': [1, 2], 'note': None, 'new': 5}}),
        ('+train.note.x', 5, {**document, 'train': {'lr': 1, 'layers': [1, 2], 'note': {'x': 5}}}),
    ):
        before = repr(document)
        assert apply(document, key, value) == expected
        assert repr(document) == before
    for key, message, hint in (
        ('train.lrr', 'has no parameter train.lrr', 'did you mean train.lr?'), ('lr', 'no parameter lr',
                                                                                'did you mean train.lr?'),
        ('zzz', 'no parameter zzz', '+zzz'), ('train.layers.2', 'no parameter', ''), ('+n.x', 'n is a number', 'another name'),
        ('+train.layers.2', 'positions 0 to 1', 'train.layers=[...]'), ('+train.lr.x.y', 'train.lr is a number', ''), ('+x..y',
                                                                                                                       'empty',
                                                                                                                       ''),
    ):
        with pytest.raises(UserError) as caught:
            apply(document, key, 5)
        assert message in caught.value.message
        assert hint in caught.value.hint


def test_an_overlay_is_seen_by_every_reader_and_changes_no_file(root: Root) -> None:
    write(root, 'params.yaml', YAML)
    overlay = parse_assignments(root, ['train.lr=0.5', '+new.x=1', 'train.lr=0.25', 'other.json:+k=[1]'])
    assert overlay == {('params.yaml', 'train.lr'): 0.25, ('params.yaml', '+new.x'): 1, ('other.json', '+k'): [1]}
    params = Params(root, overlay)
    assert params.value('params.yaml', 'train.lr') == 0.25
    assert params.value('params.yaml', 'new') == {'x': 1}
    assert params.value('other.json', None) == {'k': [1]}
    assert Path(root.full('params.yaml')).read_text() == YAML
    with pytest.raises(UserErrors) as caught:
        parse_assignments(root, ['train.lrr=1', 'train.lr=0.5', 'lr', 'none.yaml:a=1', 'new.x=1'])
    assert [error.message for error in caught.value.errors] == [
        'params.yaml has no parameter train.lrr', '--set lr: not KEY=VALUE', 'none.yaml has no parameter a',
        'params.yaml has no parameter new.x']
    assert parse_assignments(root, ['+new.x=1', 'new.x=2', '+new.x=3']) == {('params.yaml', '+new.x'): 3}
    assert Params(root, parse_assignments(root, ['+new.x=1', 'new.x=2'])).value('params.yaml', 'new.x') == 2


# Writing a copy

def test_a_yaml_copy_keeps_its_comments() -> None:
    out = render_file('params.yaml', YAML.encode(), {('params.yaml', 'train.lr'): 0.5, ('params.yaml', '+new.x'): 'y',
                                                     ('b.yaml', 'q'): 1})
    text = out.decode()
    assert '# the model' in text
    assert '# slow' in text
    assert paramfile.read(out, 'params.yaml') == apply(apply(paramfile.read(YAML.encode(), 'p.yaml'), 'train.lr', 0.5),
                                                       '+new.x', 'y')
    assert render_file('params.yaml', YAML.encode(), {('b.yaml', 'q'): 1}) == YAML.encode()
    assert paramfile.read(render_file('new.yaml', b'', {'+a.b': 1}), 'new.yaml') == {'a': {'b': 1}}


@pytest.mark.parametrize(('before', 'after'), [
    ('{\n  "a": 1,\n  "b": [\n    1\n  ]\n}\n', '{\n  "a": 2,\n  "b": [\n    1\n  ]\n}\n'),
    ('{\n\t"a": 1\n}', '{\n\t"a": 2\n}'), ('{"a":1,"b":"é"}', '{"a":2,"b":"é"}'), ('{"a": 1, "b": 2}\n', '{"a": 2, "b": 2}\n'),
    ('{"a": 1, "b": "\\u00e9"}', '{"a": 2, "b": "\\u00e9"}'),
])
def test_a_json_copy_keeps_its_shape(before: str, after: str) -> None:
    assert render_file('p.json', before.encode(), {'a': 2}).decode() == after


def test_a_new_json_file() -> None:
    assert render_file('p.json', b'', {'+a': 2}) == b'{\n  "a": 2\n}\n'


TOML = '''\
# top
name = "x" # the "name" # twice
[train] # header
lr = 1e-4	# slow
layers = [1, 2]
"odd key" = 'v'
sub.deep = true
text = """
lr = 5
[other]
"""
inline = {a = 1}
long = [
  1,
]
[a.b]
lr = 2
[[list]]
lr = 3
[other]
lr = 4
'''


@pytest.mark.parametrize(('key', 'value', 'before', 'after'), [
    ('train.lr', 0.5, 'lr = 1e-4\t#', 'lr = 0.5\t#'), ('name', 'a"b\\\n\x7f', '"x" # the', '"a\\"b\\\\\\n\\u007f" # the'),
    ('train.layers', [3, 'x', True], '[1, 2]', '[3, "x", true]'), ('train.layers.1', 7, '[1, 2]', '[1, 7]'),
    ('train.odd key', 5, "'v'", '5'), ('train.sub.deep', False, 'true', 'false'), ('a.b.lr', 9, 'lr = 2', 'lr = 9'),
    ('other.lr', 9, 'lr = 4', 'lr = 9'), ('train.lr', 1e-5, '1e-4', '1e-05'),
])
@pytest.mark.parametrize('newline', ['\n', '\r\n'])
def test_a_toml_copy_keeps_every_other_byte(key: str, value: Any, before: str, after: str, newline: str) -> None:
    out = render_file('p.toml', TOML.replace('\n', newline).encode(), {key: value})
    assert out.decode() == TOML.replace(before, after, 1).replace('\n', newline)


@pytest.mark.parametrize(('key', 'value', 'message'), [
    ('train.inline.a', 2, 'no line of its own'), ('train.long', [1], 'no line of its own'), ('list.0.lr', 1, 'cannot be given'),
    ('train.lr', None, 'null'), ('train.lr', {'a': 1}, 'a mapping'), ('+train.new', 1, 'no line of its own'), ('train', 1,
                                                                                                               'no line'),
    ('train.text', 'x', 'no line of its own'), ('train.layers', [[1]], 'a list'),
])
def test_what_toml_cannot_take_is_refused(key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        render_file('p.toml', TOML.encode(), {key: value})
    assert 'by hand' in caught.value.hint


@given(st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**63 - 1) | st.floats(allow_nan=False,
                                                                                           allow_infinity=False)
                    | st.text(st.characters(exclude_categories=('Cs', 'Cc'))), lambda below: st.lists(below, max_size=3),
                    max_leaves=5))
def test_what_is_written_reads_back_the_same(value: Any) -> None:
    for name, data in (('p.yaml', b'a: 1 # c\nb: 2\n'), ('p.json', b'{"a": 1}'), ('p.toml', b'a = 1 # c\n')):
        try:
            out = render_file(name, data, {'a': value})
        except UserError:
            assert name == 'p.toml'
            continue
        found = paramfile.read(out, name)['a']
        assert repr(found) == repr(value)
