"""``mlops lineage`` typed by a person: what is printed, at every width, and by projects that are empty, hostile or damaged."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.cli import app
from mlops_cli.cli.console import cells
from mlops_cli.cli.lineage_documents import made_document
from mlops_cli.cli.screens.branches import Branch, draw
from mlops_cli.cli.screens.lineage import fact_rows, head_lines, maker_words
from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage_model import Acceptance, Made, Maker, Target
from mlops_cli.records.pins import Pin
from tests.cli.contract import problems
from tests.cli.hostile import HOSTILE, harmless
from tests.report.test_dag_text import check_mermaid
from tests.support.project import Project

SCHEMAS = Path(__file__).resolve().parents[2] / 'docs' / 'schemas'
PIPELINE = """\
version: 1
name: p
stages:
  prepare:
    cmd: mkdir -p data && cat in.txt > data/a.txt
    deps: [in.txt]
    outs: [data]
  train:
    matrix: {n: [1, 2, 3, 4]}
    cmd: cat data/a.txt params.yaml > m${item.n}.bin && echo "model number ${item.n} of some length" >> m${item.n}.bin
    deps: [data]
    params: [rate]
    outs: ['m${item.n}.bin']
  pick:
    cmd: cat m1.bin m2.bin m3.bin m4.bin > best.bin && echo '{"accuracy":0.9}' > best.json
    deps: [{stage: train}]
    outs: [best.bin]
    metrics: [best.json]
"""
Typed = Callable[..., Any]


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Run on one commit, then, with another rate and that committed, once more."""
    project = Project(tmp_path_factory.mktemp('template') / 'project')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 0.1\n')
    project.write('in.txt', 'what it all began with, in some words\n')
    project.commit('first')
    project.run()
    project.commit('ran')
    project.write('params.yaml', 'rate: 0.2\n')
    project.run()
    project.commit('again')
    return project


@pytest.fixture
def ran(template: Project, tmp_path: Path) -> Project:
    shutil.copytree(template.path, tmp_path / 'project', symlinks=True)
    return Project(tmp_path / 'project')


