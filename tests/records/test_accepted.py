"""Acceptances: written once, merged without a conflict, and never believed further than they are well-formed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.accepted import (
    DIFFERENCES,
    TEXT_LENGTH,
    Acceptances,
    Accepted,
    check_reason,
    decode,
    differences,
)
from mlops_cli.records.files import prepare_folders

ONE = Accepted(
    'train@forest-1',
    digest_of(b'key'),
    digest_of(b'outputs'),
    'train@forest-1~0123456789abcdef-01234567.json',
    'ada',
    'gpu1',
    '2026-11-20T10:15:22Z',
    'only log messages changed, ü',
    '20261120T091522Z-7k2m9q4c',
    'accepted',
    (('param', 'train.rate', '0.1', None, ''), ('code', 'train.py', None, 'beef', 'function "fit" changed')),
)


def folder(path: Path) -> Root:
    root = Root(str(path))
    prepare_folders(root)
    return root


def stored(root: Root, *accepted: Accepted) -> Acceptances:
    with Batch('none') as batch:
        for one in accepted:
            Acceptances(root).add(one, batch)
    return Acceptances(root)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with folder(tmp_path) as root:
        found = stored(root, ONE)
        assert found.of_key(ONE.key) == (ONE,) == found.of_stage('train@forest-1')
        assert found.of_key(digest_of(b'another')) == () == found.of_stage('train@forest-2')
        crlf = ONE.data.replace(b'\n', b'\r\n')
        assert decode(crlf, ONE.path) == ONE


def test_the_last_one_comes_last_whatever_its_name(tmp_path: Path) -> None:
    several = [replace(ONE, when=f'2026-11-{day}T10:00:00Z', who=who) for day, who in ((22, 'a'), (20, 'b'), (21, 'c'))]
    with folder(tmp_path) as root:
        assert [one.who for one in stored(root, *several).of_key(ONE.key)] == ['b', 'c', 'a']


def test_one_that_was_just_added_is_known(tmp_path: Path) -> None:
    with folder(tmp_path) as root, Batch('none') as batch:
        found = Acceptances(root)
        assert found.of_key(ONE.key) == ()
        assert found.add(ONE, batch) == ONE.path
        assert found.of_key(ONE.key) == (ONE,)


def test_the_format_is_as_its_page_says() -> None:
    page = (Path(__file__).parents[2] / 'docs/formats/accepted.md').read_text()
    name, text = re.findall(r'^`(\.mlops/accepted/[^`]+)`\n\n```json\n(.*?)```', page, re.DOTALL | re.MULTILINE)[0]
    assert decode(text.encode(), name).reason == 'only log messages changed'
    keys = set(re.findall(r'^ "(\w+)":', text, re.MULTILINE))
    assert keys <= set(re.findall(r'`(\w+)`', page))


def damaged_ones() -> list[tuple[str, bytes]]:
    text = ONE.data
    return [
        ('empty', b''),
        ('no JSON', b'<<<<<<< ours\n'),
        ('a list', b'[]'),
        ('no format', b'{}'),
        ('another format', text.replace(b'accepted/v1', b'accepted/v9')),
        ('a reason with an end', text.replace(b'only log', b'only other log')),
        ('a key that is none', text.replace(b'"key":"blake3:', b'"key":"md5:')),
        ('a time that is none', text.replace(b'2026-11-20T10', b'yesterday 10')),
        ('a day that is none', text.replace(b'2026-11-20', b'2026-13-40')),
        ('a far future', text.replace(b'2026-11-20', b'9999-12-31')),
        ('a kind that is none', text.replace(b'"kind":"accepted"', b'"kind":"granted"')),
        ('a number as reason', re.sub(rb'"reason":"[^"]*"', b'"reason":7', text)),
        ('a reason without end', text.replace(b'only log', b'x' * 2000)),
        ('differences that are none', re.sub(rb'\["param"[^\n]*', b'["param",1],', text)),
        ('a row too long', text.replace(b'["param",', b'["param","more",')),
        ('no list of differences', re.sub(rb'"differed":\[.*?\n \]', b'"differed":{}', text, flags=re.DOTALL)),
        ('something behind it', text + b' '),
        ('very deep', b'{"schema":' + b'[' * 100_000),
    ]


@pytest.mark.parametrize(('what', 'data'), damaged_ones(), ids=[what for what, _ in damaged_ones()])
def test_what_is_damaged_is_told_with_its_place(what: str, data: bytes) -> None:
    with pytest.raises(UserError) as error:
        decode(data, ONE.path)
    assert error.value.where is not None and error.value.where.file == ONE.path and error.value.hint


def test_a_name_that_does_not_fit_is_damage() -> None:
    with pytest.raises(UserError, match='does not give its name'):
        decode(ONE.data, ONE.path.replace('train', 'brain'))


def test_a_link_and_a_giant_are_refused(tmp_path: Path) -> None:
    with folder(tmp_path) as root:
        there = tmp_path / layout.ACCEPTED
        there.mkdir()
        (there / ONE.file_name).symlink_to('/etc/passwd')
        with pytest.raises(UserError, match='symbolic link'):
            Acceptances(root).of_key(ONE.key)
        (there / ONE.file_name).unlink()
        (there / ONE.file_name).write_bytes(b' ' * (1 << 20))
        with pytest.raises(UserError, match='larger than'):
            Acceptances(root).of_key(ONE.key)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    """A damaged acceptance of another stage is none of this one's concern."""
    with folder(tmp_path) as root:
        stored(root, ONE)
        (tmp_path / layout.ACCEPTED / 'other~0123456789abcdef-01234567.json').write_text('damaged')
        (tmp_path / layout.ACCEPTED / 'README').write_text('not ours')
        assert Acceptances(root).of_key(ONE.key) == (ONE,)


@pytest.mark.parametrize('text', ['', '  \n', 'two\nlines', 'a \x1b[31m colour', 'x' * 1001, 'a\u2028b'])
def test_a_reason_is_one_line_of_text(text: str) -> None:
    with pytest.raises(UserError) as error:
        check_reason(text)
    assert error.value.hint


def test_a_reason_is_trimmed() -> None:
    assert check_reason('  only logs  ') == 'only logs'


def test_long_differences_are_cut_and_many_are_left_out() -> None:
    found = differences([('param', 'x' * 1000, None, 'y' * 1000, '')] * 100)
    assert len(found) == DIFFERENCES and all(len(text) == TEXT_LENGTH for text in (found[0][1], found[0][3] or ''))
    assert decode((one := replace(ONE, differed=found)).data, one.path) == one


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with folder(tmp_path) as root, Batch('none') as batch:
        with pytest.raises(UserError, match='cannot be recorded'):
            Acceptances(root).add(replace(ONE, who='x' * 300), batch)
        assert not (tmp_path / layout.ACCEPTED).exists()
