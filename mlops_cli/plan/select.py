"""Which stages a command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.pipeline.spec import Pipeline


def matching(pipeline: Pipeline, pattern: str) -> tuple[str, ...]:
    """Instances that a word means: a name, a group, a glob over both, or the path of an output.  Raises UserError."""
    groups = pipeline.groups
    if pattern in pipeline.stages:
        return (pattern,)
    if pattern in groups:
        return groups[pattern]
    path = pattern.removeprefix('./').rstrip('/')
    makers = tuple(stage.name for stage in pipeline.stages.values() if any(output.path == path for output in stage.outputs))
    if makers:
        return makers
    if found := tuple(name for name in pipeline.stages if fnmatchcase(name, pattern)):
        return found
    if found := tuple(stage.name for stage in pipeline.stages.values() if fnmatchcase(stage.group, pattern)):
        return found
    from difflib import get_close_matches  # for mistakes only

    near = get_close_matches(
        pattern, [*pipeline.stages, *groups, *(o.path for s in pipeline.stages.values() for o in s.outputs)], 3
    )
    none = f'{layout.PIPELINE_FILE} has no stages, or cannot be read: mlops plan says why'
    known = f'stages are {_some(list(groups))}' if groups else none
    hint = f'did you mean {" or ".join(dict.fromkeys(near))}?' if near else known
    raise UserError(f'no stage, instance or output {pattern!r} in this pipeline', hint=hint)


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')


def select(
    pipeline: Pipeline,
    edges: Mapping[str, Sequence[str]],
    order: Sequence[str],
    patterns: Sequence[str],
    *,
    only: bool = False,
    downstream: bool = False,
) -> tuple[str, ...]:
    """The stages of a command, topological: those named (all if none are), what they need unless ``only``, and with
    ``downstream`` what depends on them (and what that needs, unless ``only``).  Raises UserError for an unknown word."""
    if not patterns:
        return tuple(order)
    chosen = {name for pattern in patterns for name in matching(pipeline, pattern)}
    if downstream:
        for name in order:
            if any(other in chosen for other in edges.get(name, ())):
                chosen.add(name)
    if not only:
        for name in reversed(order):
            if name in chosen:
                chosen.update(edges.get(name, ()))
    return tuple(name for name in order if name in chosen)
