"""Makes the environment that a lock file stands for, once on each host, and keeps it as long as somebody uses it
(docs/formats/host.md)."""
from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.job import Lock
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.locks import is_locked, try_lock, unlock
from mlops_cli.fsio.paths import Root
from mlops_cli.job.desk import TICK, Unwanted
from mlops_cli.store.bucket import FolderBucket
from mlops_cli.store.depot import Depot
from mlops_cli.store.local import LocalStore
from mlops_cli.store.transfer import Told, fetch

FOLDER = 'environments-v1'
ERROR = re.compile(r'error\b|[A-Z]\w+Error:', re.IGNORECASE)
LOCKS = ('venv', 'uv', 'conda')
CONTAINER = 'container'  # the kind that is no folder but an image
CONTAINERS = ('podman', 'docker', 'apptainer', 'singularity')  # what runs images, in the order in which they are asked
IMAGE = re.compile(r'/?[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,254}')
CACHE = 'cache'  # the host's own store
WHEELS = 'wheels-v1'  # what was sent ahead, for a host that reaches no index
MADE, LOCKED, LOG, SOURCE = '.json', '.lock', '.log', '.src'  # beside an environment, behind its name
REQUIREMENTS = 'requirements.txt'  # in WHEELS: what stands there for the lock file
FAILED = '.failed'  # beside it: why it could not be made, the last time that was asked for
LEFT_OUT = ('PYTHONHOME', 'PYTHONPATH', 'VIRTUAL_ENV', 'UV_PROJECT_ENVIRONMENT')
CONDA_PLACES = ('~/.local/bin', '~/bin', *(f'{where}/{name}/bin' for where in ('~', '/opt') for name in (
    'micromamba', 'miniforge3', 'mambaforge', 'miniconda3', 'anaconda3', 'conda')))  # fmt: skip
UV_PLACES = ('~/.local/bin', '~/.cargo/bin')  # where its installer puts it, which is often not on the path of ssh


class NotMade(UserError):
    """What a person there, or who sends it ahead, can mend."""


@dataclass(frozen=True, slots=True)
class Ready:
    """``folder``: absolute.  ``files``: to be locked (shared) as long as anything uses it.  ``seconds``: that it took to make
    now, None where it was there."""

    folder: str
    files: tuple[str, ...]
    seconds: float | None = None
    kind: str = 'venv'

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """With its programs first."""
        kept = {name: value for name, value in environ.items() if name != 'PYTHONHOME'}
        path = f'{self.folder}/bin{os.pathsep}{environ.get("PATH", os.defpath)}'
        if self.kind == 'conda':
            kept.pop('VIRTUAL_ENV', None)
            return {**kept, 'PATH': path, 'CONDA_PREFIX': self.folder}
        return {**kept, 'PATH': path, 'VIRTUAL_ENV': self.folder}


def runners() -> list[str]:
    """What runs images here.  Apptainer is often there under its earlier name, too."""
    found = [name for name in CONTAINERS if shutil.which(name)]
    return [name for name in found if name != 'singularity' or 'apptainer' not in found]


def to_json(lock: Lock) -> dict[str, Any]:
    image = {'image': lock.image} if lock.image else {}
    return {'kind': lock.kind, 'files': [[name, *ref.to_json()] for name, ref in lock.files], **image}


def from_json(found: Mapping[str, Any]) -> Lock:
    """Raises ValueError, KeyError, TypeError for what is none: it comes from elsewhere."""
    if found['kind'] == CONTAINER:
        if not isinstance(found['image'], str) or not IMAGE.fullmatch(found['image']):
            raise ValueError('no image')
        return Lock(CONTAINER, image=found['image'])
    files = tuple((str(name), ObjectRef.from_json(ref)) for name, *ref in found['files'])
    if found['kind'] not in LOCKS or not files or any('/' in name or name in ('', '.', '..') for name, _ in files):
        raise ValueError('no lock file')
    return Lock(str(found['kind']), files)


def name_of(lock: Lock) -> str:
    """The same for the same files, under the same Python: another one gets an environment of its own.  conda brings its own."""
    python = [os.path.realpath(sys.executable), sys.version.split()[0], os.uname().machine]
    if lock.kind == 'conda':
        python = python[2:]
    what = [lock.kind, [[name, *ref.to_json()] for name, ref in lock.files], python]
    return digest_of(b'mlops environment-v1\n' + canonical_bytes(what)).hex[:32]


