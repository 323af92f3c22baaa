"""Any two branches that ran stages merge without a conflict: real branches, real repositories, git's default settings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.clock import run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.records.files import prepare_folders
from mlops_cli.records.gitignore import cover
from mlops_cli.records.pins import Pin, Pins
from mlops_cli.records.runs import Run, Runs, StageRun
from tests.support.project import GIT

MANY = 1000


def ref(text: str) -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), 'file')


def pin_of(stage: str, state: str = '', result: str = '') -> Pin:
    """As like each other as pins get: a long command and many inputs, all the same but for one parameter."""
    entries = [value_entry('command', 'cmd', {'cmd': f'python train.py {"--option value " * 40}', 'shell': '/bin/sh -e'})]
    entries += [
        Entry('code', f'src/package/of/some/depth/module_{number}.py', digest_of(b'%d' % number)) for number in range(12)
    ]
    entries += [value_entry('param', 'params.yaml:state', state), value_entry('output', f'{stage}.bin', {'persist': False})]
    return Pin(Manifest.of(entries), ((f'{stage}.bin', ref(result or stage + state)),), (('m.json', 'accuracy', 0.5),))


class Repository:
    """A clone of a team member who never touched git's settings."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        (path.parent / 'home').mkdir(exist_ok=True)
        self.environ = {'PATH': os.environ['PATH'], 'HOME': str(path.parent / 'home'), **GIT, 'GIT_EDITOR': 'true'}
        self.git('init', '-q', '-b', 'main')
        self.write('train.py', 'print(1)\n')
        self.commit('start')

    def git(self, *arguments: str) -> str:
        done = subprocess.run(['git', *arguments], cwd=self.path, env=self.environ, capture_output=True, check=False)
        assert done.returncode == 0, f'git {" ".join(arguments)}: {done.stdout.decode()}{done.stderr.decode()}'
        return done.stdout.decode()

    def write(self, rel: str, text: str) -> None:
        target = self.path / rel
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def commit(self, message: str) -> None:
        self.git('add', '-A')
        self.git('commit', '-q', '--allow-empty', '-m', message)

    def branch(self, name: str, start: str = '') -> None:
        self.git('switch', '-q', '-c', name, *([start] if start else []))

    def ran(self, *named: tuple[str, Pin], moment: float = 1.8e9, outputs: Iterable[str] = ()) -> None:
        """What a run leaves in the project: pins, its record, lines in .gitignore; then the user's commit."""
        with Root(self.path) as root, Batch('none') as batch:
            prepare_folders(root)
            pins = Pins(root)
            for stage, pin in named:
                pins.add(stage, pin, batch)
            stages = tuple(StageRun(stage, 'done', pin.key, pin.outs8, 1.0, 0) for stage, pin in named)
            Runs(root).add(Run(run_id(moment, os.urandom(8)), '2026-11-20T10:15:22Z', 1.0, 'done', stages), batch)
            batch.flush()
            cover(root, outputs)
        self.commit('ran stages')

    def added(self, path: str, text: str) -> None:
        with Root(self.path) as root, Batch('none') as batch:
            prepare_folders(root)
            data.add(root, path, ref(text), batch)
        self.commit(f'added {path}')

    def pins(self) -> set[str]:
        return set(os.listdir(self.path / layout.STAGES))

    def is_clean(self) -> bool:
        return self.git('status', '--porcelain') == ''


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / 'project')


def combine(repository: Repository, how: str, ours: str, theirs: str) -> None:
    """Brings all that ``theirs`` has into ``ours``, the way people do."""
    repository.git('switch', '-q', ours)
    if how == 'merge':
        repository.git('merge', '-q', '--no-edit', theirs)
    elif how == 'rebase':
        repository.git('switch', '-q', theirs)
        repository.git('rebase', '-q', ours)
    else:
        base = repository.git('merge-base', ours, theirs).strip()
        repository.git('cherry-pick', '--keep-redundant-commits', '--allow-empty', f'{base}..{theirs}')
    assert repository.is_clean()


ways = pytest.mark.parametrize('how', ['merge', 'rebase', 'cherry-pick'])


