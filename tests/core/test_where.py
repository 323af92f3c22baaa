"""Places in files: two words in memory, ordered as people read."""

from __future__ import annotations

import copy
import pickle
from itertools import pairwise

from mlops_cli.core.document import SHIFT, Places
from mlops_cli.core.errors import Where


def test_line_and_column_come_back() -> None:
    for line, column in ((0, 0), (1, 0), (1, 1), (3, 7), (2_000_000, 0), (2_000_000, (1 << SHIFT) - 1)):
        where = Where('a.yaml', line, column)
        assert (where.line, where.column) == (line, column)
        assert copy.deepcopy(where) == pickle.loads(pickle.dumps(where)) == where
        assert hash(where) == hash(Where('a.yaml', line, column))
        assert repr(where) == f"Where(file='a.yaml', line={line}, column={column})"


def test_they_follow_each_other_as_in_the_file() -> None:
    ordered = [Where('a'), Where('a', 1), Where('a', 1, 1), Where('a', 1, 99), Where('a', 2), Where('b')]
    reverse = ordered[::-1]
    assert sorted(reverse) == ordered
    assert all(one < two and two > one and one <= two and two >= one and one != two for one, two in pairwise(ordered))
    assert Where('a', 1) <= Where('a', 1) and Where('a', 1) >= Where('a', 1) and Where('a') != 'a'


def test_what_is_said_of_them() -> None:
    assert [str(one) for one in (Where('a'), Where('a', 2), Where('a', 2, 3))] == ['a', 'a:2:0', 'a:2:3']


def test_places_are_made_when_they_are_asked_for() -> None:
    places = Places('a.yaml', {'cmd': 4 << SHIFT | 2})
    assert places == {'cmd': Where('a.yaml', 5, 3)}
    assert places.get('outs') is None and [*places] == ['cmd'] and len(places) == 1
