"""The scripts of examples/words, run by sh as the pipeline's commands run them."""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import Counter
from math import log2
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'words'
PARAMS: dict[str, Any] = yaml.safe_load((EXAMPLE / 'params.yaml').read_text())
STAGES: dict[str, Any] = yaml.safe_load((EXAMPLE / 'pipeline.yaml').read_text())['stages']
NAMES: list[str] = PARAMS['texts']


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ('texts', 'scripts'):
        shutil.copytree(EXAMPLE / name, tmp_path / name)
    return tmp_path


def sh(project: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {'PATH': os.environ['PATH'], **environment}
    return subprocess.run(['sh', '-c', command], cwd=project, env=variables, capture_output=True, text=True, check=False)


def run(project: Path, stage: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The commands of a stage and, for one with foreach, of all its instances; stops at the first that fails."""
    spec = STAGES[stage]
    commands = spec['do']['cmd'] if 'do' in spec else spec['cmd']
    done = None
    for item in NAMES if 'do' in spec else ['']:
        for command in [commands] if isinstance(commands, str) else commands:
            values = {'item': item, 'texts': ' '.join(NAMES), 'top': str(PARAMS['top']), 'least': str(PARAMS['least'])}
            done = sh(project, re.sub(r'\$\{(\w+)\}', lambda found: values[found[1]], command), **environment)  # noqa: B023
            if done.returncode:
                return done
    assert done is not None
    return done


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def run_all(project: Path, **environment: str) -> dict[str, bytes]:
    """Every stage in the order of the file; what it made."""
    before = files(project)
    for stage in STAGES:
        done = run(project, stage, **environment)
        assert (done.returncode, done.stderr) == (0, ''), stage
    return {path: data for path, data in files(project).items() if path not in before}


def words_of(name: str) -> list[str]:
    return re.findall(r"[a-z]+(?:'[a-z]+)*", (EXAMPLE / 'texts' / f'{name}.txt').read_text().lower())


def test_the_counts_are_those_that_python_counts(project: Path) -> None:
    made = run_all(project)
    header, *rows = [line.split('\t') for line in made['table.tsv'].decode().splitlines()]
    assert header == ['word', *NAMES]
    assert [row[0] for row in rows] == sorted({word for name in NAMES for word in words_of(name)})
    for column, name in enumerate(NAMES, 1):
        assert Counter({row[0]: int(row[column]) for row in rows if row[column] != '0'}) == Counter(words_of(name))
        assert made[f'words/{name}.txt'].decode().split('\n') == [*words_of(name), '']
    every = [word for name in NAMES for word in words_of(name)]
    assert json.loads(made['totals.json']) == {'words': len(every), 'distinct': len(set(every)), 'texts': len(NAMES)}


def test_the_scores_are_those_that_python_computes(project: Path) -> None:
    lines = [line.split('\t') for line in run_all(project)['particular.tsv'].decode().splitlines()]
    for name in NAMES:
        here, others = Counter(words_of(name)), Counter(word for other in NAMES if other != name for word in words_of(other))
        scores = {
            word: log2((count + 0.5) / (here.total() + 0.5) / ((others[word] + 0.5) / (others.total() + 0.5)))
            for word, count in here.items() if count >= PARAMS['least']
        }
        best = sorted(scores, key=lambda word: (-round(scores[word], 3), word))[:PARAMS['top']]
        found = [(word, int(count), float(score)) for text, word, count, score in lines if text == name]
        assert [(word, count) for word, count, _ in found] == [(word, here[word]) for word in best]
        assert [score for _, _, score in found] == pytest.approx([scores[word] for word in best], abs=6e-4)


def test_a_run_makes_what_the_pipeline_file_declares_and_no_more(project: Path) -> None:
    declared: set[str] = set()
    for stage in STAGES.values():
        spec = stage.get('do', stage)
        for path in (*spec.get('outs', ()), *spec.get('metrics', ()), *spec.get('plots', ())):
            declared |= {path.replace('${item}', name) for name in NAMES}
    assert set(run_all(project)) == declared


def test_neither_the_language_of_the_machine_nor_a_second_run_changes_a_byte(project: Path) -> None:
    one = run_all(project)
    for path in one:
        (project / path).unlink()
    assert run_all(project, LANG='de_DE.UTF-8', LC_ALL='en_US.UTF-8', POSIXLY_CORRECT='1') == one


def test_the_layout_of_a_text_does_not_matter(project: Path) -> None:
    one = run_all(project)
    text = project / 'texts' / 'bread.txt'
    text.write_text('\n\n'.join(text.read_text().upper().split()))
    assert not run(project, 'words').returncode
    assert (project / 'words' / 'bread.txt').read_bytes() == one['words/bread.txt']


def test_apostrophes_stay_inside_words_and_quotes_do_not(project: Path) -> None:
    (project / 'texts' / 'bread.txt').write_text("'Don't,' said the moon's -- \"'tis\" 3 o'clock.")
    assert not run(project, 'words').returncode
    assert (project / 'words' / 'bread.txt').read_text().split() == ["don't", 'said', 'the', "moon's", 'tis', "o'clock"]


def test_the_picture_has_a_bar_for_each_word_of_the_report(project: Path) -> None:
    made = run_all(project)
    picture = ElementTree.fromstring(made['words.svg'])
    labels = [element.text for element in picture.iter('{http://www.w3.org/2000/svg}text')]
    lines = [line.split('\t') for line in made['particular.tsv'].decode().splitlines()]
    assert len(list(picture.iter('{http://www.w3.org/2000/svg}rect'))) == 1 + len(lines)
    for text, word, count, _ in lines:
        assert {text, word, count} <= set(labels)
        assert f'| {word} | {count} |' in made['report.md'].decode()


def test_a_table_that_loses_a_word_does_not_pass(project: Path) -> None:
    run_all(project)
    table = project / 'table.tsv'
    table.write_text(''.join(table.read_text().splitlines(keepends=True)[:-1]))
    done = run(project, 'check')
    assert done.returncode == 1
    assert re.fullmatch(r'the texts have 937 words, the table 93\d, totals\.json says 937\n', done.stderr)


@pytest.mark.parametrize(('stage', 'gone'), [
    ('words', 'texts/bread.txt'), ('count', 'words/bread.txt'), ('table', 'counts/tides.tsv'), ('particular', 'table.tsv'),
    ('report', 'particular.tsv'), ('check', 'words/tides.txt'),
])
def test_a_missing_file_stops_the_stage_that_needs_it(project: Path, stage: str, gone: str) -> None:
    run_all(project)
    (project / gone).unlink()
    done = run(project, stage)
    assert done.returncode != 0
    assert gone.rpartition('/')[2] in done.stderr
    assert not list(project.rglob('*.tmp'))


def test_every_script_that_a_script_calls_is_declared() -> None:
    """awk programs are named inside of scripts, where nobody can follow them: they must stand in deps."""
    for stage in STAGES.values():
        commands = stage.get('do', stage)['cmd']
        called = set()
        for command in [commands] if isinstance(commands, str) else commands:
            script = command.split()[1]
            called |= set(re.findall(r'scripts/\w+\.awk', (EXAMPLE / script).read_text()))
        assert called <= {dep for dep in stage.get('deps', ()) if isinstance(dep, str)}
        assert stage['desc'] if 'desc' in stage else stage['do']['desc']
