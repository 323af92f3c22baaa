"""``mlops import``."""

from __future__ import annotations

import os
import shlex
import stat
import time
from typing import Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.bringing import bring, place, require_place
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.tracking import Desc, Licence, MaxAge, keep, refuse_absent, refuse_made, refuse_overlap, said
from mlops_cli.cli.wiring import project_relative, workbench, writing
from mlops_cli.cli.words import output
from mlops_cli.core.classes import replace
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.paths import inside
from mlops_cli.core.refs import ref_document
from mlops_cli.fsio import ops
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data, gitignore, trust
from mlops_cli.records.origin import GIT, Source, check_connection, check_url, split_git
from mlops_cli.run import importing
from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED)
SUCH_AS = 'such as mlops import https://example.org/digits.csv data/digits.csv'


def command(
    url: Annotated[
        str, options.Argument(metavar='[URL]', help='https://, s3://, git+https://...@REV#PATH, or a path. Not of a query.')
    ] = '',
    path: Annotated[str, options.Argument(metavar='[PATH]', help='Where to put it. Default: its name, here.')] = '',
    rev: Annotated[str, options.Option('--rev', metavar='REV', help='Of git: a branch, tag or commit.')] = '',
    query: Annotated[
        str, options.Option('--query', metavar='FILE', help='What this query finds; PATH ends with .csv, .jsonl, .parquet.')
    ] = '',
    connection: Annotated[
        str, options.Option('--connection', metavar='env:NAME', help='The variable that holds the address of the database.')
    ] = '',
    in_place: Annotated[
        bool, options.Option('--in-place', help='Record what is at PATH, or is linked there from URL; no copy until push.')
    ] = False,
    desc: Desc = None,
    licence: Licence = None,
    max_age: MaxAge = None,
    force: Annotated[
        bool, options.Option('--force', '-f', help='In place of what is there; it is kept under .mlops/local/rescue.')
    ] = False,
    json: options.Json = False,
) -> int:
    """Bring a file or folder from elsewhere and track it, pinned to what it is now; its record says where it came from.

    Example:  mlops import ../delivered/digits.csv data/digits.csv --licence CC0-1.0
    """
    said_of = desc, licence, max_age
    if in_place and url and path:
        with workbench() as bench, writing(bench):
            url, path = _link(bench, url, path), ''  # from here on it is as if it lay there
    with workbench() as bench, writing(bench):
        if in_place:
            return _in_place(bench, _only(url, path, '--in-place'), said_of, json)
        of_query = bool(query or connection)
        source = _query(bench, query, connection, rev) if of_query else _source(url, rev)
        path = _only(url, path, '--query q.sql') if query else path
        target = project_relative(bench.root.path, _target(source, path))
        record = said(importing.of_source(source, target), desc, licence, max_age, time.time())
        before = data.records(bench.root)
        refuse_made(bench, target)
        refuse_overlap(target, before)
        _refuse_there(bench, record, before.get(target), force)
        found = bring(bench, record, time.time()).record
        require_place(bench, found)
        kept = place(bench, found, force)
        file = data.write(bench.root, found, bench.batch)
        bench.batch.flush()
        came_from = trust.source_at(importing.place_of(bench, source))
        trust.confirm(bench.root, came_from, time.time())  # who imports from there means it
        if json:
            gitignore.cover(bench.root, [target])
            print_json({'schema': 'mlops/import/v1', **document(found, file), 'kept': list(kept)})
            return 0
        out(Line(f'  imported  {output(target, found.ref, bench.store)}, from {one_line(source.shown)}', 'done'))
        for one in kept:
            out(f'  kept      {one_line(one)}   (what stood there before; mv it back to undo)')
        keep(bench, [found], True)
    return 0


def document(record: data.Record, file: str) -> dict[str, Any]:
    said_of = {name: getattr(record, name) for name in ('desc', 'licence', 'max_age', 'checked', 'in_place')}
    source = record.source.to_json() if record.source is not None else {}
    return {**ref_document(record.path, record.ref), 'record': file, 'source': source, **said_of}


def _query(bench: Workbench, query: str, connection: str, rev: str) -> Source:
    such = 'such as mlops import --query q.sql --connection env:DSN data/table.parquet'
    if not query or rev:
        raise UserError('--rev is of a repository' if rev else '--connection is of a --query', hint=such)
    try:
        return Source(query=project_relative(bench.root.path, query), connection=check_connection(connection))
    except ValueError as error:
        raise UserError(f'--connection {error}', hint=such) from error


def _only(path: str, more: str, option: str) -> str:
    if not path or more or '://' in path:
        raise UserError(f'with {option} there is one argument, a path in the project', hint=f'mlops import {option} PATH')
    return path


