"""Writes the file of answers: notes what a command looked at on the long way, and its state (docs/formats/answers.md).

An answer is kept only where everything in it follows from files, folders and variables that had all come to rest before the
command began: what is touched while it works, or could have been under the same times, keeps it from being written."""

from __future__ import annotations

import math
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlops_cli.cli import console, context
from mlops_cli.cli.console import Line, safe
from mlops_cli.cli.quick import compare, form, settle
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.fingerprint.index import Index, Moment, database_path
from mlops_cli.fsio import paths, token
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Verdict
from mlops_cli.records import data
from mlops_cli.records.files import keeps_local

if TYPE_CHECKING:
    from mlops_cli.cli.quick.looked import Looked
    from mlops_cli.plan.model import Plan
    from mlops_cli.run.workbench import Workbench

PAGES = 8  # answers that are kept for one state
LIMIT = 1 << 30  # bytes of the file
HOUR = 3600  # seconds


@dataclass
class Lesson:
    """What is noted while a command works.  ``moment``: the clock before it looked at anything."""

    project: str
    moment: Moment
    said: int
    asked: set[tuple[str, str, bool]] = field(default_factory=set)


_lesson: Lesson | None = None


@contextmanager
def learning(project: str) -> Iterator[None]:
    """Notes from here on what is looked at.  ``project``: its folder."""
    global _lesson
    _lesson = _begin(project)
    paths.asked = _lesson.asked if _lesson else None
    try:
        yield
    finally:
        paths.asked = _lesson = None


def forget() -> None:
    """Stops noting: a run has begun, and this will be no answer to be kept."""
    global _lesson
    paths.asked = _lesson = None


def _begin(project: str) -> Lesson | None:
    if not sys.platform.startswith('linux') or os.environ.get('MLOPS_QUICK') == '0' or os.environ.get('MLOPS_DIRECTORY'):
        return None
    try:
        with Root(project) as root:
            if not keeps_local(root) or root.stat(layout.LOCAL) is None:
                return None
            index = Index(database_path(root, os.environ), root)
            moment = index.moment()
            index.close()
    except (OSError, UserError):
        return None
    return Lesson(project, moment, console.said) if moment.device >= 0 else None


def keep(bench: Workbench, plan: Plan, command: str, lines: Sequence[Line]) -> None:
    """Keeps what a command says of a project in which nothing is to be done.  Does nothing where that is not so, or where it
    does not follow from files alone.  ``lines``: the first may hold a moment that is left
    open, as form.in_words fills it in."""
    lesson = _lesson
    if lesson is None or bench.root.path != lesson.project or bench.overlay or console.said != lesson.said:
        return
    if bench.settled is not None:
        return  # not all that this follows from was looked at
    if context.current.started_in != os.path.realpath(os.getcwd()):
        return  # -C, which no kept answer knows
    if context.current.quiet or context.current.json or any(step.verdict is not Verdict.FRESH for step in plan.steps):
        return
    if len(plan.steps) < len(bench.pipeline.stages):
        return
    from mlops_cli.cli.quick.looked import places

    paths.asked = None  # what is looked at from here on is no part of the answer
    with suppress(OSError, UserError):
        if bench.root.stat(layout.JOURNAL) is None:  # that it was not there cannot be seen by a folder in which much is written
            bench.root.makedirs(layout.JOURNAL, 0o700)
        looked = places(bench, lesson.asked, [step.manifest.digest for step in plan.steps if step.manifest])
        folders = _folders(looked, lesson.moment) if looked is not None else None
        if looked is not None and folders is not None:
            _write(bench, plan, command, lines, folders, looked.listed, lesson.moment)


def _folders(looked: Looked, moment: Moment) -> dict[str, _Folder] | None:
    """The states of all that was looked at; None where something has not come to rest."""
    found: dict[str, _Folder] = {}
    for path in sorted(looked.listed | looked.looked):
        folder, name = os.path.split(path)
        into = found.setdefault(folder, _Folder())
        if not into.take(os.fsencode(name or '.'), path, path in looked.listed, moment):
            return None
        if folder in looked.listed:  # a name that comes there changes it
            into.absent.clear()
    settled: dict[str, bool] = {}
    for folder, one in found.items():
        if one.absent and not settled.setdefault(folder, _is_settled(folder, moment)):
            return None
    return found


def _is_settled(folder: str, moment: Moment) -> bool:
    """Whether nothing was taken out of a folder since the moment, so that what is absent was absent."""
    try:
        facts = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        parent = os.path.dirname(folder)
        return parent == folder or _is_settled(parent, moment)
    except OSError:
        return False
    return moment.settled(facts)


