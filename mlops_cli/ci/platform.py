"""Where a CI job runs, and its pull request's comment there: found again by its marker, and written anew.

Only the API that the platform itself names is asked, and redirects are not followed: the token goes nowhere else."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError

PAGES = 20  # of comments that are looked through
PAGE = 100
SECONDS = 30.0
ANSWER = 16 << 20  # bytes
EVENT_LIMIT = 4 << 20
LOCAL = ('localhost', '127.0.0.1', '::1')


@dataclass(frozen=True, slots=True)
class Place:
    """``list``, ``create``: addresses; ``change``: the same, to which the number of a comment is added.  ``method``: that
    changes one.  ``me``: tells whose the token is."""

    kind: Literal['github', 'gitlab']
    list: str
    create: str
    change: str
    method: str
    headers: Mapping[str, str]
    me: str


def place_of(environ: Mapping[str, str]) -> Place:
    """Raises UserError where this is no job of a pull request, or nothing may be written."""
    if environ.get('GITHUB_ACTIONS') == 'true':
        return _github(environ)
    if environ.get('GITLAB_CI') == 'true':
        return _gitlab(environ)
    raise UserError('this is no job of GitHub or GitLab', hint='without --post it is printed')


def base_of(environ: Mapping[str, str]) -> str:
    """The revision that a pull request is to change; empty where this is none."""
    if environ.get('GITHUB_ACTIONS') == 'true' and environ.get('GITHUB_BASE_REF'):
        return f'origin/{environ["GITHUB_BASE_REF"]}'
    return environ.get('CI_MERGE_REQUEST_DIFF_BASE_SHA', '') if environ.get('GITLAB_CI') == 'true' else ''


def _github(environ: Mapping[str, str]) -> Place:
    number = _event_number(environ.get('GITHUB_EVENT_PATH', ''))
    token, repository = environ.get('GITHUB_TOKEN', ''), environ.get('GITHUB_REPOSITORY', '')
    if not number:
        raise UserError('this job is of no pull request', hint='without --post it is printed')
    if not token:
        raise UserError('GITHUB_TOKEN is not set', hint='env: {GITHUB_TOKEN: ${{ github.token }}}')
    api = _api(environ.get('GITHUB_API_URL', ''))
    base = f'{api}/repos/{quote(repository)}/issues'
    headers = {'Authorization': f'Bearer {token}', 'Accept': 'application/vnd.github+json'}
    listed = f'{base}/{number}/comments'
    return Place('github', listed, listed, f'{base}/comments', 'PATCH', headers, f'{api}/user')


def _event_number(path: str) -> int:
    try:
        with open(path, 'rb') as file:
            event = json.loads(file.read(EVENT_LIMIT))
        number = event.get('number') or event['pull_request']['number']
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0
    return number if type(number) is int and number > 0 else 0


def _gitlab(environ: Mapping[str, str]) -> Place:
    number, project = environ.get('CI_MERGE_REQUEST_IID', ''), environ.get('CI_PROJECT_ID', '')
    token = environ.get('MLOPS_GITLAB_TOKEN', '')
    if not (number.isdecimal() and project.isdecimal()):
        raise UserError('this job is of no merge request', hint='without --post it is printed')
    if not token:
        raise UserError('MLOPS_GITLAB_TOKEN is not set', hint="a project's access token that may write notes (scope api)")
    api = _api(environ.get('CI_API_V4_URL', ''))
    notes = f'{api}/projects/{project}/merge_requests/{number}/notes'
    return Place('gitlab', notes, notes, notes, 'PUT', {'PRIVATE-TOKEN': token}, f'{api}/user')


def _api(url: str) -> str:
    """Raises UserError: a token travels over TLS, or not at all."""
    found = urlsplit(url)
    if found.scheme == 'https' or (found.scheme == 'http' and found.hostname in LOCAL):
        return url.rstrip('/')
    raise UserError(f'{url[:80]!r} is no address of an API', hint='the platform sets it, as https://api.github.com')


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _ask(place: Place, method: str, url: str, document: Mapping[str, Any] | None = None) -> Any:
    """Raises UserError (exit 4)."""
    data = json.dumps(document).encode() if document is not None else None
    headers = {**place.headers, 'Content-Type': 'application/json', 'User-Agent': 'mlops'}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=SECONDS) as answer:
            return json.loads(answer.read(ANSWER))
    except urllib.error.HTTPError as error:
        raise _Refused(error.code, place.kind) from error
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        why = getattr(error, 'reason', error)
        raise UserError(f'{place.kind} did not answer: {why}', hint='try again', exit_code=ExitCode.UNREACHABLE) from error


class _Refused(UserError):
    def __init__(self, status: int, kind: str) -> None:
        hint = 'the token may not write comments: permissions: {pull-requests: write}' if status in (401, 403) else 'try again'
        super().__init__(f'{kind} answered {status}', hint=hint, exit_code=ExitCode.UNREACHABLE)
        self.status = status


def _is_mine(place: Place) -> Callable[[Mapping[str, Any]], bool]:
    """Tells of a comment whether who has the token wrote it.  Of GitHub's own token nobody can ask that: it is a bot's."""
    try:
        answer = _ask(place, 'GET', place.me)
    except _Refused as refused:
        if refused.status not in (401, 403, 404):
            raise
        return lambda author: place.kind == 'github' and author.get('type') == 'Bot'
    number = answer.get('id') if isinstance(answer, dict) else None
    return lambda author: type(number) is int and author.get('id') == number


def _ours(place: Place, marker: str) -> Iterator[int]:
    """The numbers of our comments that begin with the marker.  Anybody may write such a one: whoever came first would own the
    report, and could change it later."""
    is_mine = _is_mine(place)
    for page in range(1, PAGES + 1):
        found = _ask(place, 'GET', f'{place.list}?per_page={PAGE}&page={page}')
        rows = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        for one in rows:
            author = one.get('user' if place.kind == 'github' else 'author')
            begins = isinstance(one.get('body'), str) and one['body'].startswith(marker)
            if type(one.get('id')) is int and begins and isinstance(author, dict) and is_mine(author):
                yield one['id']
        if len(rows) < PAGE:
            return


def upsert(place: Place, marker: str, body: str) -> str:
    """``updated`` or ``written``.  Raises UserError (exit 4)."""
    for number in _ours(place, marker):
        try:
            _ask(place, place.method, f'{place.change}/{number}', {'body': body})
        except _Refused as refused:
            if refused.status not in (401, 403, 404):
                raise
            continue
        return 'updated'
    _ask(place, 'POST', place.create, {'body': body})
    return 'written'
