"""One stage, once: its way cleared, its command started, its result taken in.  Knows nothing about other stages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical, canonical_bytes
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.job import COST, COST_SUFFIX, Job, Lasting, Lock, Process
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.environment import variables
from mlops_cli.fingerprint.holes import parameter_in, part_of
from mlops_cli.fingerprint.params import MISSING
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.fingerprint.written import State, state_of
from mlops_cli.fsio.atomic import write_file
from mlops_cli.pipeline.spec import Command, Environment, ParamRef, Stage
from mlops_cli.pipeline.template import parameter_variables
from mlops_cli.plan.model import Step
from mlops_cli.records.pins import slug
from mlops_cli.run import aside, checkpoint, folder
from mlops_cli.run.capacity import Grant
from mlops_cli.run.logs import log_path
from mlops_cli.run.place import check_room, place
from mlops_cli.run.session import Session

SHELL = ('/bin/sh', '-e', '-c')


@dataclass(frozen=True, slots=True)
class Held:
    """What an input was.  ``ignore``: as Workspace.ref has it."""

    content: ObjectRef | None
    state: State
    ignore: bool = True


@dataclass(frozen=True)
class Attempt:
    """A stage under way.  ``inputs``: path -> content of what other stages made; ``before``: what its outputs held.

    ``folder``: project-relative folder of its own, '' in the workspace.  ``states``: of all that it reads there, before its
    command started."""

    id: str
    number: int
    step: Step
    draft: Draft
    job: Job
    log: str
    inputs: Mapping[str, ObjectRef]
    before: Mapping[str, ObjectRef | None] = field(default_factory=dict)
    folder: str = ''
    states: Mapping[str, Held] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return self.draft.stage

    @property
    def key(self) -> Digest:
        assert self.step.manifest is not None
        return self.step.manifest.digest

    @property
    def clear(self) -> bool:
        """Whether nothing stood at its outputs when it began."""
        return not self.folder and not self.before


def attempt_id(run: str, stage: str, number: int) -> str:
    return f'{run.partition("-")[2]}-{slug(stage)}-{number}'


def begin(session: Session, step: Step, draft: Draft, inputs: Mapping[str, ObjectRef], grant: Grant, number: int) -> Attempt:
    """Clears the way for a stage: inputs in place, previous outputs aside, a log; the job is ready to be submitted.

    Raises OSError, UserError, MissingObject, Damaged; then everything is as it was."""
    assert step.manifest is not None
    stage = draft.stage
    identity = attempt_id(session.run, stage.name, number)
    log = log_path(session.run, stage.name, number)
    session.logs.prepare()
    host = session.routes.of(stage)
    own = f'{layout.WORK}/{identity}/project' if host or session.trial or isolation(session, stage) != 'none' else ''
    if not session.trial:
        check_room(session.root, [output.path for output in stage.outputs])
    if not own:
        _inputs_in_place(session, identity, draft, inputs)
    before = {} if own else {path: session.held(path) for path in replaced(stage) if session.root.stat(path) is not None}
    clear = not own and not before
    _announce(session, identity, stage, own, clear, host)
    taken: tuple[tuple[str, ObjectRef], ...] = ()
    try:
        if own:
            known = folder.build(session, own, draft, inputs, caches=not host)
            taken = (('', session.store.add_path(session.root, own, known=known).ref),) if host else ()
        else:
            _clear(session, identity, stage, before)
        seen = environment(session, stage, step.manifest.digest, inputs, grant, number, own, host)
        started = _started(session, identity, draft, own, seen, log, host)
    except BaseException:
        undo(session, identity, stage, step.manifest.digest, own, clear)
        raise
    job = Job(
        attempt=identity,
        stage=stage.name,
        folder=os.path.join(session.root.path, own) if own else session.root.path,
        directory=stage.wdir,
        processes=started,
        environment=seen,
        log=os.path.join(session.root.path, log),
        outputs=tuple(output.path for output in stage.outputs),
        timeout_seconds=stage.timeout_seconds,
        grace_seconds=stage.grace_seconds,
        redact=tuple(sorted({name for name in stage.secrets if session.environ.get(name)} | session.guessed_secrets)) or None,
        inputs=taken,
        host=host,
        gpus=stage.resources.gpus if host else 0,
        checkpoint=checkpoint.known(session, step.manifest.digest, stage.checkpoint) if host and stage.checkpoint else None,
        progress=stage.progress or '' if host else '',
        lock=_lock(session, stage.environment, own) if host and stage.environment else None,
        caches=tuple(Lasting(path, _cache(session, path)) for path in stage.caches) if host else (),
        cpus=stage.resources.cpus,
        memory_bytes=stage.resources.memory_bytes,
        gpu_memory_bytes=stage.resources.gpu_memory_bytes if host else None,
        cards=grant.gpus,
        held=grant.files,
        paths=('PYTHONPATH',) if host and seen.get('PYTHONPATH') else (),
        identity=str(step.manifest.digest) if session.adopts and _same_again(step, stage) else '',
    )
    with session.workspace.looking():
        states = {} if own else _states(session, draft, inputs)
    return Attempt(identity, number, step, draft, job, log, dict(inputs), before, own, states)


def isolation(session: Session, stage: Stage) -> str:
    return session.isolate or stage.isolate


def _started(
    session: Session, identity: str, draft: Draft, own: str, seen: dict[str, str], log: str, host: str
) -> tuple[Process, ...]:
    """The processes of the stage, as whoever looks on wants them.  On a ``host`` that says itself where costs go."""
    if not host:
        seen[COST] = os.path.join(session.root.path, f'{log}{COST_SUFFIX}')
    wanted = processes(draft.stage.command)
    kind = isolation(session, draft.stage)
    if kind.startswith('sandbox'):
        from mlops_cli.run import sandbox

        if error := sandbox.refusal(draft.stage, session.isolate, host, seen):
            raise error
        write_file(session.root, f'{log}{COST_SUFFIX}', b'', durable=False)
        places = (session.root.path, os.fspath(session.store.cache), os.path.join(session.root.path, own))
        return sandbox.wrapped(wanted, kind, *places, draft.stage, seen)
    if session.watch is None:
        return wanted
    there = os.path.normpath(os.path.join(session.root.path, own, draft.stage.wdir))
    return session.watch.around(identity, draft, there, wanted, seen)


def _lock(session: Session, environment: Environment, own: str) -> Lock:
    from mlops_cli.run.lockfiles import lock_of

    return lock_of(environment, session.root, session.store, session.known, own)


def _cache(session: Session, path: str) -> str:
    """How a host knows the folder: one for all runs of the project, and of its clones of the same name."""
    return digest_of(canonical_bytes(['cache', os.path.basename(session.root.path), path])).hex[:32]


def _states(session: Session, draft: Draft, inputs: Mapping[str, ObjectRef]) -> dict[str, Held]:
    """Of its data, code, parameter files, and what other stages made."""
    workspace = session.workspace
    content: dict[str, ObjectRef | None] = {**draft.inputs, **draft.elsewhere}
    for file in {ref.file for ref in draft.stage.params} - content.keys():
        if session.describer.maker_of(file) is None:
            content[file] = workspace.ref(file)
    found = {path: Held(ref, state_of(workspace, path)) for path, ref in content.items()}
    return found | {path: Held(ref, state_of(workspace, path, ignore=False), False) for path, ref in inputs.items()}


def _announce(session: Session, identity: str, stage: Stage, own: str, clear: bool, host: str) -> None:
    """Tells the journal what a killed attempt leaves: outputs aside, a link to a checkpoint, or a folder of its own."""
    session.tell_journal(
        {
            'do': 'begin',
            'attempt': identity,
            'stage': stage.name,
            'run': session.run,
            'outputs': [] if own else replaced(stage),
            'links': [stage.checkpoint] if stage.checkpoint and not own else [],
            'kind': 'run',
            'at': round(session.now(), 3),
            **({'clear': True} if clear else {}),
            **_where(session, stage, host),
        }
    )


def _where(session: Session, stage: Stage, host: str) -> dict[str, Any]:
    """What a killed run's record has to say of where it ran."""
    if not (host or stage.resources.gpus or session.origin.get('executor')):
        return {}
    from mlops_cli.run.accounting import place_of, share_of

    place = place_of(session, stage, host)
    share = share_of(session, stage, place[0])
    return {'place': [*place], **({'gpu_share': share} if share < 1 else {})}


