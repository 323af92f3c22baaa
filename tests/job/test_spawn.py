"""Programs are found, and not found, as a shell would; the argv kind of command has no shell to do it."""
from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from mlops_cli.job.wire import Inbox, encode


def script(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def run(scene, *argv, path='', **fields):
    return scene.run(list(argv), environment={'PATH': f'{path}:/usr/bin:/bin'.lstrip(':')}, **fields)


def test_a_name_is_looked_up_in_the_stages_own_path(scene, tmp_path):
    script(tmp_path / 'bin/hello', '#!/bin/sh\necho "hello $1"\n')
    outcome, log = run(scene, 'hello', 'two words', path=tmp_path / 'bin')
    assert (outcome.exit_code, log) == (0, 'hello two words\n')


def test_the_first_executable_wins(scene, tmp_path):
    script(tmp_path / 'one/tool', '#!/bin/sh\necho one\n', 0o644)
    (tmp_path / 'two/tool').mkdir(parents=True)
    script(tmp_path / 'three/tool', '#!/bin/sh\necho three\n')
    outcome, log = run(scene, 'tool', path=f'{tmp_path}/one:{tmp_path}/two:{tmp_path}/none:{tmp_path}/three')
    assert (outcome.exit_code, log) == (0, 'three\n')


def test_relative_programs_and_path_entries_start_at_the_jobs_folder(scene):
    script(scene.folder / 'sub/x.sh', '#!/bin/sh\npwd -P\n')
    assert run(scene, './x.sh', directory='sub')[1] == f'{scene.folder}/sub\n'
    assert run(scene, 'sub/x.sh')[1] == f'{scene.folder}\n'
    assert run(scene, 'x.sh', path='sub')[1] == f'{scene.folder}\n'
    assert run(scene, 'x.sh', path='/none:', directory='sub')[1] == f'{scene.folder}/sub\n'


def test_a_text_without_a_first_line_is_a_shell_script(scene):
    script(scene.folder / 'x', 'echo "shell $1"; exit 3\n')
    outcome, log = run(scene, './x', 'a b')
    assert (outcome.exit_code, log) == (3, 'shell a b\n')


def test_an_environment_without_path_still_finds_the_shell(scene):
    outcome, log = scene.run(['sh', '-c', 'echo found'], environment={})
    assert (outcome.exit_code, log) == (0, 'found\n')


@pytest.mark.parametrize(('argv', 'code', 'words'), [
    (['nosuchprogram'], 127, 'command not found: nosuchprogram (PATH is /usr/bin:/bin)'),
    (['./nosuchprogram'], 127, 'command not found: ./nosuchprogram (looked from {folder})'),
    (['file/x'], 127, 'command not found: file/x'),
    ([''], 127, 'command not found'),
    (['./file'], 126, './file is not executable'),
    (['.'], 127, 'command not found: .'),
    (['./folder'], 126, './folder is a folder'),
    (['./orphan'], 127, './orphan: the interpreter that its first line names does not exist'),
    (['./foreign'], 126, './foreign is a program for another kind of machine'),
])
def test_what_cannot_run(scene, argv, code, words):
    script(scene.folder / 'file', 'x', 0o644)
    (scene.folder / 'folder').mkdir()
    script(scene.folder / 'orphan', '#!/no/such/interpreter\n')
    script(scene.folder / 'foreign', '\x7fELF\x01\x00\x00')
    outcome, log = run(scene, *argv)
    assert (outcome.ending, outcome.exit_code) == ('exited', code)
    assert words.format(folder=scene.folder) in outcome.message
    assert log == f'mlops: {outcome.message}\n'


def test_a_name_in_path_that_is_not_executable(scene, tmp_path):
    script(tmp_path / 'bin/tool', 'x', 0o644)
    outcome, _ = run(scene, 'tool', path=tmp_path / 'bin')
    assert (outcome.exit_code, outcome.message) == (126, f'{tmp_path}/bin/tool is not executable')


def test_later_processes_are_looked_up_when_their_turn_comes(scene):
    outcome, log = scene.run('printf "#!/bin/sh\\necho made\\n" > made; chmod +x made', ['./made'], ['./no'])
    assert (outcome.ending, outcome.exit_code) == ('exited', 127)
    assert log.startswith('made\nmlops: command not found: ./no')


def test_a_folder_that_goes_between_two_processes(scene):
    (scene.folder / 'sub').mkdir()
    outcome, _ = scene.run('rmdir ../sub', 'true', directory='sub')
    assert (outcome.ending, outcome.exit_code) == ('exited', 126)
    assert 'cannot enter the folder' in outcome.message


def test_arguments_arrive_as_they_are(scene):
    words = ['', ' ', 'a\nb', '$HOME', "it's", '*', '😀', os.fsdecode(b'\xff\x80'), '-x', '\\']
    code = 'import os, sys; os.write(1, b"|".join(map(os.fsencode, sys.argv[1:])))'
    job = scene.job([sys.executable, '-I', '-S', '-c', code, *words])
    scene.supervisor.submit(job)
    assert scene.outcome().succeeded
    assert Path(job.log).read_bytes() == b'|'.join(map(os.fsencode, words))


def test_an_argument_longer_than_the_kernel_takes(scene):
    outcome, _ = run(scene, 'echo', 'x' * 3_000_000)
    assert outcome.exit_code == 126
    assert 'Argument list too long' in outcome.message
    assert run(scene, 'true')[0].succeeded


def test_a_nul_byte_is_told_not_raised(scene):
    outcome, _ = run(scene, 'echo', 'a\0b')
    assert (outcome.ending, outcome.exit_code) == ('not-started', None)
    assert 'null' in outcome.message


def test_no_folder_is_kept_busy(scene):
    (scene.folder / 'sub').mkdir()
    run(scene, 'true', directory='sub')
    assert os.readlink(f'/proc/{scene.supervisor.pid}/cwd') == '/'


def test_the_supervisor_is_small(scene):
    scene.run('true')
    status = Path(f'/proc/{scene.supervisor.pid}/status').read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith('VmHWM'))
    assert peak < 20_000  # KiB; it is the floor of what short stages seem to need
    loaded = Path(f'/proc/{scene.supervisor.pid}/maps').read_text()
    assert '_json' not in loaded
    assert stat.S_ISFIFO(os.stat(f'/proc/{scene.supervisor.pid}/fd/3').st_mode)


@pytest.mark.parametrize('step', [1, 3, 7, 1000])
def test_messages_arrive_whole_however_they_are_cut(step):
    messages = [('run', {'a': b'\xff', 'b': None}), ('cancel', 'é', True), ('x', 'y' * 300), ()]
    data = b''.join(map(encode, messages))
    inbox = Inbox()
    found = [message for begin in range(0, len(data), step) for message in inbox.feed(data[begin:begin + step])]
    assert found == messages
    assert inbox.feed(b'') == []
