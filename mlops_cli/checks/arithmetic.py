"""What the expression of a gate comes to: comparison, logic and arithmetic of numbers, texts, booleans and lists.

Stricter than Python, for which a list times 100 is a hundred times as many values, true is at least 0.95, and an infinite
number passes half of all comparisons.  Nothing that an expression says takes long, or much memory."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

BITS = 4096  # of whole numbers that are computed
MOST = 100_000  # values of a list that is computed with
DIGITS = 300  # that round() is asked for
CONSTANTS = {'true': True, 'false': False, 'null': None}
STATISTICS = ('mean', 'median', 'std', 'lower', 'upper', 'above', 'below')

_ARITHMETIC: dict[type[ast.AST], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ('+', operator.add), ast.Sub: ('-', operator.sub), ast.Mult: ('*', operator.mul), ast.Div: ('/', operator.truediv),
    ast.FloorDiv: ('//', operator.floordiv), ast.Mod: ('%', operator.mod), ast.Pow: ('**', operator.pow),
}  # fmt: skip
_ORDER: dict[type[ast.AST], tuple[str, Callable[[Any, Any], bool]]] = {
    ast.Lt: ('<', operator.lt), ast.LtE: ('<=', operator.le), ast.Gt: ('>', operator.gt), ast.GtE: ('>=', operator.ge),
}  # fmt: skip
_SIGNS: dict[type[ast.AST], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_NODES = (ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call)
_LOGIC = (ast.And, ast.Or, ast.Not, ast.Eq, ast.NotEq, ast.In, ast.NotIn)
_PARTS = (ast.Expression, ast.Load, *_LOGIC, *_ARITHMETIC, *_ORDER, *_SIGNS)


class Mistake(ValueError):
    """What cannot be computed."""

    def __init__(self, problem: str, hint: str = '') -> None:
        super().__init__(problem)
        self.hint = hint


def check(tree: ast.AST, names: Mapping[str, Any]) -> None:
    """Refuses all that is no arithmetic, comparison or logic, before anything is computed.  Raises Mistake."""
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not node.keywords and isinstance(node.func, ast.Name):
            called.add(node.func)
            if node.func.id not in (*_FUNCTIONS, *STATISTICS):
                raise Mistake(f'there is no function {node.func.id}, only {", ".join(sorted((*_FUNCTIONS, *STATISTICS)))}')
        elif isinstance(node, ast.Call) or not isinstance(node, (*_NODES, *_PARTS)):
            raise Mistake(f'{type(node).__name__} has no place in a gate', _HINTS.get(type(node), ''))
        elif isinstance(node, ast.Constant) and not isinstance(node.value, (bool, int, float, str, type(None))):
            raise Mistake(f'{ast.unparse(node)[:40]} has no place in a gate')
        elif isinstance(node, ast.Name) and node not in called and node.id not in names:
            raise Mistake(f'what is {node.id}?', f'a metric is FILE:KEY, as best.json:{node.id}')


_HINTS: dict[type[ast.AST], str] = {
    ast.Attribute: 'a metric is FILE:KEY, as best.json:accuracy',
    ast.Tuple: 'numbers have a point: 0.95; several conditions are joined by "and"',
    ast.Is: 'compare with == or !=',
    ast.IsNot: 'compare with == or !=',
}


def without(tree: ast.expr, left_out: set[str]) -> list[ast.expr]:
    """The conditions, joined by ``and``, of which an expression is made, less those in which one of the names stands."""
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        return [one for part in tree.values for one in without(part, left_out)]
    if any(isinstance(node, ast.Name) and node.id in left_out for node in ast.walk(tree)):
        return []
    return [tree]


class Computer:
    """``names``: name -> value.  ``written``: name -> what people call it."""

    def __init__(self, names: Mapping[str, Any], written: Mapping[str, str]) -> None:
        self._names = names
        self._written = written

    def value(self, node: ast.expr) -> Any:
        """Raises Mistake, ArithmeticError, RecursionError."""
        match node:
            case ast.Constant(value=value):
                return _finite(value)
            case ast.Name(id=name):
                return self._names[name]
            case ast.BoolOp(op=op, values=values):
                wanted = isinstance(op, ast.Or)
                return wanted if any(self._truth(one) is wanted for one in values) else not wanted
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self._truth(test) else orelse)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not self._truth(operand)
            case ast.UnaryOp(op=op, operand=operand):
                return _each(0, self._numbers(operand, '-'), lambda _, value: _SIGNS[type(op)](value))
            case ast.BinOp(left=left, op=op, right=right):
                sign, apply = _ARITHMETIC[type(op)]
                return _each(self._numbers(left, sign), self._numbers(right, sign), _power if sign == '**' else apply)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._compared(left, ops, comparators)
            case ast.Call(func=ast.Name(id=name), args=args):
                return _finite(_function(name)(*(self.value(one) for one in args)))
        raise Mistake(f'{type(node).__name__} has no place in a gate')

    def _compared(self, left: ast.expr, ops: Sequence[ast.cmpop], comparators: Sequence[ast.expr]) -> bool:
        first = self.value(left)
        for op, right in zip(ops, comparators, strict=True):
            second = self.value(right)
            if not self._one(left, first, op, right, second):
                return False
            left, first = right, second
        return True

    def _one(self, left: ast.expr, first: Any, op: ast.cmpop, right: ast.expr, second: Any) -> bool:
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(second, list) and not (isinstance(first, str) and isinstance(second, str)):
                raise Mistake(f'{self._said(right, second)}, and "in" looks into lists and texts')
            return (first in second) is isinstance(op, ast.In)
        kinds = _kind(first), _kind(second)
        if isinstance(op, (ast.Eq, ast.NotEq)):
            if kinds[0] != kinds[1] and None not in (first, second):
                raise self._unlike(left, first, right, second)
            return bool(first == second) is isinstance(op, ast.Eq)
        sign, apply = _ORDER[type(op)]
        if kinds != ('text', 'text'):
            for node, value, other in ((left, first, kinds[1]), (right, second, kinds[0])):
                if _kind(value) != 'number':
                    what = 'compares numbers' if other == 'number' else 'compares two numbers, or two texts'
                    raise Mistake(f'{self._said(node, value)}, and {sign} {what}', _reduced(value))
        return apply(first, second)

    def _unlike(self, left: ast.expr, first: Any, right: ast.expr, second: Any) -> Mistake:
        problem = f'{self._said(left, first)}, which is compared with {_described(second)}'
        if isinstance(left, ast.Constant) and not isinstance(right, ast.Constant):
            problem = f'{self._said(right, second)}, which is compared with {_described(first)}'
        return Mistake(problem, _reduced(first) or _reduced(second))

    def _truth(self, node: ast.expr) -> bool:
        value = self.value(node)
        if not isinstance(value, bool):
            raise Mistake(f'{self._said(node, value)}, neither true nor false', 'compare each of them with something')
        return value

    def _numbers(self, node: ast.expr, sign: str) -> Any:
        """A number, or a list of numbers."""
        value = self.value(node)
        if isinstance(value, list) and len(value) > MOST:
            raise Mistake(f'{self._said(node, value)}, and {sign} takes lists of up to {MOST:,}')
        for one in value if isinstance(value, list) else (value,):
            if _kind(one) != 'number':
                raise Mistake(f'{self._said(node, value)}, and {sign} takes numbers', _reduced(value))
        return value

    def _said(self, node: ast.expr, value: Any) -> str:
        name = self._written.get(node.id) if isinstance(node, ast.Name) else None
        return f'{name} is {_described(value)}' if name else f'there is {_described(value)}'


def _kind(value: Any) -> str:
    if isinstance(value, (bool, str, list)):
        return {bool: 'boolean', str: 'text'}.get(type(value), 'list')
    return 'number' if isinstance(value, (int, float)) else 'null'


def _described(value: Any) -> str:
    match _kind(value):
        case 'list':
            return f'a list of {len(value):,}'
        case 'text':
            return f'the text "{value[:40]}"'
        case 'number':
            return 'a number'
    return {True: 'true', False: 'false'}.get(value, 'null')


def _each(first: Any, second: Any, apply: Callable[[Any, Any], Any]) -> Any:
    """Of lists, of each of their values; of two only where they are of files of the same names, in the same order."""
    if not isinstance(first, list) and not isinstance(second, list):
        return _finite(apply(first, second))
    if isinstance(first, list) and isinstance(second, list):
        if getattr(first, 'names', ()) != getattr(second, 'names', None):
            raise Mistake('two lists are computed with each other only where they are of files of the same names')
        return _like(first, [_finite(apply(one, other)) for one, other in zip(first, second, strict=True)])
    if isinstance(first, list):
        return _like(first, [_finite(apply(one, second)) for one in first])
    return _like(second, [_finite(apply(first, one)) for one in second])


def _like(several: Any, values: list[Any]) -> Any:
    """Values of the same files as others."""
    return type(several)(values, several.names) if hasattr(several, 'names') else values


def _reduced(value: Any) -> str:
    return 'of a list take mean, median, min, max, sum or len; or above(LIST, NUMBER)' if isinstance(value, list) else ''


def _finite(value: Any) -> Any:
    if isinstance(value, complex):
        raise Mistake('a power is no number')
    if isinstance(value, float) and not math.isfinite(value):
        raise Mistake(f'a part of it is {value}: nothing can be said about it')
    if isinstance(value, int) and value.bit_length() > BITS:
        raise Mistake(f'a number has more than {BITS:,} bits')
    return value


def _power(one: Any, other: Any) -> Any:
    if isinstance(one, int) and isinstance(other, int) and other > 0 and max(1, one.bit_length()) * other > BITS:
        raise Mistake(f'a power has more than {BITS:,} bits', 'a decimal point makes a number of it that takes no room: 10.0')
    return one**other


# Functions


def _function(name: str) -> Callable[..., Any]:
    if name not in _FUNCTIONS:
        from mlops_cli.checks import resampling  # few gates look at more than one value

        found = getattr(resampling, name)
    else:
        found = _FUNCTIONS[name]

    def called(*values: Any) -> Any:
        try:
            return found(*values)
        except TypeError:
            raise Mistake(f'{name} is used as {_SHAPES[name]}') from None

    return called


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    found = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if not found or not all(_kind(one) == 'number' for one in found):
        raise TypeError
    return found


def _absolute(value: Any) -> Any:
    if _kind(value) != 'number':
        raise TypeError
    return abs(value)


def _rounded(value: Any, digits: Any = None) -> Any:
    if _kind(value) != 'number' or (digits is not None and (type(digits) is not int or abs(digits) > DIGITS)):
        raise TypeError
    return round(value, digits)


def _total(*values: Any) -> Any:
    if len(values) != 1 or not isinstance(values[0], list):
        raise TypeError
    return sum(_numbers(values)) if values[0] else 0


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    'min': lambda *values: min(_numbers(values)), 'max': lambda *values: max(_numbers(values)), 'abs': _absolute,
    'round': _rounded, 'len': len, 'sum': _total,
}  # fmt: skip
_SHAPES = {
    'min': 'min(LIST) or min(NUMBER, NUMBER)', 'max': 'max(LIST) or max(NUMBER, NUMBER)', 'abs': 'abs(NUMBER)',
    'round': 'round(NUMBER, DIGITS)', 'len': 'len(LIST)', 'sum': 'sum(LIST)', 'mean': 'mean(LIST)', 'median': 'median(LIST)',
    'std': 'std(LIST)', 'lower': 'lower(LIST, 0.95)', 'upper': 'upper(LIST, 0.95)',
    'above': 'above(LIST, NUMBER or LIST, 0.95)', 'below': 'below(LIST, NUMBER or LIST, 0.95)',
}  # fmt: skip
