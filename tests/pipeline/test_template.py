from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.pipeline.reference import pieces
from mlops_cli.pipeline.template import (
    Scope,
    TemplateError,
    parameter_variables,
    render_argv,
    render_command,
    resolve,
    resolve_vars,
)

VALUES: dict[str, Any] = {
    'train': {'lr': 1e-4, 'epochs': 10, 'layers': [64, 32], 'amp': True, 'note': None, 'empty': '', 'b c': {'d': 'spaced'},
              'with.dot': 'dotted', '0': 'zero'},
    'item': {'model': 'forest', 'seed': 1}, 'key': 'first', 'text': '${train.lr} stays', 'list': [{'name': 'a'}, {'name': 'b'}],
    'größe': 7, 'big': 2**62, 'half': 0.5, 'one': 1.0,
}
SCOPE = Scope(VALUES, {'HOME': '/home/ana', 'UNSET': None, 'BLANK': ''})


@pytest.mark.parametrize(('text', 'value'), [
    ('${train.lr}', 1e-4), ('${train.epochs}', 10), ('${train.layers}', [64, 32]), ('${train.layers[0]}', 64),
    ('${train.layers.1}', 32), ('${train.amp}', True), ('${train.note}', None), ('${train}', VALUES['train']),
    ('${ train . lr }', 1e-4), ('${train["b c"].d}', 'spaced'), ("${train['b c']['d']}", 'spaced'), ('${["key"]}', 'first'),
    ('${train["with.dot"]}', 'dotted'), ('${train.0}', 'zero'), ('${train[lr]}', 1e-4), ('${list[1].name}', 'b'),
    ('${item.model}', 'forest'), ('${key}', 'first'), ('${größe}', 7), ('${env:HOME}', '/home/ana'),
    ('models/${item.model}-${item.seed}.bin', 'models/forest-1.bin'), ('lr=${train.lr} ${train.amp} ${one}',
                                                                       'lr=0.0001 true 1.0'),
    ('${big}${half}', '46116860184273879040.5'), ('plain', 'plain'), ('', ''), ('$ {x} $x }{', '$ {x} $x }{'),
    (r'\${train.lr}', '${train.lr}'), (r'a\${b} ${key}', 'a${b} first'), (r'\\${key}', r'\\first'), (r'\\\${key}', r'\\${key}'),
    (r'\n ${key}', r'\n first'), ('${text}', '${train.lr} stays'), ('a ${text}', 'a ${train.lr} stays'),
    ('${env:UNSET:-x}', 'x'), ('${env:BLANK:-x}', 'x'), ('${env:BLANK}', ''),
])
def test_a_reference_is_replaced(text: str, value: Any) -> None:
    found = resolve(text, SCOPE)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(('default', 'value'), [
    ('5', 5), ('1e-3', 1e-3), ('true', True), ('no', 'no'), ('a b', 'a b'), (' x ', 'x'), ('', ''), ('"5"', '5'),
    ("'it''s'", "it's"),
    ('"a}b"', 'a}b'), ('"\\n"', '\n'),
    ('${key}', 'first'), ('${train.layers}', [64, 32]), ('a-${key}-${item.seed}', 'a-first-1'),
    ('${nope:-${neither:-3}}', 3), ('null', None), ('~', None), ('a:-b', 'a:-b'), ('/tmp', '/tmp'),
    ('[1,2]', '[1,2]'),
])
def test_a_default_stands_in_for_what_is_missing_null_or_empty(default: str, value: Any) -> None:
    for name in ('absent', 'train.absent', 'train.note', 'train.note.deeper', 'train.empty', 'train.layers[9]',
                 'absent.a["b"]'):
        found = resolve(f'${{{name}:-{default}}}', SCOPE)
        assert found == value
        assert type(found) is type(value)
    assert resolve(f'${{key:-{default}}}', SCOPE) == 'first'
    assert resolve(r'${absent:-\${x}', SCOPE) == '${x'
    assert resolve('${train.amp:-x}', Scope({'train': {'amp': False}})) is False