@pytest.fixture
def typed(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """A command line in this process: (exit code, standard output, standard error)."""

    def call(project: Project, *words: str, columns: int = 0, cwd: str = '.', code: int | None = 0) -> tuple[int, str, str]:
        for name, value in project.environ.items():
            monkeypatch.setenv(name, value)
        if columns:
            monkeypatch.setenv('COLUMNS', str(columns))
        monkeypatch.chdir(project.path / cwd)
        ended = app.run(words)
        found = capfd.readouterr()
        assert code is None or ended == code, (ended, found)
        return ended, found.out, found.err

    return call


def short_ids(project: Project) -> list[str]:
    """Newest first."""
    names = sorted((path.stem for path in (project.path / '.mlops/runs').rglob('*.json')), reverse=True)
    return [name.partition('-')[2] for name in names]


def steady(text: str, project: Project) -> str:
    """Without what differs from run to run."""
    import re

    names = sorted(path.stem.partition('-')[2] for path in (project.path / '.mlops/runs').rglob('*.json'))
    for number, name in enumerate(sorted(names, key=lambda one: text.find(one))):
        text = text.replace(name, f'run0000{number}')
    text = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d UTC', 'DATE', text)
    return re.sub(r'commit       [0-9a-f]{7}', 'commit       1a2b3c4', re.sub(r'\d+(\.\d+)?s\b', 'TIME', text))


def test_upstream_as_a_tree(ran: Project, typed: Typed) -> None:
    _, out, err = typed(ran, 'lineage', 'upstream', 'best.bin', columns=110)
    lines = steady(out, ran).splitlines()
    assert err == ''
    assert lines[0].startswith('best.bin, ') and ', blake3:' in lines[0]
    assert lines[1] == '  This is best.bin as pick made it in run run00000 (pinned on this branch).'
    assert lines[3] == 'pick run run00000, DATE'
    assert lines[4].startswith('│  by           ')
    assert lines[5] == '│  commit       1a2b3c4 (main), its files as committed'
    assert lines[6].startswith('│  command      cat m1.bin m2.bin') and '│  metrics      accuracy 0.9' in lines
    assert any(line.startswith('└─ m1.bin and 3 more from train@* (4) run run00000') for line in lines)
    assert '   │  not in git   params.yaml differed from the commit' in lines
    assert '   │  instances    1, 2, 3, 4' in lines and '   │  params       rate 0.2' in lines
    assert any(line.lstrip(' └─').startswith('data from prepare run run00001, DATE') for line in lines)
    assert any(
        line.endswith(', a file of the project, ' + digest_of((ran.path / 'in.txt').read_bytes()).short) for line in lines
    )


def test_full_folds_nothing(ran: Project, typed: Typed) -> None:
    _, out, _ = typed(ran, 'lineage', 'upstream', 'best.bin', '--full', columns=200)
    assert all(f'train@{n} ' in out for n in (1, 2, 3, 4)) and '@*' not in out and 'key          blake3:' in out
    assert out.count('from prepare, as above') == 3


@pytest.mark.parametrize('columns', [40, 80, 200])
@pytest.mark.parametrize(
    'words',
    [
        ('upstream', 'best.bin'),
        ('upstream', 'best.bin', '--full'),
        ('downstream', 'in.txt'),
        ('downstream', 'in.txt', '--full'),
        ('diff', 'HEAD~1', 'workspace'),
    ],
)
def test_lines_keep_to_the_width(ran: Project, typed: Typed, words: tuple[str, ...], columns: int) -> None:
    _, out, _ = typed(ran, 'lineage', *words, columns=columns)
    assert max(cells(line) for line in out.splitlines()) <= columns
    assert '\x1b' not in out


def test_downstream_says_what_is_the_present_state(ran: Project, typed: Typed) -> None:
    _, out, _ = typed(ran, 'lineage', 'downstream', 'in.txt', columns=200)
    assert 'prepare run' in out and 'the present state' in out and 'no longer the present state' in out
    assert 'results of 6 stages in 2 runs, ' in out
    _, out, _ = typed(ran, 'lineage', 'downstream', 'rate')
    assert '4 more results were made from other contents or values of it: --any shows them.' in out
    _, out, _ = typed(ran, 'lineage', 'downstream', 'rate', '--any', columns=200)
    assert 'more results' not in out and '(4)' in out
    _, out, _ = typed(ran, 'lineage', 'downstream', 'best.bin')
    assert 'Nothing recorded here was made from it.' in out


def test_diff_says_where_they_part(ran: Project, typed: Typed) -> None:
    _, out, _ = typed(ran, 'lineage', 'diff', 'HEAD~1:best.bin', 'best.bin', columns=100)
    assert out.count('part here') == 4 and out.count('  param rate 0.1 -> 0.2') == 4
    assert 'The same: prepare' in out
    _, out, _ = typed(ran, 'lineage', 'diff', 'best.bin', 'best.bin')
    assert 'The same: every result before them is the same.' in out
    ran.write('other.txt', 'nobody made this file, and nobody ever will')
    _, out, _ = typed(ran, 'lineage', 'diff', 'best.bin', 'other.txt')
    assert 'Only before the first' in out
    _, out, _ = typed(ran, 'lineage', 'diff', 'in.txt', 'other.txt')
    assert 'there is nothing to compare' in out


def test_exit_codes(ran: Project, typed: Typed, tmp_path: Path) -> None:
    (tmp_path / 'unknown').write_text('a file that no stage ever made')
    code, out, _ = typed(ran, 'lineage', 'upstream', '../unknown', code=None)
    assert code == 1 and 'No recorded result has this content.' in out
    code, _, err = typed(ran, 'lineage', 'upstream', 'best.bim', code=None)
    assert code == 2 and 'did you mean best.bin?' in err
    code, out, _ = typed(ran, 'lineage', 'upstream', 'best.bim', '--json', code=None)
    assert code == 2 and json.loads(out)['schema'] == 'mlops/error/v1'
    assert typed(ran, 'lineage', 'upstream', 'best.bin', '--depth', '0', code=None)[0] == 2


@pytest.mark.parametrize(
    'words',
    [
        ('upstream', 'best.bin'),
        ('upstream', 'in.txt'),
        ('upstream', 'data/a.txt', '--depth', '1'),
        ('upstream', 'rate'),
        ('downstream', 'in.txt'),
        ('downstream', 'rate', '--any'),
        ('diff', 'HEAD~1', 'workspace'),
        ('diff', 'HEAD~1:pick', 'pick'),
        ('diff', 'train@1', 'train@2'),
    ],
)
def test_json_is_what_its_schema_says(ran: Project, typed: Typed, words: tuple[str, ...]) -> None:
    _, out, err = typed(ran, 'lineage', *words, '--json')
    found = json.loads(out)
    assert err == '' and found['schema'] == f'mlops/lineage-{words[0]}/v1'
    assert problems(json.loads((SCHEMAS / f'lineage-{words[0]}.v1.json').read_text()), found) == []
    if words[0] != 'diff':
        assert json.loads(typed(ran, 'lineage', *words, '--format', 'json')[1]) == found
        ids = {node['id'] for node in found['nodes']} | {None}
        assert all(edge['from'] in ids and edge['to'] in ids for edge in found['edges'])


@pytest.mark.parametrize('words', [('upstream', 'best.bin'), ('downstream', 'in.txt')])
def test_every_format(ran: Project, typed: Typed, words: tuple[str, ...]) -> None:
    labels, edges = check_mermaid(typed(ran, 'lineage', *words, '--format', 'mermaid')[1])
    assert any('pick' in label for label in labels.values()) and len(edges) >= len(labels) - 1
    dot = typed(ran, 'lineage', *words, '--format', 'dot')[1]
    assert dot.startswith('digraph ') and dot.count('->') == len(edges)
    svg = typed(ran, 'lineage', *words, '--format', 'svg')[1]
    assert svg.startswith('<svg ') and svg.rstrip().endswith('</svg>')
    html = typed(ran, 'lineage', *words, '--format', 'html')[1]
    assert html.startswith('<!doctype html>') and html.count('<article') == len(labels)


def test_what_came_of_stages_is_drawn_without_what_came_of_nothing(ran: Project, typed: Typed) -> None:
    """A result of the stages that are asked about may itself have been made from nothing that they made."""
    labels, _ = check_mermaid(typed(ran, 'lineage', 'downstream', '.', '--format', 'mermaid')[1])
    assert any('pick' in label for label in labels.values()) and not any('prepare' in label for label in labels.values())


def test_a_difference_as_a_drawing(ran: Project, typed: Typed) -> None:
    words = ('lineage', 'diff', 'HEAD~1:best.bin', 'best.bin', '--format')
    labels, edges = check_mermaid(typed(ran, *words, 'mermaid')[1])
    assert set(labels.values()) == {
        'prepare<br/>the same',
        'pick<br/>only what it read differs',
        *(f'train@{n}<br/>they part here' for n in (1, 2, 3, 4)),
    }
    assert len(edges) == 8
    html = typed(ran, *words, 'html')[1]
    assert html.count('<article') == 6 and 'rate 0.1 -&gt; 0.2' in html and 'they part here' in html
    assert typed(ran, *words, 'json')[1] == typed(ran, *words[:-1], '--json')[1]


def test_many_instances_share_a_node(project: Project, typed: Typed) -> None:
    project.write('pipeline.yaml', PIPELINE.replace('[1, 2, 3, 4]', str(list(range(1, 21)))))
    project.write('params.yaml', 'rate: 0.1\n')
    project.write('in.txt', 'what it all began with, in some words\n')
    project.run()
    labels, _ = check_mermaid(typed(project, 'lineage', 'upstream', 'best.bin', '--format', 'mermaid')[1])
    assert sum('train' in label for label in labels.values()) == 1 and any('train@* (20)' in label for label in labels.values())
    labels, _ = check_mermaid(typed(project, 'lineage', 'upstream', 'best.bin', '--full', '--format', 'mermaid')[1])
    assert sum('train' in label for label in labels.values()) == 20


def test_a_chain_of_a_thousand_results(project: Project, typed: Typed) -> None:
    """Deeper than Python recurses, and than any terminal is wide."""
    project.write('pipeline.yaml', 'version: 1\nstages:\n  s1: {cmd: "true", deps: [o0], outs: [o1]}\n')
    project.write('o0', 'x')
    (project.path / '.mlops/stages').mkdir(parents=True)
    read = digest_of(b'it begins')
    for number in range(1, 1201):
        ref = ObjectRef(digest_of(b'%d' % number), 100, 'file')
        pin = Pin(Manifest.of([Entry('data', f'o{number - 1}', read)]), ((f'o{number}', ref),))
        (project.path / '.mlops/stages' / pin.file_name(f's{number}')).write_bytes(pin.data)
        read = ref.identity
    out = typed(project, 'lineage', 'upstream', str(read), columns=80)[1]
    assert max(map(cells, out.splitlines())) <= 80 and '(continued below)' in out
    assert all(f's{number} ' in out for number in range(1, 1201))
    assert len(json.loads(typed(project, 'lineage', 'upstream', str(read), '--json')[1])['nodes']) == 1200
    down = typed(project, 'lineage', 'downstream', str(digest_of(b'1')), columns=80)[1]
    assert 's1200 ' in down and '1,199 results of 1,199 stages' in down
    assert 's1200' in typed(project, 'lineage', 'upstream', str(read), '--format', 'html')[1]


def test_many_results_of_one_stage_share_a_branch(project: Project, typed: Typed) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages:\n  s: {cmd: "true", deps: [i], params: [p], outs: [o]}\n')
    project.write('params.yaml', 'p: 1\n')
    project.write('i', 'what it read')
    (project.path / '.mlops/stages').mkdir(parents=True)
    for number in range(10):
        entries = [Entry('data', 'i', digest_of(b'what it read')), value_entry('param', 'params.yaml:p', number)]
        pin = Pin(Manifest.of(entries), (('o', ObjectRef(digest_of(b'%d' % number), 100, 'file')),))
        (project.path / '.mlops/stages' / pin.file_name('s')).write_bytes(pin.data)
    out = typed(project, 'lineage', 'downstream', 'i')[1]
    assert 's (10 results) made by nobody recorded here' in out and out.count('results)') == 1


def test_results_of_many_runs_share_a_branch(project: Project, typed: Typed) -> None:
    project.write(
        'pipeline.yaml', 'version: 1\nstages:\n  s: {cmd: "cat params.yaml > o", deps: [i], params: [p], outs: [o]}\n'
    )
    project.write('i', 'what it read')
    for number in range(4):
        project.write('params.yaml', f'p: {number}\n')
        project.run()
    out = typed(project, 'lineage', 'downstream', 'i', columns=120)[1]
    newest = short_ids(project)
    assert f's (3 results) in 3 runs, the last {newest[1]}, no longer the present state' in out
    assert f's run {newest[0]}, ' in out and out.count('   by ') == 1


# Where there is little, or harm


def test_a_project_with_no_runs_at_all(project: Project, typed: Typed) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'rate: 0.1\n')
    project.write('in.txt', 'x')
    code, out, _ = typed(project, 'lineage', 'upstream', 'pick', code=None)
    assert code == 1 and 'pick has no recorded result.' in out
    assert 'Nothing recorded here was made from it.' in typed(project, 'lineage', 'downstream', 'in.txt')[1]
    assert typed(project, 'lineage', 'diff', 'pick', 'prepare', code=None)[0] == 1
    code, _, err = typed(project, 'lineage', 'upstream', './best.bin', code=None)
    assert code == 2 and 'no recorded result has it: pick makes best.bin' in err and 'hint: mlops run pick' in err
    assert "'data/a.txt' is not here" in typed(project, 'lineage', 'upstream', 'data/a.txt', code=None)[2]
    assert 'did you mean best.bin' in typed(project, 'lineage', 'upstream', 'bets.bin', code=None)[2]
    assert '<html' in typed(project, 'lineage', 'upstream', 'in.txt', '--format', 'html')[1]