def is_forced(step: Step) -> bool:
    """Whether it is to run whatever was made before."""
    return any(reason.kind == 'forced' for reason in step.reasons)


def _same_again(step: Step, stage: Stage) -> bool:
    """Whether what another run has begun of it counts: not where it goes on from what it had made before."""
    return not is_forced(step) and not any(output.persist for output in stage.outputs)


def replaced(stage: Stage) -> list[str]:
    """The outputs that make way before an attempt."""
    return [output.path for output in stage.outputs if not output.persist]


def undo(session: Session, identity: str, stage: Stage, key: Digest, own: str, clear: bool) -> tuple[str, ...]:
    """Puts back what was there before an attempt that has no result; the paths of what it left, which are kept as failed.
    ``clear``: nothing was there.

    Raises OSError, UserError; then the next command does it."""
    if stage.checkpoint:
        checkpoint.take_back(session, key, f'{own}/{stage.checkpoint}' if own else stage.checkpoint, succeeded=False)
    if own:
        left = folder.keep_failed(session, identity, own, stage.name, [output.path for output in stage.outputs])
    else:
        left = aside.put_back(session.root, identity, session.run, stage.name, replaced(stage), clear=clear)
        for path in replaced(stage):
            session.workspace.forget(path)
    session.tell_journal({'do': 'end', 'attempt': identity})
    return left