class _Folder:
    """The names looked at in one folder, by how much of their state counts."""

    def __init__(self) -> None:
        self.full: dict[bytes, bytes] = {}
        self.weak: dict[bytes, bytes] = {}
        self.followed: dict[bytes, bytes] = {}
        self.absent: dict[bytes, None] = {}
        self.linked: list[bytes] = []

    def take(self, name: bytes, path: str, listed: bool, moment: Moment) -> bool:
        """False where its state proves nothing yet."""
        try:
            facts = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self.absent[name] = None
            return True
        if stat.S_ISDIR(facts.st_mode) and not listed:
            self.weak[name] = form.weak_state(facts)
            return moment.settled(facts)  # else another may have come in its place meanwhile
        if stat.S_ISLNK(facts.st_mode):
            self.linked.append(name)
            try:
                target = os.stat(path)
            except FileNotFoundError:
                return False  # what a link to nothing means is for the long way
            if not moment.settled(target):
                return False
            self.followed[name] = form.full_state(target)
        self.full[name] = form.full_state(facts)
        return moment.settled(facts)

    def forget(self, name: bytes, kind: str) -> None:
        """Leaves a name out whose state is known already, at least as far as it counts here."""
        for mine in {'full': (self.full, self.weak), 'weak': (self.weak,), 'followed': (self.followed,)}.get(kind, ()):
            mine.pop(name, None)
        if kind == 'absent':
            self.absent.pop(name, None)

    def groups(self, folder: bytes) -> Iterator[bytes]:
        full = list(self.full)
        first, rest = full[: form.CHUNK], full[form.CHUNK :]
        states = [*map(self.full.__getitem__, first), *self.weak.values(), *self.followed.values()]
        if states or self.absent:
            yield form.group(folder, first, list(self.weak), list(self.followed), list(self.absent), b''.join(states))
        for start in range(0, len(rest), form.CHUNK):
            part = rest[start : start + form.CHUNK]
            yield form.group(folder, part, [], [], [], b''.join(map(self.full.__getitem__, part)))


def _write(
    bench: Workbench,
    plan: Plan,
    command: str,
    lines: Sequence[Line],
    folders: dict[str, _Folder],
    listed: Iterable[str],
    moment: Moment,
) -> None:
    named = _named(bench)
    secret = token.made()
    env = form.environment(secret, named)
    decisive = (*bench.pipeline.files, *bench.pipeline.absent, layout.IGNORE_FILE)
    files = '\0'.join(decisive).encode(errors='surrogateescape')
    facts = b'\n'.join((b' '.join(sorted(named)), files, form.facts(bench.root.path)))
    name = form.key(command, 'v' if context.current.verbose else '', bench.root.path, os.getcwd())
    page = b'\x1e'.join((name, *(_line(line, not number) for number, line in enumerate(lines))))
    pages, groups = [page], b''
    old = _old(bench.root, secret, env, facts)
    if old is not None:  # what else is known of this very state stays, and what it depends on
        known, groups = old
        pages = [*[one for one in known if one.partition(b'\x1e')[0] != name][-PAGES + 1 :], page]
        for folder, path, kind in form.names(groups):
            if os.fsdecode(folder) in folders:
                folders[os.fsdecode(folder)].forget(path, kind)
    groups += b''.join(part for folder, one in folders.items() for part in one.groups(os.fsencode(folder)))
    identity = os.urandom(form.IDENTITY)
    links = [os.path.join(folder, os.fsdecode(name)) for folder, one in folders.items() for name in one.linked]
    settle.write(bench, plan, identity, decisive, listed, links, moment)
    assembled = form.assemble(secret, env + identity, facts, b'\x1d'.join(pages), groups, _until(bench.root))
    write_file(bench.root, form.FILE, assembled, 0o600, durable=False)


def _until(root: Root) -> int:
    """When the next of tracked data gets older than it may be; where one is, its age is told, for which an hour is exact
    enough.  0 for never."""
    now = time.time()
    due = [record.due for record in data.records(root).values()]
    return math.floor(min((one if one > now else now + HOUR for one in due if one is not None), default=0))


def _old(root: Root, secret: bytes, env: bytes, facts: bytes) -> tuple[list[bytes], bytes] | None:
    """Pages and groups of the file that is there, if it is about the state that is there now."""
    try:
        data = read_file(root, form.FILE, form.LIMIT)
    except (OSError, UserError):
        return None
    old = form.parts_of(secret, data)
    if old is None or (old[0][: form.DIGEST], old[1]) != (env, facts):
        return None
    here = os.open('.', os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return (old[2].split(b'\x1d'), data[old[3] :]) if compare.unchanged(data, old[3]) else None
    finally:
        os.fchdir(here)
        os.close(here)


def _line(line: Line, first: bool) -> bytes:
    """``first``: of the page, the only one that may hold a moment; a name may hold anything."""
    text = form.TIME.join(map(safe, line.text.split(form.TIME))) if first else safe(line.text)
    return '\x1f'.join((text, line.word, line.style)).encode('utf-8', 'surrogateescape')


def _named(bench: Workbench) -> frozenset[bytes]:
    """Those variables of terminals and sessions that the pipeline names after all, be it by way of parameters."""
    texts = [read_file(bench.root, file, LIMIT) for file in bench.pipeline.files]
    for stage in bench.pipeline.stages.values():
        texts += [os.fsencode(word) for word in (*stage.env, *stage.secrets, *stage.command.words)]
    text = b'\n'.join(texts)
    return frozenset(name for name in form.PASSING if name != b'_' and name in text)
