"""Which files a program loads, in little projects of every shape; what is probed on the way; and how fast it is."""
from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from mlops_cli.fingerprint.closure import ImportCache
from tests.support.layout import Layout, pretended_python, site_packages, write


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / 'project', pretended_python(tmp_path / 'venv'))


def test_every_way_to_import(layout: Layout) -> None:
    layout.write({
        'run.py': '''
            import a, b.c as bc
            from d import e
            from f import *
            import importlib
            try:
                import g
            except ImportError:
                import h
            def later():
                import i
                with open('x') as file:
                    while True:
                        match file:
                            case 1: import j
            async def soon():
                async for x in y:
                    from k import l
            class C:
                if True: import m
                else: import n
            importlib.import_module('o.p')
            __import__('q')
            importlib.import_module('.s', package='r')
            import runpy; runpy.run_module('t')
            ''',
        **{f'{name}.py': '' for name in 'afghijkmnqt'}, 'b/__init__.py': '', 'b/c.py': '', 'd/__init__.py': '', 'd/e.py': '',
        'o/__init__.py': '', 'o/p.py': '', 'r/__init__.py': '', 'r/s.py': '', 'unused.py': '', 'd/unused.py': ''})
    assert layout.files('python run.py') == sorted([
        *(f'{name}.py' for name in 'afghijkmnqt'), 'b/__init__.py', 'b/c.py', 'd/__init__.py', 'd/e.py', 'o/__init__.py',
        'o/p.py', 'r/__init__.py', 'r/s.py', 'run.py'])


def test_relative_imports_parents_and_cycles(layout: Layout) -> None:
    layout.write({
        'src/p/__init__.py': '', 'src/p/a/__init__.py': 'from .. import b',
        'src/p/a/x.py': 'from . import y\nfrom ..c import z\n', 'src/p/a/y.py': 'from .x import nothing',
        'src/p/b.py': 'from .a import x', 'src/p/c/__init__.py': 'from .z import *',
        'src/p/c/z.py': 'from ...beyond import w', 'src/p/d.py': ''})
    assert layout.files('python -m p.a.y') == [
        f'src/p/{name}.py' for name in ('__init__', 'a/__init__', 'a/x', 'a/y', 'b', 'c/__init__', 'c/z')]


def test_imports_for_type_checkers_never_run(layout: Layout) -> None:
    layout.write({
        'run.py': 'from typing import TYPE_CHECKING\nimport typing as t\nif TYPE_CHECKING:\n    import a\nelse:\n    import b\n'
                  'if not t.TYPE_CHECKING:\n    import c\nif t.TYPE_CHECKING: import d\n',
        'no.py': 'TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import a\n',
        'odd.py': 'TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import a\n', **{f'{name}.py': '' for name in 'abcd'}})
    assert layout.files('python run.py') == ['b.py', 'c.py', 'run.py']
    assert layout.files('python no.py') == ['no.py']
    assert layout.files('python odd.py') == ['a.py', 'odd.py']


def test_star_imports_load_what_all_names(layout: Layout) -> None:
    layout.write({'run.py': 'from p import *\nfrom q import *\n',
                  'p/__init__.py': '__all__ = ["a", "name"]\n__all__ += ["b"]\n', 'p/a.py': '', 'p/b.py': '', 'p/c.py': '',
                  'q/__init__.py': '', 'q/a.py': ''})
    assert layout.files('python run.py') == ['p/__init__.py', 'p/a.py', 'p/b.py', 'q/__init__.py', 'run.py']
    layout.write({'p/__init__.py': 'import pkgutil\n__all__ = [m.name for m in pkgutil.iter_modules(__path__)]\n'})
    found = layout.find('python run.py')
    assert len(found.unknown) == 1
    assert 'p/__init__.py makes __all__ when it runs, so what `from p import *` of run.py loads' in found.unknown[0]


