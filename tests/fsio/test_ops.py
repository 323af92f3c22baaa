"""Every change passes one place: recorded with full paths, made to fail at will, told in a sentence."""
from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core.errors import ExitCode
from mlops_cli.fsio import native, ops
from mlops_cli.fsio.errors import machine_error


@pytest.fixture
def folder(tmp_path: Path) -> int:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_new_file_is_private_and_not_inherited(tmp_path: Path, folder: int) -> None:
    fd = ops.open_new('x', dir_fd=folder)
    try:
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
        assert not os.get_inheritable(fd)
        ops.write(fd, b'abc')
        ops.write(fd, memoryview(bytearray(b'def')))
        ops.pwrite(fd, b'A', 0)
        ops.truncate(fd, 5)
    finally:
        os.close(fd)
    assert (tmp_path / 'x').read_bytes() == b'Abcde'


def test_new_file_refuses_a_taken_name_and_says_where(tmp_path: Path, folder: int) -> None:
    (tmp_path / 'x').touch()
    with pytest.raises(FileExistsError) as caught:
        ops.open_new('x', dir_fd=folder)
    assert caught.value.filename == str(tmp_path / 'x')


@pytest.mark.parametrize('open_file', [ops.open_append, ops.open_permanent, ops.open_new])
def test_opening_for_change_follows_no_link(tmp_path: Path, open_file: Any) -> None:
    (tmp_path / 'real').write_bytes(b'old')
    (tmp_path / 'link').symlink_to('real')
    with pytest.raises(OSError):
        open_file(str(tmp_path / 'link'))
    assert (tmp_path / 'real').read_bytes() == b'old'


def test_permanent_file_keeps_its_content(tmp_path: Path) -> None:
    path = str(tmp_path / 'locks')
    for text in (b'one', b'two'):
        fd = ops.open_permanent(path)
        ops.pwrite(fd, text, 3 * (text == b'two'))
        os.close(fd)
    assert Path(path).read_bytes() == b'onetwo'


def test_error_of_a_descriptor_names_the_file(tmp_path: Path) -> None:
    (tmp_path / 'x').touch()
    fd = os.open(tmp_path / 'x', os.O_RDONLY)
    try:
        with pytest.raises(OSError) as caught:
            ops.write(fd, b'abc')
    finally:
        os.close(fd)
    assert (caught.value.errno, caught.value.filename) == (errno.EBADF, str(tmp_path / 'x'))


def test_error_of_two_paths_names_both(tmp_path: Path, folder: int) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        ops.rename('a', 'b', src_dir_fd=folder, dst_dir_fd=folder)
    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / 'a'), str(tmp_path / 'b'))


def test_exchange_swaps_folders(tmp_path: Path, folder: int) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a/in-a').touch()
    (tmp_path / 'b').mkdir()
    ops.exchange('a', 'b', src_dir_fd=folder, dst_dir_fd=folder)
    assert (tmp_path / 'b/in-a').exists()


def test_rename_noreplace_does_not_replace(tmp_path: Path, folder: int) -> None:
    (tmp_path / 'a').write_bytes(b'a')
    (tmp_path / 'b').write_bytes(b'b')
    with pytest.raises(FileExistsError):
        ops.rename_noreplace('a', 'b', src_dir_fd=folder, dst_dir_fd=folder)
    ops.rename_noreplace(str(tmp_path / 'a'), str(tmp_path / 'c'))
    assert (tmp_path / 'c').read_bytes() == b'a'


def test_what_the_system_lacks_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, '_rename_call', lambda: None)
    monkeypatch.setattr(native, '_sync_range_call', lambda: None)
    with pytest.raises(OSError) as caught:
        ops.exchange(str(tmp_path / 'a'), str(tmp_path / 'b'))
    assert caught.value.errno == errno.ENOTSUP
    fd = ops.open_new(str(tmp_path / 'x'))
    assert ops.sync_range(fd) is False
    os.close(fd)


def test_link_does_not_follow_a_symbolic_link(tmp_path: Path, folder: int) -> None:
    (tmp_path / 'real').touch()
    ops.symlink('real', 'sym', dir_fd=folder)
    ops.link('sym', 'hard', src_dir_fd=folder, dst_dir_fd=folder)
    assert (tmp_path / 'hard').is_symlink()


