"""The JSON documents of ``mlops lineage``.  Values in, plain data out; every change of shape is a new version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlops_cli.cli.documents import reason_document
from mlops_cli.core.manifest import Entry
from mlops_cli.core.refs import ref_document
from mlops_cli.experiments.lineage_diff import LineageDiff, Pair
from mlops_cli.experiments.lineage_model import Downstream, Made, Source, Target, Upstream, Use


def document(found: Upstream | Downstream | LineageDiff) -> dict[str, Any]:
    if isinstance(found, Upstream):
        return upstream_document(found)
    return downstream_document(found) if isinstance(found, Downstream) else diff_document(found)


def target_document(target: Target) -> dict[str, Any]:
    contents = [ref_document(content.path, content.ref) for content in target.contents]
    return {
        'word': target.word,
        'kind': target.kind,
        'title': target.title,
        'said': list(target.said),
        'found': target.found,
        'made_by': list(target.makers),
        'contents': contents,
    }


def made_document(made: Made) -> dict[str, Any]:
    maker = made.maker
    return {
        'id': made.id,
        'stage': made.stage or None,
        'key': str(made.key),
        'present': made.present,
        'pins': list(made.pins),
        'cached': made.entry is not None,
        'suspect': made.entry.suspect if made.entry else False,
        'seconds': made.seconds,
        'made': {
            'run': maker.run or None,
            'at': maker.at or None,
            'who': maker.who or None,
            'host': maker.host or None,
            'commit': maker.commit or None,
            'branch': maker.branch or None,
            'ci': maker.ci,
            'trial': maker.trial,
            'edited': None if maker.edited is None else list(maker.edited),
        },
        'runs': [{'run': one.run, 'state': one.state} for one in made.runs],
        'accepted': [{'who': one.who, 'when': one.when, 'reason': one.reason, 'run': one.run or None} for one in made.accepted],
        'inputs_known': made.manifest is not None,
        'outputs': [ref_document(path, ref) for path, ref in made.outputs],
        'metrics': [{'file': file, 'name': name, 'value': value} for file, name, value in made.metrics],
        'environment': _plain(made.environment),
    }


def _plain(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Names and texts; of packages, names and versions."""
    found: dict[str, Any] = {}
    for name, value in environment.items():
        found[name] = {str(k): str(v) for k, v in value.items()} if isinstance(value, Mapping) else str(value)
    return found


def entry_document(entry: Entry) -> dict[str, Any]:
    value = json.loads(entry.value) if entry.value is not None else None
    return {'kind': entry.kind, 'name': entry.name, 'digest': str(entry.digest), 'value': value}


def source_document(source: Source) -> dict[str, Any]:
    return {
        **entry_document(source.entry),
        'origin': source.kind,
        'made_by': list(source.makers),
        'through': source.through if source.makers else None,
        'output': source.output or None,
        'size': source.ref.size if source.ref else None,
        'now': source.now or None,
    }


def upstream_document(found: Upstream) -> dict[str, Any]:
    nodes = []
    edges = []
    for identity, made in found.results.items():
        sources = found.sources.get(identity, ())
        of_sources = {source.entry.sort_key: source_document(source) for source in sources}
        plain = [entry for entry in made.entries if entry.sort_key not in of_sources and entry.kind != 'output']
        inputs = [*map(entry_document, plain), *of_sources.values()]
        nodes.append({**made_document(made), 'inputs': inputs, 'cut': identity in found.cut})
        edges += [
            {'from': source.makers[0], 'to': identity, 'path': source.entry.name, 'through': source.through}
            for source in sources
            if source.makers and source.makers[0] in found.results
        ]
    return {
        'schema': 'mlops/lineage-upstream/v1',
        'target': target_document(found.target),
        'nodes': nodes,
        'edges': edges,
        'notes': list(found.notes),
    }


def downstream_document(found: Downstream) -> dict[str, Any]:
    nodes = [{**made_document(made), 'cut': identity in found.cut} for identity, made in found.results.items()]
    return {
        'schema': 'mlops/lineage-downstream/v1',
        'target': target_document(found.target),
        'nodes': nodes,
        'edges': [_use(use) for use in found.uses],
        'others': found.others,
        'runs': sorted({run.run for made in found.results.values() for run in made.ran}),
        'notes': list(found.notes),
    }


def _use(use: Use) -> dict[str, Any]:
    return {'from': use.of or None, 'to': use.by, 'path': use.entry.name, 'through': use.through}


def diff_document(found: LineageDiff) -> dict[str, Any]:
    nodes = {made.id: made for pair in found.pairs for made in (pair.before, pair.after)}
    nodes |= {made.id: made for made, _ in found.alone}
    return {
        'schema': 'mlops/lineage-diff/v1',
        'before': target_document(found.before),
        'after': target_document(found.after),
        'same': bool(found.pairs) and all(pair.state == 'same' for pair in found.pairs) and not found.alone,
        'pairs': [_pair(pair) for pair in found.pairs],
        'only_before': [made.id for made, later in found.alone if not later],
        'only_after': [made.id for made, later in found.alone if later],
        'nodes': [made_document(made) for made in nodes.values()],
        'notes': list(found.notes),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        'before': pair.before.id,
        'after': pair.after.id,
        'state': pair.state,
        'reasons': [reason_document(one) for one in pair.own],
        'follows': list(pair.follows),
        'environment': [{'name': name, 'before': before, 'after': after} for name, before, after in pair.environment],
    }
