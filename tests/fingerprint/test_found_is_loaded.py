"""Against reality: projects are run by a real interpreter, and every file of theirs that it loaded must have been found."""
from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.layout import Layout, write

DUMP = '''
import json as _json, sys as _sys
print('LOADED', _json.dumps(sorted({getattr(each, '__file__', None) or '' for each in list(_sys.modules.values())})))
'''


@pytest.fixture(scope='module')
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('real') / 'venv'
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / 'bin'


@pytest.fixture
def layout(tmp_path: Path, environment: Path) -> Layout:
    made = Layout(tmp_path / 'project', environment)
    for path in made.site.iterdir():
        path.unlink() if path.is_file() else subprocess.run(['rm', '-r', str(path)], check=True)
    return made


def loaded(layout: Layout, command: str) -> list[str]:
    """The project's files that a command really loads."""
    done = subprocess.run(['/bin/sh', '-c', command], cwd=layout.root, env={**layout.environ, 'PYTHONDONTWRITEBYTECODE': '1'},
                          capture_output=True, text=True, check=False)
    lines = [line[7:] for line in done.stdout.splitlines() if line.startswith('LOADED ')]
    assert lines, f'{done.stdout}\n{done.stderr}'
    files = {os.path.realpath(layout.root / path) for line in lines for path in json.loads(line) if path}
    return sorted(os.path.relpath(path, layout.root) for path in files if path.startswith(f'{layout.root}/'))


