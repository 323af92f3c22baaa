"""Run records: one small file for each invocation that executed or restored something (docs/formats/runs.md).

Files are named by time and chance, so two branches never write the same one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import document
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import write_in_batch
from mlops_cli.records.pins import read_small

SCHEMA = 'mlops/run-record/v1'
USAGE = ('cpu_seconds', 'memory_peak_bytes', 'read_bytes', 'write_bytes')


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage in a run.  ``state``: done, restored, failed, skipped, interrupted.  ``outs8`` empty without a result.
    ``usage``: cpu_seconds, memory_peak_bytes, read_bytes, write_bytes as far as known."""

    name: str
    state: str
    key: Digest | None
    outs8: str
    seconds: float
    exit_code: int | None = None
    usage: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> list[Any]:
        usage = [self.usage.get(name) for name in USAGE]
        while usage and usage[-1] is None:
            usage.pop()
        return [
            self.name,
            self.state,
            self.key.hex if self.key else '',
            self.outs8,
            round(self.seconds, 3),
            self.exit_code,
            *usage,
        ]

    @classmethod
    def from_json(cls, value: object) -> StageRun:
        """Raises ValueError on what :meth:`to_json` cannot have written."""
        match value:
            case [str(name), str(state), str(key), str(outs8), int() | float() as seconds, int() | None as code, *usage]:
                known = {k: float(v) for k, v in zip(USAGE, usage, strict=False) if isinstance(v, int | float)}
                return cls(name, state, Digest(key) if key else None, outs8, seconds, code, known)
        raise ValueError(f'not a stage of a run: {str(value)[:80]}')


@dataclass(frozen=True, slots=True)
class Run:
    """``ended``: done, failed, interrupted, or killed (written by the next command from the journal).
    ``overlay``: (file, key, value) of ``--set``; with any, the run was a trial and left the workspace alone.
    ``metrics``: (stage, file, name, number), for trials only: those of other runs stand in the pins."""

    id: str
    started: str
    seconds: float
    ended: str
    stages: tuple[StageRun, ...]
    fresh: int = 0
    saved_seconds: float = 0.0
    command: tuple[str, ...] = ()
    who: str = ''
    host: str = ''
    commit: str = ''
    branch: str = ''
    overlay: tuple[tuple[str, str, Any], ...] = ()
    metrics: tuple[tuple[str, str, str, float], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The part that people see and type."""
        return self.id.partition('-')[2]

    def encode(self) -> bytes:
        return document(
            {
                'schema': SCHEMA,
                'id': self.id,
                'started': self.started,
                'seconds': round(self.seconds, 3),
                'ended': self.ended,
                'stages': [stage.to_json() for stage in self.stages],
                'fresh': self.fresh,
                'saved_seconds': round(self.saved_seconds, 3),
                'command': list(self.command),
                'who': self.who,
                'host': self.host,
                'commit': self.commit,
                'branch': self.branch,
                'set': [list(item) for item in self.overlay],
                'metrics': [list(item) for item in self.metrics],
                'environment': dict(self.environment),
            }
        )


def decode(data: bytes, file: str) -> Run:
    """Raises UserError where the file is not a run record of ours."""
    try:
        found = json.loads(data)
        if found['schema'] != SCHEMA:
            raise UserError(
                f'this run has the format {found["schema"]!r}, which this version does not know',
                where=Where(file),
                hint='update mlops',
            )
        return Run(
            found['id'],
            found['started'],
            float(found['seconds']),
            found['ended'],
            tuple(StageRun.from_json(stage) for stage in found['stages']),
            int(found['fresh']),
            float(found['saved_seconds']),
            tuple(map(str, found['command'])),
            found['who'],
            found['host'],
            found['commit'],
            found['branch'],
            tuple((str(file), str(key), value) for file, key, value in found['set']),
            tuple((str(s), str(f), str(n), v) for s, f, n, v in found['metrics']),
            dict(found['environment']),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f'damaged run record: {error}',
            where=Where(file),
            exit_code=ExitCode.FAILED,
            hint=f'put it back with: git checkout -- {file}',
        ) from error


class Runs:
    """The folders of run records, newest first."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def ids(self) -> Iterator[str]:
        """All ids, newest first, from listings alone."""
        top = os.path.join(self.root.path, layout.RUNS)
        months = _listing(top)
        for month in sorted(months, reverse=True):
            for name in sorted(_listing(os.path.join(top, month)), reverse=True):
                if name.endswith('.json') and not name.startswith('.'):
                    yield name.removesuffix('.json')

    def get(self, run_id: str) -> Run:
        """Raises UserError for a damaged record, OSError for an absent one."""
        path = layout.run_record(run_id)
        return decode(read_small(self.root, path), path)

    def newest(self) -> Iterator[Run]:
        for run_id in self.ids():
            yield self.get(run_id)

    def find(self, text: str) -> Run:
        """A run by its id, the random part of it, or an unambiguous beginning of that.  Raises UserError."""
        ids = list(self.ids())
        found = [one for one in ids if text and (one.startswith(text) or one.partition('-')[2].startswith(text))]
        exact = [one for one in found if text in (one, one.partition('-')[2])]
        if len(exact or found) == 1:
            return self.get((exact or found)[0])
        if found:
            raise UserError(
                f'{text!r} could mean {len(found)} runs',
                hint='such as ' + ', '.join(one.partition('-')[2] for one in found[:4]),
            )
        hint = f'the last one is {ids[0].partition("-")[2]}' if ids else 'there are none yet: mlops run'
        raise UserError(f'no run {text!r}', hint=f'{hint}; mlops runs list shows all')

    def add(self, run: Run, batch: Batch) -> str:
        """Writes the record; its path.  Durable when the batch is."""
        path = layout.run_record(run.id)
        write_in_batch(self.root, path, run.encode(), batch)
        return path


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
