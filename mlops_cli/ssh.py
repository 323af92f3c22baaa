"""The door to OpenSSH: the user's own program, configuration, keys and agent.  Nothing that a project says is on its command
line but the address, which is checked."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple

from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.programs import find_program

if TYPE_CHECKING:
    import subprocess  # slow to load

CONNECT_SECONDS = 10
OPTIONS = (
    'BatchMode=yes',  # never asks
    'StrictHostKeyChecking=yes',  # whatever the configuration says: no host is believed that nobody has looked at
    f'ConnectTimeout={CONNECT_SECONDS}',
    'ServerAliveInterval=15',
    'ServerAliveCountMax=4',
    'ForwardAgent=no',
    'ForwardX11=no',
    'ClearAllForwardings=yes',
    'PermitLocalCommand=no',
    'RemoteCommand=none',
    'RequestTTY=no',
)
_HOST = pattern(r'[A-Za-z0-9_:][A-Za-z0-9._@:%-]*')  # no option; a colon begins some addresses of IPv6
_OF_A_LOGIN = ('PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'TZ', 'LD_LIBRARY_PATH', 'XDG_CACHE_HOME', 'SLURM_CONF')
PIPE = 1 << 20  # bytes between us and ssh
_KEPT = 8 << 10  # bytes of what it says that are remembered


class Explained(NamedTuple):
    """What went wrong, and what helps.  ``passing``: it may be better a little later; ``gone``: a
    connection that had begun."""

    problem: str
    hint: str
    passing: bool = False
    gone: bool = False


class Missing(Exception):
    """There is no ssh here."""


def argv(host: str, port: int | None, command: str) -> list[str]:
    """``command``: for a shell over there; a constant of ours.  Raises ValueError for a host that could be anything else,
    Missing."""
    if not _HOST.fullmatch(host):
        raise ValueError(f'{host[:80]!r} is no name of a host')
    program = find_program('ssh')
    if program is None:
        raise Missing
    options = [word for option in OPTIONS for word in ('-o', option)]
    return [program, '-T', *options, *([] if port is None else ['-p', str(int(port))]), '--', host, command]


def bare(environ: Mapping[str, str]) -> dict[str, str]:
    """Of an environment here, what a command on a host has of its own there."""
    return {name: value for name, value in environ.items() if name in _OF_A_LOGIN or name.startswith('LC_')}


class Session:
    """A command on a host.  ``source``: what it prints; ``target``: what it reads, both raw descriptors."""

    def __init__(self, words: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        """``words``: of :func:`argv`, or a program of this machine's, with ``environ``.  Raises OSError."""
        import subprocess

        pipe = subprocess.PIPE
        # In a session of its own: Ctrl-C is ours to answer, and without a terminal nothing can be asked.
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True, env=environ
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.target, self.source = self.process.stdin.fileno(), self.process.stdout.fileno()
        for fd in (self.source, self.target):
            with suppress(OSError, AttributeError):  # fewer turns of programs for many MiB
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE)
        self._said = b''
        self._listener = threading.Thread(target=self._listen, name='ssh-errors', daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 4096):
            self._said = (self._said + data)[-_KEPT:]

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, seconds: float) -> int:
        """The exit code; negative for a signal.  What does not end in time is ended."""
        import subprocess

        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.wait()
        self._listener.join(1)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Behind :meth:`wait`."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def said(self) -> str:
        """Its last words on standard error."""
        return self._said.decode(errors='replace')

    def explained(self, reach: str, code: int) -> Explained:
        """As :func:`explain`, of what it said; behind :meth:`wait`."""
        return explain(reach, self.said, code)


# What OpenSSH says, in order: the first that fits is the cause.
_CAUSES = (
    ('REMOTE HOST IDENTIFICATION HAS CHANGED', 'its host key is another one than it was',
     'ask who runs it whether that is right; then ssh-keygen -R {host}, and ssh {host} once'),
    ('Host key verification failed', 'its host key is not known here',
     'ssh {host} once: compare the fingerprint that it shows, and say yes'),
    ('host key is known for', 'its host key is not known here',
     'ssh {host} once: compare the fingerprint that it shows, and say yes'),
    ('Permission denied', 'it takes none of the keys that ssh offers',
     'does ssh {host} work without a password? IdentityFile in ~/.ssh/config names a key, ssh-add unlocks one'),
    ('Too many authentication failures', 'it was offered too many keys',
     'name the right one in ~/.ssh/config: IdentityFile, with IdentitiesOnly yes'),
    ('Could not resolve hostname', 'there is no such host, or no network',
     'mend the url (mlops hosts list, mlops remote list), or ~/.ssh/config'),
    ('Connection refused', 'nothing there takes connections of ssh',
     'is the host up, and the port right? does ssh {host} work?'),
    ('timed out', 'it does not answer', 'are the host and the network up? does ssh {host} work?'),
    ('No route to host', 'there is no way to it', 'is the network up? does ssh {host} work?'),
    ('Network is unreachable', 'there is no network', 'is the network up? does ssh {host} work?'),
    ('Bad owner or permissions', 'ssh refuses its own configuration', 'ssh {host} says which file: chmod 600 it'),
    ('Bad configuration option', 'ssh does not understand its configuration', 'ssh {host} says which line'),
)  # fmt: skip


