"""The files of models: what is written is read back, what is not as we write it is refused, with the place."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import models
from mlops_cli.records.files import prepare_folders
from mlops_cli.records.model_files import Models, strangers
from mlops_cli.records.models import Fact, Person, Version, decode, name_fits

PAGE = Path(__file__).parents[2] / 'docs/formats/models.md'
ADA = Person('Ada', 'ada@example.org', 'gpu1')
WHEN = '2026-11-20T10:15:22Z'
VERSION = Version(
    'digits', 1, 'best.skops', ObjectRef(digest_of(b'model'), 5, 'file'),
    '9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4', 'train', ADA, WHEN,
    (('train', digest_of(b'key'), '01234567'),), 'f' * 40, 'main', 'first',
    made={'run': '20261120T101500Z-7k2m9q4c', 'who': 'Ada'}, metrics=(('best.json', 'accuracy', 0.97),),
    params=(('params.yaml:train.rate', 0.1),), data=(('data/digits.csv', digest_of(b'data')),),
    commands=(('train', 'python train.py'),), checks=('validate',), environment={'platform': 'Linux x86_64'},
    usage={'cpu_seconds': 4.0}, seconds=2.5,
)  # fmt: skip
FACTS = (
    Fact('approval', 'digits', VERSION.digest, Person('Ben'), WHEN, 'prod', 'looked at it'),
    Fact('promotion', 'digits', VERSION.digest, ADA, WHEN, 'prod', decision='promote', gates=('gate passed: x',)),
    Fact('tag', 'digits', None, ADA, WHEN, text='use-case=ocr'),
    Fact('note', 'digits', VERSION.digest, ADA, WHEN, text='two\nlines'),
)
EVERY: tuple[Version | Fact, ...] = (VERSION, *FACTS)


@pytest.mark.parametrize('one', EVERY, ids=lambda one: type(one).__name__ + getattr(one, 'kind', ''))
def test_what_is_written_is_read_back(one: Version | Fact) -> None:
    assert decode(one.encoded, one.file) == one and name_fits(one.file)
    assert decode(one.encoded.replace(b'\n', b'\r\n'), one.file) == one


def test_the_page_has_such_a_file() -> None:
    path, text = re.search(r'`(\.mlops/models/[^`]+)`\n\n```json\n(.*?)```', PAGE.read_text(), re.DOTALL).groups()  # type: ignore[union-attr]
    assert (path, text) == (VERSION.file, VERSION.encoded.decode())
    assert decode(text.encode(), path) == VERSION


@pytest.mark.parametrize('one', EVERY, ids=lambda one: type(one).__name__ + getattr(one, 'kind', ''))
def test_no_byte_may_be_another(one: Version | Fact) -> None:
    data = one.encoded
    for place in range(0, len(data), 3):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(UserError):
            decode(changed, one.file)
    for cut in range(0, len(data), 7):
        with pytest.raises(UserError):
            decode(data[:cut], one.file)


@pytest.mark.parametrize(
    'changes',
    [
        {'name': '../x'}, {'name': 'a/b'}, {'name': ''}, {'number': 0}, {'path': '../x'}, {'path': '.git/config'},
        {'path': '/x'}, {'sha256': 'x'}, {'when': 'now'}, {'when': '2026-02-31T00:00:00Z'}, {'results': ()},
        {'stage': 'a\x1b[2J'}, {'text': 'x' * 2001},
        {'metrics': (('m', 'x', float('inf')),)}, {'who': Person('x\ny')}, {'made': {'run': 1}}, {'seconds': -1.0},
        {'signature': 'x' * 5000},
    ],
    ids=str,
)  # fmt: skip
def test_what_no_version_can_say(changes: dict[str, object], tmp_path: Path) -> None:
    wrong = replace(VERSION, **changes)  # type: ignore[arg-type]
    with Root(tmp_path) as root, Batch('none') as batch, pytest.raises((UserError, ValueError)):
        prepare_folders(root)
        Models(root).add(wrong, batch)
    assert not (tmp_path / '.mlops/models').exists() or not any((tmp_path / '.mlops/models').rglob('*.json'))


def test_a_file_in_another_place_is_refused() -> None:
    promotion = FACTS[1]
    for file in (
        promotion.file.replace('/prod/', '/staging/'),
        promotion.file.replace('digits', 'faces'),
        promotion.file.replace('aliases/prod', 'approvals'),
        f'{models.folder_of("digits")}/elsewhere/x.json',
    ):
        with pytest.raises(UserError):
            decode(promotion.encoded, file)


def test_a_folder_is_read_with_what_is_damaged_in_it(tmp_path: Path) -> None:
    with Root(tmp_path) as root, Batch('none') as batch:
        prepare_folders(root)
        for one in EVERY:
            Models(root).add(one, batch)
        batch.flush()
        (tmp_path / f'{models.folder_of("digits")}/notes/20261120T101522Z-0123456789abcdef.json').write_text('{}')
        (tmp_path / f'{models.folder_of("digits")}/README.md').write_text('Ours.\n')
        (tmp_path / '.mlops/models/link').symlink_to('/etc')
        found = Models(root).all
        assert list(found) == ['digits'] and set(found['digits'].versions) == {VERSION.digest}
        assert len(found['digits'].facts) == 4 and len(found['digits'].problems) == 1
        assert strangers(root) == ['.mlops/models/digits/README.md', '.mlops/models/link']


def test_names_of_people_make_no_path() -> None:
    assert models.check_alias('prod-eu.1') == 'prod-eu.1'
    for name in ('v3', '3', 'latest', 'Prod', 'a/b', '..', ''):
        with pytest.raises(UserError):
            models.check_alias(name)
