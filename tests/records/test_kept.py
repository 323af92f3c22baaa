"""Runs that somebody wants to keep: exact bytes, strict reading, and branches that never conflict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.kept import Keep, Kept, decode
from tests.support.project import Project

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'kept.md'
RUN = '20261120T101522Z-7k2m9q4c'
KEEP = Keep(RUN, 'the one in the paper', 'ada', '2026-11-21T09:00:00Z')


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def add(root: Root, *keeps: Keep) -> None:
    with Batch('none') as batch:
        for keep in keeps:
            Kept(root).add(keep, batch)


def test_the_example_on_the_page_is_what_is_written() -> None:
    text = PAGE.read_text()
    assert f'`{layout.KEPT}/{KEEP.file_name}`' in text
    assert f'```json\n{KEEP.encode().decode()}```' in text


def test_kept_and_released(root: Root) -> None:
    kept = Kept(root)
    assert kept.files() == {} and kept.of(RUN) == ()
    add(root, KEEP)
    assert kept.files() == {RUN: (f'{layout.KEPT}/{KEEP.file_name}',)}
    assert kept.of(RUN) == (KEEP,)
    assert kept.remove(RUN) == (f'{layout.KEPT}/{KEEP.file_name}',)
    assert kept.files() == {} and kept.remove(RUN) == ()


def test_two_branches_may_keep_one_run(root: Root) -> None:
    other = Keep(RUN, 'the baseline', 'ben', '2026-11-20T12:00:00Z')
    add(root, KEEP, other)
    assert Kept(root).of(RUN) == (other, KEEP), 'oldest first'
    assert len(Kept(root).remove(RUN)) == 2


def test_branches_that_keep_and_release_merge(project: Project) -> None:
    """No file is ever changed, so git has nothing to conflict about."""
    with Root(project.path) as root:
        project.commit('empty')
        project.git('switch', '-q', '-c', 'one')
        add(root, KEEP)
        project.commit('kept here')
        project.git('switch', '-q', 'main')
        add(root, Keep(RUN, 'the baseline', 'ben', '2026-11-20T12:00:00Z'))
        project.commit('kept there')
        project.git('merge', '-q', '-m', 'both', 'one')
        assert [keep.who for keep in Kept(root).of(RUN)] == ['ben', 'ada']
        project.git('switch', '-q', '-c', 'two')
        Kept(root).remove(RUN)
        project.commit('released')
        project.git('switch', '-q', 'main')
        project.git('merge', '-q', 'two')
        assert Kept(root).files() == {}


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        (b'', 'damaged'),
        (b'{}', 'does not say its format'),
        (KEEP.encode().replace(b'kept/v1', b'kept/v9'), 'update mlops'),
        (KEEP.encode().replace(b'"ada"', b'7'), 'who is no text'),
        (KEEP.encode().replace(b'2026-11-21T09', b'yesterday'), 'when is'),
        (KEEP.encode().replace(b'7k2m9q4c', b'7k2m9q4d'), 'does not fit its run'),
        (b'<<<<<<< HEAD\n' + KEEP.encode(), 'two branches'),
    ],
)
def test_what_is_not_as_we_write_it_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UserError) as error:
        decode(data, f'{layout.KEPT}/{KEEP.file_name}')
    assert said in f'{error.value.message} {error.value.hint}'
    assert error.value.where is not None and error.value.where.file.endswith(KEEP.file_name)


def test_line_ends_of_a_checkout_do_no_harm() -> None:
    assert decode(KEEP.encode().replace(b'\n', b'\r\n'), KEEP.file_name) == KEEP


def test_other_files_and_links_are_passed_over(root: Root, tmp_path: Path) -> None:
    add(root, KEEP)
    folder = Path(root.full(layout.KEPT))
    (folder / 'README').write_text('mine')
    (folder / f'{RUN}~0000.json').write_text('')
    assert list(Kept(root).files()) == [RUN]
    secret = tmp_path / 'secret'
    secret.write_text('password')
    (folder / KEEP.file_name).unlink()
    (folder / KEEP.file_name).symlink_to(secret)
    with pytest.raises(UserError, match='symbolic link'):
        Kept(root).of(RUN)


def test_a_reason_has_an_end(root: Root) -> None:
    with pytest.raises(UserError, match='characters'):
        add(root, Keep(RUN, 'x' * 2001, 'ada', KEEP.when))
