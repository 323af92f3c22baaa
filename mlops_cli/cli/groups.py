"""Commands that hold commands: they hint at the near name, and every command of theirs takes the global options too."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup, TyperOption

from mlops_cli.cli import context
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.options import Argument, Declared

YES = 'Answer yes to what would be asked.'
LOCK_TIMEOUT = 'Exit 11 instead of waiting longer for another command.'
SENTENCE = 1000  # characters, more than any
SETTINGS = {'help_option_names': ['-h', '--help']}


def global_options() -> list[TyperOption]:
    """Fresh options that do, behind a command, what they do in front of it."""

    def directory(_ctx: Any, _param: Any, value: str | None) -> None:
        context.enter(value or '')

    def quiet(_ctx: Any, _param: Any, value: bool) -> None:
        context.current.quiet |= bool(value)

    def verbose(_ctx: Any, _param: Any, value: bool) -> None:
        context.current.verbose |= bool(value)

    def yes(_ctx: Any, _param: Any, value: bool) -> None:
        context.current.yes |= bool(value)

    def lock_timeout(_ctx: Any, _param: Any, value: float | None) -> None:
        if value is not None:
            context.wait_at_most(value)

    silent: dict[str, Any] = {'expose_value': False}
    return [
        TyperOption(param_decls=['-C', 'cd'], metavar='DIR', callback=directory, help='Run as if started in DIR.', **silent),
        TyperOption(
            param_decls=['--quiet', '-q'], is_flag=True, callback=quiet, help='Only data, failures and errors.', **silent
        ),
        TyperOption(param_decls=['--verbose', '-v'], is_flag=True, callback=verbose, help='More about everything.', **silent),
        TyperOption(param_decls=['--yes'], is_flag=True, callback=yes, help=YES, **silent),
        TyperOption(
            param_decls=['--lock-timeout'],
            type=float,
            metavar='SECONDS',
            callback=lock_timeout,
            help=LOCK_TIMEOUT,
            **silent,
        ),
    ]


def with_globals(command: Any) -> Any:
    """The command, made to take them; a group's commands do by themselves."""
    if not isinstance(command, TyperGroup):
        names = {name for param in command.params for name in param.opts}
        command.params += [option for option in global_options() if names.isdisjoint(option.opts)]
    return command


class Group(TyperGroup):  # the arguments' names are the base class's
    """A group of commands, such as ``runs``.  ``otherwise``: the one that is meant by a word that is no command."""

    otherwise = ''

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        return with_globals(command) if command is not None else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each with its whole first sentence, in as many lines as it needs."""
        with formatter.section('Commands'):
            found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
            formatter.write_dl([(name, one.get_short_help_str(limit=SENTENCE)) for name, one in found if one is not None])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        context.refuse_unknown(args, self.commands, {}, of=ctx.command_path, otherwise=self.otherwise)
        return super().resolve_command(ctx, args)


def told(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the library understands it: what its parameters declare, in the library's own classes."""
    copy = FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    copy.__doc__, copy.__kwdefaults__ = function.__doc__, function.__kwdefaults__
    copy.__annotations__ = {name: _told(kind) for name, kind in get_type_hints(function, include_extras=True).items()}
    return copy


def _told(kind: Any) -> Any:
    if get_origin(kind) is not Annotated:
        return kind
    of, *more = get_args(kind)
    return Annotated[of, *(_of_library(one) if isinstance(one, Declared) else one for one in more)]


def _of_library(one: Declared) -> Any:
    return (typer.Argument if isinstance(one, Argument) else typer.Option)(*one.names, **one.said)


def single(name: str, function: Callable[..., Any], epilog: str) -> Any:
    """The library's command."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command(name, epilog=epilog, context_settings=SETTINGS)(told(function))
    return with_globals(typer.main.get_command(app))


def group(name: str, folder: Folder) -> Any:
    """The library's group of commands."""
    app = typer.Typer(
        cls=type('Group', (Group,), {'otherwise': folder.otherwise}),
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=folder.helps,
        help=folder.help,
        context_settings=SETTINGS,
    )
    for word, held in folder.commands.items():
        app.command(word, epilog=held.epilog)(told(held.function))
    if folder.alone is not None:
        alone = folder.alone

        @app.callback(invoke_without_command=True)
        def begin(ctx: typer.Context) -> int:
            return alone() if ctx.invoked_subcommand is None else 0

    found: Any = typer.main.get_group(app)
    found.name = name
    return found
