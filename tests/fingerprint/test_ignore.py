""".mlopsignore against git itself."""
from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint.ignore import ALWAYS, DEFAULTS, LINE_LIMIT, PATTERN_LIMIT, Ignore
from mlops_cli.fsio.paths import Root


@pytest.fixture(scope='module')
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('git')
    subprocess.run(['git', 'init', '-q', '.'], cwd=folder, check=True)
    return folder


def git_ignores(repository: Path, questions: list[tuple[str, list[str]]]) -> list[set[str]]:
    """For each (text of a .gitignore, paths with a slash behind folders), which of the paths git ignores."""
    tree = Path(tempfile.mkdtemp(dir=repository))
    asked = []
    for number, (text, paths) in enumerate(questions):
        top = tree / f'{number}'
        top.mkdir()
        (top / '.gitignore').write_bytes(text.encode('utf-8', 'surrogateescape'))
        for path in paths:
            (top / path if path.endswith('/') else (top / path).parent).mkdir(parents=True, exist_ok=True)
            if not path.endswith('/'):
                (top / path).touch()
            asked.append(f'{number}/{path.removesuffix("/")}')
    done = subprocess.run(
        ['git', '-c', 'core.excludesFile=/dev/null', '-c', 'core.ignoreCase=false',
         'check-ignore', '--no-index', '-z', '--stdin'],
        input=b''.join(os.fsencode(path) + b'\0' for path in asked), cwd=tree, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    ignored = {os.fsdecode(path) for path in done.stdout.split(b'\0') if path}
    return [{path for path in paths if f'{number}/{path.removesuffix("/")}' in ignored}
            for number, (_, paths) in enumerate(questions)]


def is_in_the_way(path: str, paths: list[str]) -> bool:
    """Whether a file has the name of a folder that others need."""
    return any(other.startswith(f'{path}/') for other in paths)


def we_ignore(text: str, paths: list[str]) -> set[str]:
    ours = Ignore(tuple(line.removesuffix('\r') for line in text.split('\n')))
    return {path for path in paths if ours.matches(path.removesuffix('/'), path.endswith('/'))}


CASES = {
    # a name without a slash, at any depth
    'a': 'a a/ b/a b/a/c ab ba A', '*.csv': 'x.csv a/x.csv x.csv.gz .csv a.csv/ a.csv/b', 'a?c': 'abc ac abbc a/c b/adc',
    '?': 'a ab é',
    '*': 'a .a a/b', 'data*': 'data data1 x/data1 adata', '*~': 'a~ a b/~', '.*.sw?': '.a.swp a.swp .a.swpx',
    # folders only
    'a/': 'a a/ a/b b/a/ b/a/c', '*.d/': 'x.d x.d/ x.d/f', '/': 'a a/ b/', '//': 'a a/', 'a//': 'a a/ a/b',
    '**/': 'a a/ a/b',
    # anchored
    '/a': 'a a/ b/a a/b', 'a/b': 'a/b x/a/b a/b/c a/b/', '/a/b': 'a/b x/a/b', '/*.csv': 'x.csv a/x.csv',
    'a/*': 'a a/b a/b/c x/a/b',
    'a/*.csv': 'a/x.csv a/b/x.csv', '/a/': 'a a/ a/b b/a/', 'a/b/': 'a/b a/b/ a/b/c', '/*': 'a a/b',
    '/*/b': 'a/b a/c/b b',
    # two stars
    '**': 'a a/b', '**/a': 'a b/a b/c/a b/ab', '**/a/b': 'a/b x/a/b x/y/a/b a/x/b', 'a/**': 'a a/b a/b/c b/a/c a/',
    '/**': 'a a/b',
    'a/**/b': 'a/b a/x/b a/x/y/b a/bb x/a/b', 'a/**/': 'a a/ a/b a/b/ a/b/c', '**/a/**': 'a a/b x/a/b x/a',
    '***/a': 'a b/a b/c/a',
    'a**/b': 'a/b ax/b ax/y/b', 'a/b**': 'a/b a/bc a/bc/d a/b/d', '**a': 'a ba c/ba', 'x/**a': 'x/a x/ba x/c/a x/c/ba',
    'a/**b': 'a/b a/xb a/x/b',
    '**/**/a': 'a b/a b/c/a', 'a/***/b': 'a/b a/x/b a/x/y/b', '**.csv': 'x.csv a/x.csv', 'a/**/**/b': 'a/b a/x/b a/x/y/b',
    # sets
    '[ab]': 'a b c ab', '[a-c]x': 'ax bx dx', '[!a]': 'a b c', '[^a]': 'a b ^', '[]a]': '] a b', '[!]a]': '] a b',
    '[a-]': 'a - b',
    '[-a]': 'a - b', '[\\]]': '] \\ a', '[\\a-c]': 'a b c \\', '[[:digit:]]': '1 a', '[[:alpha:][:digit:]_]': 'a 1 _ -',
    '[[:nope:]]': 'a n',
    '[![:space:]]x': 'ax', 'a[': 'a a[ ab', '[a': 'a [a', '[!': 'a [!', '[c-a]': 'a b c', 'x[/]y': 'x/y x[/]y',
    'x/[/]y': 'x/y', '[z-a-c]': 'a - c',
    '[[:]': ': [', '[[a:]x': 'ax [x :x', 'a[!x]b': 'a/b acb axb', '[a\\': 'a', '[[:upper:]]': 'A a',
    # backslashes
    '\\#a': '#a a', '#a': '#a a', '\\!a': '!a a', '\\*': '* a', 'a\\b': 'ab a\\b', 'a\\': 'a a\\', '\\a\\b': 'ab',
    'a\\*b': 'a*b axb',
    'a/**\\/b': 'a/b a/x/b a/x/y/b', '\\\\': '\\ a',
    # spaces
    'a ': 'a a\u00a0', 'a\\ ': 'a', ' a': 'a', ' ': 'a', '': 'a', 'a b': 'a', 'a  \\  ': 'a', '\t': 'a',
    # negation
    '*.csv\n!x.csv': 'x.csv a.csv b/x.csv', '!a': 'a', '*\n!*/\n!*.py': 'a.py b/a.py b/a.txt a.txt',
    'a/\n!a/b': 'a/b a/c',
    'a/*\n!a/b': 'a/b a/c', '/*\n!/a\n/a/*\n!/a/b': 'a/b a/c x a/b/c', '!': 'a', 'a\n!a\na': 'a b', '!!a': '!a a',
    '*\n!a/**': 'a/b a',
    # bytes
    'é': 'é e', '[é]': 'é', '*é': 'aé', 'ü?': 'üa üé', '\udcff': '\udcff a', '[[:alpha:]]': 'a é', 'É': 'é É',
    # ends of lines
    'a\r': 'a', 'a\r\nb\r\n': 'a b', 'a\r\r': 'a',
}
EXTRA = {'a ': ['a ', 'a  '], 'a\\ ': ['a '], ' a': [' a'], ' ': [' '], 'a b': ['a b'], 'a  \\  ': ['a   ', 'a  '],
         '\t': ['\t'], '[![:space:]]x': [' x'], 'a\r\r': ['a\r'], 'a\\': ['a\\ '], '*': ['a\nb'], '?': ['\n']}


def test_the_table_is_long_enough() -> None:
    assert sum(len(paths.split()) for paths in CASES.values()) > 250


def test_git_agrees(repository: Path) -> None:
    questions = []
    for text, paths in CASES.items():
        every = paths.split(' ') + EXTRA.get(text, [])
        questions.append((text, [path for path in every if not is_in_the_way(path, every)]))
    answers = git_ignores(repository, questions)
    assert sum(map(len, answers)) > 100
    assert {text: we_ignore(text, paths) for text, paths in questions} == dict(zip(CASES, answers, strict=True))


def test_a_byte_order_mark_does_not_count() -> None:
    assert Ignore.of('\ufeffa').matches('a', False)


letters = st.sampled_from('ab*?[]!^-\\/. ')
lines = st.text(letters, min_size=1, max_size=7)
paths = st.lists(st.text(st.sampled_from('ab-.[\\ ^!*'), min_size=1, max_size=3), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(lines, min_size=1, max_size=4), st.lists(st.tuples(paths, st.booleans()), min_size=5, max_size=25))
def test_git_agrees_on_anything(repository: Path, lines: list[str], asked: list[tuple[list[str], bool]]) -> None:
    text = '\n'.join(lines)
    every = ['/'.join(parts) + '/' * is_folder for parts, is_folder in asked if not {'.', '..'} & set(parts)]
    found = [path for path in every if not is_in_the_way(path, every)]
    assume(found)
    assert [we_ignore(text, found)] == git_ignores(repository, [(text, found)])


def test_a_quick_no_is_never_wrong() -> None:
    for text, asked in CASES.items():
        ours = Ignore(tuple(text.split('\n')))
        for path in asked.split():
            folder, _, name = path.removesuffix('/').rpartition('/')
            if ours.entry_ignored(folder, name, path.endswith('/')):
                assert ours.may_ignore(name), (text, path)


@settings(max_examples=200, deadline=None)
@given(st.lists(lines, min_size=1, max_size=3), paths, st.booleans())
def test_a_quick_no_is_never_wrong_on_anything(lines: list[str], parts: list[str], is_folder: bool) -> None:
    ours = Ignore(tuple(lines))
    if ours.entry_ignored('/'.join(parts[:-1]), parts[-1], is_folder):
        assert ours.may_ignore(parts[-1])


# Ours

@pytest.mark.parametrize(('path', 'is_folder', 'ignored'), [
    ('__pycache__', True, True), ('src/__pycache__/x.pyc', False, True), ('x.pyc', False, True), ('x.py', False, False),
    ('.ipynb_checkpoints', True, True), ('data/.DS_Store', False, True), ('a.txt~', False, True), ('.a.txt.swp', False, True),
    ('.git', True, True), ('sub/.git/config', False, True), ('.mlops/cache/x', False, True), ('.gitignore', False, False),
    ('.env', False, False), ('data/train.csv', False, False),
])
def test_the_defaults(path: str, is_folder: bool, ignored: bool) -> None:
    assert Ignore().matches(path, is_folder) == ignored


def test_defaults_can_be_taken_back_but_for_git_and_our_own_folder() -> None:
    ignore = Ignore.of('!*.pyc\n!.git\n!.mlops\n!.git/\n')
    assert not ignore.matches('x.pyc', False)
    assert all(ignore.matches(name, True) and ignore.matches(f'{name}/x', False) for name in ALWAYS)
    assert all(ignore.may_ignore(name) for name in ALWAYS)


def test_equal_rules_have_equal_digests_and_others_have_not() -> None:
    assert Ignore.of('a\r\nb').digest == Ignore.of('a\nb').digest != Ignore.of('b\na').digest
    assert Ignore().lines == DEFAULTS


def test_it_is_read_from_the_project(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        assert Ignore.load(root) == Ignore()
        (tmp_path / '.mlopsignore').write_bytes(b'*.tmp\n\xff\n')
        assert Ignore.load(root).matches('a.tmp', False)
        assert Ignore.load(root).matches('\udcff', False)
        (tmp_path / '.mlopsignore').unlink()
        (tmp_path / '.mlopsignore').mkdir()
        with pytest.raises(UserError):
            Ignore.load(root)
        (tmp_path / '.mlopsignore').rmdir()
        (tmp_path / '.mlopsignore').symlink_to('/etc/passwd')
        with pytest.raises(UserError):
            Ignore.load(root)


def test_no_more_lines_than_can_be_read_in_a_moment(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        (tmp_path / '.mlopsignore').write_bytes(b''.join(b'a%d*b\n' % n for n in range(LINE_LIMIT)))
        began = time.process_time()
        ignore = Ignore.load(root)
        assert ignore.matches('d/a9999xb', False) and not ignore.matches('d/a9999', False)
        assert not ignore.may_ignore('c')
        assert time.process_time() - began < 5  # 0.4 s where it was measured
        (tmp_path / '.mlopsignore').write_bytes(b'a\n' * (LINE_LIMIT + 1))
        with pytest.raises(UserError, match='10,001 lines, more than 10,000') as caught:
            Ignore.load(root)
        assert str(caught.value.where) == '.mlopsignore:10001:1' and 'images/*.tmp' in caught.value.hint
        (tmp_path / '.mlopsignore').write_bytes(b'a\n' + b'b' * (PATTERN_LIMIT + 1))
        with pytest.raises(UserError, match='more than 4,096 bytes') as caught:
            Ignore.load(root)
        assert str(caught.value.where) == '.mlopsignore:2:1'


@pytest.mark.parametrize(('form', 'times'), [('*a', 60), ('?*', 60), ('**/*a', 30), ('**/a/', 60), ('[a-z]*', 60)])
def test_a_line_of_many_stars_is_answered_at_once(form: str, times: int) -> None:
    began = time.process_time()
    line = f'{form * times}!'
    assert not Ignore.of(f'{line}\n').matches(f'x/{"a" * 250}', False)
    assert not Ignore.of(f'{line}\n').matches('/'.join(['a' * 20] * 60), False)
    assert time.process_time() - began < 0.5
