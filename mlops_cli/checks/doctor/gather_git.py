"""The facts about git."""

from __future__ import annotations

import os

from mlops_cli import git
from mlops_cli.checks.doctor.facts import GitFacts
from mlops_cli.checks.doctor.gather_own import seen
from mlops_cli.checks.doctor.rules_git import BIG_FILE
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import ancestors
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.records.files import line_starting
from mlops_cli.records.repository import access, version
from mlops_cli.run.workbench import Workbench

OURS = (layout.LOCAL, layout.CACHE, layout.CONFIG_LOCAL)
CHANGED_LIMIT = 5000  # files looked at
RECORD_LIMIT = 1 << 20


def outside(folder: str) -> GitFacts:
    """Where there is no project."""
    found = access(folder)
    return GitFacts(found.installed, version(folder), found.problem, found.said, found.inside)


def look(root: Root, bench: Workbench | None) -> GitFacts:
    """``bench`` None: the pipeline cannot be read."""
    folder = root.path
    found = outside(folder)
    head = git.head(folder) if found.inside else None
    if head is None:
        return found
    changed = git.changed(folder)
    made, not_ignored = _outputs(root, bench)
    return GitFacts(
        True,
        found.version,
        '',
        '',
        True,
        git.top(folder) or '',
        head.branch,
        head.commit,
        os.path.exists(os.path.join(git.top(folder) or folder, '.git', 'shallow')),
        git.tracked(folder, OURS)[:20],
        made,
        not_ignored,
        _big(root, bench, changed[:CHANGED_LIMIT]),
        tuple(path for path in changed if path.startswith(f'{layout.ROOT}/') and _in_conflict(root, path)),
    )


def _outputs(root: Root, bench: Workbench | None) -> tuple[dict[str, tuple[str, int]], tuple[str, ...]]:
    """(outputs that git tracks though the cache keeps them, outputs that are here and that git would take)."""
    if bench is None:
        return {}, ()
    kept = {output.path: stage.name for stage in bench.pipeline.stages.values() for output in stage.outputs if output.cache}
    if not kept:
        return {}, ()
    sizes: dict[str, int] = {}
    for path in git.tracked(root.path, list(kept)):
        output = next((one for one in (path, *ancestors(path)) if one in kept), '')
        status = seen(root, path)
        if output:
            sizes[output] = sizes.get(output, 0) + (status.st_size if status else 0)
    here = [path for path in kept if path not in sizes and seen(root, path) is not None]
    ignored = git.ignored(root.path, here) or frozenset()
    return {path: (kept[path], size) for path, size in sizes.items()}, tuple(path for path in here if path not in ignored)


def _big(root: Root, bench: Workbench | None, changed: tuple[str, ...]) -> dict[str, int]:
    try:
        mine = set(data.tracked(root))
    except UserError:  # told with the other records
        mine = set()
    if bench is not None:
        mine |= {output.path for stage in bench.pipeline.stages.values() for output in stage.outputs}
    found = {}
    for path in changed:
        if mine.isdisjoint((path, *ancestors(path))):
            status = seen(root, path)
            if status is not None and status.st_size >= BIG_FILE:
                found[path] = status.st_size
    return found


def _in_conflict(root: Root, path: str) -> bool:
    try:
        fd = root.open(path)
    except (OSError, UserError):
        return False
    try:
        return bool(line_starting(os.read(fd, RECORD_LIMIT), b'<<<<<<< '))
    finally:
        os.close(fd)
