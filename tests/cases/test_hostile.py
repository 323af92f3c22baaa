"""What users and attackers do to a project: nothing of theirs is lost, nothing is believed that should not be."""

from __future__ import annotations

import threading
import time

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
