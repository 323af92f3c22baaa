from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.checks.gate import evaluate, read_metrics
from mlops_cli.checks.sources import NobodyYet, Sources, matched
from mlops_cli.core.errors import UserError

FILES: dict[str, Any] = {
    'best.json': {'accuracy': 0.9722, 'loss': 0.25, 'name': 'forest', 'ok': True, 'nothing': None, 'n': 3, 'layers': [64, 32],
                  'nan': float('nan'), 'inf': float('inf'), 'nans': [1.0, float('nan')], 'val-loss': 0.5, 'eval/f1': 0.8,
                  'mAP@0.5': 0.6, 'mAP@0.5:0.95': 0.4, 'top': {'k': {'5': 0.99}}, 'close': 0.94999999999},
    'metrics/a b.json': {'test': {'f1': 0.81}},
    'my [odd] file.json': {'acc': 0.9},
    'a.json': {'x': 1.0}, 'b.json': {'x': 1.0005}, 'a-b.json': {'x': 2},
}


def read(name: str) -> Any:
    if name not in FILES:
        raise UserError(f'there is no {name}')
    return FILES[name]


@pytest.mark.parametrize(('expression', 'passed', 'values'), [
    ('best.json:accuracy >= 0.95', True, {'best.json:accuracy': 0.9722}),
    ('best.json:accuracy>=0.99', False, {'best.json:accuracy': 0.9722}),
    ('metrics/a b.json:test.f1 > 0.8 and best.json:loss < 0.3', True, {'metrics/a b.json:test.f1': 0.81,
                                                                       'best.json:loss': 0.25}),
    ('best.json:loss < 0.3 and metrics/a b.json:test.f1 > 0.9', False, {'best.json:loss': 0.25,
                                                                        'metrics/a b.json:test.f1': 0.81}),
    ('abs(a.json:x - b.json:x) <= 1e-3', True, {'a.json:x': 1.0, 'b.json:x': 1.0005}),
    ('abs(a.json:x-1) < 2', None, {}), ('abs(1 -a.json:x) == 0', True, {'a.json:x': 1.0}),
    ('"my [odd] file.json":acc == 0.9', True, {'"my [odd] file.json":acc': 0.9}),
    ("'my [odd] file.json':acc == 0.9", True, {"'my [odd] file.json':acc": 0.9}),
    ('my [odd] file.json:acc == 0.9', True, {'my [odd] file.json:acc': 0.9}),
    ('best.json:val-loss < 1', True, {'best.json:val-loss': 0.5}), ('best.json:eval/f1 > 0.5', True,
                                                                    {'best.json:eval/f1': 0.8}),
    ('best.json:mAP@0.5 > 0.5', True, {'best.json:mAP@0.5': 0.6}),
    ('best.json:"mAP@0.5:0.95" > 0.3', True, {'best.json:"mAP@0.5:0.95"': 0.4}),
    ('best.json:top.k.5 > 0.9', True, {'best.json:top.k.5': 0.99}), ('best.json:layers.0 == 64', True,
                                                                     {'best.json:layers.0': 64}),
    ('best.json:layers[1] == 32', True, {'best.json:layers[1]': 32}), ('a-b.json:x == 2', True, {'a-b.json:x': 2}),
    ('sum(best.json:layers) == 96 and len(best.json:layers) == 2', True, {'best.json:layers': [64, 32]}),
    ('max(best.json:loss, best.json:accuracy) > min(1, 2) or not best.json:ok', False,
     {'best.json:loss': 0.25, 'best.json:accuracy': 0.9722, 'best.json:ok': True}),
    ('best.json:name == "forest"', True, {'best.json:name': 'forest'}), ('best.json:ok == true', True, {'best.json:ok': True}),
    ('best.json:ok', True, {'best.json:ok': True}), ('0.9 < best.json:accuracy < 1', True, {'best.json:accuracy': 0.9722}),
    ('round(best.json:accuracy, 2) == 0.97', True, {'best.json:accuracy': 0.9722}), ('-best.json:n < 0', True,
                                                                                     {'best.json:n': 3}),
    ('best.json:n / 2 * 2 == best.json:n', True, {'best.json:n': 3}), ('2 / best.json:n < 1', True, {'best.json:n': 3}),
    ('best.json:n in best.json:layers', False, {'best.json:n': 3, 'best.json:layers': [64, 32]}),
    ('best.json:n > 5 if best.json:ok else true', False, {'best.json:n': 3, 'best.json:ok': True}),
    ('best.json:n > 1\nand best.json:n < 5', True, {'best.json:n': 3}), ('(best.json:n) == (3)', True, {'best.json:n': 3}),
    ('best.json:n == 3 and "a.json:x" != "b"', True, {'best.json:n': 3}), ('1 < 2', True, {}),
])
def test_a_gate(expression: str, passed: bool | None, values: dict[str, Any]) -> None:
    if passed is None:
        with pytest.raises(UserError, match='has no x-1') as caught:
            evaluate(expression, read)
        assert 'an operator needs blanks around it' in caught.value.hint
        return
    result = evaluate(expression, read)
    assert (result.passed, result.expression, dict(result.values)) == (passed, expression, values)


