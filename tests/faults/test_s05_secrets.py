"""A few cases of row S5, and that its judge sees what it is there for."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.faults.base import Setting, Trial
from tests.faults.rows import s05_secrets
from tests.faults.tools import Done, mlops


@pytest.mark.parametrize('case', ['say in pieces', 'say progress', 'corpus 0/200'])
def test_no_secret_is_kept_or_printed(tmp_path: Path, case: str) -> None:
    verdict = s05_secrets.run(Setting(mlops(), tmp_path, tmp_path, False), case)
    assert verdict.tried >= 60 and verdict.bad == {}, verdict.notes


def test_there_are_sixty_and_none_twice() -> None:
    assert len(set(s05_secrets.secrets().values())) == 60


@pytest.mark.parametrize('write', [str, json.dumps, repr, lambda text: base64.b64encode(text.encode()).decode()])
@pytest.mark.parametrize('name', ['HF_TOKEN', 'DB_PASSWORD', 'UTF_SECRET', 'DECLARED', 'DATABASE_DSN', 'SIGNING_PRIVATE'])
def test_the_judge_sees(tmp_path: Path, name: str, write: object) -> None:
    assert callable(write)
    value = s05_secrets.secrets()[name]
    if name in ('DATABASE_DSN', 'SIGNING_PRIVATE') and write not in (str, json.dumps, repr):
        return  # as a whole in base64 neither shows its parts
    (tmp_path / 'file').write_text(f'before {write(value)} after')
    for folder, done, own in (
        (tmp_path, [], set[Path]()),
        (tmp_path / 'none', [Done(('', '', '', 'x'), 0, '', f'said {write(value)}', 0.0)], set[Path]()),
    ):
        trial = Trial()
        s05_secrets.judge(trial, folder, done, {name: value}, 'tried', own)
        assert trial.verdict().bad == {'leaked': 1}
    trial = Trial()
    s05_secrets.judge(trial, tmp_path, [], {name: value}, 'tried', {tmp_path / 'file'})
    assert trial.verdict().bad == {}
