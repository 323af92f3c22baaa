"""A folder in which a state of the project stands as it was, with a cache of its own: nothing is looked up, nothing is left.

What a key is made of decides whether the state is the right one: code, data and parameters that give the recorded keys are
those that were used, wherever they came from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.model import StagePoint
from mlops_cli.experiments.points import present
from mlops_cli.experiments.reproduce.candidates import Wanted, expected, unfit
from mlops_cli.experiments.reproduce.surroundings import editable, link_environments, variables
from mlops_cli.experiments.revisions import own_folder
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.git.separate import lay_out
from mlops_cli.run.workbench import Workbench, open_workbench
from mlops_cli.store.tree import walk

TREE, OWN_CACHE = 'tree', 'cache'
POINTER = b'version https://git-lfs.github.com/spec/'
POINTER_LIMIT = 1024
NAMED = 3
_NEVER = 1 << 30  # stages
Bring = Callable[[Sequence[tuple[str, ObjectRef]]], None]


@dataclass(frozen=True)
class Laid:
    """``bench``: to plan in, on the user's cache; ``root`` is its folder.  ``expected``: what is recorded, by stage.
    ``unfitting``: stages whose inputs are not those of the record, as far as that can be told before anything runs, with the
    names of what differs; ``unknown``: of how many stages it cannot be told.
    ``borrowed``: inputs that are in no commit and no cache, taken from the user's workspace."""

    bench: Workbench
    own_cache: str
    expected: Mapping[str, StagePoint]
    unfitting: Mapping[str, tuple[str, ...]]
    unknown: int
    borrowed: tuple[str, ...]
    commit: str
    dirty: bool

    @property
    def score(self) -> tuple[int, int]:
        """The less, the better it fits."""
        return len(self.unfitting), self.unknown


@dataclass(frozen=True, slots=True)
class Try:
    """``sources``: whether those that the store kept with the results of a run are laid over the commit."""

    commit: str
    sources: bool


@contextmanager
def laid_out(bench: Workbench, what: Wanted) -> Iterator[Laid]:
    """The first of what it may have been made from that gives the recorded keys; if nothing does, what comes nearest.

    Raises UserError where the pipeline of none can be read, OSError."""
    recorded = expected(bench, what) if what.rows is not None else {}
    tries = list(_tries(what))
    scores: list[tuple[int, int]] = []
    refused: UserError | None = None
    for one in tries:
        with own_folder(bench) as folder:
            try:
                laid = _laid(bench, folder, one, what, recorded)
            except UserError as error:
                refused = refused or error
                scores.append((_NEVER, 0))
                continue
            try:
                scores.append(laid.score)
                if scores[-1] == (0, 0) or len(tries) == 1:
                    yield laid
                    return
            finally:
                laid.bench.close()
    if refused is not None and min(scores)[0] == _NEVER:
        raise refused
    with own_folder(bench) as folder:
        laid = _laid(bench, folder, tries[scores.index(min(scores))], what, recorded)
        try:
            yield laid
        finally:
            laid.bench.close()


def _tries(what: Wanted) -> Iterator[Try]:
    """Without git, one with the sources alone."""
    for commit in what.commits:
        yield Try(commit, what.rows is not None)
    if what.rows is not None:
        yield from [Try(commit, False) for commit in what.commits] or [Try('', True)]


def _laid(bench: Workbench, folder: str, one: Try, what: Wanted, recorded: Mapping[str, StagePoint]) -> Laid:
    """Raises UserError, OSError."""
    name = f'{TREE}/{os.path.basename(bench.root.path) or TREE}'  # what the pipeline is called where it does not say
    tree = os.path.join(folder, name)
    with Root(folder) as root:
        root.makedirs(name)
    project = os.path.join(tree, lay_out(bench.root.path, one.commit, tree)) if one.commit else tree
    with Root(project) as root:
        dirty = one.sources and _lay_over(bench, root, recorded.values())
        if root.stat(layout.PIPELINE_FILE) is None:
            raise unfit(what.label, f'there is no {layout.PIPELINE_FILE}', 'name another run or revision: mlops runs list')
        _trust(bench.root, root)
        other = _opened(bench, project, what)
        try:
            link_environments(bench.root, root, other.pipeline)
            borrowed = _borrow(bench, root, other)
        finally:
            other.close()
    other = _with_editable(bench, _opened(bench, project, what), project, what)
    points = {point.stage: point for _, point in present(other if what.rows is None else replace(other, pins=bench.pins))}
    known = points if what.rows is None else recorded
    unfitting = {name: _differs(points.get(name), past) for name, past in known.items() if not _fits(points.get(name), past)}
    unknown = sum(name in points and points[name].key is None for name in known)
    return Laid(other, os.path.join(folder, OWN_CACHE), known, unfitting, unknown, borrowed, one.commit, dirty)


def _fits(here: StagePoint | None, recorded: StagePoint) -> bool:
    return here is not None and (here.key is None or recorded.key is None or here.key == recorded.key)


def _differs(here: StagePoint | None, recorded: StagePoint) -> tuple[str, ...]:
    if here is None or here.manifest is None or recorded.manifest is None:
        return ()
    return tuple(dict.fromkeys(one.entry.name for one in here.manifest.changes_since(recorded.manifest)))


def _opened(bench: Workbench, project: str, what: Wanted, editable: Iterable[str] = ()) -> Workbench:
    """Raises UserError, which names files as the user knows them."""
    environ = variables(bench.environ, bench.root.path, project, editable)
    try:
        return open_workbench(project, bench.config, environ, overlay=what.overlay)
    except UserError as error:
        text = str(error).replace(f'{project}/', '')
        raise UserError(f'of {what.label}: {text}', hint='that state cannot be told', exit_code=error.exit_code) from error


