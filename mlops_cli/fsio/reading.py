"""Many small files of one folder, each read with as few calls of the kernel as there can be."""
from __future__ import annotations

import os
import stat

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
LARGEST = 64 << 10  # bytes


def read_plain(folder: int, name: str) -> bytes | None:
    """The content of a small regular file.  ``folder``: descriptor of the folder that it lies in.

    None where it is anything else, or is not there: then atomic.read_file says what it is."""
    try:
        fd = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST:
            return None
        data = os.read(fd, facts.st_size + 1)
        return data if len(data) == facts.st_size else None
    except OSError:
        return None
    finally:
        os.close(fd)
