"""``mlops models register``, ``get``, ``verify``: models in, out, and looked through."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, say, width
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.transferring import RemoteName
from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import show_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.models import Person, Version
    from mlops_cli.run.workbench import Workbench

MODEL = 'NAME; NAME@v3, NAME@latest, NAME@prod, or NAME@ and the beginning of a digest.'
Model = Annotated[str, options.Argument(metavar='MODEL', help=MODEL)]
Message = Annotated[str, options.Option('--message', '-m', metavar='TEXT', help='Why, for whoever reads the history.')]
Sign = Annotated[bool, options.Option('--sign', help='Sign it with the key that git signs with (user.signingKey).')]
Key = Annotated[str, options.Option('--key', metavar='FILE', help='Sign it with this ssh key.')]


def register_commands(app: Folder) -> None:
    app.command('register', epilog=exits.line(ExitCode.REFUSED, failed='a gate had failed'))(register)
    app.command('get', epilog=exits.line(ExitCode.REFUSED, ExitCode.UNREACHABLE, failed='it is damaged, or a gate fails'))(get)
    app.command('verify', epilog=exits.line(ExitCode.REFUSED, failed='something is damaged, or against the policy'))(verify)


def person(root: Root) -> Person:
    """Who acts, as git's settings have it."""
    from mlops_cli.records.models import Person
    from mlops_cli.run.person import email, who

    return Person(who(root.path), email(root.path), os.uname().nodename[:100])


def signer(root: Root, sign: bool, key: str) -> Callable[[bytes], str] | None:
    """None where nothing is to be signed."""
    if not sign and not key:
        return None
    from mlops_cli.registry.signing import signature_of

    return lambda data: signature_of(data, key, root.path)


def keep_line() -> None:
    from mlops_cli import git

    if git.top('.') is not None:
        out(context.keep_it(project_folder(), layout.ROOT))


def register(
    name: Annotated[
        str,
        options.Argument(
            metavar='[MODEL|STAGE]', help='Which. Default: the only stage that has model:.', show_default=False
        ),
    ] = '',
    message: Message = '',
    sign: Sign = False,
    key: Key = '',
    json: options.Json = False,
) -> int:
    """Make what a stage with model: has made a version of that model, with all that is known about how it came to be.

    Example:  mlops models register -m "first with the new labels"
    """
    from mlops_cli.cli.model_documents import row
    from mlops_cli.cli.wiring import workbench, writing
    from mlops_cli.core.clock import iso
    from mlops_cli.records.model_files import Models
    from mlops_cli.registry.register import chosen
    from mlops_cli.registry.register import register as write

    with workbench() as bench:
        stage = chosen(bench, name)
        with writing(bench, 'mlops models register'):
            who = person(bench.root)
            done = write(bench, stage, who, iso(time.time()), bench.redact(message), signer(bench.root, sign, key))
            bench.batch.close()
        version = done.version
        model = Models(bench.root).all[version.name]
        if json:
            facts = {'new': done.new, 'file': version.file}
            print_json({'schema': 'mlops/models-register/v1', **row(model, version), **facts})
            return 0
    about = f'{one_line(version.path)}, {show_size(version.ref.size)}' + _numbers(version)
    if not done.new:
        out(Line(f'  unchanged {version.name} {version.label} is this very model ({version.when[:10]}, {version.who.name})'))
        return 0
    out(Line(f'  done      {version.name} {version.label}   {about}', 'done'))
    out(f'            {version.file}')
    keep_line()
    return 0


def _numbers(version: Version) -> str:
    from mlops_cli.cli.model_documents import metrics_of
    from mlops_cli.core.units import show_number

    return ''.join(f', {one_line(name)} {show_number(value)}' for name, value in list(metrics_of(version).items())[:3])


