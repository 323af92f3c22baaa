"""Keeps beside the answers what is known of each stage, so that after an edit only the stages that it concerns are looked at
(docs/formats/settled.md)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from mlops_cli.cli.quick import compare
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import inside
from mlops_cli.fingerprint.index import Moment
from mlops_cli.fsio import token
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.model import Plan
from mlops_cli.records.pins import Pins
from mlops_cli.run import settled
from mlops_cli.run.workbench import Workbench

MAGIC = b'mlops settled 1\n'
FILE = '.mlops/local/settled-v1'
LIMIT = 1 << 28  # bytes
SEAL = 32  # bytes


def write(
    bench: Workbench,
    plan: Plan,
    identity: bytes,
    decisive: Sequence[str],
    listed: Iterable[str],
    links: Iterable[str],
    moment: Moment,
) -> None:
    """``identity``: of the file of answers about the same state.  ``listed``: absolute paths of folders of which the names
    count.  ``links``: of links that were looked at.  ``moment``: the clock before anything was looked at.

    Raises OSError, UserError."""
    around = '' if bench.describer.asked_git else git_folder(bench.root.path)
    top = bench.root.path
    real = os.path.realpath(top)
    leads = {path: os.path.relpath(os.path.realpath(path), real) for path in links if inside(path, top)}
    within = {os.path.relpath(path, top): target for path, target in leads.items()}
    listings = _listings(top, listed, moment)
    data = settled.encode(plan, bench.drafts, bench.pipeline.stages, bench.pins, decisive, around, listings, within)
    write_file(bench.root, FILE, b''.join((MAGIC, _seal(top, identity, data), data)), 0o600, durable=False)


def _listings(top: str, listed: Iterable[str], moment: Moment) -> dict[str, bytes]:
    found = {}
    for path in listed:
        rel = os.path.relpath(path, top) if inside(path, top) else ''
        if rel and not inside(rel, layout.ROOT) and os.path.isdir(path):
            names = settled.listing(path)
            if names is not None and moment.settled(os.lstat(path)):  # nothing came or went since it was looked at
                found[rel] = names
    return found


def read(project: str, cache: str, pins: Pins) -> settled.Settled | None:
    """What is known of the stages that none of the changes concerns which were found on the way here; None for nothing."""
    if compare.changed is None or not compare.state or (compare.learns and not compare.changed):
        return None  # with nothing changed, this command is one of which there is no answer yet
    with suppress(OSError, UserError), Root(project) as root:
        data = read_file(root, FILE, LIMIT)
        start = len(MAGIC) + SEAL
        body = memoryview(data)[start:]
        if data.startswith(MAGIC) and data[len(MAGIC) : start] == _seal(project, compare.state, body):
            return settled.decode(body, project, cache, compare.changed, pins)
    return None


def _seal(project: str, identity: bytes, data: bytes | memoryview) -> bytes:
    """Nobody without the user's token can write what is believed.  Raises OSError."""
    from _blake2 import blake2b

    mac = blake2b(key=token.read(), digest_size=SEAL, person=b'mlops settled')
    mac.update(identity + os.fsencode(project) + b'\0')
    mac.update(data)
    return bytes(mac.digest())


def git_folder(project: str) -> str:
    """The ``.git`` of a project; empty outside a repository."""
    folder = project
    while not os.path.lexists(path := os.path.join(folder, '.git')):
        if folder == os.path.dirname(folder):
            return ''
        folder = os.path.dirname(folder)
    return path
