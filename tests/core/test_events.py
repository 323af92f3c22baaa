"""Events come back from their documents as they were, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.events import (
    NAMES,
    Event,
    Note,
    RunEnded,
    RunFailed,
    RunStarted,
    RunStopping,
    StageEnded,
    StageProgress,
    StageQueued,
    StageRetried,
    StageStarted,
    StageWaiting,
    event_document,
    event_of,
)
from mlops_cli.core.refs import ObjectRef

SCHEMA = Path(__file__).resolve().parents[2] / 'docs/schemas/run-events.v1.json'
REF = ObjectRef(digest_of(b'x'), 1, 'file')
EVENTS: list[Event] = [
    RunStarted('r', 'p', 3, 1, 2),
    RunStarted('r', 'p', 3, 1, 2, 1, 1, True, 2.5, 1, 0.5, 9.0, True, ('a', 'b@1'), (('m.json', REF),)),
    StageStarted('a', 2, 'log', 1.5, 'p.jsonl'),
    StageProgress('a', (('epoch', 7), ('loss', 0.5), ('phase', 'warm')), 7.0, 40.0),
    StageWaiting('a', 'mlops run', 1.0),
    StageQueued('a', 'Resources', 12.5),
    StageQueued('a', '', 13.0),
    StageRetried('a', 1, 3, 2.0, 1, 'exit 1'),
    StageEnded('a', 'fresh', 0.0),
    StageEnded(
        'a',
        'failed',
        2.0,
        3,
        (('a:b.json', REF), ('o', ObjectRef(digest_of(b'y'), 2, 'tree'))),
        (('a:b.json', 'x:y', 1), ('o', 'z', 0.5)),
        'm',
        'h',
        'l',
        ('one', 'two'),
        ('n',),
        {'cpu_seconds': 1},
        True,
    ),
    Note('text', 'a'),
    RunStopping('r', 1),
    RunFailed('r', 'm', 'h', 6),
    RunEnded('r', 'done', 1.0, 0),
]


def test_every_kind_is_tried() -> None:
    assert {type(event) for event in EVENTS} == set(NAMES)


@pytest.mark.parametrize('event', EVENTS, ids=lambda event: type(event).__name__)
def test_there_and_back(event: Event) -> None:
    document = json.loads(json.dumps(event_document(event, 1.0)))
    assert event_of(document) == event
    jsonschema_rs.validator_for(json.loads(SCHEMA.read_text())).validate(document)


@pytest.mark.parametrize('event', EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize('wrong', [None, [], {}, [[]], {'x': []}, [1]], ids=str)
def test_what_has_another_type_is_refused(event: Event, wrong: Any) -> None:
    document = json.loads(json.dumps(event_document(event, 1.0)))
    for name in document.keys() - {'event', 'at'}:
        try:
            found = event_of({**document, name: wrong})
        except ValueError:
            continue
        assert found is not None and event_document(found, 1.0).keys() == document.keys(), name


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert event_of({'event': 'stage-paused', 'at': 1}) is None
    assert event_of({**event_document(Note('x'), 1.0), 'more': 1}) == Note('x')
    assert event_of({}) is None
