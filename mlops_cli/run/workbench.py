"""A project opened for reading: its pipeline, workspace, records and store.  What writes builds on it (session.py)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.collector import without_collector
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.apart import Apart
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.ignore import Ignore
from mlops_cli.fingerprint.index import Index, database_path
from mlops_cli.fingerprint.params import Params
from mlops_cli.fingerprint.stage import Describer, Draft
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.kept import load
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records import data
from mlops_cli.records.accepted import Acceptances
from mlops_cli.records.config import Config
from mlops_cli.records.files import keeps_local
from mlops_cli.records.pins import Pins
from mlops_cli.records.runs import Runs
from mlops_cli.run.settled import Settled, Traits, traits_of
from mlops_cli.store.local import LocalStore
from mlops_cli.store.results import Results

if TYPE_CHECKING:
    from mlops_cli.core.secrets import Redactor
    from mlops_cli.run.elsewhere import Elsewhere

Overlay = Mapping[tuple[str, str], Any]


@dataclass(frozen=True)
class Workbench:
    """``overlay``: (file, key) -> value of ``--set``.  ``relearns``: what is said of this may be kept where all is fresh: then
    all that it follows from has to be looked at.  ``elsewhere``: where a run looks up what there is no result of here."""

    root: Root
    config: Config
    pipeline: Pipeline
    workspace: Workspace
    index: Index
    store: LocalStore
    results: Results
    pins: Pins
    runs: Runs
    batch: Batch
    describer: Describer
    environ: Mapping[str, str]
    overlay: Overlay
    relearns: bool = True
    elsewhere: Elsewhere | None = None
    _settled: list[Settled] = field(default_factory=list)

    @cached_property
    def apart(self) -> Apart:
        return Apart(self.root, self.index, self.store.objects)

    @cached_property
    def edges(self) -> dict[str, tuple[str, ...]]:
        return graph.edges(self.pipeline)

    @cached_property
    def order(self) -> tuple[str, ...]:
        return tuple(graph.topological(self.pipeline, self.edges))

    @property
    def settled(self) -> Settled | None:
        """What is known of the stages from when nothing was to be done."""
        return self._settled[0] if self._settled else None

    def unsettle(self) -> None:
        """From here on every stage is looked at."""
        self._settled.clear()
        self.__dict__.pop('drafts', None)

    @cached_property
    def drafts(self) -> Mapping[str, Draft]:
        """Stage -> draft, for the whole pipeline; made when asked for where some are settled.  Raises UserError, then too."""
        if self._settled:
            return _Drafts(self.describer, self.pipeline, self.order)
        with without_collector():
            return {name: self.describer.describe(self.pipeline.stages[name]) for name in self.order}

    def traits(self, stage: str) -> Traits:
        """Raises UserError."""
        if self._settled and stage in self._settled[0] and stage not in self._settled[0].touched:
            return self._settled[0].traits(stage)
        return traits_of(self.drafts[stage])

    @cached_property
    def accepted(self) -> Acceptances:
        return Acceptances(self.root)

    @cached_property
    def tracked(self) -> Mapping[str, ObjectRef]:
        """Tracked data as it was recorded when this was first asked for."""
        return data.tracked(self.root)

    def holds(self, path: str, ref: ObjectRef) -> bool:
        """Whether that content is at a path now; of tracked data, as far as it counts."""
        found = self.workspace.ref(path, ignore=False)
        return found == ref or (found is not None and path in self.tracked and self.workspace.ref(path) == ref)

    def redact(self, text: str) -> str:
        """A text as it may be kept: values of secret variables, and what looks like a secret, are blanked."""
        return self._redactor.redact(text)

    @cached_property
    def _redactor(self) -> Redactor:
        from mlops_cli.core.secrets import Redactor, environment_secrets

        declared = {name for stage in self.pipeline.stages.values() for name in stage.secrets}
        return Redactor(environment_secrets(self.environ, declared))

    def close(self) -> None:
        """Flushes what waits, and lets go of everything.  Raises OSError, after all else is let go of."""
        with ExitStack() as stack:
            for thing in (self.root, self.store, self.results, self.index, self.batch):
                stack.callback(thing.close)


class _Drafts(Mapping[str, Draft]):
    """Drafts of stages, each made when it is first asked for."""

    def __init__(self, describer: Describer, pipeline: Pipeline, order: tuple[str, ...]) -> None:
        self._describer, self._stages, self._order = describer, pipeline.stages, order
        self._made: dict[str, Draft] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __contains__(self, stage: object) -> bool:
        return stage in self._stages

    def __getitem__(self, stage: str) -> Draft:
        """Raises UserError."""
        if stage not in self._made:
            self._made[stage] = self._describer.describe(self._stages[stage])
        return self._made[stage]


def open_workbench(
    path: str,
    config: Config,
    environ: Mapping[str, str],
    *,
    overlay: Overlay | None = None,
    in_git: Callable[[str], tuple[str, ...]] | None = None,
    warn: Callable[[str], None] = lambda _: None,
    pipeline: Pipeline | None = None,
    verified: Collection[str] = (),
    settled: Callable[[Pins], Settled | None] = lambda _: None,
    relearns: bool = True,
) -> Workbench:
    """Opens the project in the folder ``path``.  Executes nothing of it, writes only what can be made again, and not even
    that before a command that writes was there.

    ``in_git``: folder -> files below it that git tracks; by default, git is asked.  ``pipeline``: in place of the file's.
    ``verified``: as Workspace has it.  ``settled``: what is known from when nothing was to be done.
    ``relearns``: as Workbench has it.

    Raises UserError for what is wrong with the pipeline, OSError."""
    overlay = overlay or {}
    pipeline = pipeline or load(path, environ=environ, overlay=overlay)
    root = opened(path)
    _refuse_links(root, config.cache)
    index = Index(database_path(root, environ), root, warn=warn, keeps=once_true(lambda: keeps_local(root)))
    objects = os.path.join(config.cache, layout.OBJECTS)
    workspace = Workspace(root, index, Ignore.load(root), objects=objects, verified=verified)
    batch = Batch(config.durability)
    store = LocalStore(config.cache, links=config.links, batch=batch, verified=index)
    results = Results(config.cache, batch, report=lambda path, problem: warn(f'{path}: {problem}'))
    params = Params(root, overlay=overlay)
    describer = Describer(
        pipeline,
        workspace,
        params,
        environ,
        tracked=data.tracked(root),
        in_git=in_git or partial(_tracked, path),
        read=store.read,
        model=partial(_model, root),
    )
    pins, runs = Pins(root), Runs(root)
    known = [one for one in (settled(pins),) if one is not None]
    stores = store, results, pins, runs, batch
    return Workbench(root, config, pipeline, workspace, index, *stores, describer, environ, overlay, relearns, None, known)


def _model(root: Root, name: str) -> tuple[Any, Mapping[str, Any]]:
    from mlops_cli.run.named_models import told  # few stages name any

    return told(root, name)


def opened(path: str) -> Root:
    """The project's folder; with the links that a person here confirmed, where there are any.  Raises OSError."""
    root = Root(path)
    if root.stat(layout.TRUST) is None:
        return root
    from mlops_cli.records import trust  # few have one

    found = trust.links(root)
    if not found:
        return root
    from mlops_cli.fsio.elsewhere import Linked

    root.close()
    return Linked(path, found)


