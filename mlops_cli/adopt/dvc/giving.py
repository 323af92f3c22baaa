"""Contents into DVC's cache, for what is exported: shared with ours where that is possible, else copied."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from mlops_cli.adopt.dvc.hashes import Hashes, folder_bytes
from mlops_cli.adopt.dvc.objects import places
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio import ops, temporaries
from mlops_cli.fsio.paths import Root
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import tree
from mlops_cli.store.shelf import object_path

_NO_LINK = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP))


@dataclass
class Given:
    linked: int = 0
    copied: int = 0
    present: int = 0


def give(bench: Workbench, hashes: Hashes, cache: str, paths: Iterable[str]) -> Given:
    """Puts what lies at the paths into DVC's cache.  Raises UserError, OSError."""
    given = Given()
    os.makedirs(cache, exist_ok=True)
    with Root(cache) as theirs:
        for path in paths:
            ref = bench.workspace.ref(path, ignore=False)
            value = hashes.of(path, 'md5')
            if ref is None or not value:
                continue
            if ref.kind != 'tree':
                _one(bench, theirs, value, ref, path, given)
                continue
            rows = hashes.rows(path, 'md5')
            nodes = bench.workspace.nodes(path, ignore=False)
            refs = {rel: entry for rel, entry in tree.walk(ref, nodes.__getitem__) if entry.kind in ('file', 'exec')}
            for rel, md5 in rows:
                entry = refs.get(rel)
                if entry is None:
                    raise UserError(f'{path}/{rel} is a link, which has no content of its own for DVC')
                _one(bench, theirs, md5, entry.ref, f'{path}/{rel}', given)
            _put(theirs, value, folder_bytes(rows), given)
    return given


def _one(bench: Workbench, theirs: Root, md5: str, ref: ObjectRef, path: str, given: Given) -> None:
    target = places(md5, 'md5')[0]
    if theirs.stat(target) is not None:
        given.present += 1
        return
    temporary = _begin(theirs, target)
    if bench.store.stat(ref.digest) is not None and not bench.store.is_pending(ref.digest):
        try:
            ops.link(object_path(ref.digest), temporary, src_dir_fd=bench.store.root.fd, dst_dir_fd=theirs.fd)
            ops.rename(temporary, target, src_dir_fd=theirs.fd, dst_dir_fd=theirs.fd)
            given.linked += 1
            return
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
    source = bench.workspace.open(path)
    fd = ops.open_new(temporary, 0o444, dir_fd=theirs.fd)
    try:
        if not ops.reflink(source, fd):
            while chunk := os.read(source, 1 << 20):
                ops.write(fd, chunk)
        ops.fchmod(fd, 0o444)
    finally:
        os.close(fd)
        os.close(source)
    ops.rename(temporary, target, src_dir_fd=theirs.fd, dst_dir_fd=theirs.fd)
    given.copied += 1


def _put(theirs: Root, name: str, data: bytes, given: Given) -> None:
    target = places(name, 'md5')[0]
    if theirs.stat(target) is not None:
        given.present += 1
        return
    temporary = _begin(theirs, target)
    fd = ops.open_new(temporary, 0o444, dir_fd=theirs.fd)
    try:
        ops.write(fd, data)
        ops.fchmod(fd, 0o444)
    finally:
        os.close(fd)
    ops.rename(temporary, target, src_dir_fd=theirs.fd, dst_dir_fd=theirs.fd)
    given.copied += 1


def _begin(theirs: Root, target: str) -> str:
    folder = target.rpartition('/')[0]
    theirs.makedirs(folder)
    return f'{folder}/{temporaries.new_name()}'
