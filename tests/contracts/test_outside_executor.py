"""An executor of somebody else, as a package that is installed beside ours: found, used, and told apart when it is wrong."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract')

from mlops_cli.core.errors import ExitCode, UserError  # noqa: E402 -- after what pytest has to know first
from mlops_cli.executors import all as executors  # noqa: E402
from mlops_cli.executors.base import Executor  # noqa: E402
from tests.contracts.executor_contract import ExecutorContract  # noqa: E402
from tests.support.project import Project  # noqa: E402

EXAMPLE = Path(__file__).parent / 'outside'
PAGE = Path(__file__).resolve().parents[2] / 'docs/executors.md'
Install = Callable[..., Path]


def installed(site: Path, code: str, points: str, name: str = 'mlops-nice', module: str = 'mlops_nice') -> Path:
    """A package without a tool: a module, and what an installer would write beside it."""
    info = site / f'{name.replace("-", "_")}-1.0.dist-info'
    info.mkdir(parents=True)
    (site / f'{module}.py').write_text(code)
    (info / 'METADATA').write_text((EXAMPLE / 'METADATA').read_text().replace('mlops-nice', name))
    (info / 'entry_points.txt').write_text(points)
    return site


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    def put(code: str = '', points: str = '', name: str = 'mlops-nice', module: str = 'mlops_nice') -> Path:
        code = code or (EXAMPLE / 'mlops_nice.py').read_text()
        points = points or (EXAMPLE / 'entry_points.txt').read_text()
        site = installed(tmp_path / f'site-{name}', code, points, name, module)
        monkeypatch.syspath_prepend(site)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return site

    return put


class TestNice(ExecutorContract):
    """The example of docs/executors.md does all that an executor must."""

    @pytest.fixture(autouse=True)
    def there(self, install: Install) -> None:
        install()

    def create(self, folder: Path) -> Executor:
        return executors.create('nice', str(folder))


def test_the_page_shows_the_example_as_it_is() -> None:
    page = PAGE.read_text()
    for name in ('mlops_nice.py', 'entry_points.txt'):
        assert (EXAMPLE / name).read_text() in page, name
    assert all(f'`{method}' in page for method in executors.METHODS)


PIPELINE = 'version: 1\nstages:\n  a:\n    cmd: nice > out; python --version\n    outs: [out]\n'


def test_a_run_uses_it_by_its_name(project: Project, tmp_path: Path) -> None:
    site = installed(tmp_path / 'site', *((EXAMPLE / name).read_text() for name in ('mlops_nice.py', 'entry_points.txt')))
    project.write('pipeline.yaml', PIPELINE)
    project.mlops('run', '--executor', 'nice', environ={'PYTHONPATH': str(site)})
    assert project.read('out') == '19\n'
    bench = project.open()
    try:
        (entry,) = bench.results.all()
    finally:
        bench.close()
    assert entry.origin['executor'] == 'nice'
    assert entry.environment == {'executor': 'nice'}, 'where it ran is its affair: nothing is claimed'
    assert project.verdicts() == {'a': 'fresh'}
    project.mlops('run', '--force', environ={'PYTHONPATH': str(site), 'MLOPS_EXECUTOR': 'nice'})
    assert project.read('out') == '19\n'
    project.mlops('run', '--force')
    assert project.read('out') == '0\n', 'without its name, this machine runs it'


def test_a_name_nobody_knows(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    said = project.mlops('run', '--executor', 'slurmm', code=ExitCode.WRONG_INPUT)
    assert 'there is no executor named slurmm' in said.err and 'mlops.executors' in said.err
    assert not project.exists('.mlops') or not list((project.path / '.mlops').glob('runs/*/*'))


def test_the_near_name(install: Install) -> None:
    install()
    with pytest.raises(UserError) as error:
        executors.find('nise')
    assert 'did you mean nice' in error.value.hint


POINT = '[mlops.executors]\nwrong = mlops_wrong\n'
WHOLE = 'class E:\n    ' + '\n    '.join(f'def {name}(self, *a, **k): return None' for name in executors.METHODS) + '\n'
WRONG = {
    'syntax': ('def (', 'cannot be loaded: SyntaxError'),
    'import': ('import nowhere_at_all', "No module named 'nowhere_at_all'"),
    'name': ('undefined', 'NameError'),
    'raises': ('raise RuntimeError("no licence")', 'no licence'),
    'nothing': ('x = 1', 'has no function create'),
    'no function': ('create = 7', 'has no function create'),
    'cannot begin': ('def create(folder): raise OSError(13, "no way in")', 'cannot begin'),
    'too few arguments': ('def create(): pass', 'cannot begin: TypeError'),
    'no executor': ('def create(folder): return None', 'lacks submit, poll, cancel, collect, close'),
    'half of one': (WHOLE.replace('collect', 'gather') + 'def create(folder): return E()', 'lacks collect'),
}


@pytest.mark.parametrize('what', WRONG)
def test_a_wrong_one_is_told_with_its_package(install: Install, tmp_path: Path, what: str) -> None:
    code, words = WRONG[what]
    install(code, POINT, 'wrong-package', 'mlops_wrong')
    with pytest.raises(UserError) as error:
        executors.create('wrong', str(tmp_path))
    assert words in error.value.message and 'wrong-package 1.0' in error.value.message and error.value.hint


def test_one_whose_module_is_gone(install: Install) -> None:
    site = install('', POINT, 'wrong-package', 'mlops_wrong')
    (site / 'mlops_wrong.py').unlink()
    with pytest.raises(UserError, match='cannot be loaded'):
        executors.find('wrong')


def test_two_of_one_name(install: Install) -> None:
    install('def create(folder): ...', '[mlops.executors]\ntwice = one\n', 'package-one', 'one')
    install('def create(folder): ...', '[mlops.executors]\ntwice = two\n', 'package-two', 'two')
    with pytest.raises(UserError, match=r'package-one 1\.0 and package-two 1\.0'):
        executors.find('twice')


def test_ours_cannot_be_replaced(install: Install) -> None:
    install('raise SystemExit', '[mlops.executors]\nlocal = evil\n', 'evil-package', 'evil')
    assert executors.find('local').__name__ == 'mlops_cli.executors.local'  # type: ignore[attr-defined]
    assert 'local' not in executors.outside()


def test_packages_are_looked_at_only_when_a_name_asks() -> None:
    code = (
        'import sys; from mlops_cli.executors import all as e; e.create("local", "."); '
        'import mlops_cli.run.invoke; print("importlib.metadata" in sys.modules)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'False\n'


BRINGS = """
from mlops_cli.executors import all as executors

