"""Words and commands as /bin/sh has them; where that can be asked, it is."""
from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.fingerprint.shell import Scope, ShellError, Simple, parse


def words(text: str) -> list[list[str | None]]:
    return [[word.text for word in event.words] for event in parse(text) if isinstance(event, Simple) and event.words]


@pytest.mark.parametrize(('text', 'expected'), [
    ('python x.py', [['python', 'x.py']]),
    ('  python   x.py  \n', [['python', 'x.py']]),
    ('a; b && c || d | e & f', [['a'], ['b'], ['c'], ['d'], ['e'], ['f']]),
    ('a\nb # c\n# d\ne', [['a'], ['b'], ['e']]),
    ('a "b c" \'d e\' f\\ g', [['a', 'b c', 'd e', 'f g']]),
    ('a \\\n b', [['a', 'b']]),
    ('a"b"\'c\'d', [['abcd']]),
    ('a ""', [['a', '']]),
    (r'a "\"\$x\q\\"', [['a', '"$x\\q\\']]),
    ('a $B "$B" ${B} ${B:-c} $(d) `e` $((1+2)) $1 $?', [['a', *[None] * 9]]),
    ('a *.py b?c [ab].x ~/x', [['a', None, None, None, None]]),
    ('[ -f x ]', [['[', '-f', 'x', ']']]),
    ('a > out 2>&1 < in 2> err >> log b', [['a', 'b']]),
    ('a 2 > out', [['a', '2']]),
    ('(cd x; a) ; b', [['cd', 'x'], ['a'], ['b']]),
    ('{ a; b; } > log', [['a'], ['b']]),
    ('if a; then b; elif c; then d; else e; fi; f', [['a'], ['b'], ['c'], ['d'], ['e'], ['f']]),
    ('for i in 1 2; do a $i; done', [['a', None]]),
    ('while a; do b; done < x; until c; do d; done', [['a'], ['b'], ['c'], ['d']]),
    ('case $x in a|b) c ;; (d) e;; *) f; esac; g', [['c'], ['e'], ['f'], ['g']]),
    ('f() { a; }\nf', [['a'], ['f']]),
    ('function f { a; }', [['a']]),
    ('! a', [['a']]),
    ('a <<E b\nx $(y) "\nE\nc', [['a', 'b'], ['c']]),
    ("a <<-'E'\n\tx\n\tE\nc", [['a'], ['c']]),
    ('a=1 b', [['b']]),
    ('echo a=1 if then', [['echo', 'a=1', 'if', 'then']]),
    ('a#b c', [['a#b', 'c']]),
    ('a $', [['a', '$']]),
    ('', []),
])
def test_commands_of_a_script(text: str, expected: list[list[str | None]]) -> None:
    assert words(text) == expected


def test_what_surrounds_a_command_is_told() -> None:
    first, second = (event for event in parse('A=b C=$D x < in > out | y') if isinstance(event, Simple))
    assert [(name, word.text) for name, word in first.assignments] == [('A', 'b'), ('C', None)]
    assert [word.text for word in first.inputs] == ['in'] and [word.text for word in first.outputs] == ['out']
    assert first.apart and not first.piped
    assert second.apart and second.piped


def test_subshells_open_and_close() -> None:
    assert [event.opens for event in parse('(a; (b)); c') if isinstance(event, Scope)] == [True, True, False, False]


def test_substitutions_are_kept_as_text() -> None:
    event = parse('x=$(a "$(b)") c `d \\`e\\``')[0]
    assert isinstance(event, Simple)
    assert list(event.assignments[0][1].commands) == ['a "$(b)"']
    assert list(event.words[1].commands) == ['d `e`']


@pytest.mark.parametrize('text', ["a 'b", 'a "b', 'a $(b', 'a `b', 'a ${b', 'a >', '$(' * 100])
def test_what_is_no_complete_script_says_why(text: str) -> None:
    with pytest.raises(ShellError, match=r'is not closed|has no target|too deeply'):
        parse(text)


def test_long_and_deep_texts_take_no_time() -> None:
    assert len(words('a b\n' * 20_000)) == 20_000
    assert len(words('a ' + '[' * 100_000 + ' ' + '*' * 100_000)[0]) == 3
    with pytest.raises(ShellError):
        parse('"$(' * 5_000)


QUOTED = st.lists(st.one_of(
    st.text('abc.-/=:@%+,', min_size=1, max_size=4),
    st.text('ab \t\n|&;<>()*?#~$"\\`', max_size=6).map(lambda text: "'" + text + "'"),
    st.text('ab |&;<>()*?#~\'', max_size=6).map(lambda text: '"' + text + '"'),
    st.sampled_from(['\\ ', '\\\\', '\\"', "\\'", '\\$', '\\#', '"\\$x"', '"\\\\"', '"a\\b"', '#', '""', '\\\n']),
), min_size=1, max_size=4).map(''.join).filter(lambda text: not text.replace('\\\n', '').startswith('#'))  # no comment


@settings(max_examples=60, deadline=None)
@given(st.lists(QUOTED, min_size=1, max_size=30))
def test_constant_words_are_what_a_real_shell_makes_of_them(written: list[str]) -> None:
    text = 'printf "%s\\0" x ' + ' '.join(written)
    real = subprocess.run(['/bin/sh', '-c', text], capture_output=True, check=True).stdout.decode().split('\0')[:-1]
    event = parse(text)[0]
    assert isinstance(event, Simple)
    assert [word.text for word in event.words[2:]] == real
