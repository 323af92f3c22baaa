"""DVC's run cache: what its stages made of earlier states, as further results.  Only what is whole in DVC's cache counts."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from mlops_cli.adopt.dvc import yaml12
from mlops_cli.adopt.dvc.hashes import Hashes
from mlops_cli.adopt.dvc.objects import Cache, Taking
from mlops_cli.adopt.dvc.recorded import locked
from mlops_cli.adopt.dvc.stages import Locked, Stage
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.fsio.atomic import read_file
from mlops_cli.run.accept import Author
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import manifests
from mlops_cli.store.results import ResultEntry

RUNS = 'runs'
LIMIT = 1 << 20  # bytes of an entry
MOST = 50_000  # entries that are looked at


class Earlier:
    """The entries of a run cache by what they made, each read once."""

    def __init__(self, cache: Cache, hashes: Hashes) -> None:
        self.cache, self.hashes = cache, hashes
        self._known: dict[tuple[str, ...], list[tuple[yaml12.Loaded, float]]] | None = None

    def _entries(self, stage: Stage) -> list[tuple[yaml12.Loaded, float]]:
        if self._known is None:
            self._known = {}
            for rel, written in self._files():
                try:
                    loaded = yaml12.read(read_file(self.cache.root, rel, LIMIT), f'{RUNS} of DVC', places=False)  # type: ignore[arg-type]
                except (OSError, UserError):
                    continue  # as DVC, which takes such an entry for none
                if isinstance(loaded.value, dict) and isinstance(loaded.value.get('cmd'), str | list):
                    self._known.setdefault(_made(loaded.value.get('outs')), []).append((loaded, written))
        outs = [{'path': posixpath.relpath(out.path.path, stage.wdir)} for out in stage.outs if out.path.path is not None]
        return self._known.get(_made(outs), [])

    def _files(self) -> list[tuple[str, float]]:
        root = self.cache.root
        if root is None or root.stat(RUNS) is None:
            return []
        found: list[tuple[str, float]] = []
        for above in root.scandir(RUNS):
            for key in root.scandir(f'{RUNS}/{above.name}') if above.is_dir() else ():
                folder = f'{RUNS}/{above.name}/{key.name}'
                for entry in root.scandir(folder, stats=True) if key.is_dir() else ():
                    if entry.is_file():
                        found.append((f'{folder}/{entry.name}', entry.stat().st_mtime))
                        if len(found) >= MOST:
                            return found
        return found

    def take(self, bench: Workbench, taking: Taking, stage: Stage, draft: Draft, author: Author) -> int:
        """Results of earlier states of a stage; how many are new.  Raises UserError, OSError."""
        if stage.frozen or stage.always_changed or stage.callback or any(hole.pattern for hole in draft.holes):
            return 0
        count = 0
        for loaded, written in self._entries(stage):
            try:
                run = locked(loaded, (), stage.key, loaded.value, stage.wdir)
            except UserError:
                continue
            count += self._one(bench, taking, stage, draft, run, written, author)
        return count

    def _one(self, bench: Workbench, taking: Taking, stage: Stage, draft: Draft, run: Locked, written: float,
             author: Author) -> int:  # fmt: skip
        if run.outs.keys() != {out.path.path for out in stage.outs} or run.deps.keys() != {dep.path for dep in stage.deps}:
            return 0
        manifest = self._manifest(taking, stage, draft, run)
        if manifest is None or any(not entry.suspect for entry in bench.results.lookup(manifest.digest)):
            return 0
        outputs = {path: taking.content(known) for path, known in run.outs.items()}
        rows = tuple(sorted((path, ref) for path, ref in outputs.items() if ref is not None))
        if len(rows) < len(outputs):
            return 0
        kept = manifests.rows_of(manifest) if manifests.is_short(manifest) else None
        origin = {'run': '', 'who': author.who, 'host': author.host, 'ci': False, 'adopted': 'dvc'}
        bench.results.put(
            ResultEntry(manifest.digest, rows, iso(written), origin=origin,
                        manifest=kept if kept is not None else bench.store.add_bytes(manifests.encode(manifest)))
        )  # fmt: skip
        return 1

    def _manifest(self, taking: Taking, stage: Stage, draft: Draft, run: Locked) -> Manifest | None:
        """The draft as it would have been; None where that cannot be told."""
        entries = {(entry.kind, entry.name): entry for entry in draft.entries}
        holes = {hole.entry_name: hole for hole in draft.holes if hole.kind == 'data'}
        if len(holes) < len(draft.holes):
            return None
        for path, known in run.deps.items():
            if path not in holes and known.value == self.hashes.of(path, known.name):
                continue  # as the draft has it
            ref = taking.content(known)
            if ref is None or (('data', path) not in entries and path not in holes):
                return None
            entries['data', path] = Entry('data', path, ref.identity)
        if not all(('data', name) in entries for name in holes):
            return None
        if not _put_params(entries, stage, run.params) or not _put_command(entries, stage, run.cmd):
            return None
        return Manifest.of(entries.values())


def _put_params(entries: dict[Any, Entry], stage: Stage, recorded: Mapping[str, Mapping[str, Any]]) -> bool:
    for param in stage.params:
        file = param.file.path
        values = recorded.get(file or '')
        if file is None or values is None:
            return False
        rows = [(f'{file}:{key}', values.get(key, _GONE)) for key in param.keys] if param.keys else [(file, dict(values))]
        for name, value in rows:
            if ('param', name) not in entries or value is _GONE:
                return False
            try:
                entries['param', name] = value_entry('param', name, value)
            except (TypeError, ValueError):
                return False
    return True


_GONE = object()


def _put_command(entries: dict[Any, Entry], stage: Stage, cmd: str | list[Any]) -> bool:
    """In place of the present command that of an earlier state, whose values may stand in it."""
    present = [name for name in entries if name[0] == 'command']
    lines = [line for line in (cmd.splitlines() if isinstance(cmd, str) else map(str, cmd)) if line.strip()]
    if len(present) != len(lines):
        return False
    where = {} if stage.wdir == '.' else {'wdir': stage.wdir}
    for number, line in enumerate(lines):
        name = 'cmd' if len(lines) == 1 else f'cmd[{number}]'
        entries['command', name] = value_entry('command', name, {'cmd': line.rstrip('\n'), 'shell': '/bin/sh -e', **where})
    return True


def _made(outs: Any) -> tuple[str, ...]:
    rows = outs if isinstance(outs, list) else []
    return tuple(sorted(posixpath.normpath(str(row.get('path'))) for row in rows if isinstance(row, dict)))
