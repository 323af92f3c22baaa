"""Which stages a run is about, what it looks up, and what it does after a failure."""

from __future__ import annotations

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.core.events import Event, StageEnded
from tests.support.project import Project
from tests.support.stages import ended, failure, lay, printed, run, states


@pytest.fixture
def diamond(project: Project) -> Project:
    """a -> b, c -> d; e alone; every stage made once."""
    project.write('in', '1')
    project.write('other', '1')
    lay(
        project,
        {
            'a': {'cmd': 'cp in a', 'deps': ['in'], 'outs': ['a']},
            'b': {'cmd': 'cat a > b', 'deps': ['a'], 'outs': ['b']},
            'c': {'cmd': 'cat a other > c', 'deps': ['a', 'other'], 'outs': ['c']},
            'd': {'cmd': 'cat b c > d', 'deps': ['b', 'c'], 'outs': ['d']},
            'e': {'cmd': 'cat in > e', 'deps': ['in'], 'outs': ['e']},
        },
    )
    assert set(run(project).values()) == {'done'}
    return project


def test_a_named_stage_brings_what_it_needs(diamond: Project) -> None:
    diamond.write('in', '2')
    assert run(diamond, 'b') == {'a': 'done', 'b': 'done'}
    assert run(diamond, 'd') == {'a': 'fresh', 'b': 'fresh', 'c': 'done', 'd': 'done'}
    assert run(diamond) == {'a': 'fresh', 'b': 'fresh', 'c': 'fresh', 'd': 'fresh', 'e': 'done'}


def test_stages_are_named_by_glob_and_by_output_too(diamond: Project) -> None:
    diamond.write('in', '2')
    assert set(run(diamond, '[be]')) == {'a', 'b', 'e'}
    assert set(run(diamond, './c')) == {'a', 'c'}
    with pytest.raises(UserError, match='nothing-like-it'):
        diamond.run('nothing-like-it')


def test_only_takes_just_the_named_stages_with_what_the_workspace_holds(diamond: Project) -> None:
    diamond.write('in', '2')
    assert run(diamond, 'd', only=True) == {'d': 'fresh'}
    diamond.write('b', 'by hand')
    assert run(diamond, 'd', only=True) == {'d': 'done'} and diamond.read('d') == 'by hand11'
    (diamond.path / 'c').unlink()
    with pytest.raises(UserError, match='c: missing'):
        diamond.run('d', only=True)


def test_downstream_takes_what_depends_on_it(diamond: Project) -> None:
    diamond.write('in', '2')
    assert run(diamond, 'b', downstream=True) == {'a': 'done', 'b': 'done', 'c': 'done', 'd': 'done'}
    diamond.write('other', '2')
    assert run(diamond, 'b', downstream=True, only=True) == {'b': 'fresh', 'd': 'fresh'}


def test_force_runs_the_named_stages_and_early_cutoff_spares_the_rest(diamond: Project) -> None:
    assert run(diamond, 'a', force=True) == {'a': 'done'}
    assert run(diamond, 'd', force=True) == {'a': 'fresh', 'b': 'fresh', 'c': 'fresh', 'd': 'done'}
    assert run(diamond, 'a', force=True, downstream=True) == dict.fromkeys('abcd', 'done')
    assert run(diamond, force=True) == dict.fromkeys('abcde', 'done')


def test_without_cache_nothing_is_looked_up_and_all_is_stored(diamond: Project) -> None:
    diamond.write('in', '2')
    run(diamond)
    diamond.write('in', '1')
    assert run(diamond, 'a', lookup=False) == {'a': 'done'}
    assert run(diamond) == {'a': 'fresh', 'b': 'restored', 'c': 'restored', 'd': 'restored', 'e': 'restored'}
    (diamond.path / 'a').unlink()
    assert run(diamond, 'a') == {'a': 'restored'}


def test_an_unchanged_output_stops_the_ripple(project: Project) -> None:
    project.write('in', 'one two')
    stages = {
        'count': {'cmd': 'wc -w < in > n', 'deps': ['in'], 'outs': ['n']},
        'use': {'cmd': 'cat n > o', 'deps': ['n'], 'outs': ['o']},
    }
    lay(project, stages)
    run(project)
    project.write('in', 'three four')
    assert project.verdicts() == {'count': 'run', 'use': 'maybe'}
    assert run(project) == {'count': 'done', 'use': 'fresh'}


class Told(list[Event]):
    """The events of a run, which says in the folder above its project that a stage has failed."""

    def __init__(self, project: Project) -> None:
        super().__init__()
        self.project = project

    def append(self, event: Event) -> None:
        super().append(event)
        if isinstance(event, StageEnded) and event.state == 'failed':
            self.project.write('../failed', '')


