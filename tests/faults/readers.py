"""Fuzz targets for what is read of models, costs, hosts, clusters, checks and CI: each takes bytes, and may raise what
fuzzing.py declares and nothing else."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mlops_cli.checks import contract, linear
from mlops_cli.checks.gate import evaluate
from mlops_cli.ci import comment, hooks
from mlops_cli.cli import lineage_verify
from mlops_cli.core import canonical, dsse, strictjson
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.kube import read_url, read_words
from mlops_cli.job import hosted, partitions
from mlops_cli.job.engine import number_of
from mlops_cli.job.far_ray import RayEngine
from mlops_cli.job.ray import Ray
from mlops_cli.job.slurm import Slurm
from mlops_cli.kube import checks, cluster, states
from mlops_cli.kube.api import Api, Silent, Status
from mlops_cli.records import models, sightings
from mlops_cli.records.config import of_file
from mlops_cli.records.model_files import Model
from mlops_cli.registry import headers
from mlops_cli.registry.signing import policies_in
from mlops_cli.report.model_card import markdown
from mlops_cli.store.bucket import Unreachable
from mlops_cli.usage import bills, catalogue, series, spending
from tests.faults.shown import acting

DIGITS = digest_of(b'').hex
ROWS = 200  # of a bill


def _json(value: bytes) -> Any:
    """As the doors to clusters read answers: whatever JSON there is."""
    try:
        return json.loads(value)
    except RecursionError:
        raise ValueError from None


def _named(value: bytes, place: str) -> tuple[bytes, str]:
    """A record under the name that its content asks for: whoever plants one sees to that."""
    with suppress(UserError):
        found = strictjson.read(value, 'x')
        if isinstance(found, dict):
            with suppress(ValueError, TypeError):
                value = canonical.document(found)
            place = place.replace('@', str(found.get('number')))
    digits = digest_of(value.replace(b'\r\n', b'\n')).hex
    return value, f'.mlops/models/digits/{place}'.replace('#16', digits[:16]).replace('#8', digits[:8])


def _version(value: bytes) -> None:
    found = models.decode(*_named(value, 'versions/v@-#8.json'))
    assert isinstance(found, models.Version)
    assert found.encoded
    model = Model(found.name, {found.digest: found})
    text = markdown(model, found, None, None)
    text.encode()
    assert not (said := acting(text)), said


def _fact(kind: str) -> Callable[[bytes], None]:
    place = {'promotion': 'aliases/prod', 'approval': 'approvals', 'tag': 'tags', 'note': 'notes'}[kind]

    def read(value: bytes) -> None:
        models.decode(*_named(value, f'{place}/20261120T101522Z-#16.json')).encoded.decode()

    return read


def _settings(value: bytes) -> None:
    errors: list[UserError] = []
    found = of_file(None, value, '.mlops/config.yaml', True, errors)
    assert found is not None and errors is not None
    policies_in(value)


def _bill(value: bytes) -> None:
    """A table, or a row as a parquet file would have it."""
    import csv

    for names, row in _bill_rows(value):
        if (known := bills.format_of(names)) is not None:
            # As cli/billing.py leaves rows out.
            with suppress(ValueError, KeyError, TypeError, OverflowError, csv.Error):
                known.line({name: cell for name, cell in row.items() if name in known.columns}, ('mlops',))


def _bill_rows(value: bytes) -> list[tuple[list[str], dict[str, Any]]]:
    import csv

    with suppress(ValueError, UserError):
        found = _json(value)
        if isinstance(found, dict):
            return [([*found], found)]
    rows = csv.DictReader(io.StringIO(value.decode('utf-8', 'replace'), newline=''))
    with suppress(csv.Error):
        return [(list(rows.fieldnames or ()), row) for row, _ in zip(rows, range(ROWS), strict=False)]
    return []


def _header(value: bytes) -> None:
    found = headers.header_of(len(value), lambda count: value[:count])
    if found is not None:
        found.summary.encode('utf-8', 'surrogatepass')


def _zipped(value: bytes) -> None:
    """What is in an archive, and how it is packed."""
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        made = io.BytesIO()
        with zipfile.ZipFile(made, 'w', kind) as archive:
            archive.writestr('schema.json', '{"__class__": "A", "__module__": "b"}')
        data = bytearray(made.getvalue())
        for at, byte in enumerate(value[:64]):
            data[(at * 31 + byte) % len(data)] ^= byte
        _header(bytes(data))


def _contract(value: bytes) -> None:
    found = contract.read(value, 'contract.yaml')
    for column in found.columns.values():
        if column.pattern is not None:
            column.pattern.matches('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab')


def _pattern(value: bytes) -> None:
    found = linear.Linear(value.decode('utf-8', 'replace')[:200])
    found.matches('ab' * 500)


def _gate(value: bytes) -> None:
    document = {'acc': 0.5, 'list': [1, 2.5], 'text': 'x', 'big': 2**62, 'a': {'b': True}}
    evaluate(value.decode('utf-8', 'replace'), lambda _: document)


def _comment(value: bytes) -> None:
    found = strictjson.read(value, 'report.json')
    if isinstance(found, dict):
        text = comment.markdown(found)
        text.encode()
        assert not (said := acting(text)), said


class _SaidBySlurm(Slurm):
    def __init__(self, text: bytes) -> None:
        super().__init__()
        self._text = text.decode(errors='replace')

    def ask(self, *words: str, given: str = '') -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(words, 0, self._text, self._text)


def _slurm(value: bytes) -> None:
    slurm = _SaidBySlurm(value)
    for asked in (slurm.rows, slurm.since, lambda: slurm.accounted(1), lambda: slurm.submit((), ''),
                  lambda: partitions.facts(slurm, ()), lambda: partitions.check(slurm, ('--partition=gpu',))):
        with suppress(*FROM_CLUSTERS):
            asked()


class _SaidByRay(Ray):
    def __init__(self, text: bytes) -> None:
        super().__init__()
        self._text = text

    def ask(self, path: str, asked: Mapping[str, Any] | None = None, *, post: bool = False) -> Any:
        return _json(self._text)


def _ray(value: bytes) -> None:
    found = _json(value)
    number_of(value.decode('utf-8', 'replace'))
    engine = RayEngine()
    status = {'data': {'clusterStatus': {'loadMetricsReport': {'nodeTypes': found}}}}
    engine._ray = _SaidByRay(json.dumps(status if isinstance(found, list) else found).encode())
    for asked in (lambda: engine.facts(()), lambda: engine.check(()), engine.looked):
        with suppress(*FROM_CLUSTERS):
            asked()
    engine._ray = _SaidByRay(value)
    with suppress(*FROM_CLUSTERS):
        engine.looked()


class _SaidByKubernetes(Api):
    def __init__(self, value: bytes) -> None:
        super().__init__('k8s://a/b/c', '')
        self._value = value

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        return self._read(200, self._value)


def _cluster(value: bytes) -> None:
    there = cluster.Cluster('k8s://a/b/c', _SaidByKubernetes(value), read_url('k8s://a/b/c'), 'b', read_words('image=x'))
    for asked in (there.rows, there.claim, there.nodes, there.version, lambda: there.event('x'), lambda: checks.facts(there),
                  lambda: checks.check(there), lambda: there.end('s.1')):
        with suppress(*FROM_CLUSTERS, Silent, Status):
            asked()


def _kube(value: bytes) -> None:
    for code in (200, 401, 403, 500):
        with suppress(*FROM_CLUSTERS, Silent, Status):
            found = Api('k8s://a/b/c', '')._read(code, value)
            rows = [row for row in found.get('items', [found]) if isinstance(row, dict)] if isinstance(
                found.get('items', [found]), list) else []
            pods = states.pods_of(rows)
            for row in rows:
                states.name_of(row)
                for pod in (None, *pods.values()):
                    states.of(row, pod)
                    if pod is not None:
                        states.is_ready(pod)


def _outcome(value: bytes) -> None:
    found = _json(value)
    if isinstance(found, dict):
        hosted.from_json('attempt', found)


def _sighting(value: bytes) -> None:
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from mlops_cli.fsio.paths import Root

    with TemporaryDirectory() as folder:
        Path(folder, '.mlops/local/hosts').mkdir(parents=True)
        Path(folder, '.mlops/local/hosts/h.json').write_bytes(value)
        with Root(folder) as root:
            sightings.last(root, 'h', 'ssh://h')


def _statement(value: bytes) -> None:
    found = strictjson.read(value, 'x.json')
    envelope = None
    if isinstance(found, dict) and 'payload' in found:
        envelope = dsse.read(found)
        found = strictjson.read(envelope.payload, 'x.json')
    lineage_verify._require_statement(found)
    for path in ('', '/nonexistent/x'):
        subjects = list(lineage_verify._subjects(found, path, '/nonexistent'))
        assert not any(one.path and '..' in one.path.split('/') for one in subjects), subjects
    lineage_verify._lines('x.json', '', (), subjects, lineage_verify._made(found))


def _hook(value: bytes) -> None:
    data = b'#!/bin/sh\n' + hooks.MARK + b'\n' + value
    hooks._projects(data)


def _prices(value: bytes) -> None:
    with suppress(UserError):
        catalogue.read_catalogue(io.StringIO(value.decode('utf-8-sig', 'replace'), newline=''), 'list.csv', '2026-11-20')


def _packed(value: bytes) -> bytes:
    return gzip.compress(value)


FROM_CLUSTERS = (UserError, Unreachable, *(getattr(partitions, name) for name in ('Refused', 'Silent')))
TARGETS: Mapping[str, Callable[[bytes], object]] = {
    'model': _version, **{kind: _fact(kind) for kind in models.KINDS}, 'settings': _settings, 'prices': _prices, 'bill': _bill,
    'spent': lambda value: spending.read(value), 'usage': series.decode, 'header': _header, 'archive': _zipped,
    'contract': _contract, 'pattern': _pattern, 'gate': _gate, 'report': _comment, 'slurm': _slurm, 'ray': _ray, 'kube': _kube,
    'cluster': _cluster,
    'outcome': _outcome, 'sighting': _sighting, 'hook': _hook, 'statement': _statement,
}
_COMMON = {'name': 'digits', 'who': 'Ada', 'email': 'ada@example.org', 'host': 'h', 'when': '2026-11-20T10:15:22Z',
           'text': 'first'}
_DIGEST = f'blake3:{DIGITS}'
VERSION = {
    **_COMMON, 'schema': 'mlops/model/v1', 'number': 1, 'path': 'best.bin', 'model': ['file', _DIGEST, 5], 'sha256': DIGITS,
    'stage': 'train', 'results': [['train', _DIGEST, '01234567']], 'commit': 'f' * 40, 'branch': 'main',
    'made': {'run': '20261120T101500Z-7k2m9q4c', 'who': 'Ada'}, 'metrics': [['best.json', 'accuracy', 0.97]],
    'params': [['params.yaml:rate', 0.1]], 'data': [['in.csv', _DIGEST]], 'code': [['train.py', _DIGEST]],
    'commands': [['train', 'python train.py']], 'checks': ['validate'],
    'environment': {'platform': 'Linux', 'packages': {'a': '1'}},
    'usage': {'cpu_seconds': 4.0, 'gpu_seconds': 1.0}, 'seconds': 2.5, 'left_out': {'params': 1}, 'changed': ['in.csv'],
    'signature': '',
}  # fmt: skip
FACTS = {
    'promotion': {'alias': 'prod', 'decision': 'promote', 'follows': [_DIGEST], 'approvals': [_DIGEST],
                  'gates': ['gate passed'], 'signature': ''},
    'approval': {'alias': 'prod', 'signature': ''}, 'tag': {'off': False, 'text': 'use-case=ocr'}, 'note': {},
}  # fmt: skip


def fact(kind: str) -> dict[str, Any]:
    return {**_COMMON, 'schema': f'mlops/model-{kind}/v1', 'version': _DIGEST, **FACTS[kind]}


CONFIG = """\
currency: EUR
budgets: {month: 500, branch: 1e2, run: 0}
prices:
  gpu1: [{from: 2026-01-01, hour: 2.1, source: "offer", checked: 2026-02-01}, {hour: 1, memory: 32GiB, gpus: 8, gpu: L4}]
  here: {hour: 0.12, watts: 180, kwh: 0.31, co2: 380}
