"""What a plan of many stages asks the disk, stage by stage: each file once, each folder's way once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.plan.facts import Wishes
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.run.outlook import look
from tests.support.project import Project

STAGES = 5
COUNTED = ('open', 'stat', 'lstat', 'read', 'readlink', 'listdir', 'scandir')


def some(project: Project, stages: int) -> None:
    one = '  s{0}: {{cmd: cp src/{0}.txt out/{0}.txt, deps: [src/{0}.txt], outs: [out/{0}.txt]}}\n'
    project.write('pipeline.yaml', 'stages:\n' + ''.join(map(one.format, range(stages))))
    for number in range(stages):
        project.write(f'src/{number}.txt', str(number))
    (project.path / 'out').mkdir(exist_ok=True)
    project.run()


def age(project: Project) -> None:
    """As if all files had been there for long: what was written just now is read again."""
    bench = project.open()
    look(bench, bench.order, Wishes())
    for path in [*bench.describer.makers, *(dep.value for stage in bench.pipeline.stages.values() for dep in stage.deps)]:
        facts = bench.root.stat(path)
        ref = bench.workspace.ref(path)
        assert facts is not None and ref is not None
        moment = bench.index.moment()._replace(before_ns=facts.st_ctime_ns + 1)
        bench.index.put_many([(path, facts, ref)], moment=moment)
    bench.close()


def counted(project: Project, monkeypatch: pytest.MonkeyPatch) -> tuple[Plan, Counter[str], Counter[str]]:
    """The plan; the calls by function; the looks at each path of the workspace, by its name."""
    calls: Counter[str] = Counter()
    looks: Counter[str] = Counter()
    bench = project.open()
    monkeypatch.setattr('mlops_cli.fingerprint.index.Index.settled', lambda *_: True)

    def counting(name: str, original: Any) -> Any:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            if isinstance(path, str) and path.endswith('.txt'):
                looks[os.path.basename(path)] += 1
            return original(path, *arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in COUNTED:
            patched.setattr(os, name, counting(name, getattr(os, name)))
        plan = look(bench, bench.order, Wishes()).plan
    bench.close()
    return plan, calls, looks


@pytest.fixture
def few(tmp_path: Path) -> Project:
    project = Project(tmp_path / 'few')
    some(project, STAGES)
    age(project)
    return project


@pytest.fixture
def many(tmp_path: Path) -> Project:
    project = Project(tmp_path / 'many')
    some(project, 3 * STAGES)
    age(project)
    return project


def test_a_fresh_stage_costs_its_pin_and_one_look_at_each_path(
    few: Project, many: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, less, _ = counted(few, monkeypatch)
    more_plan, more, looks = counted(many, monkeypatch)
    assert {step.verdict for step in (*plan.steps, *more_plan.steps)} == {Verdict.FRESH}
    each = {name: (more[name] - less[name]) / (2 * STAGES) for name in COUNTED}
    assert each == {'open': 1, 'read': 1, 'stat': 2, 'lstat': 0, 'readlink': 0, 'listdir': 0, 'scandir': 0}
    assert all(looks[f'{number}.txt'] == 2 for number in range(3 * STAGES))  # its input's and its output's


def test_a_stale_stage_costs_its_history_and_no_second_look(many: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    many.write('src/7.txt', 'another')
    plan, calls, looks = counted(many, monkeypatch)
    assert [step.stage for step in plan.steps if step.verdict is not Verdict.FRESH] == ['s7']
    assert all(looks[f'{number}.txt'] == 2 for number in range(3 * STAGES) if number != 7)
    assert calls['stat'] + calls['lstat'] < 2 * 3 * STAGES + 60
    assert calls['listdir'] + calls['scandir'] < 40


def test_a_run_decides_what_is_fresh_once(few: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is a moment old when the run begins: only what waits for another stage is decided again."""
    from mlops_cli.run import scheduler

    decided: list[str] = []
    original = scheduler.decide

    def noting(draft: Any, *arguments: Any) -> Any:
        decided.append(draft.stage.name)
        return original(draft, *arguments)

    last = '  last: {cmd: cat out/0.txt out/1.txt > last, deps: [out/0.txt, out/1.txt], outs: [last]}\n'
    few.write('pipeline.yaml', few.read('pipeline.yaml') + last)
    few.run()
    few.write('src/1.txt', 'other')
    monkeypatch.setattr(scheduler, 'decide', noting)
    report = few.run()
    assert [name for name, one in report.settled.items() if one.state == 'done'] == ['s1', 'last']
    assert decided == ['last']
