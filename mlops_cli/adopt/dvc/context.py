r"""The ``${...}`` of dvc.yaml: which names there are, and what becomes of a text, exactly as DVC does it.

Its rules differ from ours (pipeline/template.py): what is put into a command is not quoted, text is Python's, a name may be
defined once, and a ``${...}`` that stands alone keeps its type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean

_REFERENCE = re.compile(r'(?<!\\)\$\{(.*?)\}')
_WORD = r'[^.\[\]]+'
_EXPRESSION = re.compile(rf'{_WORD}(?:\s*\.{_WORD}|\s*\[{_WORD}\s*\])*')
_PRIMITIVES = (int, float, str, bytes, bool)
Loader = Callable[[str], Any]


@dataclass(frozen=True)
class Node:
    """A value that came from the context: its text is Python's, also of true and false."""

    value: Any

    def __iter__(self) -> Any:
        return iter(self.value) if isinstance(self.value, dict) else map(Node, self.value)


@dataclass
class Context:
    """``imports``: file -> the names taken from it, None for all.  ``reserved``: names that no file may define now."""

    values: dict[str, Any] = field(default_factory=dict)
    imports: dict[str, list[str] | None] = field(default_factory=dict)
    reserved: tuple[str, ...] = ()

    def clone(self) -> Context:
        imports = {file: None if names is None else [*names] for file, names in self.imports.items()}
        return Context(_copied(self.values), imports, self.reserved)

    def with_item(self, names: Mapping[str, Any]) -> Context:
        """While a stage is made of one item: names that hide those that are there, and that nothing may define."""
        return Context({**self.values, **{name: _node(value) for name, value in names.items()}}, self.imports, (*names,))

    def load_vars(self, entries: Iterable[Any], load: Callable[[str], tuple[str, Any]]) -> None:
        """``load``: a file as it is written there -> (its path, its values).  Raises UserError."""
        for entry in entries:
            if isinstance(entry, str):
                self.load(entry, load)
            else:
                self.merge(entry, 'vars')

    def load(self, entry: str, load: Callable[[str], tuple[str, Any]]) -> None:
        """``FILE`` or ``FILE:NAME,NAME``."""
        written, _, names = entry.partition(':')
        chosen = [name for name in names.split(',') if name] or None
        path, values = load(written)
        if path in self.imports:
            before = self.imports[path]
            if chosen is None and before is None:
                return
            if chosen is None or before is None or set(chosen) & set(before):
                raise UserError(f'{entry} is loaded already, partly or whole', hint='name each file, or each key of it, once')
        if not isinstance(values, dict):
            raise UserError(f'{path} holds no names and values')
        if chosen is not None:
            for name in chosen:
                if name not in values:
                    raise UserError(f'{path} has no top-level key {name}', hint=did_you_mean(name, map(str, values)))
            values = {name: values[name] for name in chosen}
        self.merge(values, path)
        self.imports[path] = [*(self.imports.get(path) or []), *chosen] if chosen is not None else None

    def merge(self, values: Mapping[Any, Any], source: str) -> None:
        if taken := [name for name in self.reserved if name in values]:
            raise UserError(f'{source} defines {taken[0]}, which stands for the item here')
        _merge(self.values, _node(dict(values)), source, ())

    def select(self, expression: str) -> Any:
        """Raises UserError for a name that is not there."""
        value: Any = self.values
        done: list[str] = []
        for segment in expression.replace('[', '.').replace(']', '').split('.'):
            name = segment.strip()
            try:
                if isinstance(value, dict):
                    value = value[name]
                elif isinstance(value, list):
                    value = value[int(name)]
                else:
                    raise KeyError(name)
            except (LookupError, ValueError):
                near = did_you_mean(name, value if isinstance(value, dict) else ())
                raise UserError(f'${{{expression}}}: there is no {".".join([*done, name])}', hint=near) from None
            done.append(name)
        return value

    def text(self, source: str, key: str | None, settings: Mapping[str, str]) -> Any:
        """One text with its references replaced.  ``key``: of the stage that it stands in; None: any value may stand there."""
        found = list(_REFERENCE.finditer(source))
        if len(found) == 1 and found[0][0] == source:
            value = self.select(_expression(found[0][1]))
            _check(value, key, source)
            return value
        parts, end = [], 0
        for one in found:
            value = self.select(_expression(one[1]))
            _check(value, key, source)
            parts += [source[end : one.start()], to_text(value, settings)]
            end = one.end()
        return ''.join([*parts, source[end:]]).replace('\\${', '${')

    def resolve(self, value: Any, key: str | None, settings: Mapping[str, str], *, nodes: bool = False) -> Any:
        """A value with every reference in it replaced, keys too.  ``nodes``: what is taken from here whole comes as a Node."""
        if isinstance(value, dict):
            return {
                self._key(name, key, settings): self.resolve(below, key, settings, nodes=nodes)
                for name, below in value.items()
            }
        if isinstance(value, list):
            return [self.resolve(below, key, settings, nodes=nodes) for below in value]
        if not isinstance(value, str):
            return value
        found = self.text(value, key, settings)
        whole = nodes and (one := _REFERENCE.fullmatch(value)) is not None and '}' not in one[1]
        return Node(found) if whole else found

    def _key(self, name: Any, key: str | None, settings: Mapping[str, str]) -> Any:
        found = self.text(name, key, settings) if isinstance(name, str) else name
        try:
            hash(found)
        except TypeError:
            raise UserError(f'{name}: a list or mapping cannot be a key') from None
        return found


