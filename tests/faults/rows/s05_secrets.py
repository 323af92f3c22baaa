"""S5: sixty secrets, said by stages in every way that programs say things, and typed where people type them: none may stand in
anything that mlops writes or prints.  And what is no secret stays as it is."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import string
import subprocess
import sys
import sysconfig
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Done, Tool, git

LETTERS = string.ascii_letters + string.digits
KINDS: Mapping[str, Callable[[random.Random], str]] = {
    'HF_TOKEN': lambda chance: 'hf_' + _some(chance, 34),
    'GITHUB_TOKEN': lambda chance: 'ghp_' + _some(chance, 36),
    'AWS_SECRET_ACCESS_KEY': lambda chance: _some(chance, 40, LETTERS + '/+'),
    'OPENAI_API_KEY': lambda chance: 'sk-proj-' + _some(chance, 44),
    'SLACK_TOKEN': lambda chance: 'xoxb-' + _some(chance, 11, string.digits) + '-' + _some(chance, 24),
    'DB_PASSWORD': lambda chance: _some(chance, 20, LETTERS + '!@#$%^&*()-_=+[]{};:,.?/ "\'\\<>|~`'),
    'JWT_TOKEN': lambda chance: f'eyJ{_some(chance, 20)}.eyJ{_some(chance, 40)}.{_some(chance, 43)}',
    'DATABASE_DSN': lambda chance: f'postgres://user:{_some(chance, 18)}@db.example.org/x',
    'APP_CREDENTIAL': lambda chance: _some(chance, 32, string.hexdigits.lower()),
    'UTF_SECRET': lambda chance: _some(chance, 8) + 'pässwörd🎈' + _some(chance, 8),
    'SIGNING_PRIVATE': lambda chance: '-----BEGIN PRIVATE KEY-----\n'
    + '\n'.join(_some(chance, 64, LETTERS + '+/') for _ in range(3)) + '\n-----END PRIVATE KEY-----\n',
    'DECLARED': lambda chance: _some(chance, 12),  # by `secrets:` alone: neither name nor looks tell
}
OF_A_KIND = 5
SAYINGS = (
    'stdout', 'stderr', 'no line end', 'in pieces', 'both streams in turn', 'traceback', 'base64', 'in base64', 'url', 'json',
    'python', 'in a long line', 'progress', 'metric', 'cost',
)  # fmt: skip
Words = Sequence[tuple[str, ...]]
LATER: Words = (
    ('models', 'register'), ('models', 'show', 'm', '--json'), ('models', 'card', 'm'), ('cost', 'report'),
    ('cost', 'report', '--html', 'cost.html'), ('runs', 'show', 'latest', '--usage', '--html', 'usage.html'), ('ci', 'report'),
    ('ci', 'report', '--json'), ('export', 'airflow'), ('export', 'argo', '--image', 'x'), ('reproduce', 'last'),
)  # fmt: skip
TYPED = ('--set', 'accept', 'params', 'killed', 'models', 'keep', 'hosts', 'prices')
SAY = r'''
import base64, json, os, sys, time, urllib.parse
how, names = sys.argv[1], sys.argv[2:]
for name in names:
    s = os.environ[name]
    if how == 'stdout': print('it is', s, 'there')
    elif how == 'stderr': print('it is', s, 'there', file=sys.stderr)
    elif how == 'no line end': sys.stdout.write(s); sys.stdout.flush()
    elif how == 'in pieces':
        for at in range(0, len(s), 5):
            sys.stdout.write(s[at:at + 5]); sys.stdout.flush()
        print()
    elif how == 'both streams in turn':
        print('out', s, flush=True); print('err', s, file=sys.stderr, flush=True)
    elif how == 'traceback':
        import traceback
        try: raise ValueError('could not log in with ' + s)
        except ValueError: traceback.print_exc()
    elif how == 'base64': print(base64.b64encode(s.encode()).decode(), base64.urlsafe_b64encode(s.encode()).decode())
    elif how == 'in base64': print('Authorization: Basic', base64.b64encode(b'user:' + s.encode()).decode())
    elif how == 'url': print('https://x.example/?k=' + urllib.parse.quote(s, safe=''), urllib.parse.quote_plus(s))
    elif how == 'json': print(json.dumps({'token': s}), json.dumps({'token': s}, ensure_ascii=False))
    elif how == 'python': print(repr(s), repr(s.encode()))
    elif how == 'in a long line': print('x' * 70000, s, 'x' * 70000)
    elif how == 'progress':
        with open('progress.jsonl', 'a') as file: file.write(json.dumps({'step': 1, 'of': 9, 'word': s}) + '\n')
        time.sleep(0.02)
    elif how == 'cost' and len(s) <= 60:
        with open(os.environ['MLOPS_COST'], 'a') as file:
            file.write(json.dumps({'item': s, 'unit': 'x ' + s[:57], 'quantity': 1}) + '\n')
    elif how == 'metric': pass
open('out.txt', 'w').write('made')
more = {os.environ[n]: os.environ[n] for n in names} if how == 'metric' else {}
open('metrics.json', 'w').write(json.dumps({'a': 0.5, **more}))
sys.exit(1 if how == 'traceback' else 0)
'''


def _some(chance: random.Random, count: int, letters: str = LETTERS) -> str:
    while True:
        text = ''.join(chance.choice(letters) for _ in range(count)).strip()
        if len(text) == count and any(one.isdigit() for one in text):
            return text


def secrets() -> dict[str, str]:
    """Variable -> value, 60 of them."""
    chance = random.Random(5)
    return {f'{kind}_{number}' if number else kind: make(chance) for kind, make in KINDS.items() for number in range(OF_A_KIND)}


def forms(secret: str) -> list[bytes]:
    """How it could stand somewhere, or the part of it that gives it away."""
    raw = secret.encode()
    if '\n' in secret:
        return [line.encode() for line in secret.splitlines() if not line.startswith('-')]
    core = secret.partition('user:')[2].partition('@')[0] or secret
    raw = core.encode()
    return [
        raw, base64.b64encode(raw).rstrip(b'=')[:-1], base64.urlsafe_b64encode(raw).rstrip(b'=')[:-1],
        urllib.parse.quote(core, safe='').encode(), urllib.parse.quote_plus(core).encode(), json.dumps(core)[1:-1].encode(),
        json.dumps(core, ensure_ascii=False)[1:-1].encode(), repr(core)[1:-1].encode(),
    ]  # fmt: skip


def cases(setting: Setting) -> Sequence[str]:
    if setting.tool.name == 'dvc':
        return ('say stdout', 'say traceback')
    if not setting.full:
        return ('say in pieces', 'typed --set', 'corpus 0/200')
    return (*(f'say {how}' for how in SAYINGS), *(f'typed {how}' for how in TYPED), *(f'corpus {part}/8' for part in range(8)))


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    what, _, how = case.partition(' ')
    if what == 'corpus':
        _corpus(trial, how)
    elif what == 'typed':
        _typed(setting.tool, setting.folder / 'project', how, trial)
    else:
        told = _said_to_dvc if setting.tool.name == 'dvc' else _said
        told(setting.tool, setting.folder / 'project', how, trial, LATER if setting.full else ())
    return trial.verdict()


def _project(folder: Path, pipeline: object, file: str = 'pipeline.yaml') -> None:
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main')
    (folder / 'say.py').write_text(SAY)
    (folder / 'params.yaml').write_text('rate: 1\n')
    (folder / file).write_text(json.dumps(pipeline))


def _said(tool: Tool, folder: Path, how: str, trial: Trial, later: Words) -> None:
    """One stage for all of them, so that each stands in the records of one run."""
    known = secrets()
    stage = {
        'argv': ['python3', 'say.py', how, *known],
        'secrets': [name for name in known if name.startswith('DECLARED')],
        'params': ['rate'],
        'outs': ['out.txt'],
        'metrics': ['metrics.json'],
        'progress': 'progress.jsonl',
        'model': {'name': 'm', 'path': 'out.txt'},
    }
    _project(folder, {'version': 1, 'stages': {'say': stage}})
    done = [tool.do(folder, 'run', '--events', 'events.jsonl', environ=known)]
    commands = (
        ('logs', 'say'), ('runs', 'list', '--json'), ('runs', 'show', 'latest'), ('runs', 'show', 'latest', '--json'),
        ('status', '--json'), ('explain', 'say', '--json'), ('metrics', 'show', '--json'), ('doctor',), ('config', 'list'),
        ('lineage', 'upstream', 'out.txt', '--json'),
    )  # fmt: skip
    done += [tool.do(folder, *words, environ=known) for words in (*commands, *later)]
    if how == 'metric':  # what a stage writes into its own outputs is its own; numbers alone are taken from there
        own = {folder / 'metrics.json', *_with(folder, (folder / 'metrics.json').read_bytes())}
    else:
        own = {folder / 'progress.jsonl', *folder.glob('.mlops/local/logs/*/say.log.cost')}
    if how not in ('progress', 'metric', 'cost') and '[secret: ' not in done[1].out:
        trial.bad(Bad.WRONG, f'{how}: the log names no secret: nothing was tried')
    judge(trial, folder, done, known, how, own)


def _with(folder: Path, content: bytes) -> set[Path]:
    return {path for path in folder.glob('.mlops/cache/objects-v1/*/*') if path.read_bytes() == content}


def _said_to_dvc(tool: Tool, folder: Path, how: str, trial: Trial, _: Words) -> None:
    known = secrets()
    _project(folder, {'stages': {'say': {'cmd': f'python3 say.py {how} {" ".join(known)}', 'outs': ['out.txt']}}}, 'dvc.yaml')
    tool.do(folder, 'init', '-q')
    done = [tool.do(folder, 'repro', environ=known), tool.do(folder, 'status', environ=known)]
    judge(trial, folder, done, known, how, set())


def _decided(tool: Tool, folder: Path, value: str) -> list[Done]:
    """In what is said about models."""
    stage = {'cmd': 'echo 1 > out.txt', 'outs': ['out.txt'], 'model': {'name': 'm', 'path': 'out.txt'}}
    (folder / 'pipeline.yaml').write_text(json.dumps({'version': 1, 'stages': {'make': stage}}))
    tool.do(folder, 'run', code=0)
    said = f'because of {value}'
    done = [tool.do(folder, 'models', 'register', '-m', said), tool.do(folder, 'models', 'tag', 'm', value)]
    done += [tool.do(folder, 'models', 'promote', 'm', 'prod', '-m', said), tool.do(folder, 'models', 'note', 'm', said)]
    git(folder, 'config', 'user.name', 'Ben')
    git(folder, 'config', 'user.email', 'ben@example.org')
    done += [tool.do(folder, 'models', 'approve', 'm', 'prod', '-m', said)]
    return done + [tool.do(folder, 'models', *words) for words in (('history', 'm'), ('card', 'm'), ('show', 'm', '--json'))]


def _settled(tool: Tool, folder: Path, how: str, value: str) -> list[Done]:
    """In settings that git tracks."""
    if how == 'hosts':
        return [
            tool.do(folder, 'hosts', 'add', 'a', 'ssh://h/x', '--path', f'/{value}'),
            tool.do(folder, 'hosts', 'add', 'b', 'slurm://h/x', '--submit', f'--account={value}'),
            tool.do(folder, 'hosts', 'add', 'c', 'k8s:////claim', '--submit', f'image=x:{value}'),
            tool.do(folder, 'hosts', 'add', 'd', f'ssh://h/{value}'),
            tool.do(folder, 'config', 'set', 'hosts.e', json.dumps({'url': 'ssh://h/x', 'desc': value}), '--project'),
            tool.do(folder, 'config', 'set', 'remotes.f', json.dumps({'url': 's3://b/p', 'desc': value}), '--project'),
            tool.do(folder, 'remote', 'add', 'g', f's3://b/{value}'),
        ]  # fmt: skip
    (folder / 'list.csv').write_text(f'name,hour,source\ngpu1,1,{json.dumps(value)}\n')
    price = json.dumps({'hour': 1, 'source': value})
    return [tool.do(folder, 'config', 'set', 'prices.here', price, '--project'),
        tool.do(folder, 'cost', 'prices', '--import', 'list.csv'), tool.do(folder, 'cost', 'prices', '-v')]


def _typed(tool: Tool, folder: Path, how: str, trial: Trial) -> None:
    """Where a person puts one by mistake: refused, or not kept."""
    looks = {name: value for name, value in secrets().items() if _tells(name)}
    copy = {'cmd': 'echo ${rate} > out.txt', 'outs': ['out.txt']}
    for name, value in looks.items():
        at = folder / name
        _project(at, {'version': 1, 'stages': {'copy': copy}})
        done: list[Done] = []
        own: set[Path] = set()
        if how == '--set':
            done = [tool.do(at, 'run', '--set', f'rate={json.dumps(value)}')]
            refused(trial, done[0], how, name)
        elif how == 'params':
            (at / 'params.yaml').write_text(f'rate: {json.dumps(value)}\n')
            own = {at / 'params.yaml'}
            done = [tool.do(at, 'run'), tool.do(at, 'status', '--json'), tool.do(at, 'plan', '-v')]
            refused(trial, done[0], how, name)
        elif how == 'accept':
            tool.do(at, 'run', code=0)
            other = {**copy, 'cmd': 'echo 1 > out.txt'}
            (at / 'pipeline.yaml').write_text(json.dumps({'version': 1, 'stages': {'copy': other}}))
            done = [tool.do(at, 'accept', 'copy', '--reason', f'because of {value}'), tool.do(at, 'plan', '--json')]
        elif how == 'models':
            done = _decided(tool, at, value)
        elif how == 'keep':
            tool.do(at, 'run', code=0)
            done = [tool.do(at, 'runs', 'keep', 'last', '--reason', value), tool.do(at, 'runs', 'list')]
        elif how in ('hosts', 'prices'):
            done, own = _settled(tool, at, how, value), {at / 'list.csv'}
        else:
            done = [_killed(tool, at, name, value), tool.do(at, 'status'), tool.do(at, 'runs', 'list', '--json')]
        judge(trial, at, done, {name: value}, f'typed as {how}', own)


def _tells(name: str) -> bool:
    """Whether its looks alone say that it is a secret."""
    return name.startswith(('HF_', 'GITHUB', 'OPENAI', 'SLACK', 'JWT', 'DATABASE', 'SIGNING'))


def refused(trial: Trial, done: Done, how: str, name: str) -> None:
    if done.code != 2:
        trial.bad(Bad.LEAKED, f'{name} as {how} was taken: exit {done.code}')


def _killed(tool: Tool, folder: Path, name: str, value: str) -> Done:
    """SIGKILL while a stage has said it: journal, live files and log stay as they are."""
    stage = {'cmd': f'python3 say.py stdout {name}; sleep 30', 'outs': ['out.txt']}
    (folder / 'pipeline.yaml').write_text(json.dumps({'version': 1, 'stages': {'say': stage}}))
    environ = tool.environment(Path(f'{folder}-home'), {name: value})
    words = tool.argv('run')
    process = subprocess.Popen(words, cwd=folder, env=environ, stdout=-1, stderr=-1, stdin=-3)
    try:
        until = time.monotonic() + 30
        while not any(path.stat().st_size for path in folder.glob('.mlops/local/logs/*/say.log')):
            if time.monotonic() > until or process.poll() is not None:
                break
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
    return Done(tuple(words), process.returncode, out.decode(errors='replace'), err.decode(errors='replace'), 0.0)


def judge(
    trial: Trial, folder: Path, done: Sequence[Done], known: Mapping[str, str], how: str, own: set[Path]
) -> None:
    """Look for every form of every secret in all files below the folder but ``own``, and in what was printed."""
    places = {str(path.relative_to(folder)): data for path, data in _files(folder) if path not in own}
    places |= {f'what {" ".join(one.argv[3:])} printed': f'{one.out}\n{one.err}'.encode() for one in done}
    for name, value in known.items():
        trial.tried += 1
        wanted = forms(value)
        found = [place for place, data in places.items() if any(form in data for form in wanted)]
        if found:
            trial.bad(Bad.LEAKED, f'{name} ({how}) in {", ".join(found[:5])}')
    for one in done:
        if one.code == 70 or ('Traceback' in one.err and how != 'traceback'):
            trial.bad(Bad.WRONG, one.said)


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if not path.is_symlink():
                yield path, path.read_bytes()


def _corpus(trial: Trial, part: str) -> None:
    """Lines that hold no secret, as a log would have them: at most one in a hundred may be changed."""
    from mlops_cli.core.secrets import Redactor

    number, _, of = part.partition('/')
    redactor = Redactor({name: value for name, value in secrets().items() if name != 'DECLARED'})
    files = sorted(Path(sysconfig.get_path('stdlib')).rglob('*.py')) + sorted(Path(sys.prefix).rglob('*.txt'))
    lines = changed = 0
    for path in files[int(number) :: int(of)]:
        for line in path.read_text(errors='replace').splitlines():
            lines += 1
            changed += redactor.redact(line) != line
    trial.tried += lines
    if not lines or changed * 100 > lines:
        trial.bad(Bad.WRONG, f'{changed} of {lines} lines without a secret were changed')


ROWS = (
    Row(
        'S5',
        'secrets that stages say and people type; text that holds none',
        f'60 secrets said in {len(SAYINGS)} ways, 35 typed in {len(TYPED)} places; then every file and all output is searched',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