@contextmanager
def ready(
    root: Root, store: LocalStore, depot: Depot, lock: Lock, unwanted: Callable[[], object], path: str = ''
) -> Iterator[Ready]:
    """The environment, whole, until the end of the block; made first where it is not there.  ``root``: the host's folder;
    ``path``: folders in front of PATH.  One makes it, the others wait; who was killed while making it left nothing that counts.

    Raises UserError where it cannot be made, Unwanted once ``unwanted`` says something, OSError."""
    place = f'{FOLDER}/{name_of(lock)}'
    root.makedirs(FOLDER, mode=0o700)
    fd = root.open(f'{place}{LOCKED}', os.O_RDWR | os.O_CREAT, 0o600)
    try:
        seconds = None
        while not _is_whole(root, place, fd):
            if try_lock(fd, exclusive=True):
                if root.stat(f'{place}{MADE}') is None:
                    began = time.monotonic()
                    Maker(root, store, depot, lock, place, fd, unwanted, path).make()
                    seconds = time.monotonic() - began
                unlock(fd)
            elif unwanted() is not None:
                raise Unwanted
            else:
                time.sleep(TICK)
        with suppress(OSError):
            os.utime(root.full(f'{place}{MADE}'))  # when it was used last
        yield Ready(root.full(place), (root.full(f'{place}{LOCKED}'),), seconds, lock.kind)
    finally:
        os.close(fd)


def _is_whole(root: Root, place: str, fd: int) -> bool:
    """Whether it is there, and ours to use from now on: who clears away locks it first."""
    if root.stat(f'{place}{MADE}') is None or not try_lock(fd, exclusive=False):
        return False
    if root.stat(f'{place}{MADE}') is None:
        unlock(fd)
        return False
    return True


def state(root: Root, lock: Lock) -> dict[str, Any]:
    """``whole``, ``making``, ``failed`` (with ``message`` and ``hint``) or ``absent``."""
    name = name_of(lock)
    place = f'{FOLDER}/{name}'
    if root.stat(f'{place}{MADE}') is not None:
        return {'state': 'whole', 'name': name}
    try:
        fd = root.open(f'{place}{LOCKED}', os.O_RDWR)
    except FileNotFoundError:
        return {'state': 'absent', 'name': name}
    try:
        if is_locked(fd):
            return {'state': 'making', 'name': name}
    finally:
        os.close(fd)
    if root.stat(f'{place}{MADE}') is not None:
        return {'state': 'whole', 'name': name}
    try:
        said = json.loads(read_file(root, f'{place}{FAILED}', 1 << 16))
        return {'state': 'failed', 'name': name, 'message': str(said['message']), 'hint': str(said['hint'])}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {'state': 'absent', 'name': name}