def get(
    model: Model,
    folder: Annotated[str, options.Argument(metavar='DIR', help='Where it goes; made if it is not there.')],
    remote: RemoteName = '',
    json: options.Json = False,
) -> int:
    """Put a model into a folder, once its bytes, its signature and, by an alias, the policy have been checked.

    Example:  mlops models get digits@v1 serving
    """
    from mlops_cli.cli.wiring import workbench, writing
    from mlops_cli.records.model_names import resolve
    from mlops_cli.registry.checking import require_held, require_result, require_signed
    from mlops_cli.registry.getting import place, target_of

    here = os.getcwd()
    with workbench(tolerant=True) as bench:
        named = resolve(bench.root, model)
        version = named.version
        for note in named.notes:
            say(Line(f'note: {note}', 'note:'))
        if named.promotion is not None:
            require_held(bench.root, named, time.time())
        signed = require_signed(bench.root, version)
        require_result(bench, version)
        folder = os.path.join(here, folder)
        target_of(version, folder)
        with writing(bench, 'mlops models get'):
            _bring(bench, version, remote)
            path = place(bench, version, folder)
    if json:
        print_json({
            'schema': 'mlops/models-get/v1', 'model': version.name, 'version': version.label, 'id': version.id,
            'alias': named.alias, 'path': path, 'digest': str(version.ref.digest), 'sha256': version.sha256,
            'size': version.ref.size, 'signed': bool(signed),
        })  # fmt: skip
        return 0
    said = f', {signed}' if signed else ''
    out(Line(f'  placed    {named.shown}   {one_line(path)}, {show_size(version.ref.size)}', 'placed'))
    out(f'            sha256 {version.sha256[:16]}... as registered by {one_line(version.who.name)}{one_line(said)}')
    return 0


def _bring(bench: Workbench, version: Version, remote: str) -> None:
    """From a remote what is not in this cache.  Raises UserError where nobody has it."""
    if not bench.store.missing([version.ref]):
        return
    if not bench.config.remotes:
        raise UserError(
            f'{version.name} {version.label} is not in this cache, and the project has no remote',
            hint='who registered it has it: mlops remote add, mlops push there',
            exit_code=ExitCode.FAILED,
        )
    from mlops_cli.cli.routing import Routing, depot_or
    from mlops_cli.cli.transferring import Transfer, depot_of
    from mlops_cli.store import transfer

    with depot_of(bench, remote) as (name, depot):
        moving = Transfer('fetching', 'fetched', name, depot)
        with moving as told:
            for other, part in Routing(bench, name, bool(remote)).split([(version.path, version.ref)]):
                with depot_or(bench, other, name, depot) as there:
                    transfer.fetch(bench.store, there, part, told)
        bench.batch.flush()
    if told.missing or bench.store.missing([version.ref]):
        raise UserError(
            f'{version.name} {version.label} is neither in this cache nor in {name}',
            hint=f'who registered it sends it: mlops push --remote {name}',
            exit_code=ExitCode.FAILED,
        )


def verify(
    names: Annotated[
        list[str] | None, options.Argument(metavar='[MODEL]...', help='Models; with --signature one, or a path. Default: all.')
    ] = None,
    signature: Annotated[
        str,
        options.Option('--signature', metavar='FILE', help='Check this signature, of models sign or another tool of OMS.'),
    ] = '',
    public_key: Annotated[str, options.Option('--public-key', metavar='FILE', help='Whose it has to be, as PEM.')] = '',
    chain: Annotated[
        list[str] | None, options.Option('--chain', metavar='FILE', help='A certificate that is trusted. May be repeated.')
    ] = None,
    ignore: Annotated[
        list[str] | None, options.Option('--ignore', metavar='PATH', help='In the model, and no part of it. May be repeated.')
    ] = None,
    ignore_unsigned: Annotated[bool, options.Option('--ignore-unsigned', help='Let files be that nobody signed.')] = False,
    json: options.Json = False,
) -> int:
    """Check every file about models, what they refer to, signatures, policies, and the bytes of those that are here.

    Example:  mlops models verify
    """
    if signature:
        from mlops_cli.cli.commands.models_sign import verify as check

        if len(names or ()) != 1:
            raise UserError('a signature is of one model', hint='mlops models verify NAME@v3 --signature FILE')
        return check((names or [''])[0], signature, public_key, chain or (), ignore or (), ignore_unsigned, json)
    if public_key or chain or ignore or ignore_unsigned:
        raise UserError('--public-key, --chain and --ignore are of a signature', hint='--signature FILE')
    from mlops_cli.cli.screens.models import finding_lines
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.records.model_files import Models
    from mlops_cli.records.model_names import find
    from mlops_cli.registry.checking import verify as look

    with workbench(tolerant=True) as bench:
        models = Models(bench.root)
        chosen = [find(models, name.partition('@')[0]).name for name in dict.fromkeys(names or ())]
        found = list(look(bench, models, chosen, time.time()))
        count = sum(len(models.all[name].versions) for name in (chosen or models.all))
    if json:
        rows: list[dict[str, Any]] = [
            {'model': one.model, 'where': one.where, 'problem': one.problem, 'bad': one.bad, 'missing': one.missing}
            for one in found
        ]
        print_json({'schema': 'mlops/models-verify/v1', 'checked': count, 'rows': rows})
    else:
        out_lines(finding_lines(found, count, width(sys.stdout)))
    return ExitCode.FAILED if any(one.bad for one in found) else ExitCode.DONE
