"""What happens during a run, as values, and as the documents that follow it from elsewhere (docs/formats/live.md).  The areas
below the command line emit them; the console listens."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.refs import ObjectRef, ref_document

Figure = float | int | str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """``run``: its id.  ``total``: stages that are not fresh.  ``jobs``: how many at once.

    ``restore``: those of them that come from the store; ``open``: those that may turn out fresh; ``first``: nothing is known
    of any of them.  ``cpus``, ``gpus``: what this machine has.  ``low``, ``high``: seconds that it is likely to take, None
    where there is no history.  ``trial``: the workspace is left alone.  ``stages``: the names of those that are not fresh.
    ``held``: what the workspace held of their files of metrics.  ``hosts``: where some are to run; ``here``: whether some are
    to run on this machine."""

    run: str
    pipeline: str
    total: int
    fresh: int
    jobs: int
    restore: int = 0
    open: int = 0
    first: bool = False
    cpus: float = 0.0
    gpus: int = 0
    low: float | None = None
    high: float | None = None
    trial: bool = False
    stages: tuple[str, ...] = ()
    held: tuple[tuple[str, ObjectRef], ...] = ()
    hosts: tuple[str, ...] = ()
    here: bool = True


@dataclass(frozen=True, slots=True)
class StageStarted:
    """``log``, ``progress``: project-relative files that take what it prints, and how far it is ('' if it declares none)."""

    stage: str
    attempt: int
    log: str
    typical_seconds: float | None = None
    progress: str = ''


@dataclass(frozen=True, slots=True)
class StageProgress:
    """How far a running stage says it is.  ``figures``: (name, value) of its last line, what counts (epoch, step) first.
    ``done`` of ``total``, where the line names both."""

    stage: str
    figures: tuple[tuple[str, Figure], ...]
    done: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class StageWaiting:
    """Another command holds what the stage needs.  ``holder``: who, for people; ``seconds`` waited so far."""

    stage: str
    holder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageQueued:
    """It was handed over to where it is to run, and does not run yet (nor, where its cluster took its node away, any more).
    ``reason``: why, for people; '' once it runs.  ``seconds`` waited so far."""

    stage: str
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class StageRetried:
    """An attempt failed, and another one follows; ``most``: attempts there can be."""

    stage: str
    attempt: int
    most: int
    seconds: float
    exit_code: int | None
    message: str


@dataclass(frozen=True, slots=True)
class StageEnded:
    """``state``: a name of run.states.State.  ``seconds``: of this attempt, or of what a restore saved.

    ``metrics``: (file, name, number); ``message``: why it failed, in a sentence; ``tail``: the last lines it printed.
    ``blocked``: it could not be started, for want of an input or of what this machine has not.
    ``unreachable``: the machine it was sent to failed, not the stage."""

    stage: str
    state: str
    seconds: float
    exit_code: int | None = None
    outputs: tuple[tuple[str, ObjectRef], ...] = ()
    metrics: tuple[tuple[str, str, float | int], ...] = ()
    message: str = ''
    hint: str = ''
    log: str = ''
    tail: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    blocked: bool = False
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line, about the whole run (``stage`` empty) or one stage."""

    text: str
    stage: str = ''


@dataclass(frozen=True, slots=True)
class RunStopping:
    """It was asked to stop.  ``level``: 1 what runs is asked to end, 2 it is ended at once."""

    run: str
    level: int


@dataclass(frozen=True, slots=True)
class RunFailed:
    """It was given up, for a reason that is no stage's: a full disk, a lock that was not free in time."""

    run: str
    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class RunEnded:
    """``exit_code``: that of the command."""

    run: str
    ended: str
    seconds: float
    exit_code: int = 0


