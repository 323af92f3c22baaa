"""S4: a repository that somebody else prepared, with everything in it that git, Python or a shell would run unasked.

Each trap runs ``touch`` on a canary; then every command that is to look only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.tools import Done, Tool, git
from tests.faults.tools import run as start

PIPELINE = """\
version: 1
stages:
  one:
    cmd: cp data/in.txt out.txt && echo "{}" > m.json
    deps: [data/in.txt]
    params: [rate]
    outs: [out.txt]
    metrics: [m.json]
    model: {name: m, path: out.txt}
  two:
    cmd: python src/two.py
    deps: [out.txt]
    outs: [two.txt]
"""
DVC = """\
stages:
  one: {cmd: cp data/in.txt out.txt, deps: [data/in.txt], params: [rate], outs: [out.txt]}
  two: {cmd: python src/two.py, deps: [out.txt], outs: [two.txt]}
"""
MLOPS_COMMANDS: tuple[tuple[str, ...], ...] = (
    ('status',),
    ('status', '--json'),
    ('plan', '-v'),
    ('explain', 'one'),
    ('graph',),
    ('lineage', 'upstream', 'out.txt'),
    ('lineage', 'upstream', 'out.txt', '--at', 'HEAD~1'),
    ('runs', 'list'),
    ('runs', 'diff', 'HEAD~1'),
    ('logs', 'one'),
    ('metrics', 'show'),
    ('metrics', 'diff', 'HEAD~1'),
    ('plots', 'show'),
    ('verify',),
    ('doctor',),
    ('config', 'list'),
    ('checkout',),
    ('checkout', '--at', 'HEAD~1'),
    ('checkout', '--force'),
    ('add', 'data'),
    ('run', '--dry-run'),
    ('gc', '--dry-run'),
    ('init', 'elsewhere'),
    ('-C', 'sub', 'status'),
    ('-C', 'bare.git', 'status'),
)
# Beside those above, where all is tried: none of these may run anything of the project or of its repository's settings.
MORE = """\
models list; models show m; models history m; models card m; models verify; models get m taken; models diff m@v1 m@v2
models register m --sign; models note m x; models tag m x; models promote m prod; models approve m prod; hosts list; remote list
cost report; cost report --html c.html; cost prices -v; cost advise; storage show; data list; data show data; ci report
ci report --base HEAD~1; ci init github; ci init gitlab; hooks install; hooks run pre-commit
hooks run post-checkout HEAD HEAD 1; hooks uninstall; check data table.csv; check data table.csv -c new.yaml --init
check fairness table.csv --group sex
check overlap table.csv table.csv; export snakemake; export airflow; export argo --image x; runs show latest --usage
reproduce HEAD~9; hosts check
"""
LATER = tuple(tuple(line.split()) for line in MORE.replace('\n', ';').split(';') if line.strip())
DVC_COMMANDS: tuple[tuple[str, ...], ...] = (
    ('status',),
    ('dag',),
    ('diff', 'HEAD~1'),
    ('params', 'diff', 'HEAD~1'),
    ('metrics', 'show'),
    ('data', 'status'),
    ('doctor',),
    ('ls', '.'),
    ('checkout',),
    ('add', 'data'),
    ('repro', '--dry'),
    ('gc', '-w', '-f'),
    ('-C', 'sub'),
    ('exp', 'show'),
)


def _config(**settings: str) -> Callable[[Path, str], None]:
    def lay(folder: Path, bait: str) -> None:
        for name, value in settings.items():
            git(folder, 'config', name.replace('__', '.'), value.replace('BAIT', bait))

    return lay


def _driver(kind: str) -> Callable[[Path, str], None]:
    def lay(folder: Path, bait: str) -> None:
        (folder / '.gitattributes').write_text(f'* {kind}=trap\n')
        for key in {'filter': ('clean', 'smudge', 'process'), 'diff': ('command', 'textconv'), 'merge': ('driver',)}[kind]:
            git(folder, 'config', f'{kind}.trap.{key}', bait if key in ('process', 'command') else f'{bait}; cat')
        if kind == 'filter':
            git(folder, 'config', 'filter.trap.required', 'true')

    return lay


def _hooks(at: str) -> Callable[[Path, str], None]:
    names = (
        'pre-commit',
        'post-checkout',
        'post-merge',
        'reference-transaction',
        'post-index-change',
        'fsmonitor-watchman',
        'pre-auto-gc',
        'post-rewrite',
        'sendemail-validate',
        'prepare-commit-msg',
    )

    def lay(folder: Path, bait: str) -> None:
        hooks = folder / at
        hooks.mkdir(parents=True, exist_ok=True)
        for name in names:
            (hooks / name).write_text(f'#!/bin/sh\n{bait}\n')
            (hooks / name).chmod(0o755)
        if at != '.git/hooks':
            git(folder, 'config', 'core.hooksPath', at)

    return lay


def _bare(folder: Path, bait: str) -> None:
    """A folder that git takes for a repository of its own, inside the project."""
    for name in ('bare.git', 'sub'):
        bare = folder / name
        bare.mkdir(exist_ok=True)
        for each in ('objects', 'refs'):
            (bare / each).mkdir(exist_ok=True)
            (bare / each / 'keep').touch()
        (bare / 'HEAD').write_text('ref: refs/heads/main\n')
        settings = f'repositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = "{bait}"'
        (bare / 'config').write_text(f'[core]\n\t{settings}\n')


def _included(folder: Path, bait: str) -> None:
    (folder / 'settings').write_text(f'[core]\n\tfsmonitor = "{bait}"\n\tpager = "{bait}"\n')
    git(folder, 'config', 'include.path', '../settings')


def _refs(folder: Path, bait: str) -> None:
    """Names that are options where a program takes them for such."""
    head = git(folder, 'rev-parse', 'HEAD').strip()
    for name in ('--upload-pack=touch', '-x', '--output=canary', '--exec=sh'):
        path = folder / '.git/refs/heads' / name
        path.write_text(f'{head}\n')
    (folder / '.git/HEAD').write_text('ref: refs/heads/--output=canary\n')


def _promisor(folder: Path, bait: str) -> None:
    """A partial clone whose missing objects are to be had from a program."""
    for name, value in {
        'remote.origin.url': f'ext::sh -c {bait.replace(" ", "% ")}',
        'remote.origin.promisor': 'true',
        'protocol.ext.allow': 'always',
        'remote.origin.partialclonefilter': 'blob:none',
        'extensions.partialClone': 'origin',
        'core.repositoryformatversion': '1',
    }.items():
        git(folder, 'config', name, value)
    blob = git(folder, 'rev-parse', 'HEAD~1:params.yaml').strip()
    (folder / '.git/objects' / blob[:2] / blob[2:]).unlink()


def _gitfile(folder: Path, bait: str) -> None:
    """The repository lies in a folder that came with it."""
    (folder / '.git').rename(folder / 'hidden')
    (folder / '.git').write_text('gitdir: hidden\n')
    git(folder, 'config', 'core.fsmonitor', bait)


def _programs(folder: Path, bait: str) -> None:
    """Programs of known names, for who has relative folders on PATH."""
    for name in FOUND:
        for at in (folder, folder / 'bin'):
            at.mkdir(exist_ok=True)
            (at / name).write_text(f'#!/bin/sh\n{bait}\n')
            (at / name).chmod(0o755)


def _hooked(folder: Path, bait: str) -> None:
    """Hooks as we write them, and as they stood before, with something else to start."""
    from mlops_cli.ci import hooks

    (folder / 'hooks').mkdir(exist_ok=True)
    git(folder, 'config', 'core.hooksPath', 'hooks')
    for name in hooks.HOOKS:
        ours = hooks.script(name, ['', f'$({bait})', f"'; {bait}; '"], f'/bin/sh -c {bait!r}', True)
        for at, data in ((name, ours), (f'{name}{hooks.BEFORE}', f'#!/bin/sh\n{bait}\n'.encode())):
            (folder / 'hooks' / at).write_bytes(data)
            (folder / 'hooks' / at).chmod(0o755)


FOUND = (
    'git', 'sh', 'python', 'python3', 'dot', 'less', 'nvidia-smi', 'uv', 'ssh', 'strace', 'pager', 'xdg-open', 'ssh-keygen',
    'ssh-add', 'kubectl', 'sbatch', 'squeue', 'sinfo', 'ray', 'podman', 'docker', 'uname', 'hostname',
)  # fmt: skip


def _modules(folder: Path, bait: str) -> None:
    """Modules that would be imported where the folder stood on Python's path."""
    text = f'import subprocess\nsubprocess.call({bait!r}, shell=True)\n'
    for name in (
        'sitecustomize',
        'usercustomize',
        'json',
        'yaml',
        'rich',
        'typer',
        'git',
        'networkx',
        'blake3',
        'mlops_cli',
        'readline',
    ):
        (folder / f'{name}.py').write_text(text)
    for at in ('src', '.venv/lib/python3.11/site-packages'):
        (folder / at).mkdir(parents=True, exist_ok=True)
        (folder / at / 'sitecustomize.py').write_text(text)
        (folder / at / 'trap.pth').write_text(f'import subprocess; subprocess.call({bait!r}, shell=True)\n')
    (folder / 'setup.py').write_text(text)
    (folder / 'conftest.py').write_text(text)
    (folder / 'src/two.py').write_text(text)
    (folder / '.venv/pyvenv.cfg').write_text('home = /usr/bin\n')
    (folder / '.venv/bin').mkdir(exist_ok=True)
    for name in ('python', 'python3'):
        (folder / '.venv/bin' / name).write_text(f'#!/bin/sh\n{bait}\n')
        (folder / '.venv/bin' / name).chmod(0o755)