@pytest.mark.parametrize(('code', 'said'), [
    ('import importlib\nimportlib.import_module(f"models.{n}")',
     'run.py:2 loads code by a name that is known only when it runs (import_'),
    ('from importlib import import_module as load\n\nload(name)', 'run.py:3 loads code'),
    ('__import__(name)', 'run.py:1 loads code'),
    ('import importlib\nimportlib.import_module(".x", pkg)', 'run.py:2 loads code'),
    ('import runpy\nrunpy.run_path("other.py")', 'run.py:2 loads code by a name that is known only when it runs (run_path)'),
    ('from importlib.util import spec_from_file_location as s\ns("x", p)', '(spec_from_file_location)'),
    ('import hydra\nhydra.utils.instantiate(cfg)', '(instantiate)'),
    ('from hydra.utils import get_class\nget_class(cfg)', '(get_class)'),
    ('exec(open("x.py").read())', 'run.py:1 runs the text of a file (exec)'),
    ('exec(compile(Path("x").read_text(), "x", "exec"))', 'runs the text of a file (exec)'),
    ('import subprocess, sys\nsubprocess.run([sys.executable, "x.py"])', 'run.py:2 may start python again (sys.executable)'),
    ('import sys\nsys.path.insert(0, "lib")\nimport nowhere',
     'run.py:2 changes sys.path, and its import of nowhere is found nowhere else'),
    ('from sys import path\npath.append("lib")\nfrom nowhere import x', 'run.py:2 changes sys.path'),
    ('import site\nsite.addsitedir("x")\nimport nowhere', 'run.py:2 changes sys.path'),
    ('def broken(:', 'run.py cannot be parsed (line 1: '),
    ('x = "\\0"\n\0', 'run.py cannot be parsed'),
    ('(' * 3000, 'run.py cannot be parsed'),
    ('-' * 100_000 + '1', 'run.py cannot be parsed'),
])
def test_what_an_import_cannot_tell_is_said(layout: Layout, code: str, said: str) -> None:
    (layout.root / 'run.py').write_text(code)
    found = layout.find('python run.py')
    assert found.files == ('run.py',)
    assert len(found.unknown) == 1 and said in found.unknown[0]


@pytest.mark.parametrize('code', [
    'import nowhere', 'import sys; sys.path.insert(0, "lib"); import numpy, helper', 'import sys\nprint(sys.executable)',
    'exec("x = 1")', 'import pkgutil, importlib.resources\nimportlib.resources.files("p").joinpath("x")', 'print("import x")',
    '"\\d"; 1 if 2else 3'])
def test_what_is_harmless_is_not_said(layout: Layout, code: str) -> None:
    layout.write({'run.py': code, 'src/helper.py': ''})
    assert layout.find('python run.py').unknown == ()


def test_namespace_packages_yield_to_everything(layout: Layout) -> None:
    layout.write({'scripts/run.py': 'import ns.a, digits.b, numpy.c, json.d\n', 'scripts/ns/a.py': '',
                  'scripts/digits/d.csv': '',
                  'scripts/numpy/c.py': '', 'scripts/json/d.py': '', 'src/digits/__init__.py': '', 'src/digits/b.py': ''})
    found = layout.find('python scripts/run.py')
    assert found.files == ('scripts/ns/a.py', 'scripts/run.py', 'src/digits/__init__.py', 'src/digits/b.py')
    assert found.distributions == ('numpy',)
    assert {'scripts/ns/__init__.py', 'scripts/numpy/__init__.py', 'scripts/json/__init__.py'} <= set(found.absent)


def test_a_namespace_spreads_over_the_search_path(layout: Layout) -> None:
    layout.write({'run.py': 'import ns.a, ns.b, ns.c.d\nimport google.mine, google.auth\n', 'one/ns/a.py': '',
                  'two/ns/b.py': '',
                  'src/ns/c/d.py': '', 'one/google/mine.py': ''})
    write(layout.site, {'google/auth/__init__.py': ''})
    found = layout.find('PYTHONPATH=one:two python run.py')
    assert found.files == ('one/google/mine.py', 'one/ns/a.py', 'run.py', 'src/ns/c/d.py', 'two/ns/b.py')
    assert found.distributions == ('google',)
    layout.write({'two/ns/__init__.py': ''})
    assert 'one/ns/a.py' not in layout.find('PYTHONPATH=one:two python run.py').files


