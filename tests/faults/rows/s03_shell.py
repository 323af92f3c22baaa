"""S3: values with everything that means something to a shell, in every place of a command where a value can stand.

Each arrives byte for byte, or is refused before anything runs; nothing that is in it ever runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import yaml

from mlops_cli.pipeline.template import Scope, TemplateError, render_command
from tests.faults import handing
from tests.faults.alone import alone
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.hostile import PWNED, Ended, command, in_yaml, judge, single
from tests.faults.tools import GIT, git, run

HOSTILE_COUNT = 500
COMMANDS = (f'touch {PWNED}', f'touch${{IFS}}{PWNED}')
CORE = [
    *(form.replace('@', COMMANDS[0]) for form in (
        '$(@)', '`@`', ';@', ';@;', '|@', '|@|', '&@', '&@&', '&&@', '||@', '\n@', '\n@\n', '\r\n@\r\n', '(@)', ';{ @; }',
        '<(@)', '>(@)',
        '$((a[$(@)]))', '${x:-$(@)}', '${x:=`@`}', '$(($(@)))', '$[$(@)]', '!@', ')@', '}@', ';;@', '\\\n@', '#\n@', ' @ ',
        '"$(@)"', "'$(@)'",
        '"`@`"', '\\$(@)', '\\`@\\`', '$\\(@)', "$'\\n'@", '\x00@', '\x0b@', '\u2028@', '\x85@', '<<E\n$(@)\nE',
        "<<'E'\nE\n@")),
    *(form.replace('@', COMMANDS[1]) for form in ('$(@)', '`@`', ';@', '|@', '${x-$(@)}')),
    f'>{PWNED}', f'>>{PWNED}', f'2>{PWNED}', f'<>{PWNED}', f'&>{PWNED}', f'>|{PWNED}',
    '*', '?', '[a-z]*', '~', '~root', '~+', '{a,b}', '{1..9}', '!!', '!$', '^a^b', '$HOME', '${HOME}', '$$', '$?', '$@', '$*',
    '$#', '$-', '$0', '$1',
    '-', '--', '-rf', '--help', '-n', '-e', '-c', '=', 'a=b', 'PATH=.', 'IFS=x', '+x', '%s', '%n', '%', '@', ',', ':', '.',
    '..', '/', '#', '# x', '!',
    'if', 'then', 'do', 'done', 'esac', 'time', '{', '}', '(', ')', '[', ']', '[[', ']]', '!=', '<', '>', '|', '&', ';', '\\',
    '\\\\', '\\n', '\\0',
    '\t', '\n', '\n\n', ' ', '  ', ' a', 'a ', '', "'", '"', "''", '""', "'\"", '"\'', "'\\''", '\\"', "\\'", '`', '``', '$',
    '$$$', '"$', "'$", "$'", '$"',
    '\x01', '\x07', '\x08', '\x1b[2J', '\x7f', '\x80', '\u200b', '\u202e', '\ufeff', 'é', 'e\u0301', '数', '🎉', '\U0010ffff',
    '\udcff', 'a\udcffb', '\udcc3',
    '\ud800', 'x' * 5000, "'" * 300, '"' * 300, '\\' * 301, '$(' * 40, '`' * 31, '(' * 60,
]  # fmt: skip
WRAPS = ('%s', "'%s", '"%s', '\\%s', "a'%s'b", 'a"%s"b', '%s\\', "%s'", '%s"', '\n%s', '-%s', '$%s', '%s #', "'\\''%s")


@cache
def texts() -> tuple[str, ...]:
    """The same each time: all plain ones first, then in what may spoil the quoting."""
    found = [wrap.replace('%s', core) for wrap in WRAPS for core in CORE]
    return tuple(dict.fromkeys(found))[:HOSTILE_COUNT]


assert len(texts()) == HOSTILE_COUNT

# Quoting: each place of a script, in each shell.

_OUT = "/usr/bin/printf '%s\\0'"
Expected = Callable[[str], Sequence[str]]


def _one(form: str) -> Expected:
    return lambda value: [form.replace('@', value)]


PLACES: Mapping[str, tuple[str, Expected]] = {
    'bare': ('P ${v}', _one('@')),
    'double': ('P "${v}"', _one('@')),
    'single': ("P '${v}'", _one('@')),
    'in a word': ('P a${v}b', _one('a@b')),
    'in a double word': ('P "a${v}b"', _one('a@b')),
    'in a single word': ("P 'a${v}b'", _one('a@b')),
    'option': ('P --x=${v}', _one('--x=@')),
    'double option': ('P --x="${v}"', _one('--x=@')),
    'twice': ('P ${v}${v} "${v} ${v}"', lambda value: [value + value, f'{value} {value}']),
    'mixed': ('P a"${v}"\'${v}\'${v}', lambda value: [f'a{value * 3}']),
    'after a variable': ('x=y; P "$x${v}" "${v}$x"', lambda value: [f'y{value}', f'{value}y']),
    'list': ('P ${l} end', lambda value: [value, 'z', value, 'end']),
    'options': ('P ${m}', lambda value: ['--opt', value, '--n', value, value, '--flag']),
    'assignment': ('x=${v}; P "$x"', _one('@')),
    'assignment in quotes': ('x="${v}" y=\'${v}\'; P "$x" "$y"', lambda value: [value, value]),
    'exported': ('export x=${v}; P "$x"', _one('@')),
    'for': ('for i in ${v} ${l}; do P "$i"; done', lambda value: [value, value, 'z', value]),
    'case': ('case ${v} in *) P ${v};; esac', _one('@')),
    'test': ('if [ x${v} = x"${v}" ]; then P ${v}; fi', _one('@')),
    'subshell': ('( P ${v} )', _one('@')),
    'braces': ('{ P ${v}; }', _one('@')),
    'pipe': ('P ${v} | cat', _one('@')),
    'and': ('true && P ${v} || false', _one('@')),
    'function': ('f() { P ${v} "$1"; }; f ${v}', lambda value: [value, value]),
    'lines': ('true\nP \\\n  ${v}\ntrue\n', _one('@')),
    'after a semicolon': ('true;P ${v};true', _one('@')),
    'positional': ('set -- ${v} ${l}; P "$@"', lambda value: [value, value, 'z', value]),
    'environment': ('x=${v} sh -c \'/usr/bin/printf "%s\\\\0" "$x"\'', _one('@')),
    'default': ('P ${none:-fallback} ${v}', lambda value: ['fallback', value]),
}
REFUSED = {
    'substitution': 'P $(echo ${v})', 'backticks': 'P `echo ${v}`', 'here-document': 'cat <<E\n${v}\nE\n',
    'arithmetic': 'P $((${v} + 1))',
    'expansion': 'P \\${x:-${v}}', 'comment': 'true # ${v}', 'ansi': "P $'${v}'", 'nested': 'P "$(echo "${v}")"',
    'test of bash': '[[ ${v} = a ]]',
}  # fmt: skip
SHELLS = tuple(path for path in ('/bin/dash', '/bin/bash') if os.path.exists(path))


def _scope(value: str) -> Scope:
    return Scope({'v': value, 'l': [value, 'z', value], 'm': {'opt': value, 'n': [value, value], 'flag': True}, 'none': None})


def _render(text: str, scope: Scope) -> str | None:
    """None where the value is refused."""
    try:
        return render_command(text.replace('P ', f'{_OUT} '), scope)
    except TemplateError:
        return None


def quoting(folder: Path, value: str, trial: Trial, render: Callable[[str, Scope], str | None] = _render) -> None:
    """One value in all places of a script."""
    folder.mkdir(parents=True, exist_ok=True)
    scope = _scope(value)
    for place, (text, expected) in PLACES.items():
        script = render(text, scope)
        for shell in SHELLS if script is not None else ():
            trial.tried += 1
            assert script is not None
            _compare(trial, shell, script, expected(value), folder, f'{place} in {shell}: {value[:60]!r}')
        if script is None:
            trial.tried += 1
            if _is_possible(value):
                trial.bad(Bad.WRONG, f'{place}: {value[:60]!r} is refused, though every process can take it')
    for place, text in REFUSED.items():
        trial.tried += 1
        if render(text, scope) is not None:
            trial.bad(Bad.WRONG, f'{place}: {value[:60]!r} is not refused')


def _is_possible(value: str) -> bool:
    try:
        return '\0' not in value and bool(value.encode('utf-8', 'surrogateescape') or True)
    except UnicodeEncodeError:
        return False


def _compare(trial: Trial, shell: str, script: str, expected: Sequence[str], folder: Path, what: str) -> None:
    argv = [b'sh', b'-e', b'-c', os.fsencode(script)]
    environ = {'PATH': '/usr/bin:/bin', 'HOME': '/nowhere', 'LC_ALL': 'C.UTF-8'}
    done = subprocess.run(argv, executable=shell, cwd=folder, env=environ, capture_output=True, check=False,
        stdin=subprocess.DEVNULL, timeout=10)
    wanted = b''.join(os.fsencode(word) + b'\0' for word in expected)
    if made := os.listdir(folder):
        trial.bad(Bad.ESCAPED, f'{what}: made {made[0]!r}')
        for name in made:
            (folder / name).unlink()
    elif done.stdout != wanted:
        trial.bad(Bad.CORRUPT, f'{what}: {done.stdout[:100]!r}, not {wanted[:100]!r} {done.stderr[:100]!r}')


# The whole program

DUMP = """\
import os, sys
place = sys.argv[1]
os.makedirs('o', exist_ok=True)
with open(f'o/{place}', 'wb') as file:
    file.write(b''.join(os.fsencode(word) + b'\\0' for word in sys.argv[2:]))
