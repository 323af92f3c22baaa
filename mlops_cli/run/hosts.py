"""Which stages of a run go to which host, and the executor that takes each to where it goes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import Job, Outcome
from mlops_cli.core.refs import ObjectRef
from mlops_cli.executors.base import Executor, Handle
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.model import Plan
from mlops_cli.run.capacity import Machine, tokens_lacking
from mlops_cli.run.request import ANY, Routes, by_host, going_anywhere
from mlops_cli.run.workbench import Workbench

if TYPE_CHECKING:
    from mlops_cli.executors.ssh import Ssh
    from mlops_cli.records.destinations import Host

CLUSTERS = {'slurm': 'Slurm', 'ray': 'Ray', 'kubernetes': 'Kubernetes'}  # of facts: what a cluster says of itself
TELL_SECONDS = 2.0  # after which it is said that a host takes its time
TURN = 0.05  # seconds that one of several executors is waited for


def refusal(stage: Stage, host: str, machine: Machine, routes: Routes) -> UserError | None:
    """Why a stage cannot run on another machine, if so.  ``host``: as routes has it; ``machine``: this one, which hands the
    tokens out."""
    if host == ANY:
        from mlops_cli.run.anywhere import refusal_of_all

        return refusal_of_all(stage, routes)
    if stage.environment and stage.environment.image and routes.is_in_pods(host):
        where = stage.places.get('environment', stage.where)
        hint = f'hosts.{host}.submit: image=NAME says which image pods have; or take a host behind ssh, or a cluster with Slurm'
        message = f'stage {stage.name} has environment: {{container: ...}}, and pods have an image of their host ({host})'
        return UserError(message, where=where, hint=hint)
    return tokens_lacking(stage, machine)


def known(bench: Workbench, name: str) -> Host:
    """The host of that name.  Raises UserError for one that nobody knows."""
    from mlops_cli.core.near import did_you_mean

    if (host := bench.config.hosts.get(name)) is not None:
        return host
    hint = did_you_mean(name, bench.config.hosts, what='there are') if bench.config.hosts else (
        f'mlops hosts add {name} ssh://user@host')
    raise UserError(f'there is no host {name!r}', hint=hint)


@dataclass(frozen=True, slots=True)
class Patience:
    """While a host is reached, which may take minutes.  ``go_on``: called often, to raise where it is not wanted any more;
    ``tell``: why it takes so long."""

    go_on: Callable[[], None]
    tell: Callable[[str], None]


def opened(bench: Workbench, name: str, patience: Patience) -> Ssh:
    """The executor of a host, connected.  Raises UserError for one that nobody knows or has confirmed, Unreachable."""
    from mlops_cli.executors.ssh import Ssh
    from mlops_cli.records import sightings, trust
    from mlops_cli.records.config import HOSTS, load_settings

    host = known(bench, name)
    setting = load_settings(bench.root, os.environ)[f'{HOSTS}.{name}']
    if trust.needs_confirmation(bench.root, setting):
        raise UserError(
            f'host {name} leads to {host.leads_to}, which came with git and nobody here has confirmed',
            where=setting.where,
            exit_code=ExitCode.REFUSED,
            hint=f'if that is right: mlops config confirm {HOSTS}.{name} --yes',
        )
    made = Ssh(name, host.place, bench.store, python=host.python, path=host.path, submit=host.words)
    try:
        sightings.keep(bench.root, name, host.url, _facts(made, patience), time.time())
    except BaseException:
        made.close()
        raise
    return made


def _facts(made: Ssh, patience: Patience) -> Mapping[str, Any]:
    """Of the first contact, in a thread: a run that is interrupted counts signals, which wake nobody who waits for a host."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            made.facts()
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            failed.append(error)

    thread = threading.Thread(target=work, name=f'reach {made.name}', daemon=True)
    thread.start()
    tell, told = time.monotonic() + TELL_SECONDS, ''
    while thread.is_alive():
        thread.join(TURN)
        patience.go_on()
        said = f'{made.name} is being reached{f": {waits}" if (waits := made.waits_for()) else ""}'
        if said != told and time.monotonic() >= tell:
            patience.tell(said)
            tell, told = time.monotonic() + TELL_SECONDS, said
    if failed:
        raise failed[0]
    return made.facts()


def acquaint(bench: Workbench, plan: Plan, routes: Routes, patience: Patience) -> None:
    """Where stages may run on any host: those of which nothing is known here are asked what they have.  Who does not answer is
    left out.  Raises UserError."""
    if not going_anywhere(bench, plan, routes):
        return
    if names := routes.chooser.unseen:
        from mlops_cli.store.bucket import Unreachable

        failed = {}
        for name in names:
            try:
                opened(bench, name, patience).close()
            except Unreachable as error:
                failed[name] = error.problem
        routes.chooser.look_again()
        for name, problem in failed.items():
            routes.chooser.avoid(name, f'does not answer: {problem}')


def routed(here: Executor, bench: Workbench, plan: Plan, routes: Routes, keep_going: bool, patience: Patience) -> Executor:
    """An executor for all stages of a plan.  The hosts of those that are to run are connected, so that one which cannot be
    is told before anything is touched.  ``keep_going``: stages for which there is none fail in their turn.  Raises UserError,
    Unreachable."""
    if not any(routes.named(bench.pipeline.stages[step.stage]) for step in plan.steps):
        return here
    found = Routed(here, partial(opened, bench, patience=patience))
    try:
        while not _all_reached(found, bench, plan, routes, keep_going):
            pass
    except BaseException:
        found.close()
        raise
    return found


