"""Tab, as shells ask for it and as a person presses it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlops_cli.cli.completion import shells
from mlops_cli.cli.completion.completing import BY_METAVAR, BY_PLACE, words_of
from mlops_cli.cli.completion.grammar import saved, walk
from mlops_cli.cli.completion.offers import FILES
from mlops_cli.cli.completion.shell_files import install, shell_of_user
from mlops_cli.core.errors import UserError
from tests.support.clocks import processor_seconds
from tests.support.project import Project

BREAKS = ' \t\n"\'@><=;|&(:'
# What only a person can know.
FREE = {'N', 'X', 'IMAGE', 'VOLUME', 'WORDS', 'VERSION', 'TAG',
        'TEXT', 'SECONDS', 'EXPR', 'VALUE', 'GLOB', 'WHEN', 'CONDITION', 'COLUMN', 'AGE', 'URL', 'SIZE'}
PIPELINE = """\
version: 1
stages:
  prepare:
    desc: Make the table
    cmd: echo 1 > table.csv
    outs: [table.csv]
  train:
    matrix: {model: [tree, forest]}
    cmd: echo ${train.depth} > out/${item.model}.txt
    params: [train]
    deps: [table.csv]
    outs: ['out/${item.model}.txt']
  odd:
    cmd: mkdir -p 'a b' && echo 1 > 'a b/$(touch pwned)`touch pwned`;"x.txt'
    outs: ['a b/$(touch pwned)`touch pwned`;"x.txt']
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / 'project')
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'train: {depth: 8, name: big one, fast: true}\n')
    project.init_git()
    project.commit('start')
    project.git('tag', 'v1.0')
    project.git('branch', 'deeper-trees')
    return project


def asked(project: Project, line: str, shell: str = 'fish', cwd: str = '.', **environ: str) -> list[str]:
    """The lines of an answer; whatever happens, nothing else is printed and the exit code is 0."""
    done = project.mlops(
        cwd=cwd,
        environ={'_MLOPS_COMPLETE': f'complete_{shell}', 'COMP_LINE': line, 'COMP_WORDBREAKS': BREAKS, **environ},
    )
    assert done.err == ''
    return done.out.splitlines()


def words(project: Project, line: str, cwd: str = '.') -> list[str]:
    return [one.partition('\t')[0] for one in asked(project, line, cwd=cwd)[1:]]


def test_commands_with_what_they_do(project: Project) -> None:
    found = asked(project, 'mlops ru')
    assert found[0] == 'words' and [one.partition('\t')[0] for one in found[1:]] == ['run', 'runs']
    assert 'up to date' in found[1]
    assert words(project, 'mlops runs ap') == ['apply']
    assert words(project, 'mlops nonsense x') == []


def test_stages_groups_and_instances(project: Project) -> None:
    assert asked(project, 'mlops run pre') == ['words', 'prepare\tMake the table']
    assert words(project, 'mlops run train') == ['train', 'train@tree', 'train@forest']
    assert words(project, 'mlops run train@f') == ['train@forest']
    assert words(project, 'mlops -q run -j 2 prepare --force odd tra')[0] == 'train'


def test_outputs_from_where_one_stands(project: Project) -> None:
    project.write('sub/x', '')
    assert words(project, 'mlops run out/') == ['out/tree.txt', 'out/forest.txt']
    assert words(project, 'mlops run ../out/t', cwd='sub') == ['../out/tree.txt']


def test_a_pipeline_elsewhere_by_c(project: Project, tmp_path: Path) -> None:
    here = Project(tmp_path / 'elsewhere')
    for line in ('mlops -C ../project run pre', 'mlops run -C ../project pre', 'mlops -qC ../project run pre'):
        assert words(here, line) == ['prepare']
    assert asked(here, 'mlops run pre', MLOPS_DIRECTORY='../project')[1:] == ['prepare\tMake the table']
    assert words(here, 'mlops run pre') == []


def test_parameters_with_their_present_values(project: Project) -> None:
    assert asked(project, 'mlops run --set train.d') == ['words', 'train.depth=\tnow 8']
    assert words(project, 'mlops run --set=train.d') == ['--set=train.depth=']
    assert words(project, 'mlops run --set train.depth=') == ['train.depth=8']
    assert words(project, 'mlops run --set train.fast=') == ['train.fast=true', 'train.fast=false']


def test_options_and_their_choices(project: Project) -> None:
    assert words(project, 'mlops run --iso') == ['--isolate']
    assert words(project, 'mlops run --isolate ') == ['none', 'folder', 'sandbox', 'sandbox-with-network']
    assert words(project, 'mlops run --isolate=f') == ['--isolate=folder']
    assert '-j' not in words(project, 'mlops run -') and words(project, 'mlops run -j') == ['-j']
    assert words(project, 'mlops run -- -') == []