with open(f'o/{place}.env', 'wb') as file:
    file.write(b'\\0'.join(os.environb.get(name, b'') for name in (b'MLOPS_PARAM_V', b'HOSTILE')))
"""
_D = f'{sys.executable} -I -S dump.py'
GROUPS: Mapping[str, tuple[str, Mapping[str, Expected]]] = {
    'parameters': (
        f"""\
stages:
  plain: {{cmd: '{_D} plain ${{v}} "${{v}}" x${{v}}y', params: [v], outs: [o/plain]}}
  list: {{cmd: ['{_D} list ${{l}}', 'true ${{v}}'], params: [l], outs: [o/list]}}
  options: {{cmd: '{_D} options ${{m}}', outs: [o/options]}}
  argv: {{argv: [{sys.executable}, dump.py, argv, '${{v}}', 'x${{v}}y', '${{l}}'], outs: [o/argv]}}
  own: {{cmd: '{_D} own ${{w}}', vars: [{{w: '${{v}}'}}], outs: [o/own]}}
""",
        {'plain': lambda v: [v, v, f'x{v}y'], 'list': lambda v: [v, 'z'], 'options': lambda v: ['--opt', v],
        'argv': lambda v: [v, f'x{v}y', v, 'z'],
         'own': lambda v: [v]},
    ),
    'items': (f"stages:\n  one: {{foreach: [@], do: {{cmd: '{_D} item ${{item}}', outs: [o/item]}}}}\n",
    {'item': lambda v: [v]}),
    'keys': (f"stages:\n  one: {{foreach: {{@: 1}}, do: {{cmd: '{_D} key ${{key}}', outs: [o/key]}}}}\n",
    {'key': lambda v: [v]}),
    'matrix': (f"stages:\n  one: {{matrix: {{x: [@]}}, cmd: '{_D} axis ${{item.x}}', outs: [o/axis]}}\n",
    {'axis': lambda v: [v]}),
    'variables': (
        f"stages:\n  one: {{env: [HOSTILE], cmd: '{_D} env ${{env:HOSTILE}} \"$HOSTILE\"', outs: [o/env]}}\n",
        {'env': lambda v: [v, v]}
    ),
    'vars': (f"vars: [{{w: @}}]\nstages:\n  one: {{cmd: '{_D} top ${{w}}', outs: [o/top]}}\n", {'top': lambda v: [v]}),
    'paths': ("stages:\n  one: {cmd: 'cp ${p.in} ${p.out}', deps: [{path: '${p.in}'}], outs: ['${p.out}']}\n", {}),
    'folder': (
    f"stages:\n  one: {{wdir: '${{p.in}}.d', cmd: '{_D.replace('dump.py', '../dump.py')} wdir ${{v}}', outs: [o/wdir]}}\n", {}),
    'stage name': ("stages:\n  @: {cmd: 'true'}\n", {}),
    'texts': ("name: @\ndesc: @\nstages:\n  one: {desc: @, cmd: 'true', meta: {@: @}, mutex: [@]}\n", {}),
}  # fmt: skip
TEMPLATES = ('items', 'keys', 'matrix', 'vars')
"""Groups whose values stand in the pipeline itself, where ``${x:-a}`` is a reference with a default, as it is meant."""
DEFAULT = re.compile(r'\$\{x:-(.*)\}', re.DOTALL)
WORDS: Sequence[Sequence[str]] = (
    ('run', '@'), ('explain', '@'), ('logs', '@'), ('runs', 'show', '@'), ('runs', 'list', '--where', '@'), ('graph', '@'),
    ('checkout', '@'),
    ('checkout', '--at', '@'), ('run', '--set', 'v=@'), ('run', '--set', '@'), ('plan', '--set', 'v=@'), ('add', '@'),
    ('gate', '@'),
    ('runs', 'diff', '@', '@'), ('metrics', 'diff', '@'), ('lineage', 'upstream', '@'), ('runs', 'keep', 'last', '--reason',
    '@'),
    ('accept', 'plain', '--reason', '@'), ('config', 'set', 'cache.dir', '@', '--local'), ('config', 'get', '@'), ('init',
    '--script', '@'),
    ('plots', 'show', '@'), ('run', '--events', '@'),
    ('models', 'show', '@'), ('models', 'note', 'm', '@'), ('models', 'tag', 'm', '@'), ('models', 'promote', 'm', '@'),
    ('models', 'register', '-m', '@'), ('models', 'get', 'm', '@'), ('models', 'register', '--key', '@'),
    ('hosts', 'add', '@', 'ssh://h/x'), ('hosts', 'add', 'h', '@'), ('hosts', 'add', 'h', 'ssh://h/@'),
    ('hosts', 'add', 'h', 'slurm://h/x', '--submit', '--partition=@'), ('hosts', 'add', 'h', 'ssh://h/x', '--python', '@'),
    ('hosts', 'add', 'h', 'ssh://h/x', '--path', '/@'), ('hosts', 'add', 'h', 'k8s:////c', '--submit', 'image=@'),
    ('cost', 'prices', '--import', '@'), ('cost', 'report', '--bill', '@'), ('check', 'data', '@'),
    ('ci', 'report', '--base', '@'),
    ('export', 'snakemake', '-o', '@'), ('export', 'argo', '--image', '@'), ('reproduce', '@'), ('hooks', 'run', '@'),
)  # fmt: skip


def _project(folder: Path, value: str, text: str) -> Path:
    project = folder / 'project'
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir(parents=True)
    quoted = in_yaml(value)
    stem = value.replace('/', '-')
    parameters = f'v: {quoted}\nl: [{quoted}, z]\nm: {{opt: {quoted}}}\n'
    parameters += f'p: {{in: {in_yaml("i" + stem)}, out: {in_yaml("o" + stem)}}}\n'
    (project / 'params.yaml').write_bytes(os.fsencode(parameters) if _is_possible(parameters) else parameters.encode('utf-8',
        'surrogatepass'))
    written = text.replace('@', quoted)
    (project / 'pipeline.yaml').write_bytes(os.fsencode(written) if _is_possible(written) else written.encode('utf-8',
        'surrogatepass'))
    (project / 'dump.py').write_text(DUMP)
    for make in (lambda: (project / f'i{stem}').write_text('content'), lambda: (project / f'i{stem}.d').mkdir()):
        try:
            make()
        except (OSError, ValueError):
            continue  # no file can have such a name
    return project


def _pwned(trial: Trial, folder: Path, what: str) -> None:
    for here, _, names in os.walk(folder):
        for name in names:
            if name.startswith(PWNED):
                os.unlink(os.path.join(here, name))
                trial.bad(Bad.ESCAPED, f'{what}: something ran that made {name!r}')


def through(setting: Setting, trial: Trial, value: str, group: str) -> None:
    """One value through the program in one of the places that a pipeline names it."""
    text = GROUPS[group][0]
    project = _project(setting.folder, value, text)
    variables = {'HOSTILE': value} if _is_possible(value) else {}
    ended = command(project, setting.tool.environment(setting.folder / 'home', variables), 'run')
    what = f'{group}: {value[:60]!r}'
    with single(trial) as one:
        _judge_run(setting, one, value, group, project, ended, what)


def _judge_run(
    setting: Setting, trial: Trial, value: str, group: str, project: Path, ended: Ended, what: str
) -> None:
    expected = GROUPS[group][1]
    judge(trial, ended, what)
    _pwned(trial, setting.folder, what)
    made = sorted(path.name for path in (project / 'o').glob('*')) if (project / 'o').exists() else []
    if ended.code:
        if made:
            trial.bad(Bad.WRONG, f'{what}: refused after {made[0]} had run: {ended.said}')
        if ended.code not in (2, 5):
            trial.bad(Bad.WRONG, f'{what}: {ended.said}')
        return
    for name, words in expected.items():
        found = (project / 'o' / name).read_bytes()
        arrives = DEFAULT.sub(r'\1', value) if group in TEMPLATES else value
        if found != b''.join(os.fsencode(word) + b'\0' for word in words(arrives)):
            trial.bad(Bad.CORRUPT, f'{what}: {name} got {found[:100]!r}')
    if 'plain' in expected and (project / 'o/plain.env').read_bytes().split(b'\0')[0] not in (os.fsencode(value), b''):
        trial.bad(Bad.CORRUPT, f'{what}: MLOPS_PARAM_V is {(project / "o/plain.env").read_bytes()[:100]!r}')
    if group == 'paths' and (project / f'o{value.replace("/", "-")}').read_text() != 'content':
        trial.bad(Bad.CORRUPT, f'{what}: the output has another name')


def words(setting: Setting, trial: Trial, value: str) -> None:
    """One value as the person's own words, in a share of the commands; so each command meets a share of the values."""
    project = _project(setting.folder, 'x', GROUPS['parameters'][0])
    environ = setting.tool.environment(setting.folder / 'home')
    if not _is_possible(value):
        return
    command(project, environ, 'run')
    first = zlib.crc32(value.encode(errors='surrogateescape'))
    for number, asked in enumerate(WORDS):
        if (number + first) % SHARE:
            continue
        ended = command(project, environ, *(word.replace('@', value) for word in asked))
        what = f'{" ".join(asked)}: {value[:60]!r}'
        with single(trial) as one:
            judge(one, ended, what)
            _pwned(one, setting.folder, what)


