"""What the records of a project name, wherever there is one: in the files of every worktree, in their indexes, and in every
commit that any branch, tag, stash or reflog leads to.  For gc, so it errs on the side of finding too much.

What cannot be read is an error (exit 5): who does not know what a record names cannot know what may go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.clock import from_iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import inside
from mlops_cli.core.strictjson import SIZE_LIMIT
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX
from mlops_cli.git import commits, walking
from mlops_cli.records import accepted, data, kept, models, pins, repository, runs
from mlops_cli.records.files import LIMIT, read_small

FOLDERS = (layout.STAGES, layout.DATA, layout.MODELS, layout.KEPT, layout.ACCEPTED, layout.RUNS)
NAMED = 3  # commits in a message
Step = Callable[[int], None]


@dataclass(slots=True)
class RunHold:
    """What a run led to.  ``ended``: seconds since 1970.  ``results``: (key, ``outs8``)."""

    ended: float
    results: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Roots:
    """What records name.  ``files``, ``trees``, ``inputs``: digests.  ``results``: key -> ``outs8`` of those that count.
    ``runs``: by their ids; ``kept``: ids of runs."""

    files: set[bytes] = field(default_factory=set)
    trees: set[bytes] = field(default_factory=set)
    inputs: set[bytes] = field(default_factory=set)
    results: dict[str, set[str]] = field(default_factory=dict)
    runs: dict[str, RunHold] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    records: int = 0


@dataclass(slots=True)
class Found:
    """``here``: of worktrees and indexes.  ``past``: of commits.  ``places``: the project's folder in each worktree."""

    here: Roots = field(default_factory=Roots)
    past: Roots = field(default_factory=Roots)
    places: tuple[str, ...] = ()
    commits: int = 0


def look(
    folder: str,
    *,
    since: float | None = None,
    skip: frozenset[str] = frozenset(),
    in_git: bool = False,
    step: Step = lambda _: None,
) -> Found:
    """All that the records of the project in ``folder`` name.

    ``since``: commits before that moment hold nothing, unless a ref names them.  ``skip``: commits whose unreadable records are
    passed over.  ``in_git``: it is known to lie in a repository.  ``step``: told how many records were read.

    Raises UserError (exit 5) for whatever may keep something from being found, OSError."""
    found = Found(places=(folder,))
    reader = _Reader(step)
    access = repository.access(folder)
    if access.problem or (in_git and not access.inside):
        raise walking.doubt(
            f'{folder}: {access.sentence}' + ('' if access.problem else ', though it was in one'),
            'mlops doctor tells more; whoever cannot ask git cannot know what its commits need',
        )
    if not access.inside:
        reader.folder(folder, found.here)
        return found
    top = git.top(folder)
    if top is None:
        raise walking.doubt(f'git does not say where the repository of {folder} is', 'mlops doctor tells more')
    prefix = os.path.relpath(os.path.realpath(folder), os.path.realpath(top))
    prefix = '' if prefix == '.' else f'{prefix}/'
    walking.refuse_incomplete(top)
    trees = walking.worktrees(top)
    _refuse_gone(top, trees)
    others = (os.path.join(tree.path, prefix).rstrip('/') for tree in trees)
    found.places = tuple(dict.fromkeys((folder, *filter(os.path.isdir, others))))  # not every branch has this project
    for place in found.places:
        reader.folder(place, found.here)
    history = walking.commits(top)
    chosen = history
    if since is not None:
        named = walking.tips(top, trees)
        chosen = {name: one for name, one in history.items() if one.when >= since or name in named}
    found.commits = len(chosen)
    with commits.reading(top) as read:
        reader.blobs(walking.introduced(top, chosen, _wanted), read, found.past, prefix, skip)
        for tree in trees:
            reader.blobs({one: [] for one in walking.staged(tree.path, _wanted)}, read, found.here, prefix, skip)
    for place in found.places:  # what moved from a commit into a worktree meanwhile
        reader.folder(place, found.here)
    return found


def _refuse_gone(top: str, trees: tuple[walking.Worktree, ...]) -> None:
    for tree in trees:
        if tree.problem:
            raise walking.doubt(
                f'the worktree {tree.path} of {top} cannot be looked at: {tree.problem}',
                f'if it is gone for good: git -C {top} worktree prune; else bring it back (mount its disk)',
            )


def _wanted(path: str) -> bool:
    """Whether a path of a repository may be a record: of this project, or of any other in it."""
    return record_in(path) is not None


def record_in(path: str) -> str | None:
    """The part of a repository's path that is a record's path in its project; None if it is none."""
    start = path.find(f'{layout.ROOT}/') if path.startswith(f'{layout.ROOT}/') else path.find(f'/{layout.ROOT}/') + 1
    if start < 0 or not path.startswith(f'{layout.ROOT}/', start):
        return None
    rel = path[start:]
    return rel if any(inside(rel, folder) for folder in FOLDERS) else None


