"""Settings: flag, MLOPS_* variable, config.local.yaml, the user's own config, config.yaml, default; the first that has one.

What could hurt is refused in the tracked file: it comes with a branch, and so from anybody (docs/configuration.md).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.errors import ExitCode, UserError, UserErrors, Where
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.scalars import kind
from mlops_cli.fsio.atomic import read_file

if TYPE_CHECKING:  # and what reads YAML, remotes and hosts is loaded where a file has some
    from mlops_cli.core.document import Document
    from mlops_cli.fsio.durable import Durability
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.destinations import Host, Remote
    from mlops_cli.records.policies import ModelPolicies
    from mlops_cli.store.materialise import LinkMode
    from mlops_cli.usage.prices import Prices

LINKS: tuple[LinkMode, ...] = ('reflink', 'copy', 'hardlink', 'symlink')
DURABILITIES: tuple[Durability, ...] = ('batch', 'full', 'none')
TOKENS = 'tokens'
REMOTES, HOSTS, PRICES, MODELS = 'remotes', 'hosts', 'prices', 'models'
NAMED = (TOKENS, REMOTES, HOSTS, PRICES, MODELS)  # mappings from names that the user gives
LOCAL_ONLY = ('cache.dir', 'cache.links', 'cache.remote', 'cache.tier', 'durability')  # refused in what git tracks
TRACKED_ONLY = (MODELS,)  # what a person could set for themselves would bind nobody
VARIABLES = {
    'cache.dir': 'MLOPS_CACHE_DIR',
    'cache.links': 'MLOPS_CACHE_LINKS',
    'cache.remote': 'MLOPS_CACHE_REMOTE',
    'cache.tier': 'MLOPS_CACHE_TIER',
    'durability': 'MLOPS_DURABILITY',
    'jobs': 'MLOPS_JOBS',
}
LIMIT = 1 << 20
PATH_LIMIT, NAME_LIMIT = 3900, 255  # bytes: what Linux takes, less what lies in a cache
JOBS_LIMIT = 10_000
MISTAKES = 100  # that are told
DEFAULTS: Mapping[str, Any] = {
    'cache.dir': layout.CACHE,
    'cache.links': ('reflink', 'copy'),
    'cache.remote': '',
    'cache.tier': '',
    'durability': 'batch',
    'jobs': 0,
    'cache.price': '',
    'currency': 'USD',
    'budgets.month': '',
    'budgets.branch': '',
    'budgets.run': '',
}


@dataclass(frozen=True, slots=True)
class Config:
    """``cache``: absolute path.  ``links``: ways to bring an object into the workspace, first that works.
    ``tokens``: name -> how many there are.  ``jobs`` 0: as many as processors.  ``remotes``, ``hosts``: some may have come
    with a branch; before one is used, trust.py is asked.  ``cache_remote``: where a run looks results up, '' for nowhere;
    ``cache_tier``: whose those are that this machine sends, '' for what follows from where it is.  ``price``: of a GB of the
    cache for a month, in ``currency``.  ``prices``: of machines and GPUs, by name.  ``budgets``: of
    a month, a branch, a run, as far as there are."""

    cache: str
    links: tuple[LinkMode, ...] = ('reflink', 'copy')
    durability: Durability = 'batch'
    jobs: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    remotes: Mapping[str, Remote] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    cache_remote: str = ''
    cache_tier: str = ''
    price: float | None = None
    currency: str = 'USD'
    prices: Mapping[str, Prices] = field(default_factory=dict)
    budgets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it comes from.  ``source``: ``default``, ``flag``, a variable's name, or a file's path."""

    name: str
    value: Any
    source: str
    where: Where | None = None

    @property
    def came_by_git(self) -> bool:
        return self.source == layout.CONFIG

    @property
    def leads_out(self) -> bool:
        """Whether it names something outside this machine or project, to which things would be sent."""
        return self.name.partition('.')[0] in (REMOTES, HOSTS)