def test_packages_that_extend_their_path(layout: Layout) -> None:
    layout.write({'run.py': 'import p.a, p.b',
                  'p/__init__.py': "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n",
                  'p/a.py': '', 'lib/p/__init__.py': '', 'lib/p/b.py': ''})
    assert layout.files('PYTHONPATH=lib python run.py') == ['lib/p/b.py', 'p/__init__.py', 'p/a.py', 'run.py']


def test_the_order_of_the_search_path(layout: Layout) -> None:
    layout.write({'app/run.py': 'import m', 'app/m.py': '', 'lib/m.py': '', 'edit/m.py': '', 'src/m.py': '', 'm.py': ''})
    write(layout.site, {'x.pth': f'{layout.root}/edit\n'})
    command = 'PYTHONPATH=lib python app/run.py'
    for found in ('app/m.py', 'lib/m.py', 'edit/m.py', 'src/m.py', 'm.py'):
        assert layout.files(command) == sorted(['app/run.py', found])
        (layout.root / found).unlink()
    assert layout.files(command) == ['app/run.py']


def test_what_is_installed_comes_before_editable_folders_and_after_the_scripts_own(layout: Layout) -> None:
    layout.write({'app/run.py': 'import numpy, random, torch', 'edit/torch.py': '', 'edit/numpy.py': '', 'edit/random.py': ''})
    write(layout.site, {'x.pth': f'{layout.root}/edit\n'})
    found = layout.find('python app/run.py')
    assert found.files == ('app/run.py', 'edit/torch.py') and found.distributions == ('numpy',)
    layout.write({'app/numpy.py': '', 'app/random.py': ''})
    found = layout.find('python app/run.py')
    assert found.files == ('app/numpy.py', 'app/random.py', 'app/run.py', 'edit/torch.py') and found.distributions == ()


def test_isolated_pythons_do_not_look_beside_the_script(layout: Layout) -> None:
    layout.write({'app/run.py': 'import helper, extra', 'app/helper.py': '', 'lib/extra.py': ''})
    assert layout.files('PYTHONPATH=lib python app/run.py') == ['app/helper.py', 'app/run.py', 'lib/extra.py']
    assert layout.files('PYTHONPATH=lib python -P app/run.py') == ['app/run.py', 'lib/extra.py']
    assert layout.files('PYTHONPATH=lib python -E app/run.py') == ['app/helper.py', 'app/run.py']
    assert layout.files('PYTHONPATH=lib python -I app/run.py') == ['app/run.py']
    assert layout.files('PYTHONPATH=lib PYTHONSAFEPATH=1 python app/run.py') == ['app/run.py', 'lib/extra.py']


def test_an_installed_copy_of_the_project_is_said(layout: Layout) -> None:
    layout.write({'app/run.py': 'import digits, numpy', 'src/digits/__init__.py': '', 'numpy/data.csv': ''})
    write(layout.site, {'digits/__init__.py': ''})
    found = layout.find('python app/run.py')
    assert found.files == ('app/run.py',) and found.distributions == ('digits', 'numpy')
    assert len(found.unknown) == 1 and 'digits is imported from site-packages' in found.unknown[0]


