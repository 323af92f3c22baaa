"""A DVC project without DVC: what its own files say is enough."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mlops_cli.adopt.dvc import yaml12
from tests.support.project import Project


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Dvc:
    """Writes what DVC writes."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.init_git()
        project.write('.dvc/config', '')
        project.write('.dvc/.gitignore', '/cache\n/tmp\n/config.local\n')

    def cached(self, data: bytes, name: str = '') -> str:
        """Puts an object into DVC's cache; its name."""
        oid = name or md5(data)
        path: Path = self.project.path / '.dvc/cache/files/md5' / oid[:2] / oid[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        return oid

    def folder(self, files: dict[str, bytes], *, cached: bool = True) -> str:
        rows = [{'md5': self.cached(data) if cached else md5(data), 'relpath': rel} for rel, data in sorted(files.items())]
        data = json.dumps(rows, sort_keys=True).encode()
        return self.cached(data, f'{md5(data)}.dir') if cached else f'{md5(data)}.dir'


@pytest.fixture
def dvc(project: Project) -> Dvc:
    made = Dvc(project)
    raw, out = b'1\n2\n', b'2\n'
    project.write('data/raw.csv', raw.decode())
    project.write('data/raw.csv.dvc', f'outs:\n- md5: {made.cached(raw)}\n  size: 4\n  hash: md5\n  path: raw.csv\n')
    project.write('params.yaml', 'lines: 1\n')
    project.write('dvc.yaml', 'stages:\n  head:\n    cmd: tail -${lines} data/raw.csv > out.csv\n'
                              '    deps: [data/raw.csv]\n    params: [lines]\n    outs: [out.csv]\n')  # fmt: skip
    project.write('dvc.lock', f"""\
schema: '2.0'
stages:
  head:
    cmd: tail -1 data/raw.csv > out.csv
    deps:
    - {{path: data/raw.csv, hash: md5, md5: {md5(raw)}, size: 4}}
    params: {{params.yaml: {{lines: 1}}}}
    outs:
    - {{path: out.csv, hash: md5, md5: {made.cached(out)}, size: 2}}
""")
    project.write('out.csv', out.decode())
    return made


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in files}


def test_what_dvc_recorded_counts_and_nothing_is_run(dvc: Dvc) -> None:
    before = everything(dvc.project.path / '.dvc')
    done = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert [(one['name'], one['adopted']) for one in done['stages']] == [('head', True)]
    assert [one['path'] for one in done['data']] == ['data/raw.csv']
    verdicts = {one['name']: one['verdict'] for one in dvc.project.mlops('status', '--json').json['stages']}
    assert verdicts == {'head': 'fresh'}
    assert everything(dvc.project.path / '.dvc') == before
    dvc.project.write('params.yaml', 'lines: 2\n')
    assert dvc.project.mlops('status', '--json').json['stages'][0]['verdict'] == 'run'


def test_outputs_that_only_the_cache_has_can_be_restored(dvc: Dvc) -> None:
    project = dvc.project
    (project.path / 'out.csv').unlink()
    (project.path / 'data/raw.csv').unlink()
    project.mlops('adopt', 'dvc')
    assert project.mlops('status', '--json').json['stages'][0]['verdict'] == 'restore'
    project.mlops('checkout')
    assert (project.path / 'out.csv').read_text() == '2\n' and (project.path / 'data/raw.csv').read_text() == '1\n2\n'


def test_objects_that_are_not_what_their_names_say_are_not_believed(dvc: Dvc) -> None:
    project = dvc.project
    (project.path / 'out.csv').unlink()
    path = project.path / '.dvc/cache/files/md5' / md5(b'2\n')[:2] / md5(b'2\n')[2:]
    path.chmod(0o644)
    path.write_bytes(b'evil\n')
    done = project.mlops('adopt', 'dvc', '--json').json
    assert not done['stages'][0]['adopted'] and done['objects']['damaged'] == 1


def test_a_pipeline_that_is_there_is_not_written_over(dvc: Dvc) -> None:
    dvc.project.mlops('adopt', 'dvc')
    dvc.project.mlops('adopt', 'dvc')  # again: the same
    dvc.project.write('pipeline.yaml', 'stages: {mine: {cmd: echo}}\n')
    assert dvc.project.mlops('adopt', 'dvc', code=5).err
    assert dvc.project.read('pipeline.yaml') == 'stages: {mine: {cmd: echo}}\n'


