"""One job on a host, from what it needs to what it made: the process that stays there, whoever goes (docs/formats/host.md).

It knows nothing of who asked for it.  What it is told lies in its folder, and what it has to say goes there."""
from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.job import COST, COST_SUFFIX, Ending, Job, Outcome, Process, Usage
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.job import cards, desk, environments, lasting, room
from mlops_cli.job.cards import VISIBLE
from mlops_cli.job.client import Started, Supervisor
from mlops_cli.job.environments import CACHE
from mlops_cli.store.bucket import FolderBucket, Unreachable
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.transfer import Told, fetch, push
from mlops_cli.usage.series import MOST_FIGURE

if TYPE_CHECKING:
    from mlops_cli.job.container import Container
    from mlops_cli.job.measured import Measured

JOBS = 'jobs-v1'
SPEC, STARTED, ALIVE, LOG, LEASE, CANCEL, OUTCOME, PROJECT, SAID, WAITS, PROGRESS = (
    'spec.json', 'started', 'alive', 'log', 'lease', 'cancel', 'outcome.json', 'project', 'said', 'waits', 'progress'
)  # fmt: skip
ATTEMPT = 'MLOPS_ATTEMPT'  # what the supervisor adds
ENGINES = ('SLURM_', 'RAY_')  # begin the names of what a cluster tells a job
OWN = (COST, 'MLOPS_CHECKPOINT_DIR')
TICK = 0.1  # seconds between looks at whether it is still wanted
FORCE = b'force'
FULL_BYTES = 1 << 20  # less room than that is none
COUNTS = (
    'memory_peak_bytes', 'read_bytes', 'write_bytes', 'network_received_bytes', 'network_sent_bytes', 'gpus',
    'gpu_memory_peak_bytes',
)  # fmt: skip
FIGURES = ('cpu_energy_joules', 'gpu_seconds', 'gpu_energy_joules', 'gpu_energy_estimated_joules')
# Whose fault it is where a job is lost or was not started, as an exit code of ours: of the stage, what it asks for, the host.
STAGE, LACKING, PLACE = 1, 2, 4


def main(folder: str, job: str) -> None:
    """The whole process.  ``folder``: of the host; ``job``: its name there.  What it is told comes in on standard input."""
    spec = json.loads(sys.stdin.buffer.read())
    with Root(folder) as root:
        place = f'{JOBS}/{job}'
        outcome = done(Hosted(root, place, spec))
        write_file(root, f'{place}/{OUTCOME}', json.dumps(outcome).encode(), 0o600)


def done(hosted: Hosted) -> dict[str, Any]:
    """The outcome of a job, whatever came of it; of what it worked in nothing is left."""
    try:
        return hosted.run()
    except (UserError, OSError, Unreachable, MissingObject, Damaged, ValueError, KeyError, TypeError) as error:
        code = LACKING if isinstance(error, desk.Lacking) else PLACE
        return not_begun('not-started', f'on the host: {_said(error)}', code)
    finally:
        hosted.clear()


def not_begun(ending: Ending, message: str, code: int) -> dict[str, Any]:
    """The outcome of what nobody can say more of.  ``code``: whose fault that is."""
    return to_json(Outcome('', ending, None, Usage(0.0, 0.0), message=message, details={'code': code}), ())


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f'{error.filename}: {error.strerror}'
    if isinstance(error, environments.NotMade):
        return f'{error}; {error.hint}'
    return str(error) or type(error).__name__


def to_json(
    outcome: Outcome, outputs: tuple[tuple[str, ObjectRef], ...], checkpoint: ObjectRef | None = None
) -> dict[str, Any]:
    usage = outcome.usage
    return {
        'ending': outcome.ending,
        'exit_code': outcome.exit_code,
        'killed': outcome.killed,
        'message': outcome.message,
        'code': outcome.details.get('code', PLACE),
        'usage': usage.to_json(),
        'outputs': [[path, *ref.to_json()] for path, ref in outputs],
        'checkpoint': None if checkpoint is None else checkpoint.to_json(),
        'spent': outcome.details.get('spent', 0),
    }


def from_json(attempt: str, found: Mapping[str, Any]) -> tuple[Outcome, tuple[tuple[str, ObjectRef], ...]]:
    """Raises ValueError for what is no outcome: it comes from elsewhere."""
    try:
        usage = _usage(found['usage'])
        code, ending = _count(found['exit_code']), found['ending']
        outputs = tuple((str(path), ObjectRef.from_json(ref)) for path, *ref in found['outputs'])
        if ending not in ('exited', 'timeout', 'cancelled', 'lost', 'not-started'):
            raise ValueError('an ending that is none')
        message = str(found['message'])[:2000]
        details: dict[str, Any] = {'code': int(found['code']), 'spent': max(0, int(found.get('spent', 0)))}
        if found.get('checkpoint'):
            details['checkpoint'] = ObjectRef.from_json(found['checkpoint'])
        return Outcome(attempt, ending, code, usage, int(found['killed']), message, details), outputs
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError('no outcome') from error


