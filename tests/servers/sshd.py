"""A real sshd on loopback, with keys of its own, and a program ``ssh`` that takes only the configuration written here.

Installs nothing: without OpenSSH's server, what needs one is skipped with the reason."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.ports import reserved

START_SECONDS = 100
HOST = 'farhost'  # as the configuration calls it


def lacks() -> str:
    """Why there is no sshd here, or ''."""
    for name, where in (('sshd', '/usr/sbin'), ('ssh', ''), ('ssh-keygen', '')):
        if shutil.which(name, path=f'{os.environ.get("PATH", os.defpath)}:{where}') is None:
            return f'there is no {name} on this machine: apt-get install openssh-server openssh-client'
    return ''


@dataclass(frozen=True)
class Sshd:
    """``folder``: keys, configuration, logs.  ``home``: of who logs in there.  ``bin``: has the ``ssh`` that knows the host."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / 'home'

    @property
    def bin(self) -> Path:
        return self.folder / 'bin'

    @property
    def environ(self) -> dict[str, str]:
        """What a program needs to reach it."""
        return {'PATH': f'{self.bin}{os.pathsep}{os.environ.get("PATH", os.defpath)}'}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('PATH', self.environ['PATH'])

    def url(self, folder: Path | str) -> str:
        return f'ssh://{HOST}{folder}'

    def configure(self, *lines: str) -> Path:
        """A folder for PATH with an ``ssh`` with a configuration in which these lines stand for the usual ones."""
        made = self.folder / f'bin-{abs(hash(lines)) % 10**12}' if lines else self.bin
        made.mkdir(exist_ok=True)
        config = made / 'config'
        said = {line.split()[0] for line in lines}
        usual = [line for line in self._usual() if line.split()[0] not in said]
        config.write_text('\n'.join([f'Host {HOST}', *lines, *usual]) + '\n')
        config.chmod(0o600)
        program = made / 'ssh'
        ssh = shutil.which('ssh', path=os.environ.get('PATH', os.defpath).replace(f'{self.bin}{os.pathsep}', ''))
        program.write_text(f'#!/bin/sh\nexec {ssh} -F {shlex.quote(str(config))} "$@"\n')
        program.chmod(0o755)
        return made

    def _usual(self) -> list[str]:
        return [
            'HostName 127.0.0.1', f'Port {self.port}', f'IdentityFile {self.folder / "key"}', 'IdentitiesOnly yes',
            'IdentityAgent none', f'UserKnownHostsFile {self.folder / "known_hosts"}', 'GlobalKnownHostsFile /dev/null',
        ]  # fmt: skip


@contextmanager
def running(folder: Path, *lines: str, before: Sequence[str] = ()) -> Iterator[Sshd]:
    """A server until the end of the block.  ``lines``: of its configuration, before the usual ones; ``before``: words in front
    of the program.  Raises pytest.skip."""
    if why := lacks():
        pytest.skip(why)
    with reserved(1) as (port,):
        yield from _running(folder, port, lines, before)


def _running(folder: Path, port: int, lines: Sequence[str], before: Sequence[str]) -> Iterator[Sshd]:
    for name in ('host', 'key', 'other'):
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', folder / name], check=True)
    (folder / 'home').mkdir()
    (folder / 'known_hosts').write_text(f'[127.0.0.1]:{port} {(folder / "host.pub").read_text()}')
    config = [
        'ListenAddress 127.0.0.1', f'Port {port}', f'HostKey {folder / "host"}', 'PidFile none', 'UsePAM no', *lines,
        f'AuthorizedKeysFile {folder / "key.pub"}', 'StrictModes no', 'PasswordAuthentication no', 'PrintMotd no',
        'KbdInteractiveAuthentication no', 'MaxStartups 200', f'SetEnv HOME={folder / "home"} XDG_CACHE_HOME=',
    ]  # fmt: skip
    (folder / 'sshd_config').write_text('\n'.join(config) + '\n')
    if os.getuid() == 0:
        os.makedirs('/run/sshd', exist_ok=True)  # where it separates its privileges
    program = shutil.which('sshd', path=f'{os.environ.get("PATH", os.defpath)}:/usr/sbin')
    with (folder / 'sshd.log').open('wb') as log:
        argv = [*before, str(program), '-D', '-e', '-f', str(folder / 'sshd_config')]
        process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _await(port, process, folder / 'sshd.log')
        server = Sshd(folder, port, process)
        server.configure()
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as one:
            if one.connect_ex(('127.0.0.1', port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f'sshd does not start: {log.read_text()[-2000:]}')
        time.sleep(0.02)
