"""Packages for a host, fetched here by pip: nothing that a lock file says is run, and nothing of the project is imported."""

from __future__ import annotations

import os
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.spec import Environment
from mlops_cli.run import packages
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.local import LocalStore

HERE = {'python': '.'.join(map(str, sys.version_info[:3])), 'machine': os.uname().machine, 'libc': ['glibc', '2.31']}
LOCK = Environment('venv', 'requirements.txt')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / 'project'
    folder.mkdir()
    return folder


def bench(project: Path, **environ: str) -> Workbench:
    """With an index that is a folder."""
    known = {'PATH': os.environ['PATH'], 'HOME': str(project.parent), 'PIP_NO_INDEX': '1', 'PIP_CONFIG_FILE': os.devnull,
             'PIP_FIND_LINKS': str(project.parent / 'index')}  # fmt: skip
    store = LocalStore(str(project.parent / 'store'), batch=Batch('none'))
    return cast(Workbench, SimpleNamespace(root=Root(str(project)), environ={**known, **environ}, store=store))


def fetch(project: Path, text: str, **environ: str) -> int:
    (project / 'requirements.txt').write_text(text)
    return packages.fetched(bench(project, **environ), LOCK, HERE)[1]


def wheel(folder: Path, name: str = 'far', needs: str = '') -> Path:
    folder.mkdir(exist_ok=True)
    path, about = folder / f'{name}-1.0-py3-none-any.whl', f'{name}-1.0.dist-info'
    needed = f'Requires-Dist: {needs}\n' if needs else ''
    with zipfile.ZipFile(path, 'w') as into:
        into.writestr(f'{name}.py', '')
        into.writestr(f'{about}/METADATA', f'Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needed}')
        into.writestr(f'{about}/WHEEL', 'Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        into.writestr(f'{about}/RECORD', f'{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n')
    return path


def trap(folder: Path, ran: Path) -> Path:
    """A package that says so when it is run."""
    folder.mkdir(parents=True)
    says = f'open({str(ran)!r}, "w")\nfrom setuptools import setup\nsetup(name="evil", version="1")\n'
    (folder / 'setup.py').write_text(says)
    return folder


def test_what_the_project_calls_pip_is_not_run(project: Path, tmp_path: Path) -> None:
    wheel(tmp_path / 'index')
    ran = tmp_path / 'ran'
    (project / 'pip.py').write_text(f'open({str(ran)!r}, "w")\n')
    (project / 'runpy.py').write_text(f'open({str(ran)!r}, "w")\n')
    beside = f'.{os.pathsep}{project}{os.pathsep}{tmp_path / "nowhere"}'
    assert fetch(project, 'far==1.0\n', PYTHONPATH=beside) == 1 and not ran.exists()


@pytest.mark.parametrize('line', [
    './evil', '/tmp/evil', '../evil', '-e ./evil', '--editable=./evil', 'evil @ file:///tmp/evil', 'git+https://x/y.git',
    'evil/.', 'https://x/evil.tar.gz', 'file:evil', 'evil @ ./evil', '-r other.txt', '-c other.txt', '--no-binary :all:',
    'far --config-settings a=b',
    'far ; python_version > "3" --global-option=x', 'far[./evil]', '--no-bin far', 'far==1.0 -e ./evil', '--pre -e ./evil',
    'evil @ https://x/evil.whl/evil.zip', '\\\n./evil', 'far==1.0\x0c./evil', '--index-url https://x -e ./evil',
])  # fmt: skip
def test_what_is_no_package_of_an_index_is_refused(project: Path, tmp_path: Path, line: str) -> None:
    ran = tmp_path / 'ran'
    trap(project / 'evil', ran)
    (project / 'other.txt').write_text('./evil\n')
    with pytest.raises(UserError, match='is no package of an index, and no wheel') as caught:
        fetch(project, f'# comment\n{line}\n')
    assert caught.value.message.startswith('requirements.txt:2: ' if '\x0c' not in line else 'requirements.txt:3: ')
    assert not ran.exists()


def test_variables_of_this_machine_go_nowhere() -> None:
    with pytest.raises(UserError, match=r'requirements.txt:1: --index-url https://x/\$\{AWS_SECRET_ACCESS_KEY\}: a variable'):
        packages.wanted(b'--index-url https://x/${AWS_SECRET_ACCESS_KEY}\n', 'requirements.txt')


def test_a_package_that_would_have_to_run_to_be_read_is_not_run(project: Path, tmp_path: Path) -> None:
    """A wheel may name what it needs by address, and of such pip takes sources too, whatever it was told."""
    ran = tmp_path / 'ran'
    archive = tmp_path / 'evil-1.tar.gz'
    with tarfile.open(archive, 'w:gz') as into:
        into.add(trap(tmp_path / 'evil-1', ran), 'evil-1')
    wheel(tmp_path / 'index', needs=f'evil @ file://{archive}')
    with pytest.raises(UserError, match='there is a package that is no wheel, and what makes one of it is not run here'):
        fetch(project, 'far==1.0\n', PIP_NO_BUILD_ISOLATION='0')
    assert not ran.exists()


def test_lock_files_as_they_are_written_are_understood() -> None:
    text = (
        '# by pip-compile\n--index-url https://x.org/simple\n-f https://x.org/wheels\n--extra-index-url=https://download.x.org/cu121\n'
        '--only-binary :all:\n--prefer-binary\n\n'
        'torch==2.3.0+cu121 ; python_version >= "3.8" and sys_platform == \'linux\'  # via one\n'
        'numpy[fast, extra] (>=1.20,<2)\nsix==1.17.0 \\\n    --hash=sha256:4721 \\\n    --hash=sha256:ff70\n    # via one\n'
        'a.b_c-d ~= 1!2.0.*\nplain\n--pre\n'
        'en_core @ https://x.org/en_core-3.7.1%2Bx-py3-none-any.whl#sha256=86cc ; python_version > "3"\n'
    )
    found = packages.wanted(text.encode(), 'requirements.txt')
    assert [line.text for line in found] == [
        '--index-url https://x.org/simple', '-f https://x.org/wheels', '--extra-index-url=https://download.x.org/cu121',
        'torch==2.3.0+cu121 ; python_version >= "3.8" and sys_platform == \'linux\'', 'numpy[fast, extra] (>=1.20,<2)',
        'six==1.17.0     --hash=sha256:4721     --hash=sha256:ff70', 'a.b_c-d ~= 1!2.0.*', 'plain', '--pre',
        'en_core @ https://x.org/en_core-3.7.1%2Bx-py3-none-any.whl#sha256=86cc ; python_version > "3"',
    ]  # fmt: skip
    assert [line.ahead for line in found][:3] == ['', '', '']
    assert found[-1].ahead == 'en_core==3.7.1+x ; python_version > "3" --hash=sha256:86cc'


@pytest.mark.parametrize('text', ['a' * 50_000, ' ' * 200_000 + 'x', 'a' + ' ' * 200_000 + '/', 'a;' + ' ' * 200_000 + '/'])
def test_a_line_of_any_length_is_read_soon(text: str) -> None:
    try:
        packages.wanted(text.encode(), 'requirements.txt')
    except UserError as error:
        assert len(error.message) < 300


@pytest.mark.parametrize('libc', [['glibc', '2.2000000'], ['glibc', '2.' + '9' * 5000], ['glibc', '2.²'], ['glibc', 2], None])
def test_what_a_host_says_of_its_library_makes_no_million_words(libc: Any) -> None:
    assert len(packages.platform_words({**HERE, 'libc': libc})) < 300


@pytest.mark.parametrize('there', [{'python': '3'}, {'python': '3.²'}, {'python': f'3.{"1" * 5000}'}, {'machine': 'x' * 5000}])
def test_what_is_no_python_is_refused(there: Mapping[str, str]) -> None:
    with pytest.raises(UserError, match='which Python'):
        packages.platform_words({**HERE, **there})


def test_words_for_the_library_of_a_host() -> None:
    words = packages.platform_words(HERE)
    assert f'manylinux_2_31_{HERE["machine"]}' in words and f'manylinux_2_32_{HERE["machine"]}' not in words
    assert f'musllinux_1_2_{HERE["machine"]}' in packages.platform_words({**HERE, 'libc': None})
