"""Whatever a branch records of models, well named but made up: it is refused, or shown; nothing ends as a bug."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from mlops_cli.cli import model_documents
from mlops_cli.cli.screens.models import diff_lines, history_lines, list_lines, show_lines, warning_lines
from mlops_cli.core.canonical import document
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_names import resolve_in
from mlops_cli.records.models import Fact, Version, decode, folder_of
from mlops_cli.records.policies import Policy
from mlops_cli.registry.comparing import compare
from mlops_cli.registry.court import Court
from mlops_cli.registry.signing import Trunk
from mlops_cli.report.model_card import markdown
from tests.registry.test_policy import BEN, Known, approval, promotion, version

STRANGE: tuple[Any, ...] = (
    None, True, -1, 1e308, 10**30, '', 'x' * 5000, '\ud800', '\x1b[31m', '\u202e', 'a\nb', '../../x', '-rf', '@',
    '[red]x[/red]', [], {}, [[]], [['a', 'b', 'c']], [['a', 1]], {'a': {'b': ['c']}}, {'packages': 5}, {'packages': {'a': [1]}},
    {'': ''}, [None], [1.5], {'gpu_seconds': 'x'}, {'gpu_seconds': 1e308, 'memory_peak_bytes': -1}, ['a' * 300], [['a', None]],
    [['a', {'b': [True]}]], {'run': 'x'}, [['\u202e', '[x]', 1]], 'blake3:' + '0' * 64, '9999-12-31T23:59:59Z',
    '2026-11-20T10:15:22Z',
)  # fmt: skip
VERSION = version(1)
NOW = from_iso('2026-11-20T12:00:00Z')


def named(content: dict[str, Any], one: Version | Fact) -> tuple[bytes, str] | None:
    """As a file with the name that its content asks for; None where such a value cannot be written at all."""
    try:
        data = document(content)
    except (ValueError, TypeError, UnicodeEncodeError):
        return None
    hexes = digest_of(data).hex
    if isinstance(one, Version):
        return data, f'{folder_of("digits")}/versions/v{content["number"]}-{hexes[:8]}.json'
    return data, one.file.rpartition('-')[0] + f'-{hexes[:16]}.json'


def look_at(model: Model, of: Version) -> None:
    """Everything that is ever shown of it."""
    other = version(9)
    for columns in (40, 80, 200):
        list_lines([(model, of)], NOW, columns)
        show_lines(model, of, None, None, model.of_kind('note'), NOW, columns)
        history_lines(model, [*model.versions.values(), *model.facts.values()], columns)
        diff_lines(of, other, compare(of, other), columns)
        warning_lines([model])
    markdown(model, of, None, None)
    json.dumps(model_documents.show(model, of, None, 'EUR', {}))
    with Root('/') as root:
        policy = Policy(gates=('best.json:accuracy >= @prod/best.json:accuracy',), approvals=1, expires_seconds=5.0)
        court = Court(model, Trunk(root), lambda _: (policy,), NOW)
        court.judge(of, 'prod')
        for fact in model.of_kind('promotion'):
            court.stands(fact)
    for word in ('digits', 'digits@prod', 'digits@v1', f'digits@{of.id}'):
        with suppress(UserError):
            resolve_in(Known(*model.versions.values(), *model.facts.values()), word)  # type: ignore[arg-type]


@pytest.mark.parametrize('key', sorted(VERSION.content))
def test_versions(key: str) -> None:
    read = 0
    for value in STRANGE:
        written = named({**VERSION.content, key: value}, VERSION)
        if written is None:
            continue
        try:
            found = decode(*written)
        except UserError:
            continue
        assert isinstance(found, Version)
        read += 1
        look_at(Model('digits', {found.digest: found}, {(fact := promotion(found)).digest: fact}), found)
    assert read or key in ('schema', 'name', 'number', 'model', 'sha256', 'results')


FACTS = (approval(VERSION, BEN), promotion(VERSION), Fact('tag', 'digits', None, BEN, '2026-11-20T10:00:00Z', text='a'))


@pytest.mark.parametrize(('fact', 'key'), [(fact, key) for fact in FACTS for key in sorted(fact.content)], ids=str)
def test_facts(fact: Fact, key: str) -> None:
    for value in STRANGE:
        written = named({**fact.content, key: value}, fact)
        if written is None:
            continue
        try:
            found = decode(*written)
        except UserError:
            continue
        assert isinstance(found, Fact)
        look_at(Model('digits', {VERSION.digest: VERSION}, {found.digest: found, FACTS[1].digest: FACTS[1]}), VERSION)
