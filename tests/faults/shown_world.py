"""For row S6: a project with a hostile text in every field of models, costs, hosts, checks and reports that is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.faults import readers
from tests.faults.hostile import World
from tests.faults.loaders import MODEL, TABLE, version_of
from tests.faults.loading import RUN, canonical_document
from tests.faults.tools import Tool, git

RECORD = '.mlops/runs/2026-11'
Commands = list[tuple[str, ...]]
PIPELINE = {'cmd': 'python3 say.py; cp made.bin best.bin; cp spent.jsonl "$MLOPS_COST"', 'deps': ['made.bin', 'spent.jsonl'],
            'params': ['text'], 'outs': ['best.bin'], 'model': {'name': 'digits', 'path': 'best.bin'}}
FIELDS: tuple[dict[str, Any], ...] = (
    {'text': '@'}, {'who': '@'}, {'email': '@', 'host': '@'}, {'branch': '@', 'commit': '@'}, {'stage': '@'},
    {'changed': ['@']},
    {'params': [['@', '@'], ['a', {'@': ['@']}]]}, {'commands': [['train', '@']]}, {'metrics': [['@', '@', 1.5]]},
    {'made': {'who': '@', 'run': '@', 'host': '@', 'when': '@'}}, {'environment': {'@': '@', 'packages': {'@': '@'}}},
    {'checks': ['@']}, {'path': 'a@b'}, {'data': [['@', f'blake3:{readers.DIGITS}']]}, {'usage': {'@': 1.0}},
    {'left_out': {'@': 1}}, {'signature': '@'},
)  # fmt: skip


def _with(value: Any, text: str) -> Any:
    """``@`` in a plain value is the text."""
    if isinstance(value, str):
        return text if value == '@' else value.replace('@', text.replace('/', '')) if value == 'a@b' else value
    if isinstance(value, list):
        return [_with(one, text) for one in value]
    return {_with(key, text): _with(one, text) for key, one in value.items()} if isinstance(value, dict) else value


def _registered(world: World, text: str) -> None:
    from mlops_cli.core.digest import digest_of

    digest = digest_of(MODEL)
    world.write(f'.mlops/cache/objects-v1/{digest.hex[:2]}/{digest.hex[2:]}', MODEL)
    for number, field in enumerate(FIELDS, 1):
        data = canonical_document({**version_of(), 'number': number, **_with(field, text)})
        world.write(f'.mlops/models/digits/versions/v{number}-{digest_of(data).hex[:8]}.json', data)
        named = {'name': 'other', 'number': number, 'text': '', **_with(field, text)}
        if all(ord(one) > 31 for one in text):  # what is refused hides the rest of a model
            data = canonical_document({**version_of(), **named})
            world.write(f'.mlops/models/other/versions/v{number}-{digest_of(data).hex[:8]}.json', data)
    version = str(digest_of(data))
    for kind, folder in (('approval', 'approvals'), ('promotion', 'aliases/prod'), ('note', 'notes')):
        for field in ({'text': '@'}, {'who': '@'}, {'email': '@', 'host': '@'}, {'gates': ['@']}):
            if kind != 'promotion' and 'gates' in field:
                continue
            found = readers.fact(kind) | {'version': version} | _with(field, text)
            data = canonical_document(found | ({'follows': [], 'approvals': []} if kind == 'promotion' else {}))
            world.write(f'.mlops/models/digits/{folder}/20261120T101522Z-{digest_of(data).hex[:16]}.json', data)


def make(tool: Tool, folder: Path, text: str, held: str) -> Commands:
    """``held``: the text where a file that a person writes takes it, else something plain."""
    world = Plain(folder)
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main')
    git(folder, 'config', 'user.name', text.replace('\n', ' ').replace('<', '').replace('>', '') or 'x')
    world.write('made.bin', MODEL)
    world.write('say.py', f'print({text!r})\n')
    world.write('params.yaml', json.dumps({'text': 1}))
    world.write('spent.jsonl', json.dumps({'item': text[:60], 'quantity': 1, 'unit': text[:60]}) + '\n' + text)
    world.write('pipeline.yaml', json.dumps({'version': 1, 'name': held, 'stages': {'train': PIPELINE}}))
    tool.do(folder, 'run')
    git(folder, 'add', '-A')
    git(folder, 'commit', '-q', '-m', 'one')
    world.write('params.yaml', json.dumps({'text': held}))
    tool.do(folder, 'run')
    for record in folder.glob('.mlops/runs/*/*.json'):
        found = json.loads(record.read_text()) | {'who': text, 'host': text, 'branch': text, 'command': ['mlops', text]}
        record.write_text(json.dumps(found | {'places': [[text[:200], 1, text[:200], [0]]]}))
    world.write(f'{RECORD}/{RUN}.json', '{"schema": ' + json.dumps(text) + '}')
    _registered(world, text)
    world.write('.mlops/config.yaml', json.dumps({
        'prices': {held.strip() or 'x': {'hour': 1, 'source': held or 'x', 'gpu': held or 'x'}, 'here': {'hour': 1}},
        'hosts': {'h': {'url': 'ssh://h/x', 'desc': held}}, 'remotes': {'r': {'url': 's3://b/p', 'desc': held}},
        'models': {'digits': {'prod': {'approvals': 1, **{key: [held or 'x'] for key in ('approvers', 'gates', 'checks')}}}},
    }))  # fmt: skip
    sighting = {**readers.SIGHTING, 'url': 'ssh://h/x', 'seen': text, 'gpus': [{'uuid': text, 'name': text}]}
    world.write('.mlops/local/hosts/h.json', json.dumps(sighting))
    cell = json.dumps(text)
    world.write('data.csv', f'{cell},{TABLE.replace(chr(10), f"{chr(10)}{cell},", 3)}')
    world.write('contract.yaml', json.dumps({'version': 1, 'unique': [held], 'columns': {
        held: {'type': 'integer', 'values': [1], 'desc': held}, 'a': {'pattern': 'x'}}}))  # fmt: skip
    world.write('list.csv', f'name,hour,source\n{cell},1,{cell}\n{cell},x,y\n')
    world.write('bill.csv', f'timestamp,sku,dbus,cluster_name\n2026-10-01,{cell},2,{cell}\n{cell},x,1,y\n')
    world.write('report.json', json.dumps(_with(_everywhere(readers.REPORT), text) | {'schema': readers.REPORT['schema']}))
    return commands(text or 'x')


def _everywhere(value: Any) -> Any:
    """``@`` for each text in a plain value; what it chooses between stays."""
    kept = ('done', 'changed', 'max', 'better', 'USD')
    if isinstance(value, str):
        return value if value in kept else '@'
    if isinstance(value, list):
        return [_everywhere(one) for one in value]
    return {key: _everywhere(one) for key, one in value.items()} if isinstance(value, dict) else value


class Plain(World):
    """A project with nothing around it."""

    @property
    def project(self) -> Path:
        return self.top


SHOWING = """\
models list --all; models history digits; models history other; models diff other@v6 other@v7; models verify
models show other@v1; models show other@v4; models show other@v7; models show other@v10; models show other@v13; models show @
models card other@v2; models card other@v5; models card other@v8; models card other@v11; models card other@v14
models promote digits@v1 prod; models register -m @; models note other @; models tag other @; models get other@v1 out
cost report --by user; cost report --by branch --html c.html; cost report --by host --csv; cost report --svg drawn
cost prices -v; cost prices --import list.csv --dry-run; cost report --bill bill.csv; cost report --bill @; cost advise -v
hosts list; remote list; hosts add @ ssh://h/x; hosts add g @; runs show latest; runs show latest --usage --html u.html; run -f
check data data.csv -o d.html -o d.md; check data data.csv -c new.yaml --init; check overlap data.csv bill.csv; check data @
check fairness data.csv --group sex -o f.html -o f.md; storage show; reproduce last; hooks run pre-commit
ci report --base HEAD; ci report --from report.json; ci report --json; ci report --base @
export airflow; export argo --image @; export snakemake
"""


def commands(word: str) -> Commands:
    lines = SHOWING.replace('\n', ';').split(';')
    return [tuple(word if part == '@' else part for part in line.split()) for line in lines if line.strip()]
