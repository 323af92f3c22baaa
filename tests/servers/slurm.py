"""A real Slurm of one node on loopback, without systemd, with keys, ports and folders of its own and GPUs that are none.

Installs nothing: without Slurm, or for somebody who is not root, what needs one is skipped with the reason."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.servers.ports import reserved

START_SECONDS = 100
GPUS = 2
CPUS = 16  # that it takes itself to have, so that as many jobs run at once
MEGABYTES = 16000
WHERE = f'{os.environ.get("PATH", os.defpath)}:/usr/sbin'
PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'sbatch', 'squeue', 'scancel', 'sinfo')
NAME = platform.node().partition('.')[0]
NULL_DEVICE = os.makedev(1, 3)

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge-socket/s,cred_expire=5
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=900
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=100000,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
KillWait=3
MinJobAge=300
CompleteWait=0
InactiveLimit=0
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
JobRequeue=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={cpus} RealMemory={megabytes} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=usual Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=9 PreemptMode=OFF
PartitionName=closed Nodes={host} MaxTime=INFINITE State=DOWN OverSubscribe=NO
"""


def lacks() -> str:
    """Why there is no Slurm here, or ''."""
    for name in PROGRAMS:
        if shutil.which(name, path=WHERE) is None:
            return f'there is no {name} on this machine: apt-get install --no-install-recommends slurm-wlm'
    return '' if os.getuid() == 0 else 'only root can start a Slurm'


@dataclass
class Slurm:
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environ(self) -> Mapping[str, str]:
        """What a program needs to reach it."""
        return {'SLURM_CONF': str(self.folder / 'slurm.conf')}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process, and what it starts, reach it."""
        for name, value in self.environ.items():
            monkeypatch.setenv(name, value)

    def asked(self, *words: str, check: bool = True) -> str:
        """What one of Slurm's own programs says."""
        environ = {**os.environ, **self.environ}
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self) -> list[list[str]]:
        """Of each that it knows of: number, state, name."""
        return [line.split('|') for line in self.asked('squeue', '-h', '-t', 'all', '-o', '%A|%T|%j').splitlines()]

    def start_controller(self) -> None:
        self._start('controller', ['slurmctld', '-D'])
        wait_for(lambda: bool(self.asked('sinfo', '-h', check=False)), 'the controller', self._log('controller'))

    def kill_controller(self) -> None:
        """As where its machine loses power."""
        process = self.processes.pop('controller')
        process.kill()
        process.wait()

    def start_node(self) -> None:
        self._start('node', ['slurmd', '-D'])
        wait_for(lambda: 'idle' in self.asked('sinfo', '-h', '-o', '%T', check=False), 'the node', self._log('node'))

    def lose_node(self) -> None:
        """As where it is switched off: with all that runs there."""
        process = self.processes.pop('node')
        process.kill()
        process.wait()
        _end_left_behind(self.folder)

    def resume_node(self) -> None:
        """As its keeper does: Slurm takes a node away that knows another job by a number that its controller gave anew."""
        if 'drain' in self.asked('sinfo', '-h', '-o', '%T', check=False):
            self.asked('scontrol', 'update', f'nodename={NAME}', 'state=resume', check=False)

    def stop(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self.folder / f'{name}.log'

    def _start(self, name: str, words: Sequence[str]) -> None:
        program = shutil.which(words[0], path=WHERE)
        assert program is not None
        environ = {'PATH': os.environ.get('PATH', os.defpath), **self.environ}
        with self._log(name).open('ab') as log:
            self.processes[name] = subprocess.Popen(
                [program, *words[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, start_new_session=True
            )


def wait_for(what: Callable[[], bool], name: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not what():
        if time.monotonic() > end:
            raise RuntimeError(f'{name} of Slurm does not start: {log.read_text()[-2000:]}')
        time.sleep(0.05)


def _configure(folder: Path, ports: Sequence[int]) -> None:
    for name in ('controller', 'node', 'munge', 'munge-socket'):
        (folder / name).mkdir()
    folder.chmod(0o755)
    (folder / 'munge').chmod(0o700)
    key = folder / 'munge/key'
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    for number in range(GPUS):
        os.mknod(folder / f'gpu{number}', 0o600 | stat.S_IFCHR, NULL_DEVICE)
    (folder / 'gres.conf').write_text(''.join(f'Name=gpu File={folder}/gpu{number}\n' for number in range(GPUS)))
    (folder / 'cgroup.conf').write_text('CgroupPlugin=cgroup/v1\n')
    (folder / 'slurm.conf').write_text(CONFIG.format(
        host=NAME, folder=folder, controller_port=ports[0], node_port=ports[1], cpus=CPUS,
        megabytes=MEGABYTES, gpus=GPUS,
    ))  # fmt: skip


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """One until the end of the block.  Raises pytest.skip."""
    if why := lacks():
        pytest.skip(why)
    with reserved(2) as ports:
        _configure(folder, ports)
        yield from _running(folder)


def _running(folder: Path) -> Iterator[Slurm]:
    server = Slurm(folder)
    try:
        munge = folder / 'munge'
        server._start('munge', ['munged', '--foreground', '--force', f'--key-file={munge}/key', f'--pid-file={munge}/pid',
                                f'--socket={folder}/munge-socket/s', f'--log-file={munge}/log', f'--seed-file={munge}/seed'])
        wait_for((folder / 'munge-socket/s').exists, 'the keeper of keys', folder / 'munge.log')
        server.start_controller()
        server.start_node()
        yield server
    finally:
        if 'controller' in server.processes:
            server.asked('scancel', '-u', 'root', check=False)
        for name in ('node', 'controller', 'munge'):
            server.stop(name)
        _end_left_behind(folder)


def _end_left_behind(folder: Path) -> None:
    """Jobs, and what sees to them, outlive the process that started them."""
    for place in Path('/proc').glob('[0-9]*/environ'):
        with suppress(OSError, ValueError):
            environ, program = place.read_bytes(), place.with_name('comm').read_bytes()
            if f'SLURM_CONF={folder}/'.encode() in environ and (b'slurmstepd' in program or b'\0SLURM_JOB_ID=' in environ):
                os.kill(int(place.parent.name), signal.SIGKILL)