def _cache_dir(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or '\0' in value:
        raise ValueError('is not the path of a folder')
    if len(os.fsencode(value)) > PATH_LIMIT or any(len(os.fsencode(name)) > NAME_LIMIT for name in value.split('/')):
        raise ValueError(f'is too long for a path: {NAME_LIMIT} bytes a name, {PATH_LIMIT:,} in all')
    return value


def _links(value: Any) -> tuple[LinkMode, ...]:
    words = value.replace(',', ' ').split() if isinstance(value, str) else value
    if not isinstance(words, list) or not words or len(set(map(str, words))) != len(words):
        raise ValueError(f'is not a list of {", ".join(LINKS)}')
    links = tuple(link for word in words for link in LINKS if link == word)
    if len(links) != len(words):
        wrong = next(str(word) for word in words if word not in LINKS)
        raise ValueError(f'holds {wrong[:40]!r}, which is none of {", ".join(LINKS)}')
    return links


def _durability(value: Any) -> Durability:
    for word in DURABILITIES:
        if value == word:
            return word
    raise ValueError(f'is none of {", ".join(DURABILITIES)}')


def _jobs(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= JOBS_LIMIT:
        raise ValueError(f'is not a whole number from 0 to {JOBS_LIMIT:,}')
    return number


def _price(value: Any) -> float | None:
    from mlops_cli.records.destinations import read_price

    return read_price(value)


def _currency(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 3 or not (value.isascii() and value.isalpha() and value.isupper()):
        raise ValueError('is not three capital letters')
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError('is not a whole number above 0')
    return value


def _remote(value: Any) -> Remote:
    from mlops_cli.records.destinations import read_remote

    return read_remote(value)


def _remote_name(value: Any) -> str:
    from mlops_cli.records.destinations import check_name

    if not isinstance(value, str):
        raise ValueError('is not the name of a remote')
    if value:
        check_name(value)
    return value


def _tier(value: Any) -> str:
    from mlops_cli.store.shared_results import check_tier

    if not isinstance(value, str):
        raise ValueError('is none of trusted, pr/NUMBER, user/NAME, none')
    return value if value in ('', 'none') else check_tier(value)


def _host(value: Any) -> Host:
    from mlops_cli.records.destinations import read_host

    return read_host(value)


def _prices(value: Any) -> Prices:
    from mlops_cli.usage.prices import read_prices

    return read_prices(value)


def _policies(value: Any) -> ModelPolicies:
    from mlops_cli.records.policies import read_policies

    return read_policies(value)


# Setting -> (what a value means, or ValueError; what to do about a wrong one).
READERS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    'cache.dir': (_cache_dir, 'such as cache: {dir: /srv/mlops-cache}'),
    'cache.links': (_links, 'such as cache: {links: [reflink, copy]}'),
    'cache.remote': (_remote_name, 'such as cache: {remote: origin}'),
    'cache.tier': (_tier, 'such as cache: {tier: trusted}'),
    'durability': (_durability, 'batch is safe and quick'),
    'jobs': (_jobs, '0 means as many as there are processors'),
    'cache.price': (_price, 'of a GB for a month, such as cache: {price: 0.08}'),
    'currency': (_currency, 'such as EUR'),
    'budgets.month': (_price, 'such as budgets: {month: 500}'),
    'budgets.branch': (_price, 'such as budgets: {branch: 100}'),
    'budgets.run': (_price, 'such as budgets: {run: 20}'),
    TOKENS: (_count, 'such as tokens: {licence: 2}'),
    REMOTES: (_remote, 'such as remotes: {origin: {url: s3://bucket/prefix}}'),
    HOSTS: (_host, 'such as hosts: {gpu1: {url: ssh://ada@gpu1.example.org}}'),
    PRICES: (_prices, 'such as prices: {gpu1: [{from: 2026-01-01, hour: 2.10}]}'),
    MODELS: (_policies, 'such as models: {digits: {prod: {approvals: 1}}}'),
}
KNOWN = tuple(READERS)


def load_config(root: Root, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Config:
    """Reads what there is.  ``flags``: setting -> value of the command line.

    Raises UserErrors naming file, line and column of everything that is wrong, or the variable; OSError."""
    found = load_settings(root, environ, flags)
    values = {name: setting.value for name, setting in found.items()}

    def named(outer: str) -> dict[str, Any]:
        return {name.removeprefix(f'{outer}.'): value for name, value in values.items() if name.startswith(f'{outer}.')}

    return Config(
        os.path.normpath(os.path.join(root.path, os.path.expanduser(values['cache.dir']))),
        values['cache.links'],
        values['durability'],
        values['jobs'],
        named(TOKENS),
        named(REMOTES),
        named(HOSTS),
        values['cache.remote'],
        values['cache.tier'],
        values['cache.price'] if values['cache.price'] != '' else None,
        values['currency'],
        named(PRICES),
        {name: float(value) for name, value in named('budgets').items() if value != ''},
    )


def load_settings(root: Root, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> dict[str, Setting]:
    """Every setting with where its value comes from; tokens, remotes, hosts and prices one by one, as ``tokens.<name>``.

    Raises as load_config."""
    return {name: found[0] for name, found in load_origins(root, environ, flags).items()}


def load_origins(
    root: Root | None, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> dict[str, tuple[Setting, ...]]:
    """Every setting with all the values it is given, the one that counts first, the default last.  ``root`` None: outside a
    project.  Raises as load_config."""
    found: dict[str, list[Setting]] = {name: [Setting(name, value, 'default')] for name, value in DEFAULTS.items()}
    errors: list[UserError] = []
    for file, tracked in files(environ):
        if root is None and not os.path.isabs(file):
            continue
        data = read_config_file(root, file)
        if data is not None:
            for setting in of_file(root, data, file, tracked, errors):
                found.setdefault(setting.name, []).insert(0, setting)
    outside = [(name, environ[variable], variable) for name, variable in VARIABLES.items() if environ.get(variable)]
    outside += [(name, value, 'flag') for name, value in (flags or {}).items()]
    for name, value, source in outside:
        try:
            found[name].insert(0, Setting(name, READERS[name][0](value), source))
        except ValueError as error:
            shown = source if source in VARIABLES.values() else name
            errors.append(UserError(f'{shown} {str(value)[:80]!r} {error}', hint=READERS[name][1]))
    if errors:
        raise errors[0] if len(errors) == 1 else UserErrors(errors)
    return {name: tuple(settings) for name, settings in found.items()}


def files(environ: Mapping[str, str]) -> Iterable[tuple[str, bool]]:
    """(file, whether it comes with the project), the weakest first."""
    yield layout.CONFIG, True
    home = environ.get('HOME', '')
    own = environ.get('XDG_CONFIG_HOME', '')
    if not os.path.isabs(own):
        own = os.path.join(home, '.config')
    if os.path.isabs(own):  # else it would be a folder of the project
        yield os.path.join(own, 'mlops', 'config.yaml'), False
    yield layout.CONFIG_LOCAL, False


def read_config_file(root: Root | None, file: str) -> bytes | None:
    """A file of the project is read without following links; the user's own is the user's own.  None: there is none.

    Raises UserError for what is no file, OSError."""
    try:
        if root is not None and not os.path.isabs(file):
            return read_file(root, file, LIMIT)
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with open(fd, 'rb') as opened:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UserError('not a file', where=Where(file), hint='put a file there, or nothing')
        return opened.read(LIMIT + 1)


def of_file(root: Root | None, data: bytes, file: str, tracked: bool, errors: list[UserError]) -> list[Setting]:
    """The settings in a file's text; what is wrong with it goes into ``errors``.  ``tracked``: it comes with the project."""
    from mlops_cli.yamlfile import read

    try:
        document = read(data, file)
    except UserErrors as error:
        errors += error.errors
        return []
    if document.value is not None and not isinstance(document.value, dict):
        problem = 'a config file is a mapping of names to values'
        errors.append(UserError(problem, where=document.where(), hint='such as jobs: 4'))
        return []
    found: list[Setting] = []
    for path, value in _leaves(document, errors):
        name = '.'.join(path)
        where = document.where(path)
        reader, hint = READERS[path[0] if path[0] in NAMED else name]
        if name in LOCAL_ONLY and tracked:
            where = document.where(path, key=True)
            hint = f'write it to {layout.CONFIG_LOCAL}, which git ignores'
            errors.append(UserError(f'{name} may not come with a branch', where=where, hint=hint))
            continue
        if path[0] in TRACKED_ONLY and not tracked:
            hint = f'write it to {layout.CONFIG}, which git tracks'
            errors.append(UserError(f'{path[0]} are for the whole team', where=document.where((path[0],), key=True), hint=hint))
            continue
        try:
            _check_name(*path)
            found.append(Setting(name, reader(value), file, where))
        except ValueError as error:
            where = document.where((*path, *getattr(error, 'inside', ())))
            errors.append(UserError(f'{name} {error}', where=where, hint=hint))
    own = [setting for setting in found if setting.name in LOCAL_ONLY or setting.leads_out]
    if root is not None and file == layout.CONFIG_LOCAL and own:
        _refuse_tracked(root, file, errors)
    return found


def _check_name(group: str, name: str = '') -> None:
    """Raises ValueError for what nothing of that group can be called."""
    if group in (REMOTES, HOSTS):
        from mlops_cli.records.destinations import check_name

        check_name(name)
    elif group == PRICES:
        from mlops_cli.usage.prices import check_name as check_priced

        check_priced(name)
    elif group == MODELS:
        from mlops_cli.records.policies import check_name as check_model

        check_model(name)


def _refuse_tracked(root: Root, file: str, errors: list[UserError]) -> None:
    """A branch may bring this file too, for all that it is ignored; then it is nobody's own."""
    from mlops_cli import git

    if git.tracked(root.path, [file]):
        errors.append(
            UserError(
                f'{file} is tracked by git, and so comes with a branch',
                where=Where(file),
                hint=f'look at it, then: git rm --cached {file}',
                exit_code=ExitCode.REFUSED,
            )
        )


def _leaves(document: Document, errors: list[UserError]) -> list[tuple[tuple[str, ...], Any]]:
    """(names that lead to it, value) of each known setting of a file."""
    groups = {name.partition('.')[0] for name in KNOWN if '.' in name} | {*NAMED}
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in (document.value or {}).items():
        if len(errors) >= MISTAKES:
            break  # who looks for what was meant takes time
        if name in groups and isinstance(value, dict):
            found += [((name, inner), leaf) for inner, leaf in value.items() if _known(document, (name, inner), errors)]
        elif name in groups:
            errors.append(
                UserError(
                    f'{name} is {kind(value)}, not a mapping',
                    where=document.where((name,)),
                    hint=next(hint for known, (_, hint) in READERS.items() if known.partition('.')[0] == name),
                )
            )
        elif _known(document, (name,), errors):
            found.append(((name,), value))
    return found


def _known(document: Document, path: tuple[str, ...], errors: list[UserError]) -> bool:
    name = '.'.join(path)
    if (path[0] in NAMED and len(path) == 2) or (name in KNOWN and len(path) == name.count('.') + 1):
        return True
    outer, _, inner = name.partition('.')
    hint = f'write it as {outer}: {{{inner}: ...}}' if name in KNOWN else did_you_mean(name, KNOWN, what='settings are')
    errors.append(UserError(f'unknown setting {name[:80]!r}', where=document.where(path, key=True), hint=hint))
    return False
