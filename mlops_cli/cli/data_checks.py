"""What the checks of data share: files they read and the reports they write."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.checks.tables import at_revision
from mlops_cli.cli.console import Line, one_line, say
from mlops_cli.cli.finding import find_project
from mlops_cli.cli.opening import open_named
from mlops_cli.cli.pages import replace_ours
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural, show_size
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root

if TYPE_CHECKING:
    from mlops_cli.report.data_report import Picture

LIMIT = 16 << 20  # bytes of a contract or a baseline
REPORTS = ('.html', '.json', '.md')


def opened(path: str, what: str = 'a table') -> int:
    """A descriptor of a regular file, here or, as ``FILE@REV``, at a git revision.  Raises UserError."""
    if at_revision(path)[1]:
        from mlops_cli.cli import revised  # few name one

        return revised.opened(path)
    try:
        fd = open_named(path)
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}', hint=f'looked in {os.getcwd()}') from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UserError(f'{path} is not a regular file', exit_code=ExitCode.REFUSED, hint=f'name {what}')
    return fd


def commits_of(*words: str) -> dict[str, str]:
    """Of the words that name a file at a revision: the commit that was."""
    named = [word for word in words if at_revision(word)[1]]
    if not named:
        return {}
    from mlops_cli.cli import revised

    return {word: revised.commit_of(word) for word in named}


def commit_lines(commits: Mapping[str, str]) -> Iterator[str]:
    """For people: what a revision named when it was read."""
    return (f'  {one_line(word)} is of commit {commit[:12]}' for word, commit in commits.items())


def read_small(path: str, what: str) -> bytes:
    with open(opened(path, what), 'rb') as file:
        data = file.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise UserError(f'{path} has more than {LIMIT >> 20} MiB', hint=f'name {what}')
    return data


def write_new(path: str, text: str) -> None:
    """A file for a person to keep: none that is there is replaced.  Raises UserError (exit 5), OSError."""
    if at_revision(path)[1]:
        raise UserError(f'{path} is a file at a revision, and no place to write to', hint='name a file without @')
    if os.path.lexists(path):
        raise UserError(f'{path} is there already', exit_code=ExitCode.REFUSED, hint='name another file, or remove it')
    folder, name = os.path.split(os.path.abspath(path))
    with Root(folder) as root:
        write_file(root, name, text.encode())


def refuse_outputs(paths: Sequence[str]) -> None:
    for path in paths:
        if os.path.splitext(path)[1].lower() not in REPORTS:
            raise UserError(f'--output {path}: no kind of report', hint=f'what ends with {", ".join(REPORTS)}')


def write_reports(
    paths: Sequence[str],
    document: dict[str, Any],
    title: str,
    verdict: str,
    table: tuple[Sequence[str], Sequence[Sequence[str]]],
    pictures: Callable[[], Sequence[Picture]],
) -> None:
    """``pictures`` is asked only if there is a page.  Raises UserError, OSError."""
    if not paths:
        return
    from mlops_cli.report import data_report as made

    write_made(paths, document, {
        '.html': lambda: made.html(title, verdict, document['passed'], *table, pictures()),
        '.md': lambda: made.markdown(title, verdict, *table),
    })  # fmt: skip


def write_made(paths: Sequence[str], document: dict[str, Any], makers: Mapping[str, Callable[[], str]]) -> None:
    """``makers``: how a kind of report other than JSON is made.  Raises UserError, OSError."""
    if not paths:
        return
    from mlops_cli.report import data_report as made

    marks = {'.html': made.MADE, '.md': made.MARK, '.json': f'"{document["schema"]}"'}
    with Root(os.path.realpath(find_project(os.getcwd()) or os.getcwd())) as project:
        for path in paths:
            kind = os.path.splitext(path)[1].lower()
            text = json.dumps(document, indent=1, ensure_ascii=True) + '\n' if kind == '.json' else makers[kind]()
            size = replace_ours(project, path, text, marks[kind].encode())
            say(Line(f'  wrote     {one_line(path)}, {show_size(size)}'))


def examples(found: Sequence[tuple[int | None, str]], broken: int) -> str:
    """Of the rows that break a rule."""
    told = ', '.join(text if row is None else f'row {row:,}: {text or "(nothing)"}' for row, text in found)
    return told if broken <= len(found) or not found else f'{told}, and {plural(broken - len(found), "more", "more")}'
