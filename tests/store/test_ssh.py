"""A remote behind a real sshd: what can go wrong on the way there is told in a line; what is cut off goes on."""

from __future__ import annotations

import io
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import blake3
import pytest

from mlops_cli import ssh
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.store import bundle, far, far_blake3, frames, ssh_line
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.ssh import SshBucket
from tests.servers.sshd import HOST, Sshd, running


def fails(bucket: SshBucket) -> Unreachable:
    """What writing to it says: one line, with what helps."""
    with pytest.raises(Unreachable) as caught:
        bucket.put('a/1', b'x')
    bucket.close()
    error = caught.value
    assert error.exit_code == ExitCode.UNREACHABLE and '\n' not in error.message + error.hint and error.hint
    assert error.message.startswith(bucket.where)
    return error


@pytest.mark.parametrize(
    ('lines', 'said', 'hint'),
    [
        (('IdentityFile {folder}/other',), 'none of the keys', 'ssh-add'),
        (('UserKnownHostsFile /dev/null',), 'host key is not known', 'compare the fingerprint'),
        (('StrictHostKeyChecking no', 'UserKnownHostsFile /dev/null'), 'host key is not known', 'compare the fingerprint'),
        (('UserKnownHostsFile {folder}/changed',), 'another one than it was', 'ssh-keygen -R farhost'),
        (('HostName nowhere.invalid',), 'no such host', 'mlops remote list'),
        (('Port 9',), 'nothing there takes connections', 'is the host up'),
        (('NoSuchOption yes',), 'configuration', 'ssh farhost'),
    ],
)
def test_what_is_wrong_is_told(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines: tuple[str, ...], said: str, hint: str
) -> None:
    known = (sshd.folder / 'known_hosts').read_text().split()
    (sshd.folder / 'changed').write_text(f'{known[0]} {(sshd.folder / "other.pub").read_text()}')
    mine = sshd.configure(*(line.format(folder=sshd.folder) for line in lines))
    monkeypatch.setenv('PATH', f'{mine}{os.pathsep}{os.environ["PATH"]}')
    error = fails(SshBucket(sshd.url(tmp_path / 'remote')))
    assert said in error.message and hint in error.hint
    assert not (tmp_path / 'remote').exists()


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', '/nowhere')
    assert 'no ssh' in fails(SshBucket(f'ssh://{HOST}/x')).message


