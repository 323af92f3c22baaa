"""Where something came from as an in-toto statement with SLSA's provenance (docs/formats/provenance.md).

Values in, plain data out: no file is read, nothing is signed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlops_cli import __version__
from mlops_cli.core.canonical import canonical
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.manifest import Entry
from mlops_cli.experiments.lineage_model import Made, Source, Upstream
from mlops_cli.fingerprint.parsing import NOTEBOOK
from mlops_cli.report.lineage_facts import command_of, plain

STATEMENT = 'https://in-toto.io/Statement/v1'
PREDICATE = 'https://slsa.dev/provenance/v1'
BUILD_TYPE = 'urn:mlops-cli:lineage:v1'
BUILDER = 'urn:mlops-cli:builder'  # :ci or :person behind it
KINDS = ('data', 'code', 'environment')


def statement(
    found: Upstream, subjects: Sequence[tuple[str, Mapping[str, str]]], pipeline: str, repository: str, urls: Mapping[str, str]
) -> dict[str, Any]:
    """``subjects``: (path, digests).  ``repository``: its address, or empty.  ``urls``: path of tracked data -> where it was
    imported from.  The first result of ``found`` made the subjects."""
    made = found.results[found.target.makers[0]]
    begun, ended = times(made)
    metadata = {'invocationId': made.maker.run, 'startedOn': begun, 'finishedOn': ended}
    builder = {'id': f'{BUILDER}:{"ci" if made.maker.ci else "person"}', 'version': {'mlops-cli': __version__}}
    names = {name for name, _ in subjects}
    return {
        '_type': STATEMENT,
        'subject': [{'name': name, 'digest': dict(digests)} for name, digests in subjects],
        'predicateType': PREDICATE,
        'predicate': {
            'buildDefinition': {
                'buildType': BUILD_TYPE,
                'externalParameters': {
                    'pipeline': pipeline,
                    'stage': made.stage,
                    'command': _command(made),
                    'params': _params(made),
                    'outputs': sorted(path for path, _ in made.outputs),
                },
                'internalParameters': {
                    'stages': [_stage(one) for one in found.results.values()],
                    'environment': {name: canonical_text(value) for name, value in made.environment.items()},
                },
                'resolvedDependencies': [*_commits(found, repository), *_inputs(found, urls)],
            },
            'runDetails': {
                'builder': builder,
                'metadata': {name: value for name, value in metadata.items() if value},
                'byproducts': list(_between(found, names)),
            },
        },
    }


def times(made: Made) -> tuple[str, str]:
    """When a result was begun and ended, as far as known: the cache notes its end, a run's record the run's start."""
    if made.entry is None:
        return made.maker.at, ''
    ended = from_iso(made.entry.created)
    return iso(max(0.0, ended - made.entry.seconds)), iso(ended)


def canonical_text(value: Any) -> Any:
    return value if isinstance(value, str) else canonical(value)


def _command(made: Made) -> str:
    return next((command_of(entry) for entry in made.entries if entry.kind == 'command'), '')


def _params(made: Made) -> dict[str, str]:
    return {entry.name: plain(entry) for entry in made.entries if entry.kind == 'param'}


def _stage(made: Made) -> dict[str, Any]:
    maker = made.maker
    begun, ended = times(made)
    said = {
        'stage': made.stage, 'key': str(made.key), 'command': _command(made), 'run': maker.run, 'who': maker.who,
        'host': maker.host, 'commit': maker.commit, 'startedOn': begun, 'finishedOn': ended,
    }  # fmt: skip
    found: dict[str, Any] = {name: value for name, value in said.items() if value}
    if maker.edited:  # not as the commit has them
        found['changed'] = list(maker.edited)
    if params := _params(made):
        found['params'] = params
    return found


def _commits(found: Upstream, repository: str) -> Iterator[dict[str, Any]]:
    for commit in dict.fromkeys(made.maker.commit for made in found.results.values() if made.maker.commit):
        where = {'uri': f'git+{repository}@{commit}'} if repository else {}
        yield {'name': 'repository', **where, 'digest': {'gitCommit': commit}}


def _inputs(found: Upstream, urls: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Each file from outside all stages, once for each content that it had."""
    told: set[tuple[str, str]] = set()
    for identity, made in found.results.items():
        contents = dict(made.entry.code_bytes) if made.entry else {}
        for source in found.sources.get(identity, ()):
            entry = source.entry
            if source.kind not in ('tracked', 'file', 'unknown') or entry.kind not in KINDS or entry.value is not None:
                continue
            digests = _digests(source, str(contents[entry.name].hex) if entry.name in contents else '')
            mark = (entry.name, str(digests))
            if mark in told:
                continue
            told.add(mark)
            where = {'uri': urls[source.output]} if source.output in urls else {}
            yield {'name': entry.name, **where, 'digest': digests, 'annotations': {'kind': entry.kind}}


def _digests(source: Source, content: str) -> dict[str, str]:
    """Of the bytes where they are known; of code its meaning too, which is what the key holds."""
    entry = source.entry
    found = {}
    if content:
        found['blake3'] = content
    elif source.ref is not None:
        found['mlops_tree_v1' if source.ref.kind == 'tree' else 'blake3'] = source.ref.digest.hex
    if meaning := _meaning(entry):
        if entry.digest.hex not in found.values():
            found[meaning] = entry.digest.hex
    elif not found:
        found['mlops_key_v1'] = entry.digest.hex
    return found


def _meaning(entry: Entry) -> str:
    if entry.kind != 'code':
        return ''
    return {'py': 'mlops_pyast_v1', NOTEBOOK[1:]: 'mlops_notebook_v1'}.get(entry.name.rpartition('.')[2], '')


def _between(found: Upstream, subjects: set[str]) -> Iterator[dict[str, Any]]:
    """What the stages made on the way."""
    for made in found.results.values():
        for path, ref in made.outputs:
            if path not in subjects and not any(name.startswith(f'{path}/') for name in subjects):
                kind = 'mlops_tree_v1' if ref.kind == 'tree' else 'blake3'
                yield {'name': path, 'digest': {kind: ref.digest.hex}, 'annotations': {'stage': made.stage}}