def exported(setting: Setting, trial: Trial, value: str) -> None:
    """As the names of a pipeline, an image and a volume in what is written for other engines: each is what it was meant as."""
    project = _project(setting.folder, value, "name: @\nstages:\n  one: {desc: @, cmd: 'true', outs: [o.txt]}\n")
    environ = setting.tool.environment(setting.folder / 'home')
    for engine, file in (('snakemake', 'Snakefile'), ('airflow', 'airflow_dag.py'), ('argo', 'workflow.yaml')):
        more = ('--image', value, '--claim', value) if engine == 'argo' else ()
        ended = command(project, environ, 'export', engine, '-o', file, *more)
        what = f'export {engine}: {value[:60]!r}'
        with single(trial) as one:
            judge(one, ended, what)
            if ended.code == 0:
                one_file = (project / file).read_text()
                if engine == 'airflow':
                    compile(one_file, file, 'exec')
                if engine == 'argo':
                    steps = yaml.safe_load(one_file)['spec']
                    image, claim = steps['templates'][1]['container']['image'], steps['volumes'][0]['persistentVolumeClaim']
                    if image != value or claim != {'claimName': value}:
                        one.bad(Bad.CORRUPT, f'{what}: {image!r}, {claim!r}')


BRANCHES = ('$(@)', '`@`', ';@', '|@', '&@', '&&@', "'$(@)'", '"$(@)"', '-x', '--upload-pack=@', '(@)', '{@}', '@{1}x', '!@',
    '#@', '$HOME', '<@', '>@', '%s', 'é',
            '数', '--', "'", '"', 'a=b', ',', '--exec=@', '$@', 'refs/heads/$(@)', '@@')  # fmt: skip