@pytest.mark.parametrize('kind', ['path file', 'setuptools', 'editables', 'link', 'hint'])
def test_editable_installs(layout: Layout, kind: str) -> None:
    layout.write({'tools/run.py': 'import digits.a, single', 'code/digits/__init__.py': '',
                  'code/digits/a.py': 'from . import b',
                  'code/digits/b.py': '', 'code/single.py': ''})
    code = f'{layout.root}/code'
    if kind == 'path file':
        write(layout.site, {'_digits.pth': code})
    elif kind == 'setuptools':
        write(layout.site, {'__editable__.d.pth': 'import __editable___d_finder; __editable___d_finder.install()',
                            '__editable___d_finder.py': f'MAPPING = {{"digits": "{code}/digits", "single": "{code}/single"}}'})
    elif kind == 'editables':
        text = f'F.map_module("digits", "{code}/digits/__init__.py")\nF.map_module("single", "{code}/single.py")'
        write(layout.site, {'d.pth': 'import __editables_d', '__editables_d.py': text})
    elif kind == 'link':
        for name in ('digits', 'single.py'):
            (layout.site / name).symlink_to(f'{code}/{name}')
    else:
        write(layout.site, {'d-1.dist-info/direct_url.json': json.dumps({'url': f'file://{code}',
                                                                         'dir_info': {'editable': True}})})
    assert layout.files('python tools/run.py') == ['code/digits/__init__.py', 'code/digits/a.py', 'code/digits/b.py',
                                                   'code/single.py',
                                                   'tools/run.py']


def test_editable_namespaces(layout: Layout) -> None:
    layout.write({'tools/run.py': 'import ns.one, ns.two', 'code/ns/one.py': '', 'more/two/__init__.py': ''})
    write(layout.site, {'e.pth': 'import __editable___e_finder', '__editable___e_finder.py':
                        f'MAPPING = {{"ns.two": "{layout.root}/more/two"}}\nNAMESPACES = {{"ns": ["{layout.root}/code/ns"]}}'})
    assert layout.files('python tools/run.py') == ['code/ns/one.py', 'more/two/__init__.py', 'tools/run.py']


def test_folders_outside_the_project_are_not_followed_and_said_if_not_installed(layout: Layout, tmp_path: Path) -> None:
    write(tmp_path, {'other/theirs/__init__.py': 'import digits', 'lib/mine.py': 'import digits'})
    write(layout.site, {'o.pth': f'{tmp_path}/other\n'})
    layout.write({'run.py': 'import theirs.x, mine', 'digits.py': ''})
    found = layout.find(f'PYTHONPATH={tmp_path}/lib python run.py')
    assert found.files == ('run.py',) and found.distributions == ('mine', 'theirs')
    assert found.unknown == (f'mine is imported from {tmp_path}/lib, which lies outside the project, so it is not followed',)


def test_an_environment_inside_the_project_is_no_code(tmp_path: Path) -> None:
    root = tmp_path / 'project'
    root.mkdir()
    layout = Layout(root, pretended_python(root / 'env')).write({'run.py': 'import numpy, tool', 'tool.py': ''})
    found = layout.find('env/bin/python run.py')
    assert found.files == ('run.py', 'tool.py') and found.distributions == ('numpy',)
    assert layout.find('PYTHONPATH=env/lib/python3.11/site-packages python run.py').files == ('run.py', 'tool.py')


def test_extension_modules_count_and_come_first(layout: Layout) -> None:
    layout.write({'run.py': 'import fast, slow, stale', 'fast.cpython-311-x86_64-linux-gnu.so': '', 'fast.py': '',
                  'slow.abi3.so': '',
                  'stale.cpython-310-x86_64-linux-gnu.so': '', 'stale.py': ''})
    assert layout.files('python run.py') == ['fast.cpython-311-x86_64-linux-gnu.so', 'run.py', 'slow.abi3.so', 'stale.py']


def test_customizations_are_loaded_by_every_python(layout: Layout) -> None:
    layout.write({'run.py': '', 'lib/sitecustomize.py': 'import patches', 'lib/patches.py': '', 'usercustomize.py': ''})
    assert layout.files('PYTHONPATH=lib python run.py') == ['lib/patches.py', 'lib/sitecustomize.py', 'run.py']
    assert layout.files('python run.py') == ['run.py']


