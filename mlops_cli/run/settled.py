"""What is known of stages that were up to date when nothing was to be done: as long as nothing that one of them looks at has
changed, and nothing that the stages before it lead to, it need not be described and decided again (docs/formats/settled.md).

Only the plainest are kept: fresh by the one pin of their key, with nothing else to be said about them."""

from __future__ import annotations

import marshal
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.manifest import Entry, Manifest
from mlops_cli.core.paths import ancestors, inside
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft
from mlops_cli.pipeline.spec import Stage
from mlops_cli.plan.model import Plan, Step, Verdict
from mlops_cli.records.pins import Pins

FORM = 3
MOST_NAMES = 5000  # of a folder that is listed to see whether names came or went


@dataclass(frozen=True, slots=True)
class Traits:
    """What is told of a stage besides its step.  ``code``: path -> digest of its bytes.  ``sizes``: path -> bytes of what is
    read from the workspace, data and code.  ``unknown``: what of the code could not be followed."""

    code: Mapping[str, Digest]
    sizes: Mapping[str, int]
    unknown: tuple[str, ...]


def traits_of(draft: Draft) -> Traits:
    return Traits(draft.code, {path: ref.size for path, ref in draft.inputs.items()}, draft.unknown)


class _Pinned(Manifest):
    """A manifest of which the key is known; the rest is in the pin."""

    __slots__ = ('_pins',)

    def __init__(self, key: Digest, pins: Pins) -> None:
        self._digest = key
        self._pins = pins

    def __getattr__(self, name: str) -> tuple[Entry, ...]:
        """Only for ``entries``, where it is not set yet."""
        if name != 'entries':
            raise AttributeError(name)
        assert self._digest is not None
        (pin,) = self._pins.of_key(self._digest)
        self.entries = pin.manifest.entries
        return self.entries


Outputs = tuple[tuple[str, str, str, int], ...]  # path, kind, digest, bytes
# stage, key, name of its pin (empty: it is always decided), what it makes, its code, sizes of its inputs, what could not be
# followed, what else it looks at
Row = tuple[str, str, str, Outputs, dict[str, str], dict[str, int], tuple[str, ...], tuple[str, ...]]


class Settled(Mapping[str, Step]):
    """Stage -> the step that it was.  ``touched``: those of which something may have changed."""

    def __init__(self, rows: Iterable[Row], touched: Collection[str], pins: Pins) -> None:
        self.touched = touched
        self._pins = pins
        self._rows = {row[0]: row for row in rows if row[2]}
        self._steps: dict[str, Step] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Step:
        step = self._steps.get(name)
        if step is None:
            _, key, _, outputs, _, _, unknown, _ = self._rows[name]
            refs = tuple((path, ObjectRef(Digest(digest), size, kind)) for path, kind, digest, size in outputs)  # type: ignore[arg-type]
            step = Step(name, Verdict.FRESH, (), (), _Pinned(Digest(key), self._pins), refs, 'pin', notes=unknown)
            self._steps[name] = step
        return step

    def traits(self, name: str) -> Traits:
        _, _, _, _, code, sizes, unknown, _ = self._rows[name]
        return Traits({path: Digest(digest) for path, digest in code.items()}, sizes, unknown)


def encode(
    plan: Plan,
    drafts: Mapping[str, Draft],
    stages: Mapping[str, Stage],
    pins: Pins,
    decisive: Sequence[str],
    git: str,
    listings: Mapping[str, bytes],
    links: Mapping[str, str],
) -> bytes:
    """``decisive``: files that decide about all stages.  ``git``: the folder that git keeps, where no stage depends on what
    git says; else empty.  ``listings``: path from the root -> what :func:`listing` says of folders of which names count.
    ``links``: path of each symbolic link among what was looked at -> what it leads to, from the root too."""
    holders = {above for path in links for above in _ways(path)}
    rows: list[Row] = []
    guarded: set[str] = set(decisive)
    for step in plan.steps:
        draft = drafts[step.stage]
        if draft.found is not None:
            guarded.update(draft.found.consulted, draft.found.folders)
            if draft.found.python:
                guarded.add(draft.found.python)
        row = _row(step, draft, stages[step.stage], pins)
        if _is_linked((*row[5], *row[7]), links, holders):
            row = (row[0], '', '', *row[3:])
        rows.append(row)
    return marshal.dumps((FORM, tuple(sorted(guarded)), git, dict(listings), rows))


