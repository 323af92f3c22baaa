"""Prepares a host: what is there, its folder, and the environments of the stages that may run on it, each a line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.executors.ssh import bucket_of
from mlops_cli.job import environments
from mlops_cli.pipeline.spec import Environment
from mlops_cli.records import sightings
from mlops_cli.records.destinations import Host
from mlops_cli.run.hosts import summary
from mlops_cli.run.lockfiles import lock_of
from mlops_cli.run.packages import fetched
from mlops_cli.run.request import ANY
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.ssh import FarBucket
from mlops_cli.store.transfer import Told, push

LOOK_SECONDS = 0.5  # between two questions whether it is made
PATIENCE_SECONDS = 3600.0
LITTLE = 1 << 30  # bytes of room with which work is likely to fail


@dataclass(frozen=True, slots=True)
class Done:
    """One thing.  ``state``: done, there (it was before) or wrong.  ``stages``: whose environment it is."""

    what: str
    state: str
    text: str
    hint: str = ''
    stages: tuple[str, ...] = ()


def prepare(bench: Workbench, name: str, host: Host, send: bool, go_on: Callable[[], None]) -> Iterator[Done]:
    """``send``: packages go along even where the host may reach an index.  ``go_on``: called often, to raise where it is not
    wanted any more.  Raises UserError."""
    bucket = bucket_of(host.place, host.python, host.words)
    try:
        try:
            facts = bucket.ask({'do': 'host', 'path': host.path, 'submit': [*host.words], 'thorough': True})
        except Unreachable as error:
            yield Done('connection', 'wrong', error.problem, error.hint or '')
            return
        sightings.keep(bench.root, name, host.url, facts, time.time())
        yield Done('connection', 'there', f'{summary(facts)}, Python {facts.get("python")}')
        yield _folder(facts)
        if host.url.startswith('k8s://'):  # what is begun there ends with its gateway
            return
        for environment, stages in wanted(bench, name).items():
            yield _environment(bench, bucket, host, environment, tuple(stages), send, go_on)
    finally:
        bucket.close()


def _folder(facts: Mapping[str, Any]) -> Done:
    free, folder = facts.get('free_bytes'), str(facts.get('folder'))
    if isinstance(free, int) and free < LITTLE:
        hint = 'make room there, or take another folder: mlops hosts add'
        return Done('folder', 'wrong', f'{folder} has {free >> 20} MiB of room', hint)
    return Done('folder', 'there', folder)


def wanted(bench: Workbench, name: str) -> dict[Environment, list[str]]:
    """The environments of stages that go there, by what the pipeline says; where none does, of all: who prepares a host
    means to use it."""
    having = [stage for stage in bench.pipeline.stages.values() if stage.environment is not None and stage.environment.path]
    there = [stage for stage in having if stage.host in (name, ANY)] or having
    found: dict[tuple[str, str], tuple[Environment, list[str]]] = {}
    for stage in there:
        assert stage.environment is not None
        one = stage.environment
        found.setdefault((one.kind, one.path), (one, []))[1].append(stage.name)
    return dict(found.values())


def _environment(bench: Workbench, bucket: FarBucket, host: Host, environment: Environment, stages: tuple[str, ...], send: bool,
                 go_on: Callable[[], None]) -> Done:  # fmt: skip
    def done(state: str, text: str, hint: str = '') -> Done:
        return Done(environment.path, state, text, hint, stages)

    try:
        lock = lock_of(environment, bench.root, bench.store, bench.index.get)
        push(bench.store, Depot(bucket), lock.files, Told())
        asked: dict[str, Any] = {'do': 'environment', 'lock': environments.to_json(lock), 'path': host.path}
        state = bucket.ask(asked)
        if state.get('state') == 'whole':
            return done('there', 'its environment is there')
        began = time.monotonic()
        if not send or environment.kind == 'conda':
            state = _made(bucket, asked, go_on)
            if state.get('state') == 'whole':
                return done('done', f'its environment was made in {time.monotonic() - began:.0f}s')
        if environment.kind == 'conda':
            return done('wrong', str(state.get('message', 'it was not made'))[:500], str(state.get('hint', ''))[:300])
        wheels, count = fetched(bench, environment, state)
        push(bench.store, Depot(bucket), [('', wheels)], Told())
        state = _made(bucket, {**asked, 'wheels': [*wheels.to_json()]}, go_on)
        if state.get('state') == 'whole':
            return done('done', f'its environment was made of {count} packages from here in {time.monotonic() - began:.0f}s')
        return done('wrong', str(state.get('message', 'it was not made'))[:500], str(state.get('hint', ''))[:300])
    except FileNotFoundError:
        return done('wrong', 'is not there', f'mlops run {stages[0]}, or write it')
    except UserError as error:
        return done('wrong', error.message, error.hint)


def _made(bucket: FarBucket, asked: Mapping[str, Any], go_on: Callable[[], None]) -> dict[str, Any]:
    """Begins it, and waits until it is there, or cannot be made."""
    state = bucket.ask({**asked, 'begin': True})
    until = time.monotonic() + PATIENCE_SECONDS
    while state.get('state') == 'making' and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        go_on()
        state = bucket.ask(asked)
    return state