StageEvent = StageStarted | StageProgress | StageWaiting | StageQueued | StageRetried | StageEnded
Event = RunStarted | StageEvent | Note | RunStopping | RunFailed | RunEnded
NAMES: dict[type, str] = {
    RunStarted: 'run-started',
    StageStarted: 'stage-started',
    StageProgress: 'stage-progress',
    StageWaiting: 'stage-waiting',
    StageQueued: 'stage-queued',
    StageRetried: 'stage-retried',
    StageEnded: 'stage-ended',
    Note: 'note',
    RunStopping: 'run-stopping',
    RunFailed: 'run-failed',
    RunEnded: 'run-ended',
}
_FIELDS = {kind: cast(Any, kind).__match_args__ for kind in NAMES}
_KINDS = {name: kind for kind, name in NAMES.items()}
_TEXTS = frozenset(
    ('run', 'pipeline', 'stage', 'log', 'progress', 'holder', 'reason', 'state', 'message', 'hint', 'text', 'ended')
)
_LISTS = frozenset(('stages', 'tail', 'notes', 'hosts'))
_MAYBE = frozenset(('low', 'high', 'typical_seconds', 'exit_code', 'done', 'total'))


def event_document(event: Event, now: float) -> dict[str, Any]:
    """The event as JSON takes it.  ``now``: seconds since 1970."""
    kind = type(event)
    found: dict[str, Any] = {'event': NAMES[kind], 'at': round(now, 3)}
    for name in _FIELDS[kind]:
        found[name] = getattr(event, name)
    if kind is StageEnded:
        found['outputs'] = [ref_document(path, ref) for path, ref in found['outputs']]
        found['metrics'] = {f'{file}:{name}': number for file, name, number in found['metrics']}
        found['usage'] = dict(found['usage'])
    elif kind is RunStarted:
        found['held'] = [ref_document(path, ref) for path, ref in found['held']]
    elif kind is StageProgress:
        found['figures'] = dict(found['figures'])
    return found


def event_of(document: Mapping[str, Any]) -> Event | None:
    """The event that a document stands for; None for one of a kind that a later version added.

    Raises ValueError for what :func:`event_document` cannot have made."""
    kind = _KINDS.get(document.get('event', ''))
    if kind is None:
        return None
    try:
        values = {name: _checked(name, document[name]) for name in _FIELDS[kind] if name in document}
        if kind is StageEnded:
            values['outputs'] = tuple(_ref(one) for one in document.get('outputs', ()))
            values['metrics'] = tuple(_metrics(document.get('metrics', {}), [path for path, _ in values['outputs']]))
            values['usage'] = {name: _checked('seconds', number) for name, number in document.get('usage', {}).items()}
        elif kind is RunStarted:
            values['held'] = tuple(_ref(one) for one in document.get('held', ()))
        elif kind is StageProgress:
            values['figures'] = tuple((name, value) for name, value in document['figures'].items() if _is_figure(value))
        made: Event = kind(**values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f'not an event: {str(document)[:200]}') from error
    return made


def _checked(name: str, value: Any) -> Any:
    """A value of the type that the field has; the file may have been written by anybody."""
    if name in _TEXTS:
        good = isinstance(value, str)
    elif name in _LISTS:
        good = isinstance(value, list) and all(isinstance(item, str) for item in value)
    elif name in ('outputs', 'metrics', 'usage', 'held', 'figures'):
        return value  # taken apart below
    else:
        good = isinstance(value, int | float) or (value is None and name in _MAYBE)
    if not good:
        raise TypeError(name)
    return tuple(value) if isinstance(value, list) else value


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float | str)


def _ref(document: Mapping[str, Any]) -> tuple[str, ObjectRef]:
    return _checked('text', document['path']), ObjectRef.from_json([document['kind'], document['digest'], document['size']])


def _metrics(document: Mapping[str, float | int], files: list[str]) -> list[tuple[str, str, float | int]]:
    """``file:name`` taken apart; either may hold a colon, but the file is an output."""
    found = []
    for text, number in document.items():
        _checked('seconds', number)
        file = max((file for file in files if text.startswith(f'{file}:')), key=len, default=text.partition(':')[0])
        found.append((file, text[len(file) + 1 :], number))
    return found
