"""The pipeline as values, after includes, templates, foreach and matrix are resolved.  Reads nothing, decides nothing.

All paths are relative to the project's root, POSIX, normalised, checked (no ``..``, not in ``.git`` or ``.mlops``).
"""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import Where

NOWHERE = Where('')


@dataclass(frozen=True, slots=True)
class Command:
    """``shell``: each line is one /bin/sh script, run in order.  ``argv``: one process, no shell."""

    kind: Literal['shell', 'argv']
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dep:
    """``path``: a file or folder.  ``glob``: a pattern.  ``stage``: all outputs of a stage (all instances of a group)."""

    kind: Literal['path', 'glob', 'stage']
    value: str
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class ParamRef:
    """A key (dotted) of a parameter file; ``key`` None: the whole file."""

    file: str
    key: str | None
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Used:
    """A parameter that a template looked up, and the value it had."""

    file: str
    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Metric:
    """What the numbers in a metrics file mean.  ``goals``: name -> max or min; ``tolerance``: name -> absolute difference."""

    primary: str | None = None
    goals: Mapping[str, Literal['max', 'min']] = field(default_factory=dict)
    tolerance: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Output:
    """``role``: metrics and plots are outputs like others that are also read.  ``cache`` False: git keeps it (we store it
    all the same).  ``persist``: left in place when the stage starts, and then never looked up.  ``push`` False: it goes to no
    remote; ``remote``: to that one, '' for the usual one."""

    path: str
    role: Literal['out', 'metric', 'plot'] = 'out'
    cache: bool = True
    persist: bool = False
    desc: str = ''
    push: bool = True
    remote: str = ''
    metric: Metric | None = None
    plot: Mapping[str, Any] = field(default_factory=dict)
    where: Where = NOWHERE


@dataclass(frozen=True, slots=True)
class Code:
    """``auto``: follow imports of the command's scripts.  ``paths``: more files, folders, globs.
    ``mode`` bytes: no meaning, just bytes.  ``docstrings`` False: docstrings do not count."""

    auto: bool = True
    paths: tuple[str, ...] = ()
    mode: Literal['meaning', 'bytes'] = 'meaning'
    docstrings: bool = True


@dataclass(frozen=True, slots=True)
class Environment:
    """``venv``: ``path`` is a requirements file (its bytes are in the key).  ``uv``: ``path`` is a uv.lock.  ``conda``:
    ``path`` is an explicit list of conda's, or an environment.yml.  ``container``: ``image`` is that of the containers in which
    it runs, and there is no path."""

    kind: Literal['venv', 'uv', 'conda', 'container']
    path: str
    where: Where = NOWHERE
    image: str = ''


@dataclass(frozen=True, slots=True)
class Resources:
    """``memory_bytes`` per attempt; ``tokens``: named counts of the project's config; ``gpu_memory_bytes``: of each of its
    GPUs, which it then may share, None: they are its own."""

    cpus: float = 1.0
    memory_bytes: int | None = None
    gpus: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """``maximum`` further attempts after the first; ``causes`` empty: any failure."""

    maximum: int = 0
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One instance: ``name`` is ``train@forest-1``, ``group`` is ``train``; without matrix or foreach both are equal.
    ``where``: the stage's key in the file.  ``places``: where its keys stand (``cmd``, ``outs``...), and entries of needs
    (``needs.0``).  ``used``: parameters that its templates looked up, those of its matrix or foreach too.  ``reads``: what the
    top of the file says of its outputs, or of what lies in them."""

    name: str
    group: str
    command: Command
    wdir: str = '.'
    deps: tuple[Dep, ...] = ()
    code: Code = Code()
    params: tuple[ParamRef, ...] = ()
    outputs: tuple[Output, ...] = ()
    env: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    environment: Environment | None = None
    resources: Resources = Resources()
    timeout_seconds: float | None = None
    grace_seconds: float = 10.0
    retry: Retry = Retry()
    needs: tuple[str, ...] = ()  # names or groups of stages, order without data
    mutex: tuple[str, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    checkpoint: str | None = None
    caches: tuple[str, ...] = ()
    progress: str | None = None  # a file that it appends to while it runs: how far it is
    isolate: Literal['none', 'folder', 'sandbox', 'sandbox-with-network'] = 'none'
    host: str = ''  # where it runs, by the name that config gives it; empty, or local: here
    model: Model | None = None
    desc: str = ''
    meta: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)  # the instance's item, for tables
    where: Where = NOWHERE
    places: Mapping[str, Where] = field(default_factory=dict)
    used: tuple[Used, ...] = ()
    reads: tuple[Output, ...] = ()

    def read_as(self, role: Literal['metric', 'plot']) -> Iterator[Output]:
        """The files that are read so: outputs, and those in outputs."""
        return (one for one in (*self.outputs, *self.reads) if one.role == role)


@dataclass(frozen=True)
class Pipeline:
    """``stages``: by instance name, in the order of the file.  ``files``: every file that was read to make this
    (pipeline files, parameter and vars files used by templates), relative to the root.  ``absent``: files that were looked
    for and are not there (a params.yaml)."""

    name: str
    stages: Mapping[str, Stage]
    files: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    desc: str = ''

    @cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Group name -> names of its instances, in the order of the file."""
        found: dict[str, list[str]] = {}
        for stage in self.stages.values():
            found.setdefault(stage.group, []).append(stage.name)
        return {group: tuple(names) for group, names in found.items()}
