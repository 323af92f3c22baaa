"""A far end that lies: a program called ``ssh`` that says what it likes.  Nothing of it is believed, kept or waited for."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode
from mlops_cli.store import frames, ssh_line
from mlops_cli.store.bucket import Unreachable
from mlops_cli.store.depot import Depot, index_key, pack_key
from mlops_cli.store.objects import Damaged
from mlops_cli.store.packs import Packing
from mlops_cli.store.ssh import SshBucket

START = """\
#!{python}
import sys, json
sys.path.insert(0, {here!r})
from mlops_cli.store import frames
source, target = sys.stdin.buffer, sys.stdout.buffer
def say(data):
    target.write(data); target.flush()
def begin(hello=None, ready=None):
    source.readline(); source.read(int(source.readline())); source.readline()
    say(frames.MAGIC + json.dumps(hello or {{'version': 1, 'python': '3', 'suffix': '', 'bundle': ''}}).encode() + b'\\n')
    say(json.dumps(ready or {{'ready': True, 'check': 'blake3'}}).encode() + b'\\n')
def value(number, data):
    seen = frames.check('blake3'); seen.update(data)
    say(frames.encode(frames.DATA, number, data) + frames.end(number, seen))
def asked():
    frame = frames.read(source)
    while frame is not None and frame.kind != frames.ASK:
        frame = frames.read(source)
    if frame is None:
        sys.exit(0)
    return frame.number, frames.facts_of(frame.data)
