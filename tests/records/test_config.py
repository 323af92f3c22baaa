"""Settings: who wins, what is refused and where, and that the page tells all of it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.core import layout
from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.fsio.paths import Root
from mlops_cli.records import config
from mlops_cli.records.config import Config, load_config, load_settings

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'configuration.md'


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project' / '.mlops').mkdir(parents=True)
    with Root(tmp_path / 'project') as opened:
        yield opened


def write(root: Root, file: str, text: str | bytes) -> str:
    path = Path(root.full(file))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def home_of(root: Root) -> str:
    return os.path.join(os.path.dirname(root.path), 'home')


def own(root: Root, text: str) -> str:
    return write(root, os.path.join(home_of(root), '.config', 'mlops', 'config.yaml'), text)


def load(root: Root, flags: dict[str, Any] | None = None, **environ: str) -> Config:
    return load_config(root, {'HOME': home_of(root), **environ}, flags)


def test_without_anything_the_defaults_count(root: Root) -> None:
    assert load(root) == Config(os.path.join(root.path, layout.CACHE), ('reflink', 'copy'), 'batch', 0, {})


def test_flag_before_variable_before_local_before_own_before_team_before_default(root: Root) -> None:
    seen = [load(root).jobs]
    for number, place in enumerate(('team', 'own', 'local'), 1):
        text = f'jobs: {number}\n'
        own(root, text) if place == 'own' else write(root, layout.CONFIG if place == 'team' else layout.CONFIG_LOCAL, text)
        seen.append(load(root).jobs)
    seen += [load(root, MLOPS_JOBS='4').jobs, load(root, {'jobs': 5}, MLOPS_JOBS='4').jobs]
    assert seen == [0, 1, 2, 3, 4, 5]


def test_prices_are_read_one_by_one_and_told_by_their_place(root: Root) -> None:
    write(root, layout.CONFIG, 'prices:\n  gpu1.example.org: {hour: 2}\n  NVIDIA L4: [{from: 2026-01-01, gpu_hour: 0.8}]\n')
    write(root, layout.CONFIG_LOCAL, 'prices:\n  gpu1.example.org: {hour: 3}\n')
    found = load(root).prices
    assert sorted(found) == ['NVIDIA L4', 'gpu1.example.org']
    assert found['gpu1.example.org'].periods[0].amounts == {'hour': 3.0}
    write(root, layout.CONFIG_LOCAL, 'prices:\n  gpu1:\n    - {hour: 3}\n    - {from: 2026-01-01, hour: x}\n  "": {hour: 1}\n')
    with pytest.raises(UserErrors) as caught:
        load(root)
    places = [(error.where.line, error.where.column) for error in caught.value.errors if error.where]
    assert places == [(4, 32), (5, 7)]


@pytest.mark.parametrize(
    ('setting', 'variable', 'text', 'value'),
    [
        ('cache.dir', 'MLOPS_CACHE_DIR', '/srv/cache', '/srv/cache'),
        ('cache.links', 'MLOPS_CACHE_LINKS', 'symlink, copy', ('symlink', 'copy')),
        ('cache.remote', 'MLOPS_CACHE_REMOTE', 'origin', 'origin'),
        ('cache.tier', 'MLOPS_CACHE_TIER', 'pr/7', 'pr/7'),
        ('durability', 'MLOPS_DURABILITY', 'full', 'full'),
        ('jobs', 'MLOPS_JOBS', '16', 16),
    ],
)
def test_every_setting_but_tokens_has_a_variable(root: Root, setting: str, variable: str, text: str, value: Any) -> None:
    assert config.VARIABLES[setting] == variable
    found = load_settings(root, {variable: text})[setting]
    assert (found.value, found.source) == (value, variable)
    assert load_settings(root, {variable: ''})[setting].source == 'default'


def test_where_each_value_comes_from(root: Root) -> None:
    write(root, layout.CONFIG, 'tokens: {licence: 2, seat: 1}\njobs: 3\n')
    mine = own(root, 'durability: none\n')
    write(root, layout.CONFIG_LOCAL, 'cache:\n  dir: ../shared\ntokens: {seat: 4}\n')
    found = load_settings(root, {'HOME': home_of(root), 'MLOPS_CACHE_LINKS': 'copy'}, {'jobs': 7})
    assert {name: (setting.value, setting.source, str(setting.where or '')) for name, setting in found.items()} == {
        'cache.dir': ('../shared', layout.CONFIG_LOCAL, f'{layout.CONFIG_LOCAL}:2:8'),
        'cache.links': (('copy',), 'MLOPS_CACHE_LINKS', ''),
        'cache.remote': ('', 'default', ''),
        'cache.tier': ('', 'default', ''),
        'durability': ('none', mine, f'{mine}:1:13'),
        'jobs': (7, 'flag', ''),
        'cache.price': ('', 'default', ''),
        'currency': ('USD', 'default', ''),
        'budgets.month': ('', 'default', ''),
        'budgets.branch': ('', 'default', ''),
        'budgets.run': ('', 'default', ''),
        'tokens.licence': (2, layout.CONFIG, f'{layout.CONFIG}:1:19'),
        'tokens.seat': (4, layout.CONFIG_LOCAL, f'{layout.CONFIG_LOCAL}:3:16'),
    }
    loaded = load(root)
    assert loaded.tokens == {'licence': 2, 'seat': 4}
    assert loaded.cache == os.path.join(os.path.dirname(root.path), 'shared')


def test_the_home_may_be_written_as_a_tilde(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/ada')
    write(root, layout.CONFIG_LOCAL, 'cache: {dir: ~/cache}\n')
    assert load(root).cache == '/home/ada/cache'


@pytest.mark.parametrize('setting', config.LOCAL_ONLY)
def test_what_could_hurt_is_refused_in_the_tracked_file_and_there_alone(root: Root, setting: str) -> None:
    value = {
        'cache.dir': '/tmp/x', 'cache.links': '[symlink]', 'cache.remote': 'origin', 'cache.tier': 'trusted',
        'durability': 'none',
    }[setting]  # fmt: skip
    outer, _, inner = setting.partition('.')
    text = f'# ours\n{outer}: {{{inner}: {value}}}\n' if inner else f'# ours\n{outer}: {value}\n'
    for place in (layout.CONFIG_LOCAL, os.path.join(home_of(root), '.config', 'mlops', 'config.yaml')):
        path = write(root, place, text)
        load(root)
        os.unlink(path)
    write(root, layout.CONFIG, text)
    with pytest.raises(UserError, match=f'{setting} may not come with a branch') as raised:
        load(root)
    assert str(raised.value.where) == f'{layout.CONFIG}:2:{9 if inner else 1}'
    assert layout.CONFIG_LOCAL in raised.value.hint


def test_a_local_file_that_git_tracks_is_nobodys_own(root: Root) -> None:
    write(root, layout.CONFIG_LOCAL, 'cache: {dir: /srv/cache}\n')
    subprocess.run(['git', 'init', '-q'], cwd=root.path, check=True)
    assert load(root).cache == '/srv/cache'
    subprocess.run(['git', 'add', '-f', layout.CONFIG_LOCAL], cwd=root.path, check=True)
    with pytest.raises(UserError, match='is tracked by git') as raised:
        load(root)
    assert (raised.value.exit_code, raised.value.hint) == (
        ExitCode.REFUSED,
        f'look at it, then: git rm --cached {layout.CONFIG_LOCAL}',
    )
    write(root, layout.CONFIG_LOCAL, 'jobs: 2\n')
    assert load(root).jobs == 2


@pytest.mark.parametrize(
    'environ', [{}, {'HOME': ''}, {'HOME': '.'}, {'XDG_CONFIG_HOME': '.config'}, {'HOME': '', 'XDG_CONFIG_HOME': 'x'}]
)
def test_without_a_home_no_folder_of_the_project_stands_in_for_it(
    root: Root, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.path)
    for folder in ('.config', '.', 'x'):
        write(root, f'{folder}/mlops/config.yaml', 'cache: {dir: /tmp/evil}\n')
    assert load_config(root, environ).cache == os.path.join(root.path, layout.CACHE)


def test_xdg_config_home_counts_if_it_is_absolute(root: Root, tmp_path: Path) -> None:
    write(root, str(tmp_path / 'xdg' / 'mlops' / 'config.yaml'), 'jobs: 9\n')
    assert load(root, XDG_CONFIG_HOME=str(tmp_path / 'xdg')).jobs == 9


WRONG = [  # (text of the file, line:column, a part of the message, a part of the hint)
    ('jobs: many', '1:7', 'is not a whole number from 0', '0 means'),
    ('jobs: -1', '1:7', 'is not a whole number', '0 means'),
    ('jobs: 1.5', '1:7', 'is not a whole number', '0 means'),
    ('jobs: true', '1:7', 'is not a whole number', '0 means'),
    ('jobs: null', '1:7', 'is not a whole number', '0 means'),
    ('jobs: [1]', '1:7', 'is not a whole number', '0 means'),
    ('jobs: 100000', '1:7', 'is not a whole number', '0 means'),
    ('jobs: "x"', '1:7', 'is not a whole number', '0 means'),
    ('durability: safe', '1:13', 'is none of batch, full, none', 'batch'),
    ('durability: 1', '1:13', 'is none of', 'batch'),
    ('\n\ndurability: ""', '3:13', 'is none of', 'batch'),
    ('cache: x', '1:8', 'cache is text, not a mapping', 'cache: {'),
    ('cache: null', '1:8', 'cache is null', 'cache: {'),
    ('cache: {dir: 5}', '1:14', 'is not the path of a folder', 'such as'),
    (f'cache: {{dir: /srv/{"x" * 256}}}', '1:14', 'too long for a path', 'such as'),
    ('cache: {dir: ""}', '1:14', 'is not the path', 'such as'),
    ('cache: {dir: null}', '1:14', 'is not the path', 'such as'),
    ('cache: {links: []}', '1:16', 'is not a list of', 'such as'),
    ('cache:\n  links: [copy, magic]', '2:10', "holds 'magic'", 'such as'),
    ('cache: {links: [copy, copy]}', '1:16', 'is not a list', 'such as'),
    ('cache: {links: 5}', '1:16', 'is not a list', 'such as'),
    ('cache: {links: [[copy]]}', '1:16', 'holds', 'such as'),
    ('cache: {folder: x}', '1:9', "unknown setting 'cache.folder'", 'did you mean cache.dir?'),
    ('cache: {dirs: x}', '1:9', 'unknown setting', 'cache.dir?'),
    ('cahce: {dir: x}', '1:1', "unknown setting 'cahce'", ''),
    ('job: 3', '1:1', "unknown setting 'job'", 'did you mean jobs?'),
    ('cache.dir: x', '1:1', "unknown setting 'cache.dir'", 'write it as cache: {dir: ...}'),
    ('remotes: s3://x', '1:10', 'remotes is text, not a mapping', 'such as remotes: {'),
    ('remotes: {o: s3://x}', '1:14', 'remotes.o is text, not a mapping', 'such as remotes: {'),
    ('remotes: {o: {}}', '1:14', 'lacks its url', 'such as'),
    ('remotes: {o: {ulr: s3://x}}', '1:14', "has no 'ulr' (did you mean url?)", 'such as'),
    ('remotes: {o: {url: 5}}', '1:14', 'has a url that is a number', 'such as'),
    ('remotes: {"a b": {url: s3://x}}', '1:18', 'is no name', 'such as'),
    ('remotes: {-o: {url: s3://x}}', '1:15', 'is no name', 'such as'),
    ('hosts: {g: {url: "ssh://-oProxyCommand=x"}}', '1:12', 'is not [user@]host', 'such as hosts'),
    ('hosts: {g: {url: "ssh://g:0"}}', '1:12', 'port that is not a number from 1', 'such as hosts'),
    ('hosts: {g: {url: true}}', '1:12', 'url that is true or false', 'such as hosts'),
    ('hosts: {g: {url: "ssh://g/../x"}}', '1:12', 'not a plain path', 'such as hosts'),
    ('hosts: {g: {url: "ssh://g\nh"}}', '1:12', 'is not [user@]host', 'such as hosts'),
    ('hosts: {g: {url: "nomad://g"}}', '1:12', 'is not ssh://', 'such as hosts'),
    ('hosts: {g: {url: "ssh://g", python: "x y"}}', '1:12', 'not the path of one', 'such as hosts'),
    ('hosts: {g: {url: "ssh://g", path: "bin"}}', '1:12', 'not folders from / or ~/ on', 'such as hosts'),
    ('tokens: 3', '1:9', 'tokens is a number', 'licence'),
    ('tokens: [a]', '1:9', 'tokens is a list', 'licence'),
    ('tokens: {a: 0}', '1:13', 'tokens.a is not a whole number above 0', 'licence'),
    ('tokens: {a: -1}', '1:13', 'above 0', 'licence'),
    ('tokens: {a: 1.5}', '1:13', 'above 0', 'licence'),
    ('tokens: {a: true}', '1:13', 'above 0', 'licence'),
    ('tokens: {a: null}', '1:13', 'above 0', 'licence'),
    ('tokens: {a: "2"}', '1:13', 'above 0', 'licence'),
    ('tokens: {a: {b: 1}}', '1:13', 'above 0', 'licence'),
    ('- jobs', '1:1', 'a config file is a mapping', 'such as'),
    ('jobs', '1:1', 'a config file is a mapping', 'such as'),
    ('jobs: 1\njobs: 2', '2:1', 'is there already', ''),
    ('jobs: [', '2:1', '', ''),
    ('jobs: !!python/object:x 1', '1:7', 'tag', ''),
    (b'jobs: \xff', '1:7', 'not UTF-8', 'UTF-8'),
    ('\tjobs: 1', '1:1', 'tab', 'spaces'),
]


@pytest.mark.parametrize(('text', 'place', 'message', 'hint'), WRONG, ids=[str(case[0]) for case in WRONG])
def test_every_wrong_value_is_told_with_its_place_and_a_hint(
    root: Root, text: str | bytes, place: str, message: str, hint: str
) -> None:
    for file in (layout.CONFIG_LOCAL, os.path.join(home_of(root), '.config', 'mlops', 'config.yaml')):
        path = write(root, file, text)
        with pytest.raises(UserError) as raised:
            load(root)
        os.unlink(path)
        error = raised.value
        assert message in error.message
        assert hint in error.hint
        assert error.exit_code == ExitCode.WRONG_INPUT
        assert error.where is not None and error.where.file == file
        if place != '2:1' or text == 'jobs: 1\njobs: 2':
            assert f'{error.where.line}:{error.where.column}' == place


def test_all_mistakes_of_all_files_are_told_at_once(root: Root) -> None:
    write(root, layout.CONFIG, 'jobs: x\ndurability: none\n')
    write(root, layout.CONFIG_LOCAL, 'tokens: {a: 0}\nnothing: 1\n')
    with pytest.raises(UserErrors) as raised:
        load(root, MLOPS_JOBS='y')
    assert [str(error.where or '') for error in raised.value.errors] == [
        f'{layout.CONFIG}:1:7',
        f'{layout.CONFIG}:2:1',
        f'{layout.CONFIG_LOCAL}:2:1',
        f'{layout.CONFIG_LOCAL}:1:13',
        '',
    ]


@pytest.mark.parametrize(
    ('variable', 'value'),
    [
        ('MLOPS_JOBS', 'many'),
        ('MLOPS_JOBS', '-1'),
        ('MLOPS_JOBS', '1.5'),
        ('MLOPS_JOBS', '²'),
        ('MLOPS_JOBS', '9' * 5000),
        ('MLOPS_DURABILITY', 'yes'),
        ('MLOPS_CACHE_LINKS', 'copy,magic'),
        ('MLOPS_CACHE_LINKS', ','),
        ('MLOPS_CACHE_DIR', ' '),
    ],
)
def test_a_wrong_variable_is_named(root: Root, variable: str, value: str) -> None:
    with pytest.raises(UserError, match=variable) as raised:
        load(root, **{variable: value})
    assert raised.value.hint


def test_a_wrong_flag_is_told(root: Root) -> None:
    with pytest.raises(UserError, match="jobs '-3' is not a whole number"):
        load(root, {'jobs': -3})


@pytest.mark.parametrize('file', [layout.CONFIG, layout.CONFIG_LOCAL])
def test_a_link_in_the_project_is_refused(root: Root, tmp_path: Path, file: str) -> None:
    (tmp_path / 'x').write_text('jobs: 1')
    os.symlink(tmp_path / 'x', root.full(file))
    with pytest.raises(UserError, match='symbolic link'):
        load(root)


def test_what_is_no_file_does_not_hang(root: Root) -> None:
    path = own(root, '')
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(UserError, match='not a file'):
        load(root)
    os.mkfifo(root.full(layout.CONFIG))
    with pytest.raises(UserError, match='not a regular file'):
        load(root)


def test_a_file_too_large_is_refused(root: Root) -> None:
    write(root, layout.CONFIG, '#' * (2 << 20))
    with pytest.raises(UserError, match='larger than'):
        load(root)


# The page


def rows(title: str) -> dict[str, list[str]]:
    part = PAGE.read_text().partition(f'## {title}\n')[2].partition('\n## ')[0]
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in part.splitlines() if line.startswith('| `')]
    return {row[0].strip('`'): row[1:] for row in cells}


def test_every_setting_is_on_the_page_with_its_default_and_whether_it_is_refused() -> None:
    table = rows('Settings')
    assert set(table) == set(config.KNOWN)
    assert {name for name, row in table.items() if row[1] == 'refused'} == set(config.LOCAL_ONLY)
    assert all(row[1] in ('refused', 'allowed', 'allowed, to be confirmed') for row in table.values())
    assert {name for name, row in table.items() if row[1].endswith('confirmed')} == {config.REMOTES, config.HOSTS}
    assert {name: row[0].strip('`') for name, row in table.items()} == {
        'cache.dir': layout.CACHE,
        'cache.links': '[reflink, copy]',
        'cache.remote': "''",
        'cache.tier': "''",
        'durability': 'batch',
        'jobs': '0',
        'cache.price': "''",
        'currency': 'USD',
        'budgets.month': "''",
        'budgets.branch': "''",
        'budgets.run': "''",
        'remotes': '{}',
        'hosts': '{}',
        'prices': '{}',
        'models': '{}',
        'tokens': '{}',
    }


def test_the_example_on_the_page_is_one(root: Root) -> None:
    example = re.search(r'```yaml\n# (\S+)\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert example
    write(root, example[1], example[2])
    assert load(root) == Config('/srv/mlops-cache', jobs=8, tokens={'licence': 2})


def test_of_thousands_of_unknown_settings_some_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / '.mlops').mkdir()
    (tmp_path / '.mlops/config.yaml').write_text(''.join(f'setting{number}: 1\n' for number in range(40_000)))
    began = time.process_time()
    with Root(tmp_path) as root, pytest.raises(UserErrors) as caught:
        load_config(root, {})
    assert len(caught.value.errors) == 100
    assert time.process_time() - began < 5
