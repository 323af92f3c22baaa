"""What of a project goes to a remote, and what the present state of it wants from there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_cli.core import layout
from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file, write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Step
from mlops_cli.plan.planner import make_plan
from mlops_cli.records import data
from mlops_cli.records.destinations import Remote
from mlops_cli.records.pins import decode as decode_pin
from mlops_cli.records.pins import is_pin
from mlops_cli.run.checkout import KNOWN, Targets
from mlops_cli.run.elsewhere import explaining, take_entry
from mlops_cli.run.outlook import facts_of
from mlops_cli.run.sent import remote_folder
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.depot import Depot
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.packs import INDEX_LIMIT
from mlops_cli.store.results import ResultEntry, outputs_digest
from mlops_cli.store.shared_results import SharedResults
from mlops_cli.store.transfer import Told
from mlops_cli.store.tree import walk

if TYPE_CHECKING:
    from mlops_cli.records.models import Version

USUAL = 'origin'
Wanted = tuple[str, ObjectRef]


def chosen(remotes: Mapping[str, Remote], name: str) -> str:
    """The remote that is meant: the one named, the only one, or ``origin``.  Raises UserError."""
    if name in remotes:
        return name
    there = ', '.join(sorted(remotes))
    if name:
        raise UserError(f'there is no remote {name!r}', hint=f'there are: {there}' if there else f'mlops remote add {name} URL')
    if not remotes:
        hint = f'mlops remote add {USUAL} s3://BUCKET/PREFIX   or the path of a folder'
        raise UserError('this project has no remote', hint=hint)
    if len(remotes) == 1:
        return next(iter(remotes))
    if USUAL in remotes:
        return USUAL
    raise UserError('there are several remotes, and none of them is called origin', hint=f'name one with --remote: {there}')


class KeptIndexes:
    """Indexes of a remote's packs, under ``.mlops/local/remotes``.  Lost, they are brought again.  ``url``: of the remote."""

    def __init__(self, root: Root, url: str) -> None:
        self._root = root
        self._folder = remote_folder(url)

    def get(self, pack: Digest) -> bytes | None:
        with suppress(OSError, UserError):
            return read_file(self._root, f'{self._folder}/{pack.hex}', INDEX_LIMIT)
        return None

    def put(self, pack: Digest, data: bytes) -> None:
        with suppress(OSError, UserError):
            write_file(self._root, f'{self._folder}/{pack.hex}', data, 0o600, durable=False)


def recorded_here(bench: Workbench, words: Collection[str] | None = None) -> list[Wanted]:
    """Tracked data, the outputs of every pin, and every version of a model: all that the commits of this branch may ask for.
    ``words``: only of these paths, and what lies below them.  Raises UserError."""
    found = dict.fromkeys(data.tracked(bench.root).items())
    for name in bench.pins.names():
        if is_pin(name) and (content := bench.pins.bytes_of(name)) is not None:
            found.update(dict.fromkeys(decode_pin(content, f'{layout.STAGES}/{name}').outputs))
    found.update(dict.fromkeys((version.path, version.ref) for version in versions_here(bench)))
    return [(path, ref) for path, ref in found if words is None or _is_named(path, words)]


def versions_here(bench: Workbench) -> list[Version]:
    """The versions of models that are recorded here.  What is damaged is passed over: models verify tells of that."""
    if bench.root.stat(layout.MODELS) is None:
        return []  # as in most projects: nothing is loaded for it
    from mlops_cli.records.model_files import Models

    return [version for model in Models(bench.root).all.values() for version in model.numbered]


def results_here(bench: Workbench, words: Collection[str] | None = None) -> list[ResultEntry]:
    """The results that pins and versions of models name, as far as they are here.  ``words``: as recorded_here.

    Raises UserError."""
    found: list[ResultEntry] = []
    for name in bench.pins.names():
        if not is_pin(name) or (content := bench.pins.bytes_of(name)) is None:
            continue
        pin = decode_pin(content, f'{layout.STAGES}/{name}')
        if words is None or any(_is_named(path, words) for path, _ in pin.outputs):
            entries = bench.results.lookup(pin.key)
            found += [entry for entry in entries if not entry.suspect and dict(entry.outputs) == dict(pin.outputs)][:1]
    known = {(entry.key, entry.entry8) for entry in found}
    for version in versions_here(bench):  # of those whose pin is gone
        _, key, outs8 = version.results[0]
        if (key, outs8) not in known and (words is None or _is_named(version.path, words)):
            found += [entry for entry in bench.results.lookup(key) if not entry.suspect and entry.entry8 == outs8][:1]
            known.add((key, outs8))
    return found


