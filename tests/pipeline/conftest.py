"""Every pipeline that is loaded here is also the same after it was kept."""

from __future__ import annotations

import marshal
from typing import Any

import pytest

from mlops_cli.pipeline import graph, load
from mlops_cli.pipeline.plain import pipeline_of, plain
from mlops_cli.pipeline.spec import Pipeline


def shown(value: Any) -> Any:
    """All that is in a value, types included: 1, 1.0 and true are equal otherwise."""
    if hasattr(value, '__match_args__') and not isinstance(value, BaseException):
        return type(value).__name__, [(name, shown(getattr(value, name))) for name in value.__match_args__]
    if hasattr(value, 'items'):
        return 'mapping', [(shown(key), shown(below)) for key, below in value.items()]
    if isinstance(value, list | tuple):
        return type(value).__name__, list(map(shown, value))
    return type(value).__name__, repr(value)


def same_when_kept(pipeline: Pipeline) -> Pipeline:
    again = pipeline_of(marshal.loads(marshal.dumps(plain(pipeline))))
    assert shown(again) == shown(pipeline) and again == pipeline
    assert list(graph.edges(again).items()) == list(graph.edges(pipeline).items()) and again.groups == pipeline.groups
    return pipeline


@pytest.fixture(autouse=True)
def kept_too(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if getattr(request.module, 'load', None) is load.load:
        monkeypatch.setattr(request.module, 'load', lambda *args, **named: same_when_kept(load.load(*args, **named)))
