"""Where tracked data came from, as its record says it: a url or a query, and what was said of its state there.

What stands here may come with a branch, and so from anybody; nothing here connects to anything."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern

HTTP = ('https', 'http')
GIT = ('git+https', 'git+ssh', 'git+file', 'git+http')
# What fsspec reads that lies elsewhere; of these s3 comes with mlops-cli[remotes], the others with packages of their own.
STORES = (
    *('s3', 's3a', 'gs', 'gcs', 'az', 'abfs', 'abfss', 'adl', 'oss', 'oci', 'hf', 'hdfs', 'webhdfs'),
    *('sftp', 'ssh', 'smb', 'gdrive', 'dropbox', 'box', 'lakefs', 'dbfs'),
)
SCHEMES = (*HTTP, *GIT, *STORES, 'file')
PINS = ('etag', 'modified', 'version', 'listing', 'commit', 'text')
SAID = 4096  # bytes of what a server says of its state
_LONGEST = 2048  # characters
_URL = pattern(r'(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<path>[/?#].*)?')
_ADDRESS = pattern(r'\[[0-9A-Fa-f:.]{2,45}\]')
_USER = pattern(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}')
_HOST = pattern(r'(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?')
_REVISION = pattern(r'[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}')
_SECRET = pattern(
    r'(?i)[?&;](?:x-(?:amz|goog)-[a-z-]+|sig|signature|token|access_?token|auth|key|api_?key|secret|passw(?:or)?d|pwd|'
    r'client_secret|awsaccesskeyid|credential)='
)
_CONNECTION = pattern(r'env:[A-Za-z_][A-Za-z0-9_]{0,127}')


@dataclass(frozen=True, slots=True)
class Source:
    """Either ``url``, or ``query``: the file of a query in the project, and ``connection``: ``env:NAME`` of the variable that
    says where, empty for none.  ``pins``: what the source said of its state when this was brought."""

    url: str = ''
    query: str = ''
    connection: str = ''
    pins: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        found = {'url': self.url, 'query': self.query, 'connection': self.connection, **self.pins}
        return {name: value for name, value in found.items() if value}

    @property
    def shown(self) -> str:
        return self.url or f'the query {self.query}' + (f' over {self.connection}' if self.connection else '')

    @property
    def place(self) -> str:
        """What a person who confirms a source says yes to: the host, bucket, repository or folder, or one query as it is."""
        if self.query:
            return f'{self.shown}, text {self.pins.get("text", "")[:16]}'
        scheme, host, rest = parts(self.url)
        if scheme in GIT:
            return split_git(self.url)[0]
        return f'{scheme}://{rest}' if scheme == 'file' else f'{scheme}://{host}'


@dataclass(frozen=True, slots=True)
class GitPlace:
    """``repository``: as git takes it.  ``revision`` empty: the branch that it is on."""

    repository: str
    revision: str
    path: str


def parts(url: str) -> tuple[str, str, str]:
    """(scheme, host, path with what follows).  Raises ValueError."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f'is {url[:80]!r}, which is neither SCHEME://... nor the path of a file or folder')
    return found['scheme'], found['host'], found['path'] or ''


def split_git(url: str) -> tuple[str, str, str]:
    """``git+https://host/repo@rev#path`` as (git+https://host/repo, rev, path).  Raises ValueError."""
    before, hash_, path = url.partition('#')
    scheme, host, rest = parts(before)
    rest, _, revision = rest.partition('@')
    return f'{scheme}://{host}{rest}', revision, path.removeprefix('path=') if hash_ else ''


def git_place(url: str) -> GitPlace:
    """Raises ValueError for what is none that may be given to git."""
    repository, revision, path = split_git(url)
    if revision and (not _REVISION.fullmatch(revision) or '..' in revision or revision.endswith(('.lock', '/', '.'))):
        raise ValueError(f'names the revision {revision[:80]!r}, which is no name of a branch, tag or commit')
    if not path:
        raise ValueError(f'does not say what of the repository: {url}#PATH')
    return GitPlace(repository.removeprefix('git+'), revision, path)


def check_url(text: str) -> str:
    """The address as it is recorded: an absolute path becomes ``file://``.

    Raises ValueError, whose text follows on ``the url``, for what could be misread, leads to no place that is known, or tells
    a secret to all who have the record."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text) or not 0 < len(text) <= _LONGEST:
        raise ValueError('is not one line of text')
    if text.startswith('/'):
        text = f'file://{text}'
    if '\\' in text or '::' in _ADDRESS.sub('', text):  # fsspec would read a chain
        raise ValueError('has a backslash or "::" in it')
    scheme, host, rest = parts(text)
    if scheme not in SCHEMES:
        raise ValueError(f'begins with {scheme[:20]}:// ({did_you_mean(scheme, SCHEMES, what="there are")})')
    _refuse_secrets(text, scheme, host)
    if scheme in ('file', 'git+file'):
        if host or not rest.startswith('/') or '..' in rest.split('/'):
            raise ValueError(f'is of a file, and not {scheme}:///PATH')
    elif not _HOST.fullmatch(host.rpartition('@')[2]):
        raise ValueError('has no host or bucket that is one')
    if ' ' in text and scheme not in ('file', 'git+file', *STORES):
        raise ValueError('has a blank in it: write %20')
    if scheme in GIT:
        git_place(text)
    elif scheme in HTTP and '#' in text:
        raise ValueError('has a # in it, which no server is told')
    if scheme == 'file':
        text = f'file://{os.path.normpath(rest)}'
    return text


def _refuse_secrets(text: str, scheme: str, host: str) -> None:
    from mlops_cli.core.secrets import looks_secret

    user, at, _ = host.rpartition('@')
    if ':' in user or (at and scheme not in ('git+ssh', 'ssh', 'sftp', 'abfs', 'abfss')):
        raise ValueError('holds a user name or password, which would be recorded: leave it out')
    if at and not _USER.fullmatch(user):
        raise ValueError('has a user name that is none')
    if what := looks_secret(text):
        raise ValueError(f'holds {what}, which would be recorded: leave it out')
    if scheme not in ('file', 'git+file') and (found := _SECRET.search(text)):
        raise ValueError(f'holds {found[0][1:-1]}, which looks like a secret and would be recorded: give an address without it')


def check_connection(text: str) -> str:
    """Raises ValueError."""
    if text and not _CONNECTION.fullmatch(text):
        raise ValueError('is not env:NAME, the name of a variable that holds the address of the database')
    return text


def read_source(value: Any) -> Source:
    """What a record holds.  Raises ValueError, whose text follows on ``its source``."""
    if not isinstance(value, dict):
        raise ValueError('is no mapping')
    texts = {name: value[name] for name in ('url', 'query', 'connection', *PINS) if name in value}
    for name, text in texts.items():
        if not isinstance(text, str) or len(text) > SAID or re.search(r'[\x00-\x1f\x7f]', text):
            raise ValueError(f'has a {name} that is not one line of text')
    pins = {name: text for name, text in texts.items() if name in PINS}
    if 'query' in texts:
        from mlops_cli.core.paths import check_path

        return Source(query=check_path(texts['query']), connection=check_connection(texts.get('connection', '')), pins=pins)
    if 'url' not in texts:
        raise ValueError('has neither url nor query')
    try:
        return Source(url=check_url(texts['url']), pins=pins)
    except ValueError as error:
        raise ValueError(f'has a url that {error}') from error
