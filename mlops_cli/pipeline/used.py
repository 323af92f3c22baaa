"""Parameters that templates used, by name: what a run's record keeps of them, and what two states are compared by."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlops_cli.pipeline.spec import Stage, Used


def leaves(used: Iterable[Used]) -> Iterator[Used]:
    """A mapping by its entries: ``train`` as ``train.rate`` and the others."""
    for one in used:
        if isinstance(one.value, Mapping):
            yield from leaves(Used(one.file, f'{one.key}.{name}', value) for name, value in one.value.items())
        else:
            yield one


def used_by(stages: Iterable[Stage]) -> dict[tuple[str, str], tuple[Any, tuple[str, ...]]]:
    """(file, key) -> (value, names of the stages whose templates use it), of all stages together."""
    found: dict[tuple[str, str], tuple[Any, list[str]]] = {}
    for stage in stages:
        for one in leaves(stage.used):
            names = found.setdefault((one.file, one.key), (one.value, []))[1]
            if stage.name not in names[-1:]:
                names.append(stage.name)
    return {name: (value, tuple(stages)) for name, (value, stages) in found.items()}