def _tracked(path: str, folder: str) -> tuple[str, ...]:
    from mlops_cli import git  # of few stages does anything depend on it

    return git.tracked(path, [folder])


def once_true(ask: Callable[[], bool]) -> Callable[[], bool]:
    """Asks until the answer is yes, which it then stays."""
    known = False

    def asked() -> bool:
        nonlocal known
        known = known or ask()
        return known

    return asked


def _refuse_links(root: Root, cache: str) -> None:
    """What is written by any command must be in the project: a branch may bring links in its place.

    Raises UserError (exit 5)."""
    index = [layout.INDEX + suffix for suffix in ('', '-wal', '-shm')]
    ours = [layout.LOCAL, *index]
    if cache == root.full(layout.CACHE):
        ours += [layout.CACHE, *(f'{layout.CACHE}/{name}' for name in layout.CACHE_PARTS)]
    for path in ours:
        status = root.stat(path)
        if status is not None and stat.S_ISLNK(status.st_mode):
            raise UserError(
                f'{path} is a symbolic link, through which mlops would write elsewhere',
                exit_code=ExitCode.REFUSED,
                hint=f'remove it; for a cache on another disk, write cache: {{dir: ...}} to {layout.CONFIG_LOCAL}',
            )
        if path in index and status is not None and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            for name in index:  # SQLite would write into what has another name, too: it is made again
                with suppress(OSError):
                    root.unlink(name)
