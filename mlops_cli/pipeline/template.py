r"""Templates: ``${...}`` replaced by values, in plain values, in argument lists and in shell scripts.

One pass: what a value holds is never looked at for more ``${...}``.  docs/templating.md is the user's page.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.scalars import kind, plain_scalar, scalar_text
from mlops_cli.pipeline import script
from mlops_cli.pipeline.quote import quoted
from mlops_cli.pipeline.reference import Piece, Reference, TemplateError, pieces
from mlops_cli.pipeline.spec import Used

__all__ = ['Scope', 'TemplateError', 'parameter_name', 'parameter_variables', 'render_argv', 'render_command', 'resolve',
           'resolve_vars']

VARIABLE_LIMIT = 32 * 1024  # characters; Linux takes 128 KiB of one variable, and each costs every process of the stage
REFERENCE_LIMIT = 1000  # in one command
COMMAND_LIMIT = 128 * 1024 - 1  # bytes; what Linux takes as one argument of a process
_INDEX = pattern(r'0|[1-9][0-9]{0,8}')


@dataclass(frozen=True)
class Scope:
    """The names that templates may use.

    ``values``: parameters, vars, ``item`` and ``key``, by top-level name.  ``environ``: the declared, non-secret variables
    of the environment and no others; None for one that is declared and not set.  ``origins``: of names, and of entries merged
    into them, the parameter file they are from, or the parameters that they were made from.  ``note``: told of each parameter
    that is looked up."""

    values: Mapping[str, Any]
    environ: Mapping[str, str | None] = field(default_factory=dict)
    origins: Mapping[tuple[str, ...], str | tuple[Used, ...]] = field(default_factory=dict)
    note: Callable[[Used], object] | None = None

    def child(self, **names: Any) -> Scope:
        """With further top-level names (``item``, ``key``), which hide those that are there."""
        origins = {path: origin for path, origin in self.origins.items() if path[0] not in names}
        return replace(self, values={**self.values, **names}, origins=origins)

    def merged(self, more: Mapping[str, Any], *, source: str = 'vars', origin: str | tuple[Used, ...] = ()) -> Scope:
        """With the mappings of ``more`` merged in, key by key.

        Raises TemplateError if a value that is there would be replaced.  ``source``: where ``more`` is from, for that;
        ``origin``: as ``origins`` has it."""
        origins = dict.fromkeys(_added(self.values, more, ()), origin)
        return replace(self, values=_merge(self.values, more, (), source), origins={**self.origins, **origins})

    def noting(self, note: Callable[[Used], object]) -> Scope:
        return replace(self, note=note)

    def looked_up(self, path: tuple[str, ...], value: Any) -> None:
        """Tells ``note`` of the parameters behind a name."""
        if self.note is None:
            return
        known = (self.origins.get(path[:length], None) for length in range(len(path), 0, -1))
        origin = next((one for one in known if one is not None), ())
        for used in (Used(origin, '.'.join(path), value),) if isinstance(origin, str) else origin:
            self.note(used)


def resolve(value: Any, scope: Scope) -> Any:
    """A plain value with every template in it replaced, in keys of mappings too.

    A string that is one ``${...}`` and nothing else keeps the value's type; inside longer text values are written as
    core.scalars.scalar_text does.  Raises TemplateError, whose ``path`` leads to the string."""
    return _walk(value, scope, ())


def resolve_vars(entries: Iterable[Mapping[str, Any]], scope: Scope) -> Scope:
    """The scope with ``vars`` added, in order: each may use the parameters and the vars before it.

    Raises TemplateError for one that uses itself or a later one, or that would replace another; its ``path`` starts with the
    index of the entry."""
    listed = list(entries)
    order = [name for entry in listed for name in entry]
    for index, entry in enumerate(listed):
        for name, raw in entry.items():
            try:
                used: list[Used] = []
                value = _walk(raw, scope.noting(used.append), ())
                scope = scope.merged({name: value}, origin=tuple(used))
            except TemplateError as error:
                raise _explain_order(error, name, order, scope, (index, name, *error.path)) from None
            order.remove(name)
    return scope


def render_argv(words: Sequence[Any], scope: Scope) -> tuple[str, ...]:
    """The words of an ``argv``: no shell, so nothing is quoted.  A word that is exactly a list becomes several words, a
    mapping options as in :func:`render_command`.  Raises TemplateError, whose ``path`` starts with the word's index."""
    found: list[str] = []
    for index, word in enumerate(words):
        try:
            found += _words(resolve(word, scope), str(word))
        except TemplateError as error:
            raise _placed(error, (index, *error.path)) from None
    return tuple(found)


