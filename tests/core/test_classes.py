"""Our dataclasses against those of the standard library, which they stand for."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import threading
from typing import Any, ClassVar

import pytest

from mlops_cli.core import classes
from mlops_cli.core.digest import Digest

FORMS: list[dict[str, bool]] = [
    {},
    {'slots': True},
    {'frozen': True},
    {'frozen': True, 'slots': True},
    {'frozen': True, 'slots': True, 'order': True},
    {'slots': True, 'eq': False},
]
form = pytest.mark.parametrize('how', FORMS, ids=lambda how: '+'.join(how) or 'plain')


@pytest.fixture(params=[0, 3], autouse=True)
def first(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects made by the compiled method, and those before it is."""
    monkeypatch.setattr(classes, 'FIRST', request.param)


def pair(how: dict[str, bool]) -> list[Any]:
    """The same class from the standard library and from us."""
    found = []
    for module in (dataclasses, classes):

        @module.dataclass(**how)
        class Point:
            """A point."""

            x: int
            name: str = 'here'
            rest: dict[str, int] = module.field(default_factory=dict)  # type: ignore[attr-defined]
            secret: bytes = module.field(default=b'', repr=False)  # type: ignore[attr-defined]
            length: int = module.field(init=False)  # type: ignore[attr-defined]

            def __post_init__(self) -> None:
                object.__setattr__(self, 'length', len(self.name))

            @property
            def double(self) -> int:
                return self.x * 2

        found.append(Point)
    return found


def told(call: Any) -> Any:
    """What a call gives, or the kind of what it raises."""
    try:
        return call()
    except (TypeError, AttributeError) as error:
        return next(kind for kind in type(error).__mro__ if kind.__module__ in ('builtins', 'dataclasses'))


@form
def test_objects_are_made_and_told_alike(how: dict[str, bool]) -> None:
    theirs, ours = pair(how)
    for arguments, named in [((1,), {}), ((1, 'b'), {}), ((), {'x': 2, 'rest': {'a': 1}}), ((3,), {'secret': b'x'})]:
        one, other = theirs(*arguments, **named), ours(*arguments, **named)
        assert repr(one) == repr(other)
        assert (one.double, one.length, one.secret) == (other.double, other.length, other.secret)
        assert dataclasses.asdict(one) == dataclasses.asdict(other)
        assert dataclasses.astuple(one) == dataclasses.astuple(other)
    for wrong in [{}, {'x': 1, 'y': 2}, {'x': 1, 'length': 2}]:
        assert [told(lambda kind=kind, wrong=wrong: kind(**wrong)) for kind in (theirs, ours)] == [TypeError] * 2
    assert [told(lambda kind=kind: kind(1, 'a', {}, b'', 5)) for kind in (theirs, ours)] == [TypeError] * 2
    assert theirs.__match_args__ == ours.__match_args__
    assert theirs.__doc__ == ours.__doc__ and theirs.__qualname__ == ours.__qualname__
    assert hasattr(theirs(1), '__dict__') == hasattr(ours(1), '__dict__')


@form
def test_objects_are_compared_alike(how: dict[str, bool]) -> None:
    results = []
    for kind in pair(how):
        some = [kind(1, rest=()), kind(1, rest=()), kind(2, rest=()), kind(1, 'b', ()), 1]
        found = [[told(lambda a=a, b=b: a == b) for a in some] for b in some]
        found += [[told(lambda a=a, b=b: (a < b, a <= b, a > b, a >= b)) for a in some] for b in some]
        results.append((found, [told(lambda a=a, b=some[0]: hash(a) == hash(b)) for a in some]))
    assert results[0] == results[1]


@form
def test_objects_are_changed_alike(how: dict[str, bool]) -> None:
    results = []
    for kind in pair(how):
        one = kind(1)
        results.append([
            told(lambda one=one: setattr(one, 'x', 5)),
            isinstance(told(lambda one=one: setattr(one, 'other', 5)), type),  # with slots theirs is not the kind it should be
            told(lambda one=one: delattr(one, 'name')),
            getattr(one, 'x', None),
            getattr(one, 'other', None),
        ])  # fmt: skip
    assert results[0] == results[1]


@form
def test_a_copy_with_other_values(how: dict[str, bool]) -> None:
    for replace in (dataclasses.replace, classes.replace):
        one = pair(how)[1](1, 'a', {'b': 2}, b's')
        other = replace(one, name='abc')
        assert (other.x, other.name, other.rest, other.secret, other.length) == (1, 'abc', {'b': 2}, b's', 3)
        assert one.name == 'a'
        with pytest.raises(TypeError):
            replace(one, nothing=1)


@form
def test_the_fields_are_those_of_the_standard_library(how: dict[str, bool]) -> None:
    theirs, ours = pair(how)
    assert dataclasses.is_dataclass(ours)
    told = [(f.name, f.type, f.default, f.default_factory, f.init, f.repr) for f in dataclasses.fields(ours)]
    assert told == [(f.name, f.type, f.default, f.default_factory, f.init, f.repr) for f in dataclasses.fields(theirs)]


@classes.dataclass(frozen=True, slots=True)
class Kept:
    name: str
    values: tuple[int, ...] = ()


def test_copies_and_pickles() -> None:
    one = Kept('a', (1, 2))
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one


def test_a_pickle_is_read_before_any_object_was_made() -> None:
    data = pickle.dumps(Digest('ab'))
    code = 'import sys, pickle, dataclasses; one = pickle.loads(sys.stdin.buffer.read()); print(dataclasses.astuple(one))'
    done = subprocess.run([sys.executable, '-c', code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(dataclasses.astuple(Digest('ab')))


def test_a_pattern_takes_the_fields_in_order() -> None:
    match Kept('a', (1, 2)):
        case Kept(name, (first, *_)):
            assert (name, first) == ('a', 1)


def test_methods_of_a_class_stay() -> None:
    @classes.dataclass(frozen=True, slots=True)
    class Loud:
        name: str

        def __repr__(self) -> str:
            return 'loud'

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert repr(Loud('a')) == 'loud' and Loud('a') == Loud('b') and hash(Loud('a')) == 7


def test_a_value_that_equals_nothing_equals_itself() -> None:
    @classes.dataclass(frozen=True)
    class One:
        value: float

    nan = float('nan')
    assert One(nan) == One(nan)  # as tuples have it, and so the standard library


def test_threads_that_make_the_first_object_together() -> None:
    for _ in range(50):
        _, ours = pair({'frozen': True, 'slots': True})
        found: list[Any] = []
        threads = [threading.Thread(target=lambda ours=ours, found=found: found.append(ours(1))) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert found == [ours(1)] * 4


def test_what_it_is_not_for_is_refused() -> None:
    with pytest.raises(TypeError, match='bases'):

        @classes.dataclass
        class Below(Kept):
            more: int

    with pytest.raises(TypeError, match=r'Odd\.count'):

        @classes.dataclass
        class Odd:
            count: ClassVar[int] = 0

    with pytest.raises(ValueError, match='share'):

        @classes.dataclass
        class Shared:
            every: list[int] = []  # noqa: RUF012 -- that is the point
