"""Signatures of models as the OpenSSF has them (OMS), by its library: a bundle that any tool of that standard checks.

With keys and certificates of one's own; nothing is asked of a network."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError

EXTRA = "pip install 'mlops-cli[sign]'"
LIMIT = 64 << 20  # bytes of a bundle


@dataclass(frozen=True, slots=True)
class Scope:
    """``ignore``: paths in the model that do not count.  ``unsigned``: files that nobody signed are let be."""

    ignore: tuple[str, ...] = ()
    unsigned: bool = False


def library() -> Any:
    """Raises UserError where it is not installed."""
    try:
        import model_signing.hashing
        import model_signing.signing
        import model_signing.verifying
    except ImportError:
        raise UserError('model-signing is not installed', hint=EXTRA, exit_code=ExitCode.MACHINE) from None
    return model_signing


def sign(model: str, bundle: str, key: str, certificates: Sequence[str], password: str, scope: Scope) -> None:
    """Writes a bundle for a file or folder.  ``certificates``: of the key's own, then those up to the root; none where the key
    stands for itself.  Raises UserError."""
    found = library()
    config = found.signing.Config()
    try:
        if certificates:
            config.use_certificate_signer(
                private_key=key, signing_certificate=certificates[0], certificate_chain=list(certificates[1:])
            )
        else:
            config.use_elliptic_key_signer(private_key=key, password=password.encode() or None)  # it hands it on as it is
    except Exception as error:
        raise UserError(
            f'{key} cannot sign: {_said(error)}', hint='a key of an elliptic curve, as PEM: P-256, P-384 or P-521'
        ) from error
    try:
        config.set_hashing_config(_hashing(found, model, [*scope.ignore, bundle])).sign(Path(model), Path(bundle))
    except Exception as error:
        raise UserError(f'{model} cannot be signed: {_said(error)}', exit_code=ExitCode.FAILED) from error
    if not _resources(bundle):  # a signature of nothing would be good for any folder of ignored files
        raise UserError(f'{model} cannot be signed: there is no file in it', exit_code=ExitCode.FAILED)


def problem(model: str, bundle: str, key: str, chain: Sequence[str], scope: Scope) -> str:
    """Why a bundle does not show that who has the key, or a certificate of the chain, signed just this; empty where it does.

    Raises UserError for a key or certificate that is none."""
    found = library()
    config = found.verifying.Config()
    try:
        if chain:
            config.use_certificate_verifier(certificate_chain=list(chain))
        else:
            config.use_elliptic_key_verifier(public_key=key)
    except Exception as error:
        raise UserError(f'{key or chain[0]} is not what signatures are checked with: {_said(error)}',
                        hint='--public-key FILE or --chain FILE, as PEM') from error  # fmt: skip
    if os.path.getsize(bundle) > LIMIT:
        return f'it has more than {LIMIT >> 20} MiB'
    try:
        config.set_hashing_config(_hashing(found, model, [*scope.ignore, bundle]))
        config.set_ignore_unsigned_files(scope.unsigned).verify(Path(model), Path(bundle))
    except Exception as error:  # noqa: BLE001 -- a bundle may hold anything; whatever it makes of it, it is not good
        return _said(error)
    return ''


def _resources(bundle: str) -> int:
    with open(bundle, 'rb') as file:
        payload = json.loads(base64.b64decode(json.load(file)['dsseEnvelope']['payload']))
    return len(payload['predicate']['resources'])


def _hashing(found: Any, model: str, ignore: Sequence[str]) -> Any:
    """Paths in the model from its top; those outside are none of it."""
    top = os.path.realpath(model)
    inside = [os.path.relpath(os.path.realpath(path), top) for path in ignore]
    return found.hashing.Config().set_ignored_paths(paths=[path for path in inside if not path.startswith('..')])


def _said(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f'{text[:299]}…'
