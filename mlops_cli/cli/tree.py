"""The commands as the command line library knows them.  A command's module is imported when it is used."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlops_cli import __version__
from mlops_cli.cli import context
from mlops_cli.cli.catalogue import COMMANDS, module
from mlops_cli.cli.groups import LOCK_TIMEOUT, SETTINGS, YES, group, single
from mlops_cli.cli.habits import HABITS


class Lazy(TyperGroup):  # the arguments' names are the base class's
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        found = module(cmd_name)
        return group(cmd_name, found.app) if hasattr(found, 'app') else single(cmd_name, found.command, found.EXITS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        context.refuse_unknown(args, COMMANDS, HABITS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section('Commands'):
            formatter.write_dl(self.overview())

    def overview(self) -> list[tuple[str, str]]:
        """(command, one line about it) without importing any."""
        return [(name, text) for name, (_, text) in COMMANDS.items()]


app = typer.Typer(
    cls=Lazy,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=False,
    context_settings=SETTINGS,
)


def _version(value: bool) -> None:
    if value:
        print(f'mlops {__version__}')
        raise typer.Exit


def _install(value: bool) -> None:
    if value:
        from mlops_cli.cli.completion.shell_files import install, shell_of_user

        print(install(shell_of_user(os.environ), os.environ))
        raise typer.Exit


def _show(value: bool) -> None:
    if value:
        from mlops_cli.cli.completion.shell_files import shell_of_user
        from mlops_cli.cli.completion.shells import SCRIPTS

        print(SCRIPTS[shell_of_user(os.environ)], end='')
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog='Begin with: mlops init, or mlops run beside a pipeline.yaml.  Every command has -h: an example, its exit codes.',
)
def main(
    ctx: typer.Context,
    directory: Annotated[
        str, typer.Option('-C', metavar='DIR', envvar='MLOPS_DIRECTORY', help='Run as if started in DIR.')
    ] = '',
    quiet: Annotated[bool, typer.Option('--quiet', '-q', envvar='MLOPS_QUIET', help='Only data, failures and errors.')] = False,
    verbose: Annotated[bool, typer.Option('--verbose', '-v', envvar='MLOPS_VERBOSE', help='More about everything.')] = False,
    yes: Annotated[bool, typer.Option('--yes', envvar='MLOPS_YES', help=YES)] = False,
    lock_timeout: Annotated[
        float | None, typer.Option('--lock-timeout', metavar='SECONDS', envvar='MLOPS_LOCK_TIMEOUT', help=LOCK_TIMEOUT)
    ] = None,
    version: Annotated[
        bool, typer.Option('--version', '-V', callback=_version, is_eager=True, help='Show the version.')
    ] = False,
    install_completion: Annotated[
        bool, typer.Option('--install-completion', callback=_install, is_eager=True, help='Let Tab complete, in your shell.')
    ] = False,
    show_completion: Annotated[
        bool, typer.Option('--show-completion', callback=_show, is_eager=True, help='Print what makes Tab complete.')
    ] = False,
) -> None:
    """Reproducible ML pipelines: nothing runs twice, every decision is explained, everything is recorded in git."""
    del version, install_completion, show_completion
    context.current.quiet, context.current.verbose, context.current.yes = quiet, verbose, yes
    context.wait_at_most(lock_timeout)
    context.enter(directory)
    if ctx.invoked_subcommand is None:
        from mlops_cli.cli import here

        here.command()