def test_no_python_there(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    error = fails(SshBucket(sshd.url(tmp_path / 'remote'), 'python2.7'))
    assert 'no Python from 3.11 on' in error.message and 'python:' in error.hint
    monkeypatch.setattr('mlops_cli.store.ssh.COMMAND', 'exec /bin/false')
    assert 'ends with 1' in fails(SshBucket(sshd.url(tmp_path / 'remote'))).message


@pytest.mark.parametrize('url', ['ssh://host', 'ssh://host/', 'ssh://-oProxyCommand=x/f', 'ssh:///x', 'ssh://a b/x', 'ssh://$(x)/f'])
def test_a_host_is_no_option_and_no_command(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(UserError) as caught:
        SshBucket(url).put('a/1', b'x')
    assert caught.value.exit_code == ExitCode.WRONG_INPUT


@pytest.mark.parametrize(
    ('url', 'host', 'port', 'folder'),
    [
        ('ssh://ada@gpu:2222/data/x/', 'ada@gpu', 2222, '/data/x'),
        ('ssh://gpu/~', 'gpu', None, '~'),
        ('ssh://gpu/~/x y', 'gpu', None, '~/x y'),
        ('ssh://gpu/~ada', 'gpu', None, '/~ada'),
        ('ssh://ada@[::1]:22/x', 'ada@::1', 22, '/x'),
        ('ssh://[fe80::1]/x', 'fe80::1', None, '/x'),
    ],
)
def test_what_ssh_is_told(url: str, host: str, port: int | None, folder: str) -> None:
    bucket = SshBucket(url)
    assert (bucket._host, bucket._port, bucket._folder) == (host, port, folder)
    words = ssh.argv(bucket._host, bucket._port, 'command')
    assert words[-3:] == ['--', host, 'command'] and (port is None) == ('-p' not in words)
    assert all(word in words for word in ('BatchMode=yes', 'StrictHostKeyChecking=yes', 'ForwardAgent=no'))


def test_the_python_that_is_named_and_a_folder_below_the_home(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    sshd.use(monkeypatch)
    bucket = SshBucket(f'ssh://{HOST}/~/store of mine/$(touch x)', '/usr/bin/python3')
    bucket.put('a/1', b'one')
    bucket.close()
    assert (sshd.home / 'store of mine/$(touch x)/a/1').read_bytes() == b'one'


def test_a_host_without_a_compiled_blake3(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    monkeypatch.setattr(bundle, 'SUFFIX', '.another-machine.so')
    bucket = SshBucket(sshd.url(tmp_path / 'remote'))
    bucket.put('a/1', b'one' * 100_000)
    assert bucket.get('a/1') == b'one' * 100_000
    assert bucket._line is not None and bucket._line.check == 'blake2b'
    bucket.close()


def test_a_shell_that_greets(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    monkeypatch.setattr('mlops_cli.store.ssh.COMMAND', f'echo hello; printf "\\0mlops"; {ssh_line.COMMAND}')
    bucket = SshBucket(sshd.url(tmp_path / 'remote'))
    bucket.put('a/1', b'one')
    assert bucket.get('a/1') == b'one'
    bucket.close()


def test_the_bundle_is_brought_once_and_again_when_it_is_damaged(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sshd.use(monkeypatch)
    packed: list[bool] = []
    real = bundle.packed
    monkeypatch.setattr(bundle, 'packed', lambda compiled: packed.append(compiled) or real(compiled))
    kept = sshd.home / '.cache/mlops/bundles-v1' / bundle.name(True)

    def size() -> int | None:
        bucket = SshBucket(sshd.url(tmp_path / 'remote'))
        try:
            return bucket.size('a/1')
        finally:
            bucket.close()

    size()
    packed.clear()
    size()
    assert packed == []
    (kept / 'mlops_cli/store/far.py').write_text('')
    (kept / 'mlops_cli/fsio/ops.py').write_text('nonsense(')
    size()
    assert packed == [True]


# The connection is cut


def kill_far_ends(folder: Path) -> int:
    """The processes of ssh of this test, on this side; how many."""
    count = 0
    for name in os.listdir('/proc'):
        try:
            words = Path(f'/proc/{name}/cmdline').read_bytes().split(b'\0') if name.isdigit() else []
        except OSError:
            continue
        if len(words) > 3 and words[0].endswith(b'ssh') and str(folder).encode() in b' '.join(words[:4]):
            with suppress(ProcessLookupError):
                os.kill(int(name), signal.SIGKILL)
                count += 1
    return count


def while_cutting(bucket: SshBucket, times: int, work: Callable[[int], None]) -> None:
    """Kill the connection at random moments, and ``work`` until it was done so often, and once after that."""
    ended, chance = threading.Event(), random.Random(times)

    def cut() -> None:
        done = 0
        while done < times and not ended.wait(chance.uniform(0.001, 0.08)):
            line = bucket._line
            if line is not None and line.lost is None:
                line._session.kill()
                done += 1

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        for trial in itertools.count():
            last = not thread.is_alive()
            work(trial)
            if last:
                return
    finally:
        ended.set()
        thread.join()


def test_what_is_cut_off_goes_on(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    monkeypatch.setattr('mlops_cli.store.ssh.LONGEST', 0.1)
    bucket = SshBucket(sshd.url(tmp_path / 'remote'))
    made: list[bool] = []

    def work(trial: int) -> None:
        contents = {f'{trial}/{number}': random.Random(number).randbytes(number * 40_000) for number in range(12)}
        for key, data in contents.items():
            bucket.put(key, data)
            made.append(bucket.put_new(f'{key}-new', data))
            assert bucket.get(key) == data
        assert len([*bucket.list(str(trial))]) == 24

    bucket.size('0/0')
    first = bucket._line
    while_cutting(bucket, 6, work)
    assert bucket._line is not first and made and all(made)  # also where the answer to the first try was lost
    bucket.close()


def test_a_large_value_goes_on_where_it_was_cut(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    data = random.Random(1).randbytes(60 << 20)
    path = tmp_path / 'large'
    path.write_bytes(data)
    sent: list[int] = []

    class Enough(Exception):
        pass

    def count(size: int) -> None:
        sent.append(size)
        if sum(sent) > 30 << 20 and first:
            raise Enough

    first = True
    with path.open('rb') as file:
        bucket = SshBucket(sshd.url(tmp_path / 'remote'))
        with pytest.raises(Enough):
            bucket.put_file('a/large', file.fileno(), len(data), count)
        bucket.close()
        first, [kept] = False, [*(tmp_path / 'remote/tmp').iterdir()]
        assert kept.name.startswith('partial-') and kept.stat().st_size > 8 << 20
        asked: list[int] = []
        real = ssh_line.Call.have
        monkeypatch.setattr(ssh_line.Call, 'have', lambda call, size: asked.append(real(call, size)) or asked[-1])
        again = SshBucket(sshd.url(tmp_path / 'remote'))
        sent.clear()
        again.put_file('a/large', file.fileno(), len(data), count)
        assert asked[0] > 8 << 20 and sum(sent) == len(data)
        assert (tmp_path / 'remote/a/large').read_bytes() == data and not [*(tmp_path / 'remote/tmp').iterdir()]
        # Of something else there is the beginning: it is noticed, and sent from the start.
        (tmp_path / 'remote/tmp' / kept.name).write_bytes(b'x' * (20 << 20))
        (tmp_path / 'remote/a/large').unlink()
        again.put_file('a/large', file.fileno(), len(data), count)
        assert (tmp_path / 'remote/a/large').read_bytes() == data and not [*(tmp_path / 'remote/tmp').iterdir()]
        again.close()


def test_nothing_is_left_there_of_who_was_killed(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sshd.use(monkeypatch)
    bucket = SshBucket(sshd.url(tmp_path / 'remote'))
    bucket.put('a/1', b'one')
    assert bucket._line is not None
    with bucket._line.call({'do': 'put', 'key': 'a/2', 'size': 100, 'new': False}) as call:
        call.send_data(memoryview(b'half of it'))
        time.sleep(0.1)
        kill_far_ends(sshd.folder)
    end = time.monotonic() + 60
    while [*(tmp_path / 'remote/tmp').iterdir()]:
        assert time.monotonic() < end
        time.sleep(0.02)
    bucket.close()


@pytest.mark.skipif(os.getuid() != 0, reason='only root may mount')
def test_no_space_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    disk, keys = tmp_path / 'disk', tmp_path / 'sshd'
    disk.mkdir()
    keys.mkdir()
    inside = f'mount -t tmpfs -o size=3m none {disk} && exec "$@"'
    with running(keys, before=('unshare', '-m', 'sh', '-c', inside, '-')) as server:
        server.use(monkeypatch)
        bucket = SshBucket(server.url(disk / 'remote'))
        bucket.put('a/1', b'x' * 1000)
        with pytest.raises(Unreachable) as caught:
            bucket.put('a/2', bytes(8 << 20))
        assert 'No space left on device' in caught.value.message and 'not full' in caught.value.hint
        with (tmp_path / 'large').open('wb+') as file:
            file.truncate(20 << 20)
            with pytest.raises(Unreachable, match='No space left on device'):
                bucket.put_file('a/3', file.fileno(), 20 << 20, lambda _: None)
        assert sorted(found.key for found in bucket.list('a')) == ['a/1'] and bucket.get('a/1') == b'x' * 1000
        bucket.close()


# What the far end is sent is not believed either


def served(folder: Path, *sent: bytes) -> tuple[int, bytes]:
    """(exit code, all that it answers behind its first line)."""
    target = io.BytesIO()
    code = far.serve(io.BytesIO(b''.join(sent)), target, str(folder))
    return code, target.getvalue().partition(b'\n')[2]


@pytest.mark.parametrize(
    'key',
    ['', '/etc/passwd', '../x', 'a/../../x', 'a//b', 'a/', 'tmp/x', 'a/\n', 'a\0', 'a\\b', 'é', 'x' * 600, 7, None, ['a']],
)
@pytest.mark.parametrize('do', ['get', 'size', 'put', 'put_file', 'list'])
def test_a_key_that_leads_elsewhere(tmp_path: Path, do: str, key: object) -> None:
    (tmp_path / 'x').write_text('secret')
    asked = {'do': do, 'key': key, 'folder': key, 'start': 0, 'end': None, 'size': 3, 'new': False}
    value = frames.encode(frames.DATA, 1, b'abc'), frames.encode(frames.END, 1, bytes(32))
    _, said = served(tmp_path / 'remote', frames.document(frames.ASK, 1, asked), *value)
    assert b'secret' not in said and (b'that is none' in said or (do == 'list' and key == ''))
    assert sorted(os.listdir(tmp_path)) in (['x'], ['remote', 'x'])


def test_links_there_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'remote').mkdir()
    (tmp_path / 'secret').mkdir()
    (tmp_path / 'secret/1').write_text('secret')
    (tmp_path / 'remote/a').symlink_to(tmp_path / 'secret')
    asked = {'do': 'get', 'key': 'a/1', 'start': 0, 'end': None}
    _, said = served(tmp_path / 'remote', frames.document(frames.ASK, 1, asked))
    assert b'secret' not in said.replace(b'"', b'') or said.startswith(b'F')


@pytest.mark.parametrize(
    'sent',
    [
        b'Q' * 40,
        b'Q\0\0\0\x01\0\0\0\x05nope!',
        b'D\0\0\0\x01\xff\xff\xff\xff',
        b'Q\0\0\0\x01\x0f\0\0\0',
        frames.document(frames.ASK, 1, {'do': 'put', 'key': 'a/1', 'size': 1}) * 2,
    ],
)
def test_what_is_garbled_ends_it(tmp_path: Path, sent: bytes) -> None:
    code, _ = served(tmp_path / 'remote', sent)
    assert code == 1 and not (tmp_path / 'remote/a/1').exists()


@pytest.mark.parametrize('rest', [b'', b'E\0\0\0\x01\0\0\0\x20' + bytes(32), b'D\0\0\0\x01\0\0\0\x04four'])
def test_a_value_that_is_not_what_was_announced(tmp_path: Path, rest: bytes) -> None:
    asked = frames.document(frames.ASK, 1, {'do': 'put', 'key': 'a/1', 'size': 3, 'new': False})
    code, said = served(tmp_path / 'remote', asked, frames.encode(frames.DATA, 1, b'abc'), rest)
    assert code == 0 and not (tmp_path / 'remote/a/1').exists() and not [*(tmp_path / 'remote/tmp').iterdir()]
    assert not rest or said.startswith(b'F')


# Pure parts


def test_the_vector_of_the_page() -> None:
    assert frames.document(frames.ASK, 1, {'do': 'size', 'key': 'a/1'}).hex() == (
        '5100000001000000197b22646f223a2273697a65222c226b6579223a22612f31227d'
    )
    assert frames.document(frames.DONE, 1, {'size': 3}) == bytes.fromhex('52000000010000000a') + b'{"size":3}'
    seen = frames.check('blake3')
    seen.update(b'abc')
    assert frames.encode(frames.DATA, 2, b'abc').hex() == '440000000200000003616263'
    assert frames.end(2, seen).hex() == (
        '450000000200000020'
        '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85'
    )


@pytest.mark.parametrize('size', [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 3073, 4097, 8192, 31745])
def test_blake3_in_plain_python(size: int) -> None:
    chance = random.Random(size)
    data, key = chance.randbytes(size), chance.randbytes(32)
    pieces = far_blake3.blake3()
    for start in range(0, size, 777):
        pieces.update(data[start : start + 777])
    assert pieces.digest() == far_blake3.blake3(data).digest() == blake3.blake3(data).digest()
    assert far_blake3.blake3(data, key=key).hexdigest() == blake3.blake3(data, key=key).hexdigest()
    context = {'derive_key_context': 'mlops test'}
    assert far_blake3.blake3(data, **context).digest() == blake3.blake3(data, **context).digest()
