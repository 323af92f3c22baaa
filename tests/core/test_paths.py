"""Which paths people may write, and what becomes of them."""
from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.paths import Pattern, ancestors, check_path, inside, is_pattern, join_path, join_pattern, shell_word


@pytest.mark.parametrize(('text', 'path'), [
    ('a', 'a'),
    ('a/b.csv', 'a/b.csv'),
    ('./a//b/', 'a/b'),
    ('.', '.'),
    ('./', '.'),
    ('.gitignore', '.gitignore'),
    ('.github/workflows', '.github/workflows'),
    ('git/x', 'git/x'),
    ('a b/ü.csv', 'a b/ü.csv'),
    ('gitx~1', 'gitx~1'),
    ('a:b', 'a:b'),
])
def test_what_is_allowed_is_normalised(text: str, path: str) -> None:
    assert check_path(text) == path
    assert check_path(path) == path


@pytest.mark.parametrize(('text', 'reason'), [
    ('', 'is empty'),
    ('/etc/passwd', 'is absolute'),
    ('..', 'contains ".."'),
    ('a/../b', 'contains ".."'),
    ('a\0b', 'U+0000'),
    ('a\nb', 'U+000A'),
    ('a\x9bb', 'U+009B'),
    ('a\u2028b', 'U+2028'),
    ('a\\b', 'backslash'),
    ('cafe\u0301', 'normal form C'),
    ('.git', 'into .git, which belongs to git'),
    ('.git/hooks/pre-commit', 'into .git'),
    ('sub/.GIT/config', 'into .git'),
    ('.Git.', 'into .git'),
    ('.git ', 'into .git'),
    ('.git. .', 'into .git'),
    ('.gi\u200ct', 'into .git'),
    ('.g\ufeffit', 'into .git'),
    ('.g\ufe0fit', 'into .git'),
    ('.git::$INDEX_ALLOCATION', 'into .git'),
    ('GIT~1/config', 'into .git'),
    ('.mlops/cache', 'into .mlops, which belongs to mlops'),
    ('.MLOPS', 'into .mlops'),
    ('.mlop\u017f', 'into .mlops'),
    ('mlops~1', 'into .mlops'),
    ('x' * 256, 'more than 255 bytes'),
    ('é' * 128, 'more than 255 bytes'),
    ('/'.join(['x' * 200] * 21), 'longer than 4095 bytes'),
])
def test_what_is_refused_says_why(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace('+', r'\+').replace('"..', '"\\.\\.')):
        check_path(text)


@pytest.mark.parametrize(('folder', 'text', 'path'), [
    ('.', 'a', 'a'),
    ('sub', 'a', 'sub/a'),
    ('sub', '../a', 'a'),
    ('sub/deep', '../../data/x.csv', 'data/x.csv'),
    ('sub', '.', 'sub'),
    ('sub', '..', '.'),
    ('.', 'a/../b', 'b'),
])
def test_a_path_is_read_in_its_folder(folder: str, text: str, path: str) -> None:
    assert join_path(folder, text) == path


@pytest.mark.parametrize(('folder', 'text'), [('.', '..'), ('sub', '../../x'), ('a/b', '../../../c'), ('.', 'a/../../b')])
def test_no_way_out_of_the_project(folder: str, text: str) -> None:
    with pytest.raises(ValueError, match='leaves the project'):
        join_path(folder, text)


@given(st.text(alphabet='./ab~\\\0\u200c.gitGITmlops', max_size=30))
def test_whatever_is_written_stays_inside(text: str) -> None:
    try:
        path = join_path('sub', text)
    except ValueError:
        return
    parts = path.split('/')
    assert '..' not in parts and not path.startswith('/') and '' not in parts
    assert not {part.casefold() for part in parts} & {'.git', '.mlops'}
    assert join_path('.', path) == path


@pytest.mark.parametrize(('text', 'answer'), [('data/*.csv', True), ('a?', True), ('[ab]', True), ('data/a.csv', False)])
def test_is_pattern(text: str, answer: bool) -> None:
    assert is_pattern(text) is answer


@pytest.mark.parametrize(('text', 'reason'), [
    ('data/[ab', 'nothing closes'),
    ('[^a].csv', 'all but a to z'),
    ('d/[[:alpha:]]', 'all but a to z'),
    ('data/a**', 'stands alone'),
    ('../*.csv', 'leaves the project'),
    ('.git/*', 'into .git'),
])
def test_patterns_are_checked(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        join_pattern('.', text)


@pytest.mark.parametrize(('pattern', 'path', 'answer'), [
    ('data/*.csv', 'data/a.csv', True),
    ('data/*.csv', 'data', True),
    ('data/*.csv', 'data/a.bin', False),
    ('data/*.csv', 'data/sub/a.csv', False),
    ('data/**', 'data/sub/a.csv', True),
    ('**/*.csv', 'anything', True),
    ('**/x.csv', 'x.csv', True),
    ('a/**/b', 'a/b', True),
    ('a/**/b', 'c', False),
    ('m[!b-d]?', 'mex', True),
    ('m[!b-d]?', 'mcx', False),
    ('*', 'a/b', False),
])
def test_what_a_pattern_can_reach(pattern: str, path: str, answer: bool) -> None:
    assert Pattern(join_pattern('.', pattern)).reaches(path) is answer


def test_a_pattern_of_many_stars_is_answered_at_once() -> None:
    assert not Pattern('*a' * 40 + 'b').reaches('a' * 250)


def test_inside_and_ancestors() -> None:
    assert inside('a/b', 'a') and inside('a', 'a') and inside('a', '.')
    assert not inside('ab', 'a')
    assert list(ancestors('a/b/c')) == ['a/b', 'a']
    assert list(ancestors('a')) == []


@pytest.mark.parametrize(('path', 'typed'), [
    ('a/b-1.csv', 'a/b-1.csv'),
    ('.gitignore', '.gitignore'),
    ('.mlops/stages/train~0a.json', '.mlops/stages/train~0a.json'),
    ('~/x', "'~/x'"),
    ('tr ain.py', "'tr ain.py'"),
    ('-rf', './-rf'),
    ('x [1].csv', "'x [1].csv'"),
    ('ü.csv', "'ü.csv'"),
    ('a;reboot', "'a;reboot'"),
])
def test_a_path_behind_a_command_is_one_word(path: str, typed: str) -> None:
    assert shell_word(path) == typed


@given(st.text(st.characters(blacklist_characters='\0', blacklist_categories=('Cs',)), min_size=1))
def test_a_shell_reads_the_path_that_was_meant(path: str) -> None:
    (word,) = shlex.split(shell_word(path))
    assert word == (f'./{path}' if path.startswith('-') else path)