def test_the_line_for_people() -> None:
    assert evaluate('best.json:accuracy >= 0.95', read).text == 'gate passed: best.json:accuracy >= 0.95 (0.9722)'
    assert evaluate('best.json:close >= 0.95', read).text == 'gate FAILED: best.json:close >= 0.95 (0.94999999999)'
    assert (evaluate('best.json:n > 5 and best.json:name == "x"', read).text
            == 'gate FAILED: best.json:n > 5 and best.json:name == "x" (best.json:n is 3, best.json:name is "forest")')


@pytest.mark.parametrize(('expression', 'message', 'hint', 'code'), [
    ('accuracy >= 0.95', 'what is accuracy?', 'best.json:accuracy', 2), ('nope.json:x > 1', 'there is no nope.json', '', 2),
    ('best.json:acuracy > 1', 'best.json has no acuracy', 'did you mean accuracy?', 2), ('best.json:k.5 > 1', 'has no k.5',
                                                                                         'top.k.5', 2),
    ('best.json:nan > 1', 'best.json:nan is nan', 'diverges', 1), ('best.json:inf > 1', 'is inf', '', 1),
    ('sum(best.json:nans) > 1', 'an entry of best.json:nans is nan', '', 1), ('best.json:nothing > 1', 'is null', '', 2),
    ('best.json:top > 1', 'is a mapping', 'best.json:top.KEY: k', 2), ('best.json:name > 1', 'cannot be computed', '', 2),
    ('best.json:accuracy', 'is a number, neither true nor false', 'best.json:accuracy >= ...', 2), ('', 'cannot be read', '',
                                                                                                    2),
    ('best.json: > 1', 'a key is missing after ":" at character 11', 'such as', 2), ('best.json:n >', 'cannot be read', '', 2),
    ('best.json:n / 0 > 1', 'cannot be computed: division by zero', '', 2), ('9**9**9**9 > 1', 'cannot be computed', '', 2),
    ('"a" * 10000000000 == "b"', 'cannot be computed', '', 2), ('best.json:layers * 100000000 == 1', 'cannot be computed', '',
                                                                2),
    ('open("x")', 'there is no function open, only above, abs, below, len', '', 2), ('__import__("os")', 'no function', '', 2),
    ('best.json:name.upper() == "X"', 'has no name.upper', '', 2), ('"a".upper() == "A"', 'Call has no place', '', 2),
    ('(lambda: 1)() == 1', 'a key is missing', '', 2), ('[1 for x in [1]]', 'no place', '', 2), ('f"{1}" == "1"', 'no place',
                                                                                                 '', 2),
    ('(1).real == 1', 'Attribute has no place', '', 2), ('"abc"[0] == "a"', 'Subscript has no place', '', 2), ('min == 1',
                                                                                                               'what is min?',
                                                                                                               '', 2),
    ('max(1, key=1) == 1', 'no place', '', 2), ('max(*"12") == "2"', 'Starred has no place', '', 2), ('{1: 2} == 1', '', '', 2),
    ('(x := 1) == 1', '', '', 2), ('1 == 1; 2', 'cannot be read', '', 2), ('(' * 1900 + '1' + ')' * 90, '', '', 2),
    ('-' * 1990 + '1 == 1', '', '', 2), ('1' + ' ' * 2000, 'more than 2,000', '', 2), ('1 ==\0 1', '', '', 2), ('\\d == 1', '',
                                                                                                                '', 2),
    ('sum(best.json:name) == 1', 'cannot be computed', '', 2), ('len(best.json:n) == 1', 'cannot be computed', '', 2),
])
def test_a_wrong_gate_says_what_next(expression: str, message: str, hint: str, code: int) -> None:
    with pytest.raises(UserError) as caught:
        evaluate(expression, read)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == code


