"""Command lines that are read without the library: the same call as the library makes of them, or none."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from mlops_cli.cli import catalogue, context, groups, tree, understanding
from mlops_cli.cli.commands import run, status
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.understanding import understood
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError

LINES = 150  # for each command


def functions() -> dict[tuple[str, ...], Callable[..., Any]]:
    found = {}
    for name in catalogue.COMMANDS:
        module = catalogue.module(name)
        if hasattr(module, 'app'):
            found |= {(name, word): held.function for word, held in module.app.commands.items()}
        else:
            found[name,] = module.command
    return found


FUNCTIONS = functions()
WORDS = ['a', 'train@x', 'b*', '3', '0', '-1', '99999999999', '', '-', '--', 'x=1', '--x', '-h', 'text', 'none', 'é', '³', ' 4']


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a').mkdir()
    context.begin([])


def of_library(path: tuple[str, ...], words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The values that the library would call the command with and what it sets; None where it calls nothing."""
    function, seen = FUNCTIONS[path], []

    def noted(**values: Any) -> int:
        seen.append(values)
        return 0

    noted.__signature__ = inspect.signature(groups.told(function))  # type: ignore[attr-defined]
    noted.__annotations__ = groups.told(function).__annotations__
    monkeypatch.setattr(groups, 'told', lambda _function: noted)
    command = groups.single(path[-1], function, '')
    monkeypatch.undo()
    went: list[str] = []
    monkeypatch.setattr(context, 'enter', went.append)
    flags = {name: getattr(context.current, name) for name in ('quiet', 'verbose', 'yes')}
    try:
        command.main(args=words, prog_name='mlops', standalone_mode=False)
    except Exception:  # noqa: BLE001 -- the library's own kinds, and ours: it calls nothing
        return None
    finally:
        now = {name for name in flags if getattr(context.current, name)}
        context.begin([])
        monkeypatch.undo()
    return (seen[0], now) if seen else None


def lines(path: tuple[str, ...], chance: random.Random) -> Iterator[list[str]]:
    """Words that the command knows and others, in any order; the first ones are simple."""
    names = [name for param in groups.single('x', FUNCTIONS[path], '').params for name in (*param.opts, *param.secondary_opts)]
    names = [name for name in names if name.startswith('-') and name != '-C']
    for number in range(LINES):
        found = []
        for _ in range(chance.randrange(5)):
            name = chance.choice(names)
            value = chance.choice(WORDS[:5] if number % 3 else WORDS)
            kind = chance.randrange(10)
            found += [[name], [name, value], [value], [f'{name}={value}'], [value], [name, value], [name], [value]][kind % 8]
            if kind == 9 and number % 5 == 0:
                found.append(f'{name[:-1]}')
        yield found


@pytest.mark.parametrize('path', FUNCTIONS, ids=' '.join)
def test_the_same_call_as_the_library_makes(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(' '.join(path))
    params = inspect.signature(FUNCTIONS[path]).parameters.values()
    defaults = {param.name: param.default for param in params if param.default is not param.empty}
    simple = 0
    for words in lines(path, chance):
        call = understood([*path, *words])
        if call is None:
            continue
        simple += 1
        assert call.function is FUNCTIONS[path] and call.directory == ''
        theirs = of_library(path, words, monkeypatch)
        assert theirs is not None, words
        assert ({**defaults, **call.values}, set(call.globals)) == theirs, words
    assert simple >= 5  # or nothing was compared


@pytest.mark.parametrize(
    ('line', 'directory', 'flags'),
    [
        ('-C a status', 'a', set()),
        ('-q --verbose status -v --yes', '', {'quiet', 'verbose', 'yes'}),
        ('-v -C a runs list', 'a', {'verbose'}),
        ('-C a', 'a', set()),
        ('', '', set()),
    ],
)
def test_what_stands_in_front(line: str, directory: str, flags: set[str]) -> None:
    call = understood(line.split())
    assert call is not None and (call.directory, call.globals) == (directory, flags)


@pytest.mark.parametrize(
    'line',
    [
        '-h', '--help', '--version', 'status -h', 'runs', 'runs -h', 'runs lst', 'status --exit', 'status --strict=1',
        '--directory a status', '-C', '-C -q status', '-qv status', 'run -kj4', 'run -j4', 'run -j -1', 'run -j x', 'status --',
        'status -C a', '--lock-timeout 3 status', 'status --lock-timeout 3', 'logs', 'logs a b', 'gate', 'config get',
        'lineage a', 'graph --format dot', 'run --isolate none', 'runs list --trials', 'runs list --trials/--no-trials',
        'config -v',
    ],
)  # fmt: skip
def test_what_is_left_to_the_library(line: str) -> None:
    assert understood(line.split()) is None


@pytest.mark.parametrize('name', [*understanding.VARIABLES, 'MLOPS_EXECUTOR'])
def test_variables_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, '')
    assert understood(['run', '-k']) is None


def test_the_variables_are_those_of_the_options() -> None:
    params = typer.main.get_command(tree.app).params
    assert {param.envvar for param in params if param.envvar} == set(understanding.VARIABLES)


def test_the_flags_are_those_of_every_command() -> None:
    plain = [param for param in groups.global_options() if param.is_flag]
    assert {name for param in plain for name in param.opts} == set(understanding.FLAGS)


def test_a_flag_of_the_commands_own_is_no_global_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(query: understanding.Annotated[bool, understanding.Option('--query', '-q')] = False) -> int:
        return 0

    command.__annotations__ = {'query': understanding.Annotated[bool, understanding.Option('--query', '-q')], 'return': int}
    monkeypatch.setattr(catalogue, 'module', lambda _name: SimpleNamespace(command=command))
    found = understood(['status', '-q'])
    assert found is not None and (found.values, found.globals) == ({'query': True}, frozenset())
    assert understood(['status', '--quiet']) is None


def test_the_call_sets_what_was_said_and_goes_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def command(stages: Any = None) -> int:
        found.append((stages, context.current.quiet, Path.cwd().name))
        return 3

    command.__annotations__ = dict(status.command.__annotations__)
    monkeypatch.setattr(status, 'command', status.command)
    call = understood(['-C', 'a', 'status', 'x', '-q'])
    assert call is not None
    assert replace(call, function=command)() == 3
    assert found == [(['x'], True, 'a')]
    context.begin([])


@pytest.mark.parametrize('line', ['statsu', 'repro x', '-C a statsu -h', 'train'])
def test_a_word_that_is_no_command_is_refused_as_by_the_library(line: str) -> None:
    words = line.split()
    call = understood(words)
    assert call is not None
    with pytest.raises(UserError) as ours:
        call()
    with pytest.raises(UserError) as theirs:
        tree.app(args=words if words[0] != '-C' else words[2:], prog_name='mlops', standalone_mode=False)
    assert (str(ours.value), ours.value.hint) == (str(theirs.value), theirs.value.hint)


def test_every_folder_of_commands_is_one() -> None:
    for name in catalogue.COMMANDS:
        module = catalogue.module(name)
        assert hasattr(module, 'command') != isinstance(getattr(module, 'app', None), Folder)
    assert run.command in FUNCTIONS.values()
