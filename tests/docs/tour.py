"""Replays the ``console`` blocks of a page: each ``$ command`` in one shell, in a copy of an example, under git.

``<!-- in: PLACE -->`` stands above such a block, ``<!-- file: PLACE PATH -->`` above one whose text is written to that file
when its turn comes, ``<!-- out: PLACE COMMAND -->`` above one that is what the command prints.  A command may go on in lines
that begin with ``> ``.  Ids of runs on the page stand for those of now; while a page is written, ``@1`` is the last run.

``python -m tests.docs.tour README.md`` writes what came out back into the page; the test compares instead.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.project import GIT

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r'(?m)^<!-- (?:in: (?P<place>\S+) -->\n```console|file: (?P<at>\S+) (?P<path>\S+) -->\n```\w*'
    r'|out: (?P<of>\S+) (?P<command>.+?) -->\n```\w*)\n(?P<text>.*?)^```$',
    re.DOTALL,
)
END = '--8<-- end of output'
RUN = re.compile(r'\bRun ([0-9a-z]{8})\.')


def blocks(page: str) -> Iterator[tuple[re.Match[str], str, list[tuple[str, str]]]]:
    """(match, place, [(command, output)...]) of each console block and, without steps, of each file."""
    for found in BLOCK.finditer(page):
        steps: list[tuple[str, str]] = [(found['command'], found['text'])] if found['of'] else []
        for line in found['text'].splitlines() if found['place'] else ():
            if line.startswith('$ '):
                steps.append((line[2:], ''))
            elif line.startswith('> ') and not steps[-1][1]:
                steps[-1] = (f'{steps[-1][0]}\n{line[2:]}', '')
            else:
                command, output = steps[-1]
                steps[-1] = (command, f'{output}{line}\n')
        yield found, found['place'] or found['at'] or found['of'], steps


class Shell:
    """A bash in a copy of an example (``examples/x``), or in an empty folder (``new/x``)."""

    def __init__(self, place: str, folder: Path) -> None:
        self.folder = folder / place.rpartition('/')[2]
        if place.startswith('examples/'):
            shutil.copytree(ROOT / place, self.folder, ignore=shutil.ignore_patterns('.mlops', '__pycache__', 'data', 'models'))
        else:
            self.folder.mkdir(parents=True)
        home = folder / 'home'
        home.mkdir(exist_ok=True)
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ['PATH']
        environ = {'PATH': path, 'HOME': str(home), 'LC_ALL': 'C.UTF-8', 'COLUMNS': '100', 'PYTHONDONTWRITEBYTECODE': '1',
                   'USER': 'ada', 'LOGNAME': 'ada', **GIT}
        self.process = subprocess.Popen(['bash', '--norc', '-s'], cwd=self.folder, env=environ, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.run('git init -q -b main . && git add -A && git commit -q --allow-empty -m start')

    def write(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def run(self, command: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f'{command}\necho "{END}"\n')
        self.process.stdin.flush()
        lines = []
        while not (line := self.process.stdout.readline()).endswith(f'{END}\n'):
            assert line, f'the shell ended in: {command}'
            lines.append(line.rstrip() + '\n')
        if rest := line.removesuffix(f'{END}\n'):  # a file without a last line feed
            lines.append(f'{rest}\n')
        text = ''.join(lines).replace(os.path.dirname(sys.executable), '/home/ada/venv/bin')
        return text.replace(str(self.folder.parent), '/home/ada')

    def close(self) -> None:
        self.process.communicate()


class Runs:
    """What runs are called on the page, and what here."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.known: dict[str, str] = {}

    def command(self, text: str) -> str:
        text = re.sub(r'(?<=\s)@(\d)\b', lambda found: self.here[-int(found[1])], text)
        return re.sub(r'\b[0-9a-z]{8}\b', lambda found: self.known.get(found[0], found[0]), text)

    def heard(self, old: str, new: str) -> None:
        self.here += RUN.findall(new)
        self.known |= dict(zip(RUN.findall(old), RUN.findall(new), strict=False))


def replay(page: str) -> Iterator[tuple[re.Match[str], list[tuple[str, str, str]]]]:
    """(match, [(command, output on the page, output now)...]) of each block; blocks with one place share a shell."""
    runs = Runs()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shells: dict[str, Shell] = {}
        try:
            for found, place, steps in blocks(page):
                if place not in shells:
                    shells[place] = Shell(place, Path(folder) / str(len(shells)))
                if found['path']:
                    shells[place].write(found['path'], found['text'])
                else:
                    yield found, [_step(shells[place], runs, command, old) for command, old in steps]
        finally:
            for shell in shells.values():
                shell.close()


def _step(shell: Shell, runs: Runs, command: str, old: str) -> tuple[str, str, str]:
    command = runs.command(command)
    new = shell.run(command)
    runs.heard(old, new)
    return command, old, new


def same(old: str, new: str) -> bool:
    """Equal but for what differs from machine to machine: numbers, ids, order of parallel stages, columns."""
    def plain(text: str) -> list[str]:
        text = re.sub(r'\b([Rr]un|apply|show|attach|cancel|keep|kept|accept|the last) +[0-9a-z]{8}\b', 'ID', text)
        text = re.sub(r'\bcommit +[0-9a-f]{7}\b|(?<=\()[0-9a-f]{7}(?=\))|[0-9a-f]{8,64}', 'ID', text)
        text = re.sub(r'(?m)^  (?!restored)[0-9a-z]{8}(?=  )', '  ID', text)  # a row of runs list
        text = re.sub(r'[0-9]+(?:m[0-9]{2}s|[.,:][0-9]+)*', '#', text)
        text = re.sub(r'\b[kMG]?B\b', 'B', text)
        text = re.sub(r'(about |[~<])?#s?((?: to |-)#s)?', '#', text)  # a guess is a span where stages took different times
        text = re.sub(r'#(, #)+', '#', text.replace(' (# of work)', ''))
        return sorted(' '.join(line.split()) for line in text.splitlines())
    return plain(old) == plain(new)


def typed(command: str) -> str:
    """A command as it stands on a page."""
    return command.replace('\n', '\n> ')


def rewritten(page: str) -> str:
    """The page with what the commands print now."""
    parts, at = [], 0
    for found, steps in replay(page):
        text = ''.join(new if found['of'] else f'$ {typed(command)}\n{new}' for command, _, new in steps)
        parts += [page[at:found.start('text')], text]
        at = found.end('text')
    return ''.join([*parts, page[at:]])


if __name__ == '__main__':
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(rewritten(path.read_text()))
