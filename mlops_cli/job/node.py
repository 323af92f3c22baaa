"""A job on a node of a cluster: the same as on a host, but that it may be handed in twice, ended and begun anew from outside.

Who is first to write its number into the job's folder has the job; any other one goes away (docs/formats/host.md)."""
from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

from mlops_cli.core.errors import UserError
from mlops_cli.fsio import ops
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.job.hosted import CANCEL, JOBS, LOG, OUTCOME, PLACE, PROJECT, TICK, Hosted, done, not_begun

TOLD, SECRETS, CLAIM = 'told.json', 'secrets.json', 'claim'
TOLD_MOST = 64 << 20  # bytes
NUMBER_VARIABLE = '_MLOPS_HANDED'  # its number, where Slurm does not say one
LATE_SECONDS = 0.5  # by which we may hear of being ended after the stage's processes have
LATEST_SECONDS = 3.0  # where they look as if they had heard of it
SUPERSEDED_SECONDS = 5.0  # between two looks at whether the job was handed in anew
AGAIN = b'\n[mlops: begun anew by the cluster]\n'
ENDED = 143


def main(folder: str, job: str, token: str) -> None:
    """The whole process.  ``folder``: of the host; ``job``: its name there; ``token``: for which handing in it is."""
    ending = False

    def end(*_: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    place = f'{JOBS}/{job}'
    with Root(folder) as root:
        spec = _claimed(root, place, token)
        if spec is None:
            return
        signal.signal(signal.SIGURG, lambda *_: freshen(root, place))
        if spec['environment'] is None:
            outcome = not_begun('lost', 'the cluster began it anew, and its secrets are kept nowhere: run it again', PLACE)
        else:
            other = Superseded(root, place, token)
            outcome = done(Hosted(root, place, spec, lambda: ending or other(), project_name(token)))
        if not _is_good(outcome):
            until = time.monotonic() + (LATEST_SECONDS if outcome['exit_code'] == ENDED else LATE_SECONDS)
            while not ending and outcome['ending'] == 'exited' and time.monotonic() < until:
                time.sleep(TICK)
            if ending and root.stat(f'{place}/{CANCEL}') is None:
                sys.exit(ENDED)  # the engine ends it, and says why; it may begin it anew
        with suppress(FileNotFoundError):  # of what nobody asks for any more
            write_file(root, f'{place}/{outcome_name(token)}', json.dumps(outcome).encode(), 0o600)


class Superseded:
    """Whether the job was given up, as by somebody to whom this node was lost: what it does then is of no use, and what it
    shares with the one that may be asked for now is not its own any more."""

    def __init__(self, root: Root, place: str, token: str) -> None:
        self._root, self._place, self._token = root, place, token
        self._looked = time.monotonic()
        self._found = False

    def __call__(self) -> bool:
        if not self._found and time.monotonic() - self._looked >= SUPERSEDED_SECONDS:
            self._looked = time.monotonic()
            with suppress(OSError, UserError):
                over = self._root.stat(f'{self._place}/{OUTCOME}') is not None
                self._found = over or not is_told(self._root, self._place, self._token)
        return self._found


def is_told(root: Root, place: str, token: str) -> bool:
    """Whether this is what is asked for now.  Raises OSError, UserError where the folder cannot be read."""
    try:
        return bool(json.loads(read_file(root, f'{place}/{TOLD}', TOLD_MOST))['token'] == token)
    except FileNotFoundError:
        return False


def _claimed(root: Root, place: str, token: str) -> dict[str, Any] | None:
    """What is to be done; None where that is another one's."""
    given = os.environ.pop(NUMBER_VARIABLE, '')
    number = given or os.environ.get('SLURM_JOB_ID', '')
    try:
        spec: dict[str, Any] = json.loads(read_file(root, f'{place}/{TOLD}', TOLD_MOST))
    except FileNotFoundError:
        return None
    if spec['token'] != token or any(root.stat(f'{place}/{name}') is not None for name in (OUTCOME, outcome_name(token))):
        return None
    claim = claim_name(token)
    again = False
    if not _link_new(root, place, claim, number.encode()):
        if given or read_file(root, f'{place}/{claim}', 100) != number.encode():
            return None  # one that says its number is begun once, whatever begins it again
        again = True
    try:
        secrets = json.loads(read_file(root, f'{place}/{SECRETS}', TOLD_MOST)) if spec['secrets'] else {}
        root.remove_tree(f'{place}/{SECRETS}')
    except FileNotFoundError:
        secrets = None
    if again:
        fd = ops.open_append(root.full(f'{place}/{LOG}'))
        try:
            ops.write(fd, AGAIN)
        finally:
            os.close(fd)
    spec['environment'] = None if secrets is None else {**spec['environment'], **secrets}
    os.environ.pop('SLURM_EXPORT_ENV', None)  # else a srun of the stage's would hand nothing on
    return spec


def claim_name(token: str) -> str:
    return f'{CLAIM}-{token}'


def project_name(token: str) -> str:
    """Where it works: in a folder of its own, should an earlier one still be at work in another."""
    return f'{PROJECT}-{token}'


def outcome_name(token: str) -> str:
    """Where it says how it ended; the far end makes it the job's, if it is asked for under this token."""
    return f'{OUTCOME}-{token}'


def _link_new(root: Root, place: str, name: str, data: bytes) -> bool:
    """Whether it was not there: of several nodes at once one makes it, and nobody ever sees half of it."""
    temporary = f'{name}.{os.environ.get("SLURMD_NODENAME", "")}-{os.getpid()}'
    write_file(root, f'{place}/{temporary}', data, 0o600)
    with root.parent(f'{place}/{name}') as (fd, _):
        try:
            ops.link(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
            return True
        except FileExistsError:
            return False
        finally:
            with suppress(OSError):
                ops.unlink(temporary, dir_fd=fd)


def freshen(root: Root, place: str) -> None:
    """A change of our own to a folder makes a shared file system look at it anew: somebody else has written there."""
    with suppress(OSError), root.parent(f'{place}/x') as (fd, _):
        name = f'look-{os.getpid()}'
        os.close(ops.open_new(name, dir_fd=fd))
        ops.unlink(name, dir_fd=fd)


def _is_good(outcome: dict[str, Any]) -> bool:
    return bool(outcome['ending'] == 'exited' and outcome['exit_code'] == 0)