def test_names_by_what_the_command_is_about(project: Project) -> None:
    assert words(project, 'mlops init --template min') == ['minimal']
    settings = ['cache.dir', 'cache.links', 'cache.remote', 'cache.tier', 'cache.price']
    assert words(project, 'mlops config get cac') == settings
    assert words(project, 'mlops runs list --state fa') == ['failed']
    assert words(project, 'mlops runs list --state st') == ['stopped'], 'as lists call it'
    assert words(project, 'mlops runs list --sort -train.d') == ['-train.depth']
    assert words(project, 'mlops runs list --columns branch,train.d') == ['branch,train.depth']
    assert words(project, 'mlops metrics diff w') == ['workspace']
    assert words(project, 'mlops metrics diff main deep') == ['deeper-trees']


def test_metrics_to_sort_by_are_those_declared_and_those_in_the_files(project: Project) -> None:
    declared = '    metrics: [{m.json: {goals: {mse: min}}}, gone.json]\n'
    project.write('pipeline.yaml', PIPELINE.replace('    outs: [table.csv]\n', f'    outs: [table.csv]\n{declared}'))
    project.write('m.json', '{"mae": 1, "mse": 2}')
    assert words(project, 'mlops runs list --sort m') == ['mse', 'mae']
    assert words(project, 'mlops runs list --sort -ma') == ['-mae']


def test_revisions(project: Project) -> None:
    assert sorted(words(project, 'mlops checkout --at ')) == ['HEAD', 'deeper-trees', 'main', 'v1.0']
    assert asked(project, 'mlops checkout --at v')[1:] == ['v1.0\ttag']


def test_the_newest_runs_with_when_they_started(project: Project) -> None:
    month = project.path / '.mlops/runs/2026-11'
    month.mkdir(parents=True)
    for number in range(60):
        (month / f'20261101T1200{number:02}Z-{number:08}.json').write_text('damaged')
    found = asked(project, 'mlops runs show ')
    assert len(found) == 51 and found[1] == '00000059\tstarted 2026-11-01 12:00 UTC'
    assert words(project, 'mlops runs show 0000000') == [f'{number:08}' for number in range(9, -1, -1)]


def test_files_where_only_the_shell_knows(project: Project) -> None:
    assert asked(project, 'mlops add ') == ['files']
    assert asked(project, 'mlops run --events ') == ['files']
    assert asked(project, 'mlops run -j ') == ['words']


@pytest.mark.parametrize('broken', ['stages: [', 'stages: {a: {cmd: 3}}', '\x00', '- a\n'])
def test_a_broken_pipeline_offers_nothing_and_says_nothing(project: Project, broken: str) -> None:
    project.write('pipeline.yaml', broken)
    project.write('params.yaml', broken)
    for shell in shells.SCRIPTS:
        assert asked(project, 'mlops run ', shell) == ['words']
        if broken != 'stages: {a: {cmd: 3}}':  # which is a parameter file that can be read
            assert asked(project, 'mlops run --set ', shell) == ['words']
        assert asked(project, 'mlops checkout ', shell) == ['words']


def test_what_a_branch_puts_in_the_way_is_not_followed_and_holds_nobody_up(project: Project, tmp_path: Path) -> None:
    (tmp_path / 'secret.yaml').write_text('password: hunter2\n')
    (project.path / 'params.yaml').unlink()
    (project.path / 'params.yaml').symlink_to(tmp_path / 'secret.yaml')
    assert words(project, 'mlops run --set ') == [] == words(project, 'mlops run --set ../secret.yaml:')
    (project.path / 'params.yaml').unlink()
    os.mkfifo(project.path / 'params.yaml')
    assert words(project, 'mlops run --set ') == []
    (project.path / '.mlops').mkdir()
    (project.path / '.mlops/runs').symlink_to(tmp_path)
    assert words(project, 'mlops runs show ') == []


@pytest.mark.parametrize('line', ['', ' ', '"', "mlops run '", 'mlops run \\', 'mlops -C', 'mlops -C /nowhere run ', 'x=1'])
def test_odd_lines_end_quietly(project: Project, line: str) -> None:
    for shell in shells.SCRIPTS:
        asked(project, line, shell)


def test_a_folder_that_is_gone(project: Project, tmp_path: Path) -> None:
    gone = tmp_path / 'gone'
    gone.mkdir()
    environ = {**project.environ, '_MLOPS_COMPLETE': 'complete_bash', 'COMP_LINE': 'mlops run '}
    code = f'import os; os.rmdir({str(gone)!r}); from mlops_cli.__main__ import main; main()'
    done = subprocess.run([sys.executable, '-c', code], cwd=gone, env=environ, capture_output=True, check=True)
    assert (done.stdout, done.stderr) in ((b'words\n', b''), (b'', b''))