@ways
def test_a_thousand_pins_on_each_side(repository: Repository, how: str) -> None:
    base = [(f'stage-{number}', pin_of(f'stage-{number}')) for number in range(MANY // 2)]
    repository.ran(*base, outputs=['stage-0.bin'])
    repository.branch('other')
    theirs = [(f'stage-{number}', pin_of(f'stage-{number}', 'theirs')) for number in range(MANY)]
    repository.ran(*theirs, outputs=[f'{stage}.bin' for stage, _ in theirs])
    repository.git('switch', '-q', 'main')
    ours = [(f'stage-{number}', pin_of(f'stage-{number}', 'ours')) for number in range(MANY)]
    repository.ran(*ours, outputs=[f'{stage}.bin' for stage, _ in ours])
    combine(repository, how, 'main', 'other')
    assert repository.pins() == {pin.file_name(stage) for stage, pin in (*base, *ours, *theirs)}
    with Root(repository.path) as root:
        pins = Pins(root)
        for stage, pin in (*ours[::50], *theirs[::50]):
            assert pins.of_key(pin.key) == (pin,), stage
        assert len(list(Runs(root).newest())) == 3


@ways
def test_the_same_stages_with_the_same_results(repository: Repository, how: str) -> None:
    named = [(f'stage-{number}', pin_of(f'stage-{number}')) for number in range(20)]
    repository.branch('other')
    repository.ran(*named, outputs=['a.bin'])
    repository.git('switch', '-q', 'main')
    repository.ran(*named, outputs=['a.bin'], moment=1.9e9)
    combine(repository, how, 'main', 'other')
    assert repository.pins() == {pin.file_name(stage) for stage, pin in named}
    assert (repository.path / '.gitignore').read_text() == '/a.bin\n'


@ways
def test_different_results_of_one_key_stand_side_by_side(repository: Repository, how: str) -> None:
    repository.branch('other')
    repository.ran(('train', pin_of('train', result='theirs')))
    repository.git('switch', '-q', 'main')
    repository.ran(('train', pin_of('train', result='ours')))
    combine(repository, how, 'main', 'other')
    with Root(repository.path) as root:
        assert {pin.outs8 for pin in Pins(root).of_key(pin_of('train').key)} == {
            pin_of('train', result=result).outs8 for result in ('ours', 'theirs')
        }


@ways
def test_equal_results_one_of_them_with_its_numbers_pinned(repository: Repository, how: str) -> None:
    pin = pin_of('train')
    repository.branch('other')
    repository.ran(('train', Pin(pin.manifest, pin.outputs)))
    repository.git('switch', '-q', 'main')
    repository.ran(('train', pin))
    combine(repository, how, 'main', 'other')
    with Root(repository.path) as root:
        assert Pins(root).of_key(pin.key) == (pin,)


@ways
def test_a_stage_renamed_on_one_side(repository: Repository, how: str) -> None:
    repository.ran(('train', pin_of('train')))
    repository.branch('other')
    repository.ran(('fit', pin_of('train')), ('fit', pin_of('train', 'b')))
    repository.git('switch', '-q', 'main')
    repository.ran(('train', pin_of('train', 'b')), ('train', pin_of('train', 'c')))
    combine(repository, how, 'main', 'other')
    assert repository.pins() == {
        *(pin_of('train', state).file_name('train') for state in ('', 'b', 'c')),
        *(pin_of('train', state).file_name('fit') for state in ('', 'b')),
    }


@ways
@pytest.mark.parametrize('stage', ['train', 'renamed'])
def test_pins_taken_away_on_the_default_branch_are_no_renames(repository: Repository, how: str, stage: str) -> None:
    """As ``gc --pins`` does it; git then takes the like pins that were added for the old ones under new names."""
    old = [(f'train-{number}', pin_of('train', f'old {number}')) for number in range(30)]
    repository.ran(*old)
    repository.branch('other')
    repository.ran(*[('train', pin_of('train', f'their {number}')) for number in range(30)], ('train', pin_of('train', 'both')))
    repository.git('switch', '-q', 'main')
    for name, pin in old:
        os.unlink(repository.path / layout.STAGES / pin.file_name(name))
    repository.ran(*[(stage, pin_of('train', f'our {number}')) for number in range(30)], ('train', pin_of('train', 'both')))
    assert 'rename' in repository.git('show', '--stat', '--summary', '--format=', '-M'), 'else this test shows nothing'
    combine(repository, how, 'main', 'other')
    assert repository.pins() == {
        *(pin_of('train', f'our {number}').file_name(stage) for number in range(30)),
        *(pin_of('train', f'their {number}').file_name('train') for number in range(30)),
        pin_of('train', 'both').file_name('train'),
    }


@ways
def test_three_branches_one_after_the_other(repository: Repository, how: str) -> None:
    repository.ran(('a', pin_of('a')), outputs=['a.bin'])
    for number in range(3):
        repository.branch(f'other-{number}', 'main')
        repository.ran(*[('a', pin_of('a', f'{number} {step}')) for step in range(5)], outputs=[f'{number}.bin', 'z.bin'])
    repository.git('switch', '-q', 'main')
    for number in range(3):
        combine(repository, how, 'main', f'other-{number}')
        if how == 'rebase':
            repository.git('branch', '-f', 'main', f'other-{number}')
    repository.git('switch', '-q', 'main')
    assert len(repository.pins()) == 16
    assert (repository.path / '.gitignore').read_text().split()[0] == '/a.bin'
    assert sorted((repository.path / '.gitignore').read_text().split()) == ['/0.bin', '/1.bin', '/2.bin', '/a.bin', '/z.bin']


STARTS = {
    'nothing': None,
    'lines': '*.pyc\n/build/\n',
    'no newline at the end': '*.pyc',
    'CRLF': '*.pyc\r\n/build/\r\n',
    'an empty file': '',
}


@ways
@pytest.mark.parametrize('start', STARTS)
def test_lines_of_gitignore_from_both_sides(repository: Repository, how: str, start: str) -> None:
    text = STARTS[start]
    if text is not None:
        (repository.path / '.gitignore').write_bytes(text.encode())
        repository.commit('ignore')
    repository.branch('other')
    repository.ran(('a', pin_of('a')), outputs=['theirs-1.bin', 'theirs-2.bin', 'both.bin'])
    repository.git('switch', '-q', 'main')
    repository.ran(('b', pin_of('b')), outputs=['ours-1.bin', 'both.bin'])
    combine(repository, how, 'main', 'other')
    lines = (repository.path / '.gitignore').read_bytes().split(b'\n')
    assert {line.strip() for line in lines if line} == {
        *(line.encode() for line in (text or '').split()),
        b'/theirs-1.bin',
        b'/theirs-2.bin',
        b'/both.bin',
        b'/ours-1.bin',
    }
    assert (repository.path / '.gitattributes').read_text() == '.gitignore merge=union\n'
    for name in ('theirs-1.bin', 'ours-1.bin', 'both.bin'):
        repository.write(name, '')
    assert repository.is_clean()


@ways
def test_attributes_of_the_project_s_own(repository: Repository, how: str) -> None:
    repository.write('.gitattributes', '*.png binary')
    repository.commit('attributes')
    repository.branch('other')
    repository.ran(('a', pin_of('a')), outputs=['theirs.bin'])
    repository.git('switch', '-q', 'main')
    repository.ran(('b', pin_of('b')), outputs=['ours.bin'])
    combine(repository, how, 'main', 'other')
    assert (repository.path / '.gitattributes').read_text() == '*.png binary\n.gitignore merge=union\n'


@ways
def test_data_added_under_different_paths(repository: Repository, how: str) -> None:
    repository.added('data/raw/images', 'one')
    repository.branch('other')
    for path in ('data/raw/labels', 'data/raw/images.json/x', 'data/Same', 'other'):
        repository.added(path, 'two')
    repository.git('switch', '-q', 'main')
    for path in ('data/raw/tables', 'data/raw/images2', 'labels.json', 'data/same'):
        repository.added(path, 'two')
    combine(repository, how, 'main', 'other')
    with Root(repository.path) as root:
        assert list(data.tracked(root)) == sorted(
            [
                'data/raw/images',
                'data/raw/labels',
                'data/raw/images.json/x',
                'data/Same',
                'other',
                'data/raw/tables',
                'data/raw/images2',
                'labels.json',
                'data/same',
            ]
        )


def test_the_same_data_changed_on_both_sides_does_conflict_and_says_so(repository: Repository) -> None:
    repository.added('images', 'one')
    repository.branch('other')
    repository.added('images', 'theirs')
    repository.git('switch', '-q', 'main')
    repository.added('images', 'ours')
    done = subprocess.run(
        ['git', 'merge', 'other'], cwd=repository.path, env=repository.environ, capture_output=True, check=False
    )
    assert done.returncode == 1
    with Root(repository.path) as root, pytest.raises(UserError, match='two branches changed this data record') as raised:
        data.tracked(root)
    file = data.record_path('images')
    assert raised.value.hint == f'take one: git checkout --ours {file}, or --theirs'
    assert str(raised.value.where).startswith(f'{file}:')
    repository.git('checkout', '-q', '--theirs', file)
    with Root(repository.path) as root:
        assert data.tracked(root) == {'images': ref('theirs')}


@ways
def test_the_same_data_added_on_both_sides(repository: Repository, how: str) -> None:
    repository.branch('other')
    repository.added('images', 'one')
    repository.git('switch', '-q', 'main')
    repository.commit('something else')
    repository.added('images', 'one')
    combine(repository, how, 'main', 'other')
    with Root(repository.path) as root:
        assert data.tracked(root) == {'images': ref('one')}


@pytest.mark.parametrize('strategy', ['ort', 'recursive', 'resolve', 'octopus'])
def test_every_strategy_of_git(repository: Repository, strategy: str) -> None:
    repository.ran(('a', pin_of('a')), outputs=['a.bin'])
    repository.branch('other')
    repository.ran(*[(f's{number}', pin_of('a', f'their {number}')) for number in range(20)])
    repository.git('switch', '-q', 'main')
    repository.ran(*[(f's{number}', pin_of('a', f'our {number}')) for number in range(20)])
    repository.git('merge', '-q', '--no-edit', '-s', strategy, 'other')
    assert len(repository.pins()) == 41


def test_a_squash_and_a_merge_back(repository: Repository) -> None:
    repository.branch('other')
    repository.ran(('a', pin_of('a', '1')), outputs=['a.bin'])
    repository.ran(('a', pin_of('a', '2')), outputs=['b.bin'])
    repository.git('switch', '-q', 'main')
    repository.ran(('a', pin_of('a', '3')), outputs=['c.bin'])
    repository.git('merge', '-q', '--squash', 'other')
    repository.git('commit', '-q', '-m', 'squashed')
    repository.git('switch', '-q', 'other')
    repository.ran(('a', pin_of('a', '4')))
    repository.git('merge', '-q', '--no-edit', 'main')
    repository.git('switch', '-q', 'main')
    repository.git('merge', '-q', '--no-edit', 'other')
    assert len(repository.pins()) == 4
    assert repository.is_clean()


def test_stages_with_names_that_git_is_careful_about(repository: Repository, tmp_path: Path) -> None:
    names = [
        'git',
        'git~1',
        '.git',
        'mlops',
        '.gitmodules',
        'gitmod~1',
        '-x',
        'con',
        'a:b',
        '🚀',
        'x' * 300,
        'Train',
        'train',
        '..',
    ]
    repository.git('config', 'core.protectNTFS', 'true')
    repository.git('config', 'core.protectHFS', 'true')
    repository.ran(*[(name, pin_of('a', name)) for name in names])
    repository.git('clone', '-q', str(repository.path), str(tmp_path / 'clone'))
    assert len(os.listdir(tmp_path / 'clone' / layout.STAGES)) == len(names)
    subprocess.run(['git', 'fsck', '--strict'], cwd=tmp_path / 'clone', env=repository.environ, check=True, capture_output=True)