def test_chmod_changes_files_and_refuses_links(tmp_path: Path, folder: int) -> None:
    (tmp_path / 'x').touch()
    (tmp_path / 'link').symlink_to('x')
    ops.chmod('x', 0o444, dir_fd=folder)
    assert stat.S_IMODE((tmp_path / 'x').stat().st_mode) == 0o444
    with pytest.raises(OSError):
        ops.chmod('link', 0o777, dir_fd=folder)
    assert stat.S_IMODE((tmp_path / 'x').stat().st_mode) == 0o444


def test_times_of_paths_and_descriptors(tmp_path: Path) -> None:
    path = tmp_path / 'x'
    fd = ops.open_new(str(path))
    ops.utime(fd, (5, 7))
    assert path.stat().st_mtime_ns == 7
    ops.utime(str(path), (5, 8))
    assert path.stat().st_mtime_ns == 8
    ops.utime(fd)
    ops.utime(str(path))
    os.close(fd)
    assert path.stat().st_mtime_ns > 8


def test_reflink_is_true_with_the_content_or_false_with_nothing(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes(b'x' * 10_000)
    source = os.open(tmp_path / 'a', os.O_RDONLY)
    target = ops.open_new(str(tmp_path / 'b'))
    done = ops.reflink(source, target)
    os.close(source)
    os.close(target)
    assert (tmp_path / 'b').read_bytes() == (b'x' * 10_000 if done else b'')


def test_recorder_sees_each_change_before_it_happens(tmp_path: Path, folder: int) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def listen(operation: str, details: dict[str, Any]) -> None:
        if operation == 'mkdir':
            assert not (tmp_path / 'd').exists()
        seen.append((operation, details))

    with ops.record(listen):
        fd = ops.open_new('a', dir_fd=folder)
        ops.write(fd, b'one')
        ops.rename('a', 'b', src_dir_fd=folder, dst_dir_fd=folder)
        ops.write(fd, b'two')
        ops.fsync(fd)
        os.close(fd)
        ops.mkdir('d', dir_fd=folder)
    ops.rmdir('d', dir_fd=folder)
    operations = [operation for operation, _ in seen]
    assert operations == ['open', 'write', 'rename', 'write', 'fsync', 'mkdir']
    details = [found for _, found in seen]
    a, b = str(tmp_path / 'a'), str(tmp_path / 'b')
    assert (details[0]['path'], details[0]['mode']) == (a, 0o600)
    assert (details[1]['path'], details[1]['offset'], details[1]['data']) == (a, 0, b'one')
    assert (details[2]['source'], details[2]['target']) == (a, b)
    assert (details[3]['path'], details[3]['offset'], details[3]['data']) == (b, 3, b'two')
    assert details[1]['inode'] == details[3]['inode'] == details[4]['inode']


def test_recorder_tells_where_an_appended_write_lands(tmp_path: Path) -> None:
    (tmp_path / 'log').write_bytes(b'12345')
    seen: list[int] = []
    fd = ops.open_append(str(tmp_path / 'log'))
    with ops.record(lambda _, details: seen.append(details['offset'])):
        ops.write(fd, b'6')
    os.close(fd)
    assert seen == [5]


def test_injected_failure_happens_instead_and_is_not_recorded(tmp_path: Path) -> None:
    seen: list[str] = []

    def fail(operation: str, _details: dict[str, Any]) -> None:
        if operation == 'write':
            raise OSError(errno.ENOSPC, 'No space left on device')

    fd = ops.open_new(str(tmp_path / 'x'))
    with ops.record(lambda operation, _: seen.append(operation)), ops.inject(fail), pytest.raises(OSError) as caught:
        ops.write(fd, b'abc')
    ops.write(fd, b'def')
    os.close(fd)
    assert seen == []
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / 'x'))
    assert (tmp_path / 'x').read_bytes() == b'def'


@pytest.mark.parametrize(('number', 'word'), [
    (errno.ENOSPC, 'df -i'), (errno.EDQUOT, 'quota'), (errno.EIO, 'dmesg'), (errno.EACCES, 'permits'),
    (errno.EROFS, 'read-only'), (errno.EMFILE, 'ulimit'), (errno.ENOLCK, 'local disk'), (errno.ELOOP, 'try again')])
