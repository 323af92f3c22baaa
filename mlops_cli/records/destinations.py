"""Where a project may send things and run them: remotes and hosts, as config files name them.  Connects to nothing.

What stands here may come with a branch, and so from anybody: see trust.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import INTERPRETER, pattern
from mlops_cli.core.scalars import kind
from mlops_cli.core.secrets import looks_secret

SCHEMES = ('s3', 'gs', 'az', 'ssh', 'https', 'file')
_NAME = pattern(r'[A-Za-z0-9][A-Za-z0-9_-]{0,62}')
# Neither begins with a hyphen: a program that is given one must not take it for an option.
_URL = pattern(r'(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/]*)(?P<path>/?.*)')
_ADDRESS = pattern(r'(?:[A-Za-z0-9_][\w.-]{0,63}@)?(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])')
_LONGEST = 2048  # characters
ENGINES = ('ssh', 'slurm', 'ray', 'k8s')
_SUBMIT = pattern(r'--[a-z-]+(?:=[A-Za-z0-9_.,:@%+*/()&|\[\]-]+)?')
# Neither what runs a program, such as --wrap, nor what is ours to say, such as --output.
SUBMIT = (
    '--partition', '--account', '--qos', '--constraint', '--prefer', '--reservation', '--nodelist', '--exclude', '--exclusive',
    '--oversubscribe', '--time', '--mem', '--mem-per-cpu', '--mem-per-gpu', '--cpus-per-task', '--cpus-per-gpu', '--gres',
    '--gres-flags', '--licenses', '--tmp', '--nice', '--priority', '--wckey', '--no-requeue', '--hint', '--threads-per-core',
    '--switches', '--contiguous', '--mail-type', '--mail-user',
)  # fmt: skip
HOST_FOLDER = '.mlops-host'  # below the home, where a host names no folder


@dataclass(frozen=True, slots=True)
class Remote:
    """``url``: ``s3://bucket/prefix``, ``gs://``, ``az://``, ``ssh://host/folder``, ``https://``, ``file:///folder``, or the
    absolute path of a folder.  ``python``: with ssh, the interpreter to start there; empty: one of the usual names.
    ``price``: of a GB for a month."""

    url: str
    desc: str = ''
    python: str = ''
    price: float | None = None

    def to_json(self) -> dict[str, Any]:
        found = {'url': self.url, 'desc': self.desc, 'python': self.python, 'price': self.price}
        return {name: value for name, value in found.items() if value not in ('', None)}

    @property
    def leads_to(self) -> str:
        return self.url + (f', with {self.python} there' if self.python else '')


@dataclass(frozen=True, slots=True)
class Host:
    """``url``: ``ssh://[user@]host[:port][/folder]``; the host may be a name that the user's own ssh configuration knows, the
    folder is the one to work in there.  With ``slurm://`` that is where jobs are handed in, and without a host this machine.
    With ``ray://`` it is the same, but that the port is the one of Ray's dashboard there.
    ``k8s://[context]/[namespace]/claim[/folder]`` is a folder of a PersistentVolumeClaim in Kubernetes.
    ``python``: the interpreter to start there; empty: one of the usual names.  ``path``: folders there, with colons between, in
    which stages' programs are looked for first.  ``submit``: words for sbatch, or of what pods are to be (core/kube.py)."""

    url: str
    desc: str = ''
    python: str = ''
    path: str = ''
    submit: str = ''

    def to_json(self) -> dict[str, Any]:
        found = {'url': self.url, 'desc': self.desc, 'python': self.python, 'path': self.path, 'submit': self.submit}
        return {name: value for name, value in found.items() if value}

    @property
    def place(self) -> str:
        """The url with the folder that is worked in."""
        return self.url if '/' in self.url.partition('://')[2] else f'{self.url}/~/{HOST_FOLDER}'

    @property
    def words(self) -> tuple[str, ...]:
        """What whoever starts jobs there is told of each."""
        if self.url.startswith('ray://'):
            port = re.search(r':(\d{1,5})\Z', self.url.partition('://')[2].partition('/')[0])
            return (f'--port={port[1]}',) if port else ()
        return tuple(self.submit.split())

    @property
    def leads_to(self) -> str:
        there = [one for one in (self.python, self.path, self.submit) if one]
        return self.url + (f', with {" and ".join(there)} there' if there else '')


Destination = Remote | Host


def check_name(name: str) -> str:
    """Raises ValueError for what no remote or host can be called."""
    if not _NAME.fullmatch(name):
        raise ValueError('is no name: letters, digits, - and _, a letter or digit in front')
    return name


def read_remote(value: Any) -> Remote:
    """Raises ValueError."""
    found = _entry(value, {'url': str, 'desc': str, 'python': str, 'price': (int, float, str)}, 'url')
    python = found.get('python', '')
    if _line(python, 'python') and not (INTERPRETER.fullmatch(python) and found['url'].startswith('ssh://')):
        raise ValueError('has a python that is not the path of one on a host of ssh://')
    try:
        price = read_price(found['price']) if 'price' in found else None
    except ValueError as error:
        raise ValueError(f'has a price that {error}') from None
    return Remote(_url(found['url']), _line(found.get('desc', ''), 'desc'), python, price)


