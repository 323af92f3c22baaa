"""Indexes whose clock stands before or behind that of the files."""

from __future__ import annotations

from mlops_cli.fingerprint.index import Index, Moment


class Later(Index):
    """An index for which all that was not touched in the last moment has aged."""

    ahead_ns = 5_000_000_000

    def _probe(self) -> Moment:
        device, before, foreign = super()._probe()
        return Moment(device, before + self.ahead_ns, foreign + self.ahead_ns)


class Fresh(Index):
    """An index for which all was touched just now."""

    def _probe(self) -> Moment:
        return Moment(super()._probe().device, 0, 0)
