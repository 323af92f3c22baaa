"""The content of the workspace's files and folders, opened only where the index does not know them already.

Read-only.  Links are resolved step by step beneath the project's root and never leave it.
"""
from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from fnmatch import translate

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import pack
from mlops_cli.fingerprint.ignore import ALWAYS, Ignore
from mlops_cli.fingerprint.index import Index
from mlops_cli.fingerprint.scan import Scan
from mlops_cli.fsio.paths import FolderEntry, Root
from mlops_cli.fsio.reading import Nearby
from mlops_cli.store.ingest import hash_open_file, special_file
from mlops_cli.store.shelf import linked_digest, linked_object

HOPS = 40  # links followed for one path, as the kernel has it


@dataclass(slots=True)
class Seen:
    """What was looked at, so that a later command can tell from stats alone that nothing changed.

    ``files``: mode of each file and link that was read, 0 for one that was absent.  ``folders``: state of each folder that
    was listed for a glob.  ``trees``: (path, ignore) of each folder taken as a whole, with its content.  ``unsettled``: files
    touched so shortly before they were read that their state proves nothing yet."""

    files: dict[str, int] = field(default_factory=dict)
    folders: dict[str, bytes] = field(default_factory=dict)
    trees: dict[tuple[str, bool], ObjectRef] = field(default_factory=dict)
    unsettled: set[str] = field(default_factory=set)