LAYOUTS: dict[str, tuple[str, dict[str, str]]] = {
    'flat': ('python run.py', {'run.py': 'import a\nfrom b import c', 'a.py': 'import b', 'b.py': 'c = 1', 'd.py': ''}),
    'a package': ('python run.py', {'run.py': 'import p.a', 'p/__init__.py': 'from . import b', 'p/a.py': 'from .c.d import x',
                                    'p/b.py': '', 'p/c/__init__.py': '', 'p/c/d.py': 'x = 1'}),
    'src and PYTHONPATH': ('PYTHONPATH=src python tools/run.py', {
        'tools/run.py': 'import p.a, helper', 'tools/helper.py': '', 'src/p/__init__.py': '', 'src/p/a.py': ''}),
    'src by a path file': ('python tools/run.py', {
        'tools/run.py': 'import p.a', 'src/p/__init__.py': '', 'src/p/a.py': 'import q', 'src/q.py': '',
        'SITE/x.pth': 'ROOT/src'}),
    'a module by -m': ('python -m p.run', {'p/__init__.py': 'import other', 'p/run.py': 'from . import a', 'p/a.py': '',
                                           'other.py': ''}),
    'a package by -m': ('python -m p', {'p/__init__.py': 'from .a import *', 'p/__main__.py': 'import p.b',
                                        'p/a.py': '__all__ = []',
                                        'p/b.py': ''}),
    'a folder': ('python app', {'app/__main__.py': 'import part', 'app/part.py': 'import sub.x', 'app/sub/x.py': ''}),
    'code': ('python -c "import p.a; DUMP"', {'p/__init__.py': '', 'p/a.py': ''}),
    'another folder': ('cd app && python run.py', {'app/run.py': 'import a', 'app/a.py': '', 'a.py': ''}),
    'a namespace over two folders': ('PYTHONPATH=one:two python app/run.py', {
        'app/run.py': 'import n.a, n.b.c', 'one/n/a.py': '', 'two/n/b/c.py': '', 'two/n/unused.py': ''}),
    'a namespace that a package hides': ('PYTHONPATH=one:two python app/run.py', {
        'app/run.py': 'import n.b', 'one/n/a.py': '', 'two/n/__init__.py': '', 'two/n/b.py': ''}),
    'a namespace that an installed package hides': ('python run.py', {
        'run.py': 'import n\ntry:\n    import n.a\nexcept ImportError: pass', 'n/a.py': '', 'SITE/n/__init__.py': ''}),
    'a namespace shared with what is installed': ('python run.py', {'run.py': 'import n.a, n.b', 'n/a.py': '',
                                                                    'SITE/n/b.py': ''}),
    'a script that hides the standard library': ('python app/run.py', {'app/run.py': 'import colorsys, x',
                                                                       'app/colorsys.py': '',
                                                                       'app/x.py': 'import wave', 'app/wave/__init__.py': ''}),
    'what the standard library hides': ('python app/run.py', {'app/run.py': 'import colorsys', 'edit/colorsys.py': '',
                                                              'SITE/e.pth': 'ROOT/edit'}),
    'what is installed hides an editable folder': ('python app/run.py', {
        'app/run.py': 'import both', 'edit/both.py': '', 'SITE/both.py': '', 'SITE/e.pth': 'ROOT/edit'}),
    'the script hides what is installed': ('python app/run.py', {'app/run.py': 'import both', 'app/both.py': '',
                                                                 'SITE/both.py': ''}),
    'a cycle': ('python run.py', {'run.py': 'import a', 'a.py': 'import b', 'b.py': 'import a, c', 'c.py': 'import a'}),
    'imports in functions': ('python run.py', {'run.py': 'def f():\n    import a\n    class C:\n        import b\nf()',
                                               'a.py': '',
                                               'b.py': ''}),
    'names given as text': ('python run.py', {
        'run.py': 'import importlib\nimportlib.import_module("p.a")\nimportlib.import_module(".b", "p")\n__import__("q.c")',
        'p/__init__.py': '', 'p/a.py': 'from importlib import import_module as i\ni(".d", __package__)', 'p/b.py': '',
        'p/d.py': '',
        'q/__init__.py': '', 'q/c.py': ''}),
    'a star that loads submodules': ('python run.py', {'run.py': 'from p import *', 'p/__init__.py': '__all__ = ["a", "b"]',
                                                       'p/a.py': '', 'p/b.py': '', 'p/c.py': ''}),
    'a module beside a package of its name': ('python run.py', {'run.py': 'import a.b', 'a.py': '', 'a/__init__.py': '',
                                                                'a/b.py': ''}),
    'a module beside a folder of its name': ('python run.py', {'run.py': 'import a', 'a.py': '', 'a/b.py': ''}),
    'a submodule that is also a name': ('python run.py', {'run.py': 'from p import a, b', 'p/__init__.py': 'b = 1',
                                                          'p/a.py': '',
                                                          'p/c.py': ''}),
    'parents of relative imports': ('python -m a.b.c.run', {
        'a/__init__.py': '', 'a/x.py': '', 'a/b/__init__.py': '', 'a/b/y.py': '', 'a/b/c/__init__.py': '',
        'a/b/c/run.py': 'from ... import x\nfrom ..y import z\nfrom . import w', 'a/b/c/w.py': ''} | {'a/b/y.py': 'z = 1'}),
    'a package that extends its path': ('PYTHONPATH=lib python run.py', {
        'run.py': 'import p.a, p.b', 'p/__init__.py': '__path__ = __import__("pkgutil").extend_path(__path__, __name__)',
        'p/a.py': '', 'lib/p/__init__.py': '', 'lib/p/b.py': ''}),
    'a customization': ('PYTHONPATH=lib python run.py', {'run.py': '', 'lib/sitecustomize.py': 'import patch',
                                                         'lib/patch.py': ''}),
    'unicode': ('python run.py', {'run.py': 'import été.ﬁn', 'été/__init__.py': '', 'été/fin.py': ''}),
    'no folder of its own': ('PYTHONPATH=lib python -P app/run.py', {
        'app/run.py': 'import a\ntry:\n    import b\nexcept ImportError: pass', 'lib/a.py': '', 'app/b.py': ''}),
    'isolated': ('PYTHONPATH=lib python -I app/run.py', {
        'app/run.py': 'try:\n    import a\nexcept ImportError: pass', 'lib/a.py': '', 'app/a.py': ''}),
    'a finder': ('python app/run.py', {
        'app/run.py': 'import p.a', 'code/p/__init__.py': '', 'code/p/a.py': '',
        'SITE/e.pth': 'import __editable___e; __editable___e.go()',
        'SITE/__editable___e.py': '''
            import sys
            from importlib.util import spec_from_file_location
            MAPPING = {'p': 'ROOT/code/p'}
            class Finder:
                @classmethod
                def find_spec(cls, name, path=None, target=None):
                    if name in MAPPING:
                        return spec_from_file_location(name, MAPPING[name] + '/__init__.py')
            def go():
                sys.meta_path.append(Finder)
            '''}),
    'a launched script': ('env PYTHONPATH=lib nice -n 1 python -u -W ignore run.py', {'run.py': 'import a', 'lib/a.py': ''}),
    'two commands': ('python run.py; (cd app; python two.py)', {'run.py': 'import a', 'a.py': '', 'app/two.py': 'import b',
                                                                'app/b.py': ''}),
    'a shell in a shell': ('sh -c "cd app && exec python two.py"', {'app/two.py': 'import b', 'app/b.py': ''}),
}
ENTRIES = ('run.py', '__main__.py', 'two.py')


