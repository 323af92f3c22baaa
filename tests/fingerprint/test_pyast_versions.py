"""Every Python says the same of the same code: the golden corpus, the standard library, random f-strings."""
from __future__ import annotations

import hashlib
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.fingerprint.pyast import PREFIX, meaning
from mlops_cli.fingerprint.pyast_text import serialise
from tests.support import pythons
from tests.support.stdlib import sample, standard_library

GOLDEN = Path(__file__).parents[1] / 'golden/pyast'
EXPECTED = json.loads((GOLDEN / 'digests.json').read_text())
FILES = {str(GOLDEN / name): expected for name, expected in EXPECTED.items()}
HERE = '.'.join(map(str, sys.version_info[:2]))


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split('.')))


def python_or_skip(version: str) -> str:
    python = pythons.interpreters().get(version)
    if not python:
        pytest.skip(f'no Python {version} in ~/.pyenv/versions or on PATH')
    return python


def node_or_skip() -> Path:
    package = pythons.pyodide()
    if isinstance(package, str):
        pytest.skip(package)
    return package


# The golden corpus.

def disagreements(version: str, answers: dict[str, str | None], *, docstrings: bool = True) -> list[str]:
    """What is wrong with an interpreter's texts of the corpus, by file; the digest it should have had or has."""
    wrong = []
    for file, expected in FILES.items():
        text = answers[file]
        said = None if text is None else str(digest_of(PREFIX + text.encode()))
        wanted = expected['digest'] if docstrings else expected.get('without docstrings', expected['digest'])
        if wanted and _version(version) < _version(expected['since']):
            wanted = None
        may_refuse = expected.get('doubtful') and version != '3.11'
        if said != wanted and not (said is None and may_refuse):
            wrong.append(f'{version} {Path(file).name}: {said}, not {wanted}')
    return wrong


def test_the_corpus_is_complete() -> None:
    present = {path.name for path in GOLDEN.iterdir() if path.name.endswith(('.py', '.py.txt'))}
    assert present == EXPECTED.keys()
    assert len(present) >= 100
    assert {expected['since'] for expected in EXPECTED.values()} == {None, *pythons.VERSIONS}


@pytest.mark.parametrize('docstrings', [True, False])
def test_this_python_agrees_with_the_corpus(docstrings: bool) -> None:
    texts = {file: serialise(Path(file).read_bytes(), docstrings=docstrings) for file in FILES}
    answers = {file: None if text is None else text.decode() for file, text in texts.items()}
    assert not disagreements(HERE, answers, docstrings=docstrings)
    for file, text in texts.items():
        assert meaning(Path(file).read_bytes(), docstrings=docstrings) == (digest_of(PREFIX + text) if text else None)


@pytest.mark.parametrize('docstrings', [True, False])
@pytest.mark.parametrize('version', pythons.VERSIONS)
def test_another_python_agrees_with_the_corpus(version: str, docstrings: bool) -> None:
    answers = pythons.texts(python_or_skip(version), FILES, docstrings=docstrings, whole=True)
    assert not disagreements(version, answers, docstrings=docstrings)


@pytest.mark.full
@pytest.mark.parametrize('docstrings', [True, False])
def test_python_3_14_in_node_agrees_with_the_corpus(docstrings: bool) -> None:
    answers = pythons.texts_in_node(node_or_skip(), FILES, docstrings=docstrings, whole=True)
    assert not disagreements('3.14', answers, docstrings=docstrings)


def test_new_syntax_for_an_old_thing_means_the_old_thing() -> None:
    expected = EXPECTED['except_bare.py.txt']
    assert expected['since'] == '3.14'
    old = (GOLDEN / 'except_bare.py.txt').read_bytes().replace(b'A, B', b'(A, B)').replace(b'C, D', b'(C, D)')
    assert str(meaning(old)) == expected['digest']


# Code that was not written for us.