def test_a_python_that_is_not_there_leaves_the_projects_code_found(layout: Layout) -> None:
    layout.write({'run.py': 'import json, torch, digits.a', 'src/digits/__init__.py': '', 'src/digits/a.py': ''})
    found = layout.find('python run.py', environ={'PATH': '/nowhere'})
    assert found.files == ('run.py', 'src/digits/__init__.py', 'src/digits/a.py')
    assert found.distributions == ('torch',)
    assert found.unknown == ('there is no python on PATH, so what is installed for it is not known',)


# What is probed and not there

SHADOWS = {
    'beside the script': ('scripts/digits.py', {'scripts/digits.py': ''}),
    'a package beside the script': ('scripts/digits/__init__.py', {'scripts/digits/__init__.py': ''}),
    'on PYTHONPATH': ('lib/digits/__init__.py', {'lib/digits/__init__.py': ''}),
    'a package for a module': ('src/digits/model/__init__.py', {'src/digits/model/__init__.py': ''}),
    'an extension for a module': ('src/digits/model.abi3.so', {'src/digits/model.abi3.so': ''}),
    'for the standard library': ('scripts/random.py', {'scripts/random.py': ''}),
    'for an installed package': ('lib/numpy.py', {'lib/numpy.py': ''}),
    'what was nowhere': ('src/optional.py', {'src/optional.py': ''}),
    'a submodule that was a name': ('src/digits/helper.py', {'src/digits/helper.py': ''}),
    'a customization': ('lib/sitecustomize.py', {'lib/sitecustomize.py': ''}),
    'a folder becomes a package': ('src/ns/__init__.py', {'src/ns/__init__.py': ''}),
    'a missing folder of PYTHONPATH': ('new/digits.py', {'new/digits.py': ''}),
    'a word': ('conf/more.yaml', {'conf/more.yaml': ''}),
}


@pytest.mark.parametrize('case', SHADOWS)
def test_a_new_file_that_changes_what_is_found_was_told_as_absent(layout: Layout, case: str) -> None:
    layout.write({
        'scripts/train.py': 'import random, numpy, ns.a\nfrom digits import helper\nimport digits.model\n'
                            'try:\n    import optional\nexcept ImportError: pass\n',
        'src/digits/__init__.py': 'def helper(): pass', 'src/digits/model.py': '', 'src/ns/a.py': '', 'lib/other.py': ''})
    command = 'PYTHONPATH=lib:new python scripts/train.py --config conf/more.yaml'
    before = layout.find(command)
    path, files = SHADOWS[case]
    parents = [path[:index] for index, letter in enumerate(path) if letter == '/'] + [path]
    layout.write(files)
    after = layout.find(command)
    assert after.files != before.files and path in after.files
    assert {*parents, path.replace('.abi3.so', '.py')} & set(before.absent) or path in before.absent
    assert not set(before.absent) & set(before.files)
    assert all(not os.path.lexists(layout.root / name) for name in after.absent)


def test_what_no_new_file_can_change_is_not_probed(layout: Layout) -> None:
    layout.write({'run.py': 'import sys, os'})
    assert layout.find('python run.py').absent == ()


def test_what_the_answer_rests_on_besides(layout: Layout) -> None:
    layout.write({'run.py': '', 'pyproject.toml': '[project.scripts]\ngo = "run:main"\n'})
    site = str(layout.site)
    write(layout.site, {'x.pth': '/nowhere\n'})
    found = layout.find('go')
    assert {'pyproject.toml', site, f'{site}/x.pth', found.python} <= set(found.consulted)


def test_links_inside_the_project_count_as_what_they_name(layout: Layout, tmp_path: Path) -> None:
    layout.write({'run.py': 'import linked, folder.m, away, gone, deep.x', 'real/linked.py': 'import other', 'real/m.py': '',
                  'other.py': ''})
    write(tmp_path, {'secret/away.py': 'import nothing', 'secret/x.py': ''})
    (layout.root / 'linked.py').symlink_to('real/linked.py')
    (layout.root / 'folder').symlink_to('real')
    (layout.root / 'away.py').symlink_to(tmp_path / 'secret/away.py')
    (layout.root / 'gone.py').symlink_to('nowhere')
    (layout.root / 'deep').symlink_to(tmp_path / 'secret')
    found = layout.find('python run.py')
    assert found.files == ('other.py', 'real/linked.py', 'real/m.py', 'run.py')
    assert found.unknown == ('away.py is a link that leaves the project, so it is not followed',) and '.' in found.folders


