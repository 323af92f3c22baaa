"""One setting changed; every other byte of the file as it was."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.records.config_edit import path_of, value_of, with_value, without

FILE = """\
# the team's
jobs: 4   # as the big machine has
cache:
  # where there is room
  dir: /srv/cache
  links: [copy]
tokens: {licence: 2, seat: 1}
remotes:
  origin:
    url: s3://a/b
    desc: ours
"""


def removed(name: str, text: str = FILE) -> str:
    return without(text.encode(), 'f', path_of(name)).decode()


def test_setting_a_value_changes_only_that() -> None:
    assert with_value(FILE.encode(), 'f', ('jobs',), 8).decode() == FILE.replace('jobs: 4 ', 'jobs: 8 ')
    assert with_value(FILE.encode(), 'f', ('tokens', 'seat'), 5).decode() == FILE.replace('seat: 1', 'seat: 5')


def test_taking_a_value_out() -> None:
    assert removed('jobs') == FILE.replace('jobs: 4   # as the big machine has\n', '')
    assert removed('cache.links') == FILE.replace('  links: [copy]\n', '')
    assert removed('tokens.seat') == FILE.replace(', seat: 1', '')
    assert removed('remotes.origin.desc') == FILE.replace('    desc: ours\n', '')
    assert removed('remotes.origin') == FILE.partition('remotes:')[0]


def test_what_then_holds_nothing_goes_too() -> None:
    assert removed('cache.dir', 'cache:\n  dir: /x\njobs: 1\n') == 'jobs: 1\n'
    assert removed('jobs', '# why\njobs: 1\n') == '# why\n'
    assert removed('jobs', 'jobs: 1') == ''
    assert removed('tokens.a', 'tokens: {a: 1}\njobs: 1\n') == 'jobs: 1\n'
    with pytest.raises(UserError, match='cannot be taken out without'):
        removed('cache.dir', '{cache: {dir: /x}, jobs: 1}\n')


@pytest.mark.parametrize('name', ['durability', 'tokens.other', 'remotes.other.url', 'remotes.origin.url.x'])
def test_what_is_not_there_cannot_be_taken_out(name: str) -> None:
    with pytest.raises(UserError):
        removed(name)


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('job', 'did you mean jobs?'),
        ('cache', 'did you mean cache.dir?'),
        ('tokens', 'such as tokens.NAME'),
        ('token.x', 'did you mean tokens.NAME?'),
        ('jobs.x', 'did you mean jobs?'),
        ('', 'settings are'),
        ('remotes..url', 'settings are'),
    ],
)
def test_names_that_are_none(name: str, hint: str) -> None:
    with pytest.raises(UserError) as raised:
        path_of(name)
    assert hint in raised.value.hint or 'did you mean' in raised.value.hint


def test_words_of_the_command_line_as_values() -> None:
    assert [value_of(text) for text in ('4', 'x', '[a, b]', '{url: x}', 'true', '')] == [
        4,
        'x',
        ['a', 'b'],
        {'url': 'x'},
        True,
        None,
    ]
    for text in ('[a', '9' * 30):
        with pytest.raises(UserError):
            value_of(text)


def test_a_file_of_very_many_lines_is_not_taken_apart() -> None:
    with pytest.raises(UserError, match='more than 50,000 lines'):
        with_value(b'#\n' * 60_000, 'config.yaml', ('jobs',), 2)


@pytest.mark.parametrize('value', ['/x\udcff', ['a', '\udcff'], {'url': 's3://b/\udcc3'}, {'\udcff': 1}])
def test_what_no_file_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match='is not UTF-8, which config'):
        with_value(b'jobs: 2\n', 'config.yaml', ('cache', 'dir'), value)
    with pytest.raises(UserError, match='is not UTF-8'):
        with_value(b'jobs: 2\n', 'config.yaml', ('tokens', '\udcff'), 3)