def test_names_that_a_terminal_could_misread_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ['a\x1b[2Jb', 'c\nd', 'e\tf', '\udcff', 'g\ufffd', '', 'ok']
    monkeypatch.setattr(shells, 'offers', lambda *_: ([(name, 'x\x1b[2Jy\tz') for name in names], False))
    assert shells.replies('zsh', {}) == ['words', 'ok\tx [2Jy z']
    assert shells.replies('bash', {}) == ['words', 'ok']


def test_what_only_a_person_knows_is_all_that_nothing_is_offered_for() -> None:
    """A parameter's metavar decides what Tab offers: a new one must say something that is known."""
    unknown = {
        f'{" ".join(path)} {param["names"] or "argument"}: {param["takes"]}'
        for path, command in walk(saved())
        for param in command['params']
        if param['takes']
        and not param['choices']
        and not {*words_of(param['takes'])} & {*BY_METAVAR, *FILES, *FREE}
        and not {f'{" ".join(path)} {name}' for name in (*param['names'], param['takes'])} & set(BY_PLACE)
    }
    assert unknown == set()


def test_speed(project: Project) -> None:
    """Generous: about 0.1 s of a processor."""
    times = []
    for _ in range(3):
        start = processor_seconds()
        words(project, 'mlops run train@')
        times.append(processor_seconds() - start)
    assert min(times) < 0.6


def test_answers_need_no_command_and_no_command_line_library(project: Project) -> None:
    code = """
import sys
from mlops_cli.__main__ import main
try:
    main()
except SystemExit:
    sys.stderr.write('\\n'.join(sys.modules))
"""
    environ = {**project.environ, '_MLOPS_COMPLETE': 'complete_fish', 'COMP_LINE': 'mlops run train@'}
    python = [sys.executable, '-c', code]
    done = subprocess.run(python, cwd=project.path, env=environ, capture_output=True, text=True, check=True)
    assert 'train@tree' in done.stdout
    found = set(done.stderr.split())
    assert 'mlops_cli.cli.completion.completing' in found
    assert not found & {'typer', 'rich', 'sqlite3', 'networkx', 'mlops_cli.run.workbench', 'mlops_cli.fingerprint.stage'}


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('mlops run tr', shells.Typed(('mlops', 'run'), 'tr', 'tr', '')),
        ('mlops run ', shells.Typed(('mlops', 'run'), '', '', '')),
        ("mlops run 'a b", shells.Typed(('mlops', 'run'), 'a b', "'a b", "'")),
        ('mlops run "a \\" b', shells.Typed(('mlops', 'run'), 'a " b', '"a \\" b', '"')),
        ('mlops run a\\ b', shells.Typed(('mlops', 'run'), 'a b', 'a\\ b', '')),
        ("mlops 'r'un x", shells.Typed(('mlops', 'run'), 'x', 'x', '')),
        ("mlops '' ", shells.Typed(('mlops', ''), '', '', '')),
    ],
)
def test_a_line_is_split_as_shells_do(line: str, expected: shells.Typed) -> None:
    assert shells.typed(line) == expected


# A real shell, and somebody who presses Tab

START = {
    'bash': ['bash', '--norc', '--noprofile', '-i'],
    'zsh': ['zsh', '-f', '-i'],
    'fish': ['fish', '--no-config', '--interactive'],
}
INSTALLED = {
    'bash': ['bash', '--noprofile', '-i'],
    'zsh': ['zsh', '-d', '-i'],
    'fish': ['fish', '--interactive'],
}
SOURCE = {
    'bash': 'source "$HOME/completion"',
    'zsh': 'autoload -Uz compinit; compinit -D -u; source "$HOME/completion"',
    'fish': 'source $HOME/completion',
}