def test_links_that_turn_in_circles_end(layout: Layout) -> None:
    layout.write({'run.py': 'import a.a.a.b, c', 'a/__init__.py': ''})
    (layout.root / 'a/a').symlink_to('.')
    (layout.root / 'c.py').symlink_to('c.py')
    assert layout.files('python run.py') == ['a/__init__.py', 'run.py']


def test_strange_names_and_places_do_no_harm(layout: Layout) -> None:
    layout.write({'run.py': '# coding: latin-1\nimport módulo, été.x\nimport importlib\nfor n in (1,):\n'
                            '    importlib.import_module("x/../../etc/passwd")\n    importlib.import_module("a..b")\n'
                            '    importlib.import_module("")\n    importlib.import_module("a\\0b")\n    import_module = 3\n'})
    (layout.root / 'run.py').write_bytes((layout.root / 'run.py').read_text().encode('latin-1'))
    layout.write({'módulo.py': '', 'été/__init__.py': '', 'été/x.py': '', 'a/__init__.py': '', 'a b.py': '', 'x.y.py': ''})
    os.mkfifo(layout.root / 'pipe.py')
    found = layout.find('python run.py')
    assert found.files == ('a/__init__.py', 'módulo.py', 'run.py', 'été/__init__.py', 'été/x.py') and found.unknown == ()
    assert not [name for name in found.absent if '\0' in name or '..' in name or not name]
    layout.write({'01-prepare.py': '', 'by_name.py': 'import importlib; importlib.import_module("01-prepare")'})
    assert layout.files('python by_name.py') == ['01-prepare.py', 'by_name.py']
    layout.write({'other.py': 'import pipe, ' + '.'.join('abcdefghij' * 100)})
    assert layout.files('python other.py') == ['a/__init__.py', 'other.py']
    (layout.root / os.fsdecode(b'bad\xff.py')).write_text('import a')
    assert layout.find('python other.py').files == ('a/__init__.py', 'other.py')


def test_case_counts_as_on_disk(layout: Layout) -> None:
    layout.write({'run.py': 'import Model', 'model.py': ''})
    assert layout.files('python run.py') == ['run.py']


def test_a_file_nobody_may_read_is_said(layout: Layout) -> None:
    layout.write({'run.py': 'import m', 'm.py': 'import n', 'n.py': ''})
    (layout.root / 'm.py').chmod(0)
    found = layout.find('python run.py')
    if os.geteuid():
        assert found.files == ('m.py', 'run.py') and 'm.py cannot be parsed (cannot be read' in found.unknown[0]
    else:
        assert found.files == ('m.py', 'n.py', 'run.py')


def test_large_files_and_long_chains(layout: Layout) -> None:
    layout.write({'run.py': ''.join(f'def f{i}():\n    from c0 import x{i}\n    return {i}\n' for i in range(3_500)),
                  **{f'c{i}.py': f'import c{i + 1}' for i in range(1500)}, 'c1500.py': ''})
    started = time.process_time()
    assert len(layout.files('python run.py')) == 1502
    assert time.process_time() - started < 5


def test_generated_modules_are_named_not_read(layout: Layout) -> None:
    layout.write({'run.py': 'import messages_pb2, gen.tables'})
    outputs = ['messages_pb2.py', 'gen']
    before = layout.find('python run.py', outputs=outputs)
    assert before.files == ('run.py',) and before.generated == ('gen/tables', 'messages_pb2.py')
    assert before.unknown == ('gen/tables is loaded, and a stage makes it; add it to deps',
                              'messages_pb2.py is loaded, and a stage makes it; add it to deps')
    assert layout.files('python run.py', outputs=outputs, deps=['messages_pb2.py', 'gen/tables.py']) == ['run.py']
    layout.write({'messages_pb2.py': 'import run', 'gen/tables.py': 'import run'})
    after = layout.find('python run.py', outputs=outputs)
    assert (after.files, after.generated, after.unknown) == (before.files, before.generated, before.unknown)


