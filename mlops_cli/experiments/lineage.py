"""Where something came from, and what was made from it: walks over recorded results.

Each step goes by content: a result's key holds the digests of what it read, and whoever made these made its inputs.  What the
pipeline says at present has no part in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT, Entry
from mlops_cli.core.paths import ancestors
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage_model import (
    Content,
    Downstream,
    Made,
    Source,
    Target,
    Through,
    Upstream,
    Use,
)
from mlops_cli.experiments.lineage_records import SMALL, Records
from mlops_cli.experiments.model import Point, StagePoint
from mlops_cli.fingerprint.parsing import SOURCES
from mlops_cli.records.lineage import Role

READ = ('data', 'code', 'environment')  # entries that hold contents
RUNS = 20  # whose code is compared with their commit
MARKERS = ('{"glob":', '{"folder":')  # entries that say which files are meant


def upstream(records: Records, target: Target, depth: int | None = None) -> Upstream:
    """Everything that the target came from.  ``depth``: so many results deep, None for all."""
    results: dict[str, Made] = {}
    sources: dict[str, tuple[Source, ...]] = {}
    cut: set[str] = set()
    waiting = deque((identity, 1) for identity in target.makers)
    while waiting:
        identity, level = waiting.popleft()
        if identity in results:
            continue
        made = results[identity] = records.result(identity)
        sources[identity] = tuple(sources_of(records, made))
        above = [source.makers[0] for source in sources[identity] if source.makers]
        if depth is not None and level >= depth:
            cut |= {identity} if any(other not in results for other in above) else set()
        else:
            waiting += [(other, level + 1) for other in above]
    cut = {one for one in cut if any(s.makers and s.makers[0] not in results for s in sources[one])}
    return Upstream(target, results, sources, frozenset(cut), tuple(records.problems))


def with_edits(records: Records, found: Upstream) -> Upstream:
    """The same, each result with which of its code and parameter files were not as the commit of its run has them."""
    bench = records.bench
    results = dict(found.results)
    runs = {made.record.id: made.record for made in results.values() if made.record is not None}
    for run in list(runs.values())[:RUNS]:
        mine = [
            made for made in results.values() if made.maker.run == run.id and made.ran and made.entry and made.entry.sources
        ]
        if not (mine and run.commit):
            continue  # nothing could tell
        from mlops_cli.experiments.edited import edited, same_meaning  # asks git, which loads what runs programs

        stages = {made.id: StagePoint(made.id, 'done', sources=made.entry.sources) for made in mine if made.entry}
        files = edited(bench, run, Point(run.short, 'run', stages, bench.pipeline, run, run.commit))
        for made in mine if files is not None else ():
            read = {entry.name.partition(':')[0] for entry in made.entries if entry.kind in ('code', 'param')}
            differ = tuple(path for path in files or () if path in read)
            code = {entry.name: entry.digest for entry in made.entries if entry.kind == 'code' and entry.name in differ}
            maker = replace(made.maker, edited=differ, worded=same_meaning(bench, run.commit, code))
            results[made.id] = replace(made, maker=maker)
    return replace(found, results=results)


def sources_of(records: Records, made: Made) -> Iterator[Source]:
    """The inputs of a result: data, code, lock files, parameter files that stages make."""
    for entry in made.entries:
        if entry.kind in READ or entry.kind == 'param':
            yield _source(records, made, entry)


def _source(records: Records, made: Made, entry: Entry) -> Source:
    if entry.digest == ABSENT:
        return Source(entry, 'absent')
    if entry.value is not None and entry.kind in ('data', 'code') and entry.value.startswith(MARKERS):
        return Source(entry, 'rule')
    if entry.kind == 'param':
        return Source(entry, 'file', *_made_parameters(records, made, entry))
    path = path_of(entry)
    if not path or (entry.kind == 'environment' and entry.value is not None):
        return Source(entry, 'file')
    found = [one for one in records.makers(path, entry.digest) if one[0].id != made.id]
    if found:
        ranked = ranked_makers(found, made)
        first, through, output = ranked[0]
        ref = first.made[output]
        if through == 'inside':
            ref = records.part(ref, path[len(output) + 1 :]) or ref
        return Source(entry, 'stage', tuple(one.id for one, _, _ in ranked), through, output, ref)
    return _of_project(records, made, entry, path)


def _made_parameters(records: Records, made: Made, entry: Entry) -> tuple[tuple[str, ...], Through, str]:
    """Of a parameter in a file that a stage makes, only the file's path can tell where it came from."""
    file = entry.name.partition(':')[0]
    names = [mention.record for mention in records.index.with_name(file, 'out')]
    found: list[tuple[Made, Through, str]] = [(one, 'name', file) for one in records.opened(names) if one.id != made.id]
    return (tuple(one.id for one, _, _ in ranked_makers(found, made)), 'name', file) if found else ((), 'path', '')


