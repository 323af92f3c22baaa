"""Registered models that the command of a stage compares with: who holds an alias is part of what the stage depends on."""

from __future__ import annotations

from mlops_cli.core.patterns import pattern
from mlops_cli.pipeline.spec import Command

MODEL = r'(?P<model>[A-Za-z0-9_][\w.-]{0,99}@[A-Za-z0-9][A-Za-z0-9._-]{0,99})'  # NAME@ALIAS, as it begins FILE:KEY
_NAMED = pattern(rf'(?<![\w./@:-]){MODEL}/')
_GATE = pattern(r'\bgate\b')


def models_in(command: Command) -> tuple[str, ...]:
    """``NAME@ALIAS`` of each reference ``NAME@ALIAS/FILE:KEY`` in an ``mlops gate``, each once, in order of the names."""
    if not any('@' in word for word in command.words) or not any(_GATE.search(word) for word in command.words):
        return ()
    return tuple(sorted({found['model'] for word in command.words for found in _NAMED.finditer(word)}))
