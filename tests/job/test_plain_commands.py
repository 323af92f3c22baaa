"""A script that is one program with plain words is started without the shell, and nobody can tell the difference."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.job.spawn import _OF_SHELLS, _plain_words

ENVIRONMENT = {b'PATH': b'/usr/bin:/bin'}


def plain(text: str, environment: dict[bytes, bytes] = ENVIRONMENT) -> list[bytes] | None:
    return _plain_words([b'/bin/sh', b'-e', b'-c', text.encode()], environment)


@pytest.mark.parametrize(('text', 'words'), [
    ('cp a.txt out/b.txt', [b'cp', b'a.txt', b'out/b.txt']),
    ('  python  -m\ttrain --rate=0.1 @file a:b,c+d%e\n', [b'python', b'-m', b'train', b'--rate=0.1', b'@file', b'a:b,c+d%e']),
    ('./run.sh', [b'./run.sh']),
])
def test_plain_words_are_the_programs(text: str, words: list[bytes]) -> None:
    assert plain(text) == words


@pytest.mark.parametrize('text', [
    '', ' \n', 'a\nb', 'a; b', 'a & b', 'a | b', 'a > b', 'a < b', 'a $B', 'a `b`', "a 'b'", 'a "b"', 'a \\b', 'a *', 'a ?',
    'a [b]', 'a ~', 'a ~/b', 'a {b,c}', 'a #b', 'a !b', '! a', 'a ^ b', '(a)', 'A=b', 'A=b c', 'a =b', '%1', '-a', '+a', ',a',
    '@a', 'a\rb', 'a\0b', 'é', 'echo a', 'cd b', '. a', ': a', 'exec a', 'if', 'test a', 'true', 'command a', 'time a',
])
def test_everything_else_is_for_the_shell(text: str) -> None:
    assert plain(text) is None


def test_a_program_that_the_environment_makes_a_function_is_for_the_shell() -> None:
    assert plain('tool x', {**ENVIRONMENT, b'BASH_FUNC_tool%%': b'() { :; }'}) is None
    assert plain('tool x', {**ENVIRONMENT, b'BASH_FUNC_tool()': b'() { :; }'}) is None
    assert plain('tool x', {}) is None  # a shell has a PATH of its own


def test_only_scripts_as_stages_have_them_are_looked_at() -> None:
    for text in ('/bin/sh -c a', '/bin/bash -e -c a', '/bin/sh -e -c a more', 'a b'):
        assert _plain_words([os.fsencode(word) for word in text.split()], ENVIRONMENT) is None


SHELLS = [found for name in ('sh', 'dash', 'bash', 'ksh', 'zsh', 'busybox') if (found := shutil.which(name))]


@pytest.mark.parametrize('shell', SHELLS)
def test_what_this_systems_shells_do_themselves_is_known(shell: str, tmp_path: Path) -> None:
    """Of the programs on the path, none but those known, and those that a shell does as the program does."""
    argv = [shell, 'sh'] if shell.endswith('busybox') else [shell]
    names = sorted(set(os.listdir('/usr/bin')) | set(os.listdir('/bin')))
    script = '\n'.join(f'type {name}' for name in names if name.isalnum() and name.isascii())
    said = subprocess.run([*argv, '-c', script], capture_output=True, text=True, check=False, cwd=tmp_path).stdout
    own = {line.split()[0] for line in said.splitlines() if 'builtin' in line or 'keyword' in line or 'reserved' in line}
    assert own <= {word.decode() for word in _OF_SHELLS} | {'cat', 'sleep', 'basename', 'dirname', 'mkdir'}


@pytest.mark.parametrize('environment', [{}, {'PWD': '/'}, {'PWD': 'elsewhere'}, {'PWD': '/none'}, {'A': 'b', 'OLDPWD': '/'}])
def test_the_program_sees_what_a_shell_would_give_it(scene: Any, environment: dict[str, str]) -> None:
    (scene.folder / 'sub').mkdir()
    given = {'PATH': '/usr/bin:/bin', **environment}
    seen = []
    for text in ('env', 'env ;'):
        outcome, log = scene.run(['/bin/sh', '-e', '-c', text], environment=given, directory='sub')
        assert outcome.exit_code == 0
        lines = {line for line in log.splitlines() if not line.startswith(('MLOPS_ATTEMPT=', '_=', 'SHLVL='))}
        seen.append(lines)
    assert seen[0] == seen[1]
    assert f'PWD={scene.folder}/sub' in seen[0]


def test_a_folder_that_was_reached_by_a_link_keeps_its_name(scene: Any, tmp_path: Path) -> None:
    (tmp_path / 'link').symlink_to(scene.folder)
    given = {'PATH': '/usr/bin:/bin', 'PWD': str(tmp_path / 'link')}
    assert f'PWD={tmp_path}/link\n' in scene.run(['/bin/sh', '-e', '-c', 'env'], environment=given)[1]


@pytest.mark.parametrize('name', ['nosuchprogram', './nosuch', './plain.txt', './folder', './wrong', './fails', './text'])
def test_what_cannot_run_or_fails_is_told_as_the_shell_tells_it(scene: Any, name: str) -> None:
    (scene.folder / 'plain.txt').write_text('x')
    (scene.folder / 'folder').mkdir()
    for file, text in (('wrong', '#!/no/such\n'), ('fails', '#!/bin/sh\nexit 7\n'), ('text', 'echo text; exit 5\n')):
        (scene.folder / file).write_text(text)
        (scene.folder / file).chmod(0o755)
    given = {'PATH': '/usr/bin:/bin'}
    outcomes = [scene.run(['/bin/sh', '-e', '-c', text], environment=given) for text in (name, f'{name} ;')]
    (one, first), (two, second) = outcomes
    assert (one.ending, one.exit_code, one.message) == (two.ending, two.exit_code, two.message)
    assert first == second


def test_a_plain_command_has_no_shell_above_it(scene: Any) -> None:
    given = {'PATH': '/usr/bin:/bin'}
    _, log = scene.run(['/bin/sh', '-e', '-c', 'cat /proc/self/stat'], environment=given)
    assert int(log.rpartition(')')[2].split()[1]) == scene.supervisor.pid
