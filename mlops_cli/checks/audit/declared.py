"""What a stage declares, as paths that can be asked for quickly: inputs, code, parameter files, outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlops_cli.core.classes import dataclass
from mlops_cli.core.paths import ancestors
from mlops_cli.fingerprint.globs import glob_pattern, is_glob
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.pipeline.spec import Stage


@dataclass(frozen=True)
class Declared:
    """``inputs``: files and folders that it may read; ``globs``: the same by pattern.  ``outputs``: what it may write, and read
    again.  ``listed``: dependency as written -> the paths (or the expression of a glob) that are it.  ``code``: files of its
    code, of which ``code`` names some: ``own_code``."""

    stage: Stage
    inputs: frozenset[str]
    globs: tuple[re.Pattern[str], ...]
    outputs: frozenset[str]
    listed: Mapping[str, tuple[str, ...]]

    def covering(self, path: str) -> str:
        """The input that a path is, or lies in; '' for none."""
        around = [path, *ancestors(path)]
        for one in around:
            if one in self.inputs:
                return one
        if '.' in self.inputs:
            return '.'
        return next((one for one in around for glob in self.globs if glob.fullmatch(one)), '')

    def is_output(self, path: str) -> bool:
        return not self.outputs.isdisjoint((path, *ancestors(path)))

    def around(self, path: str) -> bool:
        """Whether something that is declared lies in a folder."""
        return path == '.' or any(one.startswith(f'{path}/') for one in (*self.inputs, *self.outputs))


def declared_by(draft: Draft, shared: frozenset[str]) -> Declared:
    """``shared``: folders that stages write into; as a dependency such a one means the outputs and tracked files in it."""
    stage = draft.stage
    inputs = {*draft.inputs, *draft.elsewhere, *draft.tracked, *draft.code, *(ref.file for ref in stage.params)}
    inputs |= {hole.path for hole in draft.holes if not hole.pattern}
    inputs |= {dep.value for dep in stage.deps if dep.kind == 'path' and dep.value not in shared}
    inputs |= {path for path in stage.code.paths if not is_glob(path)}
    if stage.environment:
        inputs.add(stage.environment.path)
    if draft.found is not None:
        inputs |= {path for path in (*draft.found.files, *draft.found.consulted) if not path.startswith('/')}
    patterns = [dep.value for dep in stage.deps if dep.kind == 'glob'] + [path for path in stage.code.paths if is_glob(path)]
    kept = (*stage.caches, *filter(None, (stage.checkpoint, stage.progress)))
    return Declared(
        stage,
        frozenset(inputs),
        tuple(re.compile(glob_pattern(one)) for one in patterns),
        frozenset((*(output.path for output in stage.outputs), *kept)),
        dict(_listed(draft)),
    )


def _listed(draft: Draft) -> Iterator[tuple[str, tuple[str, ...]]]:
    for dep in draft.stage.deps:
        if dep.kind == 'stage':
            holes = (hole for hole in draft.holes if dep.value in (hole.producer, hole.producer.partition('@')[0]))
            yield f'{{stage: {dep.value}}}', tuple(sorted({hole.output for hole in holes}))
        else:
            yield dep.value, (dep.value,)
