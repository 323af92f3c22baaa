"""Which remote each content belongs to: what its output says by ``remote:``, none by ``push: false``, else the usual one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Output, Pipeline

Wanted = tuple[str, ObjectRef]
KEPT = 'push: false keeps it here'


class Routes:
    """``usual``: where goes what says nothing else.  ``alone``: only to there, as somebody has asked.  ``left_out``: path ->
    why it does not travel; grows with what is asked about."""

    def __init__(self, pipeline: Pipeline, remotes: Iterable[str], usual: str, *, alone: bool = False) -> None:
        self._outputs: Mapping[str, Output] = {
            output.path: output for stage in pipeline.stages.values() for output in stage.outputs
        }
        self._remotes = frozenset(remotes)
        self.usual, self._alone = usual, alone
        self.left_out: dict[str, str] = {}

    def split(self, wanted: Iterable[Wanted]) -> list[tuple[str, list[Wanted]]]:
        """(remote, what belongs there), the usual one first, and there even if nothing does.  Raises UserError."""
        found: dict[str, list[Wanted]] = {self.usual: []}
        for path, ref in wanted:
            name = self._remote_of(path)
            if name is not None:
                found.setdefault(name, []).append((path, ref))
        return [*found.items()]

    def _remote_of(self, path: str) -> str | None:
        output = self._outputs.get(path)
        if output is None or (output.push and not output.remote):
            return self.usual
        if not output.push:
            self.left_out[path] = KEPT
            return None
        if output.remote not in self._remotes:
            hint = did_you_mean(output.remote, sorted(self._remotes), what='remotes are')
            raise UserError(f'{path}: there is no remote {output.remote!r}', where=output.where, hint=hint)
        if self._alone and output.remote != self.usual:
            self.left_out[path] = f'it belongs to the remote {output.remote}'
            return None
        return output.remote


def kept_here(pipeline: Pipeline) -> frozenset[str]:
    """Outputs that do not travel."""
    return frozenset(output.path for stage in pipeline.stages.values() for output in stage.outputs if not output.push)