def _is_linked(paths: Sequence[str], links: Mapping[str, str], holders: Collection[str]) -> bool:
    """Whether a stage looks at anything through a link that leads away from all that it looks at: that has another name
    then, under which it may change."""
    if not any(path in holders or any(above in links for above in ancestors(path)) for path in paths):
        return False
    concerned = (
        target for link, target in links.items() if any(inside(link, path) or inside(path, link) for path in paths)
    )
    return any(not any(inside(target, path) for path in paths) for target in concerned)


def _row(step: Step, draft: Draft, stage: Stage, pins: Pins) -> Row:
    outputs = tuple((path, ref.kind, ref.digest.hex, ref.size) for path, ref in step.outputs)
    code = {path: digest.hex for path, digest in draft.code.items()}
    files = draft.found.files if draft.found is not None else ()
    looked = {ref.file for ref in stage.params} | {hole.path for hole in draft.holes} | set(files)
    looked |= {output.path for output in stage.outputs}
    for made in draft.found.generated if draft.found is not None else ():
        looked |= {made, f'{made}.py'}
    sizes = {path: ref.size for path, ref in draft.inputs.items()}
    key, pin = _by_one_pin(step, draft, stage, pins)
    return step.stage, key, pin, outputs, code, sizes, draft.unknown, tuple(looked - sizes.keys())


def _by_one_pin(step: Step, draft: Draft, stage: Stage, pins: Pins) -> tuple[str, str]:
    """Key and name of the one pin that a stage is fresh by; empty where there is anything else to be said about it."""
    plain = Step(step.stage, Verdict.FRESH, (), (), step.manifest, step.outputs, 'pin', notes=draft.unknown)
    if step.manifest is None or step != plain or stage.frozen or stage.always_changed or draft.elsewhere or draft.tracked:
        return '', ''
    named = pins.names_of_key(step.manifest.digest)
    return (step.manifest.digest.hex, named[0]) if len(named) == 1 else ('', '')


def decode(data: bytes | memoryview, top: str, cache: str, changed: Mapping[str, bool], pins: Pins) -> Settled | None:
    """The stages that none of the changes concerns; None where one may concern any stage.

    ``data``: what :func:`encode` made, vouched for.  ``top``: the project's folder; ``cache``: that of its cache.
    ``changed``: absolute path of all that differs since then -> whether it was a regular file, and is one or gone.

    Raises OSError."""
    form, *content = marshal.loads(data)
    if form != FORM or _at_work(top):
        return None
    guarded, git, listings, rows = content
    caches = [f'{cache}/{name}' for name in layout.CACHE_PARTS]
    files: set[str] = set()
    for path, plain in changed.items():
        if git and inside(path, git):
            continue
        here = f'{path}/'.startswith(f'{top}/')
        rel = path[len(top) + 1 :] or '.'
        if any(inside(path, own) for own in caches) and (not here or inside(rel, layout.ROOT)):
            continue  # what the cache holds decides nothing about a stage that is fresh by what stands there
        if not here:
            return None
        if rel in (layout.STAGES, layout.JOURNAL) or inside(rel, layout.RUNS):
            continue  # of pins, the names are compared; records of runs decide nothing
        if rel in listings and listing(path) == listings[rel]:
            continue  # something was put in the place of something of the same name
        if not plain or rel in guarded or path in guarded or inside(rel, layout.ROOT):
            return None
        files.add(rel)
    return _untouched(rows, files, pins)


def listing(folder: str) -> bytes | None:
    """Names and kinds of what is in a folder, as a digest; None for what is none, or has too much in it to look again.

    Raises OSError."""
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        return None
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries)
    return bytes.fromhex(digest_of(marshal.dumps(found, 0)).hex) if len(found) <= MOST_NAMES else None


def _at_work(top: str) -> bool:
    """Whether a run goes on, or was killed and is to be healed."""
    return bool(os.listdir(f'{top}/{layout.JOURNAL}'))


def _untouched(rows: Sequence[Row], files: set[str], pins: Pins) -> Settled | None:
    """Each file has to be one that some stage is known to look at: what nobody names may concern anybody."""
    ways = {above for path in files for above in _ways(path)}
    touched, seen = set[str](), set[str]()
    for name, key, pin, _, _, sizes, _, looked in rows:
        if not (ways.isdisjoint(sizes) and ways.isdisjoint(looked)):
            seen |= ways.intersection(sizes) | ways.intersection(looked)
            touched.add(name)
        elif not pin or pins.names_of_key(Digest(key)) != (pin,):
            touched.add(name)
    if any(seen.isdisjoint(_ways(path)) for path in files):
        return None
    return Settled(rows, touched, pins)


def _ways(path: str) -> tuple[str, ...]:
    """The path and the folders it is in, by which a stage may know it."""
    return (path, *ancestors(path), '.')
