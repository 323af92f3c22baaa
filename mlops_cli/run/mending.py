"""Damage in the cache: what another copy on this machine can heal is healed; of the rest it is said what brings it back.

Nothing is put into the cache but what hashed to the wanted name while it was copied.  Of sources, those nearest come first:
what was swept or put aside, the workspace, the records, other worktrees and projects."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.files import Workspace
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.facts import Wishes
from mlops_cli.records import data
from mlops_cli.records.config import load_config
from mlops_cli.records.pins import Pin, is_pin
from mlops_cli.records.pins import decode as decode_pin
from mlops_cli.run.heal import opened_cache
from mlops_cli.run.outlook import look
from mlops_cli.run.workbench import Workbench, open_workbench
from mlops_cli.store import manifests, users
from mlops_cli.store.objects import CHUNK, Damaged, MissingObject
from mlops_cli.store.shelf import QUARANTINE, hash_rest, object_path
from mlops_cli.store.tree import MalformedTree, build, decode, walk

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Users:
    """Who needs an object.  ``stages``: of the pipeline, whose present outputs hold it: running them makes it again.
    ``data``: paths of tracked data that hold it.  ``earlier``: whether results of earlier states, or what explains a result
    (its log, its sources), hold it."""

    stages: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    earlier: bool = False


def set_aside(bench: Workbench) -> dict[str, str]:
    """Name -> path in the cache of what was put aside before now: not all of it needs be damaged."""
    folder = f'{os.fspath(bench.store.cache)}/{QUARANTINE}'
    with suppress(OSError, UserError), opened_cache(bench) as cache:
        return {entry.name: f'{folder}/{entry.name}' for entry in cache.scandir(QUARANTINE)}
    return {}


class Mender:
    """``aside``: what :func:`set_aside` said before the damage was looked for."""

    def __init__(self, bench: Workbench, aside: Mapping[str, str]) -> None:
        self.bench, self.aside = bench, aside

    def heal(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        """Those for which a sound copy was found, which now are in the cache again, and where it was found.

        Raises OSError where the cache cannot be written."""
        found: dict[Digest, str] = {}
        near = (self._from_trash, self._from_aside, self._from_workspace, self._from_records, self._from_logs)
        for source in (*near, self._from_others):
            left = {digest for digest in wanted if digest not in found}
            if not left:
                break
            found |= source(left)
            self.bench.batch.flush()
        return found

    def _take(self, digest: Digest, fd: int) -> bool:
        """Whether what an open file holds is this object; then it is stored.  The descriptor is taken over."""
        try:
            if not stat.S_ISREG(ops.fstat(fd).st_mode):
                return False
            self.bench.store.put([(digest, iter(lambda: _chunk(fd), b''))])
        except (Damaged, _Unreadable):
            return False
        finally:
            os.close(fd)
        return True

    def _take_path(self, digest: Digest, path: str) -> bool:
        try:
            fd = os.open(path, _READ)
        except OSError:
            return False
        return self._take(digest, fd)

    def _from_trash(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        """The store itself looks there for what it lacks."""
        return {digest: 'the trash of mlops gc' for digest in wanted if self.bench.store.sound(digest)}

    def _from_aside(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        found: dict[Digest, str] = {}
        places = {name[:64]: path for name, path in self.aside.items()}
        for digest in wanted:
            if digest.hex in places and self._take_path(digest, places[digest.hex]):
                found[digest] = 'what was put aside earlier'
        return found

    # The workspace

    def _from_workspace(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        found: dict[Digest, str] = {}
        if digest_of(b'') in wanted:
            self.bench.store.add_bytes(b'')
            found[digest_of(b'')] = 'nothing, which it holds'
        self._from_files(self.bench, '', wanted, found)
        for node in self._source_nodes():
            self._node(node, wanted, found, 'the code in the workspace')
        return found

    def _from_files(self, bench: Workbench, where: str, wanted: Collection[Digest], found: dict[Digest, str]) -> None:
        """What lies in the workspace of this project or of another one.  ``where``: in front of its paths, to people."""
        for path, ignore in _paths(bench).items():
            with suppress(UserError, OSError):  # a pipe, a link that leads out: no copy of anything
                self._from_path(bench.workspace, where, path, ignore, wanted, found)

    def _from_path(
        self, workspace: Workspace, where: str, path: str, ignore: bool, wanted: Collection[Digest], found: dict[Digest, str]
    ) -> None:
        ref = workspace.ref(path, ignore=ignore)
        if ref is None:
            return
        if ref.kind != 'tree':
            if ref.digest in wanted and ref.digest not in found and self._take(ref.digest, workspace.open(path)):
                found[ref.digest] = where + path
            return
        nodes = workspace.nodes(path, ignore=ignore)
        for node in nodes.values():
            self._node(node, wanted, found, where + path)
        for name, entry in walk(ref, nodes.__getitem__):
            if entry.kind in ('file', 'exec') and entry.digest in wanted and entry.digest not in found:
                place = f'{path}/{name}'
                with suppress(UserError, OSError):
                    if self._take(entry.ref.digest, workspace.open(place)):
                        found[entry.ref.digest] = where + place

    def _node(self, node: bytes, wanted: Collection[Digest], found: dict[Digest, str], source: str) -> None:
        digest = digest_of(node)
        if digest in wanted and digest not in found:
            self.bench.store.add_bytes(node)
            found[digest] = source

    def _source_nodes(self) -> Iterator[bytes]:
        """Of the trees of code that are kept beside results, for the code as it is now."""
        for draft in _drafts(self.bench):
            kept: dict[str, ObjectRef] = {}
            for path in dict.fromkeys([*draft.code, *self.bench.pipeline.files, *(ref.file for ref in draft.stage.params)]):
                with suppress(UserError, OSError):
                    ref = self.bench.workspace.ref(path)
                    if ref is not None and ref.kind != 'tree':
                        kept[path] = ref
            if kept:
                yield from build(kept)[1].values()

    # Records and logs

    def _from_records(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        found: dict[Digest, str] = {}
        for name, pin in _pins(self.bench):
            self._node(manifests.encode(pin.manifest), wanted, found, f'{layout.STAGES}/{name}')
        return found

    def _from_logs(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        found: dict[Digest, str] = {}
        for path in _files_below(self.bench.root, layout.LOGS):
            with suppress(UserError, OSError):
                digest = _hashed(self.bench.root.open(path))
                if digest and digest in wanted and digest not in found and self._take(digest, self.bench.root.open(path)):
                    found[digest] = path
        return found

    # Elsewhere on this machine

    def _from_others(self, wanted: Collection[Digest]) -> dict[Digest, str]:
        """Other worktrees, and other projects that use the cache: what is in their caches, and what lies there."""
        found: dict[Digest, str] = {}
        bench, own = self.bench, os.path.realpath(self.bench.config.cache)
        for folder in other_projects(bench):
            with suppress(OSError, UserError):
                with Root(folder) as root:
                    config = load_config(root, bench.environ)
                if os.path.realpath(config.cache) != own:
                    for digest in {*wanted} - found.keys():
                        if self._take_path(digest, f'{config.cache}/{object_path(digest)}'):
                            found[digest] = f'the cache {config.cache}'
                if left := {*wanted} - found.keys():
                    other = open_workbench(folder, config, bench.environ)
                    try:
                        self._from_files(other, f'{folder}/', left, found)
                    finally:
                        other.close()
        return found

    # Who needs what is left

    def users(self, left: Collection[Digest]) -> dict[Digest, Users]:
        """Of each object that is lost."""
        lost = _Lost(self.bench, left)
        stages: dict[Digest, list[str]] = {digest: [] for digest in left}
        tracked: dict[Digest, list[str]] = {digest: [] for digest in left}
        earlier: set[Digest] = set()
        with suppress(UserError):
            for path, ref in data.tracked(self.bench.root).items():
                for digest in lost.among(ref):
                    tracked[digest].append(path)
        for name, refs in self._present().items():
            for digest in {digest for ref in refs for digest in lost.among(ref)}:
                stages[digest].append(name)
        for _, pin in _pins(self.bench):
            earlier.update(digest for _, ref in pin.outputs for digest in lost.among(ref))
        for entry in self.bench.results.all():
            earlier.update(digest for ref in entry.refs for digest in lost.among(ref))
        return {digest: Users(tuple(stages[digest]), tuple(tracked[digest]), digest in earlier) for digest in left}

    def _present(self) -> dict[str, list[ObjectRef]]:
        """Stage -> what the present state of the project is recorded to lead to; of a stage whose state cannot be told, as
        what it needs is lost too, whatever it ever led to."""
        bench = self.bench
        keys: dict[str, Digest | None] = {}
        with suppress(UserError, OSError):
            steps = look(bench, bench.order, Wishes()).plan.steps
            keys = {step.stage: step.manifest.digest if step.manifest else None for step in steps}
        found: dict[str, list[ObjectRef]] = {}
        for stage, key in keys.items():
            with suppress(UserError, OSError):
                pins = bench.pins.of_stage(stage) if key is None else bench.pins.of_key(key)
                found[stage] = [ref for pin in pins for _, ref in pin.outputs]
        return found


class _Lost:
    """Which of the lost objects lie in what a reference names; each folder is looked at once."""

    def __init__(self, bench: Workbench, lost: Collection[Digest]) -> None:
        self._read, self._lost = bench.store.read, lost
        self._seen: dict[Digest, frozenset[Digest]] = {}

    def among(self, ref: ObjectRef) -> frozenset[Digest]:
        own = frozenset({ref.digest} if ref.digest in self._lost else ())
        if ref.kind != 'tree' or own:
            return own
        if ref.digest not in self._seen:
            self._seen[ref.digest] = frozenset()
            with suppress(MissingObject, Damaged, MalformedTree, OSError):
                entries = [entry for entry in decode(self._read(ref.digest)) if entry.digest is not None]
                self._seen[ref.digest] = frozenset().union(*(self.among(entry.ref) for entry in entries))
        return self._seen[ref.digest]


class _Unreadable(Exception):
    """A copy that the machine cannot read is none."""


def _chunk(fd: int) -> bytes:
    try:
        return os.read(fd, CHUNK)
    except OSError as error:
        raise _Unreadable from error


def _hashed(fd: int) -> Digest | None:
    """None for what is no regular file.  The descriptor is taken over."""
    try:
        facts = ops.fstat(fd)
        return hash_rest(fd, facts.st_size)[0] if stat.S_ISREG(facts.st_mode) else None
    finally:
        os.close(fd)


def _pins(bench: Workbench) -> Iterator[tuple[str, Pin]]:
    """All pins that can be read, with their names."""
    for name in sorted(filter(is_pin, bench.pins.names())):
        with suppress(UserError, OSError):
            if (content := bench.pins.bytes_of(name)) is not None:
                yield name, decode_pin(content, f'{layout.STAGES}/{name}')


def damaged_pins(bench: Workbench) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) of pins that are not what was written.  A damaged data record ends every command, this one too."""
    for name in sorted(filter(is_pin, bench.pins.names())):
        path = f'{layout.STAGES}/{name}'
        try:
            if (content := bench.pins.bytes_of(name)) is not None:
                decode_pin(content, path)
        except (UserError, OSError) as error:
            yield path, _said(error)


