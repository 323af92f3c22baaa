"""For row S1: the places of models, hosts, hooks, workflows and written pages, and the commands that read or write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from mlops_cli.ci import hooks
from mlops_cli.core.digest import digest_of
from tests.faults.hostile import PIPELINE, World, in_yaml
from tests.faults.loaders import OF_MODEL, PRICED, TABLE, registered, version_of
from tests.faults.loading import Words, canonical_document
from tests.faults.readers import CONTRACT
from tests.faults.tools import git

MODELS: Words = (
    ('models', 'list', '--all'), ('models', 'show', 'digits'), ('models', 'verify'), ('models', 'promote', 'digits@v2', 'prod'),
    ('models', 'approve', 'digits@v2', 'prod'), ('models', 'note', 'digits', 'x'), ('models', 'tag', 'digits', 'y'),
    ('models', 'register'), ('models', 'get', 'digits@v1', 'out'), ('ci', 'report'), ('status',), ('gc', '--dry-run'),
)  # fmt: skip
HOSTS: Words = (('hosts', 'list'), ('plan',), ('cost', 'advise'), ('hosts', 'list', '--json'))
HOOKS: Words = (('hooks', 'install'), ('hooks', 'run', 'pre-commit'), ('hooks', 'uninstall'), ('hooks', 'install'))
PLACES: Mapping[str, tuple[str, Words]] = {
    'signers': ('.mlops/trust', MODELS), 'a model': ('.mlops/models/digits', MODELS),
    'versions': ('.mlops/models/digits/versions', MODELS), 'aliases': ('.mlops/models/digits/aliases', MODELS),
    'an alias': ('.mlops/models/digits/aliases/prod', MODELS), 'notes': ('.mlops/models/digits/notes', MODELS),
    'tags': ('.mlops/models/digits/tags', MODELS), 'approvals': ('.mlops/models/digits/approvals', MODELS),
    'taken out': ('out', (('models', 'get', 'digits@v1', 'out'), ('models', 'get', 'digits@prod', 'out/deep'))),
    'hosts': ('.mlops/local/hosts', HOSTS), 'host seen': ('.mlops/local/hosts/h.json', HOSTS),
    'hooks': ('hooks', HOOKS), 'a hook': ('hooks/pre-commit', HOOKS), 'earlier hook': ('hooks/pre-push.before-mlops', HOOKS),
    'GitHub': ('.github', (('ci', 'init', 'github'), ('ci', 'init', 'github', '--force'))),
    'workflows': ('.github/workflows', (('ci', 'init', 'github'), ('ci', 'init', 'github', '--force'))),
    'workflow': ('.github/workflows/mlops.yml', (('ci', 'init', 'github'), ('ci', 'init', 'github', '--force'))),
    'GitLab': ('.gitlab-ci.yml', (('ci', 'init', 'gitlab'), ('ci', 'init', 'gitlab', '--force'))),
    'page of costs': ('x.html', (('cost', 'report', '--html', 'x.html'),)),
    'page of usage': ('x.html', (('runs', 'show', '--usage', '--html', 'x.html'),)),
    'charts': ('drawn', (('cost', 'report', '--svg', 'drawn'), ('runs', 'show', '--usage', '--svg', 'drawn'))),
    'page of a check': ('r.html', (('check', 'data', 'data.csv', '-o', 'r.html', '-o', 'r.md'),)),
    'Markdown of a check': ('r.md', (('check', 'fairness', 'data.csv', '--group', 'sex', '-o', 'r.md'),)),
    'new contract': ('new.yaml', (('check', 'data', 'data.csv', '-c', 'new.yaml', '--init'),)),
    'Snakefile': ('Snakefile', (('export', 'snakemake'), ('export', 'snakemake', '--force'))),
    'Argo': ('workflow.yaml', (('export', 'argo', '--image', 'x'), ('export', 'argo', '--image', 'x', '--force'))),
    'Airflow': ('dag.py', (('export', 'airflow', '-o', 'dag.py'), ('export', 'airflow', '-o', 'dag.py', '--force'))),
}  # fmt: skip


def prepare(world: World) -> None:
    """All that these commands need."""
    registered(world)
    world.write('data.csv', TABLE)
    world.write('contract.yaml', CONTRACT)
    world.write('.mlops/config.local.yaml', 'hosts: {h: {url: "ssh://h.invalid/x"}}\n')
    git(world.project, 'config', 'core.hooksPath', 'hooks')


def _model(world: World, text: str) -> Words:
    stage = f'    cmd: "true"\n    outs: [x.txt]\n    model: {{name: m, path: {in_yaml(text)}}}\n'
    world.write('pipeline.yaml', f'{PIPELINE}  bad:\n{stage}')
    return ()


def _version(world: World, text: str) -> Words:
    """A version that says that it is such a path."""
    registered(world)
    for field in ({'path': text}, {'changed': [text]}, {'data': [[text, str(digest_of(b''))]]}):
        with suppress(UnicodeEncodeError, ValueError):
            data = canonical_document({**version_of(), 'number': 3, **field})
            world.write(f'.mlops/models/digits/versions/v3-{digest_of(data).hex[:8]}.json', data)
    return (('models', 'get', 'digits@v3', 'out'), ('models', 'show', 'digits'), ('models', 'verify'),
        ('models', 'card', 'digits@v1'), ('ci', 'report'), ('models', 'get', 'digits@v1', 'out'))  # fmt: skip


def _hook(world: World, text: str) -> Words:
    git(world.project, 'config', 'core.hooksPath', 'hooks')
    with suppress(UnicodeEncodeError):
        world.write('hooks/pre-commit', f'#!/bin/sh\n{hooks.MARK.decode()}\n# project: {text}\nmlops={text}\n')
    return HOOKS


def _host(world: World, text: str) -> Words:
    for key, value in (('url', f'ssh://h/{text}'), ('python', text), ('path', text)):
        entry = {'url': 'ssh://h/x', key: value}
        said = ', '.join(f'{name}: {in_yaml(one)}' for name, one in entry.items())
        world.write('.mlops/config.local.yaml', f'hosts: {{h: {{{said}}}}}\n')
    return HOSTS


def _named(world: World, text: str) -> Words:
    """As the words of a person, which may be read from anywhere and never be written through a link."""
    prepare(world)
    world.write('pipeline.yaml', OF_MODEL)
    world.write('.mlops/config.yaml', PRICED)
    if '\0' in text or not text:
        return ()
    return (
        ('models', 'show', text), ('models', 'register', '--', text), ('models', 'note', '--', text, 'x'),
        ('hosts', 'check', '--', text),
        ('check', 'data', '--', text), ('check', 'data', 'data.csv', '-c', text), ('ci', 'report', '--base', text),
        ('ci', 'report', '--from', text), ('cost', 'report', '--bill', text), ('cost', 'prices', '--import', text),
        ('reproduce', '--', text), ('lineage', 'upstream', '--', text), ('hooks', 'run', '--', text),
        ('gate', f'@prod/{text}:a > 0'),
    )  # fmt: skip


FIELDS: Mapping[str, Callable[[World, str], Words]] = {
    'version': _version, 'hook': _hook, 'host': _host, 'argument: later': _named,
}  # fmt: skip
OF_PIPELINES: Mapping[str, Callable[[World, str], Words]] = {'model': _model}
