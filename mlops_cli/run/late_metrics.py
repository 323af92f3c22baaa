"""Numbers of files that became metrics after their result was recorded: declaring ``metrics:`` runs nothing again, so they
are read from what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records import metrics
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import within


def with_late_metrics(
    bench: Workbench, stage: str, outputs: Mapping[str, ObjectRef], known: metrics.Numbers
) -> metrics.Numbers:
    """``known``: what is recorded of the result with these outputs.  What is not in this cache, or cannot be read, adds
    nothing."""
    declared = bench.pipeline.stages.get(stage)
    told = {file for file, _, _ in known}
    found = list(known)
    for output in declared.read_as('metric') if declared is not None else ():
        if output.path in told:
            continue
        with suppress(UserError, MissingObject, Damaged):
            ref = within(outputs, output.path, bench.store.read)
            if ref is not None and ref.kind != 'tree' and ref.size <= metrics.LIMIT:
                numbers = metrics.scalars(bench.store.read(ref.digest), output.path)
                found += [(output.path, name, value) for name, value in numbers]
    return tuple(sorted(found))
