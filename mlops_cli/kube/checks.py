"""What a cluster has for the jobs of a host, and whether what these need is there and allowed."""
from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from mlops_cli.kube.api import START_SECONDS, Status, explained, kubectl, printable
from mlops_cli.kube.cluster import Cluster
from mlops_cli.kube.states import part
from mlops_cli.store.bucket import Unreachable

# What is done with the user's rights: verb, group, resource, subresource.
NEEDED = (
    *((verb, 'batch', 'jobs', '') for verb in ('get', 'list', 'create', 'delete')),
    ('get', '', 'pods', ''), ('list', '', 'pods', ''), ('create', '', 'pods', 'exec'),
)  # fmt: skip
MOST = float(1 << 62)
SHARED = ('ReadWriteMany',)
_UNITS = {'Ki': 1 << 10, 'Mi': 1 << 20, 'Gi': 1 << 30, 'Ti': 1 << 40, 'k': 10**3, 'M': 10**6, 'G': 10**9, 'T': 10**12}


def namespace_of(where: str, context: str) -> str:
    """That of a context, as kubectl has it.  Raises Unreachable."""
    words = kubectl(where, context, 'config', 'view', '--minify', '--output=json')
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors='replace',
                              timeout=START_SECONDS, check=False)  # fmt: skip
        if done.returncode:
            raise Unreachable(where, *explained(done.stderr))
        contexts = json.loads(done.stdout).get('contexts') or []
        return str((contexts[0]['context'] if contexts else {}).get('namespace') or 'default')
    except (OSError, ValueError, LookupError, TypeError, AttributeError, subprocess.TimeoutExpired) as error:
        raise Unreachable(where, f'kubectl config view fails: {error}', 'does kubectl config view work here?') from error


def quantity(text: object) -> float:
    """As Kubernetes writes them: 500m, 16Gi; 0 for what is none."""
    found, factor = str(text), 1.0
    for unit, size in (*_UNITS.items(), ('m', 0.001)):
        if found.endswith(unit):
            found, factor = found[:-len(unit)], size
            break
    try:
        number = float(found) * factor
    except ValueError:
        return 0.0
    return number if 0 <= number < MOST else 0.0


def facts(cluster: Cluster) -> dict[str, Any]:
    """What jobs may get, as far as the user may look.  Raises Silent, Unreachable."""
    nodes = cluster.nodes()
    there = [part(node, 'status', 'allocatable') for node in nodes or () if not _is_closed(node)]
    found: dict[str, Any] = {
        'name': cluster.api.context or 'kubectl', 'cpus': None, 'memory_bytes': None, 'gpus': [],
        'kubernetes': {'version': cluster.version(), 'namespace': cluster.namespace, 'nodes': None, 'gpus': None},
    }  # fmt: skip
    if nodes:
        found['cpus'] = int(sum(quantity(one.get('cpu')) for one in there))
        found['memory_bytes'] = int(max((quantity(one.get('memory')) for one in there), default=0))
        found['kubernetes'] |= {'nodes': len(nodes), 'gpus': int(sum(quantity(one.get(cluster.words.gpu, 0)) for one in there))}
    return found


def _is_closed(node: Mapping[str, Any]) -> bool:
    return bool(part(node, 'spec').get('unschedulable'))


def check(cluster: Cluster) -> dict[str, Any]:
    """Whether a job of nothing could run.  Raises Unreachable with what mends it, Silent."""
    for verb, group, resource, sub in NEEDED:
        if not _may(cluster, verb, group, resource, sub):
            what = f'{verb} {resource}{"." + group if group else ""}{"/" + sub if sub else ""}'
            raise cluster.denied(what, Status(403, ''))
    _check_claim(cluster)
    return {}


def _may(cluster: Cluster, verb: str, group: str, resource: str, sub: str) -> bool:
    asked = {'namespace': cluster.namespace, 'verb': verb, 'group': group, 'resource': resource, 'subresource': sub}
    review = {'apiVersion': 'authorization.k8s.io/v1', 'kind': 'SelfSubjectAccessReview', 'spec': {'resourceAttributes': asked}}
    try:
        answer = cluster.api.ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review)
    except Status:
        return True  # one may not even ask; what is done tells
    return bool(part(answer, 'status').get('allowed'))


def _modes(claim: Mapping[str, Any]) -> list[str]:
    found = part(claim, 'status').get('accessModes') or part(claim, 'spec').get('accessModes')
    return [str(mode) for mode in found] if isinstance(found, list) else []


def _check_claim(cluster: Cluster) -> None:
    claim = cluster.claim()
    if claim is None:
        return
    nodes = cluster.nodes()
    modes = _modes(claim)
    if any(mode in SHARED for mode in modes) or cluster.words.on_one_node or (nodes is not None and len(nodes) == 1):
        return
    where = f'{len(nodes)} nodes' if nodes is not None else 'several nodes'
    hint = 'a claim with ReadWriteMany, or all on one node: --submit node-selector=kubernetes.io/hostname=NODE'
    mode = printable(', '.join(modes) or 'of no mode')
    raise Unreachable(cluster.where, f'its claim is {mode}, which pods on {where} cannot share', hint)