def _with_editable(bench: Workbench, other: Workbench, project: str, what: Wanted) -> Workbench:
    """Opened again where the interpreter knows folders of the user's project: their copies have to come first."""
    pythons = [draft.found.python for draft in other.drafts.values() if draft.found is not None and draft.found.python]
    folders = editable(pythons, bench.root.path, bench.environ)
    if not folders:
        return other
    other.close()
    return _opened(bench, project, what, folders)


def _trust(project: Root, there: Root) -> None:
    """What a person confirmed for this clone counts for its copy."""
    if project.stat(layout.TRUST) is not None:
        there.makedirs(layout.LOCAL, mode=0o700)
        write_file(there, layout.TRUST, read_file(project, layout.TRUST, 1 << 20), 0o600, durable=False)


def _lay_over(bench: Workbench, root: Root, stages: Iterable[StagePoint]) -> bool:
    """Code, parameters and pipeline as each stage of a run had them; whether that changed anything of the commit.

    Raises UserError for a path that must not be written, OSError."""
    changed = False
    # What was fresh or restored has the sources of an earlier run, in which other parameters may have been others.
    ordered = sorted(stages, key=lambda one: one.state == 'done')
    for sources in dict.fromkeys(one.sources for one in ordered if one.sources is not None):
        if bench.store.missing([sources]):
            continue
        for path, entry in walk(sources, bench.store.read):
            if entry.kind not in ('file', 'exec'):
                continue
            try:
                check_path(path)
            except ValueError as error:
                raise unfit('the run', f'its sources name {path[:200]!r}, which {error}', 'mlops verify') from error
            data = bench.store.read(entry.ref.digest)
            if root.stat(path) is None or _content(root, path) != data:
                bench.store.materialise(entry.ref, root, path, replace=True)
                changed = True
    return changed


def _content(root: Root, path: str) -> bytes | None:
    with suppress(OSError, UserError):
        return read_file(root, path, 16 << 20)
    return None


def _borrow(bench: Workbench, root: Root, other: Workbench) -> tuple[str, ...]:
    """Inputs that no commit holds, and those of which it holds only a pointer: the user's workspace has them.  The keys tell
    whether they are the right ones.  Raises OSError."""
    wanted: dict[str, None] = {}
    for draft in other.drafts.values():
        wanted |= dict.fromkeys(path for path in draft.missing if path not in draft.elsewhere)
        wanted |= dict.fromkeys(
            path
            for path, ref in draft.inputs.items()
            if ref.kind == 'file' and ref.size < POINTER_LIMIT and (_content(root, path) or b'').startswith(POINTER)
        )
    found = []
    for path in wanted:
        with suppress(UserError):  # what cannot be stored stays missing, which is told
            if bench.root.stat(path) is not None and bench.workspace.ref(path) is not None:
                added = bench.store.add_path(bench.root, path)
                bench.store.materialise(added.ref, root, path, replace=True)
                found.append(path)
    return tuple(found)


def inputs(laid: Laid, stages: Sequence[str]) -> list[tuple[str, ObjectRef]]:
    """What these stages need and the commit does not hold: tracked data, and what stages that are not run anew once made.

    Raises UserError where nobody knows what an earlier stage made."""
    anew = set(stages)
    found: dict[str, ObjectRef] = {}
    for name in stages:
        draft = laid.bench.drafts[name]
        found |= draft.tracked
        if gone := [path for path in draft.missing if path not in draft.elsewhere]:
            why = f'{name} needs {", ".join(gone[:NAMED])}, which is in no commit and not in the workspace'
            raise unfit('the inputs', why, 'put it there, or track it from now on: mlops add')
        for hole in draft.holes:
            if hole.producer not in anew and laid.bench.root.stat(hole.output) is None:
                recorded = laid.expected.get(hole.producer)
                ref = recorded.outputs.get(hole.output) if recorded is not None else None
                if ref is None:
                    raise unfit(name, f'nothing is recorded of {hole.output}, which {hole.producer} makes', 'mlops run')
                found[hole.output] = ref
    for name, stage in laid.bench.pipeline.stages.items():
        if stage.frozen and name in laid.expected:
            found |= {path: ref for path, ref in laid.expected[name].outputs.items() if laid.bench.root.stat(path) is None}
    return [*found.items()]


def place(bench: Workbench, laid: Laid, needed: Sequence[tuple[str, ObjectRef]], bring: Bring) -> None:
    """Puts inputs where the stages expect them.  ``bring``: asked for what this cache lacks.

    Raises UserError (exit 4) for what cannot be had, OSError."""
    lacking = [(path, ref) for path, ref in needed if bench.store.missing([ref])]
    if lacking:
        bring(lacking)
    gone = [path for path, ref in lacking if bench.store.missing([ref])]
    if gone:
        more = f' and {len(gone) - NAMED} more' if len(gone) > NAMED else ''
        why = f'not in this cache: {", ".join(gone[:NAMED])}{more}'
        raise unfit('the inputs', why, 'with --pull they come from the remote')
    with bench.store.placing(laid.bench.root) as placing:
        for path, ref in needed:
            parent = os.path.dirname(path)
            if parent:
                laid.bench.root.makedirs(parent)
            placing.place(ref, path, replace=True)


@contextmanager
def apart(laid: Laid) -> Iterator[Workbench]:
    """The same, opened to run in: with a cache of its own, no remote to look anything up in, no budget.  Raises OSError."""
    one = laid.bench
    with Root(os.path.dirname(laid.own_cache)) as root:
        root.makedirs(OWN_CACHE)
    config = replace(one.config, cache=laid.own_cache, cache_remote='', budgets={})
    opened = open_workbench(one.root.path, config, one.environ, overlay=one.overlay)
    try:
        yield opened
    finally:
        opened.close()
