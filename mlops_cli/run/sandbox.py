"""``isolate: sandbox``: the processes of a stage in its folder, under bubblewrap.  Of the project they see that folder alone;
all else can be read and not written; /tmp is theirs; there is no network, unless the stage says so.  Never silently
without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.job import COST, Process
from mlops_cli.core.layout import OBJECTS
from mlops_cli.fsio.programs import find_program
from mlops_cli.pipeline.spec import Stage

KINDS = ('sandbox', 'sandbox-with-network')
BOUND = 500  # inputs that are bound read-only one by one; of more the stage's folder may be written to
_NAMESPACES = ('--unshare-pid', '--unshare-ipc', '--die-with-parent')
_LIKE_HERE = ('--ro-bind', '/', '/', '--dev-bind', '/dev', '/dev', '--proc', '/proc')
# bubblewrap itself must outlive what asks the stage to end, and the stage must not inherit that.
_SHIELD = ('/bin/sh', '-c', "trap '' TERM INT HUP; exec \"$@\"", 'sandbox')
_UNSHIELD = ('env', '--default-signal=TERM,INT,HUP')


@lru_cache(1)
def program(path: str) -> tuple[str, str]:
    """bubblewrap on a PATH, or why it cannot be used."""
    if sys.platform != 'linux':
        return '', 'sandboxes are of Linux'
    found = find_program('bwrap', path)
    if not found:
        return '', 'bubblewrap (bwrap) is not installed'
    words = [found, *_LIKE_HERE, *_NAMESPACES, '--unshare-net', *_UNSHIELD, 'true']
    try:
        done = subprocess.run(words, capture_output=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        return '', f'bubblewrap cannot be started: {error}'
    if done.returncode:
        said = done.stderr.decode(errors='replace').strip().splitlines()
        return '', f'bubblewrap may not do its work here: {said[-1] if said else f"exit {done.returncode}"}'
    return found, ''


def refusal(stage: Stage, asked: str, host: str, environ: Mapping[str, str]) -> UserError | None:
    """Why a stage cannot have the sandbox that it is to run in, if so.  ``asked``: for all stages of the run."""
    kind = asked or stage.isolate
    if kind not in KINDS:
        return None
    why = f'{host} has none for it' if host else program(environ.get('PATH', os.defpath))[1]
    if not why:
        return None
    return UserError(
        f'stage {stage.name} is to run in a sandbox, and {why}',
        where=stage.places.get('isolate', stage.where),
        hint='apt install bubblewrap, and allow user namespaces; or run it without: --isolate folder',
        exit_code=ExitCode.REFUSED,
    )


def wrapped(
    processes: Iterable[Process], kind: str, project: str, cache: str, own: str, stage: Stage, environ: dict[str, str]
) -> tuple[Process, ...]:
    """The processes, each in a sandbox.  ``project``, ``cache``, ``own``: absolute paths of the project, its cache and the
    folder of the attempt."""
    bwrap, _ = program(environ.get('PATH', os.defpath))
    words = [bwrap, *_LIKE_HERE, *_NAMESPACES, *([] if kind == KINDS[1] else ['--unshare-net'])]
    words += ['--tmpfs', '/tmp', '--tmpfs', project]
    for needed in _needed(project, environ):
        words += ['--ro-bind', needed, needed]
    words += ['--ro-bind-try', os.path.join(cache, OBJECTS), os.path.join(cache, OBJECTS)]
    words += ['--bind', own, own]
    for given in _inputs(own, stage):
        words += ['--ro-bind', given, given]
    for shared in _shared(own, stage):
        words += ['--bind', shared, shared]
    if COST in environ:
        words += ['--bind-try', environ[COST], environ[COST]]
    words += ['--chdir', os.path.normpath(os.path.join(own, stage.wdir)), *_UNSHIELD]
    environ.pop('TMPDIR', None)
    return tuple(Process((*_SHIELD, *words, *one.argv)) for one in processes)


def _needed(project: str, environ: Mapping[str, str]) -> Iterator[str]:
    """What is installed in folders that are hidden: environments that PATH and PYTHONPATH lead to, and those of the project."""
    hidden = (f'{project}/', '/tmp/')
    found: dict[str, None] = {}
    for folder in environ.get('PATH', os.defpath).split(os.pathsep):
        for name in ('', 'python3', 'python'):
            one = os.path.realpath(os.path.join(folder, name))
            if os.path.isabs(folder) and os.path.exists(one):
                top = os.path.dirname(one) if name else one
                found[os.path.dirname(top) if os.path.basename(top) == 'bin' else top] = None
        if os.path.basename(folder) == 'bin' and os.path.isabs(folder):
            found[os.path.dirname(folder)] = None
    for entry in os.scandir(project):
        if entry.is_dir() and (os.path.exists(f'{entry.path}/pyvenv.cfg') or os.path.isdir(f'{entry.path}/conda-meta')):
            found[entry.path] = None
    for one in found:
        if one.startswith(hidden) and not f'{project}/'.startswith(f'{one}/') and os.path.isdir(one):
            yield one


def _inputs(own: str, stage: Stage) -> Iterator[str]:
    """Dependencies that no output lies in, which must not be written to."""
    outputs = [output.path for output in stage.outputs]
    paths = [dep.value for dep in stage.deps if dep.kind == 'path' and dep.value != '.']
    for path in paths if len(paths) <= BOUND else ():
        full = os.path.join(own, path)
        if not any(one == path or one.startswith(f'{path}/') for one in outputs) and os.path.exists(full):
            yield full


def _shared(own: str, stage: Stage) -> Iterator[str]:
    """What outlives the attempt: its caches and its checkpoint, which are links that lead out of its folder."""
    for path in (*stage.caches, *filter(None, [stage.checkpoint])):
        full = os.path.join(own, path)
        if os.path.islink(full) and os.path.exists(full):
            yield os.path.realpath(full)
