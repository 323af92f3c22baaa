"""The folders of a cache are folders: what a link in their place leads to belongs to somebody else."""
from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.layout import OBJECTS, RESULTS
from mlops_cli.fsio.durable import Batch
from mlops_cli.store.results import Results
from mlops_cli.store.shelf import Place


@pytest.mark.parametrize('part', [OBJECTS, RESULTS])
@pytest.mark.parametrize('inside', ['', 'ab'])
def test_a_link_in_place_of_a_folder_is_refused_before_anything_is_read(tmp_path: Path, part: str, inside: str) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    link = tmp_path / 'cache' / part / inside
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    place = Place(tmp_path / 'cache', part, durable=False)
    with pytest.raises(UserError, match='is a symbolic link') as caught:
        _ = place.root
    assert caught.value.exit_code == ExitCode.REFUSED
    link.unlink()
    assert place.root.path == str(tmp_path / 'cache')
    place.close()


def test_the_cache_itself_may_lie_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'cache').symlink_to(tmp_path / 'disk')
    place = Place(tmp_path / 'cache', OBJECTS, durable=False)
    assert place.root.path == str(tmp_path / 'cache') and (tmp_path / 'disk' / OBJECTS).is_dir()
    place.close()


def test_the_own_cache_of_a_project_may_not(tmp_path: Path) -> None:
    (tmp_path / 'disk').mkdir()
    (tmp_path / '.mlops').mkdir()
    (tmp_path / '.mlops/cache').symlink_to(tmp_path / 'disk')
    with pytest.raises(UserError, match='is a symbolic link'):
        Place(tmp_path / '.mlops/cache', OBJECTS, durable=True).prepare()
    assert not [*(tmp_path / 'disk').iterdir()]


def test_nothing_is_looked_up_through_a_link(tmp_path: Path) -> None:
    key = digest_of(b'key')
    (tmp_path / 'outside').mkdir()
    (tmp_path / RESULTS).mkdir()
    results = Results(tmp_path, Batch('none'))
    assert results.lookup(key) == ()
    (tmp_path / RESULTS / key.hex[:2]).symlink_to(tmp_path / 'outside')
    with pytest.raises(UserError, match='is a symbolic link'):
        results.lookup(key)
    results.close()