def processes(command: Command) -> tuple[Process, ...]:
    if command.kind == 'argv':
        return (Process(command.words),)
    return tuple(Process((*SHELL, text)) for text in command.words)


def _inputs_in_place(session: Session, identity: str, draft: Draft, inputs: Mapping[str, ObjectRef]) -> None:
    """What other stages made, and tracked data that is not here, is put where the stage will read it."""
    wanted = [*inputs.items(), *draft.tracked.items()]
    kept = place(session, f'{identity}-inputs', wanted, draft.stage.name)
    for path in kept:
        session.note(f'what stood at an input and is nowhere else was kept: {path}', draft.stage.name)


def _clear(session: Session, identity: str, stage: Stage, there: Mapping[str, ObjectRef | None]) -> None:
    """What is there out of the way, and the folders that the stage writes into."""
    if there:
        aside.move(session.root, identity, there, session.apart)
    for output in stage.outputs:
        session.workspace.forget(output.path)
        if parent := output.path.rpartition('/')[0]:
            session.root.makedirs(parent)
    if stage.wdir != '.':
        session.root.makedirs(stage.wdir)
    if stage.progress and (parent := stage.progress.rpartition('/')[0]):
        session.root.makedirs(parent)
    for path in stage.caches:
        session.root.makedirs(path)


def _parameters(session: Session, stage: Stage, inputs: Mapping[str, ObjectRef]) -> dict[str, Any]:
    """Key -> value of what the stage declares; without keys that mean different things in different files."""
    values: dict[str, Any] = {}
    unclear = set()
    for ref in stage.params:
        if ref.key is not None:
            value = _parameter(session, ref, inputs)
            if ref.key in values and values[ref.key] != value:
                unclear.add(ref.key)
            values[ref.key] = value
    return {key: value for key, value in values.items() if key not in unclear}


def _parameter(session: Session, ref: ParamRef, inputs: Mapping[str, ObjectRef]) -> Any:
    if (made := session.describer.maker_of(ref.file)) is None:
        return session.describer.params.value(ref.file, ref.key)
    output = made[1]
    part = part_of(inputs[output], ref.file[len(output) + 1 :], session.store.read)
    return MISSING if part is None else parameter_in(part, ref.file, ref.key, session.store.read)


def environment(
    session: Session, stage: Stage, key: Digest, inputs: Mapping[str, ObjectRef], grant: Grant, number: int, own: str, host: str
) -> dict[str, str]:
    """What the stage's processes see: this environment, on a ``host`` what the stage declares of it; and what tells them of
    their attempt."""
    if host:
        found = {name: session.environ[name] for name in (*stage.env, *stage.secrets) if name in session.environ}
    else:
        found = dict(variables(stage.environment, session.root.path, session.environ))
    found |= parameter_variables(_parameters(session, stage, inputs))
    if models := session.describer.models_of(stage):
        from mlops_cli.fingerprint.gated import told_of  # few stages name any

        found['MLOPS_MODELS'] = canonical({name: told_of(stage.command, name, told) for name, (_, told) in models.items()})
    found |= {'MLOPS_STAGE': stage.name, 'MLOPS_RUN': session.run, 'MLOPS_ATTEMPT_NUMBER': str(number)}
    if stage.resources.gpus and not host:
        found['CUDA_VISIBLE_DEVICES'] = ','.join(grant.gpus)
    if stage.checkpoint and not host:
        place = f'{own}/{stage.checkpoint}' if own else stage.checkpoint
        found['MLOPS_CHECKPOINT_DIR'] = checkpoint.lend(session, key, place, stage.name)
    if host:
        found['PYTHONPATH'] = folder.python_path_there(session, own, session.environ.get('PYTHONPATH', ''))
    elif own:
        found['PYTHONPATH'] = folder.python_path(session, own, found.get('PYTHONPATH', ''))
    return found
