"""Models as JSON documents that other programs rely on.  Values in, plain data out."""

from __future__ import annotations

from typing import Any

from mlops_cli.records.model_files import Model
from mlops_cli.records.model_standing import USE_CASE, aliases_of, doubled, label, tag_value, tags
from mlops_cli.records.models import Fact, Version
from mlops_cli.usage.cost import Cost


def row(model: Model, version: Version) -> dict[str, Any]:
    """One line of a list, flat."""
    found: dict[str, Any] = {
        'model': model.name, 'version': version.label, 'id': version.id, 'number': version.number,
        'aliases': ' '.join(aliases_of(model, version.digest)), 'tags': ' '.join(tags(model, version.digest)),
        'model_tags': ' '.join(tags(model, None)), 'use_case': tag_value(tags(model, None), USE_CASE),
        'when': version.when, 'who': version.who.name, 'email': version.who.email,
        'stage': version.stage, 'run': version.short_run, 'path': version.path, 'size': version.ref.size,
        'digest': str(version.ref.digest), 'sha256': version.sha256, 'commit': version.made.get('commit', version.commit),
        'shares_number': doubled(model, version), 'signed': bool(version.signature),
    }  # fmt: skip
    return found | {f'metric.{name}': number for name, number in metrics_of(version).items()}


def metrics_of(version: Version) -> dict[str, float | int]:
    """By their names alone; where two files have one, with the file."""
    names = [name for _, name, _ in version.metrics]
    return {
        (name if names.count(name) == 1 else f'{file}:{name}'): number for file, name, number in version.metrics
    }


def fact_row(model: Model, one: Version | Fact) -> dict[str, Any]:
    """One line of a history, flat."""
    if isinstance(one, Version):
        about = {'event': 'register', 'version': label(model, one.digest), 'alias': '', 'before': ''}
        gates, signed = '', bool(one.signature)
    else:
        event = one.decision if one.kind == 'promotion' else ('untag' if one.kind == 'tag' and one.off else one.kind)
        before = [label(model, model.facts[digest].version) for digest in one.follows if digest in model.facts]
        about = {
            'event': {'approval': 'approve'}.get(event, event), 'alias': one.alias,
            'version': label(model, one.version) if one.version else '', 'before': ' '.join(dict.fromkeys(before)),
        }  # fmt: skip
        gates, signed = '; '.join(one.gates), bool(one.signature)
    return {
        'model': model.name, 'when': one.when, **about, 'who': one.who.name, 'email': one.who.email, 'text': one.text,
        'gates': gates, 'signed': signed, 'file': one.file,
    }  # fmt: skip


def show(model: Model, version: Version, cost: Cost | None, currency: str, extra: dict[str, Any]) -> dict[str, Any]:
    """All about a version."""
    amounts = dict(cost.amounts) if cost else {}
    return {
        'schema': 'mlops/models-show/v1',
        **{key: value for key, value in row(model, version).items() if not key.startswith('metric.')},
        'kind': version.ref.kind,
        'aliases': list(aliases_of(model, version.digest)),
        'tags': list(tags(model, version.digest)),
        'model_tags': list(tags(model, None)),
        'text': version.text,
        'made': dict(version.made),
        'metrics': [list(one) for one in version.metrics],
        'params': [list(one) for one in version.params],
        'data': [[path, str(digest)] for path, digest in version.data],
        'code': [[path, str(digest)] for path, digest in version.code],
        'commands': [list(one) for one in version.commands],
        'results': [[stage, str(key), outs8] for stage, key, outs8 in version.results],
        'checks': list(version.checks),
        'environment': dict(version.environment),
        'usage': dict(version.usage),
        'seconds': version.seconds,
        'cost': {'amounts': amounts, 'unknown': cost.unknown if cost else 'no run is known', 'currency': currency},
        'left_out': dict(version.left_out),
        'changed': list(version.changed),
        'file': version.file,
        **extra,
    }