def path_of(entry: Entry) -> str:
    """The path that an entry is about: of a lock file without the kind in front."""
    return entry.name.partition(':')[2] if entry.kind == 'environment' else entry.name


def _of_project(records: Records, made: Made, entry: Entry, path: str) -> Source:
    """An input that no recorded stage made: tracked data, a file of the project, or neither any more."""
    for holder in (path, *ancestors(path)):
        ref = records.tracked.get(holder)
        part = records.part(ref, path[len(holder) + 1 :]) if ref is not None and holder != path else ref
        if part is not None and part.identity == entry.digest:
            return Source(entry, 'tracked', output=holder, ref=part, now=_now(records, made, entry, path))
    now = _now(records, made, entry, path)
    ref = records.bench.workspace.ref(path) if now == 'same' else None
    if now == 'same' or entry.kind == 'code' or path not in records.bench.describer.makers:
        return Source(entry, 'file', ref=ref, now=now)
    return Source(entry, 'unknown', now=now)


def _now(records: Records, made: Made, entry: Entry, path: str) -> str:
    """How the workspace holds an input now.  Code counts by its meaning, so its entry says nothing about its bytes."""
    try:
        ref = records.bench.workspace.ref(path)
    except UserError:  # a pipe or a link in its place
        return 'changed'
    if ref is None:
        return 'gone'
    if ref.identity == entry.digest:
        return 'same'
    if entry.kind == 'code' and path.endswith(SOURCES):
        stage = records.bench.pipeline.stages.get(made.stage)
        if stage is not None and records.bench.describer.code_meaning(stage, path, ref) == entry.digest:
            return 'same'
    return 'changed'


def ranked_makers(found: Sequence[tuple[Made, Through, str]], reader: Made | None) -> list[tuple[Made, Through, str]]:
    """The likeliest first: of the same run as the reader, made before it, really run, pinned, lately."""
    run = reader.maker.run if reader else ''
    together = {mention.run for mention in reader.runs} if reader else set()

    def order(one: tuple[Made, Through, str]) -> tuple[bool, ...]:
        made = one[0]
        runs = {mention.run for mention in made.runs}
        later = bool(run and made.maker.run > run)
        suspect = bool(made.entry and made.entry.suspect)
        return (run not in runs, not runs & together, later, bool(made.accepted and not made.ran), not made.pins, suspect)

    newest = sorted(found, key=lambda one: (one[0].maker.run, one[0].id), reverse=True)
    return sorted(newest, key=order)


# What was made from it


def whatever(target: Target) -> Target:
    """The same, whatever content or value it had."""
    names = {(kind, name): None for kind, name, _ in target.names}
    names |= {('data', content.path): None for content in target.contents if content.path and not target.makers}
    return replace(target, names=tuple((kind, name, None) for kind, name in names))