def _all_reached(found: Routed, bench: Workbench, plan: Plan, routes: Routes, keep_going: bool) -> bool:
    """False where a host does not answer that nobody asked for by name: another one is to be chosen."""
    from mlops_cli.store.bucket import Unreachable

    for name, stages in by_host(bench, plan, routes).items():
        if name == ANY:
            if keep_going:
                continue
            from mlops_cli.run.anywhere import refusal_of_all

            raise refusal_of_all(bench.pipeline.stages[stages[0]], routes)
        try:
            found.reach(name)
        except Unreachable as error:
            if any(routes.named(bench.pipeline.stages[stage]) == name for stage in stages):
                raise
            routes.chooser.avoid(name, f'does not answer: {error.problem}')
            return False
    return True


class Routed:
    """As an executor: each job to where it goes.  ``opened``: the executor of a host by name, connected; asked once for each,
    when the first job goes there: a stage may be decided anew, and run where nobody thought that one would."""

    def __init__(self, here: Executor, opened: Callable[[str], Ssh]) -> None:
        self.here, self._opened = here, opened
        self.hosts: dict[str, Ssh] = {}
        self._of: dict[Handle, Executor] = {}
        self._not_started: list[Outcome] = []

    def reach(self, name: str) -> Ssh:
        """Raises UserError, Unreachable."""
        if name not in self.hosts:
            self.hosts[name] = self._opened(name)
        return self.hosts[name]

    def submit(self, job: Job) -> Handle:
        try:
            executor: Executor = self.reach(job.host) if job.host else self.here
        except UserError as error:
            from mlops_cli.executors.ssh import not_started

            self._not_started.append(not_started(job.attempt, error))
            return job.attempt
        handle = executor.submit(job)
        self._of[handle] = executor
        return handle

    def poll(self, timeout_seconds: float) -> list[Outcome]:
        if told := self._not_started:
            self._not_started = []
            return told
        until = time.monotonic() + timeout_seconds
        running = self._running()
        while True:
            rest = until - time.monotonic()
            turn = max(0.0, min(rest, TURN) if len(running) > 1 else rest)
            found = [outcome for one in running for outcome in one.poll(turn)]
            if found or rest <= 0 or not running:
                return found

    def _running(self) -> list[Executor]:
        found: list[Executor] = []
        for one in self._of.values():
            if one not in found:
                found.append(one)
        return found

    def waiting(self) -> dict[Handle, tuple[str, float]]:
        """As :meth:`Ssh.waiting`, of all hosts."""
        return {handle: found for one in self.hosts.values() for handle, found in one.waiting().items()}

    def cancel(self, handle: Handle, *, force: bool = False) -> None:
        if (executor := self._of.get(handle)) is not None:
            executor.cancel(handle, force=force)

    def collect(self, handle: Handle) -> tuple[tuple[str, ObjectRef], ...] | None:
        executor = self._of.pop(handle, None)
        return executor.collect(handle) if executor is not None else ()

    def close(self) -> list[Outcome]:
        found = list(self.here.close())
        for one in self.hosts.values():
            found += one.close()
        return found


def told_of(executor: Executor, bench: Workbench, plan: Plan, routes: Routes) -> Iterable[str]:
    """A line for each host: which stages go there, and what it is."""
    from mlops_cli.core.units import plural

    if isinstance(executor, Routed):
        for name, stages in by_host(bench, plan, routes).items():
            if name == ANY:
                continue
            names = plural(len(stages), 'stage') if len(stages) > 3 else ', '.join(stages)
            yield f'{names}: on {name} ({summary(executor.reach(name).facts())})'
        if going_anywhere(bench, plan, routes):
            yield from _chosen(bench, plan, routes)


def _chosen(bench: Workbench, plan: Plan, routes: Routes) -> Iterable[str]:
    from mlops_cli.core.units import plural
    from mlops_cli.run.anywhere import chosen_hosts

    for one in chosen_hosts(bench, plan, routes):
        if one.choice.host and one.choice.others:
            names = plural(len(one.stages), 'stage') if len(one.stages) > 3 else ', '.join(one.stages)
            yield f'{names}: {one.choice.host} was chosen: {one.choice.sentence}'


def summary(facts: Mapping[str, Any]) -> str:
    """``gpu1.example.org: 16 CPUs, 2 GPUs``, of what the host says of itself."""
    from mlops_cli.core.units import plural

    name = ''.join(character for character in str(facts.get('name', ''))[:60] if character.isprintable())
    cpus, gpus = facts.get('cpus'), facts.get('gpus')
    for engine in CLUSTERS:
        if isinstance(cluster := facts.get(engine), dict):
            return f'{name}: {cluster_summary(facts, cluster, engine)}'
    parts = [plural(cpus, 'CPU')] if isinstance(cpus, int) else []
    parts += [plural(len(gpus), 'GPU')] if isinstance(gpus, list) and gpus else []
    return f'{name}: {", ".join(parts)}' if parts else name


def cluster_summary(facts: Mapping[str, Any], cluster: Mapping[str, Any], engine: str) -> str:
    """``Slurm, 12 nodes, 768 CPUs, 48 GPUs``."""
    from mlops_cli.core.units import plural

    counts = ((cluster.get('nodes'), 'node'), (facts.get('cpus'), 'CPU'), (cluster.get('gpus') or None, 'GPU'))
    return ', '.join([CLUSTERS[engine], *(plural(count, what) for count, what in counts if isinstance(count, int))])
