"""Large parts written into the memory that the system keeps of files, a little at a time.

Given much at once, Linux takes large pieces of memory for it.  Of those hardly one was in use a moment before; on a virtual
machine they have to come from the host then, which took 5 to 10 times as long as the writing (docs/decisions/0064)."""

from __future__ import annotations

from mlops_cli.fsio import ops

PIECE = 64 << 10  # bytes


def write(fd: int, part: bytes | memoryview) -> None:
    """All of a part.  Raises OSError; then some may be written."""
    if len(part) <= PIECE:
        ops.write(fd, part)
        return
    with memoryview(part) as whole:
        for start in range(0, len(whole), PIECE):
            ops.write(fd, whole[start : start + PIECE])