def test_what_version_two_recorded_counts_too(project: Project) -> None:
    """Hashes of text with Unix line ends, objects without files/md5, entries without hash."""
    made = Dvc(project)
    text = b'a,b\r\n1,2\r\n'
    legacy = md5(text.replace(b'\r\n', b'\n'))
    old = project.path / '.dvc/cache' / legacy[:2] / legacy[2:]
    old.parent.mkdir(parents=True)
    old.write_bytes(text)
    old.chmod(0o444)
    project.write('raw.csv.dvc', f'outs:\n- md5: {legacy}\n  size: 10\n  path: raw.csv\n')
    project.write('dvc.yaml', 'stages:\n  copy: {cmd: cp raw.csv copy.csv, deps: [raw.csv], outs: [copy.csv]}\n')
    paths = (('deps', 'raw.csv'), ('outs', 'copy.csv'))
    rows = [f'    {kind}: [{{path: {path}, md5: {legacy}, size: 10}}]' for kind, path in paths]
    entry = '\n'.join(["schema: '2.0'", 'stages:', '  copy:', '    cmd: cp raw.csv copy.csv', *rows, ''])
    project.write('dvc.lock', entry)
    assert made.project.mlops('adopt', 'dvc', '--json').json['stages'][0]['adopted']
    project.mlops('checkout')
    assert (project.path / 'copy.csv').read_bytes() == (project.path / 'raw.csv').read_bytes() == text
    assert project.verdicts() == {'copy': 'fresh'}


def test_contents_come_without_a_copy(dvc: Dvc) -> None:
    large = bytes(range(256)) * 8192
    oid = dvc.cached(large)
    dvc.project.write('big.bin.dvc', f'outs:\n- md5: {oid}\n  size: {len(large)}\n  hash: md5\n  path: big.bin\n')
    said = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert said['objects']['linked'] >= 3 and said['objects']['copied'] == said['objects']['left'] == 0
    assert (dvc.project.path / '.dvc/cache/files/md5' / oid[:2] / oid[2:]).read_bytes() == large


EMPTY = 'd41d8cd98f00b204e9800998ecf8427e'


def test_what_a_branch_brings_leads_nowhere(dvc: Dvc) -> None:
    paths = {'a': '../../../etc/passwd', 'b': '/etc/passwd', 'c': '.git/config', 'd': 'x'}
    for name, path in paths.items():
        oid = '../../../../etc/passwd' if name == 'd' else EMPTY
        dvc.project.write(f'{name}.dvc', f'outs:\n- md5: {oid}\n  hash: md5\n  path: {path}\n')
    source = 'https://u:hunter2@example.org/x'
    dvc.project.write('e.dvc', f'deps:\n- path: {source}\nouts:\n- md5: {EMPTY}\n  path: y\n')
    rows = json.dumps([{'md5': dvc.cached(b'evil'), 'relpath': '../../outside'}]).encode()
    dvc.cached(rows, f'{md5(rows)}.dir')
    dvc.project.write('f.dvc', f'outs:\n- md5: {md5(rows)}.dir\n  hash: md5\n  path: z\n')
    done = dvc.project.mlops('adopt', 'dvc', '--json')
    said = '\n'.join(done.json['check'])
    assert said.count('outside the project') == 2 and 'belongs to git' in said and 'lacks what is recorded' in said
    assert 'imported from https://example.org/x' in said and 'hunter2' not in done.out and 'root:' not in done.out
    assert [one['path'] for one in done.json['data']] == ['data/raw.csv']
    assert 'z' in [one['path'] for one in done.json['missing']]
    assert not (dvc.project.path.parent / 'outside').exists()


def test_links_and_caches_elsewhere_are_not_followed_for_a_branch(dvc: Dvc, tmp_path: Path) -> None:
    (tmp_path / 'secret').mkdir()
    (tmp_path / 'secret/key').write_text('s')
    (dvc.project.path / 'leak').symlink_to(tmp_path / 'secret')
    dvc.project.write('leak.dvc', 'outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  hash: md5\n  path: leak\n')
    dvc.project.write('.dvc/config', f'[cache]\n    dir = {tmp_path / "elsewhere"}\n')
    (tmp_path / 'elsewhere').mkdir()
    said = dvc.project.mlops('adopt', 'dvc').out
    assert 'link out of the project' in said and 'which came by git: it was not read' in said
    dvc.project.write('.dvc/config.local', f'[cache]\n    dir = {tmp_path / "elsewhere"}\n')
    assert 'it was not read' not in dvc.project.mlops('adopt', 'dvc').out


