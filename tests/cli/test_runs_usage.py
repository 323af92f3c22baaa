"""What a run's stages consumed over their time: measured on real processes, kept, and drawn."""
from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from jsonschema import validate

from mlops_cli.cli.screens.runs_usage import BARS, bars
from mlops_cli.experiments.consumed import level, rate
from tests.cli.contract import SCHEMAS
from tests.support.project import Project

WORK = """\
import sys, time
held = []
for seconds in (0.6, 0.6, 1.5):  # the last longer than it takes until it is looked at again
    held.append(bytearray(60_000_000))
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
with open('out.bin', 'wb') as file:
    file.write(held[0])
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / 'p')
    found.init_git()
    found.write('work.py', WORK)
    found.write('pipeline.yaml', (
        f'stages:\n  work: {{cmd: "{sys.executable} work.py 0", outs: [out.bin]}}\n'
        '  quick: {cmd: "echo > quick.txt", outs: [quick.txt]}\n'
    ))
    return found


def test_what_was_measured_is_kept_and_drawn(project: Project) -> None:
    project.mlops('run')
    document = project.mlops('runs', 'show', '--usage', '--json').json
    validate(document, json.loads((SCHEMAS / 'runs-usage.v1.json').read_text()))
    quick, work = sorted(document['stages'], key=lambda one: one['name'])
    assert quick['series'] == [] or quick['seconds'] > 1.4  # two looks are a series
    times, cpu, memory = ([row[column] for row in work['series']] for column in range(3))
    assert 0.5 <= times[0] < times[1] and times[-1] == pytest.approx(work['seconds'], abs=0.1)
    assert cpu[-1] == pytest.approx(work['usage']['cpu_seconds'], rel=0.02) and cpu[-1] >= 1.8
    assert 170e6 < max(memory) <= work['usage']['memory_peak_bytes']
    text = project.mlops('runs', 'show', '--usage').out
    assert 'busy on average' in text and BARS[-1] in text and (quick['series'] or 'Nothing is drawn of 1 stage' in text)
    assert quick['series'] or re.search(r'^ *quick: [0-9.]+', text, re.MULTILINE), text
    said = project.mlops('runs', 'show', '--usage', '--html', 'seen/u.html', '--svg', 'seen').out
    assert 'seen/u.html' in said and 'charts' in said
    page = project.read('seen/u.html')
    assert 'work' in page and page.count('<svg') >= 2 and "default-src 'none'" in page
    assert (project.path / 'seen/work-processors.svg').read_text().startswith('<?xml')
    project.write('mine.html', 'mine')
    project.mlops('runs', 'show', '--usage', '--html', 'mine.html', code=5)
    for words in (('--html', 'x.html'), ('--usage', '--json', '--html', 'x.html')):
        project.mlops('runs', 'show', *words, code=2)
    assert project.read('mine.html') == 'mine' and not project.exists('x.html')
    project.environ['COLUMNS'] = '60'
    assert max(map(len, project.mlops('runs', 'show', '--usage').out.splitlines())) <= 60
    shutil.rmtree(project.path / '.mlops/local/logs')  # another clone, of the same cache
    assert project.mlops('runs', 'show', '--usage', '--json').json == document
    project.commit('all')
    project.mlops('gc', '--grace', '0s')
    assert project.mlops('runs', 'show', '--usage', '--json').json == document, 'gc keeps what a result names'


def test_of_one_that_failed_too(project: Project) -> None:
    project.write('pipeline.yaml', f'stages:\n  work: {{cmd: "{sys.executable} work.py 3", outs: [out.bin]}}\n')
    project.mlops('run', code=1)
    (stage,) = project.mlops('runs', 'show', '--usage', '--json').json['stages']
    assert stage['state'] == 'failed' and len(stage['series']) >= 2
    assert 'work  failed, ' in project.mlops('runs', 'show', '--usage').out.lower()


def test_a_terminal_without_such_signs(project: Project) -> None:
    project.mlops('run')
    project.environ['PYTHONIOENCODING'] = 'ascii'
    said = project.mlops('runs', 'show', '--usage').out
    assert said.isascii() and '?' not in said and '@' in said


def test_rates_and_levels() -> None:
    rows = [[1, 1, 10, None, 0], [2, 2, 30, None, 4], [4, 2, 20, None, 4]]
    assert rate(rows, 1, 4) == [1, 1, 0, 0] and rate(rows, 1, 2) == [1, 0] and rate(rows, 4, 4) == [0, 4, 0, 0]
    assert level(rows, 2, 4) == [10, 30, 20, 20] and level(rows, 2, 2) == [30, 20] and level(rows, 2, 1) == [30]
    assert rate([[0, 0, 1, 0, 0]], 1, 3) == [0, 0, 0] == rate([[1e-300, 1e17, 1, 0, 0]], 1, 3)
    assert bars([0, 0.001, 4, 8]) == ' ▁▄█' and bars([0, 0]) == '  ' and bars([]) == ''
