"""For row S2: files about models, costs, hosts, checks, hooks and CI."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from mlops_cli import ssh
from mlops_cli.ci import hooks
from mlops_cli.core.digest import digest_of
from mlops_cli.records import models
from mlops_cli.registry.signing import NAMESPACE
from mlops_cli.usage import series
from tests.faults import readers
from tests.faults.hostile import PIPELINE, World
from tests.faults.loading import RUN, Loader, Words, at, canonical_document, plain_lines, uses
from tests.faults.tools import git

MODEL = b'model\n'
WHEN = '20261120T101522Z'
PRICED = """\
currency: USD
prices: {here: {hour: 1, watts: 100, kwh: 0.3, gpu_hour: 2}, h: [{from: 2026-01-01, hour: 2, cpus: 4, memory: 8GiB}]}
budgets: {run: 1000}
hosts: {h: {url: "ssh://h.invalid/x"}}
models: {digits: {prod: {gates: ["best.json:accuracy > 0.5"], approvals: 1, approvers: ["*"]}}}
"""
OF_MODEL = PIPELINE.replace('    outs: [made]\n', '    outs: [made]\n    model: {name: digits, path: made}\n')
SPENDING = PIPELINE.replace('cmd: mkdir -p made', 'cmd: cp spent.jsonl "$MLOPS_COST"; mkdir -p made')
TABLE = 'id,a,b,label,prediction,sex\n1,ab,2026-01-02,1,1,f\n2,cd,2026-01-03,0,1,m\n3,ab,2026-01-04,1,0,m\n'


def version_of(content: bytes = MODEL) -> dict[str, Any]:
    return {**readers.VERSION, 'model': ['file', str(digest_of(content)), len(content)],
            'sha256': hashlib.sha256(content).hexdigest()}  # fmt: skip


def _file(content: bytes, folder: str, prefix: str, digits: int) -> str:
    found = digest_of(content.replace(b'\r\n', b'\n')).hex[:digits]
    return f'.mlops/models/digits/{folder}/{prefix}-{found}.json'


def registered(world: World, content: bytes = MODEL, sign: Callable[[bytes], str] | None = None) -> None:
    """Two versions of a model that is in the cache, one promoted, approved, tagged and noted."""
    digest = digest_of(content)
    world.write(f'.mlops/cache/objects-v1/{digest.hex[:2]}/{digest.hex[2:]}', content)
    versions = []
    for number in (1, 2):
        found = {**version_of(content), 'number': number, 'text': f'number {number}'}
        found |= {'signature': sign(models.signed_part(found))} if sign else {}
        versions.append(canonical_document(found))
    for number, data in enumerate(versions, 1):
        world.write(_file(data, 'versions', f'v{number}', 8), data)
    for kind, folder in (('approval', 'approvals'), ('promotion', 'aliases/prod'), ('tag', 'tags'), ('note', 'notes')):
        found = readers.fact(kind) | {'version': str(digest_of(versions[0])), 'who': 'Ben', 'email': 'ben@example.org'}
        data = canonical_document(found | ({'follows': [], 'approvals': []} if kind == 'promotion' else {}))
        world.write(_file(data, folder, WHEN, 16), data)
    world.write('.mlops/config.yaml', PRICED)
    world.write('pipeline.yaml', OF_MODEL)


def _named(folder: str, prefix: str, digits: int) -> Callable[[World, str, bytes], str]:
    """Where it has to stand to be read."""
    return lambda _world, _rel, data: _file(data, folder, prefix, digits)


def _version_named(_: World, _rel: str, data: bytes) -> str:
    try:
        number = json.loads(data)['number']
    except (ValueError, KeyError, TypeError, RecursionError):
        number = 3
    return _file(data, 'versions', f'v{number}' if type(number) is int and 0 < number < 10**7 else 'v3', 8)


def _as_model(world: World, _rel: str, data: bytes) -> str:
    """The content of a model."""
    content = data or b'x'
    registered(world, content)
    digest = digest_of(content)
    return f'.mlops/cache/objects-v1/{digest.hex[:2]}/{digest.hex[2:]}'


def _signed(world: World) -> None:
    key = world.top / 'key'
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(key)], check=True, stdin=subprocess.DEVNULL)
    registered(world, sign=lambda data: ssh.sign(data, str(key), NAMESPACE))


def _committed(world: World, rel: str, data: bytes) -> str:
    """Read as the default branch has it."""
    world.write(rel, data)
    git(world.project, 'add', '-f', '--', rel)
    git(world.project, 'commit', '-q', '--allow-empty', '-m', 'who signs')
    return rel


def _priced(world: World) -> None:
    world.write('.mlops/config.yaml', PRICED)


def _spending(world: World) -> None:
    _priced(world)
    world.write('pipeline.yaml', SPENDING)


def _seen(world: World) -> None:
    _priced(world)
    world.write('.mlops/config.local.yaml', 'hosts: {h: {url: "ssh://h.invalid/x"}}\n')
    world.write('pipeline.yaml', PIPELINE.replace('  use:\n', '  use:\n    host: any\n'))


def _checked(world: World) -> None:
    world.write('data.csv', TABLE)
    world.write('contract.yaml', readers.CONTRACT)
    world.write('other.csv', TABLE)


def _hooked(world: World) -> None:
    git(world.project, 'config', 'core.hooksPath', 'hooks')


def _set(world: World) -> None:
    registered(world)
    world.write('list.csv', 'name,hour\nsmall,1\n')


def _plain(text: str) -> Any:
    """Of YAML, in which days are text."""
    return yaml.load(text, yaml.BaseLoader) and _typed(yaml.load(text, yaml.BaseLoader))


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_typed(one) for one in value]
    try:
        return json.loads(value)
    except ValueError:
        return value


def _hook(value: Any) -> bytes:
    lines = map(str, value if isinstance(value, list) else [value])
    return b'#!/bin/sh\n' + hooks.MARK + b'\n' + '\n'.join(lines).encode('utf-8', 'surrogatepass')


def _zipped(value: Any) -> bytes:
    import io
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(made, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('list.csv', json.dumps(value))
    return made.getvalue()


def _series(world: World) -> str:
    found = sorted((world.project / '.mlops/local/logs').rglob('make.log'))
    return f'{found[-1].relative_to(world.project)}{series.SUFFIX}'


ACCOUNTED = {
    'schema': 'mlops/run/v1', 'id': RUN, 'started': '2026-11-20T10:15:22Z', 'seconds': 100.5, 'ended': 'done', 'fresh': 0,
    'saved_seconds': 0.0,
    'stages': [['make', 'done', 'a' * 64, 'a' * 8, 60.0, 0, 1.0, 2], ['use', 'done', 'b' * 64, 'b' * 8, 40.0, 0, 1.0, 2]],
    'command': ['mlops', 'run'], 'who': 'w', 'host': 'gpu1', 'commit': '', 'branch': 'main', 'set': [],
    'metrics': [], 'environment': {}, 'fresh_stages': [], 'values': [], 'places': [['h', 1, 'NVIDIA L4', [0]]],
    'gpu_shares': [[0.5, [0]]], 'earlier': [[1, 2, 3.5, 1.5]],
    'spent': [[0, 'tokens', '1k', 5, 0.15, 'USD'], [0, 'labels', '', 4, None, '']],
}  # fmt: skip
MODELS: Words = (
    ('models', 'list', '--all'), ('models', 'show', 'digits'), ('models', 'history', 'digits'), ('models', 'card', 'digits@v1'),
    ('models', 'diff', 'digits@v1', 'digits@v2'), ('models', 'verify'), ('models', 'get', 'digits@prod', 'out'),
    ('models', 'approve', 'digits@v2', 'prod'), ('models', 'promote', 'digits@v2', 'prod'),
    ('models', 'rollback', 'digits', 'prod'), ('models', 'tag', 'digits', 'x'), ('models', 'note', 'digits', 'x'),
    ('models', 'register'), ('status',), ('gc', '--dry-run'), ('ci', 'report'), ('lineage', 'upstream', 'made'),
    ('doctor',), ('storage', 'show'),
    ('cost', 'report', '--by', 'model'), ('reproduce', 'digits@v1'), ('runs', 'list'),
)  # fmt: skip
COSTS: Words = (
    ('cost', 'report'), ('runs', 'list'), ('runs', 'show'), ('cost', 'report', '--by', 'host', '--html', 'x.html'), ('status',),
    ('cost', 'report', '--by', 'month', '--json'), ('cost', 'advise', '-v'), ('plan',),
    ('runs', 'show', '--usage', '--html', 'y.html'),
    ('cost', 'report', '--svg', 'drawn'), ('cost', 'report', '--csv', '--by', 'user'), ('run', '--dry-run'), ('ci', 'report'),
    ('runs', 'diff', 'last~1', 'last'), ('cost', 'report', '--by', 'model'),
)  # fmt: skip
SETTINGS: Words = (
    ('status',), ('config', 'list', '-v'), ('cost', 'prices', '-v'), ('hosts', 'list'), ('remote', 'list'), ('cost', 'report'),
    ('plan',), ('models', 'promote', 'digits@v1', 'prod'), ('models', 'verify'), ('ci', 'report'), ('storage', 'show'),
    ('cost', 'advise'), ('config', 'set', 'jobs', '2'), ('cost', 'prices', '--import', 'list.csv', '--type', 'small'),
    ('doctor',),
)  # fmt: skip
HOSTS: Words = (('hosts', 'list'), ('plan',), ('cost', 'advise', '-v'), ('hosts', 'list', '--json'), ('run', '--dry-run'),
    ('status',))
CHECKS: Words = (
    ('check', 'data', 'data.csv'), ('check', 'data', 'data.csv', '-o', 'r.html', '-o', 'r.md', '--json'),
    ('check', 'fairness', 'data.csv', '--group', 'sex', '-o', 'f.html', '-o', 'f.md'),
    ('check', 'overlap', 'data.csv', 'other.csv'),
    ('check', 'data', 'data.csv', '-c', 'new.yaml', '--init'), ('check', 'overlap', 'data.csv', 'other.csv', '--key', 'a'),
    ('status',), ('data', 'show', 'data/raw'),
)  # fmt: skip
HOOKS: Words = (('hooks', 'install'), ('hooks', 'run', 'pre-commit'), ('hooks', 'uninstall'), ('status',))
BILLS: Words = (('cost', 'report', '--bill', 'bill.csv'), ('cost', 'report', '--bill', 'bill.csv', '--by', 'user', '--json'))
WORKFLOWS: Words = (('ci', 'init', 'github'), ('ci', 'init', 'github', '--force'))
USAGE: Words = (('runs', 'show', '--usage'), ('runs', 'show', '--usage', '--html', 'x.html'), ('cost', 'advise'),
    ('runs', 'show', '--usage', '--svg', 'drawn'))
_LISTED = ('cost', 'prices', '--import', 'list.csv')

LATER: Mapping[str, Loader] = {
    'model': Loader(at('model'), 'json', MODELS, False, valid=version_of(), written=canonical_document, renamed=_version_named,
        prepare=registered),
    **{kind: Loader(at(kind), 'json', MODELS, False, valid=readers.fact(kind), written=canonical_document,
        renamed=_named(folder, WHEN, 16), prepare=registered) for kind, folder in (
            ('promotion', 'aliases/prod'), ('approval', 'approvals'), ('tag', 'tags'), ('note', 'notes'))},
    'model file': Loader(at('content'), 'binary', MODELS[1:7], False, renamed=_as_model),
    'signers': Loader(at('.mlops/trust'), 'lines', (('models', 'verify'), ('models', 'show', 'digits@v1')), False,
        renamed=_committed, prepare=_signed),
    'settings': Loader(at('.mlops/config.yaml'), 'yaml', SETTINGS, valid=_plain(readers.CONFIG), prepare=_set),
    'run with costs': Loader(at(f'.mlops/runs/2026-11/{RUN}.json'), 'json', COSTS, False, valid=ACCOUNTED, prepare=_priced),
    'spent': Loader(at('spent.jsonl'), 'lines', (('run', '--force', 'make'), ('runs', 'show'), ('cost', 'report')), False,
        valid=[{'item': 'x', 'quantity': 12, 'unit': '1k', 'amount': 0.15, 'currency': 'USD'}], written=plain_lines,
        prepare=_spending),
    'usage series': Loader(_series, 'lines', USAGE, False, valid=[[0.5, 0.1, 100, 0, 0], [1.5, 0.3, 200, 5, None]],
        written=lambda value: series.HEAD + plain_lines(value)),
    'host seen': Loader(at('.mlops/local/hosts/h.json'), 'json', HOSTS, False,
        valid=readers.SIGHTING | {'url': 'ssh://h.invalid/x'}, prepare=_seen),
    'contract': Loader(at('contract.yaml'), 'yaml', CHECKS[:2], valid=_plain(readers.CONTRACT), prepare=_checked),
    'table to check': Loader(at('data.csv'), 'table', CHECKS, None, prepare=_checked),
    'price list': Loader(at('list.csv'), 'table', (_LISTED, (*_LISTED, '--dry-run')), False, prepare=_priced),
    'price archive': Loader(at('list.csv'), 'binary', (_LISTED,), False, valid=['name', 'hour'], written=_zipped,
        prepare=_priced),
    'bill': Loader(at('bill.csv'), 'table', BILLS, False, prepare=_priced),
    'bill of Databricks': Loader(at('bill.csv'), 'lines', BILLS, False, prepare=_priced),
    'report': Loader(at('report.json'), 'json', (('ci', 'report', '--from', 'report.json'),), False, valid=readers.REPORT),
    'hook': Loader(at('hooks/pre-commit'), 'lines', HOOKS, False, valid=["# project: 'a'", 'mlops=x'], written=_hook,
        prepare=_hooked),
    'workflow': Loader(at('.github/workflows/mlops.yml'), 'yaml', WORKFLOWS, False),
    'exported': Loader(at('Snakefile'), 'code', (('export', 'snakemake'), ('export', 'snakemake', '--force')), False,
        prepare=uses(PIPELINE)),
}  # fmt: skip
