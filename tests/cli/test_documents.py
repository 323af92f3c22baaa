"""The documents that other programs rely on: their keys, and what stands under them."""

from __future__ import annotations

import json
from typing import Any

from mlops_cli.cli.documents import (
    plan_document,
    reason_document,
    run_document,
    step_document,
    working_document,
)
from mlops_cli.cli.standing import Working
from mlops_cli.core.events import Note, RunEnded, RunStarted, StageQueued, StageStarted, StageWaiting, event_document
from mlops_cli.run.invoke import Report
from tests.cli.values import DEPTH, NAMES, NOW, RUN, TRAIN, blocked_plan, ended, mixed_plan, plan, ref, report, settled, step

STEP = {
    'name', 'verdict', 'from', 'waits_for', 'reasons', 'key', 'estimate', 'notes', 'changed_by_hand', 'origin', 'environment',
    'accepted', 'other_results',
}  # fmt: skip
STAGE = {
    'name', 'state', 'seconds', 'exit_code', 'usage', 'cost', 'log', 'outputs', 'metrics', 'message', 'notes', 'origin',
    'environment', 'accepted', 'other_results',
}  # fmt: skip


def through_json(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value))


def test_plans() -> None:
    found = through_json(plan_document(mixed_plan(), 'status'))
    assert set(found) == {'schema', 'pipeline', 'stages'} and found['schema'] == 'mlops/status/v1'
    assert [stage['name'] for stage in found['stages']] == list(NAMES)
    for stage in found['stages']:
        assert set(stage) - {'certain'} == STEP
        assert set(stage['estimate']) == {'seconds', 'seconds_low', 'seconds_high', 'cost', 'basis'}
    by_name = {stage['name']: stage for stage in found['stages']}
    assert by_name[TRAIN[0]]['from'] == 'cache' and by_name[TRAIN[1]]['from'] is None
    assert by_name['validate']['certain'] is True and 'certain' not in by_name['prepare']
    assert {stage['verdict'] for stage in through_json(plan_document(blocked_plan(), 'plan'))['stages']} == {'blocked'}


def test_reasons() -> None:
    assert reason_document(DEPTH) == {'kind': 'param', 'subject': 'train.depth', 'before': '8', 'after': '12', 'detail': ''}
    assert step_document(step('a', 'run'))['estimate'] == {
        'seconds': None,
        'seconds_low': None,
        'seconds_high': None,
        'cost': None,
        'basis': 'unknown',
    }


def test_runs() -> None:
    done = ended('prepare', outputs=(('data', ref('d')),), metrics=(('m.json', 'loss', 0.5),), usage={'cpu_seconds': 1})
    found = through_json(run_document(report(plan(step('prepare', 'run')), settled(done, fresh=('x',), skipped=('y',)))))
    assert set(found) == {'schema', 'run', 'ended', 'stages', 'seconds', 'saved_seconds', 'cost', 'refused', 'record'}
    assert found['schema'] == 'mlops/run/v1' and found['run'] == RUN
    for stage in found['stages']:
        assert set(stage) == STAGE
    stage = next(stage for stage in found['stages'] if stage['name'] == 'prepare')
    assert stage['metrics'] == {'m.json:loss': 0.5}
    assert stage['outputs'] == [{'path': 'data', 'kind': 'file', 'digest': str(ref('d').digest), 'size': 1}]
    assert [one['state'] for one in found['stages']] == ['fresh', 'done', 'skipped']


def test_a_run_with_nothing_to_do() -> None:
    found = through_json(run_document(Report(plan(step('prepare', 'fresh')), settled(fresh=('prepare',)), 0.06)))
    assert found['run'] is None and found['ended'] == 'done'


def test_what_works_now() -> None:
    assert working_document(Working('a', NOW, 'gpu1', 7, 'x')) == {
        'name': 'a',
        'since': '2026-11-20T10:20:00Z',
        'host': 'gpu1',
        'pid': 7,
        'said': 'x',
    }
    assert working_document(Working('a', None, '', 0, ''))['since'] is None


def test_events() -> None:
    found = {
        'run-started': RunStarted(RUN, 'digits', 8, 0, 4),
        'stage-started': StageStarted('a', 1, 'log', None),
        'stage-waiting': StageWaiting('a', 'x', 1.0),
        'stage-queued': StageQueued('a', 'Slurm: x', 1.0),
        'stage-ended': ended('a', outputs=(('d', ref('d')),), metrics=(('m', 'n', 1),), usage={'cpu_seconds': 1}),
        'note': Note('text', 'a'),
        'run-ended': RunEnded(RUN, 'done', 1.0),
    }
    for name, event in found.items():
        document = through_json(event_document(event, NOW))
        assert document['event'] == name and document['at'] == NOW
        assert set(document) == {'event', 'at', *(field for field in event.__dataclass_fields__)}
    assert through_json(event_document(found['stage-ended'], NOW))['metrics'] == {'m:n': 1}
