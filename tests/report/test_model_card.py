"""Pages in Markdown do nothing but say what is in them, whoever it comes from."""

from __future__ import annotations

import pytest

from mlops_cli.core.classes import replace
from mlops_cli.records.model_files import Model
from mlops_cli.records.models import Person
from mlops_cli.report import data_report
from mlops_cli.report.markdown import plain
from mlops_cli.report.model_card import markdown
from tests.faults.shown import acting
from tests.registry.test_policy import version


@pytest.mark.parametrize('text', [
    '<script>alert(1)</script>', '<!-- x', '![x](https://x.org/y.png)', '[x](javascript:y)', '@ada', 'a @org/team b',
    '#12', 'org/repo#12', 'GH-12', 'https://x.org', 'HTTP://x.org', 'ftp://x.org', 'www.x.org', 'WWW.X.ORG',
    'ada@x.org', '<ada@x.org>', 'a|b', 'a\n\nb', '- x', '* x', '1. x', '1) x', '---', '===', '# x', '    x', '```\nx',
    '~~~', '`', '``` `` `', '\\', '\\@ada', '&lt;b&gt;', '&#64;ada', '\u202ex', 'a\u200bb', '\x1b[31m', '\x00',
    '<details>', '</table>', '| a |\n|---|', '> x', '\u2028- x', '[x]: https://x.org', '[^1]', '$x$', '~x~', '__x__',
    '<code>', '</code>@ada', 'x' * 300 + '@ada', '+ x', '\t- x', 'a  \nb',
])  # fmt: skip
def test_nothing_in_a_card_acts(text: str) -> None:
    """In every field that a person or a file may have filled."""
    one = replace(
        version(1), text=text, who=Person(text, text, text), branch=text, commit=text, stage='train',
        made={'run': text, 'who': text, 'host': text}, metrics=((text, text, 1.0),), params=((text, text), ('a', [text])),
        commands=(('train', text),), checks=(text,), environment={text: text, 'packages': {text: text}}, changed=(text,),
    )  # fmt: skip
    assert acting(markdown(Model(one.name, {one.digest: one}), one, None, None)) == []
    assert acting(data_report.markdown(text, text, ['rule'], [[text], ['x']])) == []


@pytest.mark.parametrize(('text', 'shown'), [
    ('a plain text, of 3 words', 'a plain text, of 3 words'), ('2026-11-20', '2026-11-20'), ('train.py', 'train.py'),
    ('a_b', 'a\\_b'), ('- x', '\\- x'), ('1. x', '1\\. x'), ('ada@x.org', '<code>ada&#64;x&#46;org</code>'),
])  # fmt: skip
def test_what_is_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize('text', ['@ada', '<b>', 'www.x.org', '[x](y)', '<!-- x -->', '#12', '\u202e', '![x](y)', '    x'])
def test_what_acts_is_seen(text: str) -> None:
    assert acting(f'{text}\n')
