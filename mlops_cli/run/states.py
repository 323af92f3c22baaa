"""The states of a stage in a run: exactly one at a time, the same words in code, docs and output.

waiting -> ready -> queued -> running -> done | failed | interrupted
              |        `--> restored
              |`--> fresh
              `--> skipped
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a stage is."""

    WAITING = 'waiting'
    READY = 'ready'
    QUEUED = 'queued'
    RUNNING = 'running'
    FRESH = 'fresh'
    RESTORED = 'restored'
    DONE = 'done'
    FAILED = 'failed'
    SKIPPED = 'skipped'
    INTERRUPTED = 'interrupted'

    @property
    def sentence(self) -> str:
        return SENTENCES[self]

    @property
    def settled(self) -> bool:
        return self in SETTLED

    @property
    def good(self) -> bool:
        """Stages after it can go on."""
        return self in (State.FRESH, State.RESTORED, State.DONE)


SENTENCES = {
    State.WAITING: 'a stage before it is not settled',
    State.READY: 'every stage before it is settled; nothing decided yet',
    State.QUEUED: 'decided; waits for a processor, a token, or another command',
    State.RUNNING: 'its command runs',
    State.FRESH: 'the workspace held the right outputs already',
    State.RESTORED: 'its outputs were put back from the store',
    State.DONE: 'it ran, and its outputs are stored and recorded',
    State.FAILED: 'it ended without a result',
    State.SKIPPED: 'a stage before it failed, or the run was stopped',
    State.INTERRUPTED: 'it was ended from outside before it had a result',
}
SETTLED = frozenset({State.FRESH, State.RESTORED, State.DONE, State.FAILED, State.SKIPPED, State.INTERRUPTED})
