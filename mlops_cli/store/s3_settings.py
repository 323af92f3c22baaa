"""Whom a bucket of S3 is asked as, and where, as the variables and files of AWS say it in the plain cases.

What is not plain (roles, sessions that renew themselves, proxies, whatever else a profile may say) is left to the library that
knows all of it: then there is nothing here.
"""
from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mlops_cli.core.classes import dataclass

_USUAL_REGION = 'us-east-1'

# What these say is understood here, or changes nothing about requests to S3.
_VARIABLES = frozenset((
    'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_DEFAULT_REGION', 'AWS_REGION', 'AWS_PROFILE',
    'AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE', 'AWS_CA_BUNDLE', 'AWS_EC2_METADATA_DISABLED', 'AWS_PAGER',
    'AWS_EXECUTION_ENV', 'AWS_DEFAULT_OUTPUT', 'AWS_CLI_AUTO_PROMPT', 'AWS_SDK_LOAD_CONFIG',
))  # fmt: skip
_KEYS = frozenset(('aws_access_key_id', 'aws_secret_access_key', 'aws_session_token', 'region', 'output', 'endpoint_url',
                   'cli_pager', 'cli_auto_prompt'))
_PROXIES = ('http_proxy', 'https_proxy', 'all_proxy')
_LABEL = re.compile(r'[a-z0-9][a-z0-9-]{1,61}[a-z0-9]')
_NAME = re.compile(r'[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]')


@dataclass(frozen=True, slots=True)
class Settings:
    """``host``: with its port where that is not the usual one.  ``path``: of the bucket, with no slash at its end; ''
    where the host is the bucket's own.  ``authorities``: a file of certificates, '' for those of the system."""

    secure: bool
    host: str
    path: str
    region: str
    key: str
    secret: str
    token: str
    authorities: str = ''


def plain_settings(bucket: str, environ: Mapping[str, str]) -> Settings | None:
    """None: something here asks for more than is understood.  Raises nothing: what cannot be read is not plain either."""
    names = {name for name in environ if name.startswith('AWS_') and not name.startswith('AWS_ENDPOINT_URL')}
    if names - _VARIABLES or any(environ.get(name) or environ.get(name.upper()) for name in _PROXIES):
        return None
    profile = environ.get('AWS_PROFILE') or 'default'
    found = _profile(profile, environ)
    if found is None:
        return None
    own = _credentials(environ.get('AWS_ACCESS_KEY_ID'), environ.get('AWS_SECRET_ACCESS_KEY'), environ.get('AWS_SESSION_TOKEN'))
    own = own or _credentials(*(found.get(f'aws_{name}') for name in ('access_key_id', 'secret_access_key', 'session_token')))
    region = environ.get('AWS_DEFAULT_REGION') or found.get('region') or environ.get('AWS_REGION') or _USUAL_REGION
    endpoint = environ.get('AWS_ENDPOINT_URL_S3') or environ.get('AWS_ENDPOINT_URL') or found.get('endpoint_url') or ''
    place = _place(bucket, region, endpoint)
    if own is None or place is None:
        return None
    authorities = environ.get('AWS_CA_BUNDLE') or environ.get('REQUESTS_CA_BUNDLE') or ''
    if place[0] and not authorities and not _knows_authorities():
        return None
    return Settings(*place, region, *own, authorities)


def _credentials(key: str | None, secret: str | None, token: str | None) -> tuple[str, str, str] | None:
    return (key, secret, token or '') if key and secret else None


def _place(bucket: str, region: str, endpoint: str) -> tuple[bool, str, str] | None:
    """(whether by TLS, host, path)."""
    if not endpoint:
        simple = _LABEL.fullmatch(bucket) and '--' not in bucket and _LABEL.fullmatch(region)
        if not simple or region.startswith(('cn-', 'us-iso', 'eu-isoe')):
            return None
        return True, f'{bucket}.s3.{region}.amazonaws.com', ''
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    plain = parts.scheme in ('http', 'https') and parts.hostname and not (parts.query or parts.fragment or parts.username)
    if not plain or not _NAME.fullmatch(bucket) or not endpoint.isascii() or re.search(r'[\s%]', endpoint):
        return None
    secure = parts.scheme == 'https'
    host = parts.netloc if port != (443 if secure else 80) else parts.netloc.rpartition(':')[0]
    return secure, host, f'{parts.path.rstrip("/")}/{bucket}'


def _profile(name: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """What both files say of a profile; None where it is more than is understood."""
    found: dict[str, str] = {}
    files = (('AWS_CONFIG_FILE', '~/.aws/config', name if name == 'default' else f'profile {name}'),
             ('AWS_SHARED_CREDENTIALS_FILE', '~/.aws/credentials', name))  # fmt: skip
    for variable, usual, section in files:
        path = os.path.expanduser(environ.get(variable) or usual)
        if not os.path.isfile(path):
            continue
        values = _section(path, section)
        if values is None or values.keys() - _KEYS:
            return None
        found |= values
    return found


def _section(path: str, section: str) -> dict[str, str] | None:
    from configparser import Error, RawConfigParser

    parser: Any = RawConfigParser(default_section='\0')
    try:
        with open(path, encoding='utf-8') as file:
            parser.read_file(file)
    except (OSError, UnicodeDecodeError, Error):
        return None
    return dict(parser[section]) if parser.has_section(section) else {}


def _knows_authorities() -> bool:
    import ssl

    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or paths.capath)