def test_links_into_the_cache_are_refused_before_anything_is_written(dvc: Dvc) -> None:
    target = dvc.project.path / '.dvc/cache/files/md5' / md5(b'2\n')[:2] / md5(b'2\n')[2:]
    (dvc.project.path / 'out.csv').unlink()
    (dvc.project.path / 'out.csv').symlink_to(target)
    assert 'dvc checkout --relink' in dvc.project.mlops('adopt', 'dvc', code=5).err
    shared = dvc.project.path.parent / 'shared'
    (dvc.project.path / '.dvc/cache').rename(shared)
    dvc.project.write('.dvc/config', f'[cache]\n    type = symlink\n    dir = {shared}\n')  # by git: not read, and yet known
    (dvc.project.path / 'out.csv').unlink()
    (dvc.project.path / 'out.csv').symlink_to(shared / target.relative_to(dvc.project.path / '.dvc/cache'))
    assert 'dvc checkout --relink' in dvc.project.mlops('adopt', 'dvc', code=5).err
    assert not dvc.project.exists('pipeline.yaml')


def test_an_output_that_is_a_link_to_elsewhere_counts_as_none(dvc: Dvc, tmp_path: Path) -> None:
    (dvc.project.path / 'out.csv').unlink()
    (dvc.project.path / 'out.csv').symlink_to(tmp_path / 'nowhere')
    (dvc.project.path / 'data/raw.csv').unlink()
    (dvc.project.path / 'data/raw.csv').symlink_to(tmp_path / 'nowhere')
    said = dvc.project.mlops('adopt', 'dvc').out
    assert 'out.csv is a link out of the project' in said and 'data/raw.csv is out of the project, by a symbolic link' in said
    assert dvc.project.verdicts() == {'head': 'run'}


def test_what_the_top_of_a_dvc_yaml_reads_is_read_here_and_given_back(dvc: Dvc) -> None:
    oid = dvc.folder({'m.json': b'{"loss": 0.5}', 'plots/l.tsv': b'step\tloss\n1\t2\n'})
    dvc.project.write('dvc.yaml', """\
metrics: ['${d}/m.json', far.json]
plots:
- ${d}/plots
- Losses: {x: step, y: {log/plots/l.tsv: loss, out.csv: v}, template: linear}
params: [log/params.yaml]
vars: [{d: log}]
stages:
  head:
    cmd: tail -${lines} data/raw.csv > out.csv
    deps: [data/raw.csv]
    params: [lines]
    outs: [out.csv, log]
""")
    dvc.project.write('dvc.lock', dvc.project.read('dvc.lock') + f'    - {{path: log, hash: md5, md5: {oid}}}\n')
    done = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert done['stages'][0]['adopted'] and done['stages'][0]['how'] == 'as it stands'
    assert [one.partition(': ')[2] for one in done['check']] == [
        'metrics at its top of what no stage makes have no place in pipeline.yaml: far.json',
        'Losses draws 2 files in one chart: here each has its own',
        'params at its top have no place in pipeline.yaml: log/params.yaml']
    dvc.project.mlops('checkout')
    rows = dvc.project.mlops('metrics', 'show', '--json').json['rows']
    assert [(one['file'], one['value']) for one in rows] == [('log/m.json', 0.5)]
    assert 'Losses' in dvc.project.mlops('plots', 'show').out
    for name in ('dvc.yaml', 'dvc.lock', 'data/raw.csv.dvc'):
        (dvc.project.path / name).unlink()
    dvc.project.write('.gitignore', 'dvc.lock\n')
    assert 'dvc.lock: a .gitignore hides it' in dvc.project.mlops('export', 'dvc').out
    given = yaml12.read(dvc.project.read('dvc.yaml').encode(), 'dvc.yaml').value
    assert given['metrics'] == ['log/m.json'] and given['plots'][0] == 'log/plots'
    assert given['plots'][1]['log/plots/l.tsv'] == {'x': 'step', 'y': 'loss', 'title': 'Losses', 'template': 'linear'}


