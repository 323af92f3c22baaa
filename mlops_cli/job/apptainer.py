"""Containers of Apptainer: processes below who starts them, in the control group in which they were started, as whoever
started them.  Nobody need be root, and there is no daemon: what clusters have.

An image is one file.  It is made once in the host's folder, of which all nodes of a cluster have the same."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from mlops_cli.core.errors import UserError
from mlops_cli.core.job import Process
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job.container import HOST_OWN, Container
from mlops_cli.job.desk import TICK
from mlops_cli.job.environments import LOCKED, SOURCE, NotMade

LOCK_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
WORK = 'container'  # in the folder of the job: what is temporary in there, and its home
OPTIONS = ('APPTAINER', 'SINGULARITY', 'LD_')  # begin the names of variables by which it is told what else to do
WAYS = ('CONFIGDIR', 'CONFIG_FILE', 'CACHEDIR', 'TMPDIR', 'USERNS', 'UNSQUASH')  # it works there; the rest changes stages
# What it makes something else of than a variable of the same name and value.
TAKEN = frozenset(('APPEND_PATH', 'PREPEND_PATH', 'SING_USER_DEFINED_PATH', 'SING_USER_DEFINED_APPEND_PATH',
                   'SING_USER_DEFINED_PREPEND_PATH', 'APPTAINER_APPNAME', 'UID', 'EUID', 'GID', 'PROMPT_COMMAND'))  # fmt: skip
PATIENCE_SECONDS = 10.0  # for who looks whether an image can go


class Apptainer(Container):
    shared = True

    @property
    def file(self) -> str:
        return self.image if self.image.startswith('/') else self.place

    @property
    def files(self) -> tuple[str, ...]:
        return () if self.file == self.image else (f'{self.place}{LOCKED}',)

    def has_image(self) -> bool:
        return os.path.exists(self.file)

    def pull(self, unwanted: Callable[[], object], lock: int) -> None:
        """Whoever makes the file has the lock as long as that runs: should we be killed, nobody else begins beside it."""
        if self.file == self.image:
            raise NotMade(f'there is no image {self.image} there', hint='name a file that is there, or an image of a registry')
        folder = f'{self.place}{SOURCE}'
        _remove(folder)
        os.mkdir(folder, 0o700)
        source = self.image if '://' in self.image else f'docker://{self.image}'
        hint = f'does it reach the registry? there: {self.called} pull {source}'
        environ = {**self.environ, f'{self._prefix}_TMPDIR': folder}  # a machine's own may be too small for an image
        try:
            self.asked(['--nocolor', '--quiet', 'pull', '--disable-cache', f'{folder}/image', source],
                       f'its image cannot be had: {self.called} ended with', hint, unwanted, (lock,), environ)  # fmt: skip
            with open(f'{folder}/image', 'rb') as file:
                os.fsync(file.fileno())
            os.rename(f'{folder}/image', self.place)
        finally:
            with suppress(OSError, UserError):
                _remove(folder)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """As long as somebody uses it, it is not taken for one that can go."""
        if any(',' in folder for folder in self.folders):
            raise NotMade('its folder there has a comma in its path, which Apptainer does not mount',
                          hint='add the host with another one')
        fds = [os.open(path, LOCK_FLAGS, 0o600) for path in self.files]
        try:
            until = time.monotonic() + PATIENCE_SECONDS
            while not all(try_lock(fd, exclusive=False) for fd in fds) and time.monotonic() < until:
                time.sleep(TICK)
            if not self.has_image():
                raise NotMade('its image was removed at this moment, as nobody had used it for long', hint='run it again')
            for fd in fds:
                os.utime(fd)
            os.makedirs(self._work, 0o700, exist_ok=True)
            yield
        finally:
            for fd in fds:
                os.close(fd)

    def processes(self, given: Iterable[Process], directory: str, names: Iterable[str], cards: Sequence[str]  # noqa: ARG002
                  ) -> tuple[Process, ...]:
        """``names`` go in by :meth:`variables`.  ``cards``: all devices are there, and ``CUDA_VISIBLE_DEVICES`` says which."""
        words = [self.program, '--nocolor', '--silent', 'exec', '--containall', '--no-eval', '--workdir', self._work,
                 '--pwd', directory]  # fmt: skip
        for folder in self.folders:
            words += ['--bind', folder]
        words += ['--nv'] if cards else []
        return tuple(Process((*words, self.file, *one.argv)) for one in given)

    def variables(self, variables: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
        """What begins as its own options do is taken from the host alone, and of that what changes nothing in there."""
        given = {name: variables[name] for name in names if name in variables and name not in HOST_OWN}
        if taken := sorted(name for name in given if name in TAKEN):
            raise NotMade(f'its variable {taken[0]} cannot go into a container: {self.called} makes something else of it',
                          hint='call it otherwise')
        kept = {name: value for name, value in variables.items() if not name.startswith(OPTIONS) and name not in HOST_OWN}
        its_own = {name: value for name, value in self.environ.items()
                   if name in HOST_OWN or (name.startswith(OPTIONS) and name.partition('_')[2] in WAYS)}  # fmt: skip
        return {**kept, **its_own, **{f'{self._prefix}ENV_{name}': value for name, value in given.items()}}

    def clear(self) -> None:
        with suppress(OSError, UserError):
            _remove(self._work)

    @property
    def _work(self) -> str:
        return f'{self.folders[0]}/{WORK}'

    @property
    def _prefix(self) -> str:
        return self.called.upper()


def _remove(path: str) -> None:
    """Also of who is not root: an image, and what a stage leaves, may have folders that nobody may write to."""
    place, _, name = path.rpartition('/')
    with suppress(FileNotFoundError), Root(place) as root:
        root.remove_tree(name)
