"""What a stage is told of the registered models that its gates name: the version that counts for its key, and no other."""

from __future__ import annotations

from typing import Any

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_names import is_alias, resolve


def told(root: Root, name: str) -> tuple[Any, dict[str, Any]]:
    """(what of it counts, None where there is none; what the stage's gates are told) of ``NAME@ALIAS``.  What is in doubt is
    told as well: it ends a gate, and not the command that plans."""
    try:
        named = resolve(root, name)
    except UserError as error:
        if error.exit_code == ExitCode.WRONG_INPUT and is_alias(name.partition('@')[2]):
            return None, {'absent': error.message, 'hint': error.hint or ''}
        said = {'problem': error.message, 'exit': int(error.exit_code), 'hint': error.hint or ''}
        return {'problem': error.message}, said
    said = {'version': named.shown, 'metrics': named.version.numbers}
    if left_out := named.version.left_out.get('metrics'):
        said['left_out'] = left_out
    return f'v{named.version.number} {named.version.digest}', said
