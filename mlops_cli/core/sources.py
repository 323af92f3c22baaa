"""Which files are source, by their names: what people call code."""

from __future__ import annotations

import re

from mlops_cli.core.patterns import pattern

_ENDING = pattern(
    r'(py|pyi|pyx|pyw|ipynb|sh|bash|zsh|fish|ksh|r|rmd|qmd|jl|c|cc|cpp|cxx|h|hh|hpp|cu|cuh|go|rs|java|kt|scala|js|mjs|cjs|ts|pl'
    r'|pm|rb|lua|m|awk|sed|sql|php|cs|swift|mk|make|cmake|nim|ml|hs|clj|ps1|bat)',
    re.IGNORECASE,
)


def is_source(path: str) -> bool:
    """Whether a file is a script or source; one without an ending may be a program, and is."""
    stem, dot, ending = path.rpartition('/')[2].rpartition('.')
    return not dot or not stem or _ENDING.fullmatch(ending) is not None
