"""The kept pipeline: the same as a fresh one, gone as soon as anything that it was made from is another, and never believed
where somebody else wrote it."""

from __future__ import annotations

import marshal
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from mlops_cli.core import layout
from mlops_cli.core.digest import seal
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.fsio import paths, token
from mlops_cli.pipeline import graph, kept, load
from mlops_cli.pipeline.sources import Sources
from mlops_cli.pipeline.spec import Pipeline
from tests.pipeline.conftest import shown
from tests.properties.model import World, worlds

ROOT = Path(__file__).parent.parent.parent
FILES = {
    'pipeline.yaml': """\
name: whole
desc: a little of everything
include: [serve/pipeline.yaml]
vars: [conf/shared.yaml, {dirs: {out: out}}]
stages:
  prepare:
    cmd: python prepare.py ${env:FLAVOUR:-plain} ${env:NOT_SET:-none}
    env: [FLAVOUR, NOT_SET]
    deps: [data/raw, "raw/*.csv"]
    params: [prepare, {conf/extra.json: [depth]}]
    outs: [{data/prepared: {persist: true, desc: all of it}}]
    resources: {cpus: 0.5, memory: 2GiB, licence: 1}
    retry: {max: 2, causes: [oom]}
    timeout: 1h30m
    secrets: [TOKEN]
    meta: {owner: [ann, {team: 3}], due: 1.0, none: null}
  train:
    foreach: ${models}
    do:
      cmd: python train.py ${item.name} ${item.rate} ${folder}
      deps: [data/prepared]
      outs: ["${dirs.out}/${key}"]
      metrics: [{"${dirs.out}/${key}.json": {primary: loss, goals: {loss: min}, tolerance: {loss: 1}, cache: false}}]
      plots: [{"${dirs.out}/${key}.csv": {x: step, y: [loss]}}]
      progress: "${dirs.out}/${key}.jsonl"
  grid:
    matrix: {seed: [1, 2.5, "3", true], kind: ["${kind}"]}
    argv: [python, grid.py, "${item.seed}", "${item.kind}"]
    needs: [prepare, train]
    mutex: [gpu]
    deps: [{stage: train}]
    outs: ["grid/${item.seed}"]
    code: {paths: [lib], docstrings: ignore}
  last:
    frozen: true
    always_changed: false
    cmd: [echo one, echo two]
    needs: [grid]
""",
    'serve/pipeline.yaml': 'stages: {serve: {cmd: "echo ${level} > served", outs: [served], params: [level]}}\n',
    'serve/params.yaml': 'level: 3\n',
    'conf/shared.yaml': 'folder: models\nmodels: {a: {name: first, rate: 0.1}, b: {name: second, rate: 1e-5}}\nkind: é\n',
}
ENVIRON = {'FLAVOUR': 'sweet', 'OTHER': '1'}


