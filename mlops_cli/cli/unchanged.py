"""What there is to say about code beside the plan: what could not be followed, and files that were edited and mean the same.

The latter is said only where it costs a few looks at the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_cli.cli.console import one_line
from mlops_cli.cli.words import some
from mlops_cli.plan.model import Plan, Verdict

if TYPE_CHECKING:
    from mlops_cli.core.digest import Digest
    from mlops_cli.run.workbench import Workbench

MOST = 20  # files that are looked into: those that were written last
SHOWN = 3


def unknown_code(bench: Workbench) -> frozenset[str]:
    """Sentences about code that could not be followed."""
    return frozenset(sentence for stage in bench.order for sentence in bench.traits(stage).unknown)


def cosmetic(bench: Workbench, plan: Plan) -> list[str]:
    """Files whose bytes are others than those that the recorded result was made with, though its key is the same."""
    latest = sorted(_code(bench, plan), key=lambda item: -_modified(bench, item[0]))[:MOST]
    return sorted(path for path, stage, key in latest if _differs(bench, path, stage, key))


def note(paths: list[str]) -> str:
    """``src/model.py changed since, but not in meaning (comments, formatting)``; nothing without a path."""
    names = ', '.join(some(list(map(one_line, paths)), SHOWN))
    what = 'outputs, text' if all(path.endswith('.ipynb') for path in paths) else 'comments, formatting'
    return f'{names} changed since, but not in meaning ({what})' if paths else ''


def _code(bench: Workbench, plan: Plan) -> Iterator[tuple[str, str, Digest]]:
    """Each code file, with one of the fresh stages that use it, and that one's key."""
    seen: set[str] = set()
    for step in plan.steps:
        if step.verdict is not Verdict.FRESH or step.manifest is None:
            continue
        for path in bench.traits(step.stage).code:
            if path not in seen:
                seen.add(path)
                yield path, step.stage, step.manifest.digest


def _modified(bench: Workbench, path: str) -> float:
    try:
        return os.lstat(bench.root.full(path)).st_mtime
    except OSError:
        return 0.0


def _differs(bench: Workbench, path: str, stage: str, key: Digest) -> bool:
    then = [dict(entry.code_bytes).get(path) for entry in bench.results.lookup(key)]
    return bool(then) and all(digest is not None and digest != bench.traits(stage).code[path] for digest in then)
