"""Which stages are made again: all, or a part of them that follows from the commit, so that everybody gets the same.  Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError


def parse_share(text: str) -> float | None:
    """``5%`` -> 0.05; '' -> None.  Raises UserError."""
    if not text:
        return None
    try:
        if text.endswith('%') and 0 < (percent := float(text[:-1])) <= 100:
            return percent / 100
    except ValueError:
        pass
    raise UserError(f'--sample {text[:40]!r} is no share of the stages', hint='such as --sample 5%')


def sample(stages: Sequence[str], share: float, seed: str) -> tuple[str, ...]:
    """At least one of them, in their order.  The same seed (a commit) chooses the same; another commit others."""
    count = max(1, math.ceil(len(stages) * share)) if stages else 0

    def rank(name: str) -> str:
        return digest_of(f'mlops sample-v1\n{seed}\n{name}'.encode('utf-8', 'surrogateescape')).hex

    chosen = {*sorted(stages, key=rank)[:count]}
    return tuple(name for name in stages if name in chosen)
