"""Runs what a job runs in containers of an image, by what the host has for that: podman, or docker (docs/formats/host.md)."""
from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from mlops_cli.core.digest import digest_of
from mlops_cli.fsio.locks import try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job.container import Container
from mlops_cli.job.desk import TICK, Unwanted
from mlops_cli.job.docker import Docker
from mlops_cli.job.environments import CONTAINERS, FOLDER, LOCKED, NotMade
from mlops_cli.job.podman import Podman

PROGRAMS: Mapping[str, type[Container]] = dict(zip(CONTAINERS, (Podman, Docker), strict=True))  # the first that has the image
OTHERS = ('apptainer', 'singularity')


@contextmanager
def ready(root: Root, image: str, job: str, folders: Iterable[str], unwanted: Callable[[], object], path: str,
          grace_seconds: float, engine: bool = False) -> Iterator[Container]:
    """With the image there; one job has it pulled, others wait for that.  ``path``: folders in front of PATH.  ``engine``:
    whether a cluster started the job.  Raises NotMade where it cannot be had, OSError, Unwanted once ``unwanted`` says
    something."""
    environ = dict(os.environ)
    if before := [os.path.expanduser(part) for part in path.split(os.pathsep) if part]:
        environ['PATH'] = os.pathsep.join([*before, environ.get('PATH', os.defpath)])
    mounted = tuple(folders)
    if any(':' in folder for folder in mounted):
        raise NotMade('its folder there has a : in its path, which no container mounts', hint='add the host with another one')
    there = [of(program, image, job, environ, mounted, engine) for program, of in _programs(environ['PATH'], engine)]
    root.makedirs(FOLDER, mode=0o700)
    of_node = f'{image}\n{platform.node()}' if engine else image  # each node has images of its own, and all have this folder
    fd = root.open(f'{FOLDER}/{digest_of(of_node.encode()).hex[:32]}{LOCKED}', os.O_RDWR | os.O_CREAT, 0o600)
    try:
        made = _having(there)
        while made is None:
            if try_lock(fd, exclusive=True):
                there[0].pull(unwanted)
                made = there[0]
            elif unwanted() is not None:
                raise Unwanted
            else:
                time.sleep(TICK)
                made = _having(there)
    finally:
        os.close(fd)
    made.clear()
    try:
        with made.guarded(grace_seconds):
            yield made
    finally:
        made.clear()


def _having(there: list[Container]) -> Container | None:
    """The first that has the image.  Raises NotMade where one cannot be asked, and no other has it."""
    problem: NotMade | None = None
    for one in there:
        try:
            if one.has_image():
                return one
        except NotMade as error:
            problem = error
    if problem is not None and len(there) == 1:
        raise problem
    return None


def _programs(path: str, engine: bool) -> list[tuple[str, type[Container]]]:
    """Docker that stands for podman (podman-docker) is podman.  On a cluster it is no choice: what its daemon runs is outside
    of what a job was given.  Raises NotMade where there is none."""
    found = [(program, of) for name, of in PROGRAMS.items() if (program := shutil.which(name, path=path))]
    if engine:
        found = [one for one in found if one[1] is Podman]
    if not found:
        others = [name for name in (*(('docker',) if engine else ()), *OTHERS) if shutil.which(name, path=path)]
        where = 'on clusters' if engine else 'yet'
        instead = f' ({" and ".join(others)} is there, which is not used {where})' if others else ''
        if engine:
            raise NotMade(f'there is no podman on {platform.node()}, which runs the image of its environment{instead}',
                          hint='have it installed on the nodes, or take a host behind ssh')
        raise NotMade(f'there is neither podman nor docker there, which run the image of its environment{instead}',
                      hint='install one of them there, or take a host that has it')
    return found
