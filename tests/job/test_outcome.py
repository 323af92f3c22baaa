"""What a host says of a job, which may be anything."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.job.hosted import from_json

FOUND: dict[str, Any] = {'ending': 'exited', 'exit_code': 0, 'killed': 0, 'message': '', 'code': 0, 'outputs': []}


@pytest.mark.parametrize('name', ['wall_seconds', 'cpu_seconds', 'read_bytes', 'network_received_bytes', 'gpu_energy_joules'])
@pytest.mark.parametrize('figure', [-1, 10**400, float('inf'), float('nan'), '9' * 5000, [], {}])
def test_usage_that_cannot_be_is_none(name: str, figure: object) -> None:
    """In the record of a run it would make that unreadable."""
    usage = {'wall_seconds': 1.0, 'cpu_seconds': 1.0}
    assert from_json('a', {**FOUND, 'usage': {**usage, name: 7}})[0].succeeded
    with pytest.raises(ValueError, match=r'.'):
        from_json('a', {**FOUND, 'usage': {**usage, name: figure}})
