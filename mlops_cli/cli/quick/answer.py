"""Answers at once, from the file of answers, where nothing that the answer depends on has changed (docs/formats/answers.md).

Called before anything is loaded: a prompt or a hook that asks for the status of a thousand stages waits for little more than
their stats.  Whatever is the least unusual goes the long way, and so does every change."""

from __future__ import annotations

import os
import stat
import sys
import time

from mlops_cli.cli.quick import compare, form
from mlops_cli.fsio import token

FLAGS = {
    'status': {'--exit-code': '', '--strict': '', '--verbose': 'v', '-v': 'v'},
    'plan': {'--exit-code': '', '--strict': '', '--verbose': 'v', '-v': 'v'},
    'run': {'--keep-going': '', '-k': ''},
}
WITH_NUMBER = ('-j', '--jobs')  # of run: how many at once makes no difference to nothing
OFF = 'MLOPS_QUICK'


def answer(arguments: list[str]) -> int | None:
    """The exit code, if it was answered; None: go the long way."""
    began = time.perf_counter()
    if not arguments or arguments[0] not in FLAGS or os.environ.get(OFF) == '0' or os.environ.get('MLOPS_DIRECTORY'):
        return None
    options = _options(arguments[0], arguments[1:])
    try:
        here = os.getcwd()
        project = _project(here)
        try:
            lines = _lines(project, arguments[0], options, here) if project else None
        finally:
            os.chdir(here)
    except OSError:
        return None
    return None if lines is None else _print(lines, began, arguments)


def _options(command: str, words: list[str]) -> str | None:
    """What of the options the answer depends on; None where there is anything else."""
    flags, found = FLAGS[command], ''
    waiting = iter(words)
    for word in waiting:
        if word in flags:
            found += flags[word]
        elif command == 'run' and word in WITH_NUMBER:
            if not next(waiting, '').isdecimal():
                return None
        elif not (command == 'run' and word.startswith('-j') and word[2:].isdecimal()):
            return None
    return 'v' if found else ''


def _project(here: str) -> str:
    """As cli.finding has it: the nearest folder with a pipeline.yaml; empty where there is none, or the long way knows more."""
    folder = here
    while not os.path.lexists(f'{folder}/pipeline.yaml'):
        if folder == os.path.dirname(folder):
            return ''
        folder = os.path.dirname(folder)
    return folder


def _lines(project: str, command: str, options: str | None, here: str) -> list[bytes] | None:
    """The page, if it still holds.  ``options`` None: there is none of these; it is only looked at what differs."""
    with open(form.open_own(project, form.FILE), 'rb') as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid() or not stat.S_ISREG(facts.st_mode) or facts.st_size > form.LIMIT:
            return None
        data = file.read()
    secret = token.read()
    parts = form.parts_of(secret, data)
    if parts is None:
        return None
    env, known, pages, start = parts
    named, files, same = (*known.split(b'\n', 2), b'', b'')[:3]
    here_and_now = form.environment(secret, frozenset(named.split()))
    if env[: form.DIGEST] != here_and_now or same != form.facts(project):
        return None
    lines = form.page(pages, form.key(command, options, project, here)) if options is not None else None
    if form.locked(project) or form.misplaced(project):
        return None
    decisive = frozenset(os.path.join(os.fsencode(project), file) for file in files.split(b'\0'))
    unchanged = compare.unchanged(data, start, decisive)
    compare.state, compare.learns = env[form.DIGEST :], options is not None
    return lines if unchanged else None


def _print(lines: list[bytes], began: float, arguments: list[str]) -> int:
    from mlops_cli.cli.terminal import colour, prepare, shows_marks

    prepare()
    plain = not colour(sys.stdout) and os.environ.get('GITHUB_ACTIONS') != 'true'  # whose commands it may not write
    try:
        for line in lines:
            text, word, style = form.in_words(line.decode('utf-8', 'surrogateescape'), began).split('\x1f')
            if plain and (text.isascii() or shows_marks(sys.stdout)):
                sys.stdout.write(f'{text}\n')
            else:
                from mlops_cli.cli.console import Line, out

                out(Line(text, word, style))
        sys.stdout.flush()
    except OSError as error:
        from mlops_cli.cli.failures import guarded

        problem = error

        def lost() -> int:
            raise problem

        return guarded(lost, arguments)
    return 0
