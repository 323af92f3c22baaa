"""Tells of a plain document that it keeps to a JSON schema, where that is certain after a few steps; whatever else is for the
library to say, which takes longer to load than most documents take to check.

Exact for the keywords it knows and for values on which nobody differs; it gives up on all others: numbers that are equal to
others of another type, texts beyond ASCII for patterns, and keywords that it does not know.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from mlops_cli.core.patterns import pattern

_ANNOTATIONS = frozenset(('$schema', '$defs', 'title', 'description', 'examples', 'default', 'expects'))
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    'object': lambda value: isinstance(value, dict),
    'array': lambda value: isinstance(value, list),
    'string': lambda value: isinstance(value, str),
    'boolean': lambda value: isinstance(value, bool),
    'null': lambda value: value is None,
    'integer': lambda value: isinstance(value, int) and not isinstance(value, bool),
    'number': lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


class _Unsure(Exception):
    pass


class Checker:
    """``schema``: a document of JSON Schema 2020-12 whose references are to its own ``$defs``.  ``steps``: how many schemas it
    holds against values in all, before it leaves everything to the library."""

    def __init__(self, schema: Mapping[str, Any], steps: int) -> None:
        self._schema = schema
        self._left = steps

    def surely(self, value: Any) -> bool:
        """Whether the value, of dict, list, str, int, float, bool and None, is certainly valid."""
        try:
            return self._holds(self._schema, value)
        except (_Unsure, RecursionError):
            return False

    def _holds(self, schema: Any, value: Any) -> bool:
        self._left -= 1
        if self._left < 0:
            raise _Unsure
        if isinstance(schema, bool):
            return schema
        for keyword, said in schema.items():
            if keyword in _ANNOTATIONS:
                continue
            rule = _RULES.get(keyword)
            if rule is None:
                raise _Unsure
            if not rule(self, said, value, schema):
                return False
        return True

    def _reference(self, said: str, value: Any, _schema: Any) -> bool:
        return self._holds(self._schema['$defs'][said.removeprefix('#/$defs/')], value)

    def _type(self, said: Any, value: Any, _schema: Any) -> bool:
        kinds = said if isinstance(said, list) else [said]
        if isinstance(value, float) and value.is_integer() and 'integer' in kinds:
            raise _Unsure
        return any(_TYPES[kind](value) for kind in kinds)

    def _properties(self, said: Any, value: Any, _schema: Any) -> bool:
        return not isinstance(value, dict) or all(self._holds(said[key], below) for key, below in value.items() if key in said)

    def _additional(self, said: Any, value: Any, schema: Any) -> bool:
        known = schema.get('properties', {})
        return not isinstance(value, dict) or all(self._holds(said, below) for key, below in value.items() if key not in known)

    def _names(self, said: Any, value: Any, _schema: Any) -> bool:
        return not isinstance(value, dict) or all(self._holds(said, key) for key in value)

    def _items(self, said: Any, value: Any, _schema: Any) -> bool:
        return not isinstance(value, list) or all(self._holds(said, below) for below in value)

    def _any(self, said: Any, value: Any, _schema: Any) -> bool:
        return any(self._holds(one, value) for one in said)

    def _one(self, said: Any, value: Any, _schema: Any) -> bool:
        return sum(self._holds(one, value) for one in said) == 1

    def _if(self, said: Any, value: Any, schema: Any) -> bool:
        return self._holds(schema.get('then' if self._holds(said, value) else 'else', True), value)


def _same(said: Any, value: Any) -> bool:
    """For texts, and other values of one type; 1, 1.0 and true are for the library."""
    if isinstance(value, dict | list) or (type(said) is not type(value) and said == value):
        raise _Unsure
    return type(said) is type(value) and bool(said == value)


_ORDINARY = pattern(r'[\n\t -~]*')


@lru_cache
def _expression(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _matches(said: str, value: Any) -> bool:
    if not isinstance(value, str):
        return True
    if not _ORDINARY.fullmatch(value) or ('\n' in value and '$' in said):  # of which \S and $ may be told differently
        raise _Unsure
    return _expression(said).search(value) is not None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sized(kind: Any, holds: Callable[[int, int], bool]) -> Callable[[Checker, Any, Any, Any], bool]:
    return lambda _checker, said, value, _schema: not isinstance(value, kind) or holds(len(value), said)


def _bounded(holds: Callable[[Any, Any], bool]) -> Callable[[Checker, Any, Any, Any], bool]:
    return lambda _checker, said, value, _schema: not _is_number(value) or holds(value, said)


_RULES: Mapping[str, Callable[[Checker, Any, Any, Any], bool]] = {
    '$ref': Checker._reference,
    'type': Checker._type,
    'properties': Checker._properties,
    'additionalProperties': Checker._additional,
    'propertyNames': Checker._names,
    'items': Checker._items,
    'anyOf': Checker._any,
    'oneOf': Checker._one,
    'if': Checker._if,
    'then': lambda _checker, _said, _value, schema: 'if' in schema,
    'else': lambda _checker, _said, _value, schema: 'if' in schema,
    'enum': lambda _checker, said, value, _schema: any(_same(one, value) for one in said),
    'const': lambda _checker, said, value, _schema: _same(said, value),
    'pattern': lambda _checker, said, value, _schema: _matches(said, value),
    'required': lambda _checker, said, value, _schema: not isinstance(value, dict) or all(key in value for key in said),
    'minLength': _sized(str, lambda size, least: size >= least),
    'minItems': _sized(list, lambda size, least: size >= least),
    'minProperties': _sized(dict, lambda size, least: size >= least),
    'maxProperties': _sized(dict, lambda size, most: size <= most),
    'minimum': _bounded(lambda value, least: value >= least),
    'maximum': _bounded(lambda value, most: value <= most),
    'exclusiveMinimum': _bounded(lambda value, least: value > least),
}
