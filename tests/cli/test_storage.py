"""``storage``: the bytes of a real project, to the last one, and what is there twice."""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project

PIPELINE = """\
stages:
  prepare: {cmd: mkdir -p table; cat raw/*.txt > table/all.txt, deps: [raw], outs: [table]}
  train:
    matrix: {seed: [1, 2]}
    cmd: "for i in 1 2 3 4; do cat table/all.txt; done > model-${item.seed}.bin; echo ${item.seed} >> model-${item.seed}.bin"
    deps: [table]
    outs: ["model-${item.seed}.bin"]
    model: {name: digits, path: "model-${item.seed}.bin"}
"""


def made(folder: Path) -> Project:
    project = Project(folder)
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('raw/a.txt', 'a' * 10_000)
    project.write('raw/b.txt', 'b' * 5_000)
    project.mlops('add', 'raw')
    project.mlops('run')
    project.commit('first')
    return project


def rows(project: Project, *words: str) -> dict[tuple[str, str], dict[str, int]]:
    found = project.mlops('storage', 'show', '--json', *words).json
    assert sum(row['bytes'] for row in found['rows']) == found['bytes']
    assert sum(row['objects'] for row in found['rows']) == found['objects']
    return {(row['kind'], row['name']): row for row in found['rows']}


def test_every_byte_is_somebodys(tmp_path: Path) -> None:
    project = made(tmp_path / 'p')
    found = rows(project)
    stored = [path for path in (project.path / '.mlops/cache/objects-v1').rglob('*') if path.is_file()]
    assert sum(row['bytes'] for row in found.values()) == sum(path.stat().st_size for path in stored)
    raw, train = found['data', 'raw'], found['stage', 'train']
    assert raw['now'] == raw['bytes'] >= 15_000 and raw['versions'] == 1
    assert train['now'] == train['bytes'] == 2 * (60_000 + 2) and train['model'] == 'digits'
    project.write('raw/a.txt', 'c' * 12_000)
    project.mlops('add', 'raw')
    project.mlops('run')
    project.commit('second')
    found = rows(project)
    raw, train = found['data', 'raw'], found['stage', 'train']
    assert (raw['versions'], train['versions']) == (2, 2)
    assert raw['bytes'] - raw['now'] > 10_000 and train['bytes'] - train['now'] == 2 * 60_002
    out = project.mlops('storage').out
    assert 'train (model digits)' in out and 'VERSIONS' in out
    project.write('pipeline.yaml', PIPELINE.split('  train:')[0])
    found = rows(project)
    assert ('stage', 'train') not in found and sum(row['bytes'] for key, row in found.items() if key[0] == 'gone') > 200_000
    assert 'outputs no stage has now' in project.mlops('storage').out


def test_what_it_costs(tmp_path: Path) -> None:
    project = made(tmp_path / 'p')
    assert 'a month' not in project.mlops('storage').out
    project.mlops('config', 'set', 'cache.price', '1000')
    project.mlops('config', 'set', 'currency', 'EUR')
    found = project.mlops('storage', 'show', '--json').json
    assert found['cost'] == found['bytes'] * 1000 / 1e9 and found['currency'] == 'EUR'
    assert 'EUR a month' in project.mlops('storage').out
    assert 'is not a number' in project.mlops('config', 'set', 'cache.price', 'nan', code=2).err
    assert 'three capital letters' in project.mlops('config', 'set', 'currency', 'euro', code=2).err


def test_of_a_remote(tmp_path: Path) -> None:
    project = made(tmp_path / 'p')
    project.mlops('remote', 'add', 'origin', str(tmp_path / 'remote'), '--local')
    project.mlops('config', 'set', 'remotes.origin.price', '0.5')
    project.mlops('push')
    here, there = rows(project), rows(project, '--remote', 'origin')
    for key in (('data', 'raw'), ('stage', 'prepare'), ('stage', 'train')):
        assert (there[key]['bytes'], there[key]['objects']) == (here[key]['bytes'], here[key]['objects'])
    (tmp_path / 'bucket').mkdir()
    (tmp_path / 'bucket/copy [1].txt').write_text('a' * 10_000)
    asked = ('storage', 'duplicates', '--min-size', '0', 'origin', str(tmp_path / 'bucket'))
    [group] = project.mlops(*asked, '--json').json['rows']
    assert {(copy['place'], copy['key']) for copy in group['copies']} == {
        ('origin', 'raw/a.txt'), (str(tmp_path / 'bucket'), 'copy [1].txt')
    }  # fmt: skip
    out = project.mlops(*asked).out
    assert '10 kB to spare: 2 copies of 10 kB' in out and 'copy [1].txt' in out
    assert 'No duplicates' in project.mlops('storage', 'duplicates').out
    assert 'No duplicates' in project.mlops('storage', 'duplicates', 'origin', str(tmp_path / 'remote')).out


def test_what_is_asked_for_wrongly(tmp_path: Path) -> None:
    project = made(tmp_path / 'p')
    for words, said in (
        (('duplicates',), 'this project has no remote'),
        (('duplicates', 'nowhere'), 'nowhere: no remote and no folder'),
        (('duplicates', '--min-size', 'big', '.'), "'big' is no size"),
        (('duplicates', 'ftp://x/y'), 'ftp://'),
        (('show', '--remote', 'x'), "there is no remote 'x'"),
    ):
        assert said in project.mlops('storage', *words, code=2).err


def test_a_hostile_record_does_no_harm(tmp_path: Path) -> None:
    project = made(tmp_path / 'p')
    for path in (project.path / '.mlops/cache/results-v1').rglob('*.json'):
        path.chmod(0o644)
        path.write_text('{"schema": "mlops/result/v1"')
    project.write('.mlops/data/bad.json', '{}')
    project.commit('bad')
    (project.path / '.mlops/data/bad.json').unlink()
    found = project.mlops('storage', 'show', '--json').json
    assert any('bad.json' in note for note in found['notes'])
    assert 'note:' in project.mlops('storage').out + project.mlops('storage').err