def test_what_lay_outside_the_project_and_is_gone_leaves_its_stage_stale(dvc: Dvc, tmp_path: Path) -> None:
    far = tmp_path / 'far.csv'
    dvc.project.write('dvc.yaml', dvc.project.read('dvc.yaml').replace('deps: [data/raw.csv]', f'deps: [data/raw.csv, {far}]'))
    far.write_text('far\n')
    assert dvc.project.mlops('adopt', 'dvc', '--json').json['stages'][0]['adopted']
    far.unlink()
    (dvc.project.path / 'pipeline.yaml').unlink()
    found = dvc.project.mlops('adopt', 'dvc', '--json').json['stages'][0]
    assert not found['adopted'] and found['reasons'] == [f'{far} is missing']


def test_what_only_a_remote_has_is_fetched_where_that_is_asked_for(dvc: Dvc, tmp_path: Path) -> None:
    project, remote = dvc.project, tmp_path / 'remote'
    oid = dvc.folder({'a.txt': b'a', 'b/c.txt': b'c' * 9_000_000})
    project.write('many.dvc', f'outs:\n- md5: {oid}\n  hash: md5\n  path: many\n')
    (project.path / '.dvc/cache').rename(remote)
    (project.path / 'out.csv').unlink()
    project.write('.dvc/config', f'[core]\n    remote = far\n[\'remote "far"\']\n    url = {remote}\n')
    said = project.mlops('adopt', 'dvc').out
    assert 'remote far' in said and '--fetch' in said and 'out.csv' in said
    done = project.mlops('adopt', 'dvc', '--fetch', '--json').json
    assert done['stages'][0]['adopted'] and not done['missing'] and done['objects']['fetched'] == 3
    project.mlops('checkout')
    assert (project.path / 'many/b/c.txt').stat().st_size == 9_000_000 and project.verdicts() == {'head': 'fresh'}
    assert 'no remote' in project.mlops('adopt', 'dvc', '--fetch', '--remote', 'near', code=2).err


def test_mistakes_are_told_with_their_places(dvc: Dvc) -> None:
    dvc.project.write('dvc.yaml', 'stages:\n  a:\n    cmd: echo ${nothing}\n')
    assert 'dvc.yaml:3:5: stage a: ${nothing}: there is no nothing' in dvc.project.mlops('adopt', 'dvc', code=2).err
    dvc.project.write('dvc.yaml', 'stages:\n  a:\n    cmd: echo\n    out: [x]\n')
    assert "dvc.yaml:4:5: DVC knows no key 'out' here" in dvc.project.mlops('adopt', 'dvc', code=2).err
    assert not dvc.project.exists('pipeline.yaml')


def test_what_dvc_three_reads_no_more_is_told_with_what_to_do(dvc: Dvc) -> None:
    project = dvc.project
    project.write('old.dvc', 'md5: 5d41402abc4b2a76b9719d911017c592\ncmd: echo 1 > o\nouts:\n- path: o\n')
    project.write('dvc.lock', 'head:\n  cmd: tail -1 data/raw.csv > out.csv\n')
    said = project.mlops('adopt', 'dvc', code=2).err
    assert 'old.dvc:2:1: a stage in a .dvc file, which DVC 3 does not read' in said and 'dvc commit --force' in said
    assert 'dvc.lock: DVC 3 reads only locks of schema 2.0' in said
    (project.path / 'old.dvc').unlink()
    project.write('dvc.lock', '')
    assert 'dvc.lock: DVC 3 reads only locks of schema 2.0' in project.mlops('adopt', 'dvc', code=2).err


def test_a_pattern_in_params_is_the_one_key_that_matches(dvc: Dvc) -> None:
    project = dvc.project
    project.write('params.yaml', 'lines: 1\nsets: {one: {n: 1}, two: {n: 2}}\nrows: [{size: 4}]\n')
    project.write('dvc.yaml', project.read('dvc.yaml').replace('[lines]', '["li*", "sets.t?o", "**.size"]'))
    project.write('dvc.lock', project.read('dvc.lock').replace('{lines: 1}', '{li*: 1, sets.t?o: {n: 2}, "**.size": 4}'))
    said = project.mlops('adopt', 'dvc').out
    assert 'params: sets.t?o is sets.two, which matches it now' in said
    assert 'params: [lines, sets.two, rows.0.size]' in project.read('pipeline.yaml')
    verdict = [project.mlops('status', '--json').json['stages'][0]['verdict']]
    for before, after in (('one: {n: 1}', 'one: {n: 5}'), ('two: {n: 2}', 'two: {n: 5}')):
        project.write('params.yaml', project.read('params.yaml').replace(before, after))
        verdict.append(project.mlops('status', '--json').json['stages'][0]['verdict'])
    assert verdict == ['fresh', 'fresh', 'run']


