"""The door to Ray: its Jobs API on the machine of its head.  Knows nothing of stages and folders."""
from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from mlops_cli.job.engine import Silent

PORT = 8265  # of its dashboard
SECONDS = 20.0  # for an answer
ANSWER_MOST = 64 << 20  # bytes
NODES_MOST = 100_000
MOST = 1 << 62  # of anything that a node has
HINT = 'is Ray up there? ray status tells; the port in the url is that of its dashboard'


class Ray:
    """``port``: of its dashboard; any thread may ask."""

    def __init__(self) -> None:
        self.port = PORT

    def ask(self, path: str, asked: Mapping[str, Any] | None = None, *, post: bool = False) -> Any:
        """The answer; a text where it refuses.  Raises Silent."""
        data = None if asked is None and not post else json.dumps(asked or {}).encode()
        request = urllib.request.Request(f'http://127.0.0.1:{self.port}{path}', data, {'Content-Type': 'application/json'})
        try:
            # Nothing between us and this machine: no proxy of the environment.
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=SECONDS) as answer:
                return json.loads(answer.read(ANSWER_MOST))
        except urllib.error.HTTPError as error:
            return error.read(10_000).decode(errors='replace').strip() or f'status {error.code}'
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            why = getattr(error, 'reason', error)
            raise Silent(f'its dashboard at 127.0.0.1:{self.port} does not answer ({why})') from error

    def jobs(self) -> list[Mapping[str, Any]]:
        """All that it knows.  Raises Silent."""
        found = self.ask('/api/jobs/')
        if not isinstance(found, list):
            raise Silent(str(found)[:200])
        return [job for job in found if isinstance(job, dict)]

    def version(self) -> str:
        """Raises Silent."""
        found = self.ask('/api/version')
        return str(found.get('ray_version', ''))[:40] if isinstance(found, dict) else ''

    def nodes(self) -> list[Mapping[str, Any]]:
        """What each has, as Ray counts it.  Raises Silent."""
        found = self.ask('/api/cluster_status')
        try:
            kinds = found['data']['clusterStatus']['loadMetricsReport']['nodeTypes']
            return [_resources(each) for each, count in kinds for _ in range(min(int(count), NODES_MOST))][:NODES_MOST]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return []


def _resources(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is a number of something."""
    return {
        name: value for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST and math.isfinite(value)
    }  # fmt: skip