def test_outside_git_and_on_a_detached_head(ran: Project, typed: Typed) -> None:
    ran.git('checkout', '-q', '--detach')
    assert 'as pick made it' in typed(ran, 'lineage', 'upstream', 'best.bin')[1]
    shutil.rmtree(ran.path / '.git')
    out = typed(ran, 'lineage', 'upstream', 'best.bin')[1]
    assert 'as pick made it' in out and 'with edits' not in out and 'as committed' not in out
    assert typed(ran, 'lineage', 'upstream', 'HEAD:best.bin', code=None)[0] == 2


def test_damaged_records_are_told(ran: Project, typed: Typed) -> None:
    prepare = next((ran.path / '.mlops/stages').glob('prepare~*'))
    prepare.write_bytes(prepare.read_bytes().replace(b'data', b'dada'))
    record = sorted((ran.path / '.mlops/runs').rglob('*.json'))[-1]
    record.write_text('{')
    _, out, _ = typed(ran, 'lineage', 'upstream', 'm1.bin', columns=200)
    assert 'note: ' in out and prepare.name in out and record.name in out
    assert 'from prepare' in out  # the cache knows it, too
    shutil.rmtree(ran.path / '.mlops/cache/results-v1')
    _, out, _ = typed(ran, 'lineage', 'upstream', 'm1.bin', columns=200)
    assert 'data, ' in out and 'made by nobody recorded here' in out and prepare.name in out