def branch(setting: Setting, trial: Trial, form: str) -> None:
    """A branch whose name is hostile: checked out, named, and written into run records."""
    name = form.replace('@', COMMANDS[1])
    project = _project(setting.folder, 'x', GROUPS['parameters'][0])
    git(project, 'init', '-q', '-b', 'main')
    git(project, 'add', '-A')
    git(project, 'commit', '-q', '-m', name)
    commit = git(project, 'rev-parse', 'HEAD').strip()
    packed = project / '.git/packed-refs'
    packed.write_text(f'{commit} refs/heads/{name}\n')
    (project / '.git/HEAD').write_text(f'ref: refs/heads/{name}\n')
    if run(['git', 'rev-parse', 'HEAD'], project, {'PATH': os.environ['PATH'], 'HOME': '/nowhere', **GIT}).code:
        (project / '.git/HEAD').write_text('ref: refs/heads/main\n')
    environ = setting.tool.environment(setting.folder / 'home')
    for asked in (('run',), ('status',), ('runs', 'list'), ('runs', 'show'), ('metrics', 'diff', name), ('checkout', '--at',
        name), ('lineage', 'upstream', f'{name}:o/plain'),
                  ('metrics', 'show', '--at', name), ('doctor',), ('runs', 'diff', name, 'HEAD')):  # fmt: skip
        ended = command(project, environ, *asked)
        what = f'branch {name!r}: {" ".join(asked)}'
        with single(trial) as one:
            judge(one, ended, what)
            _pwned(one, setting.folder, what)


