"""``code`` and what is found by itself: which edits make a stage run again, and what cannot be followed is said."""

from __future__ import annotations

import pytest

from tests.support.project import Project
from tests.support.stages import lay, reasons, run, verdict

MAIN = '''"""Counts."""
from lib.count import count


def main():
    """What it does."""
    print(count(3))  # a comment


main()
'''
COUNT = """import lib.unused_name as other


def count(n):
    return n + other.ONE
"""
FILES = {
    'main.py': MAIN,
    'lib/__init__.py': '',
    'lib/count.py': COUNT,
    'lib/unused_name.py': 'ONE = 1\n',
    'lib/alone.py': 'X = 1\n',
}
STAGE = {'cmd': 'python main.py > o', 'outs': ['o']}


@pytest.fixture
def python(project: Project) -> Project:
    for name, text in FILES.items():
        project.write(name, text)
    return project


def test_what_a_script_imports_counts_and_what_it_does_not_import_does_not(python: Project) -> None:
    lay(python, {'a': STAGE})
    assert run(python) == {'a': 'done'}
    python.write('lib/alone.py', 'X = 2\n')
    assert verdict(python, 'a') == 'fresh'
    for file in ('main.py', 'lib/__init__.py', 'lib/count.py', 'lib/unused_name.py'):
        python.write(file, FILES[file] + 'NEW = 1\n')
        assert reasons(python, 'a') == [('code', file)]
        python.write(file, FILES[file])
    assert verdict(python, 'a') == 'fresh'


def test_comments_and_layout_do_not_count_and_docstrings_do(python: Project) -> None:
    lay(python, {'a': STAGE})
    run(python)
    python.write('main.py', MAIN.replace('  # a comment', '').replace('count(3)', 'count( 3 )').replace('\n\n\n', '\n\n'))
    assert verdict(python, 'a') == 'fresh'
    python.write('main.py', MAIN.replace('What it does', 'What it is for'))
    assert verdict(python, 'a') == 'run'


def test_docstrings_can_be_told_not_to_count(python: Project) -> None:
    lay(python, {'a': {**STAGE, 'code': {'docstrings': 'ignore'}}})
    run(python)
    python.write('main.py', MAIN.replace('What it does', 'What it is for').replace('Counts', 'Adds'))
    assert verdict(python, 'a') == 'fresh'
    python.write('main.py', MAIN.replace('count(3)', 'count(4)'))
    assert verdict(python, 'a') == 'run'


@pytest.mark.parametrize('code', ['bytes', {'mode': 'bytes'}])
def test_with_bytes_every_byte_counts(python: Project, code: object) -> None:
    lay(python, {'a': {**STAGE, 'code': code}})
    run(python)
    python.write('lib/count.py', COUNT + '# a comment\n')
    assert reasons(python, 'a') == [('code', 'lib/count.py')]


def test_further_code_can_be_named_as_files_folders_and_globs(python: Project) -> None:
    for name in ('sql/a.sql', 'sql/deep/b.sql', 'prompts/one.txt', 'prompts/two.md', 'extra.py'):
        python.write(name, '1')
    lay(python, {'a': {**STAGE, 'code': ['sql/', 'prompts/*.txt', 'extra.py']}})
    assert run(python) == {'a': 'done'}
    python.write('prompts/two.md', '2')
    assert verdict(python, 'a') == 'fresh'
    for name in ('sql/a.sql', 'sql/deep/b.sql', 'prompts/one.txt', 'extra.py', 'main.py'):
        before = python.read(name)
        python.write(name, before + '\nprint(2)')
        assert verdict(python, 'a') == 'run', name
        python.write(name, before)
    for name in ('sql/new.sql', 'prompts/new.txt'):
        python.write(name, 'new')
        assert verdict(python, 'a') == 'run', name
        (python.path / name).unlink()
    (python.path / 'sql/deep/b.sql').unlink()
    assert verdict(python, 'a') == 'run'


def test_with_auto_false_only_the_paths_count(python: Project) -> None:
    lay(python, {'a': {**STAGE, 'code': {'auto': False, 'paths': ['main.py']}}})
    run(python)
    python.write('lib/count.py', 'def count(n):\n    return 7\n')
    assert verdict(python, 'a') == 'fresh'
    python.write('main.py', MAIN + 'print(1)\n')
    assert verdict(python, 'a') == 'run'


def test_code_that_is_named_and_not_there_is_told_before_the_run(python: Project) -> None:
    lay(python, {'a': {**STAGE, 'code': ['lib/none.py']}})
    assert python.verdicts() == {'a': 'blocked'}
    assert reasons(python, 'a') == [('code', 'lib/none.py')]


