"""What is decided about results that were made again, on values; the sessions are in tests/cli/test_reproduce.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.experiments.reproduce.choose import parse_share, sample
from mlops_cli.experiments.reproduce.judge import _first_difference
from mlops_cli.experiments.reproduce.model import Judged, Number, Verdict, close, folded_environment
from mlops_cli.experiments.reproduce.surroundings import variables
from mlops_cli.git.separate import lay_out
from tests.support.project import Project

NAMES = [f'train@{number}' for number in range(100)]


def test_a_sample_follows_from_its_seed() -> None:
    one, two = sample(NAMES, 0.05, 'a' * 40), sample(NAMES, 0.05, 'b' * 40)
    assert len(one) == len(two) == 5 and one != two and one == sample(NAMES, 0.05, 'a' * 40)
    assert list(one) == sorted(one, key=NAMES.index), 'in the order of the pipeline'
    assert len(sample(NAMES[:3], 0.01, 'x')) == 1 and sample((), 0.5, 'x') == ()
    assert {name for seed in range(200) for name in sample(NAMES, 0.05, str(seed))} == set(NAMES), 'all have their turn'


@pytest.mark.parametrize('text', ['5', '0%', '101%', '-1%', 'x%', 'nan%', '%', '1/7'])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UserError, match='--sample'):
        parse_share(text)


def test_shares() -> None:
    assert parse_share('5%') == 0.05 and parse_share('100%') == 1.0 and parse_share('') is None


@pytest.mark.parametrize(
    ('before', 'after', 'tolerance', 'near'),
    [
        (0.9583, 0.9573, 0.001, True),
        (0.9583, 0.9572, 0.001, False),
        (1, 1.0, 0.0, True),
        (float('nan'), float('nan'), 0.0, True),
        (float('nan'), 1.0, 9.0, False),
        (float('inf'), float('inf'), 0.0, True),
        (float('inf'), 1.0, 9.0, False),
    ],
)
def test_numbers_are_near(before: float, after: float, tolerance: float, near: bool) -> None:
    assert close(before, after, tolerance) is near


def test_a_number_that_is_gone_is_within_no_tolerance() -> None:
    assert not Number('m.json', 'loss', 1.0, None, 99.0).within


@pytest.mark.parametrize(
    ('verdicts', 'word', 'first'),
    [
        (['identical', 'identical'], 'identical', None),
        (['identical', 'within'], 'within', 1),
        (['within', 'follows'], 'different', 0),
        (['identical', 'unrecorded'], 'unrecorded', None),
        (['different', 'failed'], 'failed', 0),
        (['failed', 'interrupted'], 'interrupted', 0),
        (['identical', 'skipped'], 'different', 1),
    ],
)
def test_one_word_for_all(verdicts: list[str], word: str, first: int | None) -> None:
    found = Verdict(tuple(Judged(f's{place}', verdict) for place, verdict in enumerate(verdicts)))  # type: ignore[arg-type]
    assert found.word == word
    assert (found.first.stage if found.first else None) == (None if first is None else f's{first}')


def test_environments_are_compared_package_by_package() -> None:
    one = {'python': '3.11.7', 'platform': 'Linux x86_64', 'packages': {'numpy': '1.0', 'gone': '1'}}
    two = {'python': '3.11.7', 'platform': 'Linux x86_64', 'packages': {'numpy': '2.0'}, 'gpu_driver': '550.54'}
    assert list(folded_environment(one, two)) == [
        ('gpu_driver', None, '550.54'), ('package gone', '1', None), ('package numpy', '1.0', '2.0'),
    ]  # fmt: skip


@pytest.mark.parametrize(('one', 'two', 'at'), [(b'abc', b'abd', 2), (b'', b'x', 0), (b'ab', b'abc', 2), (b'x', b'y', 0)])
def test_where_bytes_begin_to_differ(one: bytes, two: bytes, at: int) -> None:
    assert _first_difference(one, two) == at


def test_the_copys_code_comes_before_the_projects(tmp_path: Path) -> None:
    """An editable install leads to the user's present code: its copy is asked first."""
    project, there = str(tmp_path / 'project'), tmp_path / 'there'
    (there / 'src').mkdir(parents=True)
    environ = {'PYTHONPATH': f'/opt/lib:{project}/lib:rel', 'GIT_DIR': '/x/.git', 'MLOPS_CACHE_DIR': '/y', 'GIT_SHA': 'z'}
    found = variables(environ, project, str(there), [f'{project}/pkgs'])
    assert found == {'PYTHONPATH': f'/opt/lib:{there}/lib:rel:{there}/pkgs:{there}/src', 'GIT_SHA': 'z'}


def test_a_commit_laid_out_knows_its_history_and_runs_nothing(tmp_path: Path) -> None:
    project = Project(tmp_path / 'repository')
    project.init_git()
    project.write('inner/pipeline.yaml', 'version: 1\nstages: {}\n')
    project.write('inner/.mlops/stages/x.json', '[]\n')
    project.write('above.txt', 'above\n')
    project.write('.gitattributes', '*.txt filter=evil\n')
    first = project.commit('first')
    project.git('tag', 'v1')
    project.write('above.txt', 'later\n')
    project.commit('second')
    hook = project.write('.git/hooks/post-checkout', f'#!/bin/sh\ntouch {tmp_path}/pwned\n')
    hook.chmod(0o755)
    project.git('config', 'filter.evil.smudge', f'touch {tmp_path}/pwned')
    target = tmp_path / 'target'
    target.mkdir()
    before = sorted(str(path) for path in (project.path / '.git').rglob('*'))
    assert lay_out(str(project.path / 'inner'), first, str(target)) == 'inner'
    there = Project(target)
    assert there.read('above.txt') == 'above\n' and there.exists('inner/.mlops/stages/x.json')
    assert there.git('describe', '--tags', '--always', '--dirty').strip() == 'v1'
    assert there.git('log', '--format=%s', 'main').split() == ['second', 'first']
    assert there.git('-c', 'core.hooksPath=/dev/null', 'status', '--porcelain') == ''
    assert not os.path.exists(tmp_path / 'pwned')
    assert sorted(str(path) for path in (project.path / '.git').rglob('*')) == before
