"""``mlops models sign``, and ``models verify --signature``: OpenSSF's signatures of models."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.folder import Folder
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError

Subject = Annotated[
    str, options.Argument(metavar='MODEL|PATH', help='NAME@v3 or NAME@prod of a registered model; or a file or folder.')
]
Ignored = Annotated[
    list[str] | None, options.Option('--ignore', metavar='PATH', help='In the model, and no part of it. May be repeated.')
]


def register_commands(app: Folder) -> None:
    app.command('sign', epilog=exits.line(ExitCode.REFUSED, failed='it cannot be signed as it is'))(sign)


def sign(
    model: Subject,
    key: Annotated[str, options.Option('--key', metavar='FILE', help='A private key of an elliptic curve, as PEM.')] = '',
    certificate: Annotated[
        str,
        options.Option('--certificate', metavar='FILE', help='The certificate of the key. Default: the key stands for itself.'),
    ] = '',
    chain: Annotated[
        list[str] | None,
        options.Option('--chain', metavar='FILE', help='A certificate above it, up to the root. May be repeated.'),
    ] = None,
    output: Annotated[str, options.Option('--output', '-o', metavar='FILE', help='Where the signature goes.')] = 'model.sig',
    ignore: Ignored = None,
    json: options.Json = False,
) -> int:
    """Sign a model as the OpenSSF has it (OMS), so that tools of others can check it. Needs mlops-cli[sign].

    Example:  mlops models sign digits@v1 --key key.pem -o digits.sig
    """
    from mlops_cli.registry import openssf

    if not key:
        raise UserError('with which key?', hint='--key FILE: openssl ecparam -name prime256v1 -genkey -noout -out key.pem')
    if chain and not certificate:
        raise UserError('--chain is of a certificate', hint='--certificate FILE, the one of the key')
    here = os.getcwd()
    bundle, files = os.path.join(here, output), [os.path.join(here, one) for one in (key, certificate, *(chain or ())) if one]
    _require_files(files)
    if os.path.isdir(bundle):
        raise UserError(f'{output} is a folder', hint='name a file')
    with standing(model, here) as stood:
        ignored = tuple(os.path.join(stood.base, one) for one in ignore or ())
        password = os.environ.get('MLOPS_SIGN_PASSWORD', '')
        with tempfile.TemporaryDirectory(prefix='.mlops-sign-', dir=os.path.dirname(bundle)) as folder:
            made = os.path.join(folder, 'bundle')
            openssf.sign(stood.path, made, files[0], files[1:], password, openssf.Scope((*ignored, bundle, folder)))
            os.replace(made, bundle)
    if json:
        print_json({
            'schema': 'mlops/models-sign/v1', 'model': stood.shown, 'sha256': stood.sha256 or None, 'file': output,
            'method': 'certificate' if certificate else 'key',
        })  # fmt: skip
    else:
        out(Line(f'  signed    {one_line(stood.shown)}   {one_line(output)}', 'done'))
    return ExitCode.DONE


def verify(
    model: str, signature: str, key: str, chain: Sequence[str], ignore: Sequence[str], unsigned: bool, as_json: bool
) -> int:
    """Whether a bundle is of just this model, by just this key or chain.  Raises UserError."""
    from mlops_cli.registry import openssf

    if bool(key) == bool(chain):
        raise UserError(
            'a signature is checked with a public key, or with certificates', hint='--public-key FILE, or --chain FILE'
        )
    here = os.getcwd()
    files = [os.path.join(here, one) for one in (signature, *filter(None, [key]), *chain)]
    _require_files(files)
    with standing(model, here) as stood:
        scope = openssf.Scope(tuple(os.path.join(stood.base, one) for one in ignore), unsigned)
        why = openssf.problem(stood.path, files[0], files[1] if key else '', files[1:] if chain else (), scope)
    if as_json:
        row = {'model': stood.shown, 'where': signature, 'problem': why, 'bad': True, 'missing': False}
        print_json({'schema': 'mlops/models-verify/v1', 'checked': 1, 'rows': [row] if why else []})
    elif why:
        out(
            Line(
                f'FAILED    {one_line(stood.shown)}: the signature {one_line(signature)} is not good: {one_line(why)}', 'FAILED'
            )
        )
    else:
        out(Line(f'  good      {one_line(stood.shown)}: signed, every file of it', 'done'))
    return ExitCode.FAILED if why else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Standing:
    """A model as a file or folder.  ``base``: what paths in it are relative to.  ``sha256``: of a registered one."""

    path: str
    shown: str
    base: str
    sha256: str = ''


@contextmanager
def standing(model: str, here: str) -> Iterator[Standing]:
    """``model``: a path, or a registered one, which is placed somewhere for that time, checked as for ``get``."""
    path = os.path.join(here, model)
    if os.path.lexists(path):
        yield Standing(path, model, here)
        return
    from mlops_cli.cli.wiring import workbench, writing
    from mlops_cli.records.model_names import resolve
    from mlops_cli.registry.getting import place

    with workbench(tolerant=True) as bench:
        named = resolve(bench.root, model)
        with tempfile.TemporaryDirectory(prefix='mlops-model-') as folder:
            with writing(bench, 'mlops models sign'):
                placed = place(bench, named.version, os.path.join(folder, 'model'))
            yield Standing(placed, named.shown, placed, named.version.sha256)


def _require_files(files: Sequence[str]) -> None:
    for path in files:
        if not os.path.isfile(path):
            raise UserError(f'{path} is no file', hint='name one that is there')
