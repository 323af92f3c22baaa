"""Registered models that the command of a stage compares with: who holds an alias is part of what the stage depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.patterns import pattern
from mlops_cli.pipeline.spec import Command

MODEL = r'(?P<model>[A-Za-z0-9_][\w.-]{0,99}@[A-Za-z0-9][A-Za-z0-9._-]{0,99})'  # NAME@ALIAS, as it begins FILE:KEY
_NAMED = pattern(rf'(?<![\w./@:]){MODEL}/')
_GATE = pattern(r'\bgate\b')
_BRACKET = pattern(r'\[([0-9]+)\]')
_QUOTES = str.maketrans('', '', '"\'\\')
_HINTS = 100  # names that are told where what is named is not there


def models_in(command: Command) -> tuple[str, ...]:
    """``NAME@ALIAS`` of each reference ``NAME@ALIAS/FILE:KEY`` in an ``mlops gate``, each once, in order of the names."""
    if not any('@' in word for word in command.words) or not any(_GATE.search(word) for word in command.words):
        return ()
    return tuple(sorted({found['model'] for word in command.words for found in _NAMED.finditer(word)}))


def told_of(command: Command, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a model, less the metrics that the command does not name: an environment variable holds 128 KiB.

    More than is named may be left, never less; and of a file or key that is not there, some of those that are, for hints."""
    metrics = told.get('metrics')
    if not isinstance(metrics, Mapping):
        return dict(told)
    parts = [part for word in command.words for part in _bare(word).split(f'{name}/')[1:]]
    named = {file: numbers for file, numbers in metrics.items() if any(_names(part, file) for part in parts)}
    if not named:
        return {**told, 'metrics': {file: {} for file in list(metrics)[:_HINTS]}}
    return {**told, 'metrics': {file: _numbers(parts, file, numbers) for file, numbers in named.items()}}


def _bare(text: str) -> str:
    """Without what shells and gates quote with, and with positions as names: in the same way here and there."""
    return _BRACKET.sub(r'.\1', text.translate(_QUOTES))


def _names(part: str, file: str) -> bool:
    """Whether what follows on ``NAME@ALIAS/`` begins with ``FILE:``, or with what a shell may make that of."""
    called = part.partition(':')[0]
    return _made_by_shell(called) or re.fullmatch('[^/]*'.join(map(re.escape, called.split('*'))), _bare(file)) is not None


def _numbers(parts: list[str], file: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    keys = [part.partition(':')[2] for part in parts if _names(part, file)]
    if any(_made_by_shell(key.split(maxsplit=1)[0]) for key in keys if key.strip()):
        return dict(numbers)
    found = {key: value for key, value in numbers.items() if any(_bare(key) in one for one in keys)}
    return found or dict(list(numbers.items())[:_HINTS])


def _made_by_shell(text: str) -> bool:
    return '$' in text or '`' in text
