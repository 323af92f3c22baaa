"""Recorded results as a graph: which one read what another one made.  Values alone; the walks that make them are beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.manifest import Entry, Manifest
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.lineage import FRESH, Role, RunMention
from mlops_cli.records.runs import Run
from mlops_cli.store.results import ResultEntry

# What became of an input: a stage made it, it is tracked data, a file of the project, not known here, it was not there, or
# it is a rule such as a glob, which is no content.
Kind = Literal['stage', 'tracked', 'file', 'unknown', 'absent', 'rule']
# How an input and an output were found to be the same: path and content, content inside a folder, content at another path,
# or the path alone.
Through = Literal['path', 'inside', 'content', 'name']


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made a result, as far as it is recorded.  ``run``: its id, empty if unknown.  ``at``: UTC, ISO 8601.
    ``edited``: code and parameter files that differed from the commit; None where that cannot be told.  ``worded``: those of
    them that meant the same."""

    run: str = ''
    at: str = ''
    who: str = ''
    host: str = ''
    commit: str = ''
    branch: str = ''
    ci: bool = False
    trial: bool = False
    edited: tuple[str, ...] | None = None
    worded: frozenset[str] = frozenset()

    @property
    def short(self) -> str:
        """The part of the run's id that people see and type."""
        return self.run.partition('-')[2]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Somebody said that outputs count for a key, without running.  ``run``: the id of the run that made them, or empty."""

    who: str
    when: str
    reason: str
    run: str = ''


@dataclass(frozen=True)
class Made:
    """One result: what a stage made of one key.  ``stage`` empty: nothing here knows its name.  ``manifest`` None: what it was
    made of is not known here.  ``pins``: files of ``.mlops/stages`` that hold it.  ``runs``: that made or restored it, or found
    it fresh.  ``accepted``: by whom it was taken over without running.  ``present``: whether the present state of the project
    leads to it; None where nobody asked."""

    stage: str
    key: Digest
    outs8: str
    manifest: Manifest | None
    outputs: tuple[tuple[str, ObjectRef], ...]
    metrics: tuple[tuple[str, str, float | int], ...] = ()
    pins: tuple[str, ...] = ()
    entry: ResultEntry | None = None
    runs: tuple[RunMention, ...] = ()
    record: Run | None = None
    maker: Maker = Maker()
    accepted: tuple[Acceptance, ...] = ()
    present: bool | None = None

    @property
    def id(self) -> str:
        return f'{self.key.hex[:16]}-{self.outs8}'

    @property
    def ran(self) -> tuple[RunMention, ...]:
        """The runs that made or restored it."""
        return tuple(run for run in self.runs if run.state != FRESH)

    @property
    def name(self) -> str:
        """The stage, or what can be said in place of its name."""
        return self.stage or f'a stage not recorded here, key {self.key.short}'

    @cached_property
    def made(self) -> dict[str, ObjectRef]:
        return dict(self.outputs)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        return self.manifest.entries if self.manifest else ()

    @property
    def environment(self) -> Mapping[str, Any]:
        """What it ran under: platform, Python, packages; empty where this cache does not have the result."""
        return self.entry.environment if self.entry else {}

    @property
    def seconds(self) -> float | None:
        return self.entry.seconds if self.entry else None


@dataclass(frozen=True, slots=True)
class Source:
    """One input of a result.  ``makers``: ids of results with this content, the likeliest first.  ``output``: the output of
    theirs that it is, or lies in.  ``ref``: None where only its digest is known.  ``now``: same, changed or gone in the
    workspace; empty where nobody looked."""

    entry: Entry
    kind: Kind
    makers: tuple[str, ...] = ()
    through: Through = 'path'
    output: str = ''
    ref: ObjectRef | None = None
    now: str = ''


@dataclass(frozen=True, slots=True)
class Content:
    """Something at a path.  ``path`` empty: it is known by its digest alone."""

    path: str
    ref: ObjectRef


@dataclass(frozen=True)
class Target:
    """What was asked about.  ``title``: it in a few words.  ``said``: sentences about how it was found.  ``makers``: ids of the
    results that made it, the likeliest first for each of several outputs.  ``contents``: what to look for in inputs.
    ``names``: entries of keys to look for: (kind, name, digest; None for whatever it was).  ``found``: whether any record
    knows it.  ``used``: of a parameter that templates use, (id of a result of theirs, entry with the value).  ``users``: the
    stages whose templates use it."""

    word: str
    kind: Literal['output', 'input', 'code', 'parameter', 'stage', 'run', 'digest', 'file']
    title: str
    said: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()
    contents: tuple[Content, ...] = ()
    names: tuple[tuple[Role, str, Digest | None], ...] = ()
    found: bool = True
    used: tuple[tuple[str, Entry], ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class Upstream:
    """Where something came from.  ``results`` by id; ``sources``: id -> its inputs.  ``cut``: ids whose inputs were not
    followed because they lie deeper than was asked."""

    target: Target
    results: Mapping[str, Made]
    sources: Mapping[str, tuple[Source, ...]]
    cut: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Use:
    """A result that read something: ``entry`` is the input.  ``of``: the id of the result that made it, or empty for the
    target itself."""

    of: str
    by: str
    entry: Entry
    through: Through
    output: str = ''


@dataclass(frozen=True)
class Downstream:
    """What was made from something.  ``others``: how many results were made from another content of it."""

    target: Target
    results: Mapping[str, Made]
    uses: tuple[Use, ...]
    cut: frozenset[str] = frozenset()
    others: int = 0
    notes: tuple[str, ...] = field(default=())
