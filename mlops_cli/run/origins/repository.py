"""A path at a revision of another git repository: what git has there, or what that repository tracks with mlops."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlops_cli.core import layout
from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import ancestors, check_path
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.temporaries import PREFIX, new_name
from mlops_cli.git import fetching
from mlops_cli.git.commits import Blobs, Entry
from mlops_cli.records import data, trust
from mlops_cli.records.destinations import read_remote
from mlops_cli.records.origin import git_place
from mlops_cli.run.origins.base import Brought, Into, Seen, Unconfirmed, Unreached
from mlops_cli.run.remotes import USUAL, KeptIndexes
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import tree
from mlops_cli.store.depot import Depot
from mlops_cli.store.objects import Damaged, MissingObject

POINTER = b'version https://git-lfs.github.com/spec/'
RECORD = 1 << 20  # bytes of a file of theirs that is read


class RepositoryOrigin:
    def __init__(self, bench: Workbench, url: str) -> None:
        self._bench, self.url = bench, url
        self._place = git_place(url)
        try:
            self._path = check_path(self._place.path)
        except ValueError as error:
            raise UserError(f'the path {self._place.path!r} {error}', hint='a path in the repository, from its top') from error

    def look(self, pins: Mapping[str, str]) -> Seen:
        with self._folder() as folder:
            commit = fetching.commit_of(self._place.repository, self._place.revision, folder)
        return Seen(None if not commit or not pins else commit == pins.get('commit'))

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought | None:
        with self._folder() as folder:
            known = fetching.commit_of(self._place.repository, self._place.revision, folder)
            if known and known == pins.get('commit'):
                return None
            commit = fetching.fetch(self._place.repository, self._place.revision, folder)
            with Blobs(folder) as blobs:
                found = fetching.entries(folder, commit, self._path)
                ref = self._of_git(found, blobs, commit, into) if found else self._of_mlops(folder, blobs, commit, into)
        self._bench.batch.flush()
        return Brought(ref, {'commit': commit})

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """Of ours, for a repository; the next command removes it if this one is killed."""
        root = self._bench.root
        name = f'{layout.LOCAL}/{new_name(PREFIX)}'
        root.makedirs(name, 0o700)
        try:
            yield root.full(name)
        finally:
            root.remove_tree(name)

    # What git has

    def _of_git(self, found: list[Entry], blobs: Blobs, commit: str, into: Into) -> ObjectRef:
        content: dict[str, ObjectRef | tree.Link] = {}
        for entry in found:
            if entry.mode == '160000':
                raise self._refused(f'{entry.path} is a submodule', 'import that repository by itself')
            name = entry.path[len(self._path) + 1 :] if self._path != '.' else entry.path
            if entry.mode == '120000':
                content[name] = tree.Link(os.fsdecode(blobs.read(entry.blob, 4096) or b'/'))
                continue
            with blobs.open(entry, commit) as blob:
                ref = into.file(self._parts(blob.parts(), entry.path))
            content[name] = replace(ref, kind='exec') if entry.mode == '100755' else ref
        if [*content] == ['']:
            one = content['']
            if isinstance(one, tree.Link):
                raise self._refused(f'{self._path} is a symbolic link', 'name what it leads to')
            return one
        return into.folder(content, self.url)

    def _parts(self, parts: Iterator[bytes], path: str) -> Iterator[bytes]:
        for number, part in enumerate(parts):
            if not number and part.startswith(POINTER):
                raise self._refused(f'{path} is kept by Git LFS', 'clone it with git lfs, then import that path')
            yield part

    def _refused(self, problem: str, hint: str) -> UserError:
        return UserError(f'{self.url}: {problem}', hint=hint, exit_code=ExitCode.REFUSED)

    # What mlops tracks there

    def _of_mlops(self, folder: str, blobs: Blobs, commit: str, into: Into) -> ObjectRef:
        record = self._record(folder, blobs, commit)
        if record is None:
            raise Unreached(self.url, f'commit {commit[:12]} has no {self._path}, and mlops tracks none there',
                            'look at the path')  # fmt: skip
        remotes = self._remotes(folder, blobs, commit)
        url = remotes.get(USUAL) or (next(iter(remotes.values())) if len(remotes) == 1 else '')
        if not url:
            raise Unreached(
                self.url, f'mlops tracks {record.path} there, but the project names no remote that has it',
                'its owner names one: mlops remote add origin URL, mlops push, and commits .mlops/config.yaml',
            )  # fmt: skip
        if not trust.confirmed(self._bench.root, trust.source_at(url)):
            raise Unconfirmed(url)
        return self._from_remote(url, record, into)

    def _record(self, folder: str, blobs: Blobs, commit: str) -> data.Record | None:
        """Of the path, or of a folder that holds it."""
        for path in (self._path, *ancestors(self._path)):
            file = data.record_path(path)
            if (content := self._read(folder, blobs, commit, file)) is not None:
                return data.decode(content, file)
        return None

    def _read(self, folder: str, blobs: Blobs, commit: str, file: str) -> bytes | None:
        found = [one for one in fetching.entries(folder, commit, file) if one.path == file and one.mode.startswith('100')]
        return blobs.read(found[0].blob, RECORD) if found else None

    def _remotes(self, folder: str, blobs: Blobs, commit: str) -> dict[str, str]:
        content = self._read(folder, blobs, commit, layout.CONFIG)
        if content is None:
            return {}
        from mlops_cli import yamlfile

        written = yamlfile.read(content, layout.CONFIG).value
        remotes = written.get('remotes') if isinstance(written, dict) else None
        found = {}
        for name, value in remotes.items() if isinstance(remotes, dict) else ():
            try:
                found[str(name)] = read_remote(value).url
            except ValueError as error:
                raise self._refused(f'its remote {str(name)[:60]} {error}', 'tell its owner') from error
        return found

    def _from_remote(self, url: str, record: data.Record, into: Into) -> ObjectRef:
        from mlops_cli.store.remote import open_bucket
        from mlops_cli.store.transfer import Told, fetch

        depot = Depot(open_bucket(url), KeptIndexes(self._bench.root, url))
        try:
            told = Told(into.step)
            inner = self._path[len(record.path) + 1 :]
            if not inner:
                fetch(into.store, depot, [(self._path, record.ref)], told)
                ref: ObjectRef | None = record.ref
            else:
                ref = self._part(depot, record, inner, into)
                if ref is not None:
                    fetch(into.store, depot, [(self._path, ref)], told)
        finally:
            depot.close()
        into.size, into.files = told.size, told.objects
        if ref is None:
            raise Unreached(self.url, f'{record.path} holds no {inner} there', 'look at the path')
        if told.missing:
            problem = f'{url} lacks {len(told.missing)} objects of {self._path}'
            raise Unreached(self.url, problem, 'its owner pushes: mlops push')
        return ref

    def _part(self, depot: Depot, record: data.Record, inner: str, into: Into) -> ObjectRef | None:
        def read(digest: Digest) -> bytes:
            try:
                return into.store.read(digest)
            except (MissingObject, Damaged):
                for _, chunks in depot.get([digest]):
                    return b''.join(chunks)
                raise

        try:
            return tree.find(record.ref, inner, read)
        except (MissingObject, Damaged):
            problem = f'the remote of that project lacks {record.path}'
            raise Unreached(self.url, problem, 'its owner pushes: mlops push') from None
