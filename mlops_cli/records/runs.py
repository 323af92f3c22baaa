"""Run records: one small file for each invocation that executed or restored something (docs/formats/runs.md).

Files are named by time and chance, so two branches never write the same one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical_bytes, document
from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.clock import ID_ALPHABET, ID_LENGTH, LATEST, check_time
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.strictjson import SIZE_LIMIT
from mlops_cli.core.units import plural
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import at, damaged, names_in, read_object, read_small, write_in_batch

if TYPE_CHECKING:  # few runs have one
    from mlops_cli.records.accounts import Account

SCHEMA = 'mlops/run/v1'
USAGE = (
    'cpu_seconds', 'memory_peak_bytes', 'read_bytes', 'write_bytes', 'cpu_energy_joules', 'gpus', 'gpu_seconds',
    'gpu_memory_peak_bytes', 'gpu_energy_joules', 'gpu_energy_estimated_joules', 'network_received_bytes',
    'network_sent_bytes',
)  # fmt: skip
STATES = ('done', 'restored', 'failed', 'skipped', 'interrupted')
ENDINGS = ('done', 'failed', 'interrupted', 'killed')
BASE_BYTES, STAGE_BYTES = 4096, 304  # how large a record may be
COMMAND_BYTES = 1024
VALUE_BYTES = 200  # of one parameter
SUFFIX = '.json'
LOOKED_AT = 200  # records, for the last run that was no trial
_ID = pattern(rf'[0-9]{{8}}T[0-9]{{6}}Z-[{ID_ALPHABET}]{{{ID_LENGTH}}}')
_LAST = pattern(r'(?:last|latest)(?:~([0-9]{1,6}))?')
_MONTH = pattern(r'[0-9]{4}-[0-9]{2}')
_KEY = pattern(r'[0-9a-f]{64}')
_ENTRY8 = pattern(r'(?:[0-9a-f]{8})?')
_MISREAD = str.maketrans('ilo', '110')  # letters that no id has, and what they were misread from


@dataclass(frozen=True, slots=True)
class StageRun:
    """One stage in a run.  ``state``: one of STATES.  ``outs8`` empty without a result.  ``seconds``: rounded to 0.001.
    ``usage``: those of USAGE that are known."""

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
    def from_json(cls, value: Any) -> StageRun:
        """Raises ValueError on what :meth:`to_json` cannot have written.  A later version may add usage behind ours."""
        match value:
            case [str(name), 'done', str(key), str(outs8), float(seconds), 0, *usage] if (
                _KEY.fullmatch(key) and _ENTRY8.fullmatch(outs8) and 0 <= seconds <= LATEST and all(map(_is_usage, usage))
            ):  # as nearly all are
                return cls(name, 'done', Digest(key), outs8, seconds, 0, _usage(usage))
            case [str(name), str(state), str(key), str(outs8), seconds, code, *usage]:
                if state not in STATES:
                    raise ValueError(f'no state of a stage: {state[:40]!r}')
                if not _ENTRY8.fullmatch(outs8) or not _is_duration(seconds) or not (code is None or _is_whole(code)):
                    raise ValueError(f'not a stage of a run: {str(value)[:200]}')
                if not all(item is None or _is_number(item) for item in usage):
                    raise ValueError(f'usage that is no number: {str(usage)[:200]}')
                return cls(name, state, Digest.parse(f'blake3:{key}') if key else None, outs8, seconds, code, _usage(usage))
        raise ValueError(f'not a stage of a run: {str(value)[:200]}')


@dataclass(frozen=True, slots=True)
class Run:
    """``ended``: done, failed, interrupted, or killed (written by the next command from the journal).
    ``overlay``: (file, key, value) of ``--set``; with any, the run was a trial and left the workspace alone.
    ``metrics``: (stage, file, name, number), for trials only: those of other runs stand in the pins.
    ``left_out``: how many metrics the record had no room for; they are in the store, with the results.
    ``fresh_stages``: (name, key, outs8) of the fresh ones; empty where there was no room for all, and in older records.
    ``values``: (file, key, value) of parameters that templates of its stages used; None in older records.
    ``values_left_out``: how many of them are too long, or found no room.
    ``account``: where its stages ran and what they spent, None where there is nothing to say."""

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
    left_out: int = 0
    fresh_stages: tuple[tuple[str, Digest, str], ...] = ()
    values: tuple[tuple[str, str, Any], ...] | None = None
    values_left_out: int = 0
    account: Account | None = None

    @property
    def short(self) -> str:
        """The part that people see and type."""
        return self.id.partition('-')[2]

    def encode(self) -> bytes:
        """Same run, same bytes."""
        value = {
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
        if self.left_out:
            value['metrics_left_out'] = self.left_out
        if self.fresh_stages:
            value['fresh_stages'] = [[name, key.hex, outs8] for name, key, outs8 in self.fresh_stages]
        if self.values is not None:
            value['values'] = [list(item) for item in self.values]
        if self.values_left_out:
            value['values_left_out'] = self.values_left_out
        if self.account is not None:
            value |= self.account.to_json()
        return document(value)


def fitted(run: Run) -> Run:
    """The run as it is recorded: at most 4 KiB and 304 bytes a stage, unless what was set or names need more.

    A command longer than 1 KiB loses its end, metrics and values that find no room are counted in place of recorded, and fresh
    stages are named all or not at all."""
    words: list[str] = []
    room = COMMAND_BYTES
    for word in run.command:
        room -= len(canonical_bytes(word)) + 4
        if room < 0:
            words.append('...')
            break
        words.append(word)
    fresh, values = run.fresh_stages, run.values
    run = replace(run, command=tuple(words), fresh_stages=(), values=None)
    room = BASE_BYTES + STAGE_BYTES * len(run.stages) - len(replace(run, metrics=(), left_out=1).encode()) - 16
    kept = []
    for metric in run.metrics:
        room -= len(canonical_bytes(list(metric))) + 4
        if room < 0:
            break
        kept.append(metric)
    run = replace(run, metrics=tuple(kept), left_out=run.left_out + len(run.metrics) - len(kept))
    whole = replace(run, fresh_stages=fresh)
    run = whole if len(whole.encode()) <= BASE_BYTES + STAGE_BYTES * len(run.stages) else run
    return run if values is None else _with_values(run, values)


def _with_values(run: Run, values: tuple[tuple[str, str, Any], ...]) -> Run:
    """The run with as many values as there is room for, none if not even their count finds any."""
    room = BASE_BYTES + STAGE_BYTES * len(run.stages) - len(replace(run, values=(), values_left_out=10**6).encode()) - 16
    if room < 0:
        return run
    kept = []
    for item in values:
        size = len(canonical_bytes(list(item))) + 4
        if size - len(canonical_bytes(list(item[:2]))) <= VALUE_BYTES and size <= room:
            room -= size
            kept.append(item)
    return replace(run, values=tuple(kept), values_left_out=run.values_left_out + len(values) - len(kept))


def _is_usage(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0) or _is_number(value)


def _usage(values: list[float | None]) -> dict[str, float]:
    return {name: item for name, item in zip(USAGE, values, strict=False) if item is not None}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_duration(value: object) -> bool:
    return _is_number(value) and value <= LATEST  # type: ignore[operator]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class _Reader:
    """Takes a record apart, so that each mistake is told with its line."""

    def __init__(self, data: bytes, file: str) -> None:
        self.data, self.file = data, file
        self.found = read_object(data, file, 'run record', SCHEMA)

    def refuse(self, problem: object, key: str, item: int | None = None) -> UserError:
        return damaged('run record', problem, at(self.file, self.data, key, item))

    def take(self, key: str) -> Any:
        if key not in self.found:
            raise self.refuse(f'{key} is missing', 'schema')
        return self.found[key]

    def text(self, key: str, pattern: str = '') -> str:
        value = self.take(key)
        if not isinstance(value, str) or (pattern and not re.fullmatch(pattern, value)):
            raise self.refuse(f'{key} is {str(value)[:80]!r}', key)
        return value

    def number(self, key: str) -> float:
        value = self.take(key)
        if not _is_number(value):
            raise self.refuse(f'{key} is no number', key)
        return float(value)

    def duration(self, key: str) -> float:
        if not _is_duration(value := self.number(key)):
            raise self.refuse(f'{key} is {value}, too long for a run', key)
        return value

    def time(self, key: str) -> str:
        try:
            return check_time(self.text(key))
        except ValueError as error:
            raise self.refuse(f'{key}: {error}', key) from error

    def whole(self, key: str) -> int:
        value = self.take(key)
        if not _is_whole(value) or value < 0:
            raise self.refuse(f'{key} is no whole number', key)
        return int(value)

    def rows(self, key: str, *types: type) -> list[Any]:
        """A list, each of whose items begins with these types."""
        value = self.take(key)
        if not isinstance(value, list):
            raise self.refuse(f'{key} is no list', key)
        for position, row in enumerate(value):
            items = [row] if len(types) == 1 else row
            if not isinstance(items, list) or len(items) != len(types) or not all(map(isinstance, items, types)):
                raise self.refuse(f'{str(row)[:80]} cannot stand under {key}', key, position)
        return value

    def stages(self) -> Iterator[StageRun]:
        rows = self.take('stages')
        if not isinstance(rows, list):
            raise self.refuse('stages is no list', 'stages')
        seen = set()
        for position, row in enumerate(rows):
            try:
                found = StageRun.from_json(row)
            except ValueError as error:
                raise self.refuse(error, 'stages', position) from error
            if found.name in seen:  # each would be looked up
                raise self.refuse(f'{found.name[:80]} twice', 'stages', position)
            seen.add(found.name)
            yield found

    def account(self) -> Account | None:
        if not self.found.keys() & {'places', 'gpu_shares', 'earlier', 'spent'}:
            return None
        from mlops_cli.records import accounts

        try:
            return accounts.read(self.found, len(self.found['stages']))
        except accounts.Wrong as error:
            raise self.refuse(error, error.key, error.position) from error

    def fresh_stages(self) -> Iterator[tuple[str, Digest, str]]:
        seen = set()
        for position, (name, key, outs8) in enumerate(self.rows('fresh_stages', str, str, str)):
            if name in seen:  # each would be looked up
                raise self.refuse(f'{name[:80]} twice', 'fresh_stages', position)
            seen.add(name)
            if not _KEY.fullmatch(key) or not _ENTRY8.fullmatch(outs8):
                raise self.refuse(f'not a result: {key[:80]!r}, {outs8[:80]!r}', 'fresh_stages', position)
            yield name, Digest(key), outs8


def decode(data: bytes, file: str) -> Run:
    """``file``: where it stands; its name must be its id.  Entries that a later version added are passed over.

    Raises UserError with file and line where it is not a run record of ours."""
    reader = _Reader(data, file)
    run_id = reader.text('id', _ID.pattern)
    if layout.run_record(run_id) != file:
        raise reader.refuse(f'its name does not fit its id {run_id}', 'id')
    environment = reader.take('environment')
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise reader.refuse('environment is no mapping of names to texts', 'environment')
    return Run(
        run_id,
        reader.time('started'),
        reader.duration('seconds'),
        reader.text('ended', '|'.join(ENDINGS)),
        tuple(reader.stages()),
        reader.whole('fresh'),
        reader.number('saved_seconds'),
        tuple(reader.rows('command', str)),
        reader.text('who'),
        reader.text('host'),
        reader.text('commit'),
        reader.text('branch'),
        tuple((file, key, value) for file, key, value in reader.rows('set', str, str, object)),
        tuple((s, f, n, v) for s, f, n, v in reader.rows('metrics', str, str, str, int | float)),  # type: ignore[arg-type]
        environment,
        reader.whole('metrics_left_out') if 'metrics_left_out' in reader.found else 0,
        tuple(reader.fresh_stages()) if 'fresh_stages' in reader.found else (),
        tuple((f, k, v) for f, k, v in reader.rows('values', str, str, object)) if 'values' in reader.found else None,
        reader.whole('values_left_out') if 'values_left_out' in reader.found else 0,
        reader.account(),
    )


def is_last(word: str) -> bool:
    """Whether it names a run by how many came after it: ``last``, ``last~1``."""
    return _LAST.fullmatch(word) is not None


def is_month(name: str) -> bool:
    """Whether a folder of this name may hold run records."""
    return _MONTH.fullmatch(name) is not None


def id_of(name: str, month: str) -> str | None:
    """The id of the run whose record has this file name in the folder of this month; None if it is none of ours."""
    run_id = name.removesuffix(SUFFIX)
    ours = name.endswith(SUFFIX) and _ID.fullmatch(run_id) and f'{run_id[:4]}-{run_id[4:6]}' == month
    return run_id if ours else None


class Runs:
    """The folders of run records, newest first.  Raises OSError, and UserError for symbolic links."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._read: tuple[str, bytes, Run] | None = None  # commands ask for the newest more than once

    def ids(self) -> Iterator[str]:
        """All ids, newest first, from listings alone.  Files that are named otherwise are none of ours."""
        for month in sorted(filter(is_month, names_in(self.root, layout.RUNS)), reverse=True):
            for name in sorted(names_in(self.root, f'{layout.RUNS}/{month}'), reverse=True):
                if (run_id := id_of(name, month)) is not None:
                    yield run_id

    def get(self, run_id: str) -> Run:
        """Raises UserError for a damaged record, OSError for an absent one."""
        path = layout.run_record(run_id)
        data = read_small(self.root, path, SIZE_LIMIT)
        if self._read is not None and self._read[:2] == (path, data):
            return self._read[2]
        run = decode(data, path)
        if self._read is None or run_id >= self._read[2].id:
            self._read = (path, data, run)
        return run

    def newest(self, damaged: Callable[[UserError], None] = lambda _: None) -> Iterator[Run]:
        """All runs, newest first; ``damaged`` is told of the records that cannot be read, which are passed over."""
        for run_id in self.ids():
            try:
                run = self.get(run_id)
            except FileNotFoundError:
                continue  # git has taken it away since the listing
            except UserError as error:
                damaged(error)
                continue
            yield run

    def durations(self, most: int) -> dict[str, list[float]]:
        """Stage -> the seconds that it took whenever it was done, newest first, as the newest ``most`` records have it.

        Nothing else of them is read: who wants to know how long it will take waits for none of the checks of decode."""
        found: dict[str, list[float]] = {}
        for run_id in islice(self.ids(), most):
            try:
                rows = json.loads(read_small(self.root, layout.run_record(run_id), SIZE_LIMIT))['stages']
                for name, state, _, _, seconds, *_ in rows:
                    if state == 'done' and type(name) is str and type(seconds) in (float, int) and 0 <= seconds <= LATEST:
                        found.setdefault(name, []).append(seconds)
            except (FileNotFoundError, UserError, ValueError, TypeError, LookupError, RecursionError):
                continue  # of which other commands tell
        return found

    def last_of_workspace(self, held: Mapping[str, tuple[Digest, str]]) -> str:
        """The id of the newest run that was no trial and made or restored something that the workspace holds; empty if there is
        none among the newest.  ``held``: stage -> its key, and what tells its results apart.  Passes over damaged records."""
        for run_id in islice(self.ids(), LOOKED_AT):
            try:
                run = self.get(run_id)
                good = [one for one in run.stages if one.state in ('done', 'restored') and one.key is not None]
                if not run.overlay and any(held.get(one.name) == (one.key, one.outs8) for one in good):
                    return run_id
            except (FileNotFoundError, UserError):
                continue
        return ''

    def find(self, text: str) -> Run:
        """A run by its id, the random part of it, or an unambiguous beginning of either; ``last`` or ``latest``, and ``last~2``
        for the second before it.  Raises UserError."""
        if (counted := _LAST.fullmatch(text)) is not None:
            return self._last(int(counted[1] or 0), text)
        ids = list(self.ids())
        short = text.lower().translate(_MISREAD)
        exact = [one for one in ids if text == one or short == one.partition('-')[2]]
        found = exact or [one for one in ids if text and (one.startswith(text) or one.partition('-')[2].startswith(short))]
        if len(found) == 1:
            return self.get(found[0])
        if found:
            more = f' and {len(found) - 4} more' if len(found) > 4 else ''
            raise UserError(
                f'{text!r} could mean {len(found)} runs',
                hint='type more of it: ' + ', '.join(one.partition('-')[2] for one in found[:4]) + more,
            )
        if not ids:
            raise UserError(f'no run {text!r}', hint='there are none yet: mlops run')
        near = did_you_mean(short, [one.partition('-')[2] for one in ids[:200]])
        hint = near if near.startswith('did you mean') else f'the last one is {ids[0].partition("-")[2]}'
        raise UserError(f'no run {text[:80]!r}', hint=f'{hint}; mlops runs list shows all')

    def _last(self, back: int, text: str) -> Run:
        found = list(islice(self.ids(), back, back + 1))
        if found:
            return self.get(found[0])
        count = sum(1 for _ in self.ids())
        there = f'there {"is" if count == 1 else "are"} {plural(count, "run")} only' if count else 'there are none yet'
        raise UserError(f'no run {text}: {there}', hint='mlops runs list shows them' if count else 'mlops run')

    def add(self, run: Run, batch: Batch) -> str:
        """Writes the record, :func:`fitted`; its path.  Durable when the batch is.

        Raises OSError; UserError for an id that is none of ours, as a tampered journal may hold."""
        if not _ID.fullmatch(run.id):
            raise UserError(f'{run.id[:80]!r} is no id of a run', exit_code=ExitCode.REFUSED, hint=f'look at {layout.JOURNAL}')
        path = layout.run_record(run.id)
        write_in_batch(self.root, path, fitted(run).encode(), batch)
        return path
