"""Regular expressions that are compiled late: all there are can be compiled, and each is what it stands for."""

from __future__ import annotations

import copy
import importlib
import pkgutil
import re

import pytest

import mlops_cli
from mlops_cli.core import patterns


def test_it_does_what_the_compiled_one_does() -> None:
    late, now = patterns.pattern(r'(?P<a>x)|y', re.IGNORECASE), re.compile(r'(?P<a>x)|y', re.IGNORECASE)
    for word in ('x', 'Y', 'zx', ''):
        for name in ('match', 'fullmatch', 'search'):
            one, other = getattr(late, name)(word), getattr(now, name)(word)
            assert (one and one.groupdict()) == (other and other.groupdict())
    assert late.sub('-', 'axY') == 'a--' and late.findall('xy') == ['x', ''] and late.pattern == now.pattern
    assert patterns.pattern(rb'\d').split(b'a1b') == [b'a', b'b']


def test_it_is_compiled_when_it_is_used_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    real = re.compile
    monkeypatch.setattr(re, 'compile', lambda *said: asked.append(said) or real(*said))
    late = patterns.pattern('x')
    assert asked == []
    assert late.match('x') and late.match('x') and asked == [('x', 0)]


def test_it_can_be_copied() -> None:
    assert copy.deepcopy(patterns.pattern('x')).match('x')


def test_every_one_of_the_package_can_be_compiled() -> None:
    found = 0
    for module in pkgutil.walk_packages(mlops_cli.__path__, 'mlops_cli.'):
        if module.name.endswith('__main__'):
            continue
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, patterns._Pattern):
                found += 1
                assert one.pattern is not None
    assert found > 50
