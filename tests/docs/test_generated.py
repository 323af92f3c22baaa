"""What is written from the code is as the code is now: ``python docs/generate.py`` writes it anew."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.cli import manual

ROOT = Path(__file__).resolve().parents[2]
MAN = ROOT / 'docs/man/mlops.1'


def test_generated_pages_are_current(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / 'docs/generate.py'), str(tmp_path)], check=True)
    made = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob('*') if path.is_file()}
    assert {'docs/cli.md', 'docs/man/mlops.1', 'docs/pipeline.md', 'mlops_cli/cli/completion/grammar.json'} <= set(made)
    assert {'mlops_cli/cli/help.txt', 'mlops_cli/pipeline/schema.json'} <= set(made)
    old = [name for name, text in made.items() if not (ROOT / name).exists() or text != (ROOT / name).read_text()]
    assert old == [], 'run: python docs/generate.py'


@pytest.mark.parametrize(
    'command',
    [
        ['mandoc', '-T', 'lint', '-W', 'style', str(MAN)],
        ['groff', '-man', '-Tutf8', '-ww', '-z', str(MAN)],
        ['man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', str(MAN)],
    ],
    ids=lambda command: command[0],
)
def test_the_manual_page_is_valid(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f'{command[0]} is not installed')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A date would make every build another one.
    said = [line for line in (done.stderr + done.stdout * (command[0] == 'mandoc')).splitlines() if 'missing date' not in line]
    assert said == []


def test_the_manual_page_reads_as_meant() -> None:
    if shutil.which('man') is None:
        pytest.skip('man is not installed')
    done = subprocess.run(['man', '-l', '-Tascii', str(MAN)], capture_output=True, text=True, check=True)
    text = ' '.join(re.sub('.\b', '', done.stdout).split())  # bold is a character typed twice
    assert 'mlops - reproducible machine learning pipelines' in text
    assert '--exit-code Exit 3 if something is out of date.' in text
    assert 'MLOPS_JOBS The setting jobs.' in text


NODE = {
    'name': 'paint',
    'help': 'Paint it.  Slowly.\n\nNever twice.\n\nExample:  mlops paint wall --colour red        at most once\n',
    'epilog': 'Exit codes: 0 done, 1 with --dry, if it is wet, 2 wrong input.',
    'params': [
        {'kind': 'argument', 'names': [], 'takes': 'WALL|DOOR', 'choices': [], 'most': 1, 'repeated': False, 'required': True,
         'variable': '', 'default': '', 'help': 'What.'},
        {'kind': 'option', 'names': ['--colour', '-c'], 'takes': 'NAME', 'choices': [], 'most': 1, 'repeated': True,
         'required': False, 'variable': 'MLOPS_COLOUR', 'default': 'blue', 'help': 'Which.'},
    ],
}  # fmt: skip
TREE = {'name': 'mlops', 'help': 'Paint.', 'epilog': '', 'params': [], 'commands': [NODE]}


def test_a_command_in_markdown() -> None:
    page = manual.markdown(TREE, {'paint.v1.json'})
    assert '| [`paint`](#mlops-paint) | Paint it |' in page
    assert '## mlops paint\n\nPaint it. Slowly.\n\nNever twice.\n\n```\nmlops paint [OPTION]... WALL|DOOR\n' in page
    assert '  mlops paint wall --colour red\n```' in page
    assert '| `WALL\\|DOOR` |  | What. |\n| `-c`, `--colour NAME` | `blue`, `MLOPS_COLOUR`, may be repeated | Which. |' in page
    assert 'JSON: [`mlops/paint/v1`](schemas/paint.v1.json).' in page
    assert 'Ends with 0 done, 1 with `--dry`, if it is wet, 2 wrong input.' in page


def test_a_command_in_a_manual_page() -> None:
    page = manual.man(TREE, '1.0', {0: 'Done.'}, [('MLOPS_X', "'Tis.")])
    assert '.SS mlops paint [OPTION]... WALL|DOOR\nPaint it. Slowly.\n.PP\nNever twice.\n' in page
    assert '.TP\n.B \\-c, \\-\\-colour NAME\nWhich. Default: blue. Variable: MLOPS_COLOUR.\n' in page
    assert "\n.B MLOPS_X\n\\&'Tis.\n" in page
