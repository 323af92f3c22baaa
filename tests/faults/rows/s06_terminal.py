"""S6: text that a terminal, a reader or a CI log would take for an instruction, brought by a branch in all that is printed.

One string a case, in names of files, parameters, metrics, branches and people, in values, records, outputs of stages and
messages; then every command that prints, plain and in a CI log."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

from tests.faults import shown_world
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.hostile import command
from tests.faults.shown import acting, scripted
from tests.faults.tools import Done, Tool, git

# C0 but tab and line feed, C1, directional overrides and isolates, zero-width characters, tags.
ACTS = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]')
OURS = re.compile('\x1b\\[(?:0|3[1-6])m')  # the colours of our own words; none is asked for here
CI_COMMAND = re.compile(r'^\s*::[a-zA-Z-]+|##\[[a-zA-Z-]+')  # GitHub's runner trims blanks; the older form stands anywhere
MARK = 'q7'  # in each string, to see that it was printed at all

ACTING = (
    '\x1b[2J{}', '\x1b[31m{}\x1b[0m', '\x1b]0;{}\x07', '\x1b]8;;http://{}.example\x1b\\here\x1b]8;;\x1b\\',
    '\x1b]52;c;{}\x07',
    '\x1b[1A{}', '\x1bP{}\x1b\\', '\x1b_{}\x1b\\', '\x9b31m{}', '\x9d0;{}\x9c', '{}\x08\x08', 'a\r{}', '\x07{}', '{}\x0b',
    '\x0c{}',
    '\x1b(0{}', '\x1bc{}', '\x1b[6n{}', '\x1b[?1049h{}', '\x1b[{}',
)
MISLEADING = (
    '\u202e{}', '\u2066{}\u2069', '\u200b{}', '{}\u200d', '\u2028{}', '\ufeff{}', '\U000e0041{}', '\u061c{}', '{}\u0301' * 3,
    '\u202a{}', '\u2067{}', '\u2060{}', '\u200f{}', '\xad{}',
)
COMMANDING = (
    '::set-env name=A::{}', '::error::{}', '::add-mask::{}', '::stop-commands::{}', '::group::{}', ' ::warning::{}',
    '##[set-env name=A]{}', '##[error]{}', 'a ##[group]{}', '{}\n::set-output name=x::y', '{}\n  ::error::z', '\n::debug::{}',
)
MARKING = (
    '[red]{}[/red]', '[/]{}', '[link=http://x]{}', '[{}', '{}]', '[[{}]]', '\\[{}', ':smile:{}', '[bold{}', '[/bold]{}',
    '{{{}}}', '%s{}%n', '${{{{{}}}}}', '<b>{}</b>', '|{}|', '`{}`', '@{}', '![x]({})', '*{}*', '"{}"', "'{}'", '-{}', '#{}',
    '~{}', '&{};', '!{}',
)
FORMS = (*ACTING, *MISLEADING, *COMMANDING, *MARKING)


def strings() -> list[str]:
    """200 of them: each form alone, then two forms after one another."""
    chance = random.Random(6)
    found = [form.replace('{}', MARK) for form in FORMS]
    while len(found) < 200:
        two = ''.join(chance.choice(FORMS).replace('{}', MARK) for _ in range(2))
        if two not in found:
            found.append(two)
    return found


def cases(setting: Setting) -> Sequence[str]:
    every = [str(number) for number in range(200)]
    if setting.tool.name == 'dvc':
        return every[::25]
    few = ('{}\n::set-output name=x::y', '[/]{}')
    return every if setting.full else [str(FORMS.index(form)) for form in few]


def run(setting: Setting, case: str) -> Verdict:
    text = strings()[int(case)]
    trial = Trial()
    make = _dvc if setting.tool.name == 'dvc' else _mlops
    # Where a name is refused the program says little else, so it is tried apart.
    for names in (False, True):
        seen = 0
        commands = make(setting.tool, setting.folder / f'project{names}', text, names)
        for words in commands if setting.full else commands[::5]:
            for environ in ({}, {'GITHUB_ACTIONS': 'true', 'CI': 'true'}):
                done = setting.tool.do(setting.folder / f'project{names}', *words, environ=environ)
                trial.tried += 1
                seen += MARK in done.out + done.err
                judge(trial, done, text, bool(environ))
        if not seen and not names:  # a name may be refused without being said
            trial.bad(Bad.WRONG, f'{text!r} was printed nowhere: nothing was tried')
    if setting.full and setting.tool.name == 'mlops':
        _later(setting, trial, text)
    return trial.verdict()


def _later(setting: Setting, trial: Trial, text: str) -> None:
    """In what is shown of models, costs, hosts, checks and of a pull request, also as Markdown and as pages."""
    folder = setting.folder / 'later'
    for words in shown_world.make(setting.tool, folder, text, _for_yaml(text)):
        summary = setting.folder / 'summary.md'
        for environ in ({}, {'GITHUB_ACTIONS': 'true', 'CI': 'true', 'GITHUB_STEP_SUMMARY': str(summary)}):
            ended = command(folder, setting.tool.environment(Path(f'{folder}-home'), environ), *words, timeout=60)
            done = Done((*setting.tool.start, *words), ended.code, ended.out, ended.err, ended.seconds)
            trial.tried += 1
            judge(trial, done, text, bool(environ))
            pages = {'what it printed': done.out} if words[:2] in MARKDOWN and '--json' not in words and not done.code else {}
            pages |= {path.name: path.read_text() for path in (summary, *folder.glob('*.md')) if path.exists()}
            drawn = {path.name: path.read_text() for path in (*folder.glob('*.html'), *folder.glob('drawn/*'))}
            for judged, found in ((acting, pages), (scripted, drawn)):
                for name, page in found.items():
                    if wrong := judged(page):
                        trial.bad(Bad.ESCAPED, f'{name} of {" ".join(words)} with {text!r}: {", ".join(wrong[:3])[:300]}')
            for path in (summary, *folder.glob('*.md'), *folder.glob('*.html'), *folder.glob('drawn/*')):
                path.unlink(missing_ok=True)


MARKDOWN = (('models', 'card'), ('ci', 'report'))


def judge(trial: Trial, done: Done, text: str, in_ci: bool) -> None:
    """What reached the terminal."""
    for name, said in (('stdout', done.out), ('stderr', done.err)):
        if found := ACTS.search(OURS.sub('', said)):
            around = said[max(0, found.start() - 60) : found.end() + 30]
            trial.bad(Bad.ESCAPED, f'{found[0]!r} on {name} of {" ".join(done.argv[3:])}: {around!r}')
        if in_ci and (lines := [line for line in said.split('\n') if CI_COMMAND.search(line)]):
            trial.bad(Bad.ESCAPED, f'a command for the CI on {name} of {" ".join(done.argv[3:])}: {lines[0][:200]!r}')
    if done.code == 70 or 'Traceback' in done.err or done.code < 0:
        trial.bad(Bad.WRONG, f'{text!r}: {done.said}')


def _file(text: str) -> str:
    """As the name of a file, as far as a file may have it."""
    return (text.replace('/', '').replace('\0', '') or MARK)[:100]


def _branch(text: str) -> str:
    kept = re.sub(r'[\x00-\x20\x7f~^:?*\[\\{}]|\.\.|//|@\{|\.$|\.lock$', '', text).strip('/-.@')
    return f'b-{kept or MARK}'


def _for_yaml(text: str) -> str:
    """What is refused there as a whole would hide all else."""
    return MARK if ACTS.search(text) else text


def _base(folder: Path, text: str, name: str) -> None:
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main')
    git(folder, 'config', 'user.name', text.replace('\n', ' ').replace('<', '').replace('>', '') or MARK)
    (folder / 'data').mkdir()
    (folder / 'data' / name).write_text('data\n')
    held = _for_yaml(text)
    (folder / 'params.yaml').write_text(json.dumps({'rate': 1, 'text': held, f'key {held}': held, 'deep': {held: [held]}}))
    (folder / 'metrics.json').write_text(json.dumps({'accuracy': 0.5, text: 0.25, 'word': text}))
    (folder / 'points.csv').write_text(f'step,loss\n1,{json.dumps(text)}\n2,0.5\n')
    says = f'import sys\nprint({text!r})\nprint({text!r}, file=sys.stderr)\nsys.exit(len(sys.argv) - 1)\n'
    (folder / 'say.py').write_text(says)


def _edit(folder: Path, text: str) -> None:
    held = _for_yaml(text)
    changed = {'rate': 2, 'text': held + held, f'key {held}': 3, 'deep': {held: [held, 1]}}
    (folder / 'params.yaml').write_text(json.dumps(changed))


def _mlops(tool: Tool, folder: Path, text: str, names: bool) -> list[tuple[str, ...]]:
    name = _file(text) if names else 'plain.txt'
    _base(folder, text, name)
    stages = {
        'made': {
            'cmd': 'python3 say.py && cp metrics.json made.json && cp points.csv made.csv',
            'desc': text if names else _for_yaml(text),
            'deps': ['data', 'metrics.json', 'points.csv'],
            'params': ['rate', 'text', 'deep'],
            'metrics': ['made.json'],
            'plots': ['made.csv'],
        },
        'fails': {'cmd': 'python3 say.py 1', 'deps': [f'data/{name}'], 'outs': ['never.txt']},
        'listed': {'cmd': 'echo ${text} > list.txt', 'outs': ['list.txt']},
    }
    (folder / 'pipeline.yaml').write_text(json.dumps({'version': 1, 'stages': stages}))
    tool.do(folder, 'add', 'data')
    git(folder, 'add', '-A')
    git(folder, 'commit', '-q', '-m', text or 'x')
    git(folder, 'checkout', '-q', '-b', _branch(text))
    tool.do(folder, 'run', '-k')
    tool.do(folder, 'run', '-k', '--set', f'text={json.dumps(_for_yaml(text) + "2")}')
    for record in folder.glob('.mlops/runs/*/*.json'):
        held = json.loads(record.read_text())
        held |= {'who': text, 'host': text, 'branch': text, 'command': ['mlops', 'run', text]}
        record.write_text(json.dumps(held))
    _edit(folder, text)
    git(folder, 'add', '-A')
    git(folder, 'commit', '-q', '-m', text or 'x')
    if names:
        return [
            ('status',), ('plan', '-v'), ('explain', 'fails'), ('run', '-k'), ('logs', 'fails'), ('checkout',),
            ('add', f'./data/{name}'), ('lineage', 'downstream', f'data/{name}'), ('verify',), ('doctor',),
            ('graph', '--format', 'dot'),
        ]  # fmt: skip
    word = text or 'x'
    return [
        ('status',), ('status', '-v'), ('plan', '-v'), ('plan', '--json'), ('explain', 'made'), ('explain', 'fails'),
        ('graph',), ('graph', '--format', 'mermaid'), ('graph', '--format', 'dot'), ('run', '-k'), ('run', '-k', '--dry-run'),
        ('logs', 'made'), ('logs', 'fails'), ('runs', 'list'), ('runs', 'list', '--json'), ('runs', 'show', 'latest'),
        ('runs', 'diff'), ('metrics', 'show'), ('metrics', 'diff', 'HEAD~1'), ('plots', 'show'),
        ('lineage', 'upstream', 'made.json'), ('checkout',), ('verify',), ('doctor',), ('config', 'list'), ('status', word),
        ('run', word), ('checkout', '--at', _branch(text)), ('accept', 'made', '--reason', word), (word,),
        ('runs', 'show', word), ('config', 'set', word, '1'),
    ]  # fmt: skip


def _dvc(tool: Tool, folder: Path, text: str, names: bool) -> list[tuple[str, ...]]:
    _base(folder, text, _file(text) if names else 'plain.txt')
    stages = {
        'made': {
            'cmd': 'python3 say.py && cp metrics.json made.json',
            'desc': text if names else _for_yaml(text),
            'deps': ['data', 'metrics.json'],
            'params': ['rate', 'text', 'deep'],
            'metrics': ['made.json'],
        },
        'fails': {'cmd': 'python3 say.py 1', 'deps': ['points.csv'], 'outs': ['never.txt']},
    }
    (folder / 'dvc.yaml').write_text(json.dumps({'stages': stages}))
    tool.do(folder, 'init', '-q')
    tool.do(folder, 'repro', 'made')
    git(folder, 'add', '-A')
    git(folder, 'commit', '-q', '-m', 'one')
    _edit(folder, text)
    return [
        ('status',), ('repro', '-k'), ('dag',), ('metrics', 'show'), ('metrics', 'diff'), ('params', 'diff'),
        ('data', 'status'), ('diff',), ('stage', 'list'), ('ls', '.'), ('exp', 'show'),
    ]  # fmt: skip


ROWS = (
    Row(
        'S6',
        'text that acts on a terminal, misleads a reader or commands a CI, in every field that is printed',
        f'200 strings, {43 + len(shown_world.commands("x"))} commands each, plain and in a CI log, as Markdown and as pages',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
