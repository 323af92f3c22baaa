"""What a result was made under: recorded beside it, and part of no key unless ``environment:`` says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.noting import noted

if TYPE_CHECKING:
    from mlops_cli.fingerprint.closure import Found
    from mlops_cli.pipeline.spec import Environment

DRIVER = '/proc/driver/nvidia/version'
HOME_OF = {'venv': '.venv', 'uv': '.venv', 'conda': '.conda'}  # beside the file that pins what is in it
HOMES = ('HOME', 'PYTHONUSERBASE', 'PYTHONNOUSERSITE')  # they say where a user's own packages are
_DRIVER = pattern(r'\b\d+\.\d+(?:\.\d+)*\b')


def environment_of(found: Found | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """Platform, GPU driver, and, of a stage that runs Python, its version and those of the packages it imports.

    Read from disk; the interpreter is never run."""
    made: dict[str, Any] = {'platform': _platform()}
    if driver := _driver():
        made['gpu_driver'] = driver
    if found is not None and found.python:
        made['python'] = _version(found.python)
        home = tuple((name, environ[name]) for name in HOMES if environ.get(name))
        made['packages'] = dict(_packages(found.python, found.distributions, home))
    return made


def variables(environment: Environment | None, root: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of a stage's command: with the ``.venv`` beside its lock file first on PATH, if that is there; ``.conda``
    beside one of conda's.

    ``root``: absolute path of the project."""
    if environment is None or environment.image:
        return environ
    home = os.path.join(root, os.path.dirname(environment.path), HOME_OF[environment.kind])
    if not os.path.exists(noted(os.path.join(home, 'conda-meta' if environment.kind == 'conda' else 'bin/python'))):
        return environ
    path = os.path.join(home, 'bin') + os.pathsep + environ.get('PATH', os.defpath)
    return {**environ, 'PATH': path, 'CONDA_PREFIX' if environment.kind == 'conda' else 'VIRTUAL_ENV': home}


@lru_cache(1)
def _platform() -> str:
    about = os.uname()
    return f'{about.sysname} {about.machine}'


@lru_cache(1)
def _driver() -> str:
    try:
        with open(DRIVER, encoding='utf-8', errors='replace') as file:
            return driver_version(file.readline(1000))
    except OSError:
        return ''


def driver_version(line: str) -> str:
    """``550.54.15`` of what the driver says of itself; all it says where there is no such number in it."""
    text = line.strip()[:200]
    found = _DRIVER.search(text)
    return found[0] if found else text


@lru_cache(64)
def _version(python: str) -> str:
    from mlops_cli.fingerprint.interpreter import version

    return version(python) or ''


@lru_cache(256)
def _packages(python: str, modules: tuple[str, ...], home: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    from mlops_cli.fingerprint.interpreter import packages

    return tuple(sorted(packages(python, modules, dict(home)).items()))
