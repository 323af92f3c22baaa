"""What the planner may ask about the world: handed in, so that planning touches nothing and tests need no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.plan.model import Estimate


class Known(Protocol):
    """Something recorded for a key: a pin."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def outputs(self) -> tuple[tuple[str, ObjectRef], ...]: ...


@dataclass(frozen=True, slots=True)
class Computed:
    """A result in the store.  ``origin``: for people, as ``run 6hx2aa (ben, gpu1)``; ``code``: path -> digest of bytes."""

    outputs: tuple[tuple[str, ObjectRef], ...]
    origin: str = ''
    code: Mapping[str, Digest] = field(default_factory=dict)
    environment: str = ''


@dataclass(frozen=True, slots=True)
class Facts:
    """``pins``: recorded in git for a key.  ``results``: in the store for a key, best first, none of them suspect.
    ``history``: pins of earlier states of a stage.  ``held``: what the workspace holds at an output's path.
    ``stored``: all objects of these references are in the store.  ``read``: bytes of a tree node.
    ``source``: the bytes of a code file as they were for an earlier key.  ``present``: a file's bytes now; ``folder``: a path
    is a folder now."""

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


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for.  ``forced``: stages to run whatever is known; ``lookup`` False: look no result up.
    ``trial``: parameters are overlaid, and the workspace's outputs do not count."""

    forced: frozenset[str] = frozenset()
    lookup: bool = True
    trial: bool = False
    environment: str = ''