def render_command(text: str, scope: Scope) -> str:
    """One /bin/sh script with every value quoted for where it stands, so that it arrives byte for byte and injects nothing.

    A list standing as a word of its own becomes several words, a mapping options (``--lr 0.1 --flag --layers 1 2
    --optimizer.name adam``; false is left out).  Raises TemplateError where a value cannot be quoted: see script.py."""
    if '\0' in text:
        raise TemplateError('a command holds a NUL character', offset=text.index('\0'))
    parts = pieces(text)
    references = [part for part in parts if isinstance(part, Reference)]
    if len(references) > REFERENCE_LIMIT:
        raise TemplateError(f'more than {REFERENCE_LIMIT:,} ${{...}} in one command')
    if not references:
        return ''.join(part for part in parts if isinstance(part, str))
    places = script.places(''.join(script.HOLE if isinstance(part, Reference) else part for part in parts))
    values = {reference.start: _quoted(reference, place, scope) for reference, place in zip(references, places, strict=True)}
    command = ''.join(values[part.start] if isinstance(part, Reference) else part for part in parts)
    if len(command) * 4 > COMMAND_LIMIT and len(command.encode('utf-8', 'surrogateescape')) > COMMAND_LIMIT:
        raise TemplateError(f'the command would be {len(command):,} characters long, more than Linux takes as one argument',
                            hint='let the program read long values from its parameter file')
    return command


def parameter_name(path: Iterable[str]) -> str:
    """``('train', 'lr')`` -> ``MLOPS_PARAM_TRAIN_LR``: upper case, what is no ASCII letter or digit as ``_``."""
    return 'MLOPS_PARAM_' + re.sub('[^A-Z0-9]', '_', '_'.join(path).upper())


def parameter_variables(params: Mapping[str, Any]) -> dict[str, str]:
    """Scalar parameters as environment variables, nested mappings and dotted keys alike: ``{'train': {'lr': 0.1}}`` and
    ``{'train.lr': 0.1}`` both give ``MLOPS_PARAM_TRAIN_LR=0.1``.

    Left out, whatever the order: lists, null, text with NUL or beyond 32 KiB, and every name that two different parameters
    would share (``a.b`` and ``a_b``), since it would then mean one of them by accident."""
    found: dict[str, dict[tuple[str, ...], set[str]]] = {}

    def visit(path: tuple[str, ...], value: Any) -> None:
        if isinstance(value, Mapping):
            for key, below in value.items():
                visit((*path, *str(key).split('.')), below)
        elif (text := _variable_text(value)) is not None:
            found.setdefault(parameter_name(path), {}).setdefault(path, set()).add(text)

    visit((), params)
    single = {name: next(iter(texts.values())) for name, texts in sorted(found.items()) if len(texts) == 1}
    return {name: next(iter(texts)) for name, texts in single.items() if len(texts) == 1}


def _variable_text(value: Any) -> str | None:
    try:
        text = scalar_text(value)
        text.encode('utf-8', 'surrogateescape')
    except ValueError:
        return None
    return text if '\0' not in text and len(text) <= VARIABLE_LIMIT else None


# Plain values

def _walk(value: Any, scope: Scope, path: tuple[str | int, ...]) -> Any:
    if isinstance(value, str):
        return _at(path, lambda: _resolve_text(value, scope)) if '${' in value else value
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, below in value.items():
            new = _at((*path, key), lambda key=key: _key(key, scope))  # type: ignore[misc]
            if new in found:
                raise TemplateError(f'two keys are {new!r} once resolved', path=(*path, key))
            found[new] = _walk(below, scope, (*path, key))
        return found
    if isinstance(value, list | tuple):
        return [_walk(below, scope, (*path, index)) for index, below in enumerate(value)]
    return value


def _at(path: tuple[str | int, ...], work: Callable[[], Any]) -> Any:
    try:
        return work()
    except TemplateError as error:
        raise _placed(error, path) from None


def _placed(error: TemplateError, path: tuple[str | int, ...]) -> TemplateError:
    error.path = path
    return error


def _key(key: Any, scope: Scope) -> Any:
    if not isinstance(key, str) or '${' not in key:
        return key
    parts = pieces(key)
    return ''.join(part if isinstance(part, str) else _text(part, scope) for part in parts)


