"""What a script names as its files, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlops_cli.adopt.beside import beside
from mlops_cli.adopt.script import Guess, guess
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root


def guessed(tmp_path: Path, text: str, name: str = 'train.py', *, there: tuple[str, ...] = ()) -> Guess:
    for path in there:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text('')
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with Root(tmp_path) as root:
        return guess(root, name)


@pytest.mark.parametrize(
    ('text', 'writes'),
    [
        ("open('a.txt', 'w')", ['a.txt']),
        ("open('a.txt', mode='ab')", ['a.txt']),
        ("OUT = 'a.csv'\nframe.to_csv(OUT)", ['a.csv']),
        ("from pathlib import Path\nD = Path('d')\n(D / 'x.json').write_text('')", ['d/x.json']),
        ("Path('d', ).joinpath('x').write_text('')", []),
        ("joblib.dump(model, 'm.joblib')\ntorch.save(s, 'm.pt')\nnp.save('m.npy', a)", ['m.joblib', 'm.pt', 'm.npy']),
        ("json.dump({}, open('m.json', 'w'))", ['m.json']),
        ("plt.savefig('p.png')\nPath('q').open('w')", ['p.png', 'q']),
        ("open(f'{x}.txt', 'w')\nopen(name, 'w')\nopen('a' + 'b', 'w')", []),
        ("OUT = 'a'\nOUT = 'b'\nopen(OUT, 'w')", []),
        ("open('/tmp/x', 'w')\nopen('../x', 'w')\nopen('s3://b/x', 'w')\nopen('.git/x', 'w')\nopen('.', 'w')", []),
        ("open('a', 'w')\nopen('a', 'w')", ['a']),
        ('this is no python', []),
        ('x = ' + '(' * 500, []),
        ('A = A\nopen(A, "w")', []),
    ],
)
def test_what_it_writes(tmp_path: Path, text: str, writes: list[str]) -> None:
    assert sorted(guessed(tmp_path, text).writes) == sorted(writes)


def test_what_it_reads_counts_if_it_is_there_and_not_its_own(tmp_path: Path) -> None:
    text = (
        "import pandas as pd\npd.read_csv('data/raw.csv')\nopen('not-there.txt')\nopen('own.txt', 'w')\nopen('own.txt')\n"
        "np.loadtxt('data/more.txt')\nPath('conf.yaml').read_text()\njson.load(file)\n"
    )
    found = guessed(tmp_path, text, there=('data/raw.csv', 'own.txt', 'data/more.txt', 'conf.yaml'))
    assert sorted(found.reads) == ['conf.yaml', 'data/more.txt', 'data/raw.csv'] and found.writes == ('own.txt',)


def test_each_output_has_its_place(tmp_path: Path) -> None:
    text = "open('metrics.json', 'w')\nopen('model.pkl', 'wb')\nplt.savefig('roc.svg')\nf.to_csv('plots/a.csv')"
    found = guessed(tmp_path, text, 'src/my train.py')
    assert yaml.safe_load(found.yaml()) == {
        'version': 1,
        'stages': {
            'my-train': {
                'cmd': "python3 'src/my train.py'",
                'outs': ['model.pkl'],
                'metrics': ['metrics.json'],
                'plots': ['roc.svg', 'plots/a.csv'],
            }
        },
    }


@pytest.mark.parametrize('name', ['a: b.py', '#x.py', '"q".py', "it's.py", 'naïve.py', '{}.py', 'é.sh', '--.py'])
def test_odd_names_stay_names(tmp_path: Path, name: str) -> None:
    found = guessed(tmp_path, "open('true', 'w')\nopen('a, b', 'w')\nopen('1', 'w')", name)
    (stage,) = yaml.safe_load(found.yaml())['stages'].values()
    assert name in stage['cmd'].replace("'\\''", "'") and stage.get('outs', ['true', 'a, b', '1']) == ['true', 'a, b', '1']


def test_of_other_scripts_only_how_they_are_started_is_known(tmp_path: Path) -> None:
    assert guessed(tmp_path, 'echo x > out', 'make.sh').command == 'sh make.sh'
    assert '# outs:' in guessed(tmp_path, 'echo x > out', 'make.sh').yaml()
    assert guessed(tmp_path, '', 'fit.R').command == 'Rscript fit.R'
    with pytest.raises(UserError, match='no script that can be told how to start'):
        guessed(tmp_path, '', 'notes.txt')


@pytest.mark.parametrize('name', ['nowhere.py', '../x.py', '/etc/passwd', 'folder'])
def test_what_is_no_script_of_the_project_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / 'folder').mkdir()
    with Root(tmp_path) as root, pytest.raises(UserError) as raised:
        guess(root, name)
    assert raised.value.hint or raised.value.exit_code == ExitCode.REFUSED


def test_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    (tmp_path / 'outside.py').write_text('')
    (tmp_path / 'p').mkdir()
    (tmp_path / 'p' / 'train.py').symlink_to('../outside.py')
    with Root(tmp_path / 'p') as root, pytest.raises(UserError) as raised:
        guess(root, 'train.py')
    assert raised.value.exit_code == ExitCode.REFUSED


@pytest.mark.parametrize(
    ('name', 'drawn'),
    [
        ('loss.csv', True),
        ('out/train_loss.csv', True),
        ('learning-curve.jsonl', True),
        ('confusion.tsv', True),
        ('glossary.csv', False),
        ('losses/a.csv', False),
        ('predictions.csv', False),
        ('loss.json', False),
    ],
)
def test_tables_that_people_draw_are_plots(tmp_path: Path, name: str, drawn: bool) -> None:
    found = guessed(tmp_path, f"open('{name}', 'w')")
    assert (found.plots == (name,)) is drawn


@pytest.mark.parametrize(
    ('text', 'needs'),
    [
        ("p.add_argument('input')\np.add_argument('-d', '--data', required=True)\np.add_argument('--lr')", ('input', '--data')),
        ("p.add_argument('a', nargs='?')\np.add_argument('b', nargs='*')\np.add_argument('c', nargs='+')", ('c',)),
        ("p.add_argument('a', nargs=2)\np.add_argument('b', nargs=REMAINDER)\np.add_argument('c', nargs=0)", ('a',)),
        ("p.add_argument(NAME)\np.add_argument('--a', required=STRICT)\np.add_argument('b', **more)", ()),
        ("g = p.add_argument_group('x')\ng.add_argument('-k', required=True)", ('-k',)),
        (
            (
                "self.g = p.add_mutually_exclusive_group(required=True)\nself.g.add_argument('--a')\np.add_argument('x')\n"
                "self.g.add_argument('--b')"
            ),
            ('--a|--b', 'x'),
        ),
        ("g = p.add_mutually_exclusive_group()\ng.add_argument('--a')", ()),
        (
            (
                "s = p.add_subparsers(dest='task', required=True)\nq = s.add_parser('fit')\nq.add_argument('x')\n"
                "s.add_parser('go').add_argument('y')"
            ),
            ('task',),
        ),
        ("p.add_argument('a\\n  evil: 1 # \u2028')", ('a???evil??1????',)),
    ],
)
def test_what_a_script_cannot_be_started_without(tmp_path: Path, text: str, needs: tuple[str, ...]) -> None:
    found = guessed(tmp_path, f'import argparse\np = argparse.ArgumentParser()\n{text}\n')
    assert found.needs == needs
    (stage,) = yaml.safe_load(found.yaml())['stages'].values()
    assert stage == {'cmd': 'python3 train.py'}
    assert (f'# It has no default for {", ".join(needs)}:' in found.yaml()) is bool(needs)


def test_of_many_arguments_some_are_named(tmp_path: Path) -> None:
    text = '\n'.join(f"p.add_argument('a{number}')" for number in range(15))
    assert 'a10, a11 and 3 more:' in guessed(tmp_path, text).yaml()


@pytest.mark.parametrize(
    ('pipeline', 'line'),
    [
        ('version: 1\nstages:\n    a:\n        cmd: x\n', 2),
        ('stages: # mine\n  train: {cmd: x}\n', 1),
        ('version: 1\nstages:\n', 2),
        ('version: 1\n', 0),
    ],
)
def test_a_stage_to_paste_fits_the_pipeline_that_is_there(tmp_path: Path, pipeline: str, line: int) -> None:
    made = guessed(tmp_path, "open('m', 'w')\np.add_argument('x')")
    (tmp_path / 'pipeline.yaml').write_text(pipeline)
    with Root(tmp_path) as root:
        found = beside(root, made)
    assert found.line == line
    lines = pipeline.splitlines(keepends=True)
    lines.insert(line or len(lines), found.text)
    before = (yaml.safe_load(pipeline) or {}).get('stages') or {}
    after = yaml.safe_load(''.join(lines))['stages']
    name = 'train-2' if 'train' in before else 'train'
    assert after == {**before, name: {'cmd': 'python3 train.py', 'outs': ['m']}}


def test_a_pipeline_that_runs_the_script_gets_no_second_stage(tmp_path: Path) -> None:
    made = guessed(tmp_path, '')
    for text, known in (
        ('stages: {fit: {cmd: python3 train.py --lr 1}}', 'fit'),
        ('stages: {fit: {cmd: python3 train.pyc}}', ''),
        ('stages: [', ''),
        ('- 1', ''),
    ):
        (tmp_path / 'pipeline.yaml').write_text(text)
        with Root(tmp_path) as root:
            found = beside(root, made)
        assert found.known == known and bool(found.text) is not bool(known)