def test_a_pattern_in_params_that_several_keys_match_is_no_value(dvc: Dvc) -> None:
    """DVC ends with an error there."""
    dvc.project.write('params.yaml', 'lines: 1\nlimit: 2\n')
    dvc.project.write('dvc.yaml', dvc.project.read('dvc.yaml').replace('[lines]', '["li*"]'))
    dvc.project.write('dvc.lock', dvc.project.read('dvc.lock').replace('{lines: 1}', '{li*: 1}'))
    assert dvc.project.mlops('adopt', 'dvc', '--json').json['stages'][0]['reasons'] == ['params.yaml:li* is no single value']


def test_a_parameter_file_that_a_stage_makes_says_nothing_of_the_stages(dvc: Dvc) -> None:
    project = dvc.project
    project.write('p.yaml', 'lines: 1\n')
    project.write('dvc.yaml', 'stages:\n  make:\n    cmd: cp p.yaml params.yaml\n    deps: [p.yaml]\n    outs:\n'
                              '    - params.yaml: {persist: true}\n'
                              '  head:\n    cmd: tail -${lines} data/raw.csv > out.csv\n    params: [lines]\n'
                              '    outs: [out.csv]\n')  # fmt: skip
    project.mlops('adopt', 'dvc')
    assert '${' not in project.read('pipeline.yaml')
    project.mlops('run')
    assert project.mlops('status').code == 0 and project.read('out.csv') == '2\n'
    assert json.loads(project.mlops('graph', '--json').out)['edges'] == [['make', 'head']]


def test_a_folder_in_what_only_the_cache_has_counts(dvc: Dvc) -> None:
    project = dvc.project
    oid = dvc.folder({'a.txt': b'a', 'in/b.txt': b'b', 'in/c/d.txt': b'd'})
    inner = dvc.folder({'b.txt': b'b', 'c/d.txt': b'd'}, cached=False)
    out = dvc.cached(b'x')
    project.write('all.dvc', f'outs:\n- {{md5: {oid}, hash: md5, path: all}}\n')
    project.write('dvc.yaml', 'stages: {use: {cmd: echo, deps: [all/in], outs: [{x: {persist: true}}]}}\n')
    lock = ("schema: '2.0'\nstages:\n  use:\n    cmd: echo\n"
            f'    deps:\n    - {{path: all/in, hash: md5, md5: {inner}}}\n'
            f'    outs:\n    - {{path: x, hash: md5, md5: {out}}}\n')  # fmt: skip
    project.write('dvc.lock', lock)
    said = project.mlops('adopt', 'dvc').out
    assert 'adopted   use' in said and 'x: dvc checkout brings it' in said
    project.write('dvc.lock', lock.replace(inner, f'{"0" * 32}.dir'))
    assert 'all/in is missing' in project.mlops('adopt', 'dvc').out


def test_paths_of_windows_are_looked_at_and_told_in_few_lines(dvc: Dvc) -> None:
    project = dvc.project
    names = [f'd\\{number}' for number in range(20)]
    project.write('dvc.yaml', 'stages:\n  a:\n    cmd: echo\n    outs:\n' + ''.join(f'    - {name}\n' for name in names))
    project.write('dvc.lock', "schema: '2.0'\nstages:\n  a:\n    cmd: echo\n    outs:\n"
                  + ''.join(f'    - {{path: {name}, hash: md5, md5: {md5(b"x")}}}\n' for name in names))
    said = project.mlops('adopt', 'dvc').out
    assert 'to run    a' in said and 'd\\0 is missing' in said and 'and 12 more to check' in said
    for name in names:
        project.write(name, 'x')
    assert 'adopted   a' in project.mlops('adopt', 'dvc').out


def test_links_of_a_project_are_followed_in_it(dvc: Dvc) -> None:
    project = dvc.project
    for old, new in (('params.yaml', 'conf/p.yaml'), ('dvc.yaml', 'conf/pipe.yaml'), ('data/raw.csv.dvc', 'conf/raw.dvc')):
        (project.path / 'conf').mkdir(exist_ok=True)
        (project.path / old).rename(project.path / new)
        (project.path / old).symlink_to(project.path / new)
    (project.path / 'l').symlink_to('data')
    project.write('conf/pipe.yaml', project.read('conf/pipe.yaml').replace('deps: [data/', 'deps: [l/'))
    project.write('dvc.lock', project.read('dvc.lock').replace('{path: data/', '{path: l/'))
    project.mlops('adopt', 'dvc')
    assert project.verdicts() == {'head': 'fresh'} and 'deps: [data/raw.csv, params.yaml]' in project.read('pipeline.yaml')
    project.write('conf/p.yaml', 'lines: 2\n')
    assert project.verdicts() == {'head': 'run'}