def test_what_cannot_be_followed_shows_in_the_plan(python: Project) -> None:
    python.write('run.sh', 'python main.py\n')
    python.write('dynamic.py', 'import importlib, sys\nimportlib.import_module(sys.argv[1])\n')
    stages = {'a': 'sh run.sh', 'b': 'python dynamic.py lib.count', 'c': 'python -c "import lib.count"'}
    lay(python, {name: {'cmd': command} for name, command in stages.items()})
    notes = {name: ' '.join(step.notes) for name, step in python.plan().by_name.items()}
    assert 'run.sh' in notes['a'] and 'dynamic.py:2' in notes['b'] and notes['c'] == ''


def test_a_python_file_in_deps_counts_once_and_by_its_meaning(python: Project) -> None:
    lay(python, {'a': {**STAGE, 'deps': ['main.py', 'lib/count.py']}})
    assert run(python) == {'a': 'done'}
    manifest = python.plan().by_name['a'].manifest
    assert manifest is not None
    assert sorted(e.kind for e in manifest.entries if e.name in ('main.py', 'lib/count.py')) == ['code', 'code']
    python.write('main.py', MAIN + '# a comment\n')
    assert verdict(python, 'a') == 'fresh'


def test_a_new_file_that_hides_another_is_noticed(python: Project) -> None:
    """``lib/count/`` is a package now, and goes before ``lib/count.py``."""
    lay(python, {'a': STAGE})
    run(python)
    python.write('lib/count/__init__.py', 'def count(n):\n    return 0\n')
    assert verdict(python, 'a') == 'run'
    assert run(python) == {'a': 'done'} and python.read('o') == '0\n'


def test_a_script_word_and_a_config_word_count(project: Project) -> None:
    project.write('do.sh', 'cat conf.ini\n')
    project.write('conf.ini', 'x=1\n')
    lay(project, {'a': {'cmd': 'sh ./do.sh && grep x conf.ini > o', 'outs': ['o']}})
    run(project)
    for file in ('do.sh', 'conf.ini'):
        before = project.read(file)
        project.write(file, before + '#\n')
        assert reasons(project, 'a') == [('code', file)]
        project.write(file, before)


# Code that a stage makes

GENERATED = {
    'generate': {
        'cmd': 'mkdir -p gen && echo "VALUE = $(cat value)" > gen/made.py',
        'deps': ['value'],
        'outs': ['gen/made.py'],
    },
    'use': {'cmd': 'python use.py > o', 'deps': ['gen/made.py'], 'outs': ['o']},
}


def test_code_that_a_stage_makes_has_to_be_declared_and_the_plan_says_so(project: Project) -> None:
    project.write('value', '1')
    project.write('use.py', 'from gen.made import VALUE\nprint(VALUE)\n')
    lay(project, {**GENERATED, 'use': {'cmd': 'python use.py > o', 'needs': ['generate'], 'outs': ['o']}})
    assert any('gen/made' in note and 'deps' in note for note in project.plan().by_name['use'].notes)
    lay(project, GENERATED)
    assert project.plan().by_name['use'].notes == ()
    assert run(project) == {'generate': 'done', 'use': 'done'} and project.read('o') == '1\n'
    project.write('value', '2')
    assert run(project) == {'generate': 'done', 'use': 'done'} and project.read('o') == '2\n'
    assert run(project) == {'generate': 'fresh', 'use': 'fresh'}


@pytest.mark.parametrize('code', [['gen/made.py'], ['gen/'], ['gen/*.py'], ['gen/**/*.py'], {'auto': False, 'paths': ['gen']}])
@pytest.mark.parametrize('outs', [['gen/made.py'], ['gen']])
def test_code_that_a_stage_makes_can_be_named_under_code_too(project: Project, code: object, outs: list[str]) -> None:
    project.write('value', '1')
    lay(
        project,
        {
            'generate': {**GENERATED['generate'], 'outs': outs},
            'use': {'cmd': 'cat gen/made.py > o', 'code': code, 'outs': ['o']},
        },
    )
    assert run(project) == {'generate': 'done', 'use': 'done'} and project.read('o') == 'VALUE = 1\n'
    assert run(project) == {'generate': 'fresh', 'use': 'fresh'}
    project.write('value', '2')
    assert run(project) == {'generate': 'done', 'use': 'done'} and project.read('o') == 'VALUE = 2\n'
    assert run(project) == {'generate': 'fresh', 'use': 'fresh'}


@pytest.mark.parametrize('isolate', ['none', 'folder'])
def test_code_may_be_a_link_inside_the_project(project: Project, isolate: str) -> None:
    lay(
        project,
        {'a': {'cmd': 'python main.py > o; cat conf.ini >> o', 'code': ['more.sql'], 'outs': ['o'], 'isolate': isolate}},
    )
    for name in ('main.py', 'conf.ini', 'more.sql'):
        project.write(f'real/{name}', 'print(1)\n')
        (project.path / name).symlink_to(f'real/{name}')
    assert run(project) == {'a': 'done'} and project.read('o') == '1\nprint(1)\n'
    for name in ('main.py', 'conf.ini', 'more.sql'):
        project.write(f'real/{name}', 'print(2)\n')
        assert verdict(project, 'a') == 'run', name
        assert run(project) == {'a': 'done'}
