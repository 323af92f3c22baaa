"""What a script cannot be started without: arguments that it gives to argparse and that have no default.

Read in its text.  What is put together at run time is not guessed at, nor what an imported module asks for."""

from __future__ import annotations

import ast
import re

SHOWN = 12
_LENGTH = 60  # characters of a name
_Call = tuple[ast.Call, str, str]  # with the name of the method and of what it is called on


def required(tree: ast.Module) -> tuple[str, ...]:
    """Positional arguments by their names, options as ``--data``, several of which one is needed as ``--a|--b``; in the order
    of the text, each once."""
    calls = sorted(_calls(tree), key=lambda call: (call[0].lineno, call[0].col_offset, call[0].end_col_offset or 0))
    made = {_name(target): value for target, value in _assigned(tree)}
    # What a parser of a subcommand needs is only needed with that subcommand.
    below = {name for name, value in made.items() if _method(value) == 'add_parser'}
    either = {name: list[str]() for name, value in made.items() if _one_of(value)}
    found: list[str | list[str]] = []
    for call, method, on in calls:
        if method == 'add_subparsers' and _keyword(call, 'required') is True:
            found.append(str(_keyword(call, 'dest') or 'a subcommand'))
        if method != 'add_argument' or on in below or _method(_receiver(call)) == 'add_parser':
            continue
        names = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if not names or any(keyword.arg is None for keyword in call.keywords):
            continue
        shown = next((name for name in names if name.startswith('--')), names[0])
        if on in either:
            if not either[on]:
                found.append(either[on])
            either[on].append(shown)
        elif _keyword(call, 'required') is True if shown.startswith('-') else _is_needed(call):
            found.append(shown)
    return tuple(dict.fromkeys('|'.join(map(_plain, [one] if isinstance(one, str) else one)) for one in found))


def shown(names: tuple[str, ...]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


def _plain(name: str) -> str:
    """It stands in a comment: nothing in it may end that."""
    return re.sub(r'[^\w.-]', '?', name[:_LENGTH])


def _calls(tree: ast.Module) -> list[_Call]:
    return [
        (node, node.func.attr, _name(node.func.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def _assigned(tree: ast.Module) -> list[tuple[ast.expr, ast.expr]]:
    return [(node.targets[0], node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) and len(node.targets) == 1]


def _name(node: ast.expr) -> str:
    """``parser`` or ``self.parser``; else empty."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f'{node.value.id}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def _method(node: ast.expr) -> str:
    return node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ''


def _receiver(call: ast.Call) -> ast.expr:
    return call.func.value if isinstance(call.func, ast.Attribute) else call.func


def _one_of(node: ast.expr) -> bool:
    needed = isinstance(node, ast.Call) and _keyword(node, 'required') is True
    return needed and _method(node) == 'add_mutually_exclusive_group'


def _keyword(call: ast.Call, name: str) -> object:
    """The constant that is given for it; None without one."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return values[0].value if values and isinstance(values[0], ast.Constant) else None


def _is_needed(call: ast.Call) -> bool:
    """Of a positional argument: unless it may be left out, or how many there are is not written as a constant."""
    if all(keyword.arg != 'nargs' for keyword in call.keywords):
        return True
    count = _keyword(call, 'nargs')
    return count == '+' or (isinstance(count, int) and count > 0)
