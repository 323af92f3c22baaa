"""States of the project that people name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments.points import find_point, read_output
from mlops_cli.run.workbench import Workbench
from tests.support.project import Project

ACCURACY = ('metrics.json', 'accuracy', 0.6)


@pytest.fixture
def ran(sums: Project) -> Project:
    sums.run()
    sums.commit('first')
    return sums


@pytest.fixture
def bench(ran: Project) -> Iterator[Workbench]:
    opened = ran.open()
    yield opened
    opened.close()


@pytest.mark.parametrize('word', ['workspace', 'HEAD', 'main', 'run'])
def test_one_state_by_all_its_names(ran: Project, bench: Workbench, word: str) -> None:
    short = next(bench.runs.newest()).short
    point = find_point(bench, short if word == 'run' else word)
    train = point.stages['train']
    assert train.state == ('done' if word == 'run' else 'recorded')
    assert ACCURACY in train.metrics
    assert set(train.outputs) == {'model.txt', 'metrics.json'}
    assert train.manifest is not None and train.manifest.digest == train.key
    assert train.sources is not None and train.origin['run'].endswith(short)
    assert train.seconds is not None and train.seconds > 0
    assert point.label.startswith('run ' if word == 'run' else word)
    assert point.commit == ('' if word == 'run' else ran.git('rev-parse', 'HEAD').strip())
    assert read_output(bench, point, 'model.txt', 100) == b'1.0'
    assert read_output(bench, point, 'prepared/2.txt', 100) == b'a line\na line\n'
    assert read_output(bench, point, 'prepared/9.txt', 100) is None
    assert read_output(bench, point, 'prepared', 100) is None
    assert read_output(bench, point, 'params.yaml', 100) is None
    with pytest.raises(UserError, match=r'more than|larger than'):
        read_output(bench, point, 'prepared/2.txt', 3)


def test_an_edited_workspace_has_the_numbers_that_are_there(ran: Project) -> None:
    ran.write('params.yaml', 'rows: 3\nrate: 2.0\n')
    ran.write('metrics.json', '{"accuracy": 0.9}')
    bench = ran.open()
    now, then = find_point(bench, 'workspace'), find_point(bench, 'HEAD')
    assert now.stages['train'].state == 'unknown'
    assert now.stages['train'].metrics == (('metrics.json', 'accuracy', 0.9),)
    assert now.stages['prepare'].state == 'recorded'
    assert ACCURACY in then.stages['train'].metrics
    bench.close()


@pytest.mark.parametrize(
    ('word', 'said'),
    [
        ('mian', 'no run and no revision'),
        ('--help', 'no run and no revision'),
        ('', 'no run and no revision'),
        ('workspce', 'did you mean workspace'),
        ('HEAD~7', 'no revision'),
    ],
)
def test_a_word_that_names_nothing(bench: Workbench, word: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        find_point(bench, word)
    assert said in f'{error.value.message} {error.value.hint}'


def test_the_beginning_of_an_id(bench: Workbench) -> None:
    run = next(bench.runs.newest())
    assert find_point(bench, run.short[:4]).run == run
    assert find_point(bench, run.id).run == run
