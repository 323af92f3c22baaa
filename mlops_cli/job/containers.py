"""Runs what a job runs in containers of an image, by what the host has for that (docs/formats/host.md)."""
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
from mlops_cli.job.apptainer import Apptainer
from mlops_cli.job.container import Container
from mlops_cli.job.desk import TICK, Unwanted
from mlops_cli.job.docker import Docker
from mlops_cli.job.environments import CONTAINERS, FOLDER, LOCKED, NotMade
from mlops_cli.job.podman import Podman

# The first that has the image.  SingularityCE takes the same words as Apptainer, which is often there under both names.
PROGRAMS: Mapping[str, type[Container]] = dict(zip(CONTAINERS, (Podman, Docker, Apptainer, Apptainer), strict=True))
ON_CLUSTERS = ('apptainer', 'singularity', 'podman')  # what docker's daemon runs is outside of what a job was given
FILES = ('apptainer', 'singularity')  # that run an image which is a file, and fetch one by oras:// and the like


@contextmanager
def ready(root: Root, image: str, job: str, folders: Iterable[str], unwanted: Callable[[], object], path: str,
          grace_seconds: float, engine: bool = False) -> Iterator[Container]:
    """With the image there; one job has it pulled, others wait for that.  ``folders``: that of the job first.  ``path``:
    folders in front of PATH.  ``engine``: whether a cluster started the job.  Raises NotMade where it cannot be had, OSError,
    Unwanted once ``unwanted`` says something."""
    environ = dict(os.environ)
    if before := [os.path.expanduser(part) for part in path.split(os.pathsep) if part]:
        environ['PATH'] = os.pathsep.join([*before, environ.get('PATH', os.defpath)])
    mounted = tuple(folders)
    if any(':' in folder for folder in mounted):
        raise NotMade('its folder there has a : in its path, which no container mounts', hint='add the host with another one')
    root.makedirs(FOLDER, mode=0o700)
    place = root.full(f'{FOLDER}/{_named(image)}')
    programs = _programs(environ['PATH'], image, engine)
    there = [of(program, image, job, environ, mounted, engine, place) for program, of in programs]
    # Each node has images of its own, and all have this folder.
    locked = f'{image}\n{platform.node()}' if engine and not there[0].shared else image
    fd = root.open(f'{FOLDER}/{_named(locked)}{LOCKED}', os.O_RDWR | os.O_CREAT, 0o600)
    try:
        made = _having(there)
        while made is None:
            if try_lock(fd, exclusive=True):
                if (made := _having(there)) is None:
                    there[0].pull(unwanted, fd)
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
        with made.kept(), made.guarded(grace_seconds):
            yield made
    finally:
        made.clear()


def _named(what: str) -> str:
    return digest_of(what.encode()).hex[:32]


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


def _programs(path: str, image: str, engine: bool) -> list[tuple[str, type[Container]]]:
    """Docker that stands for podman (podman-docker) is podman.  Raises NotMade where there is none."""
    others_too = not image.startswith('/') and ('://' not in image or image.startswith('docker://'))
    names = [name for name in (ON_CLUSTERS if engine else CONTAINERS) if others_too or name in FILES]
    found: dict[type[Container], str] = {}
    for name in names:
        if program := shutil.which(name, path=path):
            found.setdefault(PROGRAMS[name], program)
    if not found:
        others = [name for name in CONTAINERS if name not in names and shutil.which(name, path=path)]
        lacks = 'does not run image files' if image.startswith('/') else 'has none of these'
        why = 'is not used on clusters' if others_too else lacks
        instead = f' ({" and ".join(others)} is there, which {why})' if others else ''
        where = f'on {platform.node()}' if engine else 'there'
        what = ' or '.join(name for name in names if name != 'singularity')
        raise NotMade(f'there is no {what} {where}, which runs the image of its environment{instead}',
                      hint='have one of them installed there, or take a host that has it')
    return [(program, of) for of, program in found.items()]
