"""The user's own secret, by which what is kept on this machine is told from what a branch or an archive brought along.  Loads
next to nothing: answers at once are read before anything else is."""
from __future__ import annotations

import os

TYPE_CHECKING = False  # as that of typing, which takes longer to load than this
if TYPE_CHECKING:
    from collections.abc import Mapping

SIZE = 32  # bytes


def path(environ: Mapping[str, str]) -> str:
    """Where it is; empty where there is no place for it."""
    home = environ.get('XDG_CACHE_HOME') or (f'{environ["HOME"]}/.cache' if environ.get('HOME') else '')
    return f'{home}/mlops/answers-token' if home.startswith('/') else ''


def read(environ: Mapping[str, str] = os.environ) -> bytes:
    """The secret.  Raises OSError where there is none that is the user's alone."""
    with open(os.open(path(environ), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid() or facts.st_mode & 0o170077 != 0o100000 or facts.st_size != SIZE:
            raise FileNotFoundError(path(environ))
        return file.read(SIZE)


def made(environ: Mapping[str, str] = os.environ) -> bytes:
    """The secret, made where there is none.  Raises OSError, UserError for a link in its place."""
    try:
        return read(environ)
    except FileNotFoundError:
        pass
    folder, name = os.path.split(path(environ))
    if not folder:
        raise FileNotFoundError('no folder of the user for a token')
    from mlops_cli.fsio.atomic import write_file
    from mlops_cli.fsio.paths import Root

    top = folder = os.path.realpath(folder)  # of the user's own, who may have put it on another disk
    while not os.path.isdir(top):
        top = os.path.dirname(top)
    with Root(top) as there:
        if folder != top:
            there.makedirs(os.path.relpath(folder, top), mode=0o700)
        write_file(there, os.path.relpath(f'{folder}/{name}', top), os.urandom(SIZE), 0o600, durable=False)
    return read(environ)
