"""A store, and the way into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.fsio.durable import Batch
from mlops_cli.run.origins.base import Into
from mlops_cli.store.local import LocalStore
from tests.servers import web as servers


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalStore]:
    with Batch('none') as batch:
        store = LocalStore(tmp_path / 'cache', batch=batch)
        yield store
        batch.flush()
        store.close()


@pytest.fixture
def into(store: LocalStore, tmp_path: Path) -> Into:
    return Into(store, str(tmp_path / 'cache'))


@pytest.fixture
def web() -> Iterator[servers.Web]:
    with servers.running() as server:
        yield server
