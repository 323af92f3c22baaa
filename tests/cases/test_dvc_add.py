"""Losses from DVC's list of issues (the numbers in the names), while data is added: none of them happens here."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import forked
from tests.support.project import Project

PIPELINE = 'stages:\n  s: {cmd: "cat data/1 > out", deps: [data], outs: [out]}\n'
MOUNTS = shutil.which('unshare') is not None and not subprocess.run(
    ['unshare', '-rm', 'true'], capture_output=True, check=False
).returncode  # fmt: skip
mounts = pytest.mark.skipif(not MOUNTS, reason='no namespace of our own to mount a small disk in')


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def objects(project: Project) -> list[Path]:
    return [path for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file()]


ON_A_SMALL_DISK = """\
mount -t tmpfs -o size=3m none "$1"
cp -a "$2/." "$1"
cd "$1"
sum() { cat data/1 data/2 data/3 data/4 | sha256sum; }
before=$(sum)
code=0; "$3" -m mlops_cli add data || code=$?
echo "full: $code"
[ "$(sum)" = "$before" ] && echo "all there"
mount -o remount,size=30m "$1"
"$3" -m mlops_cli add data && "$3" -m mlops_cli verify && [ "$(sum)" = "$before" ] && echo "added then"
"""


@mounts
def test_dvc_10413_disk_full_while_adding(project: Project, tmp_path: Path) -> None:
    """The originals were moved into the cache and linked back; with the disk full in between they were gone.

    Here data that is added is only ever read: it is copied beside, and the copy gets a name once it is whole."""
    project.write('pipeline.yaml', PIPELINE)
    for number in range(1, 5):
        project.write(f'data/{number}', os.urandom(500_000))
    (tmp_path / 'small').mkdir()
    words = ['unshare', '-rm', 'sh', '-ec', ON_A_SMALL_DISK, '-', str(tmp_path / 'small'), str(project.path), sys.executable]
    done = subprocess.run(words, env=project.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 'full: 6' in done.stdout and 'No space left' in done.stderr
    assert 'all there' in done.stdout and 'added then' in done.stdout


def test_dvc_6387_4349_3001_an_add_that_fails_halfway(project: Project) -> None:
    """Files that had been moved into the cache already stayed there when a later one could not be; one was unlinked because
    the link to it was not permitted.

    Here an error at any change leaves every file as it is, the very same file."""
    project.write('pipeline.yaml', PIPELINE)
    for number in range(3):
        project.write(f'data/{number}', f'text {number}\n')
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in (project.path / 'data').iterdir()}

    def fail() -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), 'data')

    failed = 0
    for number in range(1, 40, 3):
        done = forked.do(['add', 'data'], project.path, project.environ, edit_before=number, edit=fail)
        assert 'Traceback' not in done.err, done.err
        assert {path.name: (path.stat().st_ino, path.read_bytes()) for path in (project.path / 'data').iterdir()} == before
        failed += done.code == 6
    assert failed > 3
    os.mkfifo(project.path / 'data/pipe')
    assert 'data/pipe is a named pipe' in project.mlops('add', 'data', code=5).err
    (project.path / 'data/pipe').unlink()
    project.mlops('add', 'data')
    assert {path.name: (path.stat().st_ino, path.read_bytes()) for path in (project.path / 'data').iterdir()} == before


def test_dvc_8874_what_lies_outside_is_left_alone(project: Project, tmp_path: Path) -> None:
    """Adding what lay outside of the project removed it there, and had not put it into the cache.

    Here what lies outside is refused before anything is read."""
    project.write('pipeline.yaml', PIPELINE)
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'precious').write_text('precious')
    for word in (str(outside), '../outside/precious', str(outside / 'precious')):
        assert 'outside' in project.mlops('add', word, code=2).err
    (project.path / 'link').symlink_to(outside)
    project.mlops('add', 'link', code=5)
    project.mlops('add', 'link/precious', code=5)
    assert texts(outside) == {'precious': b'precious'} and not objects(project)


@pytest.mark.parametrize('links', ['hardlink', 'symlink', 'copy'])
def test_dvc_10557_what_is_added_shares_no_file_with_the_cache(project: Project, links: str) -> None:
    """With hard links, the file in the workspace and the object were one file from the first moment: whoever wrote to it
    meanwhile wrote into the cache.

    Here what somebody has open is never an object, however outputs are linked."""
    project.write('pipeline.yaml', PIPELINE)
    path = project.write('data/1', 'one')
    with open(path, 'a') as file:
        project.mlops('add', 'data', environ={'MLOPS_CACHE_LINKS': links})
        assert path.stat().st_nlink == 1 and not path.is_symlink()
        file.write(' and more')
    assert project.mlops('verify').code == 0
    assert b'one' in [one.read_bytes() for one in objects(project)]
    assert path.read_text() == 'one and more'
    assert 'not saved anywhere' in project.mlops('checkout', 'data', code=5).err
    assert path.read_text() == 'one and more'


def test_dvc_4343_4164_7532_872_3596_10111_10124_no_list_without_its_files(project: Project) -> None:
    """Lists of folders were stored without the files in them; after that everything was called up to date.

    Here, wherever an add is killed, what is recorded can be had; what cannot be had is in no record."""
    project.write('pipeline.yaml', PIPELINE)
    for number in range(3):
        project.write(f'data/sub/{number}', f'text {number}\n')
    kept = shutil.copytree(project.path / 'data', project.path.parent / 'kept')
    recorded = code = number = 0
    while code != 0 or number == 0:
        number += 7
        code = forked.do(['add', 'data'], project.path, project.environ, kill_before=number).code
        if project.exists('.mlops/data/data.json'):
            recorded += 1
            shutil.rmtree(project.path / 'data')
            project.mlops('checkout', 'data')
            assert texts(project.path / 'data/sub') == texts(kept / 'sub')
        shutil.rmtree(project.path / '.mlops')
    assert recorded and number > 12


def test_dvc_6387_a_file_that_changes_all_the_time_is_not_added_half(project: Project) -> None:
    """What was stored while somebody wrote to it was neither the old content nor the new.

    Here it is looked at again after it was copied, and told if it will not hold still."""
    project.write('pipeline.yaml', PIPELINE)
    path = project.write('data/1', 'x' * 3_000_000)
    script = 'import sys\nwhile True:\n    with open(sys.argv[1], "r+") as f: f.write("y")\n'
    with subprocess.Popen([sys.executable, '-c', script, str(path)]) as writer:
        done = project.mlops('add', 'data', code=None)
        writer.kill()
    assert done.code in (0, 1), done.err
    if done.code:
        assert 'changed while reading' in done.err and not project.exists('.mlops/data/data.json')
    assert project.mlops('verify').code == 0