@pytest.mark.parametrize('dep', ['far', 'far/a', 'nowhere/a'])
def test_what_a_link_leads_out_of_the_project_is_told(dvc: Dvc, tmp_path: Path, dep: str) -> None:
    project = dvc.project
    (tmp_path / 'elsewhere').mkdir()
    (project.path / 'far').symlink_to(tmp_path / 'elsewhere')
    (project.path / 'nowhere').symlink_to(tmp_path / 'nowhere')
    project.write('dvc.yaml', f'stages:\n  read:\n    cmd: echo\n    deps: [{dep}]\n    outs: [o]\n')
    assert f'{dep} is out of the project, by a symbolic link: it is no dependency here' in project.mlops('adopt', 'dvc').out
    assert project.verdicts() == {'read': 'run'}


def test_values_beside_the_project_are_those_of_its_repository_alone(project: Project, tmp_path: Path) -> None:
    project.init_git()
    (tmp_path / 'far.yaml').write_text('word: far\n')
    project.write('conf/near.yaml', 'word: near\n')
    project.write('sub/.dvc/config', '')
    project.write('sub/dvc.yaml', 'vars: [../conf/near.yaml]\nstages: {say: {cmd: "echo ${word}", outs: [o]}}\n')
    project.mlops('adopt', 'dvc', '-C', 'sub')
    assert 'cmd: echo near' in project.read('sub/pipeline.yaml')
    for path in ('../../far.yaml', '../.git/config', 'link.yaml'):
        project.write('sub/dvc.yaml', f'vars: [{path}]\nstages: {{}}\n')
        (project.path / 'sub/link.yaml').unlink(missing_ok=True)
        (project.path / 'sub/link.yaml').symlink_to(tmp_path / 'far.yaml')
        assert f'{path} leads out of the repository' in project.mlops('adopt', 'dvc', '-C', 'sub', code=2).err


def test_a_pipeline_that_follows_is_derived_again_and_never_edited(dvc: Dvc) -> None:
    project = dvc.project
    project.mlops('adopt', 'dvc', '--follow')
    assert project.verdicts() == {'head': 'fresh'}
    assert project.mlops('status').code == 0
    project.write('dvc.yaml', project.read('dvc.yaml') + '    desc: Some lines\n')
    said = project.mlops('status', code=2).err
    assert 'changed since' in said and 'mlops adopt dvc' in said
    project.mlops('adopt', 'dvc')
    assert 'Some lines' in project.read('pipeline.yaml') and project.mlops('status').code == 0
    project.write('pipeline.yaml', project.read('pipeline.yaml') + '  more: {cmd: echo}\n')
    assert 'was edited' in project.mlops('status', code=5).err
    assert 'exists, and differs' in project.mlops('adopt', 'dvc', code=5).err


def test_what_is_given_back_records_what_was_taken(dvc: Dvc) -> None:
    project = dvc.project
    names = ('dvc.lock', 'data/raw.csv.dvc')
    before = {name: yaml12.read(project.read(name).encode(), name).value for name in names}
    project.mlops('adopt', 'dvc')
    assert 'differs from what would be written' in project.mlops('export', 'dvc', code=5).err
    project.mlops('export', 'dvc', '--force')
    assert {name: yaml12.read(project.read(name).encode(), name).value for name in names} == before
    stages = yaml12.read(project.read('dvc.yaml').encode(), 'dvc.yaml').value['stages']
    said = {'cmd': 'tail -1 data/raw.csv > out.csv', 'deps': ['data/raw.csv'], 'params': ['lines'], 'outs': ['out.csv']}
    assert stages == {'head': said}


def test_folders_are_looked_into_however_gitignore_ends_its_lines(dvc: Dvc) -> None:
    """An empty line that ends as on Windows is, to git, a pattern without a name, which "folder/" has not either."""
    dvc.project.write('.gitignore', 'build\r\n\r\n')
    dvc.project.write('build/dvc.yaml', 'stages:\n  never: {cmd: echo}\n')
    done = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert [one['path'] for one in done['data']] == ['data/raw.csv']
    assert [one['name'] for one in done['stages']] == ['head']