@given(st.text(st.sampled_from('abn.json:x019 <>=()-+*/"\'[]{}!,\\&|%@$~#;'), max_size=30))
def test_any_text_is_a_verdict_or_a_users_mistake(text: str) -> None:
    try:
        assert evaluate(text, read).passed in (True, False)
    except UserError as error:
        assert error.message


def test_metrics_in_every_format() -> None:
    for name, text in {
        'm.json': '{"acc": 0.5, "a": {"b": 2}}', 'm.yaml': 'acc: 0.5\na: {b: 2}\n', 'm.toml': 'acc = 0.5\na.b = 2\n',
        'm': '{"acc": 0.5, "a": {"b": 2}}', 'm.jsonl': '{"acc": 0.1}\n{"acc": 0.5, "a": {"b": 2}}\n\n',
    }.items():
        assert read_metrics(text.encode(), name) == {'acc': 0.5, 'a': {'b': 2}}
    assert read_metrics(b'\xef\xbb\xbfepoch,acc,name,ok,gap\n1,0.1,x,False,\n\n2, 0.5 ,"a,b",true,\n', 'm.csv') == {
        'epoch': 2, 'acc': 0.5, 'name': 'a,b', 'ok': True, 'gap': None}
    assert read_metrics(b'a\tb\n1\t2\n', 'm.TSV') == {'a': 1, 'b': 2}
    assert read_metrics(b'a;b;c;d\n1;0,25;x,5;0.5\n', 'm.csv') == {'a': 1, 'b': 0.25, 'c': 'x,5', 'd': 0.5}
    written = {'m.json': 'NaN, "b": [-Infinity]', 'm.yaml': '.nan, "b": [-.inf]', 'm.toml': 'a = nan\nb = [-inf]'}
    for name, text in written.items():
        found = read_metrics((text if name == 'm.toml' else f'{{"a": {text}}}').encode(), name)
        assert str(found['a']) == 'nan' and found['b'] == [-math.inf], name


