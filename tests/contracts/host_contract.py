"""What holds for the executor of hosts, whatever starts the jobs there."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.register_assert_rewrite('tests.contracts.executor_contract')

from mlops_cli.executors.ssh import Ssh, name_of  # noqa: E402 -- after what pytest has to know first
from mlops_cli.fsio.durable import Batch  # noqa: E402
from mlops_cli.fsio.paths import Root  # noqa: E402
from mlops_cli.store.local import LocalStore  # noqa: E402
from tests.contracts.executor_contract import ExecutorContract, job, wait  # noqa: E402


def reaching(folder: Path, name: str, url: str, *submit: str) -> Ssh:
    """An executor with a store of its own in a folder."""
    return Ssh(name, url, LocalStore(folder / 'cache', batch=Batch('none')), submit=submit)


class HostContract(ExecutorContract):
    def test_a_job_runs_in_its_folder_and_writes_its_log(self, executor, tmp_path):
        """In one of its own, over there, with what it needs and nothing else; what it makes comes back."""
        (tmp_path / 'in/a b').mkdir(parents=True)
        (tmp_path / 'in/a b/data').write_bytes(b'given')
        with Root(str(tmp_path)) as root:
            ref = executor._store.add_path(root, 'in').ref
            executor._store.batch.flush()
        given = job(
            tmp_path, 'ls; echo $MLOPS_ATTEMPT; cat data > out', 'echo two >&2', directory='a b', inputs=(('', ref),),
            outputs=('a b/out',), folder='/nowhere',
        )  # fmt: skip
        handle = executor.submit(given)
        wait(executor)
        ((path, made),) = executor.collect(handle)
        assert Path(given.log).read_text() == f'data\n{name_of(given)}\ntwo\n'
        assert (path, executor._store.read(made.digest)) == ('a b/out', b'given')
