"""``mlops init``: templates that run as they are, and what it says where there is something already."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlops_cli.adopt import templates
from mlops_cli.adopt.templates import TEMPLATES
from mlops_cli.cli import app
from mlops_cli.pipeline.load import load, schema
from tests.support.project import Project

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mlops(capsys: Any, *arguments: str, code: int = 0) -> tuple[str, str]:
    found = app.run(arguments)
    said = capsys.readouterr()
    assert found == code, said
    return said.out, said.err


def document(capsys: Any, *arguments: str) -> Any:
    found = json.loads(mlops(capsys, 'init', *arguments, '--json')[0])
    wanted = json.loads((ROOT / 'docs' / 'schemas' / 'init.v1.json').read_text())
    jsonschema_rs.Draft202012Validator(wanted).validate(found)
    return found


@pytest.mark.parametrize('template', TEMPLATES, ids=lambda one: one.name)
def test_every_template_is_a_pipeline_with_all_it_needs(capsys: Any, folder: Path, template: templates.Template) -> None:
    made = document(capsys, 'new', '--template', template.name)
    assert made['template'] == template.name and made['needs'] == template.needs
    assert {'README.md', 'params.yaml', 'pipeline.yaml', '.gitignore', '.gitattributes'} <= set(made['made'])
    assert made['made'][-1] == 'pipeline.yaml'  # what makes it a project comes last
    pipeline = load(folder / 'new', environ={})
    assert len(pipeline.groups) >= template.stages - 1
    assert any(output.role == 'metric' for stage in pipeline.stages.values() for output in stage.outputs)
    assert any(output.role == 'plot' for stage in pipeline.stages.values() for output in stage.outputs)
    assert any('mlops gate' in ' '.join(stage.command.words) for stage in pipeline.stages.values())
    for path in (folder / 'new').rglob('*.py'):
        compile(path.read_bytes(), str(path), 'exec')
    if template.needs:
        assert (folder / 'new' / template.needs.partition(' ')[2]).exists()


def test_the_first_line_leads_editors_to_a_schema_without_a_network(capsys: Any, folder: Path) -> None:
    mlops(capsys, 'init', 'new')
    first = (folder / 'new' / 'pipeline.yaml').read_text().partition('\n')[0]
    path = folder / 'new' / first.partition('$schema=')[2]
    assert json.loads(path.read_text()) == schema()
    path.write_text('{}')
    assert '.mlops/pipeline.schema.json' in mlops(capsys, 'init', 'new', '--schema')[0]
    assert json.loads(path.read_text()) == schema()
    assert 'of this version already' in mlops(capsys, 'init', 'new', '--schema')[0]


@pytest.mark.parametrize('name', ['minimal', 'scikit-learn'])
def test_a_template_runs_as_it_is(tmp_path: Path, name: str) -> None:
    project = Project(tmp_path)
    made = project.mlops('init', 'new', '--template', name).out
    assert made.rstrip().endswith('mlops run') and 'Next: cd new && git init' in made
    ran = project.mlops('run', cwd='new').out
    assert f'{len(load(tmp_path / "new", environ={}).stages)} done in ' in ran
    assert 'Nothing to do' in project.mlops('run', cwd='new').out


@pytest.mark.full
@pytest.mark.skipif(importlib.util.find_spec('torch') is None, reason='PyTorch is not installed here')
def test_the_pytorch_template_runs_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.mlops('init', 'new', '--template', 'torch')
    assert '4 done in ' in project.mlops('run', cwd='new', timeout=600).out
    assert 'on c' in project.mlops('logs', 'train', cwd='new').out
    options = ['--width', '8', '--batch', '64', '--rate', '0.01', '--seed', '1']

    def train(checkpoints: str, epochs: int) -> bytes:
        command = [sys.executable, 'src/train.py', *options, '--epochs', str(epochs)]
        environ = {**project.environ, 'MLOPS_CHECKPOINT_DIR': str(tmp_path / checkpoints), 'CUDA_VISIBLE_DEVICES': ''}
        subprocess.run(command, cwd=tmp_path / 'new', env=environ, check=True)
        return (tmp_path / 'new' / 'model.pt').read_bytes()

    train('one', 2)
    assert train('one', 4) == train('two', 4)


def test_init_is_not_done_twice(capsys: Any) -> None:
    mlops(capsys, 'init', 'new')
    assert mlops(capsys, 'init', 'new', code=5)[1] == (
        'error: new/pipeline.yaml exists\n  hint: it is a project already: mlops status\n'
    )


def test_nothing_is_written_over(capsys: Any, folder: Path) -> None:
    (folder / 'params.yaml').write_text('mine: 1\n')
    (folder / 'README.md').write_text('# Mine\n')
    _, err = mlops(capsys, 'init', '--template', 'minimal', code=5)
    assert err.startswith('error: params.yaml exists, and nothing is written over\n') and 'hint:' in err
    assert sorted(os.listdir(folder)) == ['README.md', 'params.yaml']
    os.unlink('params.yaml')
    mlops(capsys, 'init')
    assert (folder / 'README.md').read_text() == '# Mine\n'


def test_what_was_cut_short_can_be_repeated(capsys: Any, folder: Path) -> None:
    mlops(capsys, 'init')
    os.unlink('pipeline.yaml')
    os.unlink('fit.py')
    assert document(capsys, '--template', 'minimal')['made'] == ['fit.py', 'pipeline.yaml']


def test_lines_of_gitignore_are_added_to_those_there(capsys: Any, folder: Path) -> None:
    (folder / '.gitignore').write_text('mine')
    mlops(capsys, 'init')
    assert (folder / '.gitignore').read_text() == 'mine\n__pycache__/\n.venv/\n'


def test_where_scripts_are_it_says_how_to_go_on(capsys: Any, folder: Path) -> None:
    for name in ('zebra.py', 'train.py', 'setup.py', 'test_x.py', 'Makefile', 'dvc.yaml', 'look.ipynb'):
        (folder / name).write_text('raise SystemExit("run")')
    before = sorted(os.listdir(folder))
    out, _ = mlops(capsys, 'init')
    assert out.startswith('Here: train.py, zebra.py, Makefile, dvc.yaml, 1 notebook. Nothing was written')
    assert '  mlops init --script train.py\n' in out and 'mlops adopt dvc' in out and 'under cmd' in out
    assert sorted(os.listdir(folder)) == before
    found = document(capsys)
    assert found['made'] == [] and found['here'] == {
        'scripts': ['train.py', 'zebra.py'],
        'notebooks': ['look.ipynb'],
        'tools': [{'file': 'Makefile', 'tool': 'make'}, {'file': 'dvc.yaml', 'tool': 'DVC'}],
    }


def test_a_stage_for_a_script_that_is_there(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write('raw.csv', '1\n')
    project.write('train.py', "open('model.txt', 'w').write(open('raw.csv').read())\n")
    out = project.mlops('init', '--script', 'train.py').out
    assert 'Stage train: python3 train.py\n  it reads raw.csv\n  it writes model.txt\n' in out
    assert '1 done' in project.mlops('run').out
    project.write('raw.csv', '2\n')
    assert 'data raw.csv changed' in project.mlops('plan').out
    assert project.mlops('init', '--script', 'train.py', code=5).err.startswith('error: pipeline.yaml exists')


def test_a_script_and_its_json(capsys: Any, folder: Path) -> None:
    (folder / 'make.sh').write_text('')
    assert document(capsys, '--script', 'make.sh')['stage'] == {
        'name': 'make',
        'cmd': 'sh make.sh',
        'reads': [],
        'writes': [],
        'needs': [],
    }


def test_what_a_script_has_no_default_for_is_told(capsys: Any, folder: Path) -> None:
    (folder / 'train.py').write_text("p.add_argument('input')\np.add_argument('--epochs', required=True)\n")
    out, _ = mlops(capsys, 'init', '--script', 'train.py')
    assert 'it has no default for input, --epochs: add that to cmd in pipeline.yaml' in out
    assert out.endswith('complete cmd in pipeline.yaml, then mlops run\n')
    os.unlink('pipeline.yaml')
    assert document(capsys, '--script', 'train.py')['stage']['needs'] == ['input', '--epochs']


def test_beside_a_pipeline_the_stage_is_printed(capsys: Any, folder: Path) -> None:
    mlops(capsys, 'init')
    before = {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}
    (folder / 'more.py').write_text("open('more.bin', 'w')\n")
    text = '  more:\n    cmd: python3 more.py\n    outs: [more.bin]\n'
    out, err = mlops(capsys, 'init', '--script', 'more.py', code=5)
    line = (folder / 'pipeline.yaml').read_text().splitlines().index('stages:') + 1
    assert out == text
    assert err == (
        'error: pipeline.yaml exists, and nothing is written over\n'
        f'  hint: paste the lines above into it, below stages: in line {line}\n'
    )
    told = json.loads(mlops(capsys, 'init', '--script', 'more.py', '--json', code=5)[0])
    assert (told['schema'], told['code']) == ('mlops/error/v1', 5) and text in told['hint']
    assert {path: path.read_bytes() for path in folder.rglob('*') if path.is_file() and path.name != 'more.py'} == before
    lines = (folder / 'pipeline.yaml').read_text().splitlines(keepends=True)
    lines.insert(line, text)
    (folder / 'pipeline.yaml').write_text(''.join(lines))
    assert 'more' in load(folder, environ={}).stages
    out, err = mlops(capsys, 'init', '--script', 'more.py', code=5)
    assert not out and 'hint: its stage more runs this script already: mlops status' in err


def test_a_project_inside_a_project_is_told(capsys: Any, folder: Path) -> None:
    mlops(capsys, 'init')
    out, _ = mlops(capsys, 'init', 'part')
    assert f'note: {folder} is a project already' in out and 'include: [part/pipeline.yaml]' in out


def test_the_list(capsys: Any) -> None:
    out, _ = mlops(capsys, 'init', '--list')
    assert all(f'  {one.name} ' in out for one in TEMPLATES)
    assert [row['name'] for row in document(capsys, '--list')['templates']] == [one.name for one in TEMPLATES]


@pytest.mark.parametrize(
    ('arguments', 'code', 'message'),
    [
        (['--template', 'minimul'], 2, "there is no template 'minimul'"),
        (['--template', 'minimal', '--script', 'x.py'], 2, 'two ways to begin'),
        (['--script', 'nowhere.py'], 2, 'there is no script nowhere.py'),
        (['file'], 2, 'file is a file, not a folder'),
        (['file/in'], 2, 'file/in is a file, not a folder'),
    ],
)
def test_what_is_wrong_is_told(capsys: Any, folder: Path, arguments: list[str], code: int, message: str) -> None:
    (folder / 'file').write_text('')
    _, err = mlops(capsys, 'init', *arguments, code=code)
    assert message in err and 'hint: ' in err


def test_links_are_not_written_through(capsys: Any, folder: Path) -> None:
    (folder / 'elsewhere').mkdir()
    (folder / 'new').mkdir()
    (folder / 'new' / '.mlops').symlink_to('../elsewhere')
    _, err = mlops(capsys, 'init', 'new', code=5)
    assert 'symbolic link' in err and not os.listdir(folder / 'elsewhere')


def test_templates_hold_nothing_of_a_run() -> None:
    for template in TEMPLATES:
        assert not [path for path in templates.files(template) if '__pycache__' in path or path.startswith('.mlops')]
    assert sys.version_info >= (3, 11)