class Kept:
    """A project that keeps its pipeline.  ``fresh``: how often it was loaded afresh."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch) -> None:
        self.path, self.patch = path / 'project', patch
        self.environ = {**ENVIRON, 'HOME': str(path / 'home')}
        self.file = self.path / layout.PIPELINE_KEPT
        for name, text in FILES.items():
            self.write(name, text)
        (self.path / layout.LOCAL).mkdir(parents=True)
        self.write(layout.GITIGNORE, layout.GITIGNORE_TEXT)
        self.fresh = 0
        work = load.load_from

        def counted(*arguments: Any) -> Any:
            self.fresh += 1
            return work(*arguments)

        patch.setattr(load, 'load_from', counted)

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def load(self, **environ: str) -> Pipeline:
        return kept.load(self.path, environ={**self.environ, **environ})

    def is_kept(self, **environ: str) -> bool:
        """Whether it is taken from what is kept; what is given is what a fresh one would be, in any case."""
        before = self.fresh
        found = told(lambda: self.load(**environ))
        taken = self.fresh == before
        afresh = told(lambda: load.load(self.path, environ={**self.environ, **environ}))
        assert found == afresh
        return taken


def told(work: Callable[[], Pipeline]) -> Any:
    """All of a pipeline and its edges, or the mistakes in it."""
    try:
        pipeline = work()
    except UserErrors as errors:
        return [(error.message, error.hint, error.where, error.exit_code) for error in errors.errors]
    return shown(pipeline), list(graph.edges(pipeline).items())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept(tmp_path, monkeypatch)
    assert not made.is_kept() and made.is_kept()
    return made


# The same

def test_it_is_taken_from_what_is_kept(project: Kept) -> None:
    pipeline = project.load()
    assert len(pipeline.stages) == 9 and pipeline.absent == ('params.yaml',)
    assert set(pipeline.files) == set(FILES)
    assert project.file.stat().st_mode & 0o777 == 0o600
    assert project.is_kept(OTHER='2')


@pytest.mark.parametrize('example', ['digits', 'words', 'templates/minimal', 'templates/pytorch', 'templates/scikit-learn'])
def test_examples(project: Kept, example: str) -> None:
    shutil.copytree(ROOT / 'examples' / example, project.path, dirs_exist_ok=True)
    assert not project.is_kept() and project.is_kept()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(worlds())
def test_random_pipelines(project: Kept, world: World) -> None:
    project.write('pipeline.yaml', world.pipeline('/nowhere'))
    project.write('params.yaml', str(dict(world.params)))
    project.is_kept()
    assert project.is_kept()
    (project.path / 'params.yaml').unlink()


def test_what_was_looked_at_is_the_same(project: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """By which answers at once know what they depend on."""
    found: list[set[tuple[str, str, bool]]] = []
    for quick in ('0', '1'):
        monkeypatch.setattr(paths, 'asked', set())
        before = project.fresh
        project.load(MLOPS_QUICK=quick)
        assert project.fresh - before == (quick == '0')
        assert paths.asked is not None
        found.append({one for one in paths.asked if not one[1].startswith(layout.LOCAL)})
    assert found[0] == found[1] and {rel for _, rel, _ in found[1]} == {*FILES, 'params.yaml'}


def test_values_that_are_equal_and_not_the_same(project: Kept) -> None:
    for one, two in (('1', 'true'), ('1', '1.0'), ('0', 'false'), ('0.0', '-0.0'), ('"1"', '1')):
        stages = ', '.join(f'{name}: {{cmd: "true", meta: {{n: {value}}}}}' for name, value in (('a', one), ('b', two)))
        project.write('pipeline.yaml', f'stages: {{{stages}}}\n')
        assert not project.is_kept() and project.is_kept()


# What changed since

def edited(name: str) -> Callable[[Kept], None]:
    """Another value of the same length, under the same times."""

    def change(project: Kept) -> None:
        path = project.path / name
        facts, text = path.stat(), path.read_text()
        for old, new in (('level: 3', 'level: 4'), ('python', 'pythom'), ('models', 'modelz'), ('served', 'sirved')):
            text = text.replace(old, new)
        assert len(text) == facts.st_size - path.read_bytes().count('é'.encode()) and text != path.read_text()
        path.write_text(text)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    return change


def linked(name: str) -> Callable[[Kept], None]:
    def change(project: Kept) -> None:
        (project.path / name).rename(project.path.parent / 'away')
        (project.path / name).symlink_to(project.path.parent / 'away')

    return change


def moved(project: Kept) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: "true"}}\n')
    project.load()
    there = project.path.with_name('elsewhere')
    project.path.rename(there)
    project.path = there


CHANGES: Mapping[str, Callable[[Kept], object]] = {
    **{f'{name} edited': edited(name) for name in FILES},
    **{f'{name} gone': lambda project, name=name: (project.path / name).unlink() for name in FILES},  # type: ignore[misc]
    **{f'{name} a link': linked(name) for name in FILES},
    'a folder on the way a link': linked('conf'),
    'a file of parameters': lambda project: project.write('params.yaml', 'unused: 1\n'),
    'a folder in place of parameters': lambda project: (project.path / 'params.yaml').mkdir(),
    'a link to nothing in place of parameters': lambda project: (project.path / 'params.yaml').symlink_to('nowhere'),
    'a pipe in place of parameters': lambda project: os.mkfifo(project.path / 'params.yaml'),
    'another place': moved,
    'a variable': lambda project: project.environ.update(FLAVOUR='sour'),
    'an empty variable': lambda project: project.environ.update(FLAVOUR=''),
    'no variable': lambda project: project.environ.pop('FLAVOUR'),
    'a variable that was not set': lambda project: project.environ.update(NOT_SET='set'),
    'one that was not set, empty': lambda project: project.environ.update(NOT_SET=''),
    'another version': lambda project: project.patch.setattr(kept, '__version__', '0.0.0'),
    'another Python': lambda project: project.patch.setattr(kept.sys, 'version', '4'),
    'off': lambda project: project.environ.update(MLOPS_QUICK='0'),
}


@pytest.mark.parametrize('name', CHANGES)
def test_nothing_older_is_given_than(project: Kept, name: str) -> None:
    CHANGES[name](project)
    assert not project.is_kept()


def test_a_change_and_back(project: Kept) -> None:
    text = project.path.joinpath('serve/params.yaml').read_text()
    project.write('serve/params.yaml', 'level: 5\n')
    assert not project.is_kept() and project.is_kept()
    project.write('serve/params.yaml', text)
    assert not project.is_kept() and project.is_kept()
    project.write('params.yaml', 'more: 1\n')
    assert not project.is_kept() and project.is_kept()
    (project.path / 'params.yaml').unlink()
    assert not project.is_kept() and project.is_kept()


def test_a_trial_is_neither_taken_nor_kept(project: Kept) -> None:
    before = project.file.read_bytes()
    overlay = {('serve/params.yaml', 'level'): 9}
    found = kept.load(project.path, environ=project.environ, overlay=overlay)
    assert 'echo 9' in found.stages['serve'].command.words[0] and project.file.read_bytes() == before
    assert project.is_kept()


def test_mistakes_are_told_each_time(project: Kept) -> None:
    for text in ('stages: {a: {cmd: "true", outs: [x, x]}}\n', 'stages: {a: {cmd: echo}, a: {cmd: echo}}\n', ''):
        project.write('pipeline.yaml', text)
        before = project.file.read_bytes()
        assert not project.is_kept() and not project.is_kept()
        assert project.file.read_bytes() == before
    (project.path / 'pipeline.yaml').unlink()
    with pytest.raises(UserError, match='there is no pipeline'):
        project.load()


def test_what_changed_while_it_was_read_is_not_kept(project: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of parameters that comes after the first of two pipeline files looked for it."""
    project.write('pipeline.yaml', 'include: [more.yaml]\nstages: {a: {cmd: "echo ${n:-none}"}}\n')
    project.write('more.yaml', 'stages: {b: {cmd: "echo ${n:-none}"}}\n')
    before, work = project.file.read_bytes(), load.scope_of

    def late(*arguments: Any) -> Any:
        found = work(*arguments)
        project.write('params.yaml', 'n: 1\n')
        return found

    with monkeypatch.context() as patch:
        patch.setattr(load, 'scope_of', late)
        words = [stage.command.words for stage in project.load().stages.values()]
    assert words == [('echo none',), ('echo 1',)] and project.file.read_bytes() == before
    assert not project.is_kept() and project.is_kept()


