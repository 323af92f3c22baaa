"""The history of runs: what is asked, what is noticed, and how long it takes with ten thousand of them."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.load import load
from mlops_cli.records import found as found_module
from mlops_cli.records.asking import Answer, Query, _Asked, ask, conditions
from mlops_cli.records.database import Database
from mlops_cli.records.earlier import before, last
from mlops_cli.records.found import Meaning, newest, these
from mlops_cli.records.history import NAME, TABLES, VERSION, History
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run
from tests.support.records import LAST, PIPELINE, STEP, fill, some_pin, some_run, write

CHANCE = random.Random(7)
OLD = 3_000_000_000  # nanoseconds after which the times of a folder can be trusted


class Asking:
    """A project with records, and its history."""

    def __init__(self, path: Path, *, later: bool = True) -> None:
        self.path = path
        (path / 'pipeline.yaml').write_text(PIPELINE)
        (path / 'params.yaml').write_text('rate: 0.1\ndepth: 3\n')
        self.pipeline = load(path, environ={})
        self.root = Root(path)
        self.told: list[tuple[str, int, int]] = []
        self.read: list[str] = []
        self.history = self.opened(later)

    def opened(self, later: bool = True) -> History:
        def clock() -> int:
            return time.time_ns() + (OLD if later else 0)

        database = Database(str(self.path / layout.LOCAL / NAME), TABLES, version=VERSION)
        history = History(self.root, database, lambda *told: self.told.append(told), clock=clock)
        read_run = history._read_run

        def reading(connection: Any, run_id: str, facts: str) -> None:
            self.read.append(run_id)
            read_run(connection, run_id, facts)

        history._read_run = reading  # type: ignore[method-assign]
        return history

    def ask(self, **query: Any) -> Answer:
        where = tuple(one for text in query.pop('where', ()) for one in conditions(text))
        return ask(self.history, self.pipeline, Query(where=where, **query))

    def shorts(self, **query: Any) -> list[str]:
        return [row.short for row in self.ask(**query).rows]

    def add(self, minutes: float, rate: float = 0.1, depth: int = 3, pinned: bool = True, **more: Any) -> tuple[Run, Pin]:
        """A run so many minutes before the last."""
        metrics = more.pop('numbers', {'accuracy': rate, 'loss': 1 - rate})
        pin = some_pin(int(minutes * 100), rate, depth, metrics)
        run = some_run(pin, LAST - minutes * 60, CHANCE, **more)
        write(self.path, run, pin if pinned and not run.overlay else None)
        return run, pin

    def close(self) -> None:
        self.history.database.close()
        self.root.close()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    made.close()


def test_a_row_has_all_that_is_known(asking: Asking) -> None:
    run, _ = asking.add(5, 0.25, 7, branch='main', who='ada', host='gpu1')
    (row,) = asking.ask().rows
    assert (row.id, row.short, row.started, row.ended, row.seconds) == (run.id, run.short, run.started, 'done', run.seconds)
    assert (row.who, row.host, row.branch, row.commit) == ('ada', 'gpu1', 'main', 'c' * 40)
    assert (row.fresh, row.saved_seconds) == (1, 5.0)
    assert row.cpu_seconds == pytest.approx(run.stages[1].usage['cpu_seconds'])
    assert row.counts == {'done': 1, 'restored': 1, 'failed': 0, 'skipped': 0, 'interrupted': 0}
    assert row.metrics == {'accuracy': 0.25, 'loss': 0.75} and row.primary == ('accuracy',)
    assert row.params == {'depth': 7, 'rate': 0.25} and row.overlay == ()


def test_a_trial_has_its_own_numbers_and_what_was_set(asking: Asking) -> None:
    asking.add(5, 0.25, trial=True)
    (row,) = asking.ask().rows
    assert row.metrics == {'accuracy': 0.25, 'loss': 0.75}
    assert row.params == {'rate': 0.25} and row.overlay == (('params.yaml', 'rate', 0.25),)


def test_a_trial_has_none_of_the_numbers_of_a_pin(asking: Asking) -> None:
    """Not even where a later run came to its result, and other numbers were read of that."""
    trial, pin = asking.add(5, 0.25, trial=True)
    later = Pin(pin.manifest, pin.outputs, (*pin.metrics, ('metrics.json', 'later', 1.0)))
    asking.add(1)
    write(asking.path, replace(trial, id='20261120T101522Z-7k2m9q4c', overlay=(), metrics=()), later)
    for query in ({}, {'most': 0}, {'most': 0, 'sort': 'run'}):
        found = {row.id: row.metrics for row in asking.ask(**query).rows}
        assert found[trial.id] == {'accuracy': 0.25, 'loss': 0.75}
        assert found['20261120T101522Z-7k2m9q4c'] == {'accuracy': 0.25, 'later': 1.0, 'loss': 0.75}


def test_mappings_are_parameters_by_their_entries(asking: Asking) -> None:
    run, pin = asking.add(5)
    entries = [
        value_entry('param', 'params.yaml:train', {'depth': 8, 'sizes': [1, 2], 'deep': {'er': None}}),
        value_entry('param', 'other.yaml', {'a': {'b': 1}}),
    ]
    other = Pin(Manifest.of(entries), pin.outputs, pin.metrics)
    write(asking.path, replace(run, stages=(replace(run.stages[1], key=other.key),)), other)
    (row,) = asking.ask(where=('train.depth = 8',)).rows
    assert row.params == {'train.depth': 8, 'train.sizes': [1, 2], 'train.deep.er': None, 'other.yaml:a.b': 1}


def test_filters(asking: Asking) -> None:
    a = asking.add(1, 0.9, branch='main', who='ada', host='gpu1')[0].short
    b = asking.add(2, 0.5, branch='try/deeper', who='ben', host='gpu2', failed=True)[0].short
    c = asking.add(3, 0.7, 9, branch='main', who='ben', host='laptop', trial=True)[0].short
    assert asking.shorts() == [a, b, c]
    assert asking.shorts(states=('failed',)) == [b]
    assert asking.shorts(states=('done', 'failed')) == [a, b, c]
    assert asking.shorts(states=('restored',)) == [a, b, c]
    assert asking.shorts(branches=('try/*',)) == [b]
    assert asking.shorts(whos=('ben',)) == [b, c]
    assert asking.shorts(whos=('ben',), hosts=('lap*', 'gpu1')) == [c]
    assert asking.shorts(stages=('tr*',)) == [a, b, c] and asking.shorts(stages=('evaluate',)) == []
    assert asking.shorts(trials=True) == [c] and asking.shorts(trials=False) == [a, b]
    assert asking.shorts(since=LAST - 130) == [a, b] and asking.shorts(until=LAST - 70) == [b, c]
    assert asking.shorts(most=1) == [a] and asking.ask(most=1).matching == 3
    assert asking.shorts(most=0) == [a, b, c]
    assert asking.shorts(reverse=True) == [c, b, a]
    assert asking.shorts(among=frozenset()) == []


def test_conditions_on_metrics_and_parameters(asking: Asking) -> None:
    a = asking.add(1, 0.9, 4)[0].short
    b = asking.add(2, 0.5, 8)[0].short
    c = asking.add(3, 0.7, trial=True)[0].short
    for where, found in (
        ('accuracy > 0.6', [a, c]),
        ('accuracy > 0.6 and loss < 0.2', [a]),
        ('metric.accuracy=0.5', [b]),
        ('param.rate == 0.7', [c]),
        ('depth<=8', [a, b]),
        ('depth != 8', [a]),
        ('who ~ a* and seconds >= 0', [row.short for row in asking.ask().rows if row.who == 'ada']),
        ('trial = true', [c]),
        ("who = 'b or c'", []),
    ):
        assert asking.shorts(where=(where,)) == found, where
    for wrong in ('accuracy > none', 'accuracy >= nan', 'accuracy < Infinity', 'depth > "4"', 'accuracy <= true'):
        with pytest.raises(UserError, match=r'is a number, and .* is none'):
            asking.shorts(where=(wrong,))
    assert asking.shorts(where=('accuracy > 0.6', 'accuracy < 0.8')) == [c]


@pytest.mark.parametrize('text', ['', 'accuracy', '> 3', 'accuracy >', 'a > 1 and', 'a > 1 and b', 'a ! 3'])
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(UserError, match='no condition'):
        conditions(text)


def test_conditions_are_read_as_they_are_meant() -> None:
    one, two = conditions("name = 'this and that' and other=3")
    assert (one.name, one.operator, one.value) == ('name', '=', 'this and that')
    assert (two.name, two.operator, two.value) == ('other', '=', 3)
    assert conditions('a.b:c >= -1e-3')[0].value == -0.001
    assert conditions('branch = main')[0].value == 'main'


def test_order(asking: Asking) -> None:
    a = asking.add(1, 0.9, 4)[0].short
    b = asking.add(2, 0.5, 8)[0].short
    c = asking.add(3, 0.7, 2, failed=True)[0].short
    assert asking.shorts(sort='accuracy') == [a, b, c], 'more is better, and a run without comes last'
    assert asking.shorts(sort='loss') == [a, b, c], 'less is better'
    assert asking.shorts(sort='accuracy', reverse=True) == [b, a, c]
    assert asking.shorts(sort='loss', descending=True) == [b, a, c]
    assert asking.shorts(sort='depth') == [a, b, c]
    assert asking.shorts(sort='depth', descending=True) == [b, a, c]
    assert asking.shorts(sort='started') == [c, b, a]
    assert asking.shorts(sort='ended') == [a, b, c]


def test_a_name_that_nothing_has_is_told_with_the_near_one(asking: Asking) -> None:
    asking.add(1)
    for query in ({'sort': 'acuracy'}, {'where': ('acuracy > 1',)}):
        with pytest.raises(UserError) as error:
            asking.ask(**query)
        assert 'did you mean accuracy?' in error.value.hint


def test_the_best_instance_of_the_last_stage_stands_for_a_name(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    metrics = (
        ('train@a', 'a.json', 'loss', 0.3),
        ('train@b', 'b.json', 'loss', 0.2),
        ('prepare', 'p.json', 'loss', 0.1),
        ('train@a', 'a.json', 'accuracy', 0.8),
        ('train@b', 'b.json', 'accuracy', 0.9),
    )
    asking.add(1, trial=True, metrics=metrics)
    (row,) = asking.ask().rows
    assert row.metrics == {'accuracy': 0.9, 'loss': 0.2}
    asking.close()


# What changes


def test_only_new_records_are_read(asking: Asking) -> None:
    asking.add(1)
    asking.add(2)
    assert len(asking.ask().rows) == 2 and len(asking.read) == 2
    asking.read.clear()
    asking.ask()
    assert asking.read == []
    run, _ = asking.add(0)
    asking.history = asking.opened()  # another command
    assert asking.shorts()[0] == run.short and asking.read == [run.id]


def test_records_that_git_takes_away_brings_and_replaces(asking: Asking) -> None:
    run, pin = asking.add(1, 0.9)
    other, _ = asking.add(2, 0.5)
    assert asking.shorts() == [run.short, other.short]
    (asking.path / layout.run_record(run.id)).unlink()
    assert asking.shorts() == [other.short]
    write(asking.path, run, pin)
    assert asking.shorts() == [run.short, other.short]
    (asking.path / layout.STAGES / pin.file_name('train')).unlink()
    assert asking.ask().rows[0].metrics == {}, 'its numbers stood in the pin'
    write(asking.path, run, pin)
    assert asking.ask().rows[0].metrics['accuracy'] == 0.9
    for path in (asking.path / layout.RUNS).rglob('*.json'):
        path.unlink()
    for folder in list((asking.path / layout.RUNS).iterdir()):
        folder.rmdir()
    assert asking.shorts() == []


def test_a_record_edited_in_place_is_noticed_when_it_is_shown(asking: Asking) -> None:
    run, _ = asking.add(1, who='ada')
    asking.add(2, who='ada')
    path = asking.path / layout.run_record(run.id)
    folder = os.stat(path.parent)
    assert asking.ask().rows[0].who == 'ada'
    path.write_text(path.read_text().replace('"who":"ada"', '"who":"somebody"'))
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))
    assert asking.ask().rows[0].who == 'somebody'
    path.write_text(path.read_text().replace('"who":"somebody"', '"who":"ben"'))
    assert asking.shorts(whos=('ada',)) and asking.shorts(whos=('somebody',)) == [], 'what is wrong is not shown'


def test_so_is_one_among_all(asking: Asking) -> None:
    """Whether all runs are shown, or many of them, or a few."""
    fill(asking.path, 60, pins=10)
    every = asking.shorts(most=0)
    paths = sorted((asking.path / layout.RUNS).rglob('*.json'), reverse=True)
    asked: list[dict[str, Any]] = [{'most': 0}, {'most': 0, 'sort': 'run'}, {'most': 51}, {'most': 0, 'reverse': True}]
    for index, query in enumerate(asked, 40):
        text = paths[index].read_text()
        paths[index].write_text(text.replace('"who":"', f'"who":"number {index} '))
        assert {row.short for row in asking.ask(**query).rows if row.who.startswith(f'number {index}')} == {every[index]}


def test_many_at_once_are_as_one_by_one(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(asking.path, 60, pins=10)
    for path in list((asking.path / layout.STAGES).iterdir())[:2]:
        path.unlink()
    for number in range(3):
        asking.add(-number, numbers={'loss': 0.5, 'a': 0.25, 'accuracy': number, 'ä': 1}, trial=number == 1)
    (asking.path / layout.run_record(asking.ask().rows[-1].id)).write_text('damaged')
    assert len(asking.ask(most=0).rows) == 62

    def work(connection: Any) -> None:
        asking.history.refresh(connection)
        meaning = Meaning(asking.pipeline)
        ids = [run_id for (run_id,) in connection.execute("SELECT id FROM runs WHERE problem = '' ORDER BY id DESC")]
        one_by_one = [these(connection, [run_id], meaning).rows[0] for run_id in ids]
        assert len(ids) == 62 and len({row.primary for row in one_by_one}) > 1 and any(row.overlay for row in one_by_one)
        assert newest(connection, meaning).rows == one_by_one
        for chunk in (500, 20, 7):
            monkeypatch.setattr(found_module, 'CHUNK', chunk)
            some = CHANCE.sample(range(62), 40)
            read = these(connection, [ids[index] for index in some], meaning)
            assert read.rows == [one_by_one[index] for index in some]
            assert read.facts == {row.id: newest(connection, meaning).facts[row.id] for row in read.rows}
        assert [list(row.metrics) for row in one_by_one] == [sorted(row.metrics) for row in one_by_one]

    asking.history.database.use(work)


def test_a_folder_that_has_just_changed_is_listed_again(tmp_path: Path) -> None:
    """Its times could stay as they are when the next record comes."""
    asking = Asking(tmp_path, later=False)
    one, _ = asking.add(1)
    assert asking.shorts() == [one.short]
    times = os.stat(asking.path / layout.run_record(one.id)).st_mtime_ns
    two, _ = asking.add(0)
    os.utime((asking.path / layout.run_record(two.id)).parent, ns=(times, times))
    assert asking.shorts() == [two.short, one.short]
    asking.close()


def test_damaged_records_are_told_and_mended_ones_count(asking: Asking) -> None:
    good, _ = asking.add(1)
    bad, _ = asking.add(2)
    broken = asking.path / layout.run_record(bad.id)
    text = broken.read_text()
    broken.write_text('<<<<<<< HEAD\n' + text)
    pin = next((asking.path / layout.STAGES).iterdir())
    pin_text = pin.read_text()
    pin.write_text('damaged')
    answer = asking.ask()
    assert [row.short for row in answer.rows] == [good.short] and answer.all == 1
    assert {problem.path for problem in answer.problems} == {layout.run_record(bad.id), f'{layout.STAGES}/{pin.name}'}
    assert all(problem.text for problem in answer.problems)
    broken.write_text(text)
    pin.write_text(pin_text)
    answer = asking.ask()
    assert len(answer.rows) == 2 and answer.problems == ()
    assert all(row.metrics for row in answer.rows)


def test_nothing_is_looked_at_run_by_run_while_all_is_as_it_was(asking: Asking) -> None:
    """Of what every command asks, indexes know the answers."""
    asking.add(1)
    asking.ask()
    asked: list[str] = []

    def work(connection: Any) -> list[str]:
        connection.set_trace_callback(asked.append)
        asking.history.refresh(connection)
        asking.history.problems(connection)
        _Asked(connection, asking.pipeline, Query()).which()
        connection.set_trace_callback(None)
        plans = [row[3] for text in asked for row in connection.execute(f'EXPLAIN QUERY PLAN {text}')]
        return [plan for plan in plans if plan.startswith('SCAN') and 'INDEX' not in plan]

    assert set(asking.history.database.use(work)) <= {'SCAN folders'} and len(asked) > 4


def test_files_that_are_no_records_are_passed_over(asking: Asking) -> None:
    asking.add(1)
    month = next((asking.path / layout.RUNS).iterdir())
    (month / 'notes.txt').write_text('mine')
    (month / '20261120T101522Z-7k2m9q4c.json').mkdir()
    (asking.path / layout.RUNS / 'elsewhere').mkdir()
    (asking.path / layout.STAGES / 'README').write_text('mine')
    answer = asking.ask()
    assert len(answer.rows) == 1 and answer.problems == ()


def test_links_are_not_followed(asking: Asking) -> None:
    run, _ = asking.add(1)
    folder = (asking.path / layout.run_record(run.id)).parent
    secret = asking.path / 'secret'
    secret.write_text('password')
    (folder / '20261120T101522Z-7k2m9q4c.json').symlink_to(secret)
    assert asking.shorts() == [run.short]
    os.rename(asking.path / layout.RUNS, asking.path / 'moved')
    (asking.path / layout.RUNS).symlink_to('../moved')
    with pytest.raises(UserError, match='symbolic link'):
        asking.ask()


def test_results_before_a_run(asking: Asking) -> None:
    one, pin = asking.add(30)
    asking.add(20, trial=True)
    asking.add(10, failed=True)
    two, other = asking.add(0)
    assert last(asking.history) == two.id
    found = before(asking.history, two.id, ['prepare', 'train', 'nothing'])
    assert (found['train'].run, found['train'].key, found['train'].outs8) == (one.id, pin.key, pin.outs8)
    assert 'nothing' not in found and before(asking.history, one.id, ['train']) == {}
    assert before(asking.history, '9', ['train'])['train'].key == other.key


def test_several_commands_read_at_once(tmp_path: Path) -> None:
    """Each waits for the one that reads, and finds all there."""
    fill(tmp_path, 400, pins=100)
    found: list[tuple[int, bool]] = []
    all_of_them = [Asking(tmp_path) for _ in range(4)]  # each writes the pipeline, so not at once

    def look(asking: Asking) -> None:
        found.append((asking.ask().all, asking.history.database._rebuilt or asking.history.database._in_memory))
        asking.close()

    threads = [threading.Thread(target=look, args=(asking,)) for asking in all_of_them]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(400, False)] * 4


def test_no_records_at_all(asking: Asking) -> None:
    assert asking.ask() == Answer((), 0, 0)
    assert last(asking.history) == ''


# How long it takes


def test_ten_thousand_records(tmp_path: Path) -> None:
    """The bounds are some ten times what a slow machine takes."""
    fill(tmp_path, 10_000, pins=3000)
    asking = Asking(tmp_path)
    start = time.process_time()
    first = asking.ask()
    assert (len(first.rows), first.matching, first.all) == (20, 10_000, 10_000)
    assert time.process_time() - start < 30, 'the first time'
    assert {what for what, _, _ in asking.told} == {'run records', 'pins'}
    asking.told.clear()
    asking.history = asking.opened()
    queries: list[dict[str, Any]] = [
        {},
        {'sort': 'accuracy'},
        {'sort': 'rate', 'where': ('accuracy > 0.5 and depth <= 8',)},
        {'states': ('failed',), 'branches': ('main',), 'stages': ('train*',)},
        {'trials': True, 'sort': 'loss', 'since': LAST - 5000 * STEP},
        {'sort': 'seconds', 'descending': True},
    ]
    for query in queries:
        start = time.process_time()
        assert asking.ask(**query).rows
        assert time.process_time() - start < 1, query
    assert asking.told == [], 'nothing is read again'
    asking.close()