def explaining_of(bench: Workbench, entries: Iterable[ResultEntry]) -> list[Wanted]:
    """Logs, manifests and sources of results, as far as they are here: of what is old some may be gone."""
    refs = dict.fromkeys(ref for entry in entries for ref in explaining(entry))
    return [('what explains a result', ref) for ref in refs if not bench.store.missing([ref])]


def send_results(shared: SharedResults, entries: Sequence[ResultEntry], missing: Collection[str]) -> int:
    """Results whose outputs have all been sent; how many were not there yet.  ``missing``: paths of which something was not.
    Raises Unreachable."""
    gone = {*missing}
    whole = [entry for entry in entries if not any(path in gone for path, _ in entry.outputs)]
    return shared.put(whole) if shared.write else 0


def bring_results(bench: Workbench, shared: SharedResults, depot: Depot, steps: Iterable[Step]) -> int:
    """Results of stages whose outputs are here, with their logs; how many there were.  Raises Unreachable, OSError."""
    wanted = set()
    for step in steps:
        if step.manifest is not None and not bench.results.lookup(step.manifest.digest):
            wanted.add((step.manifest.digest, outputs_digest(step.made.items()).hex[:8]))
    count = 0
    for entry in shared.these(wanted) if wanted else ():
        if not bench.store.missing(ref for _, ref in entry.outputs):
            take_entry(entry, bench.store, bench.results, depot, Told())
            count += 1
    return count


def _is_named(path: str, words: Collection[str]) -> bool:
    return any(path == word or path.startswith(f'{word}/') for word in words)


def tracked_here(bench: Workbench, words: Collection[str] | None = None) -> dict[str, ObjectRef]:
    """Tracked data as the records have it.  Raises UserError."""
    return {path: ref for path, ref in data.tracked(bench.root).items() if words is None or _is_named(path, words)}


def outputs_here(bench: Workbench, depot: Depot, words: Collection[str] | None = None) -> Targets:
    """What the present state of the project is recorded to lead to, were all of it here.  Raises UserError, Unreachable."""
    facts = replace(facts_of(bench), stored=lambda _: True, read=_reader(bench, depot))
    with bench.pins.reading(), bench.workspace.looking():
        plan = make_plan(bench.pipeline.name, bench.drafts, order=bench.order, edges=bench.edges, facts=facts, wishes=Wishes())
    wanted: dict[str, ObjectRef] = {}
    unknown: list[tuple[str, str]] = []
    for step in plan.steps:
        made = {path: ref for path, ref in step.made.items() if words is None or _is_named(path, words)}
        if step.verdict in KNOWN:
            wanted |= made
        elif words is None or any(_is_named(one.path, words) for one in bench.pipeline.stages[step.stage].outputs):
            why = 'waits for ' + ', '.join(step.waits_for[:3]) if step.waits_for else 'nothing recorded for this state'
            unknown.append((step.stage, why))
    return Targets(wanted, tuple(unknown), tuple(step for step in plan.steps if step.verdict in KNOWN))


def _reader(bench: Workbench, depot: Depot) -> Callable[[Digest], bytes]:
    """Nodes of folders, from here or there: an input may be a part of a folder that is not here yet."""
    known: dict[Digest, bytes] = {}

    def read(digest: Digest) -> bytes:
        try:
            return bench.store.read(digest)
        except (MissingObject, Damaged):
            if (node := bench.workspace.node(digest)) is not None:
                return node
        if digest not in known:
            for _, chunks in depot.get([digest]):
                known[digest] = b''.join(chunks)
        return known[digest]

    return read


def names_of(bench: Workbench, digests: Collection[str]) -> dict[str, str]:
    """Digests, in hex -> the path under which each is recorded here, as far as folders' nodes are here."""
    wanted = set(digests)
    found: dict[str, str] = {}
    for path, ref in recorded_here(bench) if wanted else ():
        if ref.digest.hex in wanted:
            found.setdefault(ref.digest.hex, path)
        if ref.kind == 'tree':
            with suppress(MissingObject, Damaged):
                for name, entry in walk(ref, bench.store.read):
                    if entry.digest is not None and entry.digest.hex in wanted:
                        found.setdefault(entry.digest.hex, f'{path}/{name}')
    return found