def test_machine_error_says_where_what_and_what_next(number: int, word: str) -> None:
    error = machine_error(OSError(number, os.strerror(number), '/data/x'), 'store the output')
    assert error.exit_code == ExitCode.MACHINE
    assert error.message == f'cannot store the output: /data/x: {os.strerror(number)}'
    assert word in error.hint


def test_machine_error_of_two_paths_and_of_none() -> None:
    both = machine_error(OSError(errno.EXDEV, 'Invalid cross-device link', 'a', None, 'b'), 'move it')
    assert both.message == 'cannot move it: a -> b: Invalid cross-device link'
    assert machine_error(OSError('odd'), 'do it').message == 'cannot do it: odd'


def test_nothing_slow_is_imported_for_it() -> None:
    program = ('import sys; from mlops_cli.fsio import ops, paths, atomic, durable, locks, journal; '
               'print(" ".join(sorted({"ctypes", "logging", "subprocess", "asyncio", "concurrent"} & set(sys.modules))))')
    found = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ''


def test_a_change_that_a_signal_interrupts_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As network file systems do to calls of which Python does not expect it; and what was done is done once."""
    interruptions, real = [errno.EINTR] * 2, os.rename

    def interrupted(source: str, target: str, **folders: int | None) -> None:
        if interruptions:
            raise InterruptedError(interruptions.pop(), 'Interrupted system call')
        real(source, target)

    (tmp_path / 'there').write_bytes(b'x')
    monkeypatch.setattr(os, 'rename', interrupted)
    ops.rename(str(tmp_path / 'there'), str(tmp_path / 'now'))
    assert (tmp_path / 'now').read_bytes() == b'x' and not interruptions


def test_no_change_lets_an_interruption_through(tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def interrupts(operation: str, _details: dict[str, Any]) -> None:
        seen[operation] = seen.get(operation, 0) + 1
        if seen[operation] <= 2:
            raise InterruptedError(errno.EINTR, 'Interrupted system call')

    with ops.inject(interrupts):
        ops.mkdir(str(tmp_path / 'd'))
        fd = ops.open_new(str(tmp_path / 'd/x'))
        ops.write(fd, b'abc')
        ops.pwrite(fd, b'd', 3)
        ops.truncate(fd, 3)
        ops.fchmod(fd, 0o600)
        ops.utime(fd)
        ops.fsync(fd)
        ops.sync_range(fd)
        os.close(fd)
        ops.chmod(str(tmp_path / 'd/x'), 0o644)
        ops.link(str(tmp_path / 'd/x'), str(tmp_path / 'd/y'))
        ops.rename_noreplace(str(tmp_path / 'd/y'), str(tmp_path / 'd/z'))
        ops.symlink('x', str(tmp_path / 'd/l'))
        ops.rename(str(tmp_path / 'd/x'), str(tmp_path / 'd/z'))
        for name in ('l', 'z', 'x'):
            if os.path.lexists(tmp_path / 'd' / name):
                assert name != 'z' or (tmp_path / 'd/z').read_bytes() == b'abc'
                ops.unlink(str(tmp_path / 'd' / name))
        ops.rmdir(str(tmp_path / 'd'))
    assert all(count > 2 for count in seen.values()) and len(seen) >= 13, seen


@pytest.mark.parametrize('call', [
    lambda folder, file: os.open('gone', os.O_RDONLY, dir_fd=folder),
    lambda folder, file: os.stat('gone', dir_fd=folder),
    lambda folder, file: os.listdir(file),
    lambda folder, file: os.read(folder, 1),
])
def test_an_error_of_what_only_reads_gets_the_full_path(tmp_path: Path, folder: int, call: Any) -> None:
    (tmp_path / 'x').write_bytes(b'')
    file = os.open(tmp_path / 'x', os.O_RDONLY)
    try:
        with pytest.raises(OSError) as caught, ops.Naming(folder):
            call(folder, file)
    finally:
        os.close(file)
    assert isinstance(caught.value.filename, str) and caught.value.filename.startswith(str(tmp_path))


def test_an_error_that_has_its_full_path_keeps_it(folder: int) -> None:
    with pytest.raises(FileNotFoundError) as caught, ops.Naming(folder):
        os.stat('/nowhere/x')
    assert caught.value.filename == '/nowhere/x'
