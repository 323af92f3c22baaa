"""Where something came from and what was made from it, on projects that really ran."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage import downstream, upstream, whatever, with_edits, with_presence
from mlops_cli.experiments.lineage_diff import LineageDiff, compare
from mlops_cli.experiments.lineage_model import Downstream, Upstream
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.lineage_targets import Targets
from mlops_cli.records.files import IGNORED
from mlops_cli.records.pins import Pin
from mlops_cli.report.lineage_facts import result_facts
from mlops_cli.store.objects import MissingObject
from tests.support.project import Project

PIPELINE = """\
version: 1
name: p
stages:
  prepare:
    cmd: mkdir -p data && cat raw/*.txt > data/all.txt && cp in.txt data/copy.txt
    deps: [raw, in.txt]
    params: [prepare.seed]
    outs: [data]
  train:
    matrix: {n: [1, 2, 3]}
    cmd: sh train.sh ${item.n}
    deps: [data/all.txt]
    params: [rate]
    code: [train.sh]
    outs: ['models/${item.n}.bin']
    metrics: ['metrics/${item.n}.json']
  pick:
    cmd: cat models/1.bin models/2.bin models/3.bin > best.bin
    deps: [{stage: train}]
    outs: [best.bin]
"""
TRAIN = """\
mkdir -p models metrics
cat data/all.txt > models/$1.bin
echo "a model of some size, number $1" >> models/$1.bin
echo "{\\"accuracy\\": 0.9$1}" > metrics/$1.json
"""
LINE = 'a line of text that is longer than what could be equal by chance\n'


@pytest.fixture(scope='module')
def template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Tracked raw data, a folder as output, instances, one stage that reads them all; committed, then run and committed."""
    project = Project(tmp_path_factory.mktemp('template') / 'project')
    project.init_git()
    project.write('pipeline.yaml', PIPELINE)
    project.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.1\n')
    project.write('train.sh', TRAIN)
    project.write('raw/a.txt', LINE)
    project.write('raw/b.txt', LINE * 2)
    project.write('in.txt', f'in: {LINE}')
    project.mlops('add', 'raw')
    project.commit('before')
    project.run()
    project.commit('after')
    return project


@pytest.fixture
def ran(template: Project, tmp_path: Path) -> Project:
    """A copy of it."""
    shutil.copytree(template.path, tmp_path / 'project', symlinks=True)
    return Project(tmp_path / 'project')


@contextmanager
def opened(project: Project, here: str = '.') -> Iterator[tuple[Records, Targets]]:
    bench = project.open()
    records = Records(bench)
    try:
        yield records, Targets(records, os.path.normpath(project.path / here))
    finally:
        records.close()
        bench.close()


def up(project: Project, word: str, depth: int | None = None, here: str = '.') -> Upstream:
    with opened(project, here) as (records, targets):
        return with_edits(records, upstream(records, targets.find(word), depth))


def down(project: Project, word: str, *, every: bool = False, depth: int | None = None) -> Downstream:
    with opened(project) as (records, targets):
        target = targets.find(word)
        return with_presence(downstream(records, whatever(target) if every else target, depth), targets.is_present)


def diff(project: Project, one: str, two: str) -> LineageDiff:
    with opened(project) as (records, targets):
        return compare(records, *(upstream(records, targets.find_any(word)) for word in (one, two)))


def names(found: Upstream | Downstream) -> set[str]:
    return {made.stage for made in found.results.values()}


EVERYTHING = {'pick', 'train@1', 'train@2', 'train@3', 'prepare'}


# Upstream


def test_everything_that_an_output_came_from(ran: Project) -> None:
    found = up(ran, 'best.bin')
    assert names(found) == EVERYTHING
    (top,) = found.target.makers
    assert found.results[top].stage == 'pick'
    assert found.target.said == (
        f'This is best.bin as pick made it in run {found.results[top].maker.short} (pinned on this branch).',
    )
    read = {source.entry.name: found.results[source.makers[0]].stage for source in found.sources[top] if source.makers}
    assert read == {
        f'{folder}/{n}.{end}': f'train@{n}' for n in (1, 2, 3) for folder, end in (('models', 'bin'), ('metrics', 'json'))
    }


def test_a_file_inside_an_output_that_is_a_folder_leads_to_its_stage(ran: Project) -> None:
    found = up(ran, 'train@2')
    (top,) = found.target.makers
    (source,) = [source for source in found.sources[top] if source.entry.name == 'data/all.txt']
    assert (source.through, source.output, found.results[source.makers[0]].stage) == ('inside', 'data', 'prepare')
    inside = up(ran, 'data/copy.txt')
    assert names(inside) == {'prepare'} and 'in data' in inside.target.said[0]


def test_of_many_versions_of_a_folder_the_right_one_is_found(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        ran.write('in.txt', f'version {number}: {LINE}')
        ran.run('prepare')
    monkeypatch.setattr('mlops_cli.experiments.lineage_records.FOLDERS', 1)
    found = up(ran, 'HEAD:train@2')
    assert names(found) == {'train@2', 'prepare'}
    (source,) = [s for s in found.sources[found.target.makers[0]] if s.entry.name == 'data/all.txt']
    assert source.through == 'inside' and len(source.makers) == 4  # in.txt has no part in all.txt
    assert found.results[source.makers[0]].maker.run == found.results[found.target.makers[0]].maker.run


def test_code_that_a_stage_writes_has_a_maker(project: Project) -> None:
    project.write(
        'pipeline.yaml',
        'version: 1\nstages:\n'
        '  write: {cmd: "printf \'print(1 + 1)  # longer than by chance\\n\' > made.py", outs: [made.py]}\n'
        '  use: {cmd: python made.py > out.txt, code: [made.py], outs: [out.txt]}\n',
    )
    project.run()
    assert names(up(project, 'out.txt')) == {'use', 'write'}
    assert names(down(project, 'write')) == {'use'}


def test_data_that_no_stage_made_is_tracked_or_a_file(ran: Project) -> None:
    found = up(ran, 'data')
    (top,) = found.target.makers
    kinds = {source.entry.name: (source.kind, source.now) for source in found.sources[top] if source.entry.kind == 'data'}
    assert kinds == {'raw': ('tracked', 'same'), 'in.txt': ('file', 'same')}
    ran.write('in.txt', 'another')
    shutil.rmtree(ran.path / 'raw')
    found = up(ran, 'data')
    kinds = {source.entry.name: (source.kind, source.now) for source in found.sources[top] if source.entry.kind == 'data'}
    assert kinds == {'raw': ('tracked', 'gone'), 'in.txt': ('file', 'changed')}


def test_who_made_it_when_from_which_commit(ran: Project) -> None:
    found = up(ran, 'best.bin')
    made = found.results[found.target.makers[0]]
    assert made.maker.commit == ran.git('rev-parse', 'HEAD~1').strip() and made.maker.branch == 'main'
    assert made.maker.who and made.maker.host and made.maker.at.endswith('Z') and made.record is not None
    assert made.environment['platform'] and made.seconds is not None and made.pins


def test_edits_that_the_commit_does_not_have_are_told(ran: Project) -> None:
    assert {made.maker.edited for made in up(ran, 'best.bin').results.values()} == {()}
    ran.write('train.sh', TRAIN + 'echo more >> models/$1.bin\n')
    ran.run()
    found = {made.stage: made.maker.edited for made in up(ran, 'best.bin').results.values()}
    assert found['train@1'] == ('train.sh',) and found['prepare'] == ()


def test_it_goes_by_content_not_by_what_the_pipeline_says_now(ran: Project) -> None:
    """An old model, after everything was made anew and the pipeline lost a stage."""
    shutil.copy(ran.path / 'best.bin', ran.path.parent / 'old.bin')
    ran.write('params.yaml', 'prepare: {seed: 2}\nrate: 0.5\n')
    ran.write('in.txt', LINE * 4)
    ran.write('train.sh', TRAIN.replace('number', 'another number'))
    ran.run()
    ran.write('pipeline.yaml', PIPELINE.partition('  pick:')[0])
    found = up(ran, str(ran.path.parent / 'old.bin'))
    assert names(found) == EVERYTHING
    values = {entry.value for made in found.results.values() for entry in made.entries if entry.name == 'params.yaml:rate'}
    assert values == {'0.1'}


def test_of_results_with_one_content_that_of_the_same_run_counts(ran: Project) -> None:
    """Another seed gives the same data, so what was made from it has two possible pasts: the right one is shown."""
    before = up(ran, 'best.bin')
    ran.write('params.yaml', 'prepare: {seed: 7}\nrate: 0.1\n')
    ran.run()
    after = up(ran, 'best.bin')
    seeds = [
        {entry.value for made in found.results.values() for entry in made.entries if entry.name == 'params.yaml:prepare.seed'}
        for found in (before, after)
    ]
    assert seeds == [{'1'}, {'1'}]
    prepared = up(ran, 'data')
    assert '1 other recorded result came to the same content.' in prepared.target.said


def test_so_many_results_deep(ran: Project) -> None:
    found = up(ran, 'best.bin', depth=2)
    assert names(found) == EVERYTHING - {'prepare'}
    assert {found.results[name].stage for name in found.cut} == {'train@1', 'train@2', 'train@3'}
    assert up(ran, 'best.bin', depth=3).cut == frozenset()


def test_a_chain_that_is_not_recorded_here_is_told(ran: Project) -> None:
    """Somebody committed the pins of the last stage alone."""
    for path in (ran.path / '.mlops/stages').iterdir():
        if not path.name.startswith('pick~'):
            path.unlink()
    shutil.rmtree(ran.path / '.mlops/cache')
    shutil.rmtree(ran.path / '.mlops/runs')
    shutil.rmtree(ran.path / 'models')
    found = up(ran, 'best.bin')
    (top,) = found.target.makers
    made = found.results[top]
    assert made.maker.run == '' and made.entry is None
    kinds = {source.kind for source in found.sources[top] if source.entry.kind == 'data'}
    assert kinds == {'unknown', 'file'}  # a number file is still here, as nobody recorded it


# What words mean


def test_a_file_elsewhere_is_found_by_its_hash(ran: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    shutil.copy(ran.path / 'models/2.bin', elsewhere / 'model.bin')
    found = up(ran, str(elsewhere / 'model.bin'))
    assert names(found) == {'train@2', 'prepare'} and 'models/2.bin' in found.target.said[0]
    shutil.copytree(ran.path / 'data', elsewhere / 'data')
    assert names(up(ran, '../elsewhere/data')) == {'prepare'}
    shutil.copy(ran.path / 'data/copy.txt', elsewhere / 'inside.txt')
    shutil.copymode(ran.path / 'train.sh', elsewhere / 'inside.txt')
    inside = up(ran, 'inside.txt', here='../elsewhere')
    assert names(inside) == {'prepare'} and 'This is data/copy.txt as prepare made it' in inside.target.said[0]
    (elsewhere / 'other').write_text('nobody ever made this')
    unknown = up(ran, str(elsewhere / 'other'))
    assert not unknown.target.found and unknown.target.said[0] == 'No recorded result has this content.'


def test_a_path_of_the_project_that_leads_out_by_a_link_is_not_read(ran: Project, tmp_path: Path) -> None:
    elsewhere = tmp_path / 'elsewhere'
    shutil.copytree(ran.path / 'data', elsewhere)
    (ran.path / 'link').symlink_to(elsewhere)
    for path in ('link/copy.txt', 'link/nothing', str(ran.path / 'link/copy.txt')):
        with pytest.raises(UserError, match='leads out of the project by a symbolic link'):
            up(ran, path)
    with pytest.raises(UserError, match='leads out of the project by a symbolic link'):
        up(ran, 'copy.txt', here='link')


def test_tracked_data_elsewhere(ran: Project, tmp_path: Path) -> None:
    shutil.copytree(ran.path / 'raw', tmp_path / 'theirs')
    assert 'It is raw, tracked data.' in up(ran, str(tmp_path / 'theirs')).target.said[0]
    assert names(down(ran, str(tmp_path / 'theirs'))) == EVERYTHING


@pytest.mark.parametrize('word', ['raw', 'raw/a.txt', 'in.txt', 'train.sh', 'params.yaml:rate', 'rate', 'data', 'prepare'])
def test_every_kind_of_input_has_a_downstream(ran: Project, word: str) -> None:
    found = names(down(ran, word))
    assert found == (EVERYTHING if word in ('raw', 'raw/a.txt', 'in.txt') else EVERYTHING - {'prepare'})


def test_a_digest_or_its_beginning(ran: Project) -> None:
    digest = digest_of((ran.path / 'best.bin').read_bytes())
    for word in (str(digest), digest.hex, f'blake3:{digest.hex[:12]}'):
        assert names(up(ran, word)) == EVERYTHING
    raw = up(ran, 'raw').target.contents[0].ref.digest
    assert names(down(ran, f'blake3:{raw.hex[:20]}')) == EVERYTHING
    key = next(made.key for made in up(ran, 'pick').results.values() if made.stage == 'pick')
    assert names(up(ran, f'blake3:{key.hex[:16]}')) == EVERYTHING
    assert not up(ran, 'blake3:' + '0' * 64).target.found
    source = next(s.entry.digest for s in up(ran, 'data').sources[up(ran, 'data').target.makers[0]] if s.entry.name == 'in.txt')
    assert names(down(ran, str(source))) == EVERYTHING


def test_a_run_and_a_stage_and_a_group(ran: Project) -> None:
    with opened(ran) as (records, _):
        run = next(records.bench.runs.newest())
    assert names(up(ran, run.short)) == EVERYTHING and names(up(ran, run.short[:5])) == EVERYTHING
    assert {up(ran, 'train').results[name].stage for name in up(ran, 'train').target.makers} == {
        'train@1',
        'train@2',
        'train@3',
    }
    assert names(up(ran, 'train@1')) == {'train@1', 'prepare'}


def test_as_it_was_at_a_revision(ran: Project) -> None:
    before = up(ran, 'best.bin').target.makers
    ran.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.2\n')
    ran.write('train.sh', TRAIN + 'echo more >> models/$1.bin\n')
    ran.run()
    assert up(ran, 'best.bin').target.makers != before
    assert up(ran, 'HEAD:best.bin').target.makers == before and up(ran, 'HEAD:pick').target.makers == before
    assert 'best.bin of HEAD' in up(ran, 'HEAD:best.bin').target.title
    with pytest.raises(UserError, match='has no stage'):
        up(ran, 'HEAD:nothing.bin')


def test_a_stage_whose_state_is_not_recorded_shows_its_last_result(ran: Project) -> None:
    ran.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.3\n')
    found = up(ran, 'train@1')
    assert 'has no result for the present state; this is its last one' in found.target.said[0] and names(found) == {
        'train@1',
        'prepare',
    }
    ran.write('pipeline.yaml', PIPELINE + '  new: {cmd: "true", deps: [in.txt], outs: [n]}\n')
    assert up(ran, 'new').target.said == ('new has no recorded result.',) and not up(ran, 'new').target.found


def test_what_is_not_in_the_workspace_any_more(ran: Project) -> None:
    (ran.path / 'best.bin').unlink()
    shutil.rmtree(ran.path / 'raw')
    assert 'this is the present state' in up(ran, 'best.bin').target.said[0] and names(up(ran, 'best.bin')) == EVERYTHING
    assert names(down(ran, 'raw/a.txt')) == EVERYTHING
    ran.write('pipeline.yaml', PIPELINE.partition('  pick:')[0])
    assert 'this is the last result' in up(ran, 'best.bin').target.said[0]


def test_an_output_that_was_edited_by_hand_was_made_by_nobody(ran: Project) -> None:
    ran.write('best.bin', 'mine')
    found = up(ran, 'best.bin')
    assert not found.results and 'Made by nobody recorded here: pick makes this path' in found.target.said[0]


def test_a_folder_around_outputs_means_all_of_them(ran: Project) -> None:
    found = up(ran, 'models')
    assert {found.results[name].stage for name in found.target.makers} == {'train@1', 'train@2', 'train@3'}


@pytest.mark.parametrize('word', ['best.bim', 'nothing/at/all', '', 'HEAD~99:best.bin', 'params.yaml:nothing'])
def test_a_word_that_means_nothing_is_answered(ran: Project, word: str) -> None:
    with pytest.raises(UserError) as caught:
        up(ran, word)
    assert caught.value.hint or caught.value.message
    if word == 'best.bim':
        assert caught.value.hint == 'did you mean best.bin?'


def test_paths_are_from_where_the_user_stands(ran: Project) -> None:
    assert names(up(ran, '2.bin', here='models')) == {'train@2', 'prepare'}
    assert names(up(ran, '../best.bin', here='models')) == EVERYTHING


def test_a_record_means_what_it_is_about(ran: Project) -> None:
    pin = next((ran.path / '.mlops/stages').glob('pick~*'))
    assert names(up(ran, f'.mlops/stages/{pin.name}')) == EVERYTHING
    record = next((ran.path / '.mlops/runs').rglob('*.json'))
    assert up(ran, str(record.relative_to(ran.path))).target.kind == 'run'


def test_the_whole_project(ran: Project) -> None:
    found = up(ran, '.')
    assert names(found) == EVERYTHING and found.target.title == '5 stages of workspace'


def test_an_object_too_large_for_a_listing_is_not_read(ran: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mlops_cli.experiments.lineage_records.NODE_BYTES', 10)
    found = up(ran, 'train@1')
    assert names(found) == {'train@1'}  # that data/all.txt lies in data cannot be told
    with opened(ran) as (records, _), pytest.raises(MissingObject):
        records.node(digest_of((ran.path / 'models/1.bin').read_bytes()))


# Downstream


def test_what_is_the_present_state_and_what_is_not(ran: Project) -> None:
    ran.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.2\n')
    ran.run()
    found = down(ran, 'raw')
    states = sorted((made.stage, made.present) for made in found.results.values())
    assert states == sorted(
        [('prepare', True), ('pick', True)] + [(f'train@{n}', now) for n in (1, 2, 3) for now in (True, False)]
    )


def test_of_a_parameter_its_present_value_or_any(ran: Project) -> None:
    ran.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.2\n')
    assert names(down(ran, 'params.yaml:rate')) == set() and down(ran, 'params.yaml:rate').others == 3
    assert names(down(ran, 'params.yaml:rate', every=True)) == EVERYTHING - {'prepare'}
    assert names(down(ran, 'params.yaml:prepare.seed')) == EVERYTHING


def test_of_an_input_its_present_content_or_any(ran: Project) -> None:
    ran.write('in.txt', LINE * 9)
    assert names(down(ran, 'in.txt')) == set() and down(ran, 'in.txt').others == 1
    assert names(down(ran, 'in.txt', every=True)) == EVERYTHING


def test_the_same_content_at_another_path_is_told_as_such(ran: Project) -> None:
    """Somebody copied a model by hand, and a stage reads the copy."""
    shutil.copy(ran.path / 'models/1.bin', ran.path / 'chosen.bin')
    ran.write('pipeline.yaml', PIPELINE + '  use: {cmd: cp chosen.bin used.bin, deps: [chosen.bin], outs: [used.bin]}\n')
    ran.run()
    found = up(ran, 'used.bin')
    (source,) = [s for s in found.sources[found.target.makers[0]] if s.entry.name == 'chosen.bin']
    assert (source.through, source.output) == ('content', 'models/1.bin') and names(found) == {'use', 'train@1', 'prepare'}
    assert 'use' in names(down(ran, 'raw'))


def test_short_contents_are_equal_by_chance(ran: Project) -> None:
    ran.write('tiny.txt', '1\n')
    ran.write(
        'pipeline.yaml',
        PIPELINE
        + '  a: {cmd: echo 1 > one.txt, outs: [one.txt]}\n  b: {cmd: cp tiny.txt b.txt, deps: [tiny.txt], outs: [b.txt]}\n',
    )
    ran.run()
    found = up(ran, 'b.txt')
    assert names(found) == {'b'} or names(found) == {'a'}
    with opened(ran) as (records, _):
        assert records.makers('tiny.txt', digest_of(b'1\n')) == []


def test_what_was_accepted_says_by_whom_and_whose_outputs_they_are(ran: Project) -> None:
    ran.write('train.sh', TRAIN + '# only a comment more, and bytes count in shell scripts\n')
    ran.mlops('accept', 'train@1', '--reason', 'only a comment')
    found = up(ran, 'train@1')
    made = found.results[found.target.makers[0]]
    assert [one.reason for one in made.accepted] == ['only a comment'] and not made.runs
    assert made.maker.run == made.accepted[0].run and made.record is not None
    file = up(ran, 'models/1.bin')
    assert not file.results[file.target.makers[0]].accepted  # the one that really ran
    assert any(text.startswith('Accepted for another key of train@1 too, ') for text in file.target.said)


# Differences


def test_where_two_chains_part(ran: Project) -> None:
    ran.write('params.yaml', 'prepare: {seed: 1}\nrate: 0.2\n')
    ran.write('train.sh', TRAIN + 'echo more >> models/$1.bin\n')
    ran.run()
    found = diff(ran, 'HEAD:best.bin', 'best.bin')
    states = {pair.after.stage: pair.state for pair in found.pairs}
    assert states == {'prepare': 'same', 'train@1': 'diverged', 'train@2': 'diverged', 'train@3': 'diverged', 'pick': 'follows'}
    told = {(reason.kind, reason.subject, reason.before, reason.after) for pair in found.points for reason in pair.own}
    assert ('param', 'rate', '0.1', '0.2') in told and {kind for kind, *_ in told} == {'param', 'code'}
    assert found.alone == ()
    order = [pair.after.stage for pair in found.pairs]
    assert order.index('prepare') < order.index('train@1') < order.index('pick')


def test_runs_are_compared_with_what_was_fresh_in_them(ran: Project) -> None:
    """The second run made only one instance anew."""
    ran.write('models/2.bin', 'lost')
    ran.write('train.sh', TRAIN.replace('number', 'this is number'))
    ran.run('train@2')
    with opened(ran) as (records, _):
        second, first = (run.short for run in records.bench.runs.newest())
    assert names(up(ran, second)) == {'train@2', 'prepare'}
    found = diff(ran, first, second)
    states = {pair.after.stage: pair.state for pair in found.pairs}
    assert states == {'prepare': 'same', 'train@2': 'diverged'}


def test_of_the_pasts_that_are_possible_the_one_of_the_run_counts(ran: Project) -> None:
    """prepare made the same data for two seeds; the run that trained found the second one fresh."""
    ran.write('params.yaml', 'prepare: {seed: 7}\nrate: 0.1\n')
    ran.run('prepare')
    ran.write('params.yaml', 'prepare: {seed: 7}\nrate: 0.9\n')
    ran.write('train.sh', TRAIN.replace('number', 'another number'))
    ran.run()
    found = up(ran, 'best.bin')
    values = {
        entry.value for made in found.results.values() for entry in made.entries if entry.name == 'params.yaml:prepare.seed'
    }
    assert values == {'7'}


def test_data_that_no_stage_made_is_where_they_part(ran: Project) -> None:
    ran.write('raw/a.txt', LINE + 'more\n')
    ran.run()
    found = diff(ran, 'HEAD', 'workspace')
    assert [(pair.after.stage, pair.state) for pair in found.points] == [('prepare', 'diverged')]
    assert [(reason.kind, reason.subject, reason.detail) for reason in found.points[0].own] == [('data', 'raw', '1 changed')]


def test_the_same_is_the_same(ran: Project) -> None:
    assert [pair.state for pair in diff(ran, 'best.bin', 'best.bin').pairs] == ['same']
    assert diff(ran, 'best.bin', 'best.bin').points == ()


def test_a_stage_that_is_not_deterministic(project: Project) -> None:
    project.write('pipeline.yaml', 'version: 1\nstages:\n  roll: {cmd: date +%s%N > out.txt, outs: [out.txt]}\n')
    project.run()
    shutil.copy(project.path / 'out.txt', project.path.parent / 'first.txt')
    project.run(force=True)
    found = diff(project, str(project.path.parent / 'first.txt'), 'out.txt')
    assert [pair.state for pair in found.pairs] == ['unstable']


# Speed


@pytest.mark.full
def test_ten_thousand_results_answer_at_once(project: Project, write_many: Callable[[Project, int], str]) -> None:
    """Measured: 13 ms; the bound is for a busy machine."""
    digest = write_many(project, 10_000)
    assert names(up(project, digest)) == {'prepare', 'train', 'evaluate'}
    with opened(project) as (records, targets):  # as a folder that was left alone for two seconds
        records.index._settled = lambda _facts: True
        upstream(records, targets.find(digest))
    begin = time.process_time()
    with opened(project) as (records, targets):
        records.index._settled = lambda _facts: True
        assert len(upstream(records, targets.find(digest)).results) == 3
    assert time.process_time() - begin < 0.4


@pytest.fixture
def write_many() -> Callable[[Project, int], str]:
    """Writes chains of three results as pins; the digest of an output in the middle of them."""

    def write(project: Project, count: int) -> str:
        project.write(
            'pipeline.yaml',
            'version: 1\nstages:\n'
            + ''.join(
                f'  {name}: {{cmd: "true", deps: [{read}], outs: [{made}]}}\n'
                for name, read, made in (
                    ('prepare', 'in.txt', 'a.txt'),
                    ('train', 'a.txt', 'm.bin'),
                    ('evaluate', 'm.bin', 'e.txt'),
                )
            ),
        )
        project.write('in.txt', 'x')
        project.write(layout.GITIGNORE, f'{IGNORED.decode()}\n')  # as the first run does: from then on readers keep tables
        folder = project.path / '.mlops/stages'
        folder.mkdir(parents=True)
        for number in range(count // 3):
            last = digest_of(b'in')
            for name, read, made in (
                ('prepare', 'in.txt', 'a.txt'),
                ('train', 'a.txt', 'm.bin'),
                ('evaluate', 'm.bin', 'e.txt'),
            ):
                ref = ObjectRef(digest_of(f'{name}{number}'.encode()), 1000, 'file')
                entries = [
                    value_entry('param', f'params.yaml:{name}', number),
                    Entry('data', read, last),
                    *(Entry('code', f'src/{n}.py', digest_of(f'{n}{number % 5}'.encode())) for n in range(8)),
                ]
                pin = Pin(Manifest.of(entries), ((made, ref),))
                (folder / pin.file_name(name)).write_bytes(pin.data)
                last = ref.identity
        return str(digest_of(f'evaluate{count // 6}'.encode()))

    return write


def test_code_that_differs_from_the_commit_in_comments_only(project: Project) -> None:
    project.init_git()
    stages = ''.join(f'  {name}:\n    cmd: python {name}.py\n    outs: [{name}.txt]\n' for name in ('one', 'two'))
    project.write('pipeline.yaml', f'version: 1\nname: p\nstages:\n{stages}')
    source = "open('{}.txt', 'w').write('{} and some more words')\n"
    for name in ('one', 'two'):
        project.write(f'{name}.py', source.format(name, name))
    project.commit('code')
    project.write('one.py', '# why\n' + source.format('one', 'one').replace(', ', ',  '))
    project.write('two.py', source.format('two', 'other'))
    project.run()
    (one,) = up(project, 'one.txt').results.values()
    assert (one.maker.edited, one.maker.worded) == (('one.py',), {'one.py'})
    assert ('not in git', ['one.py differed from the commit in comments or formatting only']) in result_facts(one)
    (two,) = up(project, 'two.txt').results.values()
    assert (two.maker.edited, two.maker.worded) == (('two.py',), frozenset())
    assert ('not in git', ['two.py differed from the commit']) in result_facts(two)