@pytest.mark.parametrize(('text', 'offset', 'message', 'hint'), [
    ('a ${train.lr', 2, "'${' without its '}'", r'\${'),
    ('ab${}', 2, 'empty ${}', r'\${}'),
    ('${ }', 0, 'empty', ''),
    ('x ${train.lrr}', 2, 'there is no train.lrr', 'did you mean lr?'),
    ('${trian.lr}', 0, 'there is no trian', 'did you mean train?'),
    ('${zzz}', 0, 'there is no zzz', 'names here: '),
    ('${train.zzz}', 0, 'there is no train.zzz', 'names in train: '),
    ('${train.layers[2]}', 0, 'there is no train.layers.2', 'names in train.layers: 0, 1'),
    ('${train.layers.first}', 0, 'train.layers is a list', '0 to 1'),
    ('${train.lr.x}', 0, 'train.lr is a number', ''),
    ('${HOME}', 0, 'there is no HOME', "the shell's own variable write $HOME"),
    ('a ${HOME%/*}', 8, "unexpected '%'", r'\${...}'),
    ('${a%b}', 3, "unexpected '%'", r'\${...}'),
    ('${train..lr}', 8, "a name is missing before '.'", ''),
    ('${.a}', 2, 'a name is missing', ''),
    ('${train.}', 8, 'a name is missing', ''),
    ('${train[0}', 9, "'[' without its ']'", ''),
    ('${train[0', 0, "'${' without", ''),
    ('${train["a]}', 8, 'a name is missing', ''),
    ('${x:-"a" b}', 9, "unexpected 'b'", ''),
    ('${x:-"\\q"}', 5, 'a wrong backslash', 'JSON'),
    ('${x:-${y}', 0, "'${' without", ''),
    ('${x:-.nan}', 0, 'the default .nan', 'quote'),
    ('a ${train.note}', 2, '${train.note} is null', '${train.note:-...}'),
    ('a ${train.layers}', 2, 'is a list', 'one of its entries'),
    ('a ${train}', 2, 'is a mapping', ''),
    ('${env:PATH}', 0, 'the variable PATH is not declared', 'env: [PATH]'),
    ('${env:UNSET}', 0, 'env:UNSET is not set', '${env:UNSET:-...}'),
    ('${x:-' * 20 + '}' * 20, 80, 'more than 16', ''),
])
def test_a_mistake_says_where_and_what_next(text: str, offset: int, message: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        resolve(text, SCOPE)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.offset == offset
    assert caught.value.exit_code == 2


def test_plain_values_are_walked_keys_too_and_the_way_to_a_mistake_is_told() -> None:
    value = {'outs': [{'models/${key}.bin': {'cache': False}}, 'a-${item.seed}'], 'n': 3, 'none': None, 'f': 0.5}
    assert resolve(value, SCOPE) == {'outs': [{'models/first.bin': {'cache': False}}, 'a-1'], 'n': 3, 'none': None, 'f': 0.5}
    with pytest.raises(TemplateError) as caught:
        resolve({'outs': ['a', {'b': ['x ${nope}']}]}, SCOPE)
    assert caught.value.path == ('outs', 1, 'b', 0)
    with pytest.raises(TemplateError) as caught:
        resolve({'a': {'${nope}': 1}}, SCOPE)
    assert caught.value.path == ('a', '${nope}')
    with pytest.raises(TemplateError, match="two keys are 'first'"):
        resolve({'${key}': 1, 'first': 2}, SCOPE)
    with pytest.raises(TemplateError, match='is a list'):
        resolve({'${train.layers}': 1}, SCOPE)


@given(st.text(st.sampled_from('${}\\ab.[]"\':- '), max_size=40))
def test_any_text_is_resolved_or_refused(text: str) -> None:
    try:
        resolve(text, Scope({'a': 'x', 'b': {'a': 1}}))
    except TemplateError as error:
        assert error.offset is not None
        assert 0 <= error.offset < len(text)


@given(st.text(max_size=60))
def test_text_without_a_template_is_itself(text: str) -> None:
    assert resolve(text.replace('${', ''), SCOPE) == text.replace('${', '')
    assert resolve(text.replace('\\', '').replace('${', r'\${'), SCOPE) == text.replace('\\', '')


@pytest.mark.timeout(10)
@pytest.mark.parametrize('text', ['}' * 200_000, r'\${' * 80_000, '\\' * 250_000 + '${a}', '${a}' * 15_000, '${a:-' * 50_000])
def test_hostile_templates_take_no_time(text: str) -> None:
    try:
        pieces(text)
    except TemplateError as error:
        assert 'more than 16' in error.message


def test_scopes_are_extended_without_replacing_anything() -> None:
    scope = Scope({'train': {'lr': 1}}).merged({'train': {'epochs': 2}, 'name': 'x'}, source='vars.yaml')
    assert scope.values == {'train': {'lr': 1, 'epochs': 2}, 'name': 'x'}
    with pytest.raises(TemplateError, match=r'vars.yaml sets train.lr, which has a value already') as caught:
        scope.merged({'train': {'lr': 3}}, source='vars.yaml')
    assert caught.value.path == ('train', 'lr')
    with pytest.raises(TemplateError, match='name'):
        scope.merged({'name': {'a': 1}})
    assert resolve('${item}', scope.child(item=4)) == 4
    assert 'item' not in scope.values


def test_vars_are_resolved_in_order_and_never_in_a_circle() -> None:
    scope = resolve_vars([{'root': 'data/${key}'}, {'raw': '${root}/raw', 'deep': {'x': '${raw}'}}], SCOPE)
    assert resolve('${raw} ${deep.x}', scope) == 'data/first/raw data/first/raw'
    for entries, message, path in (
        ([{'a': '${a}'}], 'a uses itself', (0, 'a')),
        ([{'a': '${b}'}, {'b': '${a}'}], 'a uses b before it is set', (0, 'a')),
        ([{'a': 1}, {'b': ['x', '${nope}']}], 'there is no nope', (1, 'b', 1)),
        ([{'a': 1}, {'a': 2}], 'vars sets a', (1, 'a')),
        ([{'key': 1}], 'vars sets key', (0, 'key')),
    ):
        with pytest.raises(TemplateError, match=message) as caught:
            resolve_vars(entries, SCOPE)
        assert caught.value.path[:len(path)] == path


def test_a_mapping_becomes_options() -> None:
    scope = Scope({'train': {'lr': 0.1, 'flag': True, 'off': False, 'layers': [1, 2], 'nested': {'a': 1, 'b': {'c': 'x y'}},
                             'none_at_all': [], 'text': "it's"}, 'none': {}, 'empty': []})
    assert (render_command('python t.py ${train}', scope)
            == "python t.py --lr 0.1 --flag --layers 1 2 --nested.a 1 --nested.b.c 'x y' --text 'it'\\''s'")
    assert (render_argv(['python', 't.py', '${train}', '${empty}', '${none}', 3, '-n${train.lr}'], scope)
            == ('python', 't.py', '--lr', '0.1', '--flag', '--layers', '1', '2', '--nested.a', '1', '--nested.b.c', 'x y',
                '--text', "it's", '3', '-n0.1'))
    assert render_command('f ${empty} ${none} x', scope) == 'f   x'
    for bad, message in (({'a': [[1]]}, 'an entry of a in ${m} is a list'), ({'a': [{}]}, 'is a mapping'),
                         ({'a': None}, 'a in ${m} is null'), ({'a': float('nan')}, 'not a finite number'),
                         ([[1]], 'an entry of ${m} is a list')):
        with pytest.raises(TemplateError) as caught:
            render_command('f ${m}', Scope({'m': bad}))
        assert message in caught.value.message
        assert caught.value.offset == 2


def test_arguments_are_not_quoted_and_mistakes_name_the_word() -> None:
    scope = Scope({'v': "a 'b' $(c)\n", 'nul': 'a\0b', 'half': '\ud800', 'list': ['x', 2], 'null': None})
    assert render_argv(['p', '${v}', '--x=${v}', '${list}', r'\${v}'], scope) == (
        'p', "a 'b' $(c)\n", "--x=a 'b' $(c)\n", 'x', '2', '${v}')
    for word, message in (('${nul}', 'NUL'), ('${half}', 'surrogate'), ('--x=${list}', 'is a list'), ('${null}', 'is null'),
                          ('${nope}', 'no nope')):
        with pytest.raises(TemplateError, match=message) as caught:
            render_argv(['p', word], scope)
        assert caught.value.path == (1,)


def test_a_command_refuses_what_no_process_could_take() -> None:
    for value, message in (('a\0b', 'NUL'), ('\ud800', 'surrogate'), (None, 'is null'), ('x' * 140_000, 'Linux takes')):
        with pytest.raises(TemplateError, match=message):
            render_command('echo ${v}', Scope({'v': value}))
    with pytest.raises(TemplateError, match='NUL'):
        render_command('echo \0', Scope({}))
    with pytest.raises(TemplateError, match='more than 1,000'):
        render_command('${v}' * 1001, Scope({'v': 1}))
    assert render_command(r'echo \${HOME} $HOME ${#}'.replace('${#}', ''), Scope({})) == 'echo ${HOME} $HOME '
    assert render_command('echo ${v}', Scope({'v': 'caf\udce9'})) == "echo 'caf\udce9'"


def test_parameters_as_variables() -> None:
    assert parameter_variables({'train': {'lr': 1e-4, 'max-depth': 3, 'amp': True, 'layers': [1], 'note': None, 'näme': 'ü'},
                                'seed': 1, 'eval.top.k': 5}) == {
        'MLOPS_PARAM_EVAL_TOP_K': '5', 'MLOPS_PARAM_SEED': '1', 'MLOPS_PARAM_TRAIN_AMP': 'true',
        'MLOPS_PARAM_TRAIN_LR': '0.0001', 'MLOPS_PARAM_TRAIN_MAX_DEPTH': '3', 'MLOPS_PARAM_TRAIN_N_ME': 'ü'}
    assert parameter_variables({'a.b': 1, 'a_b': 1, 'c': 2}) == {'MLOPS_PARAM_C': '2'}
    assert parameter_variables({'a': {'b': 1}, 'a.b': 1}) == {'MLOPS_PARAM_A_B': '1'}
    assert parameter_variables({'a': {'b': 1}, 'a.b': 2}) == {}
    assert parameter_variables({'nul': 'a\0', 'long': 'x' * 40_000, 'half': '\ud800', 'a': ''}) == {'MLOPS_PARAM_A': ''}