@pytest.mark.parametrize(('name', 'text', 'message'), [
    ('m.json', '{"a": 1, "a": 2}', 'm.json:1:10: the key "a" again'), ('m.json', '{', 'm.json:1:2: not JSON'),
    ('m.jsonl', '\n', 'no line in it'), ('m.jsonl', '{"a": 1}\n{"a":\n', 'm.jsonl:2:'), ('m.csv', 'a,b\n',
                                                                                         'no row below a header'),
    ('m.csv', 'a,b\n1\n', 'not as many values as names'), ('m.csv', 'a,a\n1,2\n', 'two columns of one name'),
    ('m.csv', '\xff', 'no row'), ('m.yaml', 'a: [', 'm.yaml:'),
])
def test_a_broken_metrics_file_has_its_place(name: str, text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_metrics(text.encode(), name)
    assert message in str(caught.value)
    with pytest.raises(UserError, match='more than'):
        read_metrics(b' ' * (16 << 20) + b' ', name)


SEEDS: dict[str, Any] = {f'out/seed={seed}/m.json': {'acc': 0.9 + seed / 1000, 'x': {'y': seed}} for seed in (1, 2, 10)}
SEEDS['out/a-3.json'] = {'acc': 1}


def of_seeds(file: str, _quoted: bool) -> Sources | None:
    return matched(file, SEEDS, SEEDS.__getitem__) if '*' in file else None


@pytest.mark.parametrize(('expression', 'values'), [
    ('mean(out/*/m.json:acc) > 0.9', {'out/*/m.json:acc': [0.901, 0.902, 0.91]}),
    ('max(out/seed=*/m.json:x.y) == 10', None),  # = compares, outside of quotes
    ('max("out/seed=*/m.json":x.y) == 10', {'"out/seed=*/m.json":x.y': [1, 2, 10]}),
    ('above(out/*/m.json:acc, 0.8)', {'out/*/m.json:acc': [0.901, 0.902, 0.91]}),
    ('len(out/*/m.json:acc) * len(out/*/m.json:acc) == 9', {'out/*/m.json:acc': [0.901, 0.902, 0.91]}),
    ('mean(out/a-*.json:acc) == 1', {'out/a-*.json:acc': [1]}),
    ('2*a.json:x == 2', {'a.json:x': 1.0}), ('a.json:x*2 == 2', {'a.json:x': 1.0}),
    ('a.json:x*b.json:x > 1', {'a.json:x': 1.0, 'b.json:x': 1.0005}), ('2 * a.json:x ** 2 == 2', {'a.json:x': 1.0}),
])  # fmt: skip
def test_patterns_of_files(expression: str, values: dict[str, Any] | None) -> None:
    if values is None:
        with pytest.raises(UserError):
            evaluate(expression, read, of_seeds)
        return
    found = evaluate(expression, read, of_seeds)
    assert found.passed and dict(found.values) == values


def test_several_values_are_told_by_their_mean_and_ends() -> None:
    found = evaluate('lower(out/*/m.json:acc) > 0.95', read, of_seeds)
    assert not found.passed and '(mean 0.904333 of 3, 0.901 to 0.91)' in found.text


@pytest.mark.parametrize(('expression', 'said'), [
    ('mean(out/*/m.json:none) > 1', 'out/seed=1/m.json has no none'),
    ('mean(out/*/m.json:x) > 1', 'is a mapping'),
    ('above(a.json:x, b.json:x)', 'two single values have no spread'),
    ('out/*/m.json:acc > 0.9', 'out/*/m.json:acc is a list of 3, and > compares numbers'),
    ('mean(out/**/m.json:acc) > 0', '** stands for no more than *'),
    ('std(out/a-*.json:acc) > 0', '2 are needed'),
])
def test_what_is_wrong_with_several_is_told(expression: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        evaluate(expression, read, of_seeds)
    assert said in error.value.message


@pytest.mark.parametrize(('expression', 'said', 'hint'), [
    ('3999999 ** 3999999 > 1', 'a power has more than 4,096 bits', '10.0'),
    ('2 ** 2000 * 2 ** 2000 * 2 ** 2000 > 1', 'a number has more than 4,096 bits', ''),
    ('"%999999999d" % 5 == "a"', 'there is the text "%999999999d", and % takes numbers', ''),
    ('round(5, -1000000000) == 0', 'round is used as round(NUMBER, DIGITS)', ''),
    ('(-8) ** 0.5 > 0', 'a power is no number', ''),
    ('not (1e308 * 10 > 0)', 'a part of it is inf', ''), ('best.json:accuracy < 1e999', 'a part of it is inf', ''),
    ('best.json:name > 0.9', 'best.json:name is the text "forest", and > compares numbers', ''),
    ('best.json:ok >= 0.95', 'best.json:ok is true, and >= compares numbers', ''),
    ('best.json:name != 0', 'best.json:name is the text "forest", which is compared with a number', ''),
    ('0 != best.json:name', 'best.json:name is the text "forest", which is compared with a number', ''),
    ('best.json:n in best.json:n', 'best.json:n is a number, and "in" looks into lists and texts', ''),
    ('best.json:accuracy and best.json:ok', 'best.json:accuracy is a number, neither true nor false', 'compare each'),
    ('not best.json:accuracy', 'best.json:accuracy is a number, neither true nor false', ''),
    ('out/*/m.json:acc > 0.9', 'out/*/m.json:acc is a list of 3, and > compares numbers', 'of a list take mean'),
    ('mean(best.json:layers + out/*/m.json:acc) > 0', 'only where they are of files of the same names', ''),
    ('mean(best.json:layers + best.json:layers) > 0', 'only where they are of files of the same names', ''),
    ('mean(out/*/m.json:acc / 0) > 0', 'division by zero', ''), ('mean(out/*/m.json:acc * 1e999) > 0', 'is inf', ''),
    ('mean(10 ** (out/*/m.json:x.y * 1000)) > 0', 'a power has more than 4,096 bits', ''),
    ('mean(out/*/m.json:acc * best.json:ok) > 0', 'best.json:ok is true, and * takes numbers', ''),
    ('out/*/m.json:acc != 0', 'out/*/m.json:acc is a list of 3, which is compared with a number', ''),
    ('best.json:accuracy > 0.9 # floor\n and best.json:loss < 0.1', 'there are no comments in a gate', ''),
    ('1 ^ 2 > 0', 'BitXor has no place', ''), ('best.json:n is 3', 'Is has no place', 'compare with =='),
    ('1j == 1j', '1j has no place', ''), ('... == ...', '... has no place', ''), ('b"x" == b"x"', "b'x' has no place", ''),
    ('best.json:accuracy = 0.9', 'cannot be read', 'write ==, not ='),
    ('best.json:accuracy > 0.9 && best.json:ok', 'cannot be read', 'write and, not &&'),
    ('best.json:accuracy ≥ 0.9', 'cannot be read', 'write >=, not ≥'),
    ('best.json:accuracy >= 95%', 'cannot be read', 'write 0.95, not 95%'),
    ('best.json:accuracy >= 0,95', 'Tuple has no place', 'numbers have a point'),
    ('best.json.accuracy > 0.9', 'Attribute has no place', 'FILE:KEY'),
    ('"best.json"@HEAD:accuracy > 0.9', 'no revision of it can be named at character 12', ''),
    ('value_0_ < 1 and best.json:n > 1', 'what is value_0_?', ''),
])  # fmt: skip
def test_what_nobody_can_have_meant_is_refused(expression: str, said: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        evaluate(expression, read, of_seeds)
    assert said in error.value.message and hint in error.value.hint
    assert error.value.exit_code == 2


@pytest.mark.parametrize(('expression', 'passed'), [
    ('len(out/*/m.json:acc * 100) == 3', True), ('max(out/*/m.json:acc * 100) == 91', True),
    ('max(100 * -out/*/m.json:acc) < -90', True), ('min(1 - out/*/m.json:acc) > 0.08', True),
    ('min(out/*/m.json:acc / out/*/m.json:x.y) < 0.1', True), ('sum(best.json:layers / 2) == 48', True),
    ('above(out/*/m.json:acc, out/*/m.json:acc)', False),
    ('above(out/*/m.json:acc + 0.001, out/*/m.json:acc)', True),  # in pairs still: not worse by more than that
    ('above(out/*/m.json:acc * 100, 80)', True), ('above(out/*/m.json:acc * 100, 90)', False),
])  # fmt: skip
def test_of_lists_each_value_is_computed(expression: str, passed: bool) -> None:
    assert evaluate(expression, read, of_seeds).passed is passed


def test_long_lists_are_not_computed_with() -> None:
    long = {'m.json': {'all': [1.0] * 100_001}}
    with pytest.raises(UserError, match='is a list of 100,001, and \\* takes lists of up to 100,000'):
        evaluate('mean(m.json:all * 2) > 0', long.__getitem__)
    assert evaluate('mean(m.json:all) > 0', long.__getitem__).passed


def test_values_as_large_as_can_be_are_shown() -> None:
    large = {'m.json': {'all': [1e308] * 4}}
    assert '[1e+308, ' in evaluate('max(m.json:all) > 0', large.__getitem__).text


def nobody(file: str, quoted: bool) -> Sources | None:
    if '@prod/' in file:
        raise NobodyYet('nobody holds prod yet')
    return of_seeds(file, quoted)


@pytest.mark.parametrize(('expression', 'passed', 'shown'), [
    ('best.json:accuracy >= d@prod/best.json:accuracy', True, '(0.9722, nobody holds prod yet)'),
    ('best.json:accuracy >= 0.99 and best.json:accuracy >= d@prod/best.json:accuracy', False, '(0.9722, nobody'),
    ('best.json:accuracy >= d@prod/best.json:accuracy and (best.json:n == 3 and best.json:loss < 0.1)', False, ''),
    ('above(out/*/m.json:acc, d@prod/m.json:acc) and best.json:n == 3', True, ''),
    ('not (best.json:accuracy < d@prod/best.json:accuracy or best.json:n == 3)', True, ''),
])  # fmt: skip
def test_only_what_compares_with_nobody_is_left_out(expression: str, passed: bool, shown: str) -> None:
    found = evaluate(expression, read, nobody, first=True)
    assert found.passed is passed and shown in found.text
    with pytest.raises(NobodyYet):
        evaluate(expression, read, nobody)


@pytest.mark.parametrize('expression', [
    'best.json:none >= d@prod/best.json:accuracy', 'd@prod/best.json:x < nope.json:x', 'best.json:nan > d@prod/m.json:x',
    'd@prod/m.json:x > (', 'open(d@prod/m.json:x)',
])  # fmt: skip
def test_what_is_wrong_is_told_where_nobody_holds_it_as_well(expression: str) -> None:
    with pytest.raises(UserError):
        evaluate(expression, read, nobody, first=True)


def test_numbers_of_csv_are_those_that_others_read() -> None:
    assert read_metrics('a,b\n1_0,\u0661\n'.encode(), 'm.csv') == {'a': '1_0', 'b': '\u0661'}
