"""What an error of the system means to a person, in words."""

from __future__ import annotations

import errno

from mlops_cli.core.errors import ExitCode, UserError

_ADVICE = {
    errno.ENOSPC: 'the disk is full (or out of inodes: see df -i): free some space',
    errno.EDQUOT: 'your disk quota is used up: free some space',
    errno.EIO: 'the disk reports an error: look at dmesg and at its health before you go on, then run: mlops verify',
    errno.EACCES: 'check who owns it and what its folder permits (ls -ld)',
    errno.EPERM: 'check who owns it and whether it is immutable (lsattr)',
    errno.EROFS: 'the file system is mounted read-only: use another folder, or mount it for writing',
    errno.EMFILE: 'too many open files: raise the limit with ulimit -n, or use fewer jobs',
    errno.ENFILE: 'the machine has too many open files: close something, then try again',
    errno.ENOLCK: 'this file system offers no locks: move the cache and the project to a local disk',
    errno.ESTALE: 'the network file system lost the file: mount it anew, then try again',
    errno.ENAMETOOLONG: 'use a shorter name or a folder nearer to the root',
    errno.EXDEV: 'both must be on one file system',
    errno.EBUSY: 'it is in use or a mount point: unmount it or choose another path',
    errno.ETXTBSY: 'it is a program that is running: end it, then try again',
    errno.EFBIG: 'the file is larger than the file system or ulimit -f permits',
}


def machine_error(error: OSError, doing: str) -> UserError:
    """The OSError as a sentence with the path and what to do, exit code 6.  ``doing``: as in 'cannot <doing>'."""
    paths = [str(path) for path in (error.filename, error.filename2) if path]
    place = f' {" -> ".join(paths)}:' if paths else ''
    reason = error.strerror or str(error)
    return UserError(f'cannot {doing}:{place} {reason}', exit_code=ExitCode.MACHINE,
                     hint=_ADVICE.get(error.errno or 0, 'check that the path exists and that the disk works, then try again'))
