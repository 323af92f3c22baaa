"""A team: two clones of one bare repository, a remote that both may reach, and people with names of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import app, context
from tests.support.project import Project, Result

PIPELINE = """\
version: 1
name: digits
stages:
  prepare:
    cmd: cat in.csv > data
    deps: [in.csv]
    outs: [data]
  train:
    cmd: sh train.sh ${score}
    deps: [data]
    outs: [best.bin]
    metrics: [{best.json: {primary: accuracy, goals: {accuracy: max}}}]
    model: {name: digits, path: best.bin}
  validate:
    cmd: mlops gate "best.json:accuracy >= 0.5"
    deps: [best.json]
"""
TRAIN = 'cat data > best.bin\necho model $1 >> best.bin\necho "{\\"accuracy\\": 0.$1}" > best.json\n'
Mlops = Callable[..., Result]


class Person(Project):
    """One of the team, in a clone; commands run in this process."""

    def __init__(self, path: Path, name: str, call: Callable[..., Result]) -> None:
        super().__init__(path)
        self.name, self._call = name, call

    def introduce(self) -> None:
        self.git('config', 'user.name', self.name)
        self.git('config', 'user.email', f'{self.name.lower()}@example.org')

    def models(self, *arguments: str, code: int | None = 0) -> Result:
        return self.do('models', *arguments, code=code)

    def do(self, *arguments: str, code: int | None = 0) -> Result:
        return self._call(self, arguments, code)

    def train(self, score: int) -> None:
        self.write('params.yaml', f'score: {score}\n')
        self.do('run', '-q')

    def files(self) -> list[str]:
        """What is recorded of models."""
        folder = self.path / '.mlops/models'
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob('*.json'))


@pytest.fixture
def call(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def called(person: Person, arguments: tuple[str, ...], code: int | None) -> Result:
        for name, value in person.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv('COLUMNS', '200')
        monkeypatch.chdir(person.path)
        before = vars(context.current).copy()
        try:
            ended = app.run(arguments)
        finally:
            vars(context.current).update(before)
        found = capfd.readouterr()
        result = Result(ended, found.out, found.err)
        assert code is None or ended == code, f'{arguments}: exit {ended}, not {code}\n{found.out}\n{found.err}'
        return result

    return called


@pytest.fixture
def ada(tmp_path: Path, call: Callable[..., Result]) -> Person:
    """With a pipeline, trained and committed, and a remote."""
    hub = tmp_path / 'hub.git'
    first = Person(tmp_path / 'ada', 'Ada', call)
    first.git('init', '-q', '--bare', '-b', 'main', str(hub))
    first.git('init', '-q', '-b', 'main')
    first.introduce()
    first.git('remote', 'add', 'origin', str(hub))
    first.write('pipeline.yaml', PIPELINE)
    first.write('train.sh', TRAIN)
    first.write('in.csv', 'a,1\n')
    first.train(90)
    first.do('remote', 'add', 'origin', str(tmp_path / 'store'))
    first.commit('start')
    first.git('push', '-q', 'origin', 'main')
    first.git('fetch', '-q')
    return first


@pytest.fixture
def ben(tmp_path: Path, ada: Person, call: Callable[..., Result]) -> Person:
    other = Person(tmp_path / 'ben', 'Ben', call)
    other.git('clone', '-q', str(tmp_path / 'hub.git'), '.')
    other.introduce()
    other.do('config', 'confirm', 'remotes.origin', '--yes', code=None)
    return other
