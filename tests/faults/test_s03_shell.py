"""Values that mean something to a shell: some of S3 at every change, and that its judge sees what runs and what is mangled."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mlops_cli.pipeline.template import Scope
from tests.faults.base import Setting, Trial
from tests.faults.rows import s03_shell as s3
from tests.faults.tools import mlops

pytestmark = pytest.mark.skipif(bool(s3.lacks()), reason=s3.lacks())


def test_every_value_arrives_or_is_refused(tmp_path: Path) -> None:
    verdict = s3.attempt(Setting(mlops(), tmp_path, tmp_path, False), 'fast')
    assert not verdict.bad, '\n'.join(verdict.notes)


def naive(text: str, scope: Scope) -> str | None:
    """As many tools write a value into a command."""
    words = text.replace('P ', "/usr/bin/printf '%s\\0' ").replace('${none:-fallback}', 'fallback')
    value = scope.values['v']
    return words.replace('${v}', value).replace('${l}', f'{value} z {value}').replace('${m}', f'--opt {value}')


def careless(text: str, scope: Scope) -> str | None:
    """Quoted, but for a bare word wherever it stands."""
    words = text.replace('P ', "/usr/bin/printf '%s\\0' ").replace('${none:-fallback}', 'fallback')
    value = shlex.quote(scope.values['v'])
    return words.replace('${v}', value).replace('${l}', f'{value} z {value}').replace('${m}',
        f'--opt {value} --n {value} {value} --flag')


@pytest.mark.parametrize(('render', 'value', 'kind'), [
    (naive, '$(touch pwned)', 'escaped'), (naive, ';touch pwned;', 'escaped'), (naive, 'a  b', 'corrupt'), (naive, '*',
    'corrupt'),
    (careless, "'; touch pwned; '", 'escaped'), (careless, 'a b', 'corrupt'), (lambda *_: None, 'x', 'wrong'), (naive, 'x',
    'wrong'),
])  # fmt: skip
def test_the_judge_can_see(tmp_path: Path, render: object, value: str, kind: str) -> None:
    trial = Trial()
    s3.quoting(tmp_path / 'here', value, trial, render)  # type: ignore[arg-type]
    assert trial.verdict().bad.get(kind)