def locked_to_make(root: Root, lock: Lock) -> int | None:
    """The descriptor of a lock for :func:`main`; None where somebody has it."""
    place = f'{FOLDER}/{name_of(lock)}'
    root.makedirs(FOLDER, mode=0o700)
    fd = root.open(f'{place}{LOCKED}', os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(fd, exclusive=True):
        os.close(fd)
        return None
    with suppress(FileNotFoundError):
        root.unlink(f'{place}{FAILED}')
    return fd


def main(folder: str, fd: str) -> None:
    """A process of its own, which makes one before anybody needs it.  ``fd``: its lock.  What it is told comes in on standard
    input: the lock file, ``path``, and ``wheels``, a folder of what to make it from."""
    told = json.loads(sys.stdin.buffer.read())
    lock = from_json(told['lock'])
    name = name_of(lock)
    place = f'{FOLDER}/{name}'
    with Root(folder) as root:
        store = LocalStore(root.full(CACHE), batch=Batch('none', root=root))
        depot = Depot(FolderBucket(root.path))
        try:
            if told['wheels']:
                _take_wheels(root, store, depot, name, ObjectRef.from_json(told['wheels']))
            Maker(root, store, depot, lock, place, int(fd), lambda: None, str(told['path'])).make()
        except (UserError, OSError) as error:
            said = {'message': str(error), 'hint': getattr(error, 'hint', '')}
            write_file(root, f'{place}{FAILED}', json.dumps(said).encode(), 0o600)


def _take_wheels(root: Root, store: LocalStore, depot: Depot, name: str, ref: ObjectRef) -> None:
    told = Told()
    fetch(store, depot, [('', ref)], told)
    if told.missing:
        raise UserError(f'{len(told.missing)} of the packages that were sent did not come')
    root.remove_tree(f'{WHEELS}/{name}')
    root.makedirs(WHEELS, mode=0o700)
    store.materialise(ref, root, f'{WHEELS}/{name}', replace=True)


class Maker:
    """One that has the lock."""

    def __init__(self, root: Root, store: LocalStore, depot: Depot, lock: Lock, place: str, fd: int,
                 unwanted: Callable[[], object], path: str) -> None:
        self._root, self._store, self._depot, self._lock = root, store, depot, lock
        self._place, self._fd, self._unwanted = place, fd, unwanted
        self._folder, self._source = root.full(place), root.full(f'{place}{SOURCE}')
        self._environ = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        if before := [os.path.expanduser(part) for part in path.split(os.pathsep) if part]:
            self._environ['PATH'] = os.pathsep.join([*before, self._environ.get('PATH', os.defpath)])

    def make(self) -> None:
        began = time.time()
        for suffix in ('', SOURCE, LOG):  # of one who was killed
            self._root.remove_tree(f'{self._place}{suffix}')
        told = Told()
        fetch(self._store, self._depot, self._lock.files, told)
        if told.missing:
            raise UserError(f'{len(told.missing)} of the files of its environment did not come')
        self._root.makedirs(f'{self._place}{SOURCE}', 0o700)
        for name, ref in self._lock.files:
            self._store.materialise(ref, self._root, f'{self._place}{SOURCE}/{name}', replace=True)
        wheels = self._root.full(f'{WHEELS}/{os.path.basename(self._place)}')
        if os.path.isfile(f'{wheels}/{REQUIREMENTS}'):
            self._pip(f'{wheels}/{REQUIREMENTS}', '--no-index', '--find-links', wheels)
        elif self._lock.kind == 'uv':
            self._uv()
        elif self._lock.kind == 'conda':
            self._conda()
        else:
            self._pip(f'{self._source}/{self._lock.files[0][0]}')
        for rest in (f'{self._place}{SOURCE}', f'{WHEELS}/{os.path.basename(self._place)}'):
            self._root.remove_tree(rest)
        about = {'kind': self._lock.kind, 'files': [[name, str(ref.digest)] for name, ref in self._lock.files],
                 **({} if self._lock.kind == 'conda' else {'python': sys.version.split()[0]}), 'made': iso(began)}  # fmt: skip
        write_file(self._root, f'{self._place}{MADE}', json.dumps(about).encode(), 0o600)

    def _pip(self, requirements: str, *words: str) -> None:
        hint = 'has Python there venv (Debian: apt install python3-venv)? mlops hosts add --python names another one'
        its_own = importlib.util.find_spec('ensurepip') is not None  # which Debian and its like have in a package apart
        self._run([sys.executable, '-P', '-m', 'venv', *([] if its_own else ['--without-pip']), self._folder], hint)
        python = f'{self._folder}/bin/python'
        # -P: modules of ours and of nobody's lock file, which lies in the folder where they start.
        start = [python, '-P', '-m', 'pip'] if its_own else [sys.executable, '-P', '-m', 'pip', '--python', python]
        pip = [*start, 'install', '--disable-pip-version-check', '--no-input', '--quiet']
        hint = 'does it reach an index of packages? mlops hosts setup sends them ahead'
        self._run([*pip, *words, '-r', requirements], hint)

    def _conda(self) -> None:
        """By micromamba where that is there, which is faster and has one command for all kinds of files."""
        program = self._found('micromamba', CONDA_PLACES) or self._found('conda', CONDA_PLACES)
        if program is None:
            raise NotMade('there is neither micromamba nor conda there, which its environment is made with',
                          hint='install one there; mlops hosts add --path names the folder where it lies')
        file = f'{self._source}/{self._lock.files[0][0]}'
        with open(file, 'rb') as text:
            is_explicit = any(line.strip() == b'@EXPLICIT' for line in text)
        words = ['create', '--yes'] if is_explicit or os.path.basename(program) == 'micromamba' else ['env', 'create']
        hint = 'does it reach the channels that the file names?'
        self._run([program, *words, '--quiet', '--prefix', self._folder, '--file', file], hint)

    def _found(self, name: str, further: Sequence[str]) -> str | None:
        places = [*self._environ.get('PATH', os.defpath).split(os.pathsep), *map(os.path.expanduser, further)]
        return shutil.which(name, path=os.pathsep.join(places))

    def _uv(self) -> None:
        program = self._found('uv', UV_PLACES)
        if program is None:
            raise NotMade('there is no uv there, which its environment is made with',
                          hint='install it there, or have what is needed sent ahead: mlops hosts setup')
        self._environ |= {'UV_PROJECT_ENVIRONMENT': self._folder, 'UV_PYTHON': sys.executable}
        words = ['sync', '--frozen', '--no-install-project', '--no-progress', '--quiet']
        self._run([program, *words], 'does it reach an index of packages? mlops hosts setup sends them ahead')

    def _run(self, words: Sequence[str], hint: str) -> None:
        """Whoever makes it holds the lock as long as it runs: should we be killed, nobody else begins beside it."""
        log = self._root.open(f'{self._place}{LOG}', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._source, env=self._environ,
                start_new_session=True, pass_fds=(self._fd,),
            )  # fmt: skip
        finally:
            os.close(log)
        try:
            while process.poll() is None:
                if self._unwanted() is not None:
                    raise Unwanted
                time.sleep(TICK / 2)
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            said = self._last_words()
            name = os.path.basename(words[words.index('-m') + 1] if '-m' in words else words[0])
            raise NotMade(f'its environment cannot be made: {name} ended with {process.returncode}{said}', hint=hint)

    def _last_words(self) -> str:
        with suppress(OSError), open(self._root.full(f'{self._place}{LOG}'), encoding='utf-8', errors='replace') as file:
            lines = [line.strip() for line in file.read()[-8192:].splitlines() if line.strip()]
            errors = [at for at, line in enumerate(lines) if ERROR.match(line)]
            if lines:
                return f': {" ".join(lines[errors[-1] if errors else -1 :])[:300]}'  # of conda's it follows what it is about
        return ''
