"""What the planner may ask about the world: handed in, so that planning touches nothing and tests need no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.plan.model import Estimate, Metrics


class Known(Protocol):
    """Something recorded for a key: a pin."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def outputs(self) -> tuple[tuple[str, ObjectRef], ...]: ...
    @property
    def metrics(self) -> Metrics: ...


class Acceptance(Protocol):
    """Somebody said that a result counts.  ``outputs``: the digest of what it led to; the others as in records.accepted."""

    @property
    def outputs(self) -> Digest: ...
    @property
    def who(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def when(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def differed(self) -> tuple[tuple[str, str, str | None, str | None, str], ...]: ...


@dataclass(frozen=True, slots=True)
class Computed:
    """A result in the store.  ``origin``: for people, as ``run 6hx2aa (ben, gpu1)``; ``code``: path -> digest of bytes.
    ``run``: the id of the run that made it.  ``environment``: what it was made under, as results-v1 has it."""

    outputs: tuple[tuple[str, ObjectRef], ...]
    origin: str = ''
    code: Mapping[str, Digest] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    run: str = ''
    metrics: Metrics = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """An input that nobody declares and that an audit saw.  ``now`` None: it is not here."""

    path: str
    before: Digest
    now: Digest | None


@dataclass(frozen=True, slots=True)
class Placed:
    """What mlops itself last put into the workspace for a stage.  ``run``: the id of the run that made it, if known."""

    key: Digest
    outputs: tuple[tuple[str, ObjectRef], ...]
    run: str = ''


def _nothing_placed(_stage: str) -> Placed | None:
    return None


def _none_accepted(_key: Digest) -> tuple[Acceptance, ...]:
    return ()


def _unknown_environment(_stage: str) -> Mapping[str, Any]:
    return {}


def _unknown_maker(_key: Digest, _outs8: str) -> str:
    return ''


def _nothing_seen(_key: Digest) -> tuple[Seen, ...]:
    return ()


def _perhaps(_outputs: frozenset[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Facts:
    """``pins``: recorded in git for a key.  ``results``: in the store for a key, earliest first, none of them suspect.
    ``history``: pins of earlier states of a stage.  ``held``: what the workspace holds at an output's path.
    ``stored``: all objects of these references are in the store.  ``read``: bytes of a tree node.
    ``source``: the bytes of a code file as they were for an earlier key.  ``present``: a file's bytes now; ``folder``: a path
    is a folder now.  ``accepted``: who accepted what for a key, oldest first; the last one counts.  ``surroundings``: what a
    stage would be run under here, as results-v1 has it.  ``maker``: the id of the run that led from a key to the outputs with
    these eight digits, as far as run records tell.  ``placed``: what mlops last put into the
    workspace for a stage; where its inputs are known, ``history`` has it too.  ``restorable``: the store may have a result, of
    whatever key, with outputs at exactly these paths; False is certain.
    ``seen``: what an audit saw of the results of a key; pins and results are only those of which it is what it was."""

    pins: Callable[[Digest], tuple[Known, ...]]
    results: Callable[[Digest], tuple[Computed, ...]]
    history: Callable[[str], tuple[Known, ...]]
    held: Callable[[str], ObjectRef | None]
    stored: Callable[[tuple[ObjectRef, ...]], bool]
    read: Callable[[Digest], bytes]
    source: Callable[[Digest, str], bytes | None]
    present: Callable[[str], bytes | None]
    folder: Callable[[str], bool]
    estimate: Callable[[str], Estimate]
    accepted: Callable[[Digest], tuple[Acceptance, ...]] = _none_accepted
    surroundings: Callable[[str], Mapping[str, Any]] = _unknown_environment
    maker: Callable[[Digest, str], str] = _unknown_maker
    placed: Callable[[str], Placed | None] = _nothing_placed
    restorable: Callable[[frozenset[str]], bool] = _perhaps
    seen: Callable[[Digest], tuple[Seen, ...]] = _nothing_seen


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for.  ``forced``: stages to run whatever is known; ``lookup`` False: look no result up.
    ``trial``: parameters are overlaid, and the workspace's outputs do not count."""

    forced: frozenset[str] = frozenset()
    lookup: bool = True
    trial: bool = False