def _resolve_text(text: str, scope: Scope) -> Any:
    parts = pieces(text)
    if len(parts) == 1 and isinstance(parts[0], Reference):
        return _value(parts[0], scope)
    return _join(parts, scope)


def _join(parts: Iterable[Piece], scope: Scope) -> str:
    return ''.join(part if isinstance(part, str) else _text(part, scope) for part in parts)


def _text(reference: Reference, scope: Scope) -> str:
    value = _value(reference, scope)
    try:
        return scalar_text(value)
    except ValueError as error:
        hint = f'${{{reference.name}:-...}} gives it a default' if value is None else 'name one of its entries'
        raise TemplateError(f'{reference.text} {error}, which has no place inside text', offset=reference.start,
                            hint=hint) from None


# Looking up

class _Missing(Exception):
    """A name that is not there: ``path`` up to and with it, and the names beside it."""

    def __init__(self, path: tuple[str, ...], names: Iterable[str]) -> None:
        super().__init__(path)
        self.path = path
        self.names = tuple(names)


def _value(reference: Reference, scope: Scope) -> Any:
    """The value of a reference, or its default where the name is missing, null or empty text, as the shell's ``:-``."""
    try:
        value = _environment(reference, scope) if reference.environment else _look_up(reference, scope)
    except _Missing as missing:
        if reference.default is None:
            raise _unknown(reference, missing) from None
        return _default(reference.default, reference.start, scope)
    if not reference.environment:
        scope.looked_up(reference.path, value)
    if reference.default is None or value not in (None, ''):
        return value
    return _default(reference.default, reference.start, scope)


def _default(default: str | tuple[Piece, ...], offset: int, scope: Scope) -> Any:
    if isinstance(default, str):
        return default
    if len(default) == 1 and isinstance(default[0], Reference):
        return _value(default[0], scope)
    text = _join(default, scope).strip()
    if not text or any(isinstance(part, Reference) for part in default):
        return text
    try:
        return plain_scalar(text)
    except ValueError as error:
        raise TemplateError(f'the default {error}', offset=offset, hint='quote it if it is text') from None


def _environment(reference: Reference, scope: Scope) -> str:
    name, = reference.path
    if name not in scope.environ:
        raise TemplateError(f'{reference.text}: the variable {name} is not declared', offset=reference.start,
                            hint=f'declare it: env: [{name}]; a secret cannot be used here, the program reads ${name} itself')
    value = scope.environ[name]
    if value is None:
        raise _Missing((f'env:{name}',), ())
    return value


def _look_up(reference: Reference, scope: Scope) -> Any:
    value: Any = scope.values
    for position, segment in enumerate(reference.path):
        here = reference.path[:position + 1]
        if isinstance(value, Mapping):
            if segment not in value:
                raise _Missing(here, (str(name) for name in value))
            value = value[segment]
        elif isinstance(value, list | tuple):
            if not _INDEX.fullmatch(segment):
                raise TemplateError(f'{reference.text}: {".".join(here[:-1])} is a list, {segment!r} is no position in it',
                                    offset=reference.start, hint=f'positions are 0 to {len(value) - 1}')
            if int(segment) >= len(value):
                raise _Missing(here, (str(index) for index in range(len(value))))
            value = value[int(segment)]
        elif value is None:
            raise _Missing(here, ())
        else:
            raise TemplateError(f'{reference.text}: {".".join(here[:-1])} is {kind(value)}, there is nothing inside it',
                                offset=reference.start)
    return value


def _unknown(reference: Reference, missing: _Missing) -> TemplateError:
    name = '.'.join(missing.path)
    if reference.environment:
        return TemplateError(f'{reference.text}: {name} is not set', offset=reference.start,
                             hint=f'set it, or give a default: ${{{name}:-...}}')
    before = missing.path[:-1]
    hint = did_you_mean(missing.path[-1], missing.names, what=f'names in {".".join(before)}' if before else 'names here')
    if not before and missing.path[-1].isupper():
        hint = rf"for the shell's own variable write ${missing.path[-1]} or \{reference.text}" + (f'; {hint}' if hint else '')
    return TemplateError(f'{reference.text}: there is no {name}', offset=reference.start, hint=hint)


def _merge(values: Mapping[str, Any], more: Mapping[str, Any], path: tuple[str, ...], source: str) -> dict[str, Any]:
    found = dict(values)
    for name, value in more.items():
        here = (*path, name)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], Mapping) and isinstance(value, Mapping):
            found[name] = _merge(found[name], value, here, source)
        else:
            raise TemplateError(f'{source} sets {".".join(here)}, which has a value already', path=here,
                                hint='give it another name; parameters are changed in their file or with --set')
    return found


