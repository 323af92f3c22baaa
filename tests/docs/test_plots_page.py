"""docs/plots.md: what it declares can be declared, and its pictures are as charts are drawn now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mlops_cli.experiments.plots_choose import ACTUAL, COUNTS, PREDICTED, STEPS
from mlops_cli.experiments.plots_read import MEDIA, TABLES
from mlops_cli.experiments.plots_values import KINDS, TEMPLATES
from mlops_cli.report.svg import STYLE
from tests.support.project import Project

DOCS = Path(__file__).resolve().parents[2] / 'docs'
TEXT = (DOCS / 'plots.md').read_text()
PICTURES = re.findall(r'!\[[^\]]+\]\((pictures/[^)]+)\)', TEXT)


def test_what_it_declares_is_a_pipeline(project: Project) -> None:
    first, second = (yaml.safe_load(block) for block in re.findall(r'```yaml\n(.*?)```', TEXT, re.DOTALL))
    first['stages']['other'] = {'cmd': 'x', 'wdir': 'other', **second}
    project.write('pipeline.yaml', yaml.safe_dump(first))
    bench = project.open()
    declared = {output.path: output.plot for stage in bench.pipeline.stages.values() for output in stage.outputs}
    bench.close()
    assert declared['other/classes.csv'] == {'x': 'class', 'y': ['precision', 'recall'], 'kind': 'bar'}
    assert len(declared) == 7


def test_every_kind_and_ending_is_on_the_page() -> None:
    named = set(re.findall(r'`([^`\n]+)`', TEXT))
    assert {*KINDS, *TEMPLATES} <= named
    assert {f'.{ending}' for ending in (*TABLES, *MEDIA)} - {'.jpeg'} <= named
    assert named & set(STEPS) and named & set(ACTUAL) and named & set(PREDICTED) and named & set(COUNTS)


@pytest.mark.parametrize('picture', PICTURES)
def test_pictures_are_as_charts_are_drawn_now(picture: str) -> None:
    assert f'<style>{STYLE}</style>' in (DOCS / picture).read_text(), 'draw it anew: mlops plots diff --svg, in examples/digits'


def test_there_are_pictures() -> None:
    assert len(PICTURES) == 2