def downstream(records: Records, target: Target, depth: int | None = None) -> Downstream:
    """Everything that was made from the target: each result that read it, or read what such a result made."""
    results: dict[str, Made] = {}
    uses: dict[tuple[str, str, str], Use] = {}
    cut: set[str] = set()
    waiting: deque[tuple[str, int]] = deque()

    def add(found: Iterable[Use], level: int) -> None:
        for use in found:
            uses.setdefault((use.of, use.by, use.entry.name), use)
            if use.by not in results:
                results[use.by] = records.result(use.by)
                waiting.append((use.by, level))

    add(_users_of_names(records, target), 1)
    add((Use('', identity, entry, 'path', entry.name) for identity, entry in target.used), 1)
    for content in target.contents:
        add(users(records, '', content), 1)
    while waiting:
        identity, level = waiting.popleft()
        made = results[identity]
        found = [use for path, ref in made.outputs for use in users(records, identity, Content(path, ref))]
        if depth is not None and level >= depth:
            cut |= {identity} if any(use.by not in results for use in found) else set()
        else:
            add(found, level + 1)
    others = _others(records, target, results)
    return Downstream(target, results, tuple(uses.values()), frozenset(cut), others, tuple(records.problems))


def users(records: Records, of: str, content: Content) -> Iterator[Use]:
    """The results that read a content: at its path, inside a folder, or, unless it is short, at another path."""
    ref, path = content.ref, content.path
    for mention in records.index.with_digest(ref.identity.hex):
        if mention.role not in READ or (mention.path.rpartition(':')[2] != path and ref.size < SMALL):
            continue
        for made, entry in _reading(records, mention.record, mention.path):
            if entry.digest == ref.identity and made.id != of:
                yield Use(of, made.id, entry, 'path' if path_of(entry) == path else 'content', path)
    if ref.kind == 'tree' and path:
        yield from _users_inside(records, of, content)
    if not of:
        yield from _users_around(records, content)


def _reading(records: Records, record: object, name: str) -> Iterator[tuple[Made, Entry]]:
    made = records.open(record)  # type: ignore[arg-type]
    if made is not None:
        yield from ((made, entry) for entry in made.entries if entry.name == name and entry.kind in READ)


def _users_inside(records: Records, of: str, content: Content) -> Iterator[Use]:
    """Of a folder: who read something in it."""
    start = f'{content.path}/'
    for mention in records.index.below(start):
        if mention.role in READ:
            for made, entry in _reading(records, mention.record, mention.path):
                part = records.part(content.ref, entry.name[len(start) :])
                if part is not None and part.identity == entry.digest and made.id != of:
                    yield Use(of, made.id, entry, 'inside', content.path)


def _users_around(records: Records, content: Content) -> Iterator[Use]:
    """Of a file: who read a folder that it lay in."""
    for folder in ancestors(content.path) if content.path else ():
        for mention in records.index.with_name(folder, 'data'):
            for made, entry in _reading(records, mention.record, folder):
                tree = ObjectRef(entry.digest, 0, 'tree')
                part = records.part(tree, content.path[len(folder) + 1 :])
                if part is not None and part.identity == content.ref.identity:
                    yield Use('', made.id, entry, 'inside', content.path)


def _users_of_names(records: Records, target: Target) -> Iterator[Use]:
    for kind, name, digest in target.names:
        for mention in records.index.with_name(name, kind):
            made = records.open(mention.record)
            for entry in made.entries if made else ():
                if (entry.kind, entry.name) == (kind, name) and digest in (None, entry.digest):
                    assert made is not None
                    yield Use('', made.id, entry, 'path', name)


def _others(records: Records, target: Target, results: dict[str, Made]) -> int:
    """How many results read something else at the same place."""
    names: set[tuple[Role, str]] = {(kind, name) for kind, name, _ in target.names}
    names |= {('data', content.path) for content in target.contents if content.path}
    found = {one for role, name in names for one in records.index.results_with_name(name, role)}
    return len(found - results.keys())


def with_presence(found: Downstream, is_present: Callable[[Made], bool]) -> Downstream:
    """The same, each result with whether the present state leads to it."""
    results = {identity: replace(made, present=is_present(made)) for identity, made in found.results.items()}
    return replace(found, results=results)