def has_reference(value: Any) -> bool:
    if isinstance(value, dict):
        return any(has_reference(key) or has_reference(below) for key, below in value.items())
    if isinstance(value, list):
        return any(map(has_reference, value))
    return isinstance(value, str) and _REFERENCE.search(value) is not None


def check_references(value: Any) -> None:
    """Raises UserError for a reference that is none."""
    if isinstance(value, dict):
        for key, below in value.items():
            check_references(key)
            check_references(below)
    elif isinstance(value, list):
        for below in value:
            check_references(below)
    elif isinstance(value, str):
        for one in _REFERENCE.finditer(value):
            _expression(one[1])


def _expression(inner: str) -> str:
    if not _EXPRESSION.fullmatch(inner):
        raise UserError(f'${{{inner}}} is no reference of DVC', hint=r'names, dots and [positions]; for the text itself \${')
    return inner


def _check(value: Any, key: str | None, source: str) -> None:
    if key is None or value is None or isinstance(value, _PRIMITIVES) or (isinstance(value, dict) and key == 'cmd'):
        return
    what = 'a mapping' if isinstance(value, dict) else 'a list'
    raise UserError(f'{source[:80]}: {what} cannot stand in {key}')


def is_composite(value: Any) -> bool:
    return isinstance(value.value if isinstance(value, Node) else value, dict | list | tuple)


def plain(value: Any) -> Any:
    """Without Nodes."""
    if isinstance(value, Node):
        return value.value
    if isinstance(value, dict):
        return {key: plain(below) for key, below in value.items()}
    return [plain(below) for below in value] if isinstance(value, list) else value


def name_text(value: Any) -> str:
    """As it stands in the name of an instance."""
    return str(value.value) if isinstance(value, Node) else to_text(value, {})


def to_text(value: Any, settings: Mapping[str, str]) -> str:
    """A value inside a text.  A mapping becomes options of a command.  ``settings``: of the section parsing of DVC's config.

    Raises UserError for a list in a list of such a mapping."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if not isinstance(value, dict):
        return str(value)
    return ' '.join(_options(value, '', settings)).rstrip()


def _options(value: Mapping[Any, Any], prefix: str, settings: Mapping[str, str]) -> Iterable[str]:
    for key, below in value.items():
        name = f'{prefix}{key}'
        if isinstance(below, dict):
            if below:
                yield from _options(below, f'{name}.', settings)
        elif isinstance(below, bool):
            if below:
                yield f'--{name}'
            elif settings.get('bool') == 'boolean_optional':
                yield f'--no-{name}'
        elif isinstance(below, str):
            yield f'--{name} {shlex.quote(below)}'
        elif isinstance(below, list | tuple):
            words = [_word(one, name) for one in below]
            if settings.get('list') == 'append':
                yield from (f'--{name} {word}' for word in words)
            elif words:
                yield f'--{name} {" ".join(words)}'
        else:
            yield f'--{name} {below}'


def _word(value: Any, name: str) -> str:
    if isinstance(value, list | tuple | dict):
        raise UserError(f'{name}: a list inside a list cannot be an option')
    return shlex.quote(value) if isinstance(value, str) else str(value)


def _node(value: Any) -> Any:
    """As the context holds it: mappings lose keys that are no text.  Raises UserError for what it cannot hold."""
    if isinstance(value, Node):
        return value.value
    if isinstance(value, dict):
        return {key: _node(below) for key, below in value.items() if isinstance(key, str)}
    if isinstance(value, list):
        return [_node(below) for below in value]
    if value is None or isinstance(value, _PRIMITIVES):
        return value
    raise UserError(f'DVC takes no value such as {str(value)[:40]} ({type(value).__name__}) for its templates', hint='quote it')


def _copied(value: Any) -> Any:
    return {key: _copied(below) for key, below in value.items()} if isinstance(value, dict) else value


def _merge(into: dict[str, Any], more: Mapping[str, Any], source: str, path: tuple[str, ...]) -> None:
    for key, value in more.items():
        if isinstance(into.get(key), dict) and isinstance(value, dict):
            _merge(into[key], value, source, (*path, key))
        elif key in into:
            raise UserError(f'{source} defines {".".join((*path, key))}, which is there already')
        else:
            into[key] = value