class Workspace:
    """``root``: the project.  ``objects``: absolute path of the cache's folder of objects, if outputs may be links into it.
    ``seen``: collects what is looked at.  ``verified``: folders of files of which all is known to be as it was when
    nothing was to be done; counts until something is forgotten.

    What was once looked at is remembered until :meth:`forget`: forget a path before asking again what it holds *now*.
    For one thread at a time."""

    def __init__(self, root: Root, index: Index, ignore: Ignore, *, objects: str | None = None,
                 verified: Collection[str] = ()) -> None:
        self.root, self.index, self.ignore = root, index, ignore
        self.seen = Seen()
        self._stat = root.stat
        self.objects = objects
        self._verified = verified
        self._made: dict[Digest, bytes] = {}
        self._known: dict[tuple[str, bool], ObjectRef | None] = {}
        self._nodes: dict[tuple[str, bool], dict[Digest, bytes]] = {}
        self._below: dict[str, set[str]] = {}
        self._active: set[str] = set()  # folders being looked at

    def ref(self, rel: str, *, ignore: bool = True) -> ObjectRef | None:
        """The content of a file or folder; None if there is none.

        ``ignore``: leave out what ``.mlopsignore`` says, and follow links that lead elsewhere in the project; False is for
        declared outputs, whose content is all that is in them.  Raises UserError (exit 5) for pipes, sockets, devices and
        links that leave the project (of an output: the output), (exit 1) for files that change all the time; OSError."""
        key = (rel, ignore)
        if key not in self._known:
            self._remember(rel)
            self._known[key] = self._look(rel, ignore)
        return self._known[key]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Within, many paths are looked at in little time; no folder on the way to them may be swapped."""
        with Nearby(self.root) as nearby:
            self._stat = nearby.stat
            try:
                yield
            finally:
                self._stat = self.root.stat

    def lstat(self, rel: str) -> os.stat_result | None:
        """As Root.stat, and within :meth:`looking` in little time."""
        return self._stat(rel)

    def is_plain(self, rel: str) -> bool:
        """Whether :meth:`ref` found a regular file there, and no link on the way to it."""
        return stat.S_ISREG(self.seen.files.get(rel, 0))

    def open(self, rel: str) -> int:
        """A descriptor of the regular file that :meth:`ref` reads for this path; the caller closes.  Raises UserError, OSError,
        FileNotFoundError if there is none."""
        place = rel
        try:
            facts = self.root.stat(rel)
        except UserError:  # a folder on the way is a link
            facts = None
        if facts is None or stat.S_ISLNK(facts.st_mode):
            if facts is not None and self._stored(target := self.root.readlink(rel)) is not None:
                return os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            place, facts = self.resolve(rel)
        if facts is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root.full(rel))
        if not stat.S_ISREG(facts.st_mode):
            raise special_file(rel, facts)
        return self.root.open(place)

    def nodes(self, rel: str, *, ignore: bool = True) -> dict[Digest, bytes]:
        """The tree nodes of a folder, as of now, which :meth:`ref` then agrees with; none for what is not a folder."""
        key = (rel, ignore)
        ref = self.ref(rel, ignore=ignore)
        if ref is None or ref.kind != 'tree':
            return {}
        if key not in self._nodes:
            nodes: dict[Digest, bytes] = {}
            self._known[key] = self._look(rel, ignore, nodes)
            self._nodes[key] = nodes
        return self._nodes[key]

    def node(self, digest: Digest) -> bytes | None:
        """The node of one of the folders that :meth:`ref` looked at, of these alone; None if none of them is that."""
        if digest not in self._made:
            for folder, view in self.index.sealed_as(digest):
                ignore = self.ignore if view else None
                if ignore is None or view == bytes.fromhex(ignore.digest.hex):
                    self._make(folder, ignore, digest)
                if digest in self._made:  # else the folder is gone: another may be the same
                    break
        return self._made.get(digest)

    def _make(self, folder: str, ignore: Ignore | None, digest: Digest) -> None:
        """The node of one folder, if that is what it still is."""
        scan = Scan(self.index, ignore, stored=self._stored, lost=self._lost, follow=self._nothing, single=True)
        with suppress(UserError, OSError):  # it is not as it was, or links leave it
            scan.folder(self.root.open_dir_to_read(folder), folder)
        self._made |= scan.made
        if digest not in self._made:
            with suppress(UserError, OSError):
                self._made |= self.nodes(folder, ignore=ignore is not None)

    def _nothing(self, _link: str) -> ObjectRef | None:
        """A folder with links that leave it is made whole, by :meth:`nodes`."""
        return None

    def forget(self, rel: str = '') -> None:
        """Look again, when next asked, at a path, at what is below it and at the folders above it; '' is everything."""
        if rel in ('', '.'):
            self._verified = ()
            self._known.clear()
            self._nodes.clear()
            self._below.clear()
            return
        self._verified = ()
        for path in (rel, *self._below.pop(rel, ()), *_above(rel)):
            for key in ((path, True), (path, False)):
                self._known.pop(key, None)
                self._nodes.pop(key, None)

    def _remember(self, rel: str) -> None:
        at = rel.rfind('/')
        while at > 0:  # but not for the top: to forget it is to forget all
            folder = rel[:at]
            below = self._below.get(folder)
            if below is None:
                below = self._below[folder] = set()
            below.add(rel)
            at = rel.rfind('/', 0, at)

    # One path

    def _look(self, rel: str, ignore: bool, nodes: dict[Digest, bytes] | None = None) -> ObjectRef | None:
        place = rel
        try:
            facts = self._stat(rel)
        except UserError:  # a folder on the way is a link
            facts = None
            if ignore:
                place, facts = self.resolve(rel)
            else:
                raise
        if facts is not None and stat.S_ISLNK(facts.st_mode):
            if (stored := self._stored(self.root.readlink(place))) is not None:
                self.seen.files[place] = facts.st_mode
                return stored
            if not ignore and self._lost(self.root.readlink(place)):
                self.seen.files[place] = 0
                return None
            if not ignore:
                raise UserError(f'{rel} is a symbolic link', exit_code=ExitCode.REFUSED,
                                hint='an output must be a regular file or a folder: a link has no content of its own to keep')
            place, facts = self.resolve(rel)
        if facts is None:
            self.seen.files[place] = 0
            return None
        if stat.S_ISDIR(facts.st_mode):
            found = self._folder(place, ignore, nodes)
        else:
            found = self._file(place, facts)
        return found

    def _file(self, rel: str, facts: os.stat_result) -> ObjectRef:
        if not stat.S_ISREG(facts.st_mode):
            raise special_file(rel, facts)
        ref = self.index.get(rel, facts)
        if ref is None:
            moment = self.index.moment()
            fd = self.root.open(rel)
            try:
                ref, facts = hash_open_file(fd, rel)
            finally:
                os.close(fd)
            self.index.put_many([(rel, facts, ref)], moment=moment)
            if not moment.settled(facts):
                self.seen.unsettled.add(rel)
        self.seen.files[rel] = facts.st_mode
        return ref

    def _folder(self, rel: str, ignore: bool, nodes: dict[Digest, bytes] | None) -> ObjectRef:
        from mlops_cli.fingerprint.unread import reading  # where no folder is looked at, nothing of it is loaded

        if rel in self._active:
            raise UserError(f'{rel} contains itself by a symbolic link', exit_code=ExitCode.REFUSED,
                            hint='remove the link, or name it in .mlopsignore')
        self._active.add(rel)
        try:
            path, counts = '' if rel == '.' else rel, self.ignore if ignore else None
            with reading(self.root, path, counts, self.index) as read:
                scan = Scan(self.index, counts, stored=self._stored, lost=self._lost, nodes=nodes, read=read,
                            follow=lambda link: self._follow(link, nodes), verified=self._verified)
                ref = scan.folder(self.root.open_dir_to_read(rel), path)
        finally:
            self._active.discard(rel)
        self.seen.trees[rel, ignore] = ref
        self.seen.unsettled |= scan.unsettled
        self._made |= scan.made
        return ref

    # Links

    def _follow(self, link: str, nodes: dict[Digest, bytes] | None) -> ObjectRef | None:
        """The content that a link leads to, which leaves its tree; None if it leads nowhere."""
        place = self.resolve(link)[0]
        ref = self.ref(place)
        if nodes is not None:
            nodes.update(self.nodes(place))
        return ref

    def _stored(self, target: str) -> ObjectRef | None:
        """The object that a link of ours into the cache stands for."""
        return linked_object(self.objects, target) if self.objects else None

    def _lost(self, target: str) -> bool:
        """Whether a link of ours leads into the cache to an object that is no longer there."""
        return bool(self.objects) and linked_digest(self.objects or '', target) is not None and not os.path.lexists(target)

    def resolve(self, rel: str) -> tuple[str, os.stat_result | None]:
        """(path without any link in it, its lstat or None if there is nothing).  Raises UserError if it leaves the project."""
        waiting = [name for name in reversed(rel.split('/')) if name != '.']
        here: list[str] = []
        hops = 0
        facts = self.root.stat('')
        while waiting:
            name = waiting.pop()
            if name == '..':
                if not here:
                    raise _leaves(rel)
                here.pop()
                continue
            if hops and name in ALWAYS:
                raise UserError(f'{rel} leads into {name} by a symbolic link', exit_code=ExitCode.REFUSED,
                                hint='nothing in .git or .mlops can be an input: put a copy in its place')
            path = '/'.join((*here, name))
            facts = self.root.stat(path)
            if facts is None:
                return '/'.join((*here, name, *reversed(waiting))), None
            if not stat.S_ISLNK(facts.st_mode):
                here.append(name)
                continue
            hops += 1
            if hops > HOPS:
                raise UserError(f'{rel} leads through more than {HOPS} symbolic links', exit_code=ExitCode.REFUSED,
                                hint='they probably lead to each other: look with ls -l')
            target = self.root.readlink(path)
            self.seen.files[path] = facts.st_mode
            if target.startswith('/'):
                target, here = self._beneath(target, rel), []
            waiting += [part for part in reversed(target.split('/')) if part not in ('', '.')]
        resolved = '/'.join(here) or '.'
        return resolved, self.root.stat(resolved)

    def _beneath(self, target: str, rel: str) -> str:
        """An absolute path relative to the root; only its text is looked at, what it leads through is resolved step by step."""
        for top in (self.root.path, os.path.realpath(self.root.path)):
            if target == top or target.startswith(f'{top.rstrip("/")}/'):
                return target[len(top):]
        raise _leaves(rel)

    # Many paths

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Files that match, sorted: `*`, `?`, `[...]` within a name, `**` for any folders; a name with a leading dot only where
        the pattern spells the dot; nothing that is ignored.  Links count by what they lead to."""
        found: set[str] = set()
        self._glob('', pattern.split('/'), found, {}, set())
        return tuple(sorted(found))

    def _glob(self, folder: str, parts: list[str], found: set[str], listed: dict[str, list[FolderEntry]],
              done: set[tuple[str, int]]) -> None:
        if (folder, len(parts)) in done:
            return
        done.add((folder, len(parts)))
        head, rest = parts[0], parts[1:]
        if folder not in listed:
            listed[folder] = self._list(folder)
        deep = head == '**'
        if deep and rest:
            self._glob(folder, rest, found, listed, done)
        expression = re.compile(translate('*' if deep else head))
        for entry in listed[folder]:
            if (entry.name.startswith('.') and not head.startswith('.')) or expression.match(entry.name) is None:
                continue
            path = f'{folder}/{entry.name}' if folder else entry.name
            is_folder, is_file = self._sort_of(entry, path)
            if self.ignore.entry_ignored(folder, entry.name, is_folder):
                continue
            if is_folder and (deep or rest):
                self._glob(path, parts if deep else rest, found, listed, done)
            elif is_file and not rest:
                found.add(path)

    def _list(self, folder: str) -> list[FolderEntry]:
        try:
            facts = self.root.stat(folder)
            self.seen.folders[folder] = pack(facts) if facts else b''
            return self.root.scandir(folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return []
            raise

    def _sort_of(self, entry: FolderEntry, path: str) -> tuple[bool, bool]:
        """(is a folder, is a file); links by what they lead to, folders behind links are not entered."""
        if not entry.is_symlink():
            return entry.is_dir(), entry.is_file()
        if self._stored(self.root.readlink(path)) is not None:
            return False, True
        facts = self.resolve(path)[1]
        return False, facts is not None and stat.S_ISREG(facts.st_mode)


def _above(rel: str) -> list[str]:
    parts = rel.split('/')
    return ['/'.join(parts[:end]) for end in range(1, len(parts))] + (['.'] if rel != '.' else [])


def _leaves(rel: str) -> UserError:
    return UserError(f'{rel} leads out of the project by a symbolic link', exit_code=ExitCode.REFUSED,
                     hint='what lies outside cannot be part of a result that others shall reproduce: put a copy in '
                          'its place, and track that with mlops add; or, of a shared disk, mlops import --in-place WHERE PATH')
