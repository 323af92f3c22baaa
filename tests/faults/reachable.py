"""What a cache must keep, found the slow way: a model to judge gc by, which shares no code with it.

Commits and trees of git are parsed here from their raw objects, reflogs and heads are read as files, records as plain JSON,
nodes of stored folders as lines.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

Ask = subprocess.Popen[bytes]


class Git:
    """The raw objects of one repository.  ``common``: its git folder, shared by all worktrees."""

    def __init__(self, top: Path, environ: dict[str, str]) -> None:
        self.top, self.environ = top, environ
        self.common = top / '.git'
        self._process = subprocess.Popen(['git', 'cat-file', '--batch'], cwd=top, env=environ, stdin=-1, stdout=-1)
        self._known: dict[str, tuple[str, bytes]] = {}

    def close(self) -> None:
        self._process.communicate()

    def read(self, name: str) -> tuple[str, bytes]:
        """(type, content); ('', b'') for what is not there."""
        if name not in self._known:
            process = self._process
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(name.encode() + b'\n')
            process.stdin.flush()
            head = process.stdout.readline().split()
            if len(head) != 3:
                return '', b''
            self._known[name] = head[1].decode(), process.stdout.read(int(head[2]))
            process.stdout.read(1)
        return self._known[name]

    def starts(self) -> set[str]:
        """Whatever any ref, head or reflog names."""
        listed = subprocess.run(['git', 'show-ref', '--head'], cwd=self.top, env=self.environ, capture_output=True, check=False)
        found = {line.split()[0].decode() for line in listed.stdout.splitlines()}
        for folder in (self.common, *(self.common / 'worktrees').glob('*')):
            head = (folder / 'HEAD').read_text().strip()
            if not head.startswith('ref:'):
                found.add(head)
            for log in (folder / 'logs').rglob('*'):
                if log.is_file():
                    found |= {word for line in log.read_text().splitlines() for word in line.split()[:2]}
        return {name for name in found if name.strip('0')}

    def commits(self) -> set[str]:
        """All that they lead to."""
        waiting, found = [*self.starts()], set[str]()
        while waiting:
            name = waiting.pop()
            kind, content = self.read(name)
            if kind == 'tag':
                waiting.append(content.split()[1].decode())
            elif kind == 'commit' and name not in found:
                found.add(name)
                head = content.partition(b'\n\n')[0].splitlines()
                waiting += [line.split()[1].decode() for line in head if line.startswith(b'parent ')]
        return found

    def records(self) -> dict[tuple[str, bytes], None]:
        """(path, content) of everything below a ``.mlops`` in any of them, and in any index."""
        found: dict[tuple[str, bytes], None] = {}
        for commit in self.commits():
            tree = self.read(commit)[1].split()[1].decode()
            self._walk(tree, '', found)
        for place in self.worktrees():
            index = ['git', 'ls-files', '-s', '-z']
            listed = subprocess.run(index, cwd=place, env=self.environ, capture_output=True, check=True).stdout
            for row in listed.split(b'\0')[:-1]:
                facts, _, path = row.partition(b'\t')
                if b'.mlops/' in path:
                    found[path.decode(), self.read(facts.split()[1].decode())[1]] = None
        return found

    def _walk(self, tree: str, path: str, found: dict[tuple[str, bytes], None]) -> None:
        content = self.read(tree)[1]
        while content:
            head, _, rest = content.partition(b'\0')
            mode, _, name = head.partition(b' ')
            blob, content = rest[:20].hex(), rest[20:]
            below = f'{path}{name.decode()}'
            if mode == b'40000':
                self._walk(blob, f'{below}/', found)
            elif '.mlops/' in below:
                found[below, self.read(blob)[1]] = None

    def worktrees(self) -> list[Path]:
        """Their folders, as far as they are there."""
        found = [self.top]
        for pointer in (self.common / 'worktrees').glob('*/gitdir'):
            place = Path(pointer.read_text().strip()).parent
            found += [place] if place.is_dir() else []
        return found


class Model:
    """``objects``: hex digests of what must stay.  ``cache``: its folder; what it holds is read before gc has been there."""

    def __init__(self, cache: Path, now: float) -> None:
        self.cache, self.now = cache, now
        self.objects: set[str] = set()
        self._runs: dict[str, dict[str, Any]] = {}
        self._kept: set[str] = set()
        self._pairs: set[tuple[str, str]] = set()

    def take(self, path: str, content: bytes) -> None:
        """One record."""
        part = path.partition('.mlops/')[2]
        if part.startswith('kept/'):
            self._kept.add(part[5:].partition('~')[0])
        if not content or not part.endswith('.json'):
            return
        found = json.loads(content)
        if part.startswith('stages/'):
            key = next(row[2] for row in found if row[1] == 'key').partition(':')[2]
            for row in found:
                if row[1] == 'out':
                    self._ref(row[3], row[4])
            self._pairs.add((key, ''))
        elif part.startswith('data/'):
            self._ref(found['ref'][0], found['ref'][1])
        elif part.startswith('runs/'):
            self._runs[found['id']] = found

    def settle(self) -> set[str]:
        """What must stay, once all records are known."""
        for run_id, run in self._runs.items():
            whole = run_id in self._kept or run_id >= self._limit()
            for row in run['stages']:
                for entry in self._entries(row[2], row[3]):
                    names = ['manifest', 'sources', *(['log'] if whole else [])]
                    refs = [entry[name] for name in names if entry[name] and isinstance(entry[name][0], str)]  # not its rows
                    refs += [output[1:] for output in entry['outputs']] if whole else []
                    for kind, digest, _ in refs:
                        self._ref(kind, digest)
        return self.objects

    def _limit(self) -> str:
        import time

        return time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self.now - 30 * 86_400))

    def _entries(self, key: str, outs8: str) -> list[dict[str, list[list[str]]]]:
        folder = self.cache / 'results-v1' / key[:2]
        return [json.loads(path.read_bytes()) for path in folder.glob(f'{key}-{outs8}*.json')] if key else []

    def _ref(self, kind: str, digest: str) -> None:
        name = digest.partition(':')[2]
        if name in self.objects and kind != 'tree':
            return
        self.objects.add(name)
        if kind == 'tree':
            path = self.cache / 'objects-v1' / name[:2] / name[2:]
            for line in path.read_text().splitlines()[1:] if path.exists() else ():
                row = json.loads(line)
                if row[1] != 'link':
                    self._ref('tree' if row[1] == 'dir' else 'file', row[2])


def reachable(git: Git, places: list[Path], cache: Path, now: float) -> set[str]:
    """Hex digests of all that the records of a repository, and of these folders as they lie there, need."""
    model = Model(cache, now)
    for path, content in git.records():
        model.take(path, content)
    for place in places:
        for record in sorted((place / '.mlops').rglob('*')):
            below = record.relative_to(place).as_posix()
            if record.is_file() and not below.startswith(('.mlops/cache/', '.mlops/local/')) and record.suffix == '.json':
                model.take(below, record.read_bytes())
    return model.settle()
