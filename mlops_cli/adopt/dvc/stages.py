"""What a dvc.yaml or a .dvc file says, as values: stages with their paths from the project's root.  Reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import Where

NOWHERE = Where('')


@dataclass(frozen=True)
class Path:
    """``written``: as it stands in the file.  ``path``: from the project's root; None for what lies elsewhere (a URL, an
    absolute path, a data set of DVC's), of which ``elsewhere`` says what it is, and ``far`` where, absolute: who reads what
    another stage makes there comes after it all the same."""

    written: str
    path: str | None
    elsewhere: str = ''
    far: str = ''

    @property
    def place(self) -> str:
        """Empty where nobody else's path can be the same."""
        return self.far if self.path is None else self.path


@dataclass(frozen=True)
class Hash:
    """What DVC recorded of a file or folder.  ``name``: md5 or md5-dos2unix.  ``value``: hexadecimal digits, those of a folder
    followed by ``.dir``; empty where nothing is recorded.  ``files``: of a folder whose files are listed one by one."""

    name: str
    value: str
    size: int | None = None
    files: tuple[tuple[str, str], ...] = ()
    executable: bool = False

    @property
    def is_folder(self) -> bool:
        return self.value.endswith('.dir')


@dataclass(frozen=True)
class Out:
    path: Path
    kind: Literal['outs', 'metrics', 'plots'] = 'outs'
    flags: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cached(self) -> bool:
        return bool(self.flags.get('cache', True))


@dataclass(frozen=True)
class Param:
    """``keys``: empty for the whole file."""

    file: Path
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One instance as DVC resolves it.  ``name``: as it is addressed, ``sub/dvc.yaml:train@en``.  ``key``: its name in the lock
    of its file.  ``wdir``: from the root.  ``written``: the name of its entry in the file."""

    name: str
    key: str
    file: str
    written: str
    cmd: str | list[Any]
    wdir: str
    deps: tuple[Path, ...] = ()
    params: tuple[Param, ...] = ()
    outs: tuple[Out, ...] = ()
    frozen: bool = False
    always_changed: bool = False
    desc: str = ''
    meta: Any = None
    where: Where = NOWHERE

    @property
    def callback(self) -> bool:
        """Runs each time, since nothing says when it need not."""
        return bool(self.cmd) and not self.deps and not self.params and not self.outs

    @property
    def commands(self) -> tuple[str, ...]:
        """Each is a process of a shell of its own, in order, until one fails."""
        several = self.cmd.splitlines() if isinstance(self.cmd, str) else [str(one) for one in self.cmd]
        return tuple(several)


@dataclass(frozen=True)
class Tracked:
    """One output of a .dvc file.  ``source``: where it was imported from, as text; empty for what was added.  ``url``: the same
    as an address, where it is one and all that is imported; ``tag``: the ETag that it had there."""

    file: str
    path: Path
    hash: Hash
    source: str = ''
    frozen: bool = False
    flags: Mapping[str, Any] = field(default_factory=dict)
    where: Where = NOWHERE
    url: str = ''
    tag: str = ''


@dataclass(frozen=True)
class Locked:
    """A stage as dvc.lock has it.  ``deps``, ``outs``: path as written -> hash."""

    cmd: Any
    deps: Mapping[str, Hash]
    outs: Mapping[str, Hash]
    params: Mapping[str, Mapping[str, Any]]
    where: Where = NOWHERE


@dataclass(frozen=True)
class File:
    """One dvc.yaml.  ``data``: as it was read, for what is kept as it stands.  ``stages_at``:
    entry -> (line, column) of its key, from 0.  ``tops``: what else stands at its top, by key, resolved."""

    file: str
    folder: str
    data: Mapping[str, Any]
    text: str
    stages: tuple[Stage, ...]
    locks: Mapping[str, Locked]
    groups: Mapping[str, tuple[Stage, ...]]
    tops: Mapping[str, Any] = field(default_factory=dict)
    stages_at: Mapping[str, tuple[int, int]] = field(default_factory=dict)
