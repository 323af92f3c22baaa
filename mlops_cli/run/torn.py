"""What a power cut left of content that is in the store: told from what somebody wrote by what is in it (docs/decisions/0029).

Of a file whose data had not reached the medium, blocks may be missing at its end, or zero.  A file that is nothing but that
holds no byte that the store has not; as long as nobody has touched it since the machine was started, nobody made it so."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import boots, ops
from mlops_cli.fsio.paths import Root
from mlops_cli.store.local import LocalStore
from mlops_cli.store.objects import Damaged, MissingObject

BLOCK = 512  # bytes that a medium writes as one, at the least
_AT_ONCE = 1 << 20


def is_torn(root: Root, path: str, store: LocalStore, contents: Iterable[ObjectRef]) -> bool:
    """Whether a file is what was left of one of the contents, and was last touched before this machine was started.

    Raises OSError."""
    facts = root.stat(path)
    if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_ctime >= boots.began():
        return False
    return any(_is_left_of(root, path, facts.st_size, store, ref.digest) for ref in contents if ref.kind != 'tree')


def _is_left_of(root: Root, path: str, size: int, store: LocalStore, digest: Digest) -> bool:
    try:
        whole, held = store.open(digest)
    except (MissingObject, Damaged):
        return False
    try:
        if size > held.st_size:
            return False
        file = root.open(path)
        try:
            return _is_part(file, whole)
        finally:
            os.close(file)
    except UserError:  # a link on the way, by now
        return False
    finally:
        os.close(whole)


def _read(fd: int, count: int) -> bytes:
    with ops.Naming(fd):
        return os.read(fd, count)


def _is_part(file: int, whole: int) -> bool:
    """Whether each block is as in the whole, or zero."""
    while part := _read(file, _AT_ONCE):
        other = _read(whole, len(part))
        if len(other) < len(part):
            return False
        if part != other and any(_differ(part[at:at + BLOCK], other[at:at + BLOCK]) for at in range(0, len(part), BLOCK)):
            return False
    return True


def _differ(block: bytes, other: bytes) -> bool:
    return block != other and any(block)