def test_a_folder_of_outputs_hides_no_package(layout: Layout) -> None:
    layout.write({'run.py': 'import models.net', 'models/best.bin': '', 'src/models/__init__.py': '', 'src/models/net.py': ''})
    found = layout.find('python run.py', outputs=['models'])
    assert found.files == ('run.py', 'src/models/__init__.py', 'src/models/net.py') and found.unknown == ()


# Many stages

def many(layout: Layout, count: int) -> list[str]:
    layout.write({'src/lib/__init__.py': '', **{
        f'src/lib/m{i}.py': f'import json, numpy\nfrom lib.m{(i * 7 + 3) % 50} import f\nfrom lib import m{(i + 1) % 50}\n'
        + 'def f(x):\n    return x\n' * 20 for i in range(50)}})
    layout.write({f'scripts/t{i}.py': f'import argparse\nimport numpy as np\nfrom lib import m{i % 50}, m{i * 3 % 50}\n'
                  for i in range(count)})
    return [f'python scripts/t{i}.py --seed {i} --out out/{i}.json' for i in range(count)]


def test_each_source_is_parsed_once_and_the_interpreter_read_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_cli.fingerprint import interpreter

    reads: list[str] = []
    read = interpreter.read
    monkeypatch.setattr(interpreter, 'read', lambda path, environ: reads.append(path) or read(path, environ))
    commands = many(layout, 60)
    cache = ImportCache()
    alone = [layout.find(command) for command in commands[:5]]
    reads.clear()
    together = [layout.find(command, cache=cache) for command in commands]
    assert together[:5] == alone and len(together[0].files) == 52
    assert cache.parsed == 60 + 51 and len(reads) == 1


def test_what_was_parsed_is_kept_while_the_file_stays(layout: Layout) -> None:
    command = many(layout, 3)[0]
    for path in layout.root.rglob('*.py'):
        os.utime(path, ns=(1, 1))
    time.sleep(0.15)
    cache = ImportCache()
    first = layout.find(command, cache=cache)
    parsed = cache.parsed
    cache.renew()
    assert layout.find(command, cache=cache) == first and cache.parsed == parsed
    fresh = ImportCache(json.loads(json.dumps(cache.remember())))
    assert layout.find(command, cache=fresh) == first and fresh.parsed == 0
    layout.write({'src/lib/m0.py': 'import random'})
    assert layout.find(command, cache=cache) == first
    cache.renew()
    assert layout.find(command, cache=cache) != first and cache.parsed == parsed + 1
    assert ImportCache({'x': 1, 'y': [[1], [2]], 'z': [['a'], []], 'w': None}).remember() == {}


def test_a_file_just_written_is_parsed_again(layout: Layout) -> None:
    layout.write({'run.py': 'import a', 'a.py': '', 'b.py': ''})
    cache = ImportCache()
    assert layout.find('python run.py', cache=cache).files == ('a.py', 'run.py')
    layout.write({'run.py': 'import b'})
    cache.renew()
    assert layout.find('python run.py', cache=cache).files == ('b.py', 'run.py')


def test_a_thousand_stages_that_share_fifty_modules(layout: Layout) -> None:
    commands = many(layout, 1000)
    outputs = frozenset(f'out/{i}.json' for i in range(1000))
    cache = ImportCache()
    for command in commands:
        layout.find(command, cache=cache, outputs=outputs)
    started = time.process_time()
    for command in commands:
        layout.find(command, cache=cache, outputs=outputs)
    assert time.process_time() - started < 1.0  # 0.1 s on an idle machine


def test_site_packages_is_where_a_test_puts_things(tmp_path: Path) -> None:
    assert site_packages(pretended_python(tmp_path / 'venv')).name == 'site-packages'
