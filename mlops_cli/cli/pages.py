"""Files that a command writes because the user named them: pages and pictures.  What somebody else made is never replaced."""

from __future__ import annotations

import os

from mlops_cli.cli.console import Line, say
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root

HEAD = 4096  # bytes in which the mark stands


def replace_ours(project: Root, target: str, text: str, mark: bytes) -> int:
    """Writes a file; one that stands there is replaced only if it begins with ``mark``, as ours do.  How many bytes it has.

    Raises UserError (exit 5) for a file of somebody else's, OSError."""
    folder, name = os.path.split(os.path.abspath(target))
    if not name or os.path.isdir(target):
        raise UserError(f'{target} is a folder', hint=f'name a file, as {os.path.join(target, "plots.html")}')
    with _folder(project, folder) as root:
        facts = root.stat(name)
        if facts is not None:
            with open(root.open(name), 'rb') as file:
                head = file.read(HEAD)
            if mark not in head:
                raise UserError(
                    f'{target} is there already, and mlops did not make it',
                    exit_code=ExitCode.REFUSED,
                    hint='name another file, or remove it',
                )
        data = text.encode('utf-8', 'replace')
        write_file(root, name, data)
    return len(data)


def _folder(project: Root, path: str) -> Root:
    """The folder, made where it is not there; inside the project no link is followed, since a branch may bring them.

    Raises UserError (exit 5) for a link, OSError."""
    above, below = path, ''
    inside = os.path.relpath(path, project.path)
    if inside != '..' and not inside.startswith('../'):
        above, below = project.path, '' if inside == '.' else inside
    while not os.path.isdir(above):
        above, name = os.path.split(above)
        below = f'{name}/{below}' if below else name
    root = Root(above)
    if not below:
        return root
    with root:
        return root.sub(below, create=True)


def open_page(target: str) -> None:
    """Shows it in the browser of whoever asked; where there is none, says where it is."""
    import webbrowser
    from pathlib import Path

    address = Path(os.path.abspath(target)).as_uri()
    if not webbrowser.open(address):
        say(Line(f'note: no browser to be found here; open {address}', 'note:'))
