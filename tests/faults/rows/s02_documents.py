"""S2: documents that mean harm, or are damaged, in place of every file that is read.

No command falls over, hangs or takes much; what a person wrote is told with file and line; what a program wrote and is damaged
counts as absent, or is refused with what to do about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.faults import documents
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.documents import MIB, kinds, mutations
from tests.faults.hostile import PIPELINE, PWNED, Ended, World, command, judge, judge_cost, single, worlds
from tests.faults.loaders import LATER
from tests.faults.loading import (
    RUN,
    Loader,
    Words,
    as_object,
    at,
    canonical_document,
    journal_lines,
    latest,
    named_by_content,
    no_output,
    no_pins,
    pin_lines,
    plain_lines,
    tree_lines,
    uses,
)
from tests.faults.results import default_folder
from tests.faults.tools import REPOSITORY

RICH = {
    'version': 1, 'name': 'n', 'desc': 'd', 'params': 'params.yaml', 'vars': [{'w': 1}], 'include': ['sub/pipeline.yaml'],
    'stages': {
        'all': {
            'cmd': ['true ${w}'], 'deps': ['in.txt', {'path': 'data/raw/f'}, {'stage': 'two'}], 'code': {'auto': True,
            'paths': ['x.py'], 'mode': 'bytes'},
            'params': ['lr', {'params.yaml': ['lr']}], 'outs': ['o.txt', {'p.txt': {'cache': True, 'persist': False,
            'desc': 'd'}}],
            'metrics': [{'m2.json': {'primary': 'acc', 'goals': {'acc': 'max'}, 'tolerance': {'acc': 0.1}}}],
            'plots': [{'q.csv': {'x': 'x', 'y': ['y'], 'title': 't', 'header': True, 'kind': 'line'}}], 'env': ['HOME'],
            'secrets': ['TOKEN'],
            'environment': {'venv': 'requirements.txt'}, 'resources': {'cpus': 1, 'memory': '1GiB', 'gpus': 0, 'seat': 1},
            'timeout': '1h',
            'grace': '1s', 'retry': {'max': 1, 'causes': ['oom']}, 'needs': ['two'], 'mutex': ['m'], 'vars': [{'z': 2}],
            'wdir': '.',
            'frozen': True, 'always_changed': False, 'checkpoint': 'ck', 'caches': ['hub'], 'progress': 'l.jsonl',
            'isolate': 'none',
            'model': {'name': 'm', 'path': 'o.txt'}, 'desc': 'd', 'meta': {'a': 1},
        },
        'two': {'matrix': {'a': [1, 2], 'include': [{'a': 3}], 'exclude': [{'a': 1}]}, 'argv': ['true', '${item.a}'],
        'outs': ['o${item.a}'], 'frozen': True},
        'each': {'foreach': {'k': {'v': 1}}, 'do': {'cmd': 'true ${item.v} ${key}', 'outs': ['e${key}'], 'frozen': True}},
    },
}  # fmt: skip
STATUS: Words = (('status',), ('run',), ('doctor',))
METRICS: Words = (('metrics', 'show'), ('metrics', 'diff', 'HEAD'), ('gate', 'm.json:acc > 0'), ('accept', 'make', '--reason',
    'r'), ('run', '--force', 'make'))
PLOTS: Words = (('plots', 'show'), ('plots', 'show', '--html', 'x.html'), ('plots', 'diff', 'HEAD'), ('run', '--force', 'make'))
RUNS: Words = (('runs', 'list'), ('runs', 'list', '--all'), ('runs', 'show'), ('runs', 'diff', 'last~1', 'last'), ('status',),
    ('metrics', 'diff', 'last'),
               ('lineage', 'upstream', 'm.json'), ('lineage', 'downstream', 'in.txt'), ('runs', 'keep', 'last'), ('plan',
               '-v'), ('doctor',), ('run',))  # fmt: skip
PINS: Words = (('status',), ('plan', '-v'), ('explain', 'use'), ('checkout',), ('metrics', 'show'), ('lineage', 'upstream',
    'data/used.txt'), ('runs', 'show'),
               ('metrics', 'diff', 'last'), ('accept', 'use', '--reason', 'r'), ('run',), ('verify',))  # fmt: skip
STORE: Words = (('verify',), ('status',), ('checkout', 'data/raw'), ('run',), ('doctor',), ('runs', 'show'), ('lineage',
    'upstream', 'data/used.txt'))
LIVE: Words = (('status',), ('runs', 'list'), ('runs', 'attach', '7k2m'), ('logs', 'make', '--run', '7k2m'), ('logs', 'make'),
    ('runs', 'cancel', '7k2m'), ('run',))
KEPT_STATES: Words = (('status',), ('plan', '-v'), ('run',), ('status', '-v'))
JOURNAL_RECORDS = [
    {'do': 'run', 'run': RUN, 'started': '2026-11-20T10:15:22Z', 'command': ['mlops', 'run'], 'set': [['params.yaml', 'lr',
    2]], 'who': 'w', 'host': 'h',
     'values': [['params.yaml', 'lr', 1]], 'values_left_out': 0},
    {'do': 'begin', 'attempt': '7k2m9q4c-make-1', 'stage': 'make', 'run': RUN, 'outputs': ['made'], 'links': [],
    'kind': 'run', 'clear': True},
    {'do': 'end', 'attempt': '7k2m9q4c-use-1', 'key': 'blake3:' + 'a' * 64},
]  # fmt: skip
LIVE_EVENTS = [
    {'event': 'live', 'at': 1.0, 'schema': 'mlops/live/v1', 'run': RUN, 'pid': 4194303, 'owner': 'x', 'host': 'h', 'who': 'w',
    'command': ['mlops'], 'detached': False},
    {'event': 'run-started', 'at': 1.0, 'run': RUN, 'pipeline': 'p', 'total': 1, 'fresh': 0, 'jobs': 1, 'stages': ['make']},
    {'event': 'stage-started', 'at': 1.0, 'stage': 'make', 'attempt': 1, 'log': '.mlops/local/logs/x', 'progress': 'x.jsonl',
    'typical_seconds': 1.0},
    {'event': 'report', 'at': 2.0, 'pipeline': 'p', 'seconds': 1.0, 'saved_seconds': 0.0, 'ended': 'done', 'record': '',
    'exit_code': 0, 'keep': False,
     'command': [], 'set': [], 'stages': [['make', 'done', 1.0, 0, False]], 'edges': {}, 'steps': {}},
    {'event': 'run-ended', 'at': 2.0, 'run': RUN, 'ended': 'done', 'seconds': 1.0, 'exit_code': 0},
]  # fmt: skip
CODE_STAGE = PIPELINE + '  code: {cmd: python x.py, outs: [c.txt]}\n  shell: {cmd: sh y.sh, outs: [d.txt]}\n'
VENV_STAGE = PIPELINE + '  env: {cmd: "true", environment: {%s: %s}, outs: [c.txt]}\n'
SHOWN = PIPELINE.replace('p.csv]', 'p.csv, q.tsv, r.json, s.jsonl]').replace('m.json]', 'm.json, n.yaml, o.toml]')

LOADERS: Mapping[str, Loader] = {
    'pipeline': Loader(at('pipeline.yaml'), 'yaml', (('status',), ('run',), ('graph', '--outs'), ('doctor',)), valid=RICH),
    'included': Loader(at('sub/pipeline.yaml'), 'yaml', STATUS, prepare=uses(f'include: [sub/pipeline.yaml]\n{PIPELINE}')),
    'params.yaml': Loader(at('params.yaml'), 'yaml', (*STATUS, ('run', '--set', 'lr=2'), ('plan', '--set', 'lr=2')),
    valid={'lr': 1, 'a': {'b': [1, 'x']}}),
    'params.json': Loader(at('params.json'), 'json', (*STATUS, ('run', '--set', 'params.json:lr=2')), valid={'lr': 1,
    'a': {'b': [1, 'x']}},
                          prepare=uses(PIPELINE.replace('[lr]', '[{params.json: [lr]}]'))),
    'params.toml': Loader(at('params.toml'), 'toml', (*STATUS, ('run', '--set', 'params.toml:lr=2')),
    prepare=uses(PIPELINE.replace('[lr]', '[{params.toml: [lr]}]'))),
    'vars': Loader(at('v.yaml'), 'yaml', STATUS, prepare=uses(f'vars: [v.yaml]\n{PIPELINE}')),
    'config': Loader(at('.mlops/config.yaml'), 'yaml', (*STATUS, ('config',), ('config', 'set', 'jobs', '2')), valid={
        'jobs': 2, 'tokens': {'seat': 1}, 'remotes': {'r': {'url': 's3://b/p', 'desc': 'd'}},
        'hosts': {'h': {'url': 'ssh://a@b/c', 'python': 'p', 'path': '/q'}}}),
    'local config': Loader(at('.mlops/config.local.yaml'), 'yaml', (*STATUS, ('config', '-v')), valid={
        'cache': {'dir': '.mlops/cache', 'links': ['copy']}, 'durability': 'batch', 'jobs': 1}),
    'own config': Loader(at('../project-home/.config/mlops/config.yaml'), 'yaml', (('status',), ('config',)),
    valid={'jobs': 1}),
    'metrics JSON': Loader(at('m.json'), 'json', METRICS, valid={'acc': 0.5, 'a': {'b': [1, 2.5, 'x', None, True]}}),
    'metrics YAML': Loader(at('n.yaml'), 'yaml', METRICS, prepare=uses(SHOWN)),
    'metrics TOML': Loader(at('o.toml'), 'toml', METRICS, prepare=uses(SHOWN)),
    'plots CSV': Loader(at('p.csv'), 'table', PLOTS),
    'plots TSV': Loader(at('q.tsv'), 'table', PLOTS, prepare=uses(SHOWN)),
    'plots JSON': Loader(at('r.json'), 'json', PLOTS, valid=[{'x': 1, 'y': 2.5}, {'x': 2, 'y': None}], prepare=uses(SHOWN)),
    'plots lines': Loader(at('s.jsonl'), 'lines', PLOTS, prepare=uses(SHOWN)),
    'ignore': Loader(at('.mlopsignore'), 'patterns', (('status',), ('add', 'data/raw'), ('run',))),
    'requirements': Loader(at('requirements.txt'), 'lines', STATUS, prepare=uses(VENV_STAGE % ('venv', 'requirements.txt'))),
    'uv.lock': Loader(at('uv.lock'), 'toml', STATUS, prepare=uses(VENV_STAGE % ('uv', 'uv.lock'))),
    'gitignore': Loader(at('.gitignore'), 'lines', (('run', '--force'), ('add', 'data/raw'))),  # patterns are git's to read
    'Python': Loader(at('x.py'), 'code', (('status',), ('explain', 'code'), ('run', 'make')), prepare=uses(CODE_STAGE)),
    'shell': Loader(at('y.sh'), 'binary', (('status',), ('explain', 'shell')), prepare=uses(CODE_STAGE)),
    'data record': Loader(at('.mlops/data/data/raw.json'), 'json', (('status',), ('checkout',), ('lineage', 'upstream',
    'data/raw'), ('run',), ('add', 'data/raw'), ('doctor',)), False),
    'pin': Loader(latest('.mlops/stages', 'use~*.json'), 'json', PINS, False, written=pin_lines, renamed=named_by_content,
    prepare=no_output),
    'pin of metrics': Loader(latest('.mlops/stages', 'make~*.json'), 'json', PINS, False, written=pin_lines,
    renamed=named_by_content),
    'run record': Loader(latest('.mlops/runs', '*.json'), 'json', RUNS, False),
    'kept': Loader(latest('.mlops/kept', '*.json'), 'json', (('runs', 'list'), ('runs', 'show'), ('runs', 'keep', 'last'),
    ('status',), ('verify',)), False),
    'accepted': Loader(latest('.mlops/accepted', '*.json'), 'json', (('status',), ('plan', '-v'), ('explain', 'make'),
    ('runs', 'show'), ('run',)), False,
                       written=canonical_document, renamed=named_by_content),
    'result': Loader(latest('.mlops/cache/results-v1', '*.json'), 'json', PINS, False, prepare=no_pins),
    'tree': Loader(at('tree'), 'binary', STORE, False, valid=[['f', 'file', 'blake3:' + 'a' * 64, 4], ['l', 'link', 'f']],
    written=tree_lines, renamed=as_object),
    'trust': Loader(at('.mlops/local/trust.json'), 'json', (('config',), ('status',), ('config', 'confirm', 'remotes.r',
    '--yes')), False, valid={
        'schema': 'mlops/trust/v1', 'entries': {'remote.r': {'digest': 'a' * 64, 'leads_to': 's3://b',
        'confirmed': '2026-11-21T03:30:00Z'}}},
        prepare=lambda world: (world.write('.mlops/config.yaml', 'remotes: {r: {url: "s3://b/p"}}\n'), None)[1]),
    'journal': Loader(at(f'.mlops/local/journal/{RUN}.jsonl'), 'binary', LIVE, False, valid=JOURNAL_RECORDS,
        written=journal_lines),
    'live': Loader(at(f'.mlops/local/live/{RUN}/events.jsonl'), 'lines', LIVE, False, valid=LIVE_EVENTS, written=plain_lines),
    'progress': Loader(at('log.jsonl'), 'lines', (('run', '--force', 'make'),),
    prepare=uses(PIPELINE.replace('    deps: [in.txt,', '    progress: log.jsonl\n    deps: [in.txt,'))),
    **{name: Loader(at(f'.mlops/local/{name}'), 'binary', KEPT_STATES, False) for name in ('answers-v1', 'pipeline-v1',
    'index-v1.sqlite', 'index-v1.sqlite-wal', 'locks-v1')},
    'gitignore of ours': Loader(at('.mlops/.gitignore'), 'binary', (('status',), ('run', '--force')), False),
    'object': Loader(latest('.mlops/cache/objects-v1', '*'), 'binary', (('verify',), ('checkout',), ('run', '--force')),
    False),
    'cache locks': Loader(at('.mlops/cache/locks-v1'), 'binary', (('run', '--force'), ('verify',)), False),
    **LATER,
}  # fmt: skip


# What a document says when there is no line to be told.
NO_LINE = re.compile(
    r'MiB|bytes|larger|too large|the limit is|not a regular|too deep|is empty|more than|UTF-16|like a secret|[Nn]o such')
LARGE = 2 * MIB  # a document from which on what it takes may grow with it
MANY = 100_000  # values from which on that is so
SECONDS_A_VALUE = 5e-6
PER_CASE = 12
SHARE = 3
TRIES = 3  # of what took too much: other work here makes it seem more, nothing makes it seem less


def _documents(name: str) -> list[tuple[str, Callable[[], bytes]]]:
    return list(kinds()[LOADERS[name].kind].items())


@cache
def _changed(name: str, shared: Path) -> list[tuple[str, bytes]]:
    loader = LOADERS[name]
    valid = loader.valid
    if valid is None:
        world = World(shared / 'world-mlops')
        try:
            valid = json.loads((world.project / loader.place(world)).read_bytes())
        except (OSError, ValueError, UnicodeDecodeError):
            return []
    if loader.written is None:
        return list(mutations(valid))
    found = []
    for what, data in mutations(valid):
        try:
            found.append((what, loader.written(json.loads(data))))
        except (ValueError, UnicodeEncodeError, TypeError):
            found.append((what, data))
    return found


def cases(setting: Setting) -> Sequence[str]:
    if not setting.full:
        return ['fast']
    from tests.faults.fuzzing import TARGETS
    from tests.faults.hostile import template

    template(setting.shared, setting.tool)
    found = []
    for name in LOADERS:
        found += [f'documents: {name}: {start}' for start in range(0, len(_documents(name)), PER_CASE)]
        found += [f'changes: {name}: {start}' for start in range(0, len(_changed(name, setting.shared)), 4 * PER_CASE)]
    found += [f'fuzz {target} {seed}' for seed in range(FUZZ_SEEDS) for target in TARGETS]
    return found


FAST = (('pipeline', 'deep lists'), ('params.yaml', 'a long integer'), ('params.json', 'billion laughs'), ('config',
    'a python object'),
        ('data record', 'a key twice'), ('run record', 'cut off in a list'), ('ignore', 'stars'), ('Python', 'deep minus'),
        ('tree', 'pickle'),
        ('metrics JSON', '1e309'), ('plots CSV', 'a field of 200 KB'), ('journal', 'SQLite'))  # fmt: skip


def attempt(setting: Setting, case: str) -> Verdict:
    if case.startswith('fuzz '):
        return _fuzz(setting, *case.split()[1:])
    trial = Trial()
    if case == 'fast':
        for name, document in FAST:
            made = kinds()[LOADERS[name].kind].get(document) or documents.YAML[document]
            _try(setting, trial, name, [(document, made)], 1)
        return trial.verdict()
    kind, name, start = case.split(': ')
    if kind == 'documents':
        found = _documents(name)[int(start) : int(start) + PER_CASE]
    else:
        every = _changed(name, setting.shared)[int(start) : int(start) + 4 * PER_CASE]
        found = [(what, lambda data=data: data) for what, data in every]  # type: ignore[misc]
    _try(setting, trial, name, found, len(LOADERS[name].commands))
    return trial.verdict()


def _try(setting: Setting, trial: Trial, name: str, found: Sequence[tuple[str, Callable[[], bytes]]], most: int) -> None:
    """Some documents in place of one file, each in a world of its own."""
    loader = LOADERS[name]
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    commands = loader.commands[:most]
    share = SHARE if len(commands) > SHARE else 1
    world = next(fresh)
    loader.prepare(world)
    environ = setting.tool.environment(Path(f'{world.project}-home'))
    otherwise = [command(world.project, environ, *words, timeout=60).cpu for words in commands]
    for what, make in found:
        with single(trial) as one:
            for _ in range(TRIES):
                costs = Trial()
                _document(setting, one, costs, loader, next(fresh), f'{name}: {what}', make(), commands, otherwise, share)
                if not costs.verdict().bad:
                    break
            else:
                for note in costs.verdict().notes:
                    one.bad(Bad.STUCK, note.removeprefix(f'{Bad.STUCK}: '))
    fresh.close()  # type: ignore[attr-defined]


def _document(
    setting: Setting, trial: Trial, costs: Trial, loader: Loader, world: World, what: str, data: bytes, commands: Words,
    otherwise: Sequence[float], share: int,
) -> None:
    """One, in a fresh world.  ``costs``: what took too much, which other work on this machine may have made it take."""
    loader.prepare(world)
    rel = loader.place(world)
    if (world.project / rel).exists():
        (world.project / rel).unlink()
    rel = loader.renamed(world, rel, data)
    world.write(rel, data)
    environ = setting.tool.environment(Path(f'{world.project}-home'))
    others = _memory_of_git(world.project, environ) if rel.endswith('.gitignore') and len(data) > LARGE else 0
    for words, usual in _share_of(commands, otherwise, what, share):
        values = sum(map(data.count, (b',', b'[', b'{', b'\n')))
        allowed = usual + max(0, values - MANY) * SECONDS_A_VALUE + max(0, len(data) - LARGE) / MIB
        ended = command(world.project, environ, *words, timeout=60)
        judge(trial, ended, what)
        judge_cost(costs, ended, what, allowed, others)
        _judge_words(trial, ended, loader, rel, what)
    if any(path.name.startswith(PWNED) for path in world.project.rglob('*')):
        trial.bad(Bad.ESCAPED, f'{what}: something ran')


def _memory_of_git(project: Path, environ: Mapping[str, str]) -> int:
    """Bytes that git takes which reads what is ignored: every command that asks it takes them, too."""
    argv = ['git', '-C', str(project), 'check-ignore', '-q', '.mlops/cache', 'data/raw']
    git = subprocess.Popen(argv, env=dict(environ), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(git.pid, 0)
    git.returncode = os.waitstatus_to_exitcode(status)
    return int(usage.ru_maxrss * 1024 * 1.1)


def _share_of(
    commands: Words, otherwise: Sequence[float], what: str, share: int
) -> Iterator[tuple[Sequence[str], float]]:
    """The first command, for that is the one that has to say where, and each so-many-th of the others: so each document meets
    some of them, and each of them a share of the documents of every kind of file."""
    first = zlib.crc32(what.encode(errors='surrogateescape'))
    for number, one in enumerate(zip(commands, otherwise, strict=True)):
        if number == 0 or (number + first) % share == 0:
            yield one


def _judge_words(trial: Trial, ended: Ended, loader: Loader, rel: str, what: str) -> None:
    """A refusal says of what, and where or what to do."""
    said = ended.out + ended.err
    if ended.code <= 0 or ended.code == 3 or 'error:' not in said:
        return
    file = os.path.basename(rel)
    about = f'{what}: {" ".join(ended.words)}: {said[-300:]!r}'
    if loader.person and ended.words[0] in ('status', 'check'):
        if file not in said:
            trial.bad(Bad.WRONG, f'it does not say which file: {about}')
        elif not re.search(r'\w:\d+', said) and not NO_LINE.search(said):
            trial.bad(Bad.WRONG, f'it does not say which line: {about}')
    elif loader.person is False and 'hint:' not in said:
        trial.bad(Bad.WRONG, f'it does not say what to do: {about}')


# Fuzzing: each reader by itself, in a process of its own, which it may bring down

FUZZ_SEEDS = 8
FUZZ_SECONDS = 20.0
FAST_SECONDS = 1.5


def _fuzz(setting: Setting, target: str, seed: str) -> Verdict:
    seconds = FUZZ_SECONDS if setting.full else FAST_SECONDS
    environ = {**setting.tool.environment(setting.folder / 'home'), 'PYTHONPATH': str(REPOSITORY)}
    argv = [sys.executable, '-m', 'tests.faults.fuzzing', target, seed, str(seconds)]
    done = subprocess.run(argv, cwd=setting.folder, env=environ, capture_output=True, text=True, check=False, timeout=600)
    trial = Trial()
    last = done.stdout.strip().splitlines()[-1:] or ['0']
    trial.tried = max(1, int(last[0])) if last[0].isdecimal() else 1
    if done.returncode:
        trial.bad(Bad.WRONG, f'{target} with seed {seed}: exit {done.returncode}: {done.stderr[-800:]}')
    return trial.verdict()


# The same with atheris, which follows the branches that are taken, where there is one for this Python.


@cache
def _atheris() -> str:
    """The folder it is in, installed for this row alone; empty where it cannot be had."""
    folder = default_folder() / 'tools' / f'atheris-{sys.version_info.major}{sys.version_info.minor}'
    if not (folder / 'complete').exists():
        argv = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--only-binary', ':all:', '--target',
            str(folder), 'atheris']
        if subprocess.run(argv, capture_output=True, check=False).returncode:
            return ''
        (folder / 'complete').touch()
    return str(folder)


def followed(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    runs = 200_000 if setting.full else 2_000
    environ = {**setting.tool.environment(setting.folder / 'home'), 'PYTHONPATH': f'{REPOSITORY}{os.pathsep}{_atheris()}'}
    argv = [sys.executable, '-m', 'tests.faults.fuzzing', '--follow', case, f'-runs={runs}', '-seed=1', '-timeout=10',
        '-max_len=4096', '-max_total_time=120']
    done = subprocess.run(argv, cwd=setting.folder, env=environ, capture_output=True, text=True, check=False, timeout=900)
    counts = re.findall(r'Done (\d+) runs', done.stderr)
    trial.tried = int(counts[-1]) if counts else 1
    if done.returncode:
        trial.bad(Bad.WRONG, f'{case}: exit {done.returncode}: {done.stderr[-1500:]}')
    return trial.verdict()


def _targets(setting: Setting) -> Sequence[str]:
    from tests.faults.fuzzing import TARGETS

    return list(TARGETS) if setting.full else ['yaml']


ROWS = (
    Row(
        'S2',
        'hostile, damaged and systematically changed documents in place of every file that is read',
        f'{sum(len(_documents(name)) for name in LOADERS):,} documents and every change of those that are right: '
        'no crash, at most a second and 200 MB more, '
        'the error says where; and an hour of fuzzing',
        cases,
        attempt,
    ),
    Row(
        'S2-followed',
        'the readers fuzzed by atheris, which follows what they do',
        'no exception but those declared',
        _targets,
        followed,
        lacks=lambda: '' if _atheris() else 'atheris has no wheel for this Python',
    ),
)
