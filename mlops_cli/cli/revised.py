"""Files as they were at a git revision, for commands that take ``FILE@REV``: what git has itself, tracked data by the records
of that revision, outputs by its pins.  Runs nothing of the project's and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import tempfile

from mlops_cli import git
from mlops_cli.checks.tables import at_revision
from mlops_cli.cli.finding import find_project
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import DATA, ROOT
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import ancestors, check_path, inside
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import show_size
from mlops_cli.fsio.filesystem import DESCRIPTORS
from mlops_cli.git.commits import Blobs, Entry, entry_at, names_at
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import tree
from mlops_cli.store.objects import Damaged, MissingObject

POINTER = b'version https://git-lfs.github.com/spec/'
LINK, FOLDER = '120000', '040000'
_FILE = '100'  # how the modes of files begin


@dataclass(frozen=True, slots=True)
class Held:
    """``fd``: of all its bytes; open until the process ends."""

    fd: int
    commit: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """``folder``: the project, or where there is none the repository; ``path`` is relative to it.  ``told``: for people.
    ``fetch``: the command that brings it from a remote."""

    folder: str
    path: str
    commit: str
    told: str
    fetch: str
    is_project: bool


_held: dict[tuple[str, str], Held] = {}


def opened(word: str) -> int:
    """A descriptor of its own.  Raises UserError for what is not there, OSError."""
    fd = os.open(f'{DESCRIPTORS}/{_of(word).fd}', os.O_RDONLY | os.O_CLOEXEC)
    os.lseek(fd, 0, os.SEEK_SET)  # on macOS it is the same open file
    return fd


def commit_of(word: str) -> str:
    """The commit that the revision of a word names."""
    return _of(word).commit


def _of(word: str) -> Held:
    key = (os.getcwd(), word)
    if key not in _held:  # looked for once, so that a branch that moves meanwhile changes nothing
        asked = _asked(*at_revision(word))
        try:
            fd = _in_git(asked)
            _held[key] = Held(_recorded(asked) if fd is None else fd, asked.commit)
        except UserError as error:
            if error.exit_code != ExitCode.FAILED:
                raise
            # 1 would say of the data that it does not hold, and a record that is damaged there cannot be put back here.
            text = f'{asked.path} at {asked.told} cannot be told: {error.message}'
            where = error.where if error.where and not error.where.file.startswith(DATA) else None
            raise UserError(text, where=where, hint='name another revision', exit_code=ExitCode.UNREACHABLE) from error
    return _held[key]


def _asked(file: str, revision: str) -> _Asked:
    here = os.path.realpath(os.getcwd())
    project = find_project(here)
    folder = os.path.realpath(project or git.top(here) or here)
    path = os.path.relpath(os.path.normpath(os.path.join(here, file)), folder)
    stage = os.environ.get('MLOPS_STAGE', '')
    if stage and (inside(path, ROOT) or not git.has_repository(folder)):
        raise UserError(
            f'{file} at {revision}: stage {stage} runs in a folder of its own, where git is not',
            hint='put the file itself under deps; or check it outside of the stage, as in CI',
        )
    commit = git.resolve(folder, revision)
    if path.partition('/')[0] == '..':
        raise UserError(f'{file} at {revision}: it lies outside of {folder}', hint='what is named so lies in it')
    try:
        path = check_path(path)
    except ValueError as error:
        raise UserError(f'{file} at {revision}: the path {error}', hint=f'what is named so lies in {folder}') from error
    fetch = shlex.join(('mlops', 'fetch', '--at', revision, file))
    return _Asked(folder, path, commit, f'{revision} ({commit[:7]})', fetch, bool(project))


def _in_git(asked: _Asked) -> int | None:
    """None for what git does not have itself.  Raises UserError for what is no file."""
    for path in (*ancestors(asked.path), asked.path):
        entry = entry_at(asked.folder, asked.commit, path)
        if entry is not None and entry.mode == LINK:
            raise UserError(
                f'{path} is a symbolic link at {asked.told}',
                exit_code=ExitCode.REFUSED,
                hint='links of a revision are not followed: name the file that it leads to',
            )
    if entry is None:
        return None
    if not entry.mode.startswith(_FILE):
        what = 'a folder' if entry.mode == FOLDER else 'a submodule'
        raise UserError(f'{asked.path} is {what} at {asked.told}', hint='name a file')
    return _copied(asked, entry)


def _copied(asked: _Asked, entry: Entry) -> int:
    """In a file without a name, which is gone with the process, however that ends."""
    with Blobs(asked.folder) as blobs, blobs.open(entry, asked.commit) as content:
        try:
            with tempfile.TemporaryFile() as file:
                for part in content.parts():
                    file.write(part)
                file.flush()
                file.seek(0)
                begins = file.read(len(POINTER))
                fd = os.dup(file.fileno())
        except OSError as error:
            raise UserError(
                f'{asked.path} at {asked.told} cannot be written to {tempfile.gettempdir()}: {error.strerror}',
                exit_code=ExitCode.MACHINE,
                hint=f'it has {show_size(content.size)}: free some space, or name another folder by TMPDIR',
            ) from error
    if begins == POINTER:
        raise UserError(
            f'{asked.path} is only a pointer of Git LFS at {asked.told}',
            exit_code=ExitCode.UNREACHABLE,
            hint='git show REV:FILE | git lfs smudge > OTHER brings its content: name that file',
        )
    return fd


def _recorded(asked: _Asked) -> int:
    """Raises UserError."""
    if not asked.is_project:
        raise _nothing(asked)
    tracked = _tracked(asked)
    from mlops_cli.cli.wiring import workbench

    with workbench(tolerant=True) as bench:
        try:
            if tracked is None:
                ref = _output(bench, asked)
            else:
                ref = tree.find(tracked[1], asked.path[len(tracked[0]) + 1 :], bench.store.read)
            if ref is None:
                raise _nothing(asked)
            if ref.kind == 'tree':
                raise UserError(f'{asked.path} is a folder at {asked.told}', hint='name a file')
            if not bench.store.sound(ref.digest, ref.size):
                raise MissingObject(ref.digest)
            return bench.store.open(ref.digest)[0]
        except (MissingObject, Damaged) as error:
            raise UserError(
                f'{asked.path} at {asked.told} is recorded, and its content is not in the cache: {error.message}',
                exit_code=ExitCode.UNREACHABLE,
                hint=f'{asked.fetch}   brings it from a remote that has it; or keep a baseline of it in git',
            ) from error


def _tracked(asked: _Asked) -> tuple[str, ObjectRef] | None:
    """(path, content) of the tracked data that is, or holds, what is asked for."""
    from mlops_cli.records import data

    for path in (asked.path, *ancestors(asked.path)):
        file = data.record_path(path)
        entry = entry_at(asked.folder, asked.commit, file)
        if entry is None or not entry.mode.startswith(_FILE):
            continue
        with Blobs(asked.folder) as blobs:
            found = blobs.read(entry.blob, data.LIMIT)
        if found is None:
            raise UserError(f'{file} at {asked.told} cannot be read', hint='git fsck tells what is missing or damaged')
        record = data.decode(found, file)
        if record.in_place:
            raise UserError(
                f'{path} was imported in place at {asked.told}: only its digests are recorded',
                exit_code=ExitCode.UNREACHABLE,
                hint='keep a baseline of it in git: mlops check drift TABLE --baseline FILE --init',
            )
        return path, record.ref
    return None


def _output(bench: Workbench, asked: _Asked) -> ObjectRef | None:
    """What the pins of that revision say of an output.  Raises UserError where they say nothing of one that is made there."""
    from mlops_cli.experiments.points import revision_point

    point = revision_point(bench, asked.commit, asked.commit)
    for stage in point.pipeline.stages.values():
        around = (asked.path, *ancestors(asked.path))
        if any(output.path in around for output in stage.outputs):
            known = point.stages.get(stage.name)
            if known is None or not known.outputs:
                raise UserError(
                    f'nothing is recorded for {stage.name} at {asked.told}, which makes {asked.path}',
                    exit_code=ExitCode.UNREACHABLE,
                    hint='commit the records under .mlops/stages with the code; mlops reproduce REV makes it again',
                )
            return tree.within(known.outputs, asked.path, bench.store.read)
    return None


def _nothing(asked: _Asked) -> UserError:
    known = ', it is no tracked data, and no stage makes it there' if asked.is_project else ''
    folder, _, name = asked.path.rpartition('/')
    beside = names_at(asked.folder, [asked.commit], folder)
    near = did_you_mean(name, beside, what=f'in {folder} there are' if folder else 'there are')
    return UserError(
        f'there is no {asked.path} at {asked.told}: git has no such file{known}',
        hint=near or 'git log --all -- FILE tells which commits have it',
    )