class _Reader:
    """Reads each content once, wherever it turns up."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._count = 0
        self._known: set[tuple[str, str]] = set()  # (record's path, git's name of its content)
        self._files: dict[str, tuple[int, int, int]] = {}  # absolute path -> what it looked like

    def folder(self, place: str, into: Roots) -> None:
        """The records in a project's folder, as they are now.  Raises UserError, OSError."""
        with Root(place) as root:
            for folder in FOLDERS:
                for path in _files(root, folder):
                    if not is_record(path):
                        continue
                    status = root.stat(path)
                    if status is None:
                        continue
                    facts = status.st_ino, status.st_size, status.st_mtime_ns
                    if self._files.get(root.full(path)) == facts:
                        continue
                    try:
                        content = read_small(root, path, _limit(path))
                        blob = walking.name_of(content)
                        if (path, blob) not in self._known:
                            self._take(path, content, into)
                            self._known.add((path, blob))
                    except FileNotFoundError:
                        continue  # git has taken it away since the listing: so a commit has it
                    except UserError as error:
                        raise _refused(error, root.full(path), (), error.hint) from error
                    self._files[root.full(path)] = facts

    def blobs(
        self,
        versions: dict[tuple[str, str], list[str]],
        read: Callable[[str, int], bytes | None],
        into: Roots,
        prefix: str,
        skip: frozenset[str],
    ) -> None:
        """The records that git holds.  ``versions``: (path, content) -> commits.  Of other projects in the repository, what
        cannot be read is passed over: it is for them to tell.  Raises UserError."""
        for (path, blob), names in versions.items():
            rel = record_in(path)
            if rel is None or not is_record(rel) or (blob and (rel, blob) in self._known):
                continue
            own = path == f'{prefix}{rel}'
            try:
                content = read(blob, _limit(rel)) if blob else None
                if content is None:
                    raise UserError('it cannot be read from git' if blob else 'it is a link, or a repository of its own')
                self._take(rel, content, into)
            except UserError as error:
                if not own or (names and skip.issuperset(names)):
                    continue
                raise _refused(error, path, tuple(names), '') from error
            self._known.add((rel, blob))

    def _take(self, path: str, content: bytes, into: Roots) -> None:
        hold(path, content, into)
        into.records += 1
        self._count += 1
        if not self._count % 100:
            self._step(self._count)


def _refused(error: UserError, path: str, names: tuple[str, ...], hint: str) -> UserError:
    came = f' (came with commit {", ".join(name[:12] for name in names[:NAMED])})' if names else ''
    skips = ' '.join(f'--skip-rev {name}' for name in names[:NAMED])
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return UserError(
        f'{path}{came} cannot be read, so nobody knows what it needs: {error.message}',
        hint=f'look at it; if it is worth nothing: {skips}{more}' if names else hint or 'mend it, or remove it',
        exit_code=ExitCode.REFUSED,
    )


def _files(root: Root, folder: str) -> Iterator[str]:
    try:
        entries = root.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in sorted(entries, key=lambda one: one.name):
        path = f'{folder}/{entry.name}'
        if entry.is_dir():
            yield from _files(root, path)
        elif not entry.name.startswith(PREFIX):
            yield path


def is_record(path: str) -> bool:
    """Whether a file with this path in a project is, by its name, a record that somebody may rely on."""
    name = path.rpartition('/')[2]
    folder = path[: -len(name) - 1]
    if inside(path, layout.STAGES):
        return folder == layout.STAGES and pins.is_pin(name)
    if inside(path, layout.KEPT):
        return folder == layout.KEPT and kept.run_of(name) is not None
    if inside(path, layout.ACCEPTED):
        return folder == layout.ACCEPTED and accepted.is_accepted(name)
    if inside(path, layout.RUNS):
        month = folder.removeprefix(f'{layout.RUNS}/')
        return runs.is_month(month) and runs.id_of(name, month) is not None
    return name.endswith(data.SUFFIX) and not name.startswith(PREFIX)


def _limit(path: str) -> int:
    return SIZE_LIMIT if inside(path, layout.RUNS) else LIMIT


def hold(path: str, content: bytes, into: Roots) -> None:
    """Adds what a record names.  ``path``: from its project.  Raises UserError where it is not a record that is known here."""
    if inside(path, layout.STAGES):
        pin = pins.decode(content, path)
        for _, ref in pin.outputs:
            (into.trees if ref.kind == 'tree' else into.files).add(bytes.fromhex(ref.digest.hex))
        into.results.setdefault(pin.key.hex, set()).add(pin.outs8)
        into.inputs.update(bytes.fromhex(entry.digest.hex) for entry in pin.manifest.entries if entry.kind == 'data')
    elif inside(path, layout.DATA):
        ref = data.decode(content, path).ref
        (into.trees if ref.kind == 'tree' else into.files).add(bytes.fromhex(ref.digest.hex))
    elif inside(path, layout.KEPT):
        run = kept.run_of(path.rpartition('/')[2])
        assert run is not None
        into.kept.add(run)
    elif inside(path, layout.ACCEPTED):
        one = accepted.decode(content, path)
        into.results.setdefault(one.key.hex, set()).add(one.outs8)
    elif inside(path, layout.RUNS):
        run_record = runs.decode(content, path)
        rows = [(row.key.hex, row.outs8) for row in run_record.stages if row.key is not None and row.outs8]
        rows += [(key.hex, outs8) for _, key, outs8 in run_record.fresh_stages]
        into.runs[run_record.id] = RunHold(_seconds(run_record.started) + run_record.seconds, tuple(rows))
    else:
        version = models.decode(content, path)
        if isinstance(version, models.Version):
            (into.trees if version.ref.kind == 'tree' else into.files).add(bytes.fromhex(version.ref.digest.hex))
            _, key, outs8 = version.results[0]
            into.results.setdefault(key.hex, set()).add(outs8)
            into.inputs.update(bytes.fromhex(digest.hex) for _, digest in version.data)


def _seconds(started: str) -> float:
    try:
        return from_iso(started)
    except ValueError:  # such as the 31st of February: it counts as new
        return float('inf')
