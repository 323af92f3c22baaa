"""Run records: exact bytes, strict reading, a bound on their size, and finding one by what people type."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core import clock, layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import runs as module
from mlops_cli.records.accounts import Account
from mlops_cli.records.runs import ENDINGS, STATES, USAGE, Run, Runs, StageRun, decode, fitted
from mlops_cli.usage.spending import Spent

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'runs.md'
KEY = digest_of(b'key')
USED = {'cpu_seconds': 10.25, 'memory_peak_bytes': 123456789, 'read_bytes': 4096, 'write_bytes': 8192}
RUN = Run(
    '20261120T101522Z-7k2m9q4c',
    '2026-11-20T10:15:22Z',
    12.5,
    'failed',
    (
        StageRun('prepare', 'restored', KEY, '0123abcd', 0.0),
        StageRun('train@forest-1', 'done', KEY, '4567cdef', 11.25, 0, USED),
        StageRun('select', 'failed', KEY, '', 0.125, 1, {'cpu_seconds': 0.1}),
    ),
    3,
    60.5,
    ('mlops', 'run', '--set', 'train.rate=0.2'),
    'ada',
    'host',
    'c' * 40,
    'main',
    (('params.yaml', 'train.rate', 0.2),),
    (('train@forest-1', 'metrics.json', 'accuracy', 0.95),),
    {'python': '3.11.7', 'platform': 'Linux'},
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def add(root: Root, *runs: Run) -> None:
    with Batch('none') as batch:
        for run in runs:
            assert Runs(root).add(run, batch) == layout.run_record(run.id)


def test_the_page_shows_a_record_that_is_one() -> None:
    found = re.search(r'`(\.mlops/runs/2026[^`\n]+\.json)`\n+```json\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert found, 'no example on the page'
    assert decode(found[2].encode(), found[1]) == RUN
    assert RUN.encode().decode() == found[2]


def test_every_key_is_on_the_page_and_no_other() -> None:
    table = PAGE.read_text().partition('| key | value |')[2].partition('\n\n')[0]
    named = {name for row in table.splitlines() for name in re.findall('`([a-z_]+)`', row.split('|')[1] if '|' in row else '')}
    account = Account({0: ('gpu1', 1, '')}, {0: (1, 1.0, 1.0)}, {0: (Spent('tokens', '', 1, None, ''),)}, {0: 0.5})
    full = replace(RUN, left_out=1, fresh_stages=(('a', KEY, ''),), values=(), values_left_out=1, account=account)
    assert named == json.loads(full.encode()).keys()


texts = st.text(st.characters(exclude_categories=['Cs']) | st.sampled_from('\udcff"\\\n'), max_size=12)
positive = st.floats(0, 1e9) | st.integers(0, 2**62)
thousandths = st.integers(0, 10**9).map(lambda number: number / 1000)
stage_runs = st.builds(
    StageRun,
    texts,
    st.sampled_from(STATES),
    st.none() | st.binary(max_size=4).map(digest_of),
    st.sampled_from(['', '0123abcd']),
    thousandths,
    st.none() | st.integers(-255, 255),
    st.dictionaries(st.sampled_from(USAGE), positive),
)
many = st.builds(
    Run,
    st.builds(clock.run_id, st.floats(0, 4e9), st.binary(min_size=8, max_size=8)),
    st.floats(0, 4e9).map(clock.iso),
    thousandths,
    st.sampled_from(ENDINGS),
    st.lists(stage_runs, max_size=4, unique_by=lambda one: one.name).map(tuple),
    st.integers(0, 10**6),
    thousandths,
    st.lists(texts, max_size=4).map(tuple),
    texts,
    texts,
    texts,
    texts,
    st.lists(
        st.tuples(texts, texts, texts | st.integers(-(2**63), 2**63 - 1) | st.none() | st.lists(st.booleans(), max_size=2)),
        max_size=3,
    ).map(tuple),
    st.lists(st.tuples(texts, texts, texts, thousandths), max_size=3).map(tuple),
    st.dictionaries(texts, texts, max_size=3),
    st.integers(0, 3),
    st.lists(
        st.tuples(texts, st.binary(max_size=4).map(digest_of), st.sampled_from(['', '0123abcd'])),
        max_size=3,
        unique_by=lambda row: row[0],
    ).map(tuple),
)


@settings(deadline=None)
@given(many)
def test_what_is_written_is_read_back(run: Run) -> None:
    assert decode(run.encode(), layout.run_record(run.id)) == run
    assert decode(run.encode(), layout.run_record(run.id)).encode() == run.encode()


def test_what_a_later_version_adds_is_passed_over() -> None:
    value = json.loads(RUN.encode())
    value['cost'] = [1, 'EUR']
    value['stages'][1] += [None] * (6 + len(USAGE) - len(value['stages'][1])) + [7, 8]
    assert decode(json.dumps(value).encode(), layout.run_record(RUN.id)) == RUN


# Damage


def change(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def damage(found: dict[str, Any]) -> None:
        found[key] = value

    return damage


def row(key: str, position: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def damage(found: dict[str, Any]) -> None:
        found[key][position] = value

    return damage


STAGE = json.loads(RUN.encode())['stages'][1]
DAMAGES: dict[
    str, tuple[Callable[[dict[str, Any]], None], str, int | None]
] = {  # what -> (how, the entry and item to be named)
    'another id': (change('id', '20261120T101522Z-00000000'), 'id', None),
    'a wrong id': (change('id', '../../x'), 'id', None),
    'no id': (lambda found: found.pop('id'), 'schema', None),
    'no stages': (lambda found: found.pop('stages'), 'schema', None),
    'no time': (change('started', 'yesterday'), 'started', None),
    'seconds as text': (change('seconds', '1'), 'seconds', None),
    'negative seconds': (change('seconds', -1), 'seconds', None),
    'seconds of true': (change('seconds', True), 'seconds', None),
    'another end': (change('ended', 'exploded'), 'ended', None),
    'stages of another type': (change('stages', {}), 'stages', None),
    'a stage that is text': (row('stages', 1, 'x'), 'stages', 1),
    'a short stage': (row('stages', 1, ['x', 'done']), 'stages', 1),
    'another state': (row('stages', 1, [STAGE[0], 'lost', *STAGE[2:]]), 'stages', 1),
    'a short key': (row('stages', 1, [*STAGE[:2], 'ab', *STAGE[3:]]), 'stages', 1),
    'a wrong outs8': (row('stages', 2, [*STAGE[:3], 'xyz', *STAGE[4:]]), 'stages', 2),
    'usage as text': (row('stages', 0, [*STAGE[:6], 'much']), 'stages', 0),
    'a fraction of fresh stages': (change('fresh', 1.5), 'fresh', None),
    'a command of numbers': (row('command', 1, 5), 'command', 1),
    'a command of lists': (row('command', 1, ['run']), 'command', 1),
    'a command that is text': (change('command', 'mlops run'), 'command', None),
    'who as number': (change('who', 7), 'who', None),
    'set without value': (row('set', 0, ['params.yaml', 'a']), 'set', 0),
    'a metric that is text': (row('metrics', 0, ['a', 'b', 'c', 'd']), 'metrics', 0),
    'an environment of numbers': (change('environment', {'python': 3}), 'environment', None),
    'a list as environment': (change('environment', []), 'environment', None),
    'metrics_left_out as text': (change('metrics_left_out', 'some'), 'metrics_left_out', None),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_told_with_its_line(name: str) -> None:
    damage, key, item = DAMAGES[name]
    found = json.loads(RUN.encode())
    damage(found)
    data = module.document(found)
    with pytest.raises(UserError) as raised:
        decode(data, layout.run_record(RUN.id))
    error = raised.value
    assert (error.exit_code, error.message.startswith('damaged run record: ')) == (ExitCode.FAILED, True)
    assert error.where is not None and error.where.file == layout.run_record(RUN.id)
    assert error.hint.startswith('put it back with: git checkout')
    lines = [line.strip() for line in data.decode().splitlines()]
    start = next(number for number, line in enumerate(lines, 1) if line.startswith(f'"{key}":'))
    assert error.where.line == (start if item is None else start + 1 + item)


@pytest.mark.parametrize(
    'data',
    [
        b'',
        b'[]',
        b'{}',
        b'null',
        b'{"schema":"mlops/run/v1"}',
        b'{' * 100_000,
        RUN.encode()[:-3],
        RUN.encode()[:200],
        RUN.encode().replace(b'12.5', b'NaN'),
        RUN.encode().replace(b'12.5', b'1e999'),
        RUN.encode().replace(b'12.5', b'9' * 5000),
        RUN.encode().replace(b'ada', b'\xff'),
        RUN.encode().replace(b'"who"', b'"host"'),
        b'\xef\xbb\xbf' + RUN.encode(),
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match='damaged run record') as raised:
        decode(data, layout.run_record(RUN.id))
    assert raised.value.exit_code == ExitCode.FAILED


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_flipped_byte_does_anything_but_another_value_or_a_refusal(position: int, mask: int) -> None:
    data = bytearray(RUN.encode())
    data[position % len(data)] ^= mask
    try:
        found = decode(bytes(data), layout.run_record(RUN.id))
    except UserError:
        return
    assert decode(found.encode(), layout.run_record(RUN.id)) == found


def test_a_later_version_asks_for_an_update() -> None:
    with pytest.raises(UserError, match='mlops/run/v2') as raised:
        decode(RUN.encode().replace(b'mlops/run/v1', b'mlops/run/v2'), layout.run_record(RUN.id))
    assert (raised.value.hint, raised.value.exit_code) == ('update mlops', 2)
    assert raised.value.where and raised.value.where.line > 1


# Size


def large(stages: int, name: str = 'train@some-model-{:04}-and-seed-{:04}', **more: Any) -> Run:
    most = (123456.789, 2**40, 2**42, 2**42, 1234567.891, 16, 1234567.891, 2**41, 12345678.912, 12345678.912, 2**42, 2**42)
    used = dict(zip(USAGE, most, strict=True))
    rows = tuple(
        StageRun(name.format(number, number), 'interrupted', digest_of(b'%d' % number), '01234567', 12345.678, 137, used)
        for number in range(stages)
    )
    return replace(RUN, stages=rows, **more)


@pytest.mark.parametrize('stages', [0, 1, 10, 1000])
def test_a_record_keeps_to_4_KiB_and_304_bytes_a_stage(root: Root, stages: int) -> None:
    name = 'train@model-{:04}-seed-{:04}'
    command = ('mlops', 'run', *(name.format(number, number) for number in range(stages)))
    metrics = tuple(
        (name.format(number, number), 'metrics/some/file.json', f'test.score.{index}', 0.123456789)
        for number in range(stages)
        for index in range(10)
    )
    run = large(stages, name, command=command, metrics=metrics, host='h' * 64, branch='b' * 200)
    add(root, run)
    path = root.full(layout.run_record(run.id))
    assert os.path.getsize(path) <= 4096 + 304 * stages
    found = Runs(root).get(run.id)
    assert found.stages == run.stages
    assert len(found.metrics) + found.left_out == len(metrics)
    assert found.metrics == metrics[: len(found.metrics)]
    assert found.left_out or len(metrics) < 100
    assert found.command[:2] == ('mlops', 'run')
    assert found.command[-1] == '...' or stages < 50


def test_what_fits_is_left_alone() -> None:
    assert fitted(RUN) == RUN
    assert fitted(fitted(large(30))) == fitted(large(30))


def test_what_was_set_is_never_cut() -> None:
    run = replace(RUN, overlay=(('params.yaml', 'rows', list(range(5000))),))
    assert fitted(run).overlay == run.overlay


# Finding


def named(*times_and_parts: tuple[str, str]) -> list[Run]:
    return [replace(RUN, id=f'{time}-{part}') for time, part in times_and_parts]


TIMES = named(
    ('20261231T235959Z', 'aaaa1111'),
    ('20270101T000000Z', 'aabb2222'),
    ('20261120T101522Z', '7k2m9q4c'),
    ('20261120T101522Z', '7k2m0000'),
    ('20251231T000000Z', '99999999'),
)


def test_ids_come_newest_first_without_opening_anything(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, *TIMES)
    for name in (
        '2026-11/README.md',
        '2026-11/notes.json',
        '2026-11/.mlops-tmp-1',
        '2025-12/20261120T101522Z-7k2m9q4c.json',
        'other/20261120T101522Z-7k2m9q4c.json',
        '2024-01',
    ):
        path = Path(root.full(f'{layout.RUNS}/{name}'))
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def refuse(*_: object) -> bytes:
        raise AssertionError('a record was opened')

    monkeypatch.setattr(module, 'read_small', refuse)
    assert list(Runs(root).ids()) == sorted((run.id for run in TIMES), reverse=True)


def test_none_where_there_are_none(root: Root) -> None:
    assert list(Runs(root).ids()) == []
    assert list(Runs(root).newest()) == []
    with pytest.raises(UserError, match="no run '7k2m'") as raised:
        Runs(root).find('7k2m')
    assert raised.value.hint == 'there are none yet: mlops run'


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        ('7k2m9q4c', '7k2m9q4c'),
        ('7k2m9', '7k2m9q4c'),
        ('7K2M9Q4C', '7k2m9q4c'),
        ('7k2m0', '7k2m0000'),
        ('7k2mo', '7k2m0000'),
        ('aaaaiilI', 'aaaa1111'),
        ('9', '99999999'),
        ('20261120T101522Z-7k2m9q4c', '7k2m9q4c'),
        ('20270101T', 'aabb2222'),
    ],
)
def test_a_run_is_found_by_what_people_type(root: Root, text: str, part: str) -> None:
    add(root, *TIMES)
    assert Runs(root).find(text).short == part


def test_a_beginning_of_several_is_refused_with_them(root: Root) -> None:
    add(root, *TIMES)
    with pytest.raises(UserError, match='could mean 2 runs') as raised:
        Runs(root).find('7k2m')
    assert raised.value.hint == 'type more of it: 7k2m9q4c, 7k2m0000'
    add(root, *named(*((f'20261120T1015{second}Z', f'7k2m7{second}0') for second in range(10, 20))))
    with pytest.raises(UserError, match='could mean 12 runs') as raised:
        Runs(root).find('7k2m')
    assert raised.value.hint.endswith('and 8 more')


@pytest.mark.parametrize(
    ('text', 'hint'),
    [
        ('7k2m9q4d', 'did you mean 7k2m9q4c?'),
        ('zzzz', 'the last one is aabb2222'),
        ('', 'the last one is aabb2222'),
    ],
)
def test_a_run_that_is_not_there_has_a_hint(root: Root, text: str, hint: str) -> None:
    add(root, *TIMES)
    with pytest.raises(UserError, match='no run') as raised:
        Runs(root).find(text)
    assert raised.value.hint == f'{hint}; mlops runs list shows all'


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('started', '9999-99-99T99:99:99Z'),
        ('started', '0001-01-01T00:00:00Z'),
        ('started', '9999-12-31T23:59:59Z'),
        ('started', '2026-02-31T00:00:00Z'),
        ('seconds', 1e308),
        ('fresh', -1),
    ],
)
def test_what_no_clock_and_no_count_can_have_been_is_refused_and_passed_over(root: Root, key: str, value: object) -> None:
    add(root, RUN, *TIMES)
    path = layout.run_record(RUN.id)
    found = json.loads(RUN.encode()) | {key: value}
    Path(root.full(path)).write_text(json.dumps(found))
    with pytest.raises(UserError, match=f'damaged run record: {key}'):
        Runs(root).get(RUN.id)
    told: list[UserError] = []
    assert RUN.id not in [run.id for run in Runs(root).newest(told.append)]
    assert [error.where.file for error in told if error.where] == [path]


def test_a_run_that_git_took_away_between_two_looks_is_passed_over(root: Root) -> None:
    add(root, *TIMES)
    newest = Runs(root).newest()
    assert next(newest).short == 'aabb2222'
    os.unlink(root.full(layout.run_record(TIMES[0].id)))
    assert [run.short for run in newest] == ['7k2m9q4c', '7k2m0000', '99999999']


def test_links_are_not_followed(root: Root, tmp_path: Path) -> None:
    add(root, RUN)
    path = root.full(layout.run_record(RUN.id))
    os.rename(path, tmp_path / 'elsewhere')
    os.symlink(tmp_path / 'elsewhere', path)
    with pytest.raises(UserError, match='symbolic link'):
        Runs(root).find('7k2m')


def test_an_id_of_no_run_of_ours_is_not_written(root: Root) -> None:
    with Batch('none') as batch, pytest.raises(UserError, match='no id of a run'):
        Runs(root).add(replace(RUN, id='../../../x'), batch)


@pytest.mark.parametrize('row', [(KEY.hex, '../x'), (KEY.hex, '0123ABCD'), ('../x', '0123abcd'), ('', '0123abcd')])
def test_a_fresh_stage_that_is_no_result_is_refused(row: tuple[str, str]) -> None:
    value = {**json.loads(RUN.encode()), 'fresh_stages': [['a', *row]]}
    with pytest.raises(UserError, match='not a result'):
        decode(json.dumps(value).encode(), layout.run_record(RUN.id))


def test_a_fresh_stage_is_named_once() -> None:
    value = {**json.loads(RUN.encode()), 'fresh_stages': [['a', KEY.hex, '0123abcd'], ['a', KEY.hex, '0123abcd']]}
    with pytest.raises(UserError, match='a twice'):
        decode(json.dumps(value).encode(), layout.run_record(RUN.id))


def test_a_stage_is_named_once() -> None:
    value = json.loads(RUN.encode())
    value['stages'] += value['stages'][:1]
    with pytest.raises(UserError, match=f'{value["stages"][0][0]} twice'):
        decode(json.dumps(value).encode(), layout.run_record(RUN.id))


def test_fresh_stages_are_named_while_there_is_room(root: Root) -> None:
    few = replace(RUN, fresh_stages=tuple((f'stage-{n}', KEY, '0123abcd') for n in range(20)))
    assert fitted(few).fresh_stages == few.fresh_stages
    many = replace(RUN, fresh_stages=tuple((f'stage-{n}', KEY, '0123abcd') for n in range(200)))
    assert fitted(many) == replace(RUN, fresh_stages=())
    add(root, few)
    assert Runs(root).get(few.id) == few


def test_the_last_run_that_left_the_workspace_as_it_says(root: Root) -> None:
    plain = replace(RUN, overlay=())
    ids = [f'20261120T10152{n}Z-7k2m9q4c' for n in range(4)]
    held = {one.name: (one.key, one.outs8) for one in RUN.stages if one.key is not None}
    assert Runs(root).last_of_workspace(held) == ''
    add(root, *(replace(RUN if n == 2 else plain, id=run_id) for n, run_id in enumerate(ids)))
    Path(root.full(layout.run_record(ids[3]))).write_text('damaged')
    assert Runs(root).last_of_workspace(held) == ids[1]
    others = {name: (key, 'ffffffff') for name, (key, _) in held.items()}
    assert Runs(root).last_of_workspace(others) == '', 'what it made is no longer here'


def test_values_are_kept_while_there_is_room_and_counted_beyond(root: Root) -> None:
    few = replace(RUN, values=(('params.yaml', 'train.k', [3, 9]), ('more.yaml', 'a', None)))
    assert fitted(few).values == few.values
    add(root, few)
    assert Runs(root).get(few.id) == few
    many = replace(RUN, values=tuple(('params.yaml', f'key-{n}', 'x' * 100) for n in range(100)))
    kept = fitted(many)
    assert kept.values and len(kept.values) + kept.values_left_out == 100
    assert len(kept.encode()) <= module.BASE_BYTES + module.STAGE_BYTES * len(RUN.stages)
    long = fitted(replace(RUN, values=(('params.yaml', 'long', 'x' * 300), ('params.yaml', 'short', 1))))
    assert (long.values, long.values_left_out) == ((('params.yaml', 'short', 1),), 1)


def test_durations_are_those_of_done_stages_newest_first(root: Root) -> None:
    done, failed = RUN.stages[1], RUN.stages[2]
    ids = [f'20261120T10152{n}Z-7k2m9q4c' for n in range(5)]
    for n, run_id in enumerate(ids):
        add(root, replace(RUN, id=run_id, stages=(replace(done, seconds=n + 0.5), replace(failed, seconds=9.0))))
    assert Runs(root).durations(10) == {done.name: [4.5, 3.5, 2.5, 1.5, 0.5]}
    assert Runs(root).durations(2) == {done.name: [4.5, 3.5]}
    texts = ['{', '{"stages": 3}', '{"stages": [["x", "done", "", "", NaN, 0], ["y", "done", "", "", "1", 0], 7]}', '[' * 9999]
    for run_id, text in zip(ids[:4], texts, strict=True):
        Path(root.full(layout.run_record(run_id))).write_text(text)
    assert Runs(root).durations(10) == {done.name: [4.5]}
    assert Runs(root).durations(10) == {
        one.name: [one.seconds] for run in Runs(root).newest() for one in run.stages if one.state == 'done'
    }
