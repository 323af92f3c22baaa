"""``dataclass``, ``field`` and ``replace`` as those of the standard library, made in a fraction of the time.

A command defines a hundred such classes and makes objects of a few.  The standard library compiles up to nine methods for each
while it is defined; here most methods are shared, and ``__init__`` is compiled when the first object is made.  What needs the
rest of :mod:`dataclasses` (``fields``, ``asdict``) gets it when it asks.  Not for classes with bases, ClassVar or InitVar.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # they are those, to a reader and to a type checker
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, order=False, eq=True):
        """The class, with the methods that its annotations ask for.  Raises TypeError for what is not for it."""

        def made(cls):
            return _made(cls, frozen, slots, order, eq)

        return made if cls is None else made(cls)

    def field(*, default=..., default_factory=..., init=True, repr=True):  # noqa: A002 -- as the standard library has it
        """What there is to say about a field beyond its type."""
        return _Field(default, default_factory, init, repr)

    def replace(of, /, **changes):
        """A copy with other values.  Raises TypeError for a field that is none, or that ``__init__`` does not take."""
        for name in of.__match_args__:
            if name not in changes:
                changes[name] = getattr(of, name)
        return type(of)(**changes)


Class = TypeVar('Class', bound=type)
NONE: Any = ...  # no default
FIRST = 3  # objects of a class that are made without compiling anything, which takes as long as some twenty of them


class _Field:
    __slots__ = ('default', 'factory', 'init', 'repr')

    def __init__(self, default: Any, factory: Any, init: bool, repr: bool) -> None:  # noqa: A002
        self.default, self.factory, self.init, self.repr = default, factory, init, repr


SLOT: Any = type(_Field.__dict__['init'])  # what a class has for each name in its __slots__


def _made(cls: Any, frozen: bool, slots: bool, order: bool, eq: bool) -> Any:
    if cls.__bases__ != (object,):
        raise TypeError(f'{cls.__name__} has bases: take dataclasses.dataclass')
    fields = {name: _field(cls, name, kind) for name, kind in cls.__annotations__.items()}
    own = cls.__dict__
    methods: dict[str, Any] = {
        '__match_args__': tuple([name for name, one in fields.items() if one.init]),
        '__dataclass_fields__': _Fields(fields),
        '__repr__': _shown([name for name, one in fields.items() if one.repr]),
    }
    if frozen:
        methods |= {'__setattr__': _refuse_assignment, '__delattr__': _refuse_deletion}
    if eq:
        methods |= _comparing(tuple(fields), frozen, order)
    if slots and frozen:
        methods |= {'__getstate__': _state, '__setstate__': _set_state}
    if '__init__' not in own:
        methods['__init__'] = _first(fields, frozen)
    methods = {name: value for name, value in methods.items() if name not in own or (name == '__hash__' and own[name] is None)}
    if slots:
        kept = {name: value for name, value in own.items() if name not in fields and name not in ('__dict__', '__weakref__')}
        made = type(cls.__name__, (), {**kept, **methods, '__slots__': tuple(fields), '__qualname__': cls.__qualname__})
    else:
        made = cls
        for name, value in methods.items():
            setattr(cls, name, value)
        for name, one in fields.items():
            if isinstance(own.get(name), _Field):
                delattr(cls, name)
                if one.default is not NONE:
                    setattr(cls, name, one.default)
    return made


def _field(cls: Any, name: str, kind: Any) -> _Field:
    if 'ClassVar' in str(kind) or 'InitVar' in str(kind):
        raise TypeError(f'{cls.__name__}.{name}: take dataclasses.dataclass')
    default = cls.__dict__.get(name, NONE)
    one = default if isinstance(default, _Field) else _Field(default, NONE, True, True)
    if one.default.__class__.__hash__ is None:
        raise ValueError(f'{cls.__name__}.{name}: all objects would share it, take default_factory')
    return one


def _first(fields: dict[str, _Field], frozen: bool) -> Callable[..., None]:
    """An ``__init__`` for the first objects, that puts a compiled one in its place for all others, and for what is wrong."""
    left = FIRST

    def __init__(self: Any, *args: Any, **named: Any) -> None:
        nonlocal left
        left -= 1
        if left >= 0 and (values := _given(fields, args, named)) is not None:
            for name, value in values.items():
                object.__setattr__(self, name, value)
            if hasattr(self, '__post_init__'):
                self.__post_init__()
            return
        cls = type(self)
        cls.__init__ = _compiled(cls, fields, frozen)
        cls.__init__(self, *args, **named)

    return __init__


def _given(fields: dict[str, _Field], args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """The value of each field, in order; None where these are no arguments for them."""
    waiting, used, values = iter(args), 0, {}
    for name, one in fields.items():
        if not one.init:
            continue
        value = next(waiting, NONE)
        if name in named:
            if value is not NONE:
                return None
            value, used = named[name], used + 1
        if value is NONE:
            value = one.default if one.factory is NONE else one.factory()
        if value is NONE:
            return None
        values[name] = value
    return values if used == len(named) and next(waiting, NONE) is NONE else None


def _compiled(cls: type, fields: dict[str, _Field], frozen: bool) -> Any:
    names: dict[str, Any] = {'__set': object.__setattr__, '__none': NONE}
    head, body = ['self'], []
    for name, one in fields.items():
        if one.init and one.factory is not NONE:
            names[f'__make_{name}'] = one.factory
            head.append(f'{name}=__none')
            value = f'__make_{name}() if {name} is __none else {name}'
        elif one.init:
            value = name
            names[f'__default_{name}'] = one.default
            head.append(name if one.default is NONE else f'{name}=__default_{name}')
        else:
            continue
        if frozen and isinstance(slot := cls.__dict__.get(name), SLOT):
            names[f'__set_{name}'] = slot.__set__  # in two thirds of the time of object.__setattr__
            body.append(f' __set_{name}(self, {value})')
        else:
            body.append(f' __set(self, {name!r}, {value})' if frozen else f' self.{name} = {value}')
    if hasattr(cls, '__post_init__'):
        body.append(' self.__post_init__()')
    exec(f'def __init__({", ".join(head)}):\n' + ('\n'.join(body) or ' pass'), names)
    init = names['__init__']
    init.__qualname__, init.__module__ = f'{cls.__qualname__}.__init__', cls.__module__
    return init


def _values(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes the values of an object."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda of: tuple([getattr(of, name) for name in names])


def _comparing(names: tuple[str, ...], frozen: bool, order: bool) -> dict[str, Any]:
    values = _values(names)

    def __eq__(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    methods: dict[str, Any] = {'__eq__': __eq__, '__hash__': __hash__ if frozen else None}
    if order:

        def __lt__(self: Any, other: Any) -> Any:
            return values(self) < values(other) if other.__class__ is self.__class__ else NotImplemented

        def __le__(self: Any, other: Any) -> Any:
            return values(self) <= values(other) if other.__class__ is self.__class__ else NotImplemented

        def __gt__(self: Any, other: Any) -> Any:
            return values(self) > values(other) if other.__class__ is self.__class__ else NotImplemented

        def __ge__(self: Any, other: Any) -> Any:
            return values(self) >= values(other) if other.__class__ is self.__class__ else NotImplemented

        methods |= {'__lt__': __lt__, '__le__': __le__, '__gt__': __gt__, '__ge__': __ge__}
    return methods


def _shown(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        return f'{type(self).__qualname__}({", ".join([f"{name}={getattr(self, name)!r}" for name in names])})'

    return __repr__


def _refuse_assignment(_self: Any, name: str, _value: Any) -> None:
    from dataclasses import FrozenInstanceError  # the one thing that is theirs: whoever expects it has loaded it

    raise FrozenInstanceError(f'cannot assign to field {name!r}')


def _refuse_deletion(_self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f'cannot delete field {name!r}')


def _state(self: Any) -> list[Any]:
    """For copies and pickles, as nothing can be assigned."""
    return [getattr(self, name) for name in self.__slots__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__slots__, state, strict=True):
        object.__setattr__(self, name, value)


class _Fields:
    """What the functions of :mod:`dataclasses` look for, made when one of them does."""

    __slots__ = ('fields',)

    def __init__(self, fields: dict[str, _Field]) -> None:
        self.fields = fields

    def __get__(self, instance: Any, owner: type) -> dict[str, Any]:
        import dataclasses

        values = {}
        for name, one in self.fields.items():
            more = {'default': one.default, 'default_factory': one.factory}
            known = {word: value for word, value in more.items() if value is not NONE}
            values[name] = dataclasses.field(init=one.init, repr=one.repr, **known)
        twin = type(owner.__name__, (), {'__annotations__': owner.__annotations__, '__module__': owner.__module__, **values})
        real: Any = dataclasses.dataclass(init=False, repr=False, eq=False)(twin)
        found: dict[str, Any] = real.__dataclass_fields__
        type.__setattr__(owner, '__dataclass_fields__', found)
        return found