# DVC: a parameter in cmd, in quotes, for it puts texts there as they are.


def _in_dvc(setting: Setting, value: str) -> Verdict:
    trial = Trial()
    trial.tried = 1
    project = _project(setting.folder, value, 'stages: {}\n')
    if not (project / '.git').exists():
        git(project, 'init', '-q')
    environ = setting.tool.environment(setting.folder / 'home')
    start: Sequence[str] = setting.tool.start
    command(project, environ, 'init', '-q', timeout=60, start=start)
    (project / 'dvc.yaml').write_text(
        f"stages:\n  plain: {{cmd: '{_D} plain \"${{v}}\"', params: [v], outs: [o/plain]}}\n")
    ended = command(project, environ, 'repro', timeout=60, start=start)
    what = f'{value[:60]!r}'
    _pwned(trial, setting.folder, what)
    out = project / 'o/plain'
    if ended.code == 0 and out.read_bytes() != os.fsencode(value) + b'\0':
        trial.bad(Bad.CORRUPT, f'{what}: got {out.read_bytes()[:100]!r}')
    elif ended.code and (project / 'o').exists():
        trial.bad(Bad.WRONG, f'{what}: failed after it had run')
    return trial.verdict()


# The row

PER_CASE = 10
SHARE = 3
FAST = ('$(touch pwned)', "'; touch pwned; '", '\ntouch pwned\n', 'a\udcffb')
IN_BASH = ['unshare', '-rm', 'sh', '-c', 'mount --bind /bin/bash "$(readlink -f /bin/sh)" && exec "$@"', 'sh']


