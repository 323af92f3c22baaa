"""A folder into the store, by a crew of processes where that is worth it: what they leave, the ordinary way does."""
from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from mlops_cli.core.digest import digest_of
from mlops_cli.fsio.paths import Root
from mlops_cli.store.ahead import Ahead
from mlops_cli.store.crew import ENOUGH, Crew, CrewLost, survey
from mlops_cli.store.ingest import Added, GoOn, Ingest, Known, add_bytes, same_state
from mlops_cli.store.shelf import Shelf
from mlops_cli.store.staging import Stage, Writer


def add_folder(shelf: Shelf, root: Root, rel: str, fd: int, *, begin: Callable[..., Ingest], known: Known, moment: Any,
               seen: Callable[[int], object], go_on: GoOn) -> Added:
    """A folder, of which ``fd`` is a descriptor, here taken over.  ``begin``: makes an Ingest, which may be told to
    ``read`` and ``keep``.  ``seen``: told how many files a crew has read of one more folder.  The rest as
    LocalStore.add_path."""
    run = begin()
    unread = _Unread(root, rel, known)
    if not unread.enough(ENOUGH):
        return Added(run.folder(fd, rel), run.files, moment)
    os.close(fd)
    try:
        return _by_crew(shelf, root, rel, unread, begin=begin, moment=moment, seen=seen, go_on=go_on)
    except CrewLost:  # whatever was in its way, the ordinary way meets it too, and says what it is
        return Added(run.path(root, rel), run.files, moment)


def _by_crew(shelf: Shelf, root: Root, rel: str, unread: _Unread, *, begin: Callable[..., Ingest], moment: Any,
             seen: Callable[[int], object], go_on: GoOn) -> Added:
    limits = (moment.device, moment.before_ns, moment.foreign_before_ns) if moment else (-1, 0, 0)
    with ExitStack() as held:
        with _enough_descriptors():
            files, trees = held.enter_context(Stage(shelf)), held.enter_context(Stage(shelf))
            crew = held.enter_context(Crew(root, unread, limits, shelf, files))
            nodes = _Nodes(trees, shelf)

            def read(folder: str, facts: os.stat_result) -> dict[str, bytes]:
                if not unread.has(folder):
                    return {}
                go_on()
                records = crew.records(folder)
                seen(len(records))
                files.begin(crew.count)
                return records if same_state(unread.states.pop(folder), facts) else {}

            run = begin(read=read, keep=nodes.keep)
            try:
                ref = run.path(root, rel)
            finally:
                nodes.close()
            crew.finish()
            files.settle(crew.count)
            trees.settle(nodes.count)
        files.place(crew.count)
        if run.files:
            shelf.batch.flush()  # what the crew left: objects come before the trees that name them
        trees.place(nodes.count)
        for node in nodes.damaged:
            add_bytes(shelf, node)
    return Added(ref, run.files, moment, run.records)


@contextmanager
def _enough_descriptors() -> Iterator[None]:
    """Within, nothing has got its place yet: where a process may not have so many descriptors, the ordinary way needs fewer."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise CrewLost from None
        raise


class _Nodes:
    """The nodes of trees, on their way into a staging folder.  ``damaged``: those that the store has, but not as they should
    be."""

    def __init__(self, stage: Stage, shelf: Shelf) -> None:
        self._writer = Writer(stage.fd, shelf.root.fd)
        self.close = self._writer.close
        self.count = 0
        self.damaged: list[bytes] = []

    def keep(self, node: bytes) -> None:
        """Raises OSError."""
        self.count += 1
        if not self._writer.put(digest_of(node).hex, node):
            self.damaged.append(node)


class _Unread(Ahead):
    """The folders from ``rel`` down whose files nobody knows, as far as a look at two of them tells.  ``states``: of these
    folders, before they were listed."""

    def __init__(self, root: Root, rel: str, known: Known) -> None:
        super().__init__()
        self.states: dict[str, os.stat_result] = {}
        self._known = known
        self._survey = survey(root, rel)

    def step(self) -> tuple[str, list[str], bool] | None:
        found = next(self._survey, None)
        if found is None:
            return None
        folder, names, fd, facts = found
        wanted = bool(names) and not any(self._is_known(fd, folder, name) for name in {names[0], names[-1]})
        if wanted:
            self.states[folder] = facts
        return folder, names, wanted

    def _is_known(self, fd: int, folder: str, name: str) -> bool:
        try:
            return self._known(f'{folder}/{name}', os.stat(name, dir_fd=fd, follow_symlinks=False)) is not None
        except OSError:
            return True  # it went meanwhile: the ordinary way sees to it