def build(layout: Layout, files: dict[str, str]) -> None:
    """Writes a project; what starts in SITE goes to site-packages, and programs tell at their end what they loaded."""
    for name, text in files.items():
        where, rel = (layout.site, name[5:]) if name.startswith('SITE/') else (layout.root, name)
        write(where, {rel: text.replace('ROOT', str(layout.root))})
        if name.endswith(ENTRIES):
            with (where / rel).open('a') as file:
                file.write('\n' + DUMP)


@pytest.mark.parametrize('case', LAYOUTS)
def test_what_is_found_is_what_is_loaded(layout: Layout, case: str) -> None:
    command, files = LAYOUTS[case]
    build(layout, files)
    command = command.replace('DUMP', ';'.join(DUMP.strip().splitlines()))
    assert list(layout.find(command).files) == loaded(layout, command)


PLACES = ('app', 'lib', 'src', '', 'SITE')
NAMES = ('aa', 'bb', 'cc', 'dd')


def random_project(seed: int) -> dict[str, str]:
    """Modules, packages and bare folders of few names in many places, so that they hide each other, which import each other
    in every form; an import that fails is passed over."""
    choose = random.Random(seed)
    files: dict[str, str] = {}
    for place in PLACES:
        stem = f'{place}/' if place else ''
        for name in NAMES:
            for _ in range(choose.choice((0, 0, 1, 1, 2))):
                kind = choose.choice(('module', 'package', 'package', 'folder', 'deep'))
                if kind == 'module':
                    files[f'{stem}{name}.py'] = ''
                    continue
                if kind != 'folder':
                    files[f'{stem}{name}/__init__.py'] = ''
                files[f'{stem}{name}/{choose.choice(NAMES)}.py'] = ''
                if kind == 'deep':
                    sub = f'{stem}{name}/{choose.choice(NAMES)}'
                    files[f'{sub}/__init__.py'] = ''
                    files[f'{sub}/{choose.choice(NAMES)}.py'] = ''
    files['app/run.py'] = ''
    for name in files:
        if not name.startswith('SITE/'):
            count = choose.choice((0, 1, 2, 3, 4)) + 4 * (name == 'app/run.py')
            files[name] = ''.join(random_import(choose, name) for _ in range(count))
    files['SITE/x.pth'] = 'ROOT/src\n'
    return files


def random_import(choose: random.Random, name: str) -> str:
    dotted = '.'.join(choose.choice(NAMES) for _ in range(choose.choice((1, 1, 2, 2, 3))))
    one, other = choose.choice(NAMES), choose.choice(NAMES)
    dots = '.' * choose.choice((1, 1, 2))
    forms = [f'import {dotted}', f'import {dotted} as x', f'from {dotted} import {one}', f'from {dotted} import {one}, {other}',
             f'from {dotted} import *', f'import importlib; importlib.import_module("{dotted}")', f'__import__("{dotted}")']
    if name.count('/') > 1:
        forms += [f'from {dots} import {one}', f'from {dots}{one} import {other}', f'from {dots}{one} import *',
                  f'from importlib import import_module; import_module("{dots}{one}", __package__)']
    return f'try:\n    {choose.choice(forms)}\nexcept (ImportError, AttributeError, TypeError): pass\n'


@pytest.mark.parametrize('seed', range(40))
def test_nothing_that_is_loaded_is_missed(layout: Layout, seed: int) -> None:
    build(layout, random_project(seed))
    command = 'PYTHONPATH=lib python app/run.py'
    assert set(loaded(layout, command)) <= set(layout.find(command).files)


def test_the_interpreter_of_this_test_is_what_it_seems(environment: Path, layout: Layout) -> None:
    build(layout, {'run.py': ''})
    assert loaded(layout, 'python run.py') == ['run.py']
    assert layout.find('python run.py').python == str(environment / 'python') != sys.executable