models:
  "*": {prod: {gates: ["best.json:accuracy >= 0.9"], checks: [validate], approvals: 1, approvers: ["*@x.org"], signed: true,
        expires: 30d, after: [staging]}}
hosts:
  a: {url: "slurm://ada@login:22/scratch/ada", desc: d, python: python3, path: "/opt/bin:~/bin", submit: "--partition=gpu"}
  b: {url: "ray://head:8265/x"}
  c: {url: "k8s://ctx/ns/claim/f", submit: "image=python:3.12"}
remotes: {r: {url: "s3://b/p", desc: d, price: 0.02}}
"""
CONTRACT = """\
version: 1
rows: {min: 1, max: 100}
extra_columns: true
unique: [id, [a, b]]
columns:
  id: {type: integer, nullable: false, min: 0, max: 9}
  a: {type: string, pattern: "[a-z]{2,5}(x|y)*", values: [ab, cd, ef], max_null_share: 0.1}
  b: {type: date, min: 2026-01-01, max_age: 9000d, required: false, desc: d}
"""
GPUHUNT = """\
instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot
big.8,east,40.5,96,1024,8,H100,80,False
big.8,east,12.5,96,1024,8,H100,80,True
"""
BILL = """\
line_item_unblended_cost,line_item_usage_start_date,line_item_usage_end_date,line_item_currency_code,resource_tags_user_mlops
6.0,2026-10-01T00:00:00Z,2026-10-01T01:00:00Z,USD,gpu1
"""
DATABRICKS = {'usage_start_time': '2026-10-01 00:00:00 UTC', 'usage_quantity': 1.5, 'sku_name': 'JOBS', 'list_cost': 2,
              'custom_tags': [['mlops', 'gpu1']], 'usage_metadata': {'cluster_id': 'c'}}
REPORT = {
    'schema': 'mlops/ci-report/v1', 'project': 'p', 'before': 'main', 'commit': 'f' * 40,
    'run': {'id': 'r', 'ended': 'done', 'seconds': 1.5, 'saved_seconds': 60, 'fresh': 1,
            'stages': [{'stage': 'train', 'state': 'done', 'seconds': 1}],
            'cost': {'amounts': {'USD': 1.5}, 'unknown': 1, 'gpu_hours': 0.5}},
    'stages': [{'stage': 'train', 'status': 'changed'}], 'same_stages': 2,
    'metrics': [{'stage': 'train', 'name': 'acc', 'primary': True, 'goal': 'max', 'instances': 2, 'before': 0.5, 'after': 0.6,
                 'spread_before': [0.4, 0.6], 'spread_after': [0.5, 0.7], 'verdict': 'better', 'counts': {'better': 2}}],
    'params': [{'name': 'rate', 'before': 1, 'after': [1]}], 'commands': [{'name': 'train', 'before': 'a', 'after': 'b'}],
    'code': [{'path': 'a.py', 'status': 'changed', 'added': 3, 'removed': 1}],
    'data': [{'path': 'd', 'size_before': 5, 'size_after': 6, 'files': [1, 2, 3]}],
    'environment': [{'name': 'python', 'before': '3.11', 'after': '3.12'}],
    'gates': [{'stage': 'g', 'expression': 'a:b > 1', 'passed': True}],
    'approvals': [{'model': 'm', 'version': 'v1', 'alias': 'prod', 'needed': 1, 'approved': [], 'approvers': ['ada'],
                   'refusals': ['no']}],
}  # fmt: skip
POD = {'metadata': {'name': 'p', 'creationTimestamp': '2026-10-01T00:00:00Z', 'labels': {'job-name': 'j'},
                    'annotations': {'mlops.name': 's.1'}},
       'status': {'phase': 'Running', 'reason': 'Evicted', 'message': 'm',
                  'conditions': [{'type': 'Failed', 'status': 'True', 'reason': 'DeadlineExceeded', 'message': 'x'},
                                 {'type': 'PodScheduled', 'status': 'False', 'lastTransitionTime': '2026-10-01T00:00:00Z'}],
                  'containerStatuses': [{'state': {'waiting': {'reason': 'ErrImagePull'}, 'terminated': {'exitCode': 1}}}]}}
OUTCOME = {'ending': 'exited', 'exit_code': 0, 'killed': 0, 'message': '', 'code': 0, 'outputs': [['o', 'file', _DIGEST, 3]],
           'usage': {'wall_seconds': 1.0, 'cpu_seconds': 1.0, 'memory_peak_bytes': 5}, 'checkpoint': None, 'spent': 3}
SIGHTING = {'schema': 'mlops/host-seen/v1', 'url': 'ssh://h', 'seen': '2026-11-20T10:15:22Z', 'cpus': 4, 'memory_bytes': 5,
            'free_bytes': 6, 'gpus': [{'uuid': 'u', 'name': 'L4', 'memory_bytes': 7, 'free_bytes': 8}], 'slurm': {'gpus': 2}}


def _bytes(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


STATEMENT = {
    '_type': 'https://in-toto.io/Statement/v1', 'predicateType': 'https://slsa.dev/provenance/v1',
    'subject': [{'name': 'a/b.bin', 'digest': {'sha256': DIGITS}}, {'name': 'a/c', 'digest': {'sha256': DIGITS}}],
    'predicate': {'buildDefinition': {'externalParameters': {'stage': 's', 'command': 'c'}, 'resolvedDependencies': [{}]},
                  'runDetails': {'metadata': {'invocationId': '1-2', 'startedOn': 'now'}}},
}  # fmt: skip
ENVELOPE = dsse.document(dsse.Envelope(dsse.IN_TOTO, json.dumps(STATEMENT).encode(), (('k', b's'),)))


def _archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('schema.json', '{"__class__": "Forest", "__module__": "sklearn.ensemble"}')
    return made.getvalue()


_TENSORS = _bytes({'__metadata__': {}, 'w': {'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 24]}})
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    'model': (_bytes(VERSION),), **{kind: (_bytes(fact(kind)),) for kind in FACTS}, 'settings': (CONFIG.encode(),),
    'prices': (GPUHUNT.encode(), b'name,hour,cpus,from,source\ngpu1,2.1,8,2026-01-01,x\n'),
    'bill': (BILL.encode(), _bytes(DATABRICKS),
             b'timestamp,sku,dbus,cluster_name,tags\n2026-10-01,JOBS,2,c,{"mlops": "gpu1"}\n'),
    'spent': (b'{"item": "tokens", "quantity": 1200, "unit": "1k", "amount": 0.15, "currency": "USD"}\n',),
    'usage': (series.HEAD + b'[0.5,0.1,100,0,0]\n[1.5,0.3,200,5,null]\n',),
    'header': (len(_TENSORS).to_bytes(8, 'little') + _TENSORS + b'\0' * 24, _archive(), b'\x08\x07\x12\x04skl2\x1a\x011:\x00',
               b'\x80\x04x'),
    'archive': (b'\0' * 8, bytes(range(64))),
    'contract': (CONTRACT.encode(),), 'pattern': (b'[a-z]{2,5}(x|\\d+)*.?', b'((a|b){3}){4}'),
    'gate': (b'best.json:acc >= 0.9 and len(m.json:list) > 1', b'abs(m.json:a.b - 2 ** 3) < max(m.json:list)'),
    'report': (_bytes(REPORT),),
    'slurm': (b'gpu*|up|node1|idle|8|32000|gpu:a100:4(S:0)\ncpu|up|node2|down*|8|32000+|(null)\n',
              b'17|PENDING|BadConstraints|train.0\n', b'BOOT_TIME = 2026-10-01T00:00:00\n', b'17;cluster\n'),
    'ray': (_bytes([[{'CPU': 8, 'memory': 5, 'GPU': 1}, 2]]),
            _bytes([{'submission_id': 's.0123456789abcdef', 'status': 'RUNNING'}])),
    'cluster': (_bytes({'items': [POD], 'metadata': {'uid': 'u'},
                        'status': {'accessModes': ['ReadWriteMany'], 'allowed': True}}),),
    'kube': (_bytes({'items': [POD]}), _bytes({'message': 'no', 'code': 403})), 'outcome': (_bytes(OUTCOME),),
    'statement': (_bytes(STATEMENT), _bytes(ENVELOPE)), 'sighting': (_bytes(SIGHTING),),
    'hook': (b"# project: 'a b'\n# project: .\nmlops=/usr/bin/mlops\n",),
}  # fmt: skip
TOKENS = (
    b'@', b'%', b'!', b'www.x.org', b'https://x.org', b'@ada', b'#1', b'![x](y)', b'<b>', b'</code>', b'|', b'`', b'\\',
    b'&amp;', b'{999}', b'(){9}', b'(?:', b'[^', b'--wrap=x', b'k8s://', b'slurm:///', b'9' * 400, b'1e400', b'\xc2\xb2',
    b'2026-02-30', b'0001-01-01', b'9999-12-31T23:59:59+14:00', b'P', b',"', b'mlops/model/v1', b'v1', b'latest', b'::error::',
    b"'",
)  # fmt: skip
