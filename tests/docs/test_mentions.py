"""Every command that a page mentions exists, with the options that stand behind it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.contract import commands, tree
from tests.docs.test_links import pages
from tests.docs.tour import ROOT

INLINE = re.compile(r'`(mlops [^`\n]+)`')
TYPED = re.compile(r'(?m)^(?:\$ |> )?(?:.*(?:&&|;|\|\|) )?(mlops [a-z][^\n#]*)')
FENCES = re.compile(r'(?ms)^```(?:sh|console)?\n(.*?)^```$')
HISTORY = ('CHANGELOG.md', 'docs/decisions/')  # what was, is not what is
EVERYWHERE = {'-h', '--help', '-V', '--version', '-q', '--quiet', '-v', '--verbose', '-C', '--yes', '--lock-timeout'}
GROUPS = {path[:1] for path in commands() if len(path) > 1}


def mentions(page: Path) -> list[str]:
    text = page.read_text()
    blocks = ''.join(FENCES.findall(text))
    return INLINE.findall(re.sub(r'(?ms)^```.*?^```$', '', text)) + TYPED.findall(blocks)


def wrong(mention: str) -> str:
    """What of a mention does not exist; empty if all of it does."""
    try:
        words = shlex.split(re.split(r' (?:&&|\|\||\||;|>|2>|<) ', mention)[0])[1:]
    except ValueError:  # a sentence, not a command line
        return ''
    while words and words[0] in EVERYWHERE:
        words = words[2 if words[0] in ('-C', '--lock-timeout') else 1 :]
    if not words or not re.fullmatch(r'[a-z][a-z-]*', words[0]):
        general = known(tree()) | EVERYWHERE
        return ' '.join(word for word in words if word.startswith('-') and word not in general)
    path = next((tuple(words[:length]) for length in (2, 1) if tuple(words[:length]) in commands()), None)
    if path is None:
        of_group = (words[0],) in GROUPS and (len(words) == 1 or not re.fullmatch(r'[a-z]+', words[1]))
        return '' if of_group else ' '.join(words[:2])
    words = [word for word in words[len(path) :] if ' ' not in word]  # one with a space in it is a value
    options = {re.split('=', word)[0] for word in words if re.match(r'--?[a-z]', word)}
    unknown = options - known(commands()[path]) - EVERYWHERE
    return ' '.join(sorted(one for one in unknown if not re.fullmatch(r'-[a-z]\d+', one)))


def known(of: object) -> set[str]:
    return {name for param in of['params'] for name in param['names']}  # type: ignore[index]


@pytest.mark.parametrize(
    'page',
    [page for page in pages() if not str(page.relative_to(ROOT)).startswith(HISTORY)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_pages_mention_exists(page: Path) -> None:
    assert [(mention, wrong(mention)) for mention in mentions(page) if wrong(mention)] == []


@pytest.mark.parametrize(
    ('mention', 'what'),
    [
        ('mlops run --forse x', '--forse'),
        ('mlops runs lits', 'runs lits'),
        ('mlops frobnicate', 'frobnicate'),
        ('mlops -C x status --exit-code && echo', ''),
        ('mlops runs', ''),
        ('mlops run -j4', ''),
        ('mlops COMMAND -h', ''),
    ],
)
def test_the_test_finds_mistakes(mention: str, what: str) -> None:
    assert wrong(mention) == what


def said(source: Path) -> Iterator[tuple[int, str]]:
    """The texts of a module that are not documentation of itself."""
    tree = ast.parse(source.read_text())
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.lineno, node.value


def test_no_message_sends_a_person_to_a_page_that_is_not_installed() -> None:
    """Who has the tool from a wheel has no docs folder: what a hint has to say, it says."""
    found = [
        f'{path.relative_to(ROOT)}:{line}'
        for path in sorted((ROOT / 'mlops_cli').rglob('*.py'))
        for line, text in said(path)
        if re.search(r'\bdocs/[\w/-]+\.md(?! of mlops)', text) and 'Written by docs/generate.py' not in text
    ]
    assert found == []