_PASSING = ('nothing there', 'it does not', 'there is no', 'the connection')


def explain(reach: str, said: str, code: int) -> Explained:
    """Why a connection did not come about, or ended.  ``reach``: what ssh is told, for hints, '' for none; ``said``:
    what it said; ``code``: how it ended."""
    for words, problem, hint in _CAUSES:
        if words in said:
            return Explained(problem, hint.format(host=reach), problem.startswith(_PASSING))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = ''.join(character if character.isprintable() else '?' for character in lines[-1][:200]) if lines else ''
    what = f': {last}' if last else ''
    if not reach:
        return Explained(f'a process on this machine ended with {code}{what}', 'does /bin/sh work here?', code < 0, code < 0)
    if code == 255 or code < 0:
        return Explained(f'the connection is gone{what}', f'does ssh {reach} work?', True, True)
    return Explained(f'its shell ends with {code}{what}', f'does ssh {reach} echo hello work?')


# Signatures


def sign(data: bytes, key: str, namespace: str) -> str:
    """The signature of some bytes by a key of the user's (a file, or the public half of one that the agent holds), as OpenSSH
    writes it.  May ask for its passphrase where there is a terminal.  Raises Missing, ValueError with what ssh-keygen said."""
    import subprocess

    program = _keygen()
    done = subprocess.run(
        [program, '-Y', 'sign', '-q', '-n', namespace, '-f', os.path.abspath(key)], input=data, capture_output=True, check=False
    )
    if done.returncode or not done.stdout.startswith(b'-----BEGIN SSH SIGNATURE-----'):
        raise ValueError(done.stderr.decode(errors='replace').strip()[:400] or f'ssh-keygen ended with {done.returncode}')
    return done.stdout.decode('ascii')


def signature_problem(data: bytes, signature: str, identity: str, namespace: str, signers: bytes) -> str:
    """Why a signature does not show that who is called so said these bytes; empty where it does.  ``signers``: whose keys
    count, in OpenSSH's format of allowed signers.  Writes no file.  Raises Missing."""
    import subprocess

    program = _keygen()
    if not identity or identity.startswith('-') or not signature.startswith('-----BEGIN SSH SIGNATURE-----\n'):
        return 'it is no signature of OpenSSH' if identity else 'it does not say whose it is'
    with _as_file(signers) as allowed, _as_file(signature.encode('ascii', 'replace')) as said:
        fds = allowed.fileno(), said.fileno()
        files = [f'/dev/fd/{fd}' for fd in fds]
        done = subprocess.run(
            [program, '-Y', 'verify', '-f', files[0], '-I', identity, '-n', namespace, '-s', files[1]],
            input=data, capture_output=True, check=False, pass_fds=fds,
        )  # fmt: skip
    if done.returncode == 0:
        return ''
    text = (done.stderr or done.stdout).decode(errors='replace').strip().splitlines()
    return text[-1][:200] if text else f'ssh-keygen ended with {done.returncode}'


def signers_of(data: bytes, signature: str, namespace: str, signers: bytes) -> tuple[str, ...]:
    """Who of those whose keys count signed these bytes; nobody where the signature is not good.  Raises Missing."""
    import subprocess

    if not signature.startswith('-----BEGIN SSH SIGNATURE-----\n'):
        return ()
    with _as_file(signers) as allowed, _as_file(signature.encode('ascii', 'replace')) as said:
        fds = allowed.fileno(), said.fileno()
        done = subprocess.run(
            [_keygen(), '-Y', 'find-principals', '-s', f'/dev/fd/{fds[1]}', '-f', f'/dev/fd/{fds[0]}'],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=fds,
        )  # fmt: skip
    names = done.stdout.decode(errors='replace').split('\n') if done.returncode == 0 else []
    found = dict.fromkeys(part for name in names for part in name.split(',') if part and not set(part) & {'*', '?', '!'})
    return tuple(name for name in found if not signature_problem(data, signature, name, namespace, signers))


def _keygen() -> str:
    program = find_program('ssh-keygen')
    if program is None:
        raise Missing
    return program


def _as_file(data: bytes) -> IO[bytes]:
    """Something that another program can open and read, but nobody finds on a disk."""
    import tempfile

    fd = os.memfd_create('mlops') if hasattr(os, 'memfd_create') else -1
    found: IO[bytes] = open(fd, 'w+b') if fd >= 0 else tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
    found.write(data)
    found.flush()
    found.seek(0)
    return found