def _link(bench: Workbench, word: str, path: str) -> str:
    """Has a link in the project lead to a file or folder outside it, which is followed from now on in this clone.  Where the
    link is.  Raises UserError."""
    if '://' in word:
        raise UserError('with --in-place it lies on a disk of this machine', hint='such as /mnt/share/images')
    target = os.path.realpath(os.path.expanduser(word))
    _check_outside(bench, word, target)
    link = project_relative(bench.root.path, f'{path}{os.path.basename(target)}' if path.endswith('/') else path)
    refuse_made(bench, link)
    refuse_overlap(link, data.records(bench.root))
    there = _says(bench.root.path, link)
    if there and there != target:
        raise UserError(f'{link} is a link to {there}', exit_code=ExitCode.REFUSED, hint=f'rm {shlex.quote(link)}, then again')
    if not there:
        with bench.root.parent(link, create=True) as (folder, name):
            ops.symlink(target, name, dir_fd=folder)
    trust.confirm(bench.root, trust.link_at(link, target), time.time())  # who says where it lies means it
    return os.path.join(bench.root.path, link)


def _says(project: str, link: str) -> str:
    """Where the link leads, empty where nothing is.  Raises UserError where anything else is."""
    with Root(project) as root:  # which follows none
        facts = root.stat(link)
        if facts is None:
            return ''
        if stat.S_ISLNK(facts.st_mode):
            return root.readlink(link)
    raise UserError(f'there is a {link} already', exit_code=ExitCode.REFUSED, hint='move it away, then again')


def _check_outside(bench: Workbench, word: str, target: str) -> None:
    top = os.path.realpath(bench.root.path)
    if inside(target, top):
        hint = f'mlops import --in-place {shlex.quote(word)}'
        raise UserError(f'{word} lies in the project: with --in-place there is one argument then', hint=hint)
    if inside(top, target) or target == os.sep:
        raise UserError(f'the project lies in {word}', exit_code=ExitCode.REFUSED, hint='name the folder of the data alone')
    cache = os.path.realpath(bench.config.cache)
    if inside(target, cache) or inside(cache, target):
        raise UserError(f'{word} and the cache, {bench.config.cache}, lie in each other', exit_code=ExitCode.REFUSED)
    if not os.path.exists(target):
        raise UserError(f'{word} does not exist', hint=f'ls {shlex.quote(os.path.dirname(target))}')


def _in_place(bench: Workbench, word: str, said_of: tuple[str | None, str | None, str | None], json: bool) -> int:
    """What is there is recorded, and stays the only copy."""
    from mlops_cli.run.inplace import recorded

    path = project_relative(bench.root.path, word)
    before = data.records(bench.root)
    refuse_made(bench, path)
    refuse_absent(bench, path)
    refuse_overlap(path, before)
    nothing = importing.of_source(Source(), path)
    record = said(replace(before.get(path, nothing), source=None), *said_of, time.time())
    with Progress(lambda: f'  reading   {one_line(path)}') as progress:
        progress.step()
        found = recorded(bench, record)
    file = data.write(bench.root, found, bench.batch)
    bench.batch.flush()
    if json:
        gitignore.cover(bench.root, [path])
        print_json({'schema': 'mlops/import/v1', **document(found, file), 'kept': []})
        return 0
    out(Line(f'  recorded  {output(path, found.ref, bench.store)}, in place: no copy until mlops push', 'recorded'))
    keep(bench, [found], True)
    return 0


def _source(url: str, rev: str) -> Source:
    if not url:
        raise UserError('what is to be imported?', hint=SUCH_AS)
    text = url if '://' in url else os.path.abspath(os.path.expanduser(url))
    if rev:
        try:
            repository, there, inner = split_git(text)
        except ValueError:
            repository = there = inner = ''
        if not repository.startswith(tuple(f'{scheme}://' for scheme in GIT)) or there:
            raise UserError('--rev is of a repository', hint='such as mlops import git+https://host/repo#data/x --rev v1.2')
        text = f'{repository}@{rev}#{inner}'
    try:
        return Source(url=check_url(text))
    except ValueError as error:
        hint = f'{SUCH_AS}; of a repository git+{url}@REV#PATH' if url.endswith('.git') else SUCH_AS
        raise UserError(f'the url {error}', hint=hint) from error


def _target(source: Source, path: str) -> str:
    if path and not path.endswith('/'):
        return path
    name = os.path.basename((split_git(source.url)[2] or source.url.partition('?')[0]).rstrip('/'))
    if not name or '://' in name:
        raise UserError(f'{source.url} has no name of its own', hint='say where to put it: mlops import URL PATH')
    return f'{path}{name}'


def _refuse_there(bench: Workbench, record: data.Record, old: data.Record | None, force: bool) -> None:
    """Raises UserError where something is that would be replaced."""
    if force or bench.root.stat(record.path) is None:
        return
    again = old is not None and old.source is not None and record.source is not None and old.source.url == record.source.url
    way = f'mlops update {shlex.quote(record.path)}' if again else '--force puts it in its place, and keeps what is there'
    raise UserError(f'there is a {record.path} already', exit_code=ExitCode.REFUSED, hint=way)
