"""By itself, since lists of runs need no other word."""

from __future__ import annotations


def state_word(state: str) -> str:
    """How the state of a run or a stage is called: records say ``interrupted``, people read ``stopped``."""
    return 'stopped' if state == 'interrupted' else state
