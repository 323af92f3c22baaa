"""What of a notebook counts: its code cells, and nothing that running it changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.fingerprint.notebook import changed_cells, meaning, python_of
from mlops_cli.fingerprint.parsing import runs_notebooks
from tests.support.project import Project


def code(*lines: str, **more: Any) -> dict[str, Any]:
    source = [f'{line}\n' for line in lines[:-1]] + [lines[-1]]
    return {'cell_type': 'code', 'source': source, 'metadata': {}, 'outputs': [], 'execution_count': None, **more}


def text(*lines: str) -> dict[str, Any]:
    return {'cell_type': 'markdown', 'source': '\n'.join(lines), 'metadata': {}}


def notebook(*cells: dict[str, Any], **metadata: Any) -> bytes:
    return json.dumps({'cells': list(cells), 'metadata': metadata, 'nbformat': 4, 'nbformat_minor': 5}, indent=1).encode()


PLAIN = notebook(text('# Title'), code('import json', 'x = 1'), code('print(x)'))
OUTPUT = {'output_type': 'stream', 'name': 'stdout', 'text': ['1\n']}


@pytest.mark.parametrize(
    'same',
    [
        notebook(code('import json', 'x = 1'), code('print(x)')),
        notebook(code('import json', 'x = 1', outputs=[OUTPUT], execution_count=7), code('print(x)', id='a1b2')),
        notebook(text('other', 'words'), code('import json', 'x = 1'), text('more'), code('print(x)'), text('end')),
        notebook(code('import json', '', '# why', 'x=1'), code(''), code('# nothing but this'), code('print( x )')),
        notebook(code('import json', 'x = 1'), code('print(x)'), kernelspec={'name': 'mine', 'language': 'python'},
                 language_info={'name': 'python', 'version': '3.13.1'}),
        notebook(code('import json\r', 'x = 1'), code('print(x)', metadata={'collapsed': True, 'tags': ['pretty']})),
    ],
)  # fmt: skip
def test_what_does_not_count(same: bytes) -> None:
    assert meaning(same) == meaning(PLAIN) is not None
    assert changed_cells(PLAIN, notebook(text('t'), code('import json', 'x = 1', execution_count=3), code('print(x)'))) == ()


@pytest.mark.parametrize(
    'other',
    [
        notebook(code('import json', 'x = 2'), code('print(x)')),
        notebook(code('print(x)'), code('import json', 'x = 1')),
        notebook(code('import json', 'x = 1'), code('print(x);')),  # shows nothing
        notebook(code('import json', 'x = 1', metadata={'tags': ['parameters']}), code('print(x)')),
        notebook(code('import json', 'x = 1'), code('print(x)', metadata={'tags': ['skip-execution']})),
        notebook(code('import json', 'x = 1', 'print(x)')),
        notebook(code('import json', 'x = 1'), code('print(x)'), kernelspec={'name': 'ir', 'language': 'R'}),
        notebook(code('import json', 'x = 1'), code('%matplotlib inline'), code('print(x)')),
    ],
)
def test_what_counts(other: bytes) -> None:
    assert meaning(other) != meaning(PLAIN)


@pytest.mark.parametrize(
    'data',
    [b'', b'[]', b'{"nbformat":3,"worksheets":[]}', b'{"nbformat":4,"cells":[{}]}', b'{"nbformat":4,"cells":{}}',
     b'[' * 100_000, b'{"nbformat":4,"cells":[{"cell_type":"code","source":[1]}]}', b'{"nbformat":4,"cells":[3]}', b'\xff\xfe',
     b'{"nbformat":4,"cells":[{"cell_type":"code","source":"\\ud800"}]}'],
)  # fmt: skip
def test_what_is_no_notebook_counts_by_its_bytes(data: bytes) -> None:
    assert meaning(data) is None and changed_cells(data, PLAIN) == ()
    with pytest.raises(ValueError):
        python_of(data)


def test_its_digest_stays() -> None:
    """A vector of docs/formats/notebook.md."""
    assert str(meaning(notebook(code('x = 1')))) == 'blake3:9847df8cb8edb3ee0cd4a77c23681c583fc371cf184eb48f14655de35c564e71'


def test_what_changed_is_said_by_cell() -> None:
    assert changed_cells(PLAIN, notebook(code('import json', 'x = 1'), code('print(2 * x)'))) == ('code cell 2 changed',)
    assert changed_cells(PLAIN, notebook(code('x = 1'))) == ('1 code cells, were 2',)


def test_magics_are_left_out_of_what_is_followed_and_what_they_run_is_told() -> None:
    source, unseen = python_of(
        notebook(
            code('%matplotlib inline', 'import a', 'files = !ls', 'if files:', '    !echo', '    import b', 'a?'),
            code('%%bash', 'python other.py'),
            code('%run more.py'),
            code('this is no python'),
            code('import c'),
        )
    )
    compile(source, 'notebook', 'exec')
    assert [line for line in source.split('\n') if 'import' in line] == ['import a', '    import b', 'import c']
    assert [what.partition(')')[0] for _, what in unseen] == ['(code cell 2', '(code cell 3', '(code cell 4']


@pytest.mark.parametrize(
    ('command', 'run'),
    [
        ('jupyter nbconvert --to html --execute a.ipynb', True),
        ('papermill a.ipynb b.ipynb -p x 1', True),
        ('python -m papermill a.ipynb b.ipynb', True),
        ('jupyter execute a.ipynb', True),
        ('jupyter nbconvert --to html a.ipynb', False),
        ('python count_outputs.py a.ipynb', False),
    ],
)
def test_only_commands_that_run_it_count_its_cells(command: str, run: bool) -> None:
    assert runs_notebooks(command) is run


PIPELINE = """\
stages:
  explore:
    cmd: ./papermill nb/a.ipynb out.txt
    deps: [papermill, nb/a.ipynb]
    outs: [out.txt]
  shown:
    cmd: cat nb/a.ipynb > shown.txt
    outs: [shown.txt]
"""


def test_a_stage_that_runs_a_notebook_runs_again_for_its_code_and_what_it_imports(tmp_path: Path) -> None:
    """A stand-in for papermill, which is not installed everywhere; the real ones are in tests/examples."""
    project = Project(tmp_path / 'project')
    project.write('pipeline.yaml', PIPELINE)
    project.write('papermill', f'#!{__import__("sys").executable}\nimport sys\nopen(sys.argv[2], "w").write("x")\n')
    (project.path / 'papermill').chmod(0o755)
    project.write('nb/a.ipynb', notebook(text('a'), code('import helper', 'helper.go()')).decode())
    project.write('nb/helper.py', 'def go():\n    return 1\n')
    project.run()

    def verdicts() -> dict[str, str]:
        rows = project.mlops('status', '--json').json['stages']
        return {row['name']: row['verdict'] for row in rows}

    assert verdicts() == {'explore': 'fresh', 'shown': 'fresh'}
    again = notebook(text('b'), code('import helper', 'helper.go()', outputs=[OUTPUT], execution_count=1))
    project.write('nb/a.ipynb', again.decode())
    assert verdicts() == {'explore': 'fresh', 'shown': 'run'}  # who shows it reads all of it
    project.write('nb/a.ipynb', notebook(code('import helper', 'helper.go(2)')).decode())
    assert verdicts()['explore'] == 'run'
    assert 'code cell 1 changed' in project.mlops('plan').out
    project.write('nb/a.ipynb', again.decode())
    project.write('nb/helper.py', 'def go():\n    return 2\n')
    assert verdicts()['explore'] == 'run'