TRAPS: Mapping[str, Callable[[Path, str], None]] = {
    'fsmonitor': _config(core__fsmonitor='BAIT'),
    'hooks': _hooks('.git/hooks'),
    'hooksPath': _hooks('hooks'),
    'sshCommand': _config(core__sshCommand='BAIT', remote__origin__url='ssh://nowhere.invalid/x'),
    'filter': _driver('filter'),
    'diff': _driver('diff'),
    'merge': _driver('merge'),
    'external diff': _config(diff__external='BAIT'),
    'aliases': _config(
        **{f'alias__{name}': '!BAIT' for name in ('status', 'log', 'show', 'ls-files', 'rev-parse', 'cat-file')}
    ),
    'pager and editor': _config(
        core__pager='BAIT', core__editor='BAIT', pager__log='BAIT', pager__status='BAIT', sequence__editor='BAIT'
    ),
    'askpass': _config(core__askPass='BAIT', credential__helper='!BAIT', remote__origin__url='https://nowhere.invalid/x'),
    'gpg': _config(gpg__program='BAIT', log__showSignature='true', commit__gpgSign='true'),
    'signing': _config(
        gpg__format='ssh', gpg__ssh__program='BAIT', gpg__ssh__defaultKeyCommand='BAIT', user__signingKey='BAIT',
        commit__gpgSign='true', gpg__ssh__allowedSignersFile='BAIT'
    ),
    'hooks of ours': _hooked,
    'promisor': _promisor,
    'bare': _bare,
    'include': _included,
    'refs': _refs,
    'gitfile': _gitfile,
    'programs': _programs,
    'modules': _modules,
}


