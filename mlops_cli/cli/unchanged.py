"""Code files that were edited and mean the same.  Said only where it costs a few looks at the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mlops_cli.core.clock import from_iso
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.run.workbench import Workbench

MOST = 20  # files that are looked into


def cosmetic(bench: Workbench, plan: Plan) -> list[str]:
    """Files whose bytes are others than those that the recorded result was made with, though its key is the same."""
    newest = next(bench.runs.ids(), '')
    if not newest:
        return []
    date, clock = newest[:8], newest[9:15]
    since = from_iso(f'{date[:4]}-{date[4:6]}-{date[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z')
    edited = [(path, stage) for path, stage in _code(bench, plan) if _modified(bench, path) >= since][:MOST]
    return sorted(path for path, stage in edited if _differs(bench, plan, path, stage))


def _code(bench: Workbench, plan: Plan) -> Iterator[tuple[str, str]]:
    """Each code file, with one of the fresh stages that use it."""
    seen: set[str] = set()
    for step in plan.steps:
        if step.verdict is not Verdict.FRESH or step.manifest is None:
            continue
        for path in bench.drafts[step.stage].code:
            if path not in seen:
                seen.add(path)
                yield path, step.stage


def _modified(bench: Workbench, path: str) -> float:
    try:
        return os.lstat(bench.root.full(path)).st_mtime
    except OSError:
        return 0.0


def _differs(bench: Workbench, plan: Plan, path: str, stage: str) -> bool:
    manifest = next(step.manifest for step in plan.steps if step.stage == stage)
    assert manifest is not None
    then = [dict(entry.code_bytes).get(path) for entry in bench.results.lookup(manifest.digest)]
    return bool(then) and all(digest is not None and digest != bench.drafts[stage].code[path] for digest in then)
