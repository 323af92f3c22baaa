"""The code of two states as they were: from the sources that results keep, from git, from the workspace."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT, Manifest
from mlops_cli.core.units import show_size
from mlops_cli.experiments.edited import sources_of
from mlops_cli.experiments.model import Point
from mlops_cli.git import commits
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.records.files import read_small
from mlops_cli.run.workbench import Workbench

LIMIT = 1 << 20  # bytes of a file whose lines are compared
FILES = 5000  # files of a state that are looked at
LINES = 10_000  # lines of a file that are compared: more could take minutes

Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class FileChange:
    """``status``: ``changed``, ``added``, ``removed``.  ``lines``: a unified diff without line ends; empty where ``note`` says
    why there is none.  ``added``, ``removed``: how many lines; None without a diff."""

    path: str
    status: str
    lines: tuple[str, ...] = ()
    added: int | None = None
    removed: int | None = None
    note: str = ''


@dataclass(frozen=True)
class Sources:
    """The source files of a state.  ``digests``: path -> content; None where only the key's entry is known, and that in
    ``entries``."""

    digests: Mapping[str, Digest | None]
    entries: Mapping[str, Digest]
    read: Read


def code_changes(bench: Workbench, before: Point, after: Point, stages: Collection[str]) -> tuple[FileChange, ...]:
    """Files of these stages that differ, by path.  Parameter files are left out: their values are compared.  Raises OSError."""
    with _sources(bench, before, stages) as one, _sources(bench, after, stages) as two:
        left_out = _parameter_files(before.pipeline) | _parameter_files(after.pipeline)
        left_out |= _untold(before, one) | _untold(after, two)
        paths = sorted((one.digests.keys() | two.digests.keys()) - left_out)
        return tuple(change for path in paths if (change := _change(path, one, two)) is not None)


def _untold(point: Point, sources: Sources) -> set[str]:
    """Pipeline files that a run read and nothing kept, since nothing ran in it."""
    return set(point.pipeline.files) - sources.digests.keys() if point.kind == 'run' else set()


def _parameter_files(pipeline: Pipeline) -> set[str]:
    return {ref.file for stage in pipeline.stages.values() for ref in stage.params}


def _change(path: str, one: Sources, two: Sources) -> FileChange | None:
    if path not in one.digests or path not in two.digests:
        status, side = ('added', two) if path in two.digests else ('removed', one)
        data = side.read(path)
        return _compared(path, status, b'' if status == 'added' else data, data if status == 'added' else b'')
    was, now = one.digests[path], two.digests[path]
    if was is not None and now is not None:
        return None if was == now else _compared(path, 'changed', one.read(path), two.read(path))
    if one.entries.get(path) == two.entries.get(path):
        return None  # as far as the keys tell
    return FileChange(path, 'changed', note='its source is not in this cache')


def _compared(path: str, status: str, before: bytes | None, after: bytes | None) -> FileChange:
    if before is None or after is None:
        return FileChange(path, status, note='its source is not in this cache')
    if max(len(before), len(after)) > LIMIT:
        return FileChange(path, status, note=f'{show_size(max(len(before), len(after)))}: too large to compare line by line')
    if b'\0' in before or b'\0' in after:
        return FileChange(path, status, note=f'not text, {show_size(len(before))} -> {show_size(len(after))}')
    one, two = (data.decode(errors='replace').splitlines() for data in (before, after))
    if max(len(one), len(two)) > LINES:
        return FileChange(path, status, note=f'{max(len(one), len(two)):,} lines: too many to compare')
    if one == two:
        return FileChange(path, status, (), 0, 0, 'only ends of lines differ' if status == 'changed' else 'empty')
    names = (path if status != 'added' else '/dev/null', path if status != 'removed' else '/dev/null')
    import difflib  # where code is compared only

    lines = tuple(difflib.unified_diff(one, two, *names, lineterm=''))
    added = sum(line.startswith('+') for line in lines[2:])
    return FileChange(path, status, lines, added, sum(line.startswith('-') for line in lines[2:]))


@contextmanager
def _sources(bench: Workbench, point: Point, stages: Collection[str]) -> Iterator[Sources]:
    with ExitStack() as stack:
        if point.kind == 'workspace':
            yield _of_workspace(bench, stages)
        elif point.kind == 'revision':
            read = stack.enter_context(commits.reading(bench.root.path))
            yield _of_revision(bench, point, stages, read)
        else:
            yield _of_results(bench, point, stages)


def _entries(point: Point, stages: Collection[str]) -> dict[str, Digest]:
    """Path -> what the keys say of it, of all code that these stages use."""
    found: dict[str, Digest] = {}
    for name, stage in point.stages.items():
        for manifest in (stage.manifest, stage.partial) if name in stages else ():
            found |= _code_of(manifest)
    return found


def _code_of(manifest: Manifest | None) -> dict[str, Digest]:
    entries = manifest.entries if manifest is not None else ()
    return {entry.name: entry.digest for entry in entries if entry.kind == 'code' and entry.digest != ABSENT}


def _of_results(bench: Workbench, point: Point, stages: Collection[str]) -> Sources:
    kept = sources_of(bench, (stage for name, stage in point.stages.items() if name in stages))
    entries = _entries(point, stages)
    digests: dict[str, Digest | None] = dict.fromkeys(entries)
    digests |= {path: ref.digest for path, ref in kept.items()}

    def read(path: str) -> bytes | None:
        ref = kept.get(path)
        try:
            return bench.store.read(ref.digest) if ref is not None and ref.size <= LIMIT * 4 else None
        except UserError:  # lost since, or damaged
            return None

    return Sources(digests, entries, read)


def _of_workspace(bench: Workbench, stages: Collection[str]) -> Sources:
    """The code that the stages use now."""
    wanted = {path for name, draft in bench.drafts.items() if name in stages for path in draft.code} | set(bench.pipeline.files)
    digests: dict[str, Digest | None] = {}
    for path in sorted(wanted)[:FILES]:
        ref = bench.workspace.ref(path)
        if ref is not None and ref.kind != 'tree':
            digests[path] = ref.digest

    def read(path: str) -> bytes | None:
        try:
            return read_small(bench.root, path, LIMIT * 4)
        except (UserError, FileNotFoundError, NotADirectoryError):
            return None

    return Sources(digests, {}, read)


def _of_revision(
    bench: Workbench, point: Point, stages: Collection[str], read: Callable[[str, int], bytes | None]
) -> Sources:
    """As committed, whatever the results keep."""
    entries = _entries(point, stages)
    wanted = sorted({*entries, *point.pipeline.files})[:FILES]
    blobs = commits.blobs(bench.root.path, point.commit, wanted) or {} if wanted else {}
    known: dict[str, bytes | None] = {}

    def content(path: str) -> bytes | None:
        if path not in known:
            known[path] = read(blobs[path], LIMIT * 4) if path in blobs else None
        return known[path]

    digests: dict[str, Digest | None] = {}
    for path in blobs.keys() & set(wanted):
        data = content(path)
        digests[path] = digest_of(data) if data is not None else None
    return Sources(digests, entries, content)