def cases(setting: Setting) -> Sequence[str]:
    if setting.full and setting.tool.name == 'mlops':
        return [*TRAPS]
    return (
        ['fsmonitor', 'filter', 'modules']
        if setting.tool.name == 'mlops'
        else ['fsmonitor', 'hooks', 'filter', 'modules', 'bare']
    )


def prepare(tool: Tool, folder: Path) -> None:
    """A project with two commits, its outputs in the cache."""
    folder.mkdir(parents=True)
    git(folder, 'init', '-q', '-b', 'main')
    for name, text in {'data/in.txt': 'in\n', 'params.yaml': 'rate: 1\n', 'src/two.py': '', 'sub/x': '',
        'table.csv': 'label,prediction,sex\n1,1,f\n0,1,m\n', 'contract.yaml': 'version: 1\n'}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    name, text = ('pipeline.yaml', PIPELINE) if tool.name == 'mlops' else ('dvc.yaml', DVC)
    (folder / name).write_text(text)
    if tool.name == 'dvc':
        tool.do(folder, 'init', '-q', code=0)
    tool.do(folder, *(('run', 'one') if tool.name == 'mlops' else ('repro', 'one')), code=0)
    own = ('.mlops/stages',) if tool.name == 'mlops' else ()
    git(folder, 'add', '-A', '-f', 'src', 'sub', 'params.yaml', '*.yaml', 'table.csv', *own)
    git(folder, 'commit', '-q', '-m', 'one')
    (folder / 'params.yaml').write_text('rate: 2\n')
    tool.do(folder, *(('run', 'one') if tool.name == 'mlops' else ('repro', 'one')), code=0)
    git(folder, 'add', '-u')
    if tool.name == 'mlops':
        tool.do(folder, 'models', 'register', code=0)
        git(folder, 'add', '.mlops/models', '.mlops/stages')
    git(folder, 'commit', '-q', '-m', 'two')
    (folder / 'params.yaml').write_text('rate: 3\n')


def run(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    ready = setting.folder / 'ready'
    prepare(setting.tool, ready)
    words = MLOPS_COMMANDS if setting.tool.name == 'mlops' else DVC_COMMANDS
    words = words[::4] if not setting.full else (*words, *LATER) if setting.tool.name == 'mlops' else words
    for number, command in enumerate(words):
        folder = setting.folder / f'{number}'
        start(['cp', '-a', str(ready), str(folder)], setting.folder, os.environ, code=0)
        canary = setting.folder / f'canary-{number}'
        TRAPS[case](folder, f'touch {canary}')
        trial.tried += 1
        judge(trial, tried(setting.tool, folder, command), canary, case)
    return trial.verdict()


def tried(tool: Tool, folder: Path, command: Sequence[str]) -> Done:
    """Started as people start it, by its script, with a relative folder on PATH."""
    environ = tool.environment(Path(f'{folder}-home'))
    script = [os.path.join(os.path.dirname(sys.executable), 'mlops')] if tool.name == 'mlops' else [*tool.start]
    environ['PATH'] = f'{environ["PATH"]}:bin:.'
    return start([*script, *command], folder, environ)


def judge(trial: Trial, done: Done, canary: Path, case: str) -> None:
    if canary.exists():
        trial.bad(Bad.ESCAPED, f'{case}: {done.said}')
    if done.code == 70 or 'Traceback' in done.err:
        trial.bad(Bad.WRONG, f'{case}: {done.said}')


ROWS = (
    Row(
        'S4',
        'repositories with hooks, drivers, monitors, programs and modules laid out as traps, looked at',
        f'{len(TRAPS)} traps, {len(MLOPS_COMMANDS) + len(LATER)} commands each',
        cases,
        run,
        ('mlops', 'dvc'),
    ),
)