STORE = []

def create(folder):
    return Brings(executors.create('local', folder))

class Brings:
    def __init__(self, inner):
        self.submit, self.poll, self.cancel, self.close = inner.submit, inner.poll, inner.cancel, inner.close
    def collect(self, handle):
        return PATHS
"""


def test_what_it_brought_into_the_store_is_put_in_place(install: Install, project: Project) -> None:
    """As an executor on another machine would: the outputs come as references."""
    project.write('pipeline.yaml', PIPELINE.replace('nice > out', 'true'))
    install('import builtins\n' + BRINGS.replace('PATHS', 'builtins.brought'), '[mlops.executors]\nfar = far\n', 'far', 'far')
    bench = project.open()
    try:
        from mlops_cli.records.files import prepare_folders

        prepare_folders(bench.root)
        ref = bench.store.add_bytes(b'from far away\n')
    finally:
        bench.close()
    import builtins

    builtins.brought = (('out', ref),)  # type: ignore[attr-defined]
    try:
        report = project.run(executor='far')
        assert report.ended == 'done' and project.read('out') == 'from far away\n'
        builtins.brought = (('../elsewhere', ref),)  # type: ignore[attr-defined]
        report = project.run(executor='far', force=True)
        assert report.ended == 'failed' and not (project.path.parent / 'elsewhere').exists()
        event = report.settled['a'].event
        assert event is not None and 'no output of the stage' in event.message
    finally:
        del builtins.brought  # type: ignore[attr-defined]


def test_what_somebody_saves_where_it_brings_something_is_kept(install: Install, project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('nice > out', 'true'))
    install('import builtins\n' + BRINGS.replace('PATHS', 'builtins.brought()'), '[mlops.executors]\nfar = far\n', 'far', 'far')
    bench = project.open()
    try:
        from mlops_cli.records.files import prepare_folders

        prepare_folders(bench.root)
        ref = bench.store.add_bytes(b'from far away\n')
    finally:
        bench.close()
    import builtins

    def brought() -> tuple[tuple[str, object], ...]:
        project.write('out', 'mine')
        return (('out', ref),)

    builtins.brought = brought  # type: ignore[attr-defined]
    try:
        report = project.run(executor='far')
    finally:
        del builtins.brought  # type: ignore[attr-defined]
    assert report.ended == 'done' and project.read('out') == 'from far away\n'
    (kept,) = [path for path in (project.path / '.mlops/local/rescue').rglob('*') if path.is_file()]
    assert kept.read_text() == 'mine'


@pytest.mark.full
def test_it_is_found_where_pip_installs_it(project: Project, tmp_path: Path) -> None:
    """A virtual environment on top of this one, with the package in its site-packages."""
    subprocess.run([sys.executable, '-m', 'venv', '--system-site-packages', '--without-pip', tmp_path / 'venv'], check=True)
    (site,) = (tmp_path / 'venv/lib').glob('python*/site-packages')
    shutil.copy(EXAMPLE / 'mlops_nice.py', site)
    installed(site, *((EXAMPLE / name).read_text() for name in ('mlops_nice.py', 'entry_points.txt')))
    project.write('pipeline.yaml', PIPELINE)
    paths = ':'.join(path for path in sys.path if path)
    done = subprocess.run(
        [tmp_path / 'venv/bin/python', '-m', 'mlops_cli', 'run', '--executor', 'nice'],
        cwd=project.path, env={**project.environ, 'PYTHONPATH': paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert project.read('out') == '19\n'
