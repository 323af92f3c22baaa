"""Whose results are believed, and where those of this machine go: a mirror of what the policy of the bucket enforces.

A result is only somebody's word.  On the default branch only what was made there counts; a pull request may have its own, too,
and one from a fork writes none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.store.shared_results import TRUSTED, check_tier

EVENT_LIMIT = 4 << 20  # bytes of what GitHub says of an event
NOBODY = 'none'


@dataclass(frozen=True, slots=True)
class Tiers:
    """``write``: '' where nothing may be written, and ``why`` then says so."""

    read: tuple[str, ...]
    write: str
    why: str = ''


def tiers(environ: Mapping[str, str], setting: str, person: str) -> Tiers:
    """``setting``: ``cache.tier``, '' where nobody has set it.  ``person``: who this is, as git knows them."""
    if setting == NOBODY:
        return Tiers((TRUSTED,), '', 'cache.tier is none: results are only read')
    if setting:
        return _reading(setting)
    if environ.get('GITHUB_ACTIONS') == 'true':
        return _github(environ)
    if environ.get('GITLAB_CI') == 'true':
        return _gitlab(environ)
    return _reading(user_tier(person))


def _reading(write: str) -> Tiers:
    return Tiers((TRUSTED,) if write == TRUSTED else (TRUSTED, write), write)


def user_tier(person: str) -> str:
    """A name of their own for each: what is left of it where it is plain, and a few digits where that is not all."""
    plain = re.sub(r'[^a-z0-9._-]+', '-', person.lower()).strip('-._')[:40]
    if plain and plain == person:
        return check_tier(f'user/{plain}')
    return check_tier(f'user/{plain or "x"}-{digest_of(person.encode()).hex[:8]}')


def _github(environ: Mapping[str, str]) -> Tiers:
    event = _event(environ.get('GITHUB_EVENT_PATH', ''))
    name = environ.get('GITHUB_EVENT_NAME', '')
    if name.startswith('pull_request') or 'pull_request' in event:
        number = event.get('number') or _of(event, 'pull_request', 'number')
        source = _of(event, 'pull_request', 'head', 'repo', 'full_name')
        if source is None or source != environ.get('GITHUB_REPOSITORY') or type(number) is not int:
            return Tiers((TRUSTED,), '', 'a pull request from a fork: results are only read')
        return _reading(f'pr/{number}')
    default = f'refs/heads/{_of(event, "repository", "default_branch")}'
    if name in ('push', 'schedule', 'workflow_dispatch') and environ.get('GITHUB_REF') == default:
        return _reading(TRUSTED)
    return _reading(user_tier(f'branch-{environ.get("GITHUB_REF_NAME", "")}'))


def _gitlab(environ: Mapping[str, str]) -> Tiers:
    request = environ.get('CI_MERGE_REQUEST_IID', '')
    if request:
        if environ.get('CI_MERGE_REQUEST_SOURCE_PROJECT_ID') != environ.get('CI_PROJECT_ID') or not request.isdecimal():
            return Tiers((TRUSTED,), '', 'a merge request from a fork: results are only read')
        return _reading(f'pr/{request}')
    branch = environ.get('CI_COMMIT_BRANCH', '')
    if branch and branch == environ.get('CI_DEFAULT_BRANCH') and environ.get('CI_COMMIT_REF_PROTECTED') == 'true':
        return _reading(TRUSTED)
    return _reading(user_tier(f'branch-{environ.get("CI_COMMIT_REF_NAME", "")}'))


def _event(path: str) -> Mapping[str, Any]:
    """What GitHub says of the event; nothing where that cannot be read."""
    with suppress(OSError, ValueError), open(path, 'rb') as file:
        found = json.loads(file.read(EVENT_LIMIT))
        if isinstance(found, dict):
            return found
    return {}


def _of(event: Any, *names: str) -> Any:
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    return event
