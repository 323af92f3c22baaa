"""What an executor sees and returns: plain data, the same here, over ssh and on a cluster."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.refs import ObjectRef

COST = 'MLOPS_COST'  # the variable that names the file in which a stage says what it spent
COST_SUFFIX = '.cost'  # of that file, behind the name of the log


@dataclass(frozen=True, slots=True)
class Usage:
    """What the process tree of an attempt consumed.  Seconds, bytes, joules; None where this machine cannot tell.

    ``cpu_energy_joules``: of all processors of the machine meanwhile.  ``network_``: over TCP, from and to other machines, at
    least; None where nothing was seen.  ``gpus``: how many were measured, with all that happened
    on them; ``gpu_seconds``: how long they were busy; ``gpu_energy_estimated_joules``: how much of what they drew was added up
    from their power, for want of a counter."""

    wall_seconds: float
    cpu_seconds: float
    memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    cpu_energy_joules: float | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    gpus: int | None = None
    gpu_seconds: float | None = None
    gpu_memory_peak_bytes: int | None = None
    gpu_energy_joules: float | None = None
    gpu_energy_estimated_joules: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took, as it is recorded: screens of the run and of its record then show one figure, not 0.1s and 0.2s."""
        return round(self.wall_seconds, 3)

    def to_json(self) -> dict[str, Any]:
        found = {'wall_seconds': self.wall_seconds, 'cpu_seconds': self.cpu_seconds,
                 'memory_peak_bytes': self.memory_peak_bytes, 'read_bytes': self.read_bytes, 'write_bytes': self.write_bytes,
                 'cpu_energy_joules': self.cpu_energy_joules, 'network_received_bytes': self.network_received_bytes,
                 'network_sent_bytes': self.network_sent_bytes, 'gpus': self.gpus, 'gpu_seconds': self.gpu_seconds,
                 'gpu_memory_peak_bytes': self.gpu_memory_peak_bytes, 'gpu_energy_joules': self.gpu_energy_joules,
                 'gpu_energy_estimated_joules': self.gpu_energy_estimated_joules}
        return {name: round(value, 3) if isinstance(value, float) else value
                for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Process:
    """One process to run, in order with its siblings: the first that fails ends the job."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lasting:
    """A folder that outlives a job, on the host where it runs.  ``path``: where the job has it.  ``name``: 32 hex digits, the
    same for whoever is to find it again.  ``ref``: what is known of it where the job comes from."""

    path: str
    name: str
    ref: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """What an environment is made from.  ``files``: name -> content, the lock file first; names without folders.  ``image``: of
    the containers, in place of files."""

    kind: str
    files: tuple[tuple[str, ObjectRef], ...] = ()
    image: str = ''


@dataclass(frozen=True, slots=True)
class Job:
    """All there is to know to run one attempt of one stage.

    ``folder``: absolute path in which paths are relative to (the project, or a folder of the attempt's own);
    ``directory``: where the processes start, relative to it.  ``inputs``: what to put into the folder first; empty when
    it runs in the project.  ``log``: absolute path that takes stdout and stderr.  ``redact``: variables of the
    environment whose values must not reach the log, nor what looks like a secret; None: the log takes all as it comes.

    ``host``: the name of the host it runs on; empty: this machine, in the folder as it is.  Elsewhere it gets ``inputs`` alone,
    and of ``environment`` those in ``paths`` are lists of folders relative to it.  ``identity``: two jobs of one identity make
    the same, so that what one has begun another may go on to wait for.  ``cpus``, ``memory_bytes``, ``gpus``: that it gets of a
    host, of each GPU all or so much memory; here ``cards`` were handed out already, and ``held`` are the files to be locked
    (shared) as long as anything of it lives.  ``checkpoint``, ``caches``: of a host; here they are links in the folder.
    ``lock``: of the environment that a host makes for it.  ``progress``: path of the file in which it says how far it is, to be
    had in the folder while it runs."""

    attempt: str
    stage: str
    folder: str
    directory: str
    processes: tuple[Process, ...]
    environment: Mapping[str, str]
    log: str
    inputs: tuple[tuple[str, ObjectRef], ...] = ()
    outputs: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    grace_seconds: float = 10.0
    redact: tuple[str, ...] | None = None
    host: str = ''
    paths: tuple[str, ...] = ()
    identity: str = ''
    gpus: int = 0
    checkpoint: Lasting | None = None
    caches: tuple[Lasting, ...] = ()
    cpus: float = 1.0
    memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    cards: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    lock: Lock | None = None
    progress: str = ''


Ending = Literal['exited', 'timeout', 'cancelled', 'lost', 'not-started']


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.  ``exit_code``: of the process that ended it, 128 + n for signal n, None if it never started.
    ``killed``: processes the stage left behind, that had to be ended.  ``message``: why it was not started or got lost.
    ``gone_ns``: when the last of its processes was gone, since 1970 by this machine's clock; None where that is not known."""

    attempt: str
    ending: Ending
    exit_code: int | None
    usage: Usage
    killed: int = 0
    message: str = ''
    details: Mapping[str, Any] = field(default_factory=dict)
    gone_ns: int | None = None

    @property
    def succeeded(self) -> bool:
        return self.ending == 'exited' and self.exit_code == 0