def _said(error: UserError | OSError) -> str:
    return error.message if isinstance(error, UserError) else error.strerror or str(error)


def _files_below(root: Root, folder: str) -> Iterator[str]:
    try:
        entries = root.scandir(folder)
    except (OSError, UserError):
        return
    for entry in entries:
        path = f'{folder}/{entry.name}'
        if entry.is_dir():
            yield from _files_below(root, path)
        elif entry.is_file():
            yield path


def _paths(bench: Workbench) -> dict[str, bool]:
    """Path -> whether what ``.mlopsignore`` says counts, of all in a workspace that may be in the cache too."""
    paths: dict[str, bool] = {}
    for file in bench.pipeline.files:
        paths[file] = True
    for draft in _drafts(bench):
        paths |= dict.fromkeys(draft.inputs, True)
        paths |= dict.fromkeys((ref.file for ref in draft.stage.params), True)
    with suppress(UserError):  # a damaged record
        paths |= dict.fromkeys(data.tracked(bench.root), False)
    paths |= {output.path: False for stage in bench.pipeline.stages.values() for output in stage.outputs}
    return paths


def _drafts(bench: Workbench) -> Iterator[Draft]:
    for name in bench.order:
        with suppress(UserError, OSError):
            yield bench.describer.describe(bench.pipeline.stages[name])


def other_projects(bench: Workbench) -> tuple[str, ...]:
    """Folders of this project in other worktrees of the repository, and of other projects that use the cache."""
    found: dict[str, None] = {}
    if (top := git.top(bench.root.path)) is not None:
        below = os.path.relpath(os.path.realpath(bench.root.path), os.path.realpath(top))
        found |= dict.fromkeys(os.path.normpath(os.path.join(one, below)) for one in git.worktrees(bench.root.path))
    with suppress(OSError, UserError), opened_cache(bench) as cache:
        found |= dict.fromkeys(project.path for project in users.projects(cache))
    own = os.path.realpath(bench.root.path)
    return tuple(folder for folder in found if os.path.realpath(folder) != own and os.path.isdir(folder))