def _added(values: Mapping[str, Any], more: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Where :func:`_merge` puts something that was not there."""
    for name, value in more.items():
        if name not in values:
            yield (*path, name)
        elif isinstance(values[name], Mapping) and isinstance(value, Mapping):
            yield from _added(values[name], value, (*path, name))


def _explain_order(error: TemplateError, name: str, later: list[str], scope: Scope,
                   path: tuple[str | int, ...]) -> TemplateError:
    used = re.match(r'\$\{\s*([^\s.\[\]{}:]+)', error.message)
    if used and used[1] in later and used[1] not in scope.values:
        problem = 'itself' if used[1] == name else f'{used[1]} before it is set'
        error = TemplateError(f'vars: {name} uses {problem}', offset=error.offset,
                              hint='each may use parameters and the vars before it')
    return _placed(error, path)


# Commands

def _quoted(reference: Reference, place: script.Place, scope: Scope) -> str:
    if place.kind == 'refused':
        raise TemplateError(f'{reference.text} stands inside {place.reason}, where no value can be quoted safely',
                            offset=reference.start, hint=_way_out(reference, place))
    value = _value(reference, scope)
    try:
        if isinstance(value, Mapping | list | tuple):
            if not place.word:
                raise TemplateError(f'{reference.text} is {kind(value)}, which has to stand as a word of its own, unquoted',
                                    offset=reference.start, hint='put blanks around it, or name one of its entries')
            return ' '.join(quoted(word, place) for word in _words(value, reference.text))
        return quoted(_checked(value, reference.text), place)
    except TemplateError as error:
        error.offset = reference.start
        raise


def _way_out(reference: Reference, place: script.Place) -> str:
    if place.reason == script.COMMENT:
        return r'take it out of the comment, or write \${...}'
    if place.reason == script.LONE_DOLLAR:
        return r'write \$ for the character itself'
    if place.reason == script.TWO_PARENTHESES:
        return 'put a blank between the two parentheses'
    if place.reason == script.DUPLICATION:
        return 'write > FILE 2>&1'
    if place.reason == script.TEST:
        return 'use [ ... ]'
    if place.reason.startswith(script.UNCLOSED):
        return 'close it'
    before = f'value={reference.text}, on a line before'
    if place.reason == script.ARITHMETIC:  # bash evaluates what a variable holds there: no variable is safe either
        return f'compute it in the program, or {before}, and $(expr "$value" + 1)'
    hint = f'{before}, and there {"$value" if place.reason == script.DOCUMENT else chr(34) + "$value" + chr(34)}'
    if not reference.environment and reference.path[0] not in ('item', 'key'):
        hint = f'use ${parameter_name(reference.path)} there if the stage declares that parameter; or {hint}'
    return f'{hint}; or argv: [...] without a shell'


def _words(value: Any, text: str) -> list[str]:
    """The words that a value becomes: one, those of a list, or the options of a mapping."""
    if isinstance(value, Mapping):
        return [word for name, entry in _flat(value, ()) for word in _option(name, entry, text)]
    if isinstance(value, list | tuple):
        return [_checked(entry, f'an entry of {text}') for entry in value]
    return [_checked(value, text)]


def _flat(value: Mapping[str, Any], path: tuple[str, ...]) -> Iterable[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            yield from _flat(entry, (*path, str(key)))
        else:
            yield '.'.join((*path, str(key))), entry


def _option(name: str, entry: Any, text: str) -> list[str]:
    option = _checked(f'--{name}', text)
    if isinstance(entry, bool):
        return [option] if entry else []
    if isinstance(entry, list | tuple):
        words = [_checked(word, f'an entry of {name} in {text}') for word in entry]
        return [option, *words] if words else []
    return [option, _checked(entry, f'{name} in {text}')]


def _checked(value: Any, text: str) -> str:
    """The text of a scalar that can be an argument of a process."""
    try:
        found = scalar_text(value)
    except ValueError as error:
        raise TemplateError(f'{text} {error}, which cannot be written into a command',
                            hint='give it a value, or a default: ${name:-...}' if value is None else '') from None
    if '\0' in found:
        raise TemplateError(f'{text} holds a NUL character, which no command can take')
    try:
        found.encode('utf-8', 'surrogateescape')
    except UnicodeEncodeError:
        raise TemplateError(f'{text} holds half of a surrogate pair, which is no character') from None
    return found