def ours(files: Sequence[str]) -> dict[str, str | None]:
    """As pythons.texts says it, by this interpreter."""
    texts = {file: serialise(Path(file).read_bytes()) for file in files}
    return {file: text and hashlib.sha256(text).hexdigest() for file, text in texts.items()}


def differing(one: dict[str, str | None], other: dict[str, str | None], *, at_least: float) -> list[str]:
    """The files of which two interpreters say different things; what one of them cannot parse does not count.
    ``at_least``: the share of files that both must have parsed."""
    both = [file for file in one if one[file] and other[file]]
    assert len(both) >= at_least * len(one)
    return [file for file in both if one[file] != other[file]]


@pytest.mark.parametrize('version', pythons.VERSIONS)
def test_another_python_agrees_on_a_sample_of_the_standard_library(version: str) -> None:
    files = sample(200)
    assert not differing(ours(files), pythons.texts(python_or_skip(version), files), at_least=0.95)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize('version', pythons.VERSIONS)
def test_another_python_agrees_on_the_standard_library(version: str) -> None:
    files = standard_library()
    assert not differing(ours(files), pythons.texts(python_or_skip(version), files), at_least=0.95)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_python_3_14_in_node_agrees_on_the_standard_library() -> None:
    files = sample(800, largest=100_000)
    assert not differing(ours(files), pythons.texts_in_node(node_or_skip(), files), at_least=0.95)


# Of all syntax f-strings are what releases disagree on most.

EXPRESSIONS = (
    'a', 'a.b', '(a)', 'a[0]', 'a[::2]', 'a[1:b]', 'f(x, y=1)', 'a != b', 'a==b', 'a<=b', 'f(lambda: 1)', '"#"', 'a["!="]',
    '*a,', 'a if b else c', '(a := 1)', 'a :=1', "'\\n'", 'b""', ' a', 'a ', '{1: 2}', ' {1} ', '[x for x in y]', 'é', 'not a',
)
ENDS = (
    '', '', '', '!r', ' !s', ':', ':>10', ':{w}', ':{w}{v}', ':x{w!r}', ':{{w}}', ':{w} {{v}}', ':\\n', ':\\x41', ':=',
    '!a:{w}', ':{w=}', ':{w}{v=}',
)
TEXTS = ('', 'a', '{{', '}}', ' ', '#', '=', '!', 'é', '\\n', '\\x41', '\\d', '\\N{DIGIT ONE}', '\\{{', ':', "'", '"')
QUOTES = ("'", '"', "'''", '"""')


def f_strings(count: int) -> list[str]:
    """Random ones, most of which parse somewhere."""
    rng = random.Random(701)
    made = []
    for _ in range(count):
        quote = rng.choice(QUOTES)
        body = ''
        for _ in range(rng.randint(1, 3)):
            shown = rng.choice(('', '', '=', ' = '))
            body += rng.choice(TEXTS) + '{' + rng.choice(EXPRESSIONS) + shown + rng.choice(ENDS) + '}' + rng.choice(TEXTS)
        made.append(rng.choice(('f', 'rf', 'F', 'fR')) + quote + body + quote)
    return made


def write_f_strings(folder: Path, count: int) -> list[str]:
    files = []
    for number, text in enumerate(f_strings(count)):
        (folder / f'{number}.py').write_text(text)
        files.append(str(folder / f'{number}.py'))
    return files


@pytest.mark.parametrize('version', pythons.VERSIONS)
def test_another_python_agrees_on_random_f_strings(version: str, tmp_path: Path) -> None:
    files = write_f_strings(tmp_path, 1000)
    assert not differing(ours(files), pythons.texts(python_or_skip(version), files), at_least=0.1)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_all_pythons_agree_on_many_random_f_strings(tmp_path: Path) -> None:
    files = write_f_strings(tmp_path, 20_000)
    said = {version: pythons.texts(python, files) for version, python in pythons.interpreters().items()}
    said['3.14 in node'] = pythons.texts_in_node(node_or_skip(), files)
    assert not {(one, two): wrong for one in said for two in said if (wrong := differing(said[one], said[two], at_least=0.1))}
