"""What stands at an output and is no regular file: every command that reads says so, and none breaks down."""

from __future__ import annotations

import os

import pytest

from mlops_cli.cli import app
from tests.support.project import Project
from tests.support.stages import lay

COMMANDS = (
    [], ['status'], ['plan'], ['explain', 'a'], ['metrics', 'show'], ['metrics', 'diff'], ['runs', 'show'], ['runs', 'diff'],
    ['plots', 'show', '--text'], ['lineage', 'upstream', 'm.json'], ['doctor'], ['accept', 'a', '-n'],
)  # fmt: skip


@pytest.mark.parametrize('strange', ['fifo', '/etc/passwd', '/dev/zero'])
def test_no_command_breaks_down(
    project: Project, strange: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    monkeypatch.setenv('HOME', project.environ['HOME'])
    command = 'echo \'{"acc": 1}\' > m.json; printf "x,y\\n1,2\\n" > c.csv'
    lay(project, {'a': {'cmd': command, 'metrics': ['m.json'], 'plots': ['c.csv']}})
    short = project.run().run.short  # type: ignore[union-attr]
    for name in ('m.json', 'c.csv'):
        (project.path / name).unlink()
        os.mkfifo(project.path / name) if strange == 'fifo' else (project.path / name).symlink_to(strange)
    for arguments in COMMANDS:
        words = [*arguments, short] if arguments[:1] == ['runs'] else arguments
        code = app.run(words)
        shown = capsys.readouterr()
        assert code != 70 and 'bug of mlops' not in shown.err, (words, shown)