def test_sources_are_steady_while_they_stay_the_same(tmp_path: Path) -> None:
    file = tmp_path / 'a'

    def steady(first: str | None, second: str | None) -> bool:
        with paths.Root(tmp_path) as root:
            sources = Sources(root, {})
            for text in (first, second):
                file.unlink(missing_ok=True) if text is None else file.write_text(text)
                sources.bytes_of('a', 10)
            return sources.steady

    assert steady('x', 'x') and steady(None, None)
    assert not (steady('x', 'y') or steady(None, 'x') or steady('x', None) or steady(None, ''))


# What others may have put there

def test_damage_anywhere_is_noticed(project: Kept) -> None:
    data = project.file.read_bytes()
    for at in (*range(0, len(data), max(1, len(data) // 40)), len(data) - 1):
        project.file.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:])
        assert not project.is_kept()
        project.file.write_bytes(data[:at])
        assert not project.is_kept()
    project.file.write_bytes(data + b'\0')
    assert not project.is_kept()
    project.file.write_bytes(data)
    assert project.is_kept()


def forged(project: Kept, secret: bytes) -> bytes:
    """What says that the pipeline deletes everything, sealed with a secret."""
    data = project.file.read_bytes()
    rest = data[len(kept.MAGIC) + kept.SEAL:].replace(b'prepare.py', b'destroy.py')
    return kept.MAGIC + seal(rest, secret, kept.PURPOSE) + rest


def test_what_somebody_else_wrote_is_not_believed(project: Kept) -> None:
    for secret in (bytes(32), os.urandom(32)):
        project.file.write_bytes(forged(project, secret))
        assert not project.is_kept()
        assert project.is_kept()
    project.file.write_bytes(forged(project, token.read(project.environ)))
    assert 'destroy.py' in project.load().stages['prepare'].command.words[0]  # the seal alone keeps it from being believed


def test_a_token_that_others_could_read_is_none(project: Kept) -> None:
    own = Path(token.path(project.environ))
    own.chmod(0o644)
    assert not project.is_kept()
    assert own.stat().st_mode & 0o777 == 0o600 and project.is_kept()
    own.write_bytes(own.read_bytes()[::-1])
    assert not project.is_kept()


def test_a_seal_for_one_purpose_is_none_for_another() -> None:
    made = [(b'x', bytes(32), 'a'), (b'x', bytes(32), 'b'), (b'x', b'1' * 32, 'a'), (b'', bytes(32), 'a')]
    assert len({seal(*one) for one in made}) == len(made)


@pytest.mark.parametrize('what', ['pipe', 'folder', 'link', 'link to a copy', 'empty'])
def test_other_things_in_its_place(project: Kept, what: str) -> None:
    data = project.file.read_bytes()
    project.file.unlink()
    away = project.path.parent / 'away'
    if what == 'pipe':
        os.mkfifo(project.file)
    elif what == 'folder':
        project.file.mkdir()
    elif what == 'empty':
        project.file.touch()
    else:
        if what == 'link to a copy':
            away.write_bytes(data)
        project.file.symlink_to(away)
    assert not project.is_kept()
    assert away.exists() == (what == 'link to a copy')
    assert project.is_kept() == (what in ('pipe', 'empty'))
    assert sorted(os.listdir(project.file.parent)) == ['pipeline-v1']


def test_a_link_in_place_of_the_folder(project: Kept) -> None:
    linked(layout.LOCAL)(project)
    (project.path.parent / 'away/pipeline-v1').unlink()
    assert not project.is_kept() and not project.is_kept()
    assert not os.listdir(project.path.parent / 'away')


@pytest.mark.parametrize('missing', [layout.LOCAL, layout.GITIGNORE])
def test_nothing_is_kept_before_a_command_that_writes_was_here(project: Kept, missing: str) -> None:
    project.file.unlink()
    path = project.path / missing
    path.rmdir() if path.is_dir() else path.unlink()
    assert not project.is_kept() and not project.is_kept()
    assert not project.file.exists() and path.exists() is False


def test_nothing_is_kept_in_a_folder_of_somebody_else(project: Kept) -> None:
    if os.geteuid():
        pytest.skip('only root gives folders away')
    project.file.unlink()
    os.chown(project.file.parent, 12345, -1)
    assert not project.is_kept() and not project.is_kept()


def test_where_nothing_can_be_written_nothing_is_kept(project: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    project.file.unlink()
    project.environ['HOME'] = str(project.path / 'pipeline.yaml')  # no place for a token
    assert not project.is_kept() and not project.file.exists()
    project.environ.pop('HOME')
    assert not project.is_kept() and not project.file.exists()
    project.environ['HOME'] = str(project.path.parent / 'home')

    def full(*_: object, **__: object) -> None:
        raise OSError(30, 'Read-only file system')

    monkeypatch.setattr(kept, 'write_file', full)
    assert not project.is_kept() and not project.file.exists()


def test_no_variable_is_in_the_file(project: Kept) -> None:
    project.write('pipeline.yaml', 'stages: {a: {cmd: echo, env: [PASSWORD]}}\n')
    assert not project.is_kept(PASSWORD='correct-horse') and project.is_kept(PASSWORD='correct-horse')
    assert b'correct-horse' not in project.file.read_bytes()


def test_values_are_plain(project: Kept) -> None:
    """What marshal reads makes nothing but plain values."""
    *_, values = kept._parts(project.file.read_bytes(), len(kept.MAGIC) + kept.SEAL)
    kinds = set()
    waiting: list[Any] = [marshal.loads(values)]
    while waiting:
        one = waiting.pop()
        kinds.add(type(one))
        waiting += one.items() if isinstance(one, dict) else one if isinstance(one, list | tuple) else ()
    assert kinds <= {dict, list, tuple, str, int, float, bool, type(None)}