def pressed(project: Project, shell: str, typed: str, *, installed: bool = False) -> list[str]:
    """The words of the line after ``typed`` and Tab, as the shell itself reads them.  ``installed``: as --install-completion
    leaves it, in a new shell."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f'{shell} is not installed')
    home = Path(project.environ['HOME'])
    bin_folder = home / 'bin'
    bin_folder.mkdir(exist_ok=True)
    mlops = bin_folder / 'mlops'
    mlops.write_text(f'#!/bin/sh\nexec {sys.executable} -m mlops_cli "$@"\n')
    mlops.chmod(0o755)
    show = bin_folder / 'show'
    show.write_text(f'#!{sys.executable}\nimport sys\nprint("<<" + "|".join(sys.argv[1:]) + ">>")\n')
    show.chmod(0o755)
    (home / 'completion').write_text(shells.SCRIPTS[shell])
    environ = {**project.environ, 'PATH': f'{bin_folder}:{project.environ["PATH"]}', 'TERM': 'xterm', 'COLUMNS': '200'}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.path)
        os.execve(program, (INSTALLED if installed else START)[shell], environ)
    try:
        text = _converse(terminal, f'{"" if installed else SOURCE[shell]}\rshow re""ady\r', '<<ready>>')
        # Ctrl-A goes to the beginning of the line; the shell takes the line apart for us.
        text = _converse(terminal, f'{typed}\t\x01show \x05\r', '>>')
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(terminal)
    found = re.findall(r'<<([^<>]*)>>', text)
    assert found, text
    return found[-1].split('|')


def _converse(terminal: int, text: str, until: str) -> str:
    os.write(terminal, text.encode())
    heard, end = b'', time.monotonic() + 100
    while until.encode() not in heard:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f'no answer to {text!r}: {heard.decode(errors="replace")}'
        heard += os.read(terminal, 65536)
    return heard.decode(errors='replace')


@pytest.mark.parametrize('shell', list(shells.SCRIPTS))
@pytest.mark.parametrize(
    ('typed', 'line'),
    [
        ('mlops stat', ['mlops', 'status']),
        ('mlops run prep', ['mlops', 'run', 'prepare']),
        ('mlops run train@f', ['mlops', 'run', 'train@forest']),
        ('mlops run --set train.de', ['mlops', 'run', '--set', 'train.depth=']),
        ('mlops run --set train.depth=', ['mlops', 'run', '--set', 'train.depth=8']),
        ('mlops run --set=train.na', ['mlops', 'run', '--set=train.name=']),
        ('mlops checkout --at deep', ['mlops', 'checkout', '--at', 'deeper-trees']),
        ('FOO=1 mlops run out/f', ['FOO=1', 'mlops', 'run', 'out/forest.txt']),
        ('mlops add para', ['mlops', 'add', 'params.yaml']),
    ],
)
def test_tab_in_a_real_shell(project: Project, shell: str, typed: str, line: list[str]) -> None:
    assert pressed(project, shell, typed) == line


@pytest.mark.parametrize('shell', list(shells.SCRIPTS))
def test_a_hostile_name_is_a_word_and_nothing_more(project: Project, shell: str) -> None:
    assert pressed(project, shell, 'mlops run a') == ['mlops', 'run', 'a b/$(touch pwned)`touch pwned`;"x.txt']
    assert not project.exists('pwned')


@pytest.mark.parametrize('shell', list(shells.SCRIPTS))
def test_tab_in_a_new_shell_once_installed(project: Project, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', project.environ['HOME'])
    install(shell, project.environ)
    assert pressed(project, shell, 'mlops run train@f', installed=True) == ['mlops', 'run', 'train@forest']


# Installing


@pytest.mark.parametrize('shell', list(shells.SCRIPTS))
def test_it_is_installed_once(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert 'wrote' in install(shell, {})
    before = {path: path.read_text() for path in tmp_path.rglob('*') if path.is_file()}
    assert shells.SCRIPTS[shell] in before.values()
    assert 'added' not in install(shell, {})
    assert before == {path: path.read_text() for path in tmp_path.rglob('*') if path.is_file()}


def test_a_start_file_behind_a_link_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'dotfiles').write_text('alias x=y\n')
    (tmp_path / '.bashrc').symlink_to('dotfiles')
    install('bash', {})
    assert (tmp_path / '.bashrc').is_symlink() and (tmp_path / 'dotfiles').read_text().startswith('alias x=y\n\n. ')


def test_the_shell_is_told_by_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mlops_cli.cli.completion.shell_files._process', lambda pid: {7: ('python', 6), 6: ('fish', 1)}[pid])
    monkeypatch.setattr(os, 'getppid', lambda: 7)
    assert shell_of_user({'SHELL': '/bin/zsh'}) == 'fish'
    monkeypatch.setattr('mlops_cli.cli.completion.shell_files._process', lambda pid: ('', 0))
    assert shell_of_user({'SHELL': '/bin/zsh'}) == 'zsh'
    with pytest.raises(UserError, match='no completion for tcsh'):
        shell_of_user({'SHELL': '/bin/tcsh'})


def test_the_options_of_the_program(project: Project) -> None:
    program = f'{sys.executable} -m mlops_cli'
    done = subprocess.run(
        ['bash', '-c', f'{program} --show-completion; {program} --install-completion; exit'],  # it stays, and is their parent
        cwd=project.path,
        env=project.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(shells.BASH) and 'Tab completes in the next shell' in done.stdout
    assert (Path(project.environ['HOME']) / '.bashrc').read_text().startswith('\n. ')
    assert project.mlops(environ={'_MLOPS_COMPLETE': 'source_zsh'}).out == shells.ZSH
