"""Parameters of a trial are written where parameters stand, whatever its record says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.run.trials import write_parameters


@pytest.mark.parametrize(
    'file',
    ['.mlops/config.local.yaml', '.git/config', '../params.yaml', '/tmp/p.yaml', '.GIT/x.yaml', 'notes.txt', './p.yaml', ''],
)
def test_nothing_is_written_where_only_a_hostile_record_would_have_it(tmp_path: Path, file: str) -> None:
    project = tmp_path / 'project'
    project.mkdir()
    (project / 'params.yaml').write_text('lr: 1\n')
    with Root(project) as root:
        with pytest.raises(UserError, match='refused to write parameters') as caught:
            write_parameters(root, [('params.yaml', 'lr', 2), (file, '+cache.dir', '/elsewhere')])
        assert write_parameters(root, [('params.yaml', 'lr', 3)]) == ('params.yaml',)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert [path.name for path in tmp_path.rglob('*')] == ['project', 'params.yaml']
    assert (project / 'params.yaml').read_text() == 'lr: 3\n'
