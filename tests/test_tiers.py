"""The quick tier leaves out what is slow, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.tiers import chosen, slow

HERE = Path(__file__).parent

LOG = """
12.50s call     tests/a/test_a.py::test_long[one]
 7.50s setup    tests/a/test_a.py::test_long[two]
5.00s call     tests/a/test_a.py::TestIt::test_middle
0.50s teardown tests/a/test_b.py::test_short
FAILED tests/a/test_b.py::test_short
"""


def test_the_slowest_are_left_out_until_the_others_are_quick_enough() -> None:
    assert chosen(LOG, 30) == []
    assert chosen(LOG, 6) == ['tests/a/test_a.py::test_long']
    assert chosen(LOG, 1) == ['tests/a/test_a.py::TestIt::test_middle', 'tests/a/test_a.py::test_long']


def test_all_that_is_left_out_exists() -> None:
    missing = []
    for name in slow():
        file, *_, function = name.split('::')
        path = HERE.parent / file
        tree = ast.parse(path.read_text(encoding='utf-8')) if path.exists() else ast.Module([], [])
        if not any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.walk(tree)):
            missing.append(name)
    # Those of a protocol stand in its contract, and are named after who fulfils it.
    contracts = [ast.parse(path.read_text()) for path in (HERE / 'contracts').glob('*_contract.py')]
    theirs = {node.name for tree in contracts for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert [name for name in missing if name.rpartition('::')[2] not in theirs] == []