"""


@pytest.fixture
def liar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], SshBucket]:
    def made(script: str) -> SshBucket:
        program = tmp_path / 'bin/ssh'
        program.parent.mkdir(exist_ok=True)
        here = str(Path(frames.__file__).parents[2])
        program.write_text(START.format(python=sys.executable, here=here) + textwrap.dedent(script))
        program.chmod(0o755)
        monkeypatch.setenv('PATH', f'{program.parent}{os.pathsep}{os.environ["PATH"]}')
        return SshBucket('ssh://liar/x')

    monkeypatch.setattr('mlops_cli.store.ssh.LONGEST', 0.01)
    return made


@pytest.mark.parametrize(
    'script',
    [
        "say(b'x' * (1 << 20)); source.read()",
        "say(frames.MAGIC + b'y' * (1 << 20)); source.read()",
        "say(frames.MAGIC + b'[1]\\n')",
        "say(frames.MAGIC + b'{\"version\": 1, \"version\": 1}\\n')",
        "begin({'version': 2})",
        "begin(ready={'ready': True, 'check': 'none'})",
        "begin(ready={'failed': 'line\\n\\x1b[31mline', 'hint': 7})",
        "begin(); number, _ = asked(); say(b'D' + (1).to_bytes(4, 'big') + (1 << 31).to_bytes(4, 'big')); source.read()",
        "begin(); number, _ = asked(); say(b'Z' + (1).to_bytes(4, 'big') + bytes(4)); source.read()",
        "begin(); number, _ = asked(); say(frames.document(frames.DONE, 99, {})); source.read()",
        "begin(); number, _ = asked(); say(frames.encode(frames.DONE, number, b'[' * 60000)); source.read()",
        "begin(); number, _ = asked(); say(frames.encode(frames.DONE, number, b'{\"size\": -1}')); source.read()",
        "begin(); number, _ = asked(); say(frames.encode(frames.DONE, number, b'{\"size\": \"x\"}')); source.read()",
        "begin(); number, _ = asked(); value(number, b'what'); source.read()",
        "begin(); number, _ = asked(); say(frames.document(frames.FAILED, number, {'problem': 'a\\nb\\x07'})); source.read()",
    ],
)  # fmt: skip
def test_what_it_says_is_refused_in_a_line(liar: Callable[[str], SshBucket], script: str) -> None:
    bucket = liar(script)
    with pytest.raises(Unreachable) as caught:
        bucket.size('a/1')
    bucket.close()
    error = caught.value
    assert error.exit_code == ExitCode.UNREACHABLE and error.message.isprintable() and len(error.message) < 700


@pytest.mark.parametrize(
    'data',
    [
        "b'123'",  # fewer bytes than were asked for
        "b'1' * 5000",
        "b'1' * (1 << 20), b'1' * (1 << 20)",
    ],
)
def test_other_bytes_than_were_asked_for(liar: Callable[[str], SshBucket], data: str) -> None:
    bucket = liar(f'begin()\nwhile True:\n    number, _ = asked()\n    for part in [{data}]:\n        value(number, part)')
    with pytest.raises(Unreachable, match='the other end'):
        bucket.get('a/1', 0, 4000)
    bucket.close()


def test_a_wrong_check(liar: Callable[[str], SshBucket]) -> None:
    script = """
        begin(); number, _ = asked()
        say(frames.encode(frames.DATA, number, b'1234') + frames.encode(frames.END, number, bytes(32))); source.read()
    """
    bucket = liar(script)
    with pytest.raises(Unreachable, match='check is wrong'):
        bucket.get('a/1', 0, 4)
    bucket.close()


@pytest.mark.parametrize(
    'rows',
    [
        '[["b/1", 1, 0]]', '[["a/../1", 1, 0]]', '[["a//1", 1, 0]]', '[["a/\\u001b", 1, 0]]', '[["a/1", -1, 0]]',
        '[["a/1", true, 0]]', '[["a/1", 1, NaN]]', '[["a/1", 1, 1e9999]]',
        '[["a/1", 1]]', '{"a": 1}', '[["a/1", 1, 0]', '[[[["a/1", 1, 0]]]]', '[1]', '[["a/1", 1e9999, 0]]',
        '\\udcff', '[' * 50_000,
    ],
)  # fmt: skip
def test_a_listing_that_is_none(liar: Callable[[str], SshBucket], rows: str) -> None:
    bucket = liar(f'begin(); number, _ = asked(); value(number, {rows.encode()!r}); source.read()')
    with pytest.raises(Unreachable, match='listing'):
        list(bucket.list('a'))
    bucket.close()


def test_more_there_already_than_there_can_be(liar: Callable[[str], SshBucket], tmp_path: Path) -> None:
    (tmp_path / 'large').write_bytes(bytes(9 << 20))
    have = b'{"have": 99999999}'
    bucket = liar(f'begin(); number, _ = asked(); say(frames.encode(frames.DATA, number, {have!r})); source.read()')
    with (tmp_path / 'large').open('rb') as file, pytest.raises(Unreachable, match='a number that is none'):
        bucket.put_file('a/1', file.fileno(), 9 << 20, lambda _: None)
    bucket.close()


def test_other_objects_are_never_served(liar: Callable[[str], SshBucket]) -> None:
    """Frames may be right, and what they bring not be what was asked for."""
    wanted = b'wanted'
    packing = Packing()
    packing.add(digest_of(wanted), wanted)
    name, pack, index = packing.finish()
    listing = [[pack_key(name), len(pack), 0], [index_key(name), len(index), 0]]
    script = f"""
        begin()
        while True:
            number, facts = asked()
            if facts['do'] == 'list':
                value(number, json.dumps({listing!r} if facts['folder'] == 'packs-v1' else []).encode())
            elif facts['key'].endswith('.index'):
                value(number, {index!r})
            else:
                value(number, b'x' * (facts['end'] - facts['start']))
    """
    depot = Depot(liar(script))
    with pytest.raises(Damaged):
        for _, chunks in depot.get([digest_of(wanted)]):
            b''.join(chunks)
    depot.close()


def test_one_that_says_nothing_more(liar: Callable[[str], SshBucket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_line, 'STALL_SECONDS', 0.2)
    monkeypatch.setattr('mlops_cli.store.ssh.TRIES', 2)
    bucket = liar('begin(); source.read()')
    with pytest.raises(Unreachable, match='nothing moves any more, 2 times'):
        bucket.size('a/1')
    bucket.close()


def test_one_that_takes_nothing_more(liar: Callable[[str], SshBucket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_line, 'STALL_SECONDS', 0.2)
    monkeypatch.setattr('mlops_cli.store.ssh.TRIES', 2)
    bucket = liar('begin(); import time; time.sleep(60)')
    with pytest.raises(Unreachable, match='nothing moves any more, 2 times'):
        bucket.put('a/1', bytes(4 << 20))
    bucket.close()


def test_one_that_does_not_begin(liar: Callable[[str], SshBucket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_line, 'HELLO_SECONDS', 0.2)
    bucket = liar('source.read()')
    with pytest.raises(Unreachable, match='does not answer'):
        bucket.size('a/1')
    bucket.close()