def _usage(found: Mapping[str, Any]) -> Usage:
    more: dict[str, Any] = {name: int(found[name]) for name in COUNTS if found.get(name) is not None}
    more |= {name: float(found[name]) for name in FIGURES if found.get(name) is not None}
    usage = Usage(float(found['wall_seconds']), float(found['cpu_seconds']), **more)
    if not all(0 <= figure < MOST_FIGURE for figure in (usage.wall_seconds, usage.cpu_seconds, *more.values())):
        raise ValueError('usage that cannot be')
    return usage


def _count(value: Any) -> int | None:
    return None if value is None else int(value)


class Hosted:
    """``place``: its folder, relative to the host's.  ``spec``: docs/formats/host.md.  ``ended``: whether who began it wants it
    to end; None where nobody does, and the file system is the host's own.  ``project``: of its folder in there."""

    def __init__(self, root: Root, place: str, spec: Mapping[str, Any], ended: Callable[[], bool] | None = None,
                 project: str = PROJECT) -> None:
        self._root, self._place, self._spec, self._ended = root, place, spec, ended
        self._inside = f'{place}/{project}'
        self._project = root.full(self._inside)
        self._lease = float(spec['lease_seconds'])
        self._expired = False
        self._waits = ''

    def run(self) -> dict[str, Any]:
        """Its outcome, as it is written.  Raises what ends it before it began."""
        job = self._job()
        with Batched(self._root) as held:
            self._fill(held)
            if self._unwanted() is not None:
                return to_json(Outcome(job.attempt, 'cancelled', None, Usage(0.0, 0.0)), ())
            checkpoint = self._checkpoint(held)
            if checkpoint is not None:
                folder = checkpoint.lend(self._inside)
                job = replace(job, environment={**job.environment, 'MLOPS_CHECKPOINT_DIR': folder})
            try:
                outcome = self._carried_out(job, held)
            except desk.Unwanted:
                outcome = Outcome(job.attempt, 'cancelled', None, Usage(0.0, 0.0))
            if outcome.ending == 'cancelled' and self._expired:
                outcome = replace(outcome, message='nobody had asked for it in too long a time, so it was ended')
            told = self._root.stat(f'{self._place}/{LOG}{COST_SUFFIX}')
            if told is not None and told.st_size:
                outcome = replace(outcome, details={**outcome.details, 'spent': told.st_size})
            outputs: tuple[tuple[str, ObjectRef], ...] = ()
            if outcome.ending == 'exited' and not outcome.succeeded and _is_full(self._root.path):
                message = f'exit {outcome.exit_code}, with {self._root.path} there full: {os.strerror(errno.ENOSPC)}'
                outcome = replace(outcome, ending='lost', message=message, details={**outcome.details, 'code': PLACE})
            if outcome.succeeded:
                outcome, outputs = self._keep(held, job, outcome)
            left = self._settle(checkpoint, outcome) if checkpoint is not None else None
        return to_json(outcome, outputs, left)

    def _checkpoint(self, held: Batched) -> lasting.Checkpoint | None:
        found = self._spec.get('checkpoint')
        return lasting.Checkpoint(self._root, held.store, held.depot, lasting.from_json(found)) if found else None

    def _settle(self, checkpoint: lasting.Checkpoint, outcome: Outcome) -> ObjectRef | None:
        """What is left of it for who asked for the job.  It stays here all the same, so what cannot be is no failure."""
        with suppress(OSError, UserError, Unreachable):
            # Who ended it may begin it anew, with the same words: then what is there has to be what these know of.
            if self._ended is not None and self._ended():
                return None
            if not outcome.succeeded:
                return checkpoint.keep()
            checkpoint.drop()
        return None

    def clear(self) -> None:
        with suppress(OSError, UserError):
            self._root.remove_tree(self._inside)

    def _carried_out(self, job: Job, held: Batched) -> Outcome:
        """With what it asks for of the host, as long as it runs.  Raises Unwanted."""
        with self._environment(held) as made, self._room() as files, self._cards() as given:
            self._goes_on()
            ready, container = (made, None) if isinstance(made, environments.Ready) else (None, made)
            variables = ready.variables(job.environment) if ready else dict(job.environment)
            names = given.names or (self._engines_cards(variables) if self._ended is not None else ())
            if given.names:
                variables[VISIBLE] = ','.join(given.names)
            files = (*files, *given.files, *(made.files if made is not None else ()))
            if container is not None:
                job = self._contained(container, job, variables, names)
            gauge = container.gauge() if container is not None else None
            with gauge or nullcontext():
                outcome = self._watched(replace(job, environment=variables, cards=names, held=files))
            return gauge.ended(job, outcome) if gauge is not None else outcome

    def _contained(self, container: Container, job: Job, variables: dict[str, str], names: tuple[str, ...]) -> Job:
        """Its commands, each in a container.  ``names``: of its GPUs; the numbers by which a cluster calls them may be those of
        others in there.  Raises NotMade where nobody can tell what they are called."""
        if names:
            variables[VISIBLE] = ','.join(names)
        elif self._spec.get('asked_gpus'):
            raise environments.NotMade('which GPUs the cluster gave it cannot be told there, so no container can have them',
                                       hint='does the driver answer on that node? there: nvidia-smi -L')
        own = [name for name in variables if name.startswith(ENGINES)] if self._ended is not None else []
        into = {*self._spec['environment'], *OWN, *own, *([VISIBLE] if names else [])} & {*variables, ATTEMPT}
        directory = os.path.normpath(os.path.join(job.folder, job.directory))
        given = container.variables({**variables, ATTEMPT: job.attempt}, into)
        lost = {*(job.redact or ())} - given.keys()  # to the program: then they are known by the names under which they go in
        hidden = job.redact and (*job.redact, *(name for name in given if name.partition('ENV_')[2] in lost))
        variables.clear()
        variables.update(given)
        return replace(job, processes=container.processes(job.processes, directory, into, names), redact=hidden)

    def _environment(self, held: Batched) -> AbstractContextManager[environments.Ready | Container | None]:
        if not (found := self._spec.get('lock')):
            return nullcontext()
        lock = environments.from_json(found)
        if lock.image:
            from mlops_cli.job import containers

            folders = [self._place, *(lasting.CHECKPOINTS, lasting.CACHES)]
            there = [self._root.full(folder) for folder in folders if self._root.stat(folder) is not None]
            # One handed in anew may be on the same node as an earlier one, whose end must not be its own.
            name = f'{self._place.rpartition("/")[2]}{"" if self._ended is None else "-" + str(self._spec["token"])}'
            return containers.ready(self._root, lock.image, name, there,
                                    self._waiting('for its image'), str(self._spec['path']), float(self._spec['grace_seconds']),
                                    self._ended is not None)
        return environments.ready(self._root, held.store, held.depot, lock, self._waiting('for its environment to be made'),
                                  str(self._spec['path']))

    def _room(self) -> AbstractContextManager[tuple[str, ...]]:
        """Processors and memory; on a cluster who hands the job in has seen to that."""
        wanted = room.Share(float(self._spec.get('cpus') or 1), int(self._spec.get('memory_bytes') or 0))
        counts = self._ended is None and wanted.is_large
        place = desk.own_folder(otherwise=self._root.path) if counts else Root(self._root.path)
        return room.held(place, wanted if counts else room.Share(0), self._waiting('for processors or memory that others have'))

    def _cards(self) -> AbstractContextManager[desk.Held]:
        memory = self._spec.get('gpu_memory_bytes')
        place = desk.own_folder(otherwise=self._root.path)
        unwanted = self._waiting('for GPUs that others have')
        return desk.held(place, int(self._spec['gpus']), None if memory is None else int(memory), unwanted)

    def _waiting(self, reason: str) -> Callable[[], bytes | None]:
        """As :meth:`_unwanted`, for who asks only while he waits: who looks from outside is told for what."""
        def unwanted() -> bytes | None:
            if self._waits != reason:
                self._waits = reason
                with suppress(OSError, UserError):
                    write_file(self._root, f'{self._place}/{WAITS}', reason.encode(), 0o600, durable=False)
            return self._unwanted()

        return unwanted

    def _goes_on(self) -> None:
        if self._waits:
            self._waits = ''
            with suppress(OSError, UserError):
                self._root.unlink(f'{self._place}/{WAITS}')

    def _engines_cards(self, variables: Mapping[str, str]) -> tuple[str, ...]:
        """Those that a cluster gave the job, to be measured."""
        asked = int(self._spec.get('asked_gpus') or 0)
        return cards.seen(variables, asked) if asked or variables.get(VISIBLE) else ()

    def _job(self) -> Job:
        spec = self._spec
        environment = {**os.environ, **{str(name): str(value) for name, value in spec['environment'].items()}}
        if before := [os.path.expanduser(part) for part in str(spec['path']).split(os.pathsep) if part]:
            environment['PATH'] = os.pathsep.join([*before, environment.get('PATH', os.defpath)])
        for name in spec['paths']:  # of folders in the project
            inside = [os.path.normpath(os.path.join(self._project, part)) for part in environment[name].split(os.pathsep)]
            environment[name] = os.pathsep.join(inside)
        environment[COST] = self._root.full(f'{self._place}/{LOG}{COST_SUFFIX}')
        return Job(
            attempt=self._place.rpartition('/')[2],  # not as over there: who cleans up after that run may be on this machine
            stage=str(spec['stage']),
            folder=self._project,
            directory=str(spec['directory']),
            processes=tuple(Process(tuple(map(str, argv))) for argv in spec['processes']),
            environment=environment,
            log=self._root.full(f'{self._place}/{LOG}'),
            outputs=tuple(map(str, spec['outputs'])),
            timeout_seconds=spec['timeout_seconds'],
            grace_seconds=float(spec['grace_seconds']),
            redact=tuple(spec['redact']) if spec['redact'] is not None else None,
        )

    def _fill(self, held: Batched) -> None:
        wanted = [(str(path), ObjectRef.from_json(ref)) for path, *ref in self._spec['inputs']]
        told = Told()
        fetch(held.store, held.depot, wanted, told)
        if told.missing:
            raise UserError(f'{len(told.missing)} of its inputs did not come')
        self._root.remove_tree(self._inside)
        self._root.makedirs(self._inside, 0o700)
        for path, ref in wanted:
            held.store.materialise(ref, self._root, f'{self._inside}/{path}' if path else self._inside,
                                   replace=True)
        lasting.share(self._root, self._inside, self._spec)

    def _watched(self, job: Job) -> Outcome:
        supervisor = Supervisor.start(None if self._ended else self._root.full(f'{self._place}/{ALIVE}-stages'))
        measured = _measured(job)
        asked = b''
        try:
            supervisor.submit(job)
            while True:
                for event in supervisor.events(TICK):
                    if not isinstance(event, Started):
                        return measured.ended(event) if measured is not None else event
                wish = self._unwanted()
                if wish is not None and wish != asked:
                    asked = wish
                    supervisor.cancel(job.attempt, force=wish == FORCE)
        finally:
            supervisor.close()

    def _unwanted(self) -> bytes | None:
        """What was said when it was asked to end; also where nobody has asked for it for as long as that may be."""
        try:
            with open(self._root.full(f'{self._place}/{CANCEL}'), 'rb') as file:
                return file.read(16) or b'end'
        except FileNotFoundError:
            pass
        if self._ended is not None and self._ended():
            return b'end'
        facts = self._root.stat(f'{self._place}/{LEASE}')
        self._expired = facts is None or time.time() - facts.st_mtime > self._lease
        return b'end' if self._expired else None

    def _keep(self, held: Batched, job: Job, outcome: Outcome) -> tuple[Outcome, tuple[tuple[str, ObjectRef], ...]]:
        """What it made goes to where it is fetched from.  One that is not there is found out by who asked for it."""
        made = []
        try:
            for path in job.outputs:
                rel = f'{self._inside}/{path}'
                if self._root.stat(rel) is not None:
                    made.append((path, held.store.add_path(self._root, rel).ref))
            held.store.batch.flush()
            push(held.store, held.depot, made, Told())
        except (UserError, OSError, Unreachable) as error:  # of the first, such as a pipe in place of an output
            code = STAGE if isinstance(error, UserError) and not isinstance(error, Unreachable) else PLACE
            message = f'its outputs could not be kept on the host: {_said(error)}'
            return replace(outcome, ending='lost', message=message, details={**outcome.details, 'code': code}), ()
        return outcome, tuple(made)


def _measured(job: Job) -> Measured | None:
    """What looks at its GPUs from now on."""
    if not job.cards:
        return None
    from mlops_cli.job.measured import Measured

    found = Measured()
    found.begin(job)
    return found


class Batched:
    """The host's store and the bucket beside it, open."""

    def __init__(self, root: Root) -> None:
        self.store = LocalStore(root.full(CACHE), batch=Batch('none', root=root))
        self.depot = Depot(FolderBucket(root.path))

    def __enter__(self) -> Batched:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.batch.discard()
        self.store.close()
        self.depot.close()


def _is_full(folder: str) -> bool:
    """Whether whatever fails may have failed of that."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize < FULL_BYTES or (there.f_files > 0 and there.f_favail == 0)


def touch(root: Root, path: str) -> None:
    """Raises OSError, UserError."""
    with root.parent(path) as (fd, name):
        os.close(ops.open_permanent(name, dir_fd=fd))
        ops.utime(name, dir_fd=fd)
