"""What the doctor looked at, as plain values: nothing here says whether it is good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError

Level = Literal['wrong', 'note']


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing, and how to mend it.  ``where``: a place in a file, or empty."""

    check: str
    level: Level
    text: str
    fix: str = ''
    where: str = ''


@dataclass(frozen=True, slots=True)
class Disk:
    """Where a folder lies.  Bytes; ``free`` and ``inodes`` -1: not known.  ``owner``: a user's number."""

    what: str
    path: str
    exists: bool = True
    type: str = 'unknown'
    network: bool = False
    in_memory: bool = False
    read_only: bool = False
    no_exec: bool = False
    writable: bool = True
    free: int = -1
    inodes: int = -1
    case_blind: bool = False
    device: int = 0
    owner: int = 0


@dataclass(frozen=True, slots=True)
class GitFacts:
    """``problem``: as records.repository.Access.  ``tracked_ours``: files that only this machine may write, and git tracks.
    ``tracked_outputs``: output -> (stage, bytes).  ``not_ignored``: outputs that are there and git would take.
    ``big_untracked``: path -> bytes of files that git would take.  ``conflicts``: records that a merge left unsettled."""

    installed: bool = True
    version: tuple[int, ...] = ()
    problem: str = ''
    said: str = ''
    inside: bool = False
    top: str = ''
    branch: str = ''
    commit: str = ''
    shallow: bool = False
    tracked_ours: tuple[str, ...] = ()
    tracked_outputs: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    not_ignored: tuple[str, ...] = ()
    big_untracked: Mapping[str, int] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A folder of ours.  ``bytes`` and ``files``: as far as it was counted; ``all`` False: there is more."""

    path: str
    bytes: int = 0
    files: int = 0
    all: bool = True


@dataclass(frozen=True, slots=True)
class OwnFacts:
    """What lies under .mlops.  ``databases``: path -> what is wrong with it.  ``journals``: of commands that were killed.
    ``foreign``: (path, owner's number) of folders of ours that belong to somebody else.  ``ignore_lines``: lines that
    .mlops/.gitignore lacks.  ``schema``: whether the schema for editors is this version's, None where there is none.
    ``leftovers``: folders that killed commands worked in.
    ``trash``: what gc threw away and may be deleted by now.  ``gone``: projects that used this cache and are not there."""

    databases: Mapping[str, str] = field(default_factory=dict)
    journals: tuple[str, ...] = ()
    foreign: tuple[tuple[str, int], ...] = ()
    links: tuple[str, ...] = ()
    cache: Stored = Stored('')
    rescue: Stored = Stored('')
    failed: Stored = Stored('')
    quarantine: Stored = Stored('')
    ignore_lines: tuple[str, ...] = ()
    schema: bool | None = None
    trash: Stored = Stored('')
    gone: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageFacts:
    """``refused``: why it can never run on this machine.  ``unmeasured``: why nobody will know what it does with its GPUs.
    ``program``: the first program of its command that is not found.
    ``named``: folders in its command that it declares nowhere.  ``big``: output -> bytes.  ``locks``: (lock file, folder of
    the environment that is missing).  ``around``: (folder it reads, output in it, the stage that makes that).  ``pointers``:
    inputs that Git LFS has not brought.  ``future``: inputs of a time to come -> seconds ahead."""

    name: str
    where: str = ''
    unknown: tuple[str, ...] = ()
    refused: UserError | None = None
    unmeasured: str = ''
    program: str = ''
    named: tuple[str, ...] = ()
    big: Mapping[str, int] = field(default_factory=dict)
    locks: tuple[tuple[str, str], ...] = ()
    around: tuple[tuple[str, str, str], ...] = ()
    pointers: tuple[str, ...] = ()
    future: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What became of asking it.  ``problem``, ``hint``: why it did not ``reads`` or ``writes``, and what helps."""

    name: str
    url: str
    problem: str = ''
    hint: str = ''
    reads: bool = False
    writes: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """``project``: its folder, empty outside one.  ``errors``: why config or pipeline cannot be read.  ``nested``: pipeline
    files of other projects around or below.  ``damaged``: records that cannot be read.
    ``unconfirmed``: settings that came by git and lead out.  ``remotes``: None where nobody asked them."""

    here: str
    project: str = ''
    errors: tuple[UserError, ...] = ()
    around: str = ''
    included_by: str = ''
    dvc: bool = False
    unconfirmed: tuple[tuple[str, str], ...] = ()
    damaged: tuple[UserError, ...] = ()
    home: bool = True
    utf8: bool = True
    wsl: bool = False
    user: int = 0
    now: float = 0.0
    git: GitFacts = GitFacts()
    disks: tuple[Disk, ...] = ()
    own: OwnFacts = OwnFacts()
    stages: tuple[StageFacts, ...] = ()
    remotes: tuple[RemoteFacts, ...] | None = None