def test_a_folder_that_cannot_be_written(ran: Project, typed: Typed) -> None:
    if os.geteuid() == 0:
        shutil.rmtree(ran.path / '.mlops/local', ignore_errors=True)
        (ran.path / '.mlops/local').write_text('a file in its place')
    else:
        (ran.path / '.mlops/local').chmod(stat.S_IRUSR | stat.S_IXUSR)
    code, out, _ = typed(ran, 'lineage', 'upstream', 'best.bin', code=None)
    assert code == 0 and 'as pick made it' in out


def test_a_link_in_place_of_the_index_is_refused(ran: Project, typed: Typed, tmp_path: Path) -> None:
    local = ran.path / '.mlops/local'
    local.mkdir(exist_ok=True)
    (tmp_path / 'victim').write_text('untouched')
    (local / 'lineage-v1.sqlite').unlink(missing_ok=True)
    (local / 'lineage-v1.sqlite').symlink_to(tmp_path / 'victim')
    code, _, err = typed(ran, 'lineage', 'upstream', 'best.bin', code=None)
    assert code == 5 and 'symbolic link' in err and (tmp_path / 'victim').read_text() == 'untouched'


def test_nothing_of_the_project_is_executed(ran: Project, typed: Typed) -> None:
    ran.write('pipeline.yaml', PIPELINE.replace('cat in.txt', 'touch pwned; cat in.txt'))
    (ran.path / '.git/hooks/post-checkout').write_text('#!/bin/sh\ntouch pwned\n')
    (ran.path / '.git/hooks/post-checkout').chmod(0o755)
    for words in (('upstream', 'pick'), ('downstream', 'in.txt'), ('diff', 'HEAD~1', 'workspace'), ('upstream', 'HEAD~1:pick')):
        typed(ran, 'lineage', *words, code=None)
    assert not ran.exists('pwned')


