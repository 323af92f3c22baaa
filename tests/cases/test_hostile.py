"""What users and attackers do to a project: nothing of theirs is lost, nothing is believed that should not be."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support.project import Project

TWO = """\
stages:
  a:
    cmd: sleep 0.2; while [ ! -e go ]; do sleep 0.02; done; cat in.txt > a.txt
    deps: [in.txt]
    outs: [a.txt]
  b:
    cmd: cat in.txt > b.txt
    deps: [in.txt]
    outs: [b.txt]
"""


def edited_while_a_runs(project: Project, **options: bool) -> list[str]:
    """Puts PRECIOUS into ``b.txt`` while the stage before it runs; where it is afterwards."""
    project.write('pipeline.yaml', TWO)
    project.write('go', '')
    for text in ('two', 'one'):
        project.write('in.txt', text)
        project.run()
    (project.path / 'go').unlink()
    project.write('in.txt', 'two')

    def edit() -> None:
        time.sleep(0.5)
        project.write('b.txt', 'PRECIOUS')
        project.write('go', '')

    editor = threading.Thread(target=edit)
    editor.start()
    project.run(jobs=1, force=options.get('force', False), lookup=options.get('lookup', True))
    editor.join()
    assert project.read('b.txt') == 'two'
    return [str(path) for path in project.path.rglob('b.txt') if path.read_text() == 'PRECIOUS']


def test_an_output_edited_while_other_stages_run_is_kept_when_its_stage_runs(project: Project) -> None:
    assert '.mlops/local/rescue' in edited_while_a_runs(project, lookup=False)[0]


def test_a_checkout_that_cannot_be_done_leaves_everything_where_it_was(project: Project) -> None:
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "true"}\n')
    project.write('data/one', '1')
    project.write('data/two', '2')
    project.mlops('add', 'data')
    first = project.read('.mlops/data/data.json')
    project.write('data/two', 'another')
    project.mlops('add', 'data')
    project.write('.mlops/data/data.json', first)
    for path in (project.path / '.mlops/cache/objects-v1').rglob('*'):
        if path.is_file() and path.read_bytes() == b'2':
            path.unlink()
    project.mlops('checkout', code=None)
    assert (project.read('data/one'), project.read('data/two')) == ('1', 'another')
    assert 'killed' not in project.mlops('checkout', code=None).err


OURS = 'cache local cache/objects-v1 cache/results-v1 cache/tmp local/index-v1.sqlite stages runs data'.split()


@pytest.mark.parametrize('name', OURS)
def test_no_command_writes_through_a_link_that_a_branch_brings(project: Project, tmp_path: Path, name: str) -> None:
    outside = tmp_path / 'outside'
    outside.mkdir()
    target = outside if '.' not in name else outside / 'file'
    if target != outside:
        target.write_bytes(b'')
    project.write('pipeline.yaml', 'stages:\n  a: {cmd: "touch ../ran", deps: [in.txt], outs: [a.txt]}\n')
    project.write('in.txt', '1')
    link = project.path / '.mlops' / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    for command in (['status'], ['add', 'in.txt'], ['run']):
        project.mlops(*command, code=None)
    assert [path for path in outside.rglob('*') if path != target] == []
    assert target == outside or target.read_bytes() == b''
    assert name in ('stages', 'runs', 'data') or not (tmp_path / 'ran').exists()