def cases(setting: Setting) -> Sequence[str]:
    if setting.tool.name == 'dvc':
        return [f'text {number}' for number in range(0, len(texts()), 25)]
    if not setting.full:
        return ['fast']
    batches = range(-(-len(texts()) // PER_CASE))
    kinds = ('quoting', 'program', 'words', 'handed') + (('bash',) if _can_bash() else ())
    return [*(f'{kind} {number}' for kind in kinds for number in batches),
        *(f'branch {number}' for number in range(len(BRANCHES)))]


@cache
def _can_bash() -> bool:
    """Whether another shell can be put in the place of /bin/sh, for ourselves alone."""
    if not shutil.which('unshare') or len(SHELLS) < 2:
        return False
    done = subprocess.run([*IN_BASH, '/bin/sh', '-c', 'test -n "$BASH_VERSION"'], capture_output=True, check=False)
    return done.returncode == 0


def attempt(setting: Setting, case: str) -> Verdict:
    kind, _, number = case.partition(' ')
    trial = Trial()
    if setting.tool.name == 'dvc':
        return _in_dvc(setting, texts()[int(number)])
    if kind == 'branch':
        branch(setting, trial, BRANCHES[int(number)])
        return trial.verdict()
    if kind == 'bash':
        return alone(setting, __name__, f'program {number}', before=IN_BASH)
    if kind == 'fast':
        return _fast(setting)
    for value in texts()[int(number) * PER_CASE : (int(number) + 1) * PER_CASE]:
        if kind == 'quoting':
            quoting(setting.folder / 'here', value, trial)
        elif kind == 'words':
            words(setting, trial, value)
        elif kind == 'handed':
            if _is_possible(value):
                handing.handed(setting.folder / 'here', value, trial, SHELLS)
                handing.hooked(setting.folder / 'hooked', value, trial, SHELLS)
                exported(setting, trial, value)
        else:
            for group in GROUPS:
                through(setting, trial, value, group)
    return trial.verdict()


inside = attempt  # what is tried with another /bin/sh


def _fast(setting: Setting) -> Verdict:
    trial = Trial()
    for value in FAST:
        quoting(setting.folder / 'here', value, trial)
    for group in GROUPS:
        through(setting, trial, FAST[1], group)
    through(setting, trial, FAST[3], 'variables')
    branch(setting, trial, BRANCHES[0])
    return trial.verdict()


def lacks() -> str:
    return '' if len(SHELLS) == 2 and os.path.exists('/usr/bin/printf') else 'needs dash, bash and /usr/bin/printf'


ROWS = (
    Row(
        'S3',
        'metacharacters of shells in parameters, variables, items, paths, names and words',
        f'{len(texts())} texts in {len(PLACES) + len(REFUSED)} places of a script in two shells, '
        f'in {len(GROUPS)} places of a pipeline, as words in {len(WORDS) // SHARE} of {len(WORDS)} places: '
        'none runs, each arrives byte for byte or is refused',
        cases,
        attempt,
        ('mlops', 'dvc'),
        lacks,
    ),
)
