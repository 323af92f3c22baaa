"""What keeps two commands out of each other's way: locks on a stage, its paths and its key.  Taken all or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_seconds
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.fsio.locks import LockFile
from mlops_cli.plan.model import Step, Verdict
from mlops_cli.records.metrics import recorded
from mlops_cli.records.pins import Pin
from mlops_cli.run.live import running_in

if TYPE_CHECKING:
    from mlops_cli.run.session import Session

LASTING = ('stage/', 'key/')


class Claims:
    """``enabled`` False only in tests of the scheduler alone."""

    enabled = True

    def __init__(self, session: Session) -> None:
        self.session = session
        self.held: dict[str, list[tuple[LockFile, str]]] = {}
        self.unflushed: list[tuple[LockFile, str]] = []
        self.killed: dict[str, str] = {}  # stage -> the run that was killed at its paths, and is not undone yet

    def take(self, draft: Draft, step: Step) -> bool:
        """All locks a stage needs, or none.  Never waits."""
        stage = draft.stage
        locks = self.session.stage_locks
        wanted: list[tuple[LockFile, str, bool]] = []
        mine: set[str] = set()
        inputs: set[str] = set()
        if not self.session.trial:
            wanted.append((locks, f'stage/{stage.name}', True))
            mine = {output.path for output in stage.outputs}
            inputs = {hole.output for hole in draft.holes} - mine
            wanted += [(locks, f'path/{path}', path in mine) for path in sorted(mine | inputs)]
        wanted += [(locks, f'mutex/{name}', True) for name in sorted(set(stage.mutex))]
        if step.verdict is Verdict.RUN and step.manifest is not None:
            wanted.append((self.session.key_locks, f'key/{step.manifest.digest.hex}', True))
        taken: list[tuple[LockFile, str]] = []
        for file, name, exclusive in wanted:
            # Who waits for a key waits for its stage, or for a stage of another project that nobody asks about.
            noted = file is locks
            if not (file.try_exclusive(name, noted=noted) if exclusive else file.try_shared(name)):
                self._release(taken)
                return False
            taken.append((file, name))
        if (mine or inputs) and not self._undone(stage.name, mine, inputs):
            self._release(taken)
            return False
        self.held[stage.name] = taken
        return True

    def _undone(self, stage: str, mine: set[str], inputs: set[str]) -> bool:
        """With the locks held: whether nothing that a killed run left there has yet to be put right."""
        self.killed.pop(stage, None)
        if not self.session.in_flight.run_at(mine, inputs):
            return True
        self.session.heal()
        if run := self.session.in_flight.run_at(mine, inputs):
            self.killed[stage] = run.partition('-')[2]
            return False
        return True

    @staticmethod
    def _release(taken: Sequence[tuple[LockFile, str]]) -> None:
        for file, name in reversed(taken):
            file.release(name)

    def give_back(self, stage: str) -> None:
        self._release(self.held.pop(stage, ()))

    def give_back_when_flushed(self, stage: str) -> None:
        """Paths are free at once, for the stages after it; stage and key only when others can see the result."""
        taken = self.held.pop(stage, [])
        self.unflushed += [(file, name) for file, name in taken if name.startswith(LASTING)]
        self._release([(file, name) for file, name in taken if not name.startswith(LASTING)])

    def flushed(self) -> None:
        """What was recorded so far has its name."""
        self._release(self.unflushed)
        self.unflushed = []

    def holder(self, draft: Draft) -> str:
        """Who holds the stage, for people; 'another command' if nobody says."""
        if killed := self.killed.get(draft.stage.name):
            return f'run {killed}, which was killed and is being ended'
        found = self.session.stage_locks.holder(f'stage/{draft.stage.name}')
        if not found:
            return 'another command'
        pid, host = found.get('pid'), found.get('host')
        try:
            run = next((one.short for one in running_in(self.session.root) if (one.pid, one.host) == (pid, host)), '')
        except OSError:
            run = ''
        return f'{f"run {run}" if run else found.get("command", "mlops")} (pid {pid} on {host})'

    def timeout(self, draft: Draft, holder: str, seconds: float) -> UserError:
        return UserError(
            f'stage {draft.stage.name} is held by {holder}, waited {show_seconds(seconds)}',
            hint='wait for it, or leave out --lock-timeout',
            exit_code=ExitCode.LOCK_TIMEOUT,
        )

    def pin_restored(self, stage: str, step: Step) -> tuple[str, tuple[tuple[str, str, float | int], ...], str]:
        """Pins what was restored, unless it is pinned; (entry8, metrics, the new pin's path)."""
        assert step.manifest is not None
        numbers: tuple[tuple[str, str, float | int], ...] = ()
        for entry in self.session.results.lookup(step.manifest.digest):
            if entry.outputs == step.outputs:
                numbers = recorded(entry.metrics, [path for path, _ in entry.outputs])
        pins = [pin for pin in self.session.pins.of_key(step.manifest.digest) if pin.outputs == step.outputs]
        pin = pins[0] if pins else Pin(step.manifest, step.outputs, numbers)
        path = '' if self.session.trial else self.session.pins.add(stage, pin, self.session.batch) or ''
        return pin.outs8, pin.metrics, path
