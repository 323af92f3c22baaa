"""What people get wrong, one line each: where it is, what it is, what to do next.  All in one project that has run once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.cli import app
from tests.support.project import GIT, Project

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = """\
stages:
  prepare:
    cmd: echo ${size} > data.txt
    outs: [data.txt]
  train:
    cmd: 'cat data.txt > model.txt; echo "{\\"accuracy\\": 0.9}" > metrics.json'
    deps: [data.txt]
    outs: [model.txt]
    metrics: [metrics.json]
"""
Setup = Callable[[Project], Any]


@pytest.fixture(scope='module')
def ready(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run once and committed; copied for each case."""
    project = Project(tmp_path_factory.mktemp('ready') / 'project')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'size: 1\n')
    project.run()
    project.run('prepare', overlay={('params.yaml', 'size'): 2}, force=True)
    project.write('raw.csv', 'x')
    project.commit('all')
    return project


@pytest.fixture
def here(ready: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    shutil.copytree(ready.path, tmp_path / 'project', symlinks=True)
    project = Project(tmp_path / 'project', ready.environ)
    for name in [name for name in os.environ if name.startswith('MLOPS_')]:
        monkeypatch.delenv(name)
    for name, value in {**GIT, 'HOME': str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.path)
    yield project
    for folder in ('', '.mlops', '.mlops/local'):
        path = project.path / folder
        if path.is_dir():
            path.chmod(0o755)


@dataclass
class Case:
    """``message`` and ``hint``: parts of what is said.  ``setup``: what is done to the project before.  ``cwd``: where it is
    typed."""

    typed: str
    code: int
    message: str
    hint: str
    setup: Setup | None = None
    cwd: str = '.'
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> list[str]:
        import shlex

        return shlex.split(self.typed)


def writes(file: str, text: str | bytes) -> Setup:
    return lambda project: project.write(file, text)


def replaces(old: str, new: str) -> Setup:
    return lambda project: project.write('pipeline.yaml', project.read('pipeline.yaml').replace(old, new))


def alone_with_dvc(project: Project) -> None:
    (project.path / 'pipeline.yaml').rename(project.path / 'dvc.yaml')


def in_the_way(project: Project) -> None:
    (project.path / 'pipeline.yaml').unlink()
    (project.path / 'pipeline.yaml').mkdir()


def dangling(project: Project) -> None:
    (project.path / 'pipeline.yaml').unlink()
    (project.path / 'pipeline.yaml').symlink_to('gone.yaml')


def bare(project: Project) -> None:
    subprocess.run(['git', 'clone', '-q', '--bare', '.', 'bare.git'], cwd=project.path, env=project.environ, check=True)
    (project.path / 'pipeline.yaml').unlink()


def without_git(project: Project) -> None:
    shutil.rmtree(project.path / '.git')


def linked_cache(project: Project) -> None:
    shutil.rmtree(project.path / '.mlops' / 'cache')
    (project.path / '.mlops' / 'cache').symlink_to('/tmp')


def damaged_record(project: Project) -> None:
    for path in (project.path / '.mlops' / 'stages').glob('*.json'):
        path.write_text('<<<<<<< HEAD\n')


WORDS = [
    Case('run tarin', 2, "no stage, instance or output 'tarin'", 'did you mean train?'),
    Case('status nosuch', 2, "'nosuch'", 'stages are prepare, train'),
    Case('plan modl.txt', 2, "'modl.txt'", 'did you mean model.txt'),
    Case('explain', 2, 'STAGE is missing', 'mlops explain STAGE'),
    Case('explain train prepare', 2, 'mlops explain has no use for prepare', 'mlops explain -h'),
    Case('run run', 2, "no stage, instance or output 'run'", 'stages are'),
    Case('logs prepar', 2, "'prepar'", 'did you mean prepare?'),
    Case('logs train --run zzzz', 2, "no run 'zzzz'", 'mlops runs list'),
    Case('runs show zzzz', 2, "no run 'zzzz'", 'mlops runs list shows all'),
    Case("runs show ''", 2, "no run ''", 'mlops runs list'),
    Case('runs apply zzzz', 2, "no run 'zzzz'", 'mlops runs list'),
    Case('runs', 0, '', ''),
    Case('runs shwo', 2, "mlops runs has no command 'shwo'", 'did you mean: mlops runs show'),
    Case('checkout other.txt', 2, "'other.txt'", 'did you mean model.txt?'),
    Case('checkout --at nosuch', 2, "git knows no revision 'nosuch'", 'git branch'),
    Case('checkout --at=-x', 2, "not a revision: '-x'", 'name a commit'),
    Case('metrics diff nosuch', 2, "'nosuch' is no run and no revision", 'mlops runs list'),
    Case('lineage upstream nosuch', 2, "'nosuch' is no file", 'name a file'),
    Case('add missing.csv', 2, 'missing.csv does not exist', 'ls shows'),
    Case('add model.txt', 2, 'model.txt is made by stage train', 'only add what no stage makes'),
    Case('add /etc/passwd', 2, '/etc/passwd is outside of the project', 'paths are inside the project'),
    Case('add .git', 2, 'belongs to git', 'paths are inside the project'),
    Case('accept train', 2, 'accept needs a reason', '--reason'),
    Case('init', 5, 'pipeline.yaml exists', 'mlops status'),
    Case('init new --template sklaern', 2, "no template 'sklaern'", 'did you mean scikit-learn?'),
    Case('config get job', 2, "unknown setting 'job'", 'did you mean jobs?'),
    Case('config set jobs many', 2, 'is not a whole number', '0 means'),
    Case('config set cache.dir /x --project', 5, 'may not come with a branch', 'config.local.yaml'),
    Case('repro', 2, "no command 'repro'", 'here it is called: mlops run'),
    Case('exp show', 2, "no command 'exp show'", 'here it is called: mlops runs list'),
    Case('stage add -n x', 2, "no command 'stage add'", 'written into pipeline.yaml'),
    Case('statsu', 2, "mlops has no command 'statsu'", 'did you mean: mlops status'),
    Case('STATUS', 2, "mlops has no command 'STATUS'", 'did you mean: mlops status'),
]
OPTIONS = [
    Case('run --forse', 2, 'mlops run has no option --forse', 'did you mean --force?'),
    Case('run -j many', 2, "'many' is not a whole number", 'mlops run -h'),
    Case('run -j', 2, 'requires an argument', 'mlops run -h'),
    Case('run --isolate box', 2, "'box' is not one of", 'mlops run -h'),
    Case('run --lock-timeout soon', 2, "'soon' is not a", 'mlops run -h'),
    Case('run --lock-timeout=-1', 2, '--lock-timeout -1 is below 0', '0 waits for nobody'),
    Case('run --set sise=2', 2, 'no parameter sise', 'did you mean size?'),
    Case('run --set size', 2, '--set size: not KEY=VALUE', 'such as --set'),
    Case('run --set =2', 2, 'not KEY=VALUE', 'such as --set'),
    Case('run --set nofile.yaml:a=1', 2, 'nofile.yaml has no parameter a', '--set +'),
    Case('run --set size=[1', 2, 'is not closed', 'a value is YAML in one line'),
    Case('verify --sample 9/3', 2, "'9/3' is neither N/T nor X%", 'such as --sample'),
    Case("gate 'metrics.json:accuracy >'", 2, 'cannot be read', 'such as'),
    Case("gate 'metrics.json:acuracy > 0'", 2, 'has no acuracy', 'did you mean accuracy?'),
    Case("gate 'metric.json:accuracy > 0'", 2, 'metric.json: No such file', 'there are metrics.json'),
    Case('graph --format png', 2, "'png' is not one of", 'mlops graph -h'),
    Case('-C nowhere status', 2, '-C nowhere: No such file or directory', 'name a folder that exists'),
    Case('-C params.yaml status', 2, '-C params.yaml: Not a directory', 'name a folder'),
]
SURROUNDINGS = [
    Case('status', 2, 'no pipeline.yaml in', 'mlops init', lambda p: (p.path / 'pipeline.yaml').unlink()),
    Case('status', 2, 'no pipeline.yaml in', 'mlops adopt dvc', alone_with_dvc),
    Case('status', 2, 'pipeline.yaml is a folder, not a file', 'rename the folder', in_the_way),
    Case('status', 2, 'pipeline.yaml is a link that leads nowhere', 'gone.yaml', dangling),
    Case('-C bare.git status', 2, 'no pipeline.yaml in', 'bare git repository', bare),
    Case('checkout --at HEAD~1', 2, 'not a git repository', 'git init', without_git),
    Case('status', 5, '.mlops/cache is a symbolic link', 'remove it', linked_cache),
    Case('status', 2, 'pipeline.yaml:2:1: a value is missing', 'quote', writes('pipeline.yaml', 'stages: [\n')),
    Case('status', 2, 'the file is empty', 'the shortest pipeline is', writes('pipeline.yaml', '')),
    Case('status', 2, 'not UTF-8', 'UTF-8', writes('pipeline.yaml', b'stages: \xff\n')),
    Case('status', 2, 'pipeline.yaml:7:5: stage train', 'did you mean deps?', replaces('    deps:', '    dep:')),
    Case('status', 2, 'pipeline.yaml:5:3: the key "train" is there already', 'another name', replaces('prepare:', 'train:')),
    Case('run', 2, 'has to be', '', replaces('outs: [model.txt]', 'outs: 5')),
    Case('run', 2, 'params has to be a path, not a list', 'one file here', replaces('stages:', 'params: [a.yaml]\nstages:')),
    Case('run', 2, 'metrics: no stage makes a.json', 'outputs: data.txt', replaces('stages:', 'metrics: [a.json]\nstages:')),
    Case('run', 2, 'plots: no stage makes a.csv', 'outputs: data.txt', replaces('stages:', 'plots: [a.csv]\nstages:')),
    Case('run', 2, 'unknown key "artifacts"', 'model: {name, path}', replaces('stages:', 'artifacts: {a: {}}\nstages:')),
    Case('run', 2, 'size', 'params.yaml', lambda p: (p.path / 'params.yaml').unlink()),
    Case('run', 2, '.mlops/config.yaml:1:7: jobs is not a whole number', '0 means', writes('.mlops/config.yaml', 'jobs: x\n')),
    Case('run', 2, "MLOPS_JOBS 'x' is not", '0 means', environ={'MLOPS_JOBS': 'x'}),
    Case('run', 2, "--lock-timeout: 'x'", 'mlops -h', environ={'MLOPS_LOCK_TIMEOUT': 'x'}),
    Case('status', 2, '-C gone: No such file', 'exists', environ={'MLOPS_DIRECTORY': 'gone'}),
]


def told(case: Case, here: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[int, str, str]:
    if case.setup:
        case.setup(here)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(here.path / case.cwd)
    code = app.run([*case.arguments, *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def name_of(case: Case) -> str:
    return f'{case.typed} ({case.message})'


@pytest.mark.parametrize('case', [*WORDS, *OPTIONS, *SURROUNDINGS], ids=name_of)
def test_it_is_told_where_what_and_what_next(case: Case, here: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = told(case, here, capsys, monkeypatch)
    assert code == case.code, (out, err)
    assert case.message in err
    assert case.hint in err
    assert 'Traceback' not in err and ('error: ' in err or code == 0)
    if case.hint:
        assert '\n  hint: ' in err


def test_there_are_enough_of_them() -> None:
    assert len({name_of(case) for case in [*WORDS, *OPTIONS, *SURROUNDINGS]}) >= 60


@pytest.mark.parametrize('case', [case for case in [*WORDS, *OPTIONS] if case.code and case.arguments[0] != '-C'], ids=name_of)
def test_with_json_the_error_is_a_document(case: Case, here: Project, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = told(case, here, capsys, monkeypatch, '--json')
    found = json.loads(out)
    schema = json.loads((ROOT / 'docs' / 'schemas' / 'error.v1.json').read_text())
    jsonschema_rs.Draft202012Validator(schema).validate(found)
    assert code == found['code'] == case.code and 'error' not in err


# What one process cannot be put into

# All is imported before the rights are given up: the interpreter may lie where nobody else may look.
AS_NOBODY = """
import codecs, importlib, os, pkgutil, sys
import jsonschema_rs, networkx, ruamel.yaml, sqlite3, yaml
import mlops_cli
for module in pkgutil.walk_packages(mlops_cli.__path__, 'mlops_cli.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
from mlops_cli.pipeline.load import schema, _validator
schema(), _validator(True), _validator(False)
for name in ('ascii', 'latin-1', 'utf-8-sig', 'idna'):
    codecs.lookup(name)
if not os.geteuid():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
from mlops_cli.__main__ import main
main()
"""


def run_alone(here: Project, *arguments: str, nobody: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(['-c', AS_NOBODY] if nobody else ['-m', 'mlops_cli']), *arguments]
    environ = {**here.environ, 'PYTHONPATH': str(ROOT), **options.pop('environ', {})}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, **{'cwd': here.path, **options})


def test_a_folder_that_is_gone(here: Project) -> None:
    script = f'mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m mlops_cli status'
    done = subprocess.run(['sh', '-c', script], cwd=here.path, env=here.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'error: the folder you are in is gone\n  hint: cd to one that exists, or name it with -C\n'


@pytest.fixture
def nobodys(ready: Project) -> Iterator[Project]:
    """The project as one of a user who is not root: for root, no right is missing."""
    with tempfile.TemporaryDirectory() as folder:  # not below pytest's, into which nobody else may look
        top = Path(folder)
        shutil.copytree(ready.path, top / 'project', symlinks=True)
        project = Project(top / 'project', {**ready.environ, 'HOME': str(top)})
        if not os.geteuid():
            for path in [top, *top.rglob('*')]:
                os.chown(path, 65534, 65534, follow_symlinks=False)
        yield project


@pytest.mark.parametrize(
    ('arguments', 'forbid', 'code', 'message'),
    [
        (['status'], 'pipeline.yaml', 6, 'pipeline.yaml'),
        (['add', 'raw.csv'], '.mlops/cache/tmp', 6, '.mlops/cache/tmp'),
        (['init', 'new'], '.', 6, 'new'),
        pytest.param(*(['config', 'set', 'jobs', '2'], '.mlops', 6, '.mlops'), marks=pytest.mark.full),
        pytest.param(*(['status'], '.mlops/local', 0, ''), marks=pytest.mark.full),
        pytest.param(*(['plan'], '.mlops', 0, ''), marks=pytest.mark.full),
    ],
)
def test_what_may_not_be_read_or_written(nobodys: Project, arguments: list[str], forbid: str, code: int, message: str) -> None:
    path = nobodys.path / forbid
    path.chmod(0o000 if path.is_file() else 0o555)
    try:
        done = run_alone(nobodys, *arguments, nobody=True)
    finally:
        path.chmod(0o755)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert 'Traceback' not in done.stderr and message in done.stderr
    if code:
        assert 'ermission denied' in done.stderr and 'hint: ' in done.stderr


@pytest.mark.parametrize('environ', [{'HOME': '', 'TERM': 'dumb', 'COLUMNS': '1'}, {'TERM': '', 'LC_ALL': 'C', 'LANG': 'C'}])
@pytest.mark.parametrize('command', [['status'], ['run'], []], ids=' '.join)
def test_odd_surroundings_do_not_matter(here: Project, environ: dict[str, str], command: list[str]) -> None:
    done = run_alone(here, *command, environ=environ)
    assert (done.returncode, done.stderr) == (0, '') and '\x1b' not in done.stdout


@pytest.mark.parametrize('command', [['status'], ['run'], ['doctor']], ids=' '.join)
def test_names_that_the_terminal_cannot_show(here: Project, command: list[str]) -> None:
    here.write('üñí 🚀.txt', 'x')
    here.write('pipeline.yaml', 'stages: {a: {cmd: "cat * > out", desc: "größe 🚀", deps: ["üñí 🚀.txt"], outs: [out]}}\n')
    done = run_alone(here, *command, environ={'LC_ALL': 'C', 'LANG': 'C', 'PYTHONIOENCODING': 'ascii'})
    assert done.returncode == 0 and 'Traceback' not in done.stderr
    assert done.stdout.isascii()


def test_names_of_files_that_would_mean_something_else_elsewhere(here: Project) -> None:
    done = run_alone(here, 'status', environ={'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'})
    assert done.returncode == 6 and 'mlops needs UTF-8' in done.stderr and 'hint: export LC_ALL=C.UTF-8' in done.stderr


def test_a_detached_head_and_no_commit_are_no_mistakes(here: Project) -> None:
    here.git('checkout', '-q', '--detach')
    assert 'On no branch' in run_alone(here, 'status').stdout
    without_git(here)
    here.init_git()
    assert run_alone(here, 'status').returncode == 0


def test_damaged_records_are_told_and_end_nothing(here: Project) -> None:
    damaged_record(here)
    done = run_alone(here, 'status')
    assert 'Traceback' not in done.stderr and done.returncode in (0, 1)
    assert 'damaged' in done.stderr + done.stdout or 'git checkout --ours' in done.stderr + done.stdout


def test_a_pipeline_that_another_includes_is_told(here: Project) -> None:
    here.write('part/pipeline.yaml', 'stages: {b: {cmd: "true"}}\n')
    here.write('pipeline.yaml', 'include: [part/pipeline.yaml]\n' + here.read('pipeline.yaml'))
    done = run_alone(here, 'status', cwd=here.path / 'part')
    assert done.returncode == 0
    assert done.stderr == (
        'note: ../pipeline.yaml includes this pipeline; from here it is another project, with results of its own\n'
        '      as part of that one: mlops -C .. ...\n'
    )
    assert run_alone(here, '-q', 'status', cwd=here.path / 'part').stderr == ''


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a folder away')
def test_a_repository_of_somebody_else_is_not_called_none(here: Project) -> None:
    for path in (here.path, here.path / '.git'):
        os.chown(path, 12345, 12345)
    assert run_alone(here, 'status').stdout.startswith('Git refuses this repository, which belongs to another user, last run ')
    assert 'git refuses this repository' in run_alone(here).stdout
    done = run_alone(here, 'checkout', '--at', 'HEAD')
    assert done.returncode == 2 and 'mlops doctor says why' in done.stderr
    assert 'safe.directory' in run_alone(here, 'doctor').stdout