@pytest.mark.parametrize('keep_going', [False, True])
def test_after_a_failure_only_what_does_not_need_it_goes_on_if_asked(project: Project, keep_going: bool) -> None:
    lay(
        project,
        {
            'bad': {'cmd': 'until [ -e ../begun ]; do sleep 0.02; done; false', 'outs': ['x'], 'timeout': 100},
            'after': {'cmd': 'true', 'deps': ['x']},
            'later': {'cmd': 'true', 'needs': ['after']},
            'good': {
                'cmd': 'touch ../begun; until [ -e ../failed ]; do sleep 0.02; done; echo 1 > g',
                'outs': ['g'],
                'timeout': 100,
            },
            'next': {'cmd': 'cat g', 'deps': ['g']},
        },
    )
    report = project.run(jobs=2, keep_going=keep_going, events=Told(project))
    assert report.ended == 'failed'
    rest = 'done' if keep_going else 'skipped'
    assert states(report) == {'bad': 'failed', 'after': 'skipped', 'later': 'skipped', 'good': 'done', 'next': rest}
    assert run(project, keep_going=True) == {
        'bad': 'failed',
        'after': 'skipped',
        'later': 'skipped',
        'good': 'fresh',
        'next': 'fresh' if keep_going else 'done',
    }


def test_what_ran_before_the_failure_is_not_run_again(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo x >> ../ran; echo > a', 'outs': ['a']}, 'b': {'cmd': 'test -e ../go', 'deps': ['a']}})
    assert run(project) == {'a': 'done', 'b': 'failed'}
    project.write('../go', '')
    assert run(project) == {'a': 'fresh', 'b': 'done'} and project.read('../ran') == 'x\n'


# Inputs that change while a stage runs


def test_data_that_changes_during_a_run_leads_to_no_result(project: Project) -> None:
    project.write('in', 'one')
    project.write('o', 'before')
    lay(project, {'a': {'cmd': 'cp in o; echo two > in', 'deps': ['in'], 'outs': ['o']}, 'b': {'cmd': 'cat o', 'deps': ['o']}})
    report = project.run()
    assert 'its inputs changed while it ran: in' in failure(report, 'a') and states(report)['b'] == 'skipped'
    assert project.read('o') == 'before'
    bench = project.open()
    assert list(bench.results.all()) == [] and bench.pins.of_stage('a') == ()
    bench.close()


@pytest.mark.parametrize('where', ['data', 'data/*.csv', 'data/a.csv'])
@pytest.mark.parametrize('change', ['echo 2 > data/a.csv', 'rm data/a.csv', 'echo new > data/b.csv'])
def test_every_kind_of_change_during_a_run_is_noticed(project: Project, where: str, change: str) -> None:
    project.write('data/a.csv', '1')
    lay(project, {'a': {'cmd': f'{change}; echo > o', 'deps': [where], 'outs': ['o']}})
    report = project.run()
    if where == 'data/a.csv' and 'b.csv' in change:
        assert states(report) == {'a': 'done'}
    else:
        assert 'inputs changed' in failure(report, 'a')


def test_parameters_that_change_during_a_run_lead_to_no_result(project: Project) -> None:
    project.write('params.yaml', 'x: 1\ny: 1\n')
    lay(project, {'a': {'cmd': 'sed -i s/x:.1/x:\\ 2/ params.yaml; echo > o', 'params': ['x'], 'outs': ['o']}})
    assert 'inputs changed' in failure(project.run(), 'a')
    project.write('params.yaml', 'x: 1\ny: 1\n')
    lay(project, {'a': {'cmd': 'sed -i s/y:.1/y:\\ 2/ params.yaml; echo > o', 'params': ['x'], 'outs': ['o']}})
    assert run(project) == {'a': 'done'}, 'what it does not declare may change'


def test_what_another_stage_made_and_this_one_changes_leads_to_no_result(project: Project) -> None:
    lay(project, {'make': {'cmd': 'echo 1 > a', 'outs': ['a']}, 'spoil': {'cmd': 'echo 2 > a', 'deps': ['a']}})
    report = project.run()
    assert 'inputs changed while it ran: a' in failure(report, 'spoil')
    assert project.verdicts()['make'] == 'restore'


def test_code_that_changes_during_a_run_leads_to_a_result_that_is_never_used_by_itself(project: Project) -> None:
    project.write('main.py', 'open("o", "w").write("one")\nopen("main.py", "a").write("# edited\\nx = 1\\n")\n')
    before = project.read('main.py')
    lay(project, {'a': {'cmd': 'python main.py', 'outs': ['o']}})
    report = project.run()
    assert 'its code changed while it ran: main.py' in failure(report, 'a')
    bench = project.open()
    assert [entry.suspect for entry in bench.results.all()] == [True]
    bench.close()
    project.write('main.py', before)
    if project.exists('o'):
        (project.path / 'o').unlink()
    assert project.verdicts() == {'a': 'run'}


def test_a_comment_that_changes_during_a_run_does_no_harm(project: Project) -> None:
    project.write('main.py', 'open("o", "w").write("one")\nopen("main.py", "a").write("# edited\\n")\n')
    lay(project, {'a': {'cmd': 'python main.py', 'outs': ['o']}})
    assert run(project) == {'a': 'done'} and project.verdicts() == {'a': 'fresh'}


def test_an_undeclared_file_may_change(project: Project) -> None:
    lay(project, {'a': {'cmd': 'echo x >> counter; cat counter > o', 'outs': ['o']}})
    report = project.run()
    assert ended(report, 'a').state == 'done' and printed(project, report, 'a') == ''
