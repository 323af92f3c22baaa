"""Which remotes and hosts that came with a branch this person has confirmed, in this clone (docs/formats/trust.md).

A branch can say where results are sent, and so anybody can who may push to it.  What stands in ``.mlops/config.yaml`` is
therefore used only after somebody here has looked at it; a changed entry is another one.  What a person wrote into a file of
their own needs no confirmation.
"""

from __future__ import annotations

import os
from typing import Any

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes, document
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.records.config import HOSTS, REMOTES, Setting
from mlops_cli.records.destinations import Destination
from mlops_cli.records.files import prepare_local, read_object, read_small

SCHEMA = 'mlops/trust/v1'
LIMIT = 1 << 20  # bytes
WAIT_SECONDS = 10.0
LINK = 'link'
KINDS = {REMOTES: 'remote', HOSTS: 'host'}


@dataclass(frozen=True, slots=True)
class Place:
    """From where tracked data comes, or where it lies."""

    leads_to: str

    def to_json(self) -> dict[str, Any]:
        return {'place': self.leads_to}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is confirmed: a remote or host by that name which leads there, a place from which data comes, or a link to some."""

    kind: str
    name: str
    value: Destination | Place

    @property
    def digest(self) -> str:
        """Stands for where it leads; its description may change."""
        found: dict[str, Any] = {key: value for key, value in self.value.to_json().items() if key not in ('desc', 'price')}
        return digest_of(b'mlops trust-v1\n' + canonical_bytes([self.kind, self.name, found])).hex


def subject_of(setting: Setting) -> Subject:
    """Of a setting that leads out."""
    outer, _, name = setting.name.partition('.')
    return Subject(KINDS[outer], name, setting.value)


def source_at(place: str) -> Subject:
    """``place``: as records.origin has it of a source.  Who imports from there means it; to others it comes with git."""
    return Subject('source', place, Place(place))


def link_at(path: str, target: str) -> Subject:
    """A link at a path of the project to data that lies elsewhere."""
    return Subject(LINK, path, Place(target))


def links(root: Root) -> dict[str, str]:
    """Path -> where it leads, of the links that were confirmed here; none where the record itself came with a branch or is
    damaged.  Raises OSError."""
    try:
        entries = _read(root) if f'"{LINK}.'.encode() in read_small(root, layout.TRUST, LIMIT) else {}
    except (FileNotFoundError, UserError):
        return {}
    found = {}
    for name, entry in entries.items():
        kind, _, path = name.partition('.')
        target = entry.get('leads_to')
        known = kind == LINK and isinstance(target, str) and os.path.isabs(target)
        if known and link_at(path, target).digest == entry.get('digest'):
            found[path] = target
    return found


def needs_confirmation(root: Root, setting: Setting) -> bool:
    """Whether it came with a branch and nobody here has confirmed it as it now is.  Raises as confirmed."""
    return setting.leads_out and setting.came_by_git and not confirmed(root, subject_of(setting))


def confirmed(root: Root, subject: Subject) -> bool:
    """Raises UserError (exit 5) for a record that itself came with a branch or is damaged; OSError."""
    found = _read(root).get(f'{subject.kind}.{subject.name}')
    return found is not None and found.get('digest') == subject.digest


def confirm(root: Root, subject: Subject, now: float) -> None:
    """``now``: seconds since 1970.  Raises as confirmed, and LockTimeout."""
    prepare_local(root)
    with LockFile(layout.LOCKS, root=root) as locks, locks.holding('trust', timeout=WAIT_SECONDS):
        entries = {
            **_read(root),
            f'{subject.kind}.{subject.name}': {
                'digest': subject.digest,
                'leads_to': subject.value.leads_to,
                'confirmed': iso(now),
            },
        }
        write_file(root, layout.TRUST, document({'schema': SCHEMA, 'entries': entries}), 0o600)


def _read(root: Root) -> dict[str, Any]:
    try:
        data = read_small(root, layout.TRUST, LIMIT)
    except FileNotFoundError:
        return {}
    if git.tracked(root.path, [layout.TRUST]):
        raise UserError(
            f'{layout.TRUST} is tracked by git: who committed it has confirmed things in your place',
            where=Where(layout.TRUST),
            hint=f'git rm --cached {layout.TRUST}, delete it, and look at what mlops config list says',
            exit_code=ExitCode.REFUSED,
        )
    try:
        entries = read_object(data, layout.TRUST, 'record of what was confirmed', SCHEMA).get('entries')
    except UserError as error:
        raise UserError(error.message, where=error.where, hint=f'delete {layout.TRUST}, and confirm again') from error
    good = isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values())
    return dict(entries) if isinstance(entries, dict) and good else {}