def test_odd_files_in_place_of_a_target(ran: Project, typed: Typed, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    assert typed(ran, 'lineage', 'upstream', '../pipe', code=None)[0] in (2, 5)
    os.mkfifo(ran.path / 'inside')
    assert typed(ran, 'lineage', 'upstream', 'inside', code=None)[0] in (2, 5)
    (ran.path / 'link').symlink_to('/etc/passwd')
    assert typed(ran, 'lineage', 'upstream', 'link', code=None)[0] in (2, 5)
    (tmp_path / 'link').symlink_to(ran.path / 'best.bin')
    assert 'as pick made it' in typed(ran, 'lineage', 'upstream', '../link')[1]


# Lines of values


def made(text: str, **more: Any) -> Made:
    entries = [
        value_entry('command', 'cmd', {'cmd': text, 'shell': '/bin/sh -e'}),
        value_entry('param', f'params.yaml:{text}', text),
        Entry('code', f'{text}.py', digest_of(b'')),
        value_entry('environment', text, text),
    ]
    ref = ObjectRef(digest_of(b'x'), 1, 'file')
    maker = Maker('20261120T101522Z-7k2m9q4c', '2026-11-20T10:15:22Z', text, text, 'c' * 40, text)
    given = {
        'metrics': ((text, text, 0.5),),
        'maker': maker,
        'accepted': (Acceptance(text, '2026-11-20T10:15:22Z', text),),
        **more,
    }
    return Made(text, digest_of(b'key'), '0123abcd', Manifest.of(entries), ((text, ref),), **given)


@pytest.mark.parametrize('text', HOSTILE, ids=range(len(HOSTILE)))
def test_names_and_values_act_on_no_terminal(text: str) -> None:
    one = made(text)
    facts = fact_rows(one, True)
    head, rows = maker_words(one, set())
    lines = [*head_lines(Target(text, 'file', text, (text,)), 80), *draw(Branch(head, '', rows + facts), 80)]
    assert all(harmless(line.text) and '\n' not in line.text and cells(line.text) <= 80 for line in lines)


def test_secrets_are_names() -> None:
    one = made('x')
    secret = Made('s', digest_of(b''), '00000000', Manifest.of([value_entry('environment', 'secret:TOKEN', True)]), ())
    assert ('environment', ['secret:TOKEN=(a secret)']) in fact_rows(secret, True)
    assert ('environment', ['x=x']) in fact_rows(one, True)


def test_what_a_result_ran_under_is_plain_data() -> None:
    class Entered:
        environment: Mapping[str, Any] = {'python': '3.11.7', 'packages': {'numpy': '2.0'}, 'odd': ['a']}
        suspect = False
        seconds = 1.0

    document = made_document(made('x', entry=Entered()))
    assert document['environment'] == {'python': '3.11.7', 'packages': {'numpy': '2.0'}, 'odd': "['a']"}
