"""Which python it is and what is installed for it: pretended ones on disk, and this one against what it says itself."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from mlops_cli.fingerprint import interpreter
from mlops_cli.fingerprint.interpreter import editable_folders, find, packages, read, version, which
from tests.support.layout import pretended_python, program, site_packages, write

FINDER = '''
from __future__ import annotations
MAPPING: dict[str, str] = {mapping!r}
NAMESPACES: dict[str, list[str]] = {namespaces!r}
PATH_PLACEHOLDER = '__editable__.x-0.1.finder'
raise SystemExit('it was run')
'''

EDITABLES = '''
from editables.redirector import RedirectingFinder as F
F.install()
F.map_module('digits', '/p/src/digits/__init__.py')
'''


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    return pretended_python(tmp_path / 'venv')


def installed(bin_folder: Path, **environ: str) -> interpreter.Interpreter:
    return read(str(bin_folder / 'python'), environ)


def test_an_environment_has_its_packages_and_the_standard_library_of_its_base(bin_folder: Path) -> None:
    site = site_packages(bin_folder)
    write(site, {'torch/__init__.py': '', 'six.py': '', 'google/auth/__init__.py': '', '_x.cpython-311-x86_64-linux-gnu.so': '',
                 'numpy-2.0.dist-info/RECORD': '', 'README.txt': '', 'not-a-module.py': ''})
    found = installed(bin_folder)
    assert found.site == (str(site),)
    assert found.installed == {'numpy': True, 'torch': True, 'six': True, '_x': True, 'google': False}
    assert {'os', 'json', 'random'} <= found.standard and 'numpy' not in found.standard
    assert found.version == '3.11.7'


def test_folders_of_path_files_in_their_order(bin_folder: Path, tmp_path: Path) -> None:
    for name in ('one', 'two', 'three'):
        (tmp_path / name).mkdir()
    site = site_packages(bin_folder)
    write(site, {'b.pth': f'{tmp_path}/one\n# comment\n\n{tmp_path}/gone\n{tmp_path}/two  \n',
                 'a.pth': f'import os; raise SystemExit\n{tmp_path}/three\n', 'c.pth': f'{tmp_path}/one\n'})
    found = installed(bin_folder)
    assert found.folders == tuple(f'{tmp_path}/{name}' for name in ('three', 'one', 'two'))
    assert f'{site}/a.pth' in found.consulted and str(site) in found.consulted


@pytest.mark.parametrize(('name', 'finder', 'expected'), [
    ('__editable___digits_0_1_finder', FINDER.format(mapping={'digits': '/p/src/digits'}, namespaces={'ns': ['/p/ns']}),
     {'digits': ('/p/src/digits',), 'ns': ('/p/ns',)}),
    ('__editables_digits', EDITABLES, {'digits': ('/p/src/digits/__init__.py',)}),
    ('_digits_editable', "import sys\ndef install(a, b): raise SystemExit\ninstall({'digits': '/p/digits/__init__.py'}, {})\n",
     {'digits': ('/p/digits/__init__.py',)}),
    ('__editable___hostile_finder', "MAPPING = {'a': __import__('os').system('touch /tmp/x')}\n", {}),
    ('__editable___relative_finder', "MAPPING = {'a': '../../etc', 'b': 3, 4: '/x'}\n", {}),
    ('__editable___broken_finder', "MAPPING = {", {}),
    ('__editable___deep_finder', 'MAPPING = ' + '(' * 5000, {}),
    ('__editable___deep2_finder', 'MAPPING = ' + '-' * 100_000 + '1', {}),
])
def test_finders_of_editable_installs_are_read_not_run(bin_folder: Path, name: str, finder: str, expected: object) -> None:
    write(site_packages(bin_folder), {'__editable__.x-0.1.pth': f'import {name}; {name}.install()', f'{name}.py': finder})
    assert installed(bin_folder).mapped == expected


def test_links_in_site_packages_are_editable_installs(bin_folder: Path, tmp_path: Path) -> None:
    write(tmp_path, {'project/digits/__init__.py': ''})
    (site_packages(bin_folder) / 'digits').symlink_to(tmp_path / 'project/digits')
    found = installed(bin_folder)
    assert found.mapped == {'digits': (f'{tmp_path}/project/digits',)} and 'digits' not in found.installed


def test_editable_projects_are_told_by_direct_url(bin_folder: Path) -> None:
    site = site_packages(bin_folder)
    editable = {'dir_info': {'editable': True}}
    for name, document in (('a', {'url': 'file:///p/my%20project', **editable}), ('b', {'url': 'file:///q', 'dir_info': {}}),
                           ('c', {'url': 'https://x', **editable}), ('d', [1])):
        write(site, {f'{name}-1.dist-info/direct_url.json': json.dumps(document)})
    write(site, {'e-1.dist-info/direct_url.json': '{' * 100_000})
    assert editable_folders(installed(bin_folder)) == ('/p/my project',)


def test_the_users_own_packages_count_only_outside_of_closed_environments(tmp_path: Path) -> None:
    bin_folder = pretended_python(tmp_path / 'venv')
    base = tmp_path / 'venv-base/bin/python3.11'
    write(tmp_path, {'home/.local/lib/python3.11/site-packages/mine/__init__.py': ''})
    home = str(tmp_path / 'home')
    assert 'mine' not in read(str(bin_folder / 'python'), {'HOME': home}).installed
    assert 'mine' in read(str(base), {'HOME': home}).installed
    assert 'mine' not in read(str(base), {'HOME': home, 'PYTHONNOUSERSITE': '1'}).installed
    assert 'mine' in read(str(base), {'PYTHONUSERBASE': f'{home}/.local'}).installed


def test_an_environment_may_see_what_its_base_has(tmp_path: Path) -> None:
    bin_folder = pretended_python(tmp_path / 'venv')
    write(tmp_path / 'venv-base/lib/python3.11/site-packages', {'torch.py': ''})
    assert 'torch' not in installed(bin_folder).installed
    text = (tmp_path / 'venv/pyvenv.cfg').read_text().replace('= false', '= true')
    (tmp_path / 'venv/pyvenv.cfg').write_text(text)
    assert {'torch', 'numpy'} <= set(installed(bin_folder).installed)


def test_what_is_not_there_is_nothing() -> None:
    found = read('/nowhere/bin/python', {})
    assert found.installed == {} and found.version is None and 'json' in found.standard
    assert packages('/nowhere/bin/python', ['numpy']) == {}


def test_a_fifo_in_place_of_a_file_holds_nothing_up(bin_folder: Path) -> None:
    os.mkfifo(site_packages(bin_folder) / 'x.pth')
    assert installed(bin_folder).folders == ()


@pytest.mark.parametrize(('settings', 'expected'), [
    ('version = 3.12.4\n', '3.12.4'), ('version_info = 3.13.0.final.0\n', '3.13.0'), ('version_info = 3.11.7\n', '3.11.7')])
def test_version_by_the_environments_settings(tmp_path: Path, settings: str, expected: str) -> None:
    write(tmp_path, {'venv/pyvenv.cfg': 'home = /x\n' + settings, 'venv/bin/python': ''})
    assert version(f'{tmp_path}/venv/bin/python') == expected


@pytest.mark.parametrize(('files', 'python', 'expected'), [
    ({'bin/python3.12': '', 'include/python3.12/patchlevel.h': '/* */\n#define PY_VERSION      "3.12.5+"\n'},
     'bin/python3.12', '3.12.5'),
    ({'bin/python3.12': ''}, 'bin/python3.12', '3.12'),
    ({'bin/python3': '', 'lib/python3.10/os.py': ''}, 'bin/python3', '3.10'),
    ({'bin/python3': ''}, 'bin/python3', None),
    ({'cpython-3.13.1-linux-x86_64-gnu/bin/python3.13': ''}, 'cpython-3.13.1-linux-x86_64-gnu/bin/python3.13', '3.13.1'),
    ({'versions/3.11.7/bin/python3.11': ''}, 'versions/3.11.7/bin/python3.11', '3.11.7'),
    ({'versions/3.10.1/bin/python3.11': ''}, 'versions/3.10.1/bin/python3.11', '3.11'),
])
def test_version_of_an_installed_python(tmp_path: Path, files: dict[str, str], python: str, expected: str | None) -> None:
    write(tmp_path, files)
    assert version(f'{tmp_path}/{python}') == expected


def test_the_first_on_path_is_found(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        program(tmp_path / name / 'python', '')
    (tmp_path / 'a' / 'python').chmod(0o644)
    environ = {'PATH': f'{tmp_path}/none:{tmp_path}/a:b'}
    assert which('python', environ, str(tmp_path)) == f'{tmp_path}/b/python'
    assert which('./b/../b/python', environ, str(tmp_path)) == f'{tmp_path}/b/python'
    assert which('python3', environ, str(tmp_path)) is None
    assert which('py\0thon', environ, str(tmp_path)) is None


@pytest.fixture
def shims(tmp_path: Path) -> Path:
    root = tmp_path / '.pyenv'
    for number in ('3.10.2', '3.11.7', '3.11.12'):
        program(root / 'versions' / number / 'bin/python', '')
    program(root / 'shims/python', '#!/usr/bin/env bash\nexec "/x/libexec/pyenv" exec "$program" "$@"\n')
    (root / 'version').write_text('3.10.2\n')
    return root


@pytest.mark.parametrize(('chosen', 'variable', 'expected'), [
    (None, {}, '3.10.2'), ('3.11.7\n', {}, '3.11.7'), ('3.11\n', {}, '3.11.12'),
    ('3.11.7\n', {'PYENV_VERSION': '3.10.2'}, '3.10.2'),
    ('3.9\n3.11.7\n', {}, '3.11.7'), ('3.9\n', {}, None), ('../../x\n', {}, None)])
def test_shims_of_pyenv_lead_to_the_python_it_would_start(
        tmp_path: Path, shims: Path, chosen: str | None, variable: dict[str, str], expected: str | None) -> None:
    project = tmp_path / 'project/deeper'
    project.mkdir(parents=True)
    if chosen:
        (tmp_path / 'project/.python-version').write_text(chosen)
    found = find('python', {'PATH': f'{shims}/shims', **variable}, str(project))
    assert found == (f'{shims}/versions/{expected}/bin/python' if expected else None)


def test_the_systems_python_behind_a_shim(tmp_path: Path, shims: Path) -> None:
    (shims / 'version').write_text('system\n')
    program(tmp_path / 'usr/python', '')
    assert find('python', {'PATH': f'{shims}/shims:{tmp_path}/usr'}, str(tmp_path)) == f'{tmp_path}/usr/python'


def test_packages_by_record_and_top_level(bin_folder: Path) -> None:
    site = site_packages(bin_folder)
    write(site, {
        'cv2/__init__.py': '',
        'opencv_python-4.9.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: opencv-python\nVersion: 4.9.0.80\n\nName: no\n',
        'opencv_python-4.9.0.dist-info/RECORD':
            'cv2/__init__.py,sha256=x,1\nopencv_python-4.9.0.dist-info/RECORD,,\n../../../bin/x,,\n',
        'yaml/__init__.py': '', '_yaml/__init__.py': '', 'PyYAML-6.0.dist-info/top_level.txt': '_yaml\nyaml\n',
        'PyYAML-6.0.dist-info/METADATA': 'Name: PyYAML\nVersion: 6.0\n',
        'six.py': '', 'six-1.16.dist-info/RECORD': 'six.py,sha256=x,1\n',
        'google/auth/__init__.py': '', 'google_auth-2.0.dist-info/RECORD': 'google/auth/__init__.py,,\n',
        'google/cloud/__init__.py': '', 'google_cloud-3.0.dist-info/RECORD': 'google/cloud/__init__.py,,\n',
        '_fast.cpython-311-x86_64-linux-gnu.so': '', 'fast-1.dist-info/RECORD': '_fast.cpython-311-x86_64-linux-gnu.so,,\n',
        'old.py': '', 'old-0.5.egg-info/PKG-INFO': 'Name: old\nVersion: 0.5\n', 'old-0.5.egg-info/top_level.txt': 'old\n'})
    python = str(bin_folder / 'python')
    assert packages(python, ['cv2', 'yaml', 'json', 'gone']) == {'PyYAML': '6.0', 'opencv-python': '4.9.0.80'}
    assert packages(python, ['six', '_fast', 'old']) == {'fast': '1', 'old': '0.5', 'six': '1.16'}
    assert packages(python, ['google']) == {'google_auth': '2.0', 'google_cloud': '3.0'}
    assert packages(python, []) == {}


def test_this_interpreter_is_read_as_it_describes_itself() -> None:
    code = ('import sys, json, site, importlib.metadata as m\n'
            'print(json.dumps([sys.version.split()[0], sys.path, sorted({k for k, v in m.packages_distributions().items()})]))')
    environ = {'PATH': os.environ['PATH'], 'PYTHONNOUSERSITE': '1'}
    number, path, modules = json.loads(subprocess.run(
        [sys.executable, '-P', '-c', code], env=environ, capture_output=True, check=True).stdout)
    found = read(sys.executable, environ)
    assert found.version == number
    added = [folder for folder in path if folder in found.site or folder in found.folders]
    assert added == [*found.site, *found.folders]
    assert [folder for folder in path if folder not in added and f'python{sys.version_info[0]}' not in folder] == []
    described = {name for name in modules if name.isidentifier() and name not in ('__editable__',)}
    missing = described - set(found.installed)
    assert not [name for name in missing for folder in found.site if (Path(folder) / name).exists()]
    assert sys.stdlib_module_names <= found.standard
    known = packages(sys.executable, ['yaml', 'hypothesis', 'blake3'])
    from importlib.metadata import version as installed_version
    assert known == {'PyYAML': installed_version('PyYAML'), 'hypothesis': installed_version('hypothesis'),
                     'blake3': installed_version('blake3')}


@pytest.mark.full
@pytest.mark.parametrize(('backend', 'package'), [
    ('hatchling.build', 'lib'), ('setuptools.build_meta', 'lib'), ('setuptools.build_meta', 'one/two')])
def test_real_editable_installs_are_found(tmp_path: Path, backend: str, package: str) -> None:
    from tests.support.layout import Layout

    write(tmp_path / 'project', {
        'pyproject.toml': f'[build-system]\nrequires = ["{backend.partition(".")[0]}"]\nbuild-backend = "{backend}"\n'
                          '[project]\nname = "digits"\nversion = "0.1"\n[project.scripts]\ndigits-train = "digits.train:main"\n'
                          f'[tool.hatch.build.targets.wheel]\npackages = ["{package}/digits"]\n'
                          f'[tool.setuptools.packages.find]\nwhere = ["{package}"]\n',
        f'{package}/digits/__init__.py': '', f'{package}/digits/train.py': 'from digits import data\ndef main(): print(data)\n',
        f'{package}/digits/data.py': '', 'tools/run.py': 'import digits.train\n'})
    venv.create(tmp_path / 'venv', with_pip=False)
    python = tmp_path / 'venv/bin/python'
    done = subprocess.run([sys.executable, '-m', 'pip', '--python', str(python), 'install', '-q', '--disable-pip-version-check',
                           '-e', str(tmp_path / 'project')], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = read(str(python), {})
    assert found.folders or found.mapped
    layout = Layout(tmp_path / 'project', python.parent)
    expected = [f'{package}/digits/{name}.py' for name in ('__init__', 'data', 'train')]
    assert layout.files('digits-train') == expected
    assert layout.files('cd tools && python run.py') == sorted([*expected, 'tools/run.py'])
    assert packages(str(python), ['digits']) == {}
