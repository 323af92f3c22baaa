"""Runs what a job runs in containers of an image, by podman: its containers are processes below who starts them, so they are
measured and ended as others are (docs/formats/host.md)."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.core.job import Process
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job.desk import TICK, Unwanted
from mlops_cli.job.environments import FOLDER, LOCKED, NotMade

PROGRAM = 'podman'
OTHERS = ('docker', 'apptainer', 'singularity')
END_SECONDS = 60.0  # that podman may take to take a container away
HOST_OWN = frozenset(('PATH', 'HOME', 'LD_LIBRARY_PATH', 'LD_PRELOAD'))  # an image has its own


@dataclass(frozen=True)
class Container:
    """``name``: of the container.  ``environ``: for podman itself.  ``folders``: absolute paths that stand in it as they do
    outside."""

    program: str
    image: str
    name: str
    environ: Mapping[str, str]
    folders: tuple[str, ...] = ()

    def processes(self, given: Iterable[Process], directory: str, names: Iterable[str], cards: Sequence[str]
                  ) -> tuple[Process, ...]:
        """``names``: of the variables that go in; their values are in no process list.  ``cards``: GPUs, by their uuids."""
        words = [self.program, 'run', '--rm', f'--name={self.name}', '--pull=never', '--network=host', '--log-driver=none',
                 '--security-opt=label=disable', f'--workdir={directory}']  # fmt: skip
        words += [f'--volume={folder}:{folder}' for folder in self.folders]
        words += [f'--env={name}' for name in sorted({*names} - HOST_OWN)]
        words += [f'--device=nvidia.com/gpu={card}' for card in cards]
        return tuple(
            Process((*words, f'--entrypoint={json.dumps([one.argv[0]])}', self.image, *one.argv[1:])) for one in given
        )

    def clear(self) -> None:
        """Nothing of it is left, however it ended."""
        with suppress(OSError, subprocess.SubprocessError):
            words = [self.program, 'rm', '--force', '--ignore', '--time=0', self.name]
            subprocess.run(words, env=self.environ, cwd='/', stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=END_SECONDS, check=False)  # fmt: skip


@contextmanager
def ready(root: Root, image: str, job: str, folders: Iterable[str], unwanted: Callable[[], object], path: str
          ) -> Iterator[Container]:
    """With the image there; one job has it pulled, others wait for that.  ``path``: folders in front of PATH.  Raises NotMade
    where it cannot be had, Unwanted once ``unwanted`` says something, OSError."""
    environ = dict(os.environ)
    if before := [os.path.expanduser(part) for part in path.split(os.pathsep) if part]:
        environ['PATH'] = os.pathsep.join([*before, environ.get('PATH', os.defpath)])
    made = Container(_program(environ['PATH']), image, f'mlops-{job}', environ, tuple(folders))
    if any(':' in folder for folder in made.folders):
        raise NotMade('its folder there has a : in its path, which podman cannot mount', hint='add the host with another one')
    made.clear()
    root.makedirs(FOLDER, mode=0o700)
    fd = root.open(f'{FOLDER}/{digest_of(image.encode()).hex[:32]}{LOCKED}', os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _called(made, ['image', 'exists', image], unwanted, quiet=True):
            if try_lock(fd, exclusive=True):
                _called(made, ['pull', '--quiet', image], unwanted)
                break
            if unwanted() is not None:
                raise Unwanted
            time.sleep(TICK)
        yield made
    finally:
        made.clear()
        os.close(fd)


def _program(path: str) -> str:
    found = shutil.which(PROGRAM, path=path)
    if found is None:
        others = [name for name in OTHERS if shutil.which(name, path=path)]
        instead = f' ({" and ".join(others)} is there, which is not used yet)' if others else ''
        raise NotMade(f'there is no podman there, which runs the image of its environment{instead}',
                      hint='install podman there, or take a host that has it')
    return found


def _called(made: Container, words: Sequence[str], unwanted: Callable[[], object], *, quiet: bool = False) -> bool:
    """Whether podman says yes.  Raises NotMade where it fails, unless ``quiet``; Unwanted."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([made.program, *words], stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd='/',
                                   env=made.environ, start_new_session=True)  # fmt: skip
        try:
            while process.poll() is None:
                if not quiet and unwanted() is not None:
                    raise Unwanted
                time.sleep(TICK / 5)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode and not quiet:
            said.seek(0)
            lines = [line.strip() for line in said.read(1 << 16).decode(errors='replace').splitlines() if line.strip()]
            last = f': {lines[-1][:300]}' if lines else ''
            hint = f'does it reach the registry? there: podman pull {made.image}'
            raise NotMade(f'its image cannot be had: podman ended with {process.returncode}{last}', hint=hint)
        return process.returncode == 0
