"""What was consumed and paid as pages and charts: every figure drawn where it belongs, and nothing of a project as markup."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from mlops_cli.experiments.consumed import Consumed
from mlops_cli.experiments.ledger import Ledger, Row
from mlops_cli.records.runs import StageRun
from mlops_cli.report import cost_page, svg, usage_page
from mlops_cli.report.cost_page import MOST, View
from mlops_cli.report.usage_page import means
from tests.cli.hostile import HOSTILE

ROWS = [[t, 2.0 * t, 4_000_000_000, 10_000_000 * t, 0, 0.5, 8_000_000_000, 200, 200 * t, None, None, None, None]
        for t in range(1, 401)]  # fmt: skip
STAGE = StageRun('train', 'done', None, '', 400.0, 0, {'cpu_seconds': 800.0, 'gpu_energy_joules': 80000.0})
OUTSIDE = re.compile(r'(?:src|href|url\()\s*=?\s*["\']?(?!data:|#)[a-z]+:', re.I)


def names(chart: str) -> list[str]:
    return [element.text or '' for element in ET.fromstring(chart).iter('{http://www.w3.org/2000/svg}text')]


def test_each_figure_has_a_chart_that_begins_at_nothing() -> None:
    found = {chart.name: chart for chart in usage_page.charts(Consumed(STAGE, ROWS), titled=True)}
    assert list(found) == ['processors', 'memory', 'storage', 'gpu', 'gpu-memory', 'gpu-power']
    assert found['processors'].said == '2.0 busy on average, 2.0 at most'
    assert found['storage'].said == '4.0 GB read'  # nothing was written, so that has no line
    assert found['gpu'].said.startswith('50%') and found['gpu-power'].said.startswith('80')
    for chart in found.values():
        assert {'0', '0.0'} & {*names(chart.text)} and 'minutes' in names(chart.text)
        ET.fromstring(svg.document(chart.text))
    assert any('train: Memory' in text for text in names(found['memory'].text))


def test_of_what_is_not_known_there_is_no_chart() -> None:
    assert not list(usage_page.charts(Consumed(STAGE)))
    bare = [[1, 0.5, 100, None, None], [2, 1.0, 100, None, None]]
    assert [chart.name for chart in usage_page.charts(Consumed(STAGE, bare))] == ['processors', 'memory']
    text = usage_page.usage_page('7k2m9q4c', '2026-11-20', [Consumed(STAGE)])
    assert '<svg' not in text and 'not known here: train' in text


def test_a_mean_holds_for_the_time_before_it() -> None:
    rows = [[1, 0, 0, 0, 0, 1.0], [2, 0, 0, 0, 0, None], [4, 0, 0, 0, 0, 0.25]]
    found = means(rows, 5, 4)
    assert found[0] == pytest.approx(1.0) and math.isnan(found[1]) and found[2:] == pytest.approx([0.25, 0.25])
    assert means(rows, 5, 1) == pytest.approx([(1.0 + 0.25 * 2) / 3])


def view(count: int, by: str = 'branch') -> View:
    rows = [Row(f'b{number:03}', {'EUR': float(count - number)}, {'r'}, 1, gpu_hours=1.0) for number in range(count)]
    total = Row('', {'EUR': sum(row.amounts['EUR'] for row in rows)}, {'r'}, count, gpu_hours=float(count))
    return View(by, Ledger({row.name: row for row in rows}, total, {}), rows)


def test_all_that_was_paid_is_in_the_bars() -> None:
    (_, title, chart), (name, _, _) = cost_page.charts(view(100), titled=True)
    told = [float(text.replace(',', '')) for text in re.findall(r'paid: ([\d,.]+)</title>', chart)]
    assert sum(told) == sum(range(101)) and len(told) == MOST + 1 and title == 'Cost in EUR, by branch' and name == 'gpu-hours'
    months = next(cost_page.charts(view(100, 'month')))[2]
    assert 'b099' in months and 'b000' not in months  # the last ones


def test_what_nobody_knows_has_no_bar_and_is_told() -> None:
    unknown = Row('dark', unknown=1, stages=1)
    known = view(1)
    ledger = replace(known.ledger, why={'what gpu1 cost': 1})
    found = View('branch', ledger, [*known.rows, unknown])
    chart = next(cost_page.charts(found))[2]
    assert chart.count('class="mark"') == 1
    text = cost_page.cost_page('Cost', 'all', [found])
    assert 'what gpu1 cost (1 stage)' in text and '>?<' in text


@pytest.mark.parametrize('name', HOSTILE)
def test_nothing_of_a_project_becomes_markup(name: str) -> None:
    stage = replace(STAGE, name=name)
    pages = [usage_page.usage_page('7k2m9q4c', name, [Consumed(stage, ROWS), Consumed(stage)])]
    row = Row(name, {'EUR': 1.0}, {'r'}, 1, unknown=1)
    pages.append(cost_page.cost_page(name, name, [View('branch', Ledger({name: row}, row, {name: 1}), [row])]))
    for text in pages:
        body = text.partition('<body>')[2]
        assert not re.search(r'<(?:script|img|iframe|object|a|b|i)\b', body) and not OUTSIDE.search(body)
        for chart in re.findall(r'<svg.*?</svg>', text, re.S):
            ET.fromstring(chart)