def test_what_dvcignore_hides_is_hidden_here(dvc: Dvc) -> None:
    project = dvc.project
    project.write('.dvcignore', '# notes\n*.log\n!kept.log\n')
    project.write('in/.dvcignore', '/skip\n*.tmp\na/b\n')
    project.write('in/deep/x', '1\n')
    project.write('dvc.yaml', project.read('dvc.yaml') + '  list: {cmd: ls in > list.txt, deps: [in], outs: [list.txt]}\n')
    assert '.mlopsignore' in project.mlops('adopt', 'dvc', '--json').json['written']
    assert project.read('.mlopsignore').splitlines()[1:] == ['*.log', '!kept.log', '/in/skip', '/in/**/*.tmp', '/in/a/b']
    project.mlops('run')
    for hidden in ('in/a.log', 'in/skip', 'in/deep/x.tmp'):
        project.write(hidden, 'x')
    assert project.verdicts()['list'] == 'fresh'
    project.write('in/kept.log', 'x')
    assert project.verdicts()['list'] == 'run'


def test_a_mlopsignore_that_is_there_stays(dvc: Dvc) -> None:
    dvc.project.write('.dvcignore', '*.log\n')
    dvc.project.write('.mlopsignore', '*.mine\n')
    done = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert dvc.project.read('.mlopsignore') == '*.mine\n'
    assert any('.mlopsignore is there already' in note for note in done['check'])


def test_who_reads_what_is_made_elsewhere_comes_after(dvc: Dvc) -> None:
    dvc.project.write('dvc.yaml', 'stages:\n  put: {cmd: echo, outs: [/nowhere/x]}\n  get: {cmd: echo, deps: [/nowhere/x]}\n')
    done = dvc.project.mlops('adopt', 'dvc', '--json').json
    assert any('comes after' in note for note in done['stages'][1]['check'])
    assert dvc.project.mlops('graph', '--json').json['edges'] == [['put', 'get']]


def test_many_that_miss_the_same_are_told_in_few_lines(dvc: Dvc) -> None:
    for number in range(40):
        dvc.project.write(f'data/{number}.csv.dvc', f'outs:\n- {{md5: {md5(b"gone")}, hash: md5, path: {number}.csv}}\n')
    said = dvc.project.mlops('adopt', 'dvc').out
    assert said.count('is not in the workspace') == 5 and said.count('and 35 more; all: --json') == 2
    assert len(dvc.project.mlops('adopt', 'dvc', '--json').json['missing']) == 40


def test_what_was_imported_keeps_its_address(dvc: Dvc) -> None:
    project = dvc.project
    sources = {
        'web': "- {path: 'https://example.org/d/web', checksum: '\"5a4b-59\"'}",
        'old': '- {path: "https://example.org/old", md5: 0123}',
        'bucket': '- {path: s3://place/bucket, etag: 9a0364b9e99bb480dd25e1f0284c8555}',
        'repo': '- {path: repo, repo: {url: "https://example.org/r", rev_lock: abc}}',
    }
    for name, dep in sources.items():
        project.write(name, name)
        known = f'md5: {md5(name.encode())}, hash: md5, path: {name}'
        project.write(f'{name}.dvc', f'frozen: true\ndeps:\n{dep}\nouts:\n- {{{known}}}\n')
    said = project.mlops('adopt', 'dvc', '--json').json['check']
    assert [note.partition(':')[0] for note in said] == ['repo']
    found = {name: json.loads(project.read(f'.mlops/data/{name}.json')).get('source') for name in sources}
    assert found == {
        'web': {'url': 'https://example.org/d/web', 'etag': '"5a4b-59"'},
        'old': {'url': 'https://example.org/old'},
        'bucket': {'url': 's3://place/bucket', 'etag': '"9a0364b9e99bb480dd25e1f0284c8555"'},
        'repo': None,
    }


def test_what_was_said_of_data_stays_where_it_is_adopted_again(dvc: Dvc) -> None:
    dvc.project.mlops('adopt', 'dvc')
    dvc.project.mlops('add', 'data/raw.csv', '--desc', 'of the shop')
    dvc.project.mlops('adopt', 'dvc')
    assert json.loads(dvc.project.read('.mlops/data/data/raw.csv.json'))['desc'] == 'of the shop'
