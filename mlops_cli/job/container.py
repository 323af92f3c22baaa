"""A container of an image, as a job sees it: what starts what in it, and that nothing of it is left (docs/formats/host.md)."""
from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING

from mlops_cli.core.job import Process
from mlops_cli.job.desk import TICK, Unwanted
from mlops_cli.job.environments import NotMade

if TYPE_CHECKING:
    from mlops_cli.job.gauge import Gauge

END_SECONDS = 60.0  # that it may take to take a container away
HOST_OWN = frozenset(('PATH', 'HOME', 'LD_LIBRARY_PATH', 'LD_PRELOAD'))  # an image has its own


class Container(ABC):
    """``program``: absolute path.  ``job``: whose it is.  ``environ``: for the program itself.  ``folders``: absolute paths
    that stand in it as they do outside, that of the job first.  ``engine``: whether a cluster started the job.  ``place``: in
    the host's folder, where an image that is a file lies."""

    shared = False  # whether an image that one node of a cluster has is all nodes'

    def __init__(self, program: str, image: str, job: str, environ: Mapping[str, str], folders: tuple[str, ...] = (),
                 engine: bool = False, place: str = '') -> None:
        self.program, self.image, self.job, self.environ, self.folders = program, image, job, environ, folders
        self.engine, self.place = engine, place

    @property
    def files(self) -> tuple[str, ...]:
        """To be locked (shared) as long as anything uses it."""
        return ()

    @property
    def called(self) -> str:
        """The program, as people type it."""
        return os.path.basename(self.program)

    @abstractmethod
    def processes(self, given: Iterable[Process], directory: str, names: Iterable[str], cards: Sequence[str]
                  ) -> tuple[Process, ...]:
        """Each in a container.  ``names``: of the variables that go in; their values are in no process list.  ``cards``: GPUs,
        by their uuids."""

    @abstractmethod
    def pull(self, unwanted: Callable[[], object], lock: int) -> None:
        """``lock``: descriptor of that by which others wait for it.  Raises NotMade, Unwanted, OSError."""

    @abstractmethod
    def has_image(self) -> bool:
        """Without asking any registry.  Raises NotMade where it cannot be asked."""

    @abstractmethod
    def clear(self) -> None:
        """Nothing of the job's is left, however it ended."""

    def variables(self, variables: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:  # noqa: ARG002
        """What the program is started with, so that those of these names have their values in there.  Raises NotMade where
        one cannot have it."""
        return dict(variables)

    def kept(self) -> AbstractContextManager[object]:
        """While its image is used.  Raises NotMade, OSError."""
        return nullcontext()

    def guarded(self, grace_seconds: float) -> AbstractContextManager[object]:  # noqa: ARG002
        """While it is used: who ends what is in it where this process is killed."""
        return nullcontext()

    def gauge(self) -> Gauge | None:
        """What measures it, where its processes are not below who starts it."""
        return None

    def asked(self, words: Sequence[str], failed: str, hint: str, unwanted: Callable[[], object], fds: tuple[int, ...] = (),
              environ: Mapping[str, str] | None = None) -> None:
        """``fds``: that it has open, too.  Raises NotMade where it fails; Unwanted."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen([self.program, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd='/',
                                       env=environ or self.environ, start_new_session=True, pass_fds=fds)  # fmt: skip
            try:
                while process.poll() is None:
                    if unwanted() is not None:
                        raise Unwanted
                    time.sleep(TICK / 5)
            finally:
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if process.returncode:
                said.seek(0)
                lines = [line.strip() for line in said.read(1 << 16).decode(errors='replace').splitlines() if line.strip()]
                last = f': {lines[-1][:300]}' if lines else ''
                raise NotMade(f'{failed} {process.returncode}{last}', hint=hint)

    def told(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What it says at once; 255 where it does not answer in time, or cannot be started."""
        try:
            return subprocess.run([self.program, *words], env=self.environ, cwd='/', stdin=subprocess.DEVNULL, check=False,
                                  capture_output=True, text=True, errors='replace', timeout=END_SECONDS)  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return subprocess.CompletedProcess(words, 255, '', str(error))


class Named(Container):
    """With a name, by which it can be taken away, as podman and docker have it: both take the same words."""

    @property
    def name(self) -> str:
        return f'mlops-{self.job}'

    @abstractmethod
    def options(self, cards: Sequence[str]) -> list[str]:
        """Of its own for ``run``.  ``cards``: GPUs, by their uuids."""

    @abstractmethod
    def entry(self, program: str) -> str:
        """What it takes for ``--entrypoint``."""

    def processes(self, given: Iterable[Process], directory: str, names: Iterable[str], cards: Sequence[str]
                  ) -> tuple[Process, ...]:
        words = [self.program, 'run', '--rm', f'--name={self.name}', '--pull=never', '--network=host', '--log-driver=none',
                 '--security-opt=label=disable', f'--workdir={directory}']  # fmt: skip
        words += [f'--volume={folder}:{folder}' for folder in self.folders]
        words += [f'--env={name}' for name in sorted({*names} - HOST_OWN)]
        words += self.options(cards)
        return tuple(
            Process((*words, f'--entrypoint={self.entry(one.argv[0])}', self.image, *one.argv[1:])) for one in given
        )

    def pull(self, unwanted: Callable[[], object], lock: int) -> None:  # noqa: ARG002
        hint = f'does it reach the registry? there: {self.called} pull {self.image}'
        self.asked(['pull', '--quiet', self.image], f'its image cannot be had: {self.called} ended with', hint, unwanted)