def read_price(value: Any) -> float:
    """Of a GB for a month: a number, also as text.  Raises ValueError."""
    try:
        price = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        price = -1.0
    if not 0 <= price < 1e9:
        raise ValueError('is not a number from 0 on')
    return price


def read_host(value: Any) -> Host:
    """Raises ValueError."""
    found = _entry(value, {'url': str, 'desc': str, 'python': str, 'path': str, 'submit': str}, 'url')
    path = _line(found.get('path', ''), 'path')
    if not all(one.startswith(('/', '~/')) for one in path.split(':') if path):
        raise ValueError('has a path that is not folders from / or ~/ on, with colons between')
    url, python = _line(found['url'], 'url').rstrip('/'), _line(found.get('python', ''), 'python')
    parts = _URL.fullmatch(url)
    if parts is None or parts['scheme'] not in ENGINES:
        raise ValueError('has a url that is not ssh://[user@]host[:port][/folder], slurm:// or ray:// with the same, or k8s://')
    if python and not INTERPRETER.fullmatch(python):
        raise ValueError('has a python that is not the path of one there')
    if parts['scheme'] == 'k8s':
        from mlops_cli.core import kube  # seldom needed

        kube.read_url(url)
        submit = _line(found.get('submit', ''), 'submit')
        kube.read_words(submit)
        return Host(url, _line(found.get('desc', ''), 'desc'), python, path, ' '.join(submit.split()))
    named = re.sub(r':\d{1,5}\Z', '', parts['host']) if parts['scheme'] == 'ray' else parts['host']
    here = parts['scheme'] != 'ssh' and not named
    if here and not parts['path'].strip('/~'):
        raise ValueError('has a url without a folder, as slurm:///shared/ada/mlops: one that the nodes have, too')
    port = re.search(r':(\d{1,5})\Z', parts['host'])
    if not here and not _ADDRESS.fullmatch(parts['host'].removesuffix(port[0] if port else '')):
        raise ValueError('has a url whose host is not [user@]host[:port]')
    if port and not 0 < int(port[1]) < 65536:
        raise ValueError('has a port that is not a number from 1 to 65535')
    if '..' in parts['path'].split('/'):
        raise ValueError('has a folder that is not a plain path')
    return Host(url, _line(found.get('desc', ''), 'desc'), python, path, _submit(found.get('submit', ''), parts['scheme']))


def _submit(text: str, scheme: str) -> str:
    """Words for sbatch.  Raises ValueError for those that do more than to say where a job goes, and what it may have: they may
    come with a branch."""
    if text and scheme != 'slurm':
        raise ValueError('has submit, which only hosts with slurm:// and k8s:// have')
    for word in _line(text, 'submit').split():
        name = word.partition('=')[0]
        if not _SUBMIT.fullmatch(word) or name not in SUBMIT:
            near = did_you_mean(name, SUBMIT, what='there may be')
            raise ValueError(f'has {word[:80]!r} in submit, which may not stand there, or lacks = before its value ({near})')
    return ' '.join(text.split())


def _entry(value: Any, types: Mapping[str, type | tuple[type, ...]], required: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f'is {kind(value)}, not a mapping')
    for name, inner in value.items():
        if name not in types:
            raise ValueError(f'has no {str(name)[:80]!r} ({did_you_mean(str(name), types, what="there are")})')
        if not isinstance(inner, types[name]) or isinstance(inner, bool):
            raise ValueError(f'has a {name} that is {kind(inner)}')
    if required not in value:
        raise ValueError(f'lacks its {required}')
    return value


def _line(text: str, what: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in text) or len(text) > _LONGEST:
        raise ValueError(f'has a {what} that is not one line of text')
    if kind_of := looks_secret(text.removeprefix('k8s://')):  # its contexts may be like ml/host:6443/user@org
        raise ValueError(f'has a {what} that holds {kind_of}: keep it out of files')
    return text


def _url(text: str) -> str:
    """The address as it is; raises ValueError for what could be misread, or tells a secret to all who have the file."""
    _line(text, 'url')
    if text.startswith('/') and '..' not in text.split('/'):
        return text
    found = _URL.fullmatch(text)
    if found is not None and ' ' in text:
        plain = ': name the folder by its path alone' if found['scheme'] == 'file' else ''
        raise ValueError(f'has the url {text[:80]!r}, and a url has no spaces{plain}')
    if found is None:
        raise ValueError(f'has the url {text[:80]!r}, which is neither SCHEME://... nor the absolute path of a folder')
    if found['scheme'] not in SCHEMES:
        known = did_you_mean(found['scheme'], SCHEMES, what='there are')
        raise ValueError(f'has a url with {found["scheme"][:20]}:// ({known})')
    if found['scheme'] == 'file':
        if found['host'] or not found['path'].startswith('/'):
            raise ValueError('has a url of a file that is not file:///folder')
    elif not found['host'] or found['host'].startswith('-') or '@-' in found['host']:
        raise ValueError('has a url without a host or bucket')
    if found['scheme'] == 'ssh' and not _ADDRESS.fullmatch(re.sub(r':\d{1,5}\Z', '', found['host'])):
        raise ValueError('has a url whose host is not [user@]host[:port]')
    if found['scheme'] == 'ssh' and not found['path'].strip('/'):
        raise ValueError('has a url without a folder, as ssh://host/data/store or, below the home, ssh://host/~/store')
    return text
