"""Which source files of a run were not as the commit says that it names: the only ones that git cannot bring back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.model import Point, StagePoint
from mlops_cli.fingerprint.parsing import SOURCES
from mlops_cli.git import commits
from mlops_cli.records.runs import Run
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.tree import walk

SOURCE_LIMIT = 4 << 20  # bytes of a source file that is compared
FILES = 2000  # source files that are compared


def sources_of(bench: Workbench, stages: Iterable[StagePoint]) -> dict[str, ObjectRef]:
    """Path -> content of the source files that these stages of a run are known to have used, as far as they are here.

    A result that was there already kept the files of its own time: of these only the code in its key is believed."""
    found: dict[str, ObjectRef] = {}
    for stage in sorted(stages, key=lambda one: (one.state == 'done', str(one.origin.get('run', '')))):
        if stage.sources is None:
            continue
        mine = {entry.name for entry in stage.manifest.entries if entry.kind == 'code'} if stage.manifest else set()
        try:
            for path, entry in walk(stage.sources, bench.store.read):
                if entry.kind in ('file', 'exec') and (stage.state == 'done' or path in mine):
                    found[path] = entry.ref
        except UserError:  # not in this cache, or damaged
            continue
    return found


def edited(bench: Workbench, run: Run, point: Point) -> tuple[str, ...] | None:
    """Source files of a run that were not as its commit has them; None where commit or sources are not here."""
    if not run.commit:
        return None
    sources = sources_of(bench, point.stages.values())
    if not sources:
        return None
    blobs = commits.blobs(bench.root.path, run.commit, sorted(sources)[:FILES])
    if blobs is None:
        return None
    return tuple(path for path in sorted(sources)[:FILES] if not _is_blob(bench, sources[path], blobs.get(path)))


def same_meaning(bench: Workbench, commit: str, code: Mapping[str, Digest]) -> frozenset[str]:
    """Python files that a commit has with other bytes, but as they were when they went into a key: their comments or their
    formatting differ.  ``code``: path -> what the key says of it."""
    paths = [path for path in code if path.endswith(SOURCES)][:FILES]
    blobs = commits.blobs(bench.root.path, commit, paths) if paths else None
    if not blobs:
        return frozenset()
    from mlops_cli.fingerprint.sources import meaning_of  # for edited files only

    with commits.reading(bench.root.path) as read:
        sources = {path: read(blobs[path], SOURCE_LIMIT) for path in paths if path in blobs}
    return frozenset(
        path
        for path, source in sources.items()
        if source is not None and any(meaning_of(path, source, docstrings=kept) == code[path] for kept in (True, False))
    )


def _is_blob(bench: Workbench, ref: ObjectRef, blob: str | None) -> bool:
    """Whether git has this content, line ends aside.  What cannot be compared counts as equal."""
    if blob is None:
        return False
    if ref.size > SOURCE_LIMIT:
        return True
    try:
        data = bench.store.read(ref.digest)
    except UserError:  # not in this cache, or damaged
        return True
    return blob in (_blob_id(data, len(blob)), _blob_id(data.replace(b'\r\n', b'\n'), len(blob)))


def _blob_id(data: bytes, length: int) -> str:
    """git's name of a content: of 40 hex digits, or of 64."""
    made = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    made.update(b'blob %d\0' % len(data))
    made.update(data)
    return made.hexdigest()
