"""``mlops storage``: what takes the space, and what is there twice."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, out_lines, print_json, say, width
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.screens import storage as screen
from mlops_cli.cli.transferring import depot_of
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import parse_size, plural, show_size
from mlops_cli.records.destinations import read_remote
from mlops_cli.run import duplicates, space
from mlops_cli.run.remotes import names_of
from mlops_cli.run.workbench import Workbench
from mlops_cli.store.bucket import Bucket

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED)
CACHE = 'cache'
LEAST = '1kB'
LIMIT = 20

app = Folder('What takes the space: show (also without a command), duplicates.', helps=False)


@app.command('show', epilog=EXITS)
def show(
    remote: Annotated[
        str, options.Option('--remote', '-r', metavar='REMOTE', help='Of this remote, instead of the cache. Asks it.')
    ] = '',
    json: options.Json = False,
) -> int:
    """What takes the space in the cache, or in a remote: by data, stage and model, now and in older versions, by age, and what
    it costs in a month where the settings cache.price and remotes.NAME.price say what a GB costs.

    Example:  mlops storage show
    """
    told = ['looking', 0]

    def tell(what: str, count: int) -> None:
        told[:] = what, count
        progress.step()

    with workbench(tolerant=True) as bench, Progress(lambda: f'  looking   {told[1]:,} {told[0]}') as progress:
        currency = bench.config.currency
        if remote:
            with depot_of(bench, remote) as (name, depot):
                found = space.of_remote(bench, depot, time.time(), tell)
                place, where, price = name, depot.where, screen.Price(bench.config.remotes[name].price, currency)
        else:
            found = space.of_cache(bench, tell)
            place, where, price = CACHE, bench.config.cache, screen.Price(bench.config.price, currency)
    if json:
        print_json({'schema': 'mlops/storage-show/v1', **screen.space_document(found, place, where, price)})
        return ExitCode.DONE
    shown = os.path.relpath(where) if place == CACHE else f'{place}, {where}'
    out_lines(list(screen.space_lines(found, shown, price, width(sys.stdout))))
    return ExitCode.DONE


app.alone = show


@app.command('duplicates', epilog=EXITS)
def find_duplicates(
    places: Annotated[
        list[str] | None,
        options.Argument(metavar='[PLACE]...', help='Remotes, URLs of buckets, folders. Default: all remotes.'),
    ] = None,
    least: Annotated[
        str, options.Option('--min-size', metavar='SIZE', help='Pass over smaller files. Default: 1kB.')
    ] = LEAST,
    limit: Annotated[int, options.Option('--limit', metavar='N', help='How many contents are told. Default: 20.')] = LIMIT,
    json: options.Json = False,
) -> int:
    """Which contents are kept more than once, in remotes, any bucket or folder, and what the copies cost. Compares contents,
    not names: what has the size of something else is read. May be broken off, and goes on where it was.

    Example:  mlops storage duplicates
    """
    try:
        smallest = parse_size(least)
    except ValueError:
        raise UserError(f'--min-size {least[:40]!r} is no size', hint='such as --min-size 10MB') from None
    told = duplicates.Told()

    def line() -> str:
        reads = f', read {show_size(told.read)} of {show_size(told.to_read)}' if told.to_read else ''
        return f'  looking   {told.listed:,} files{reads}'

    with workbench(tolerant=True) as bench, ExitStack() as stack:
        named_places = [stack.enter_context(_place(bench, word)) for word in _words(bench, places)]
        found = list({place.where: place for place in reversed(named_places)}.values())  # a remote's folder is that remote
        with Progress(line) as progress:
            told.step = progress.step
            outcome = duplicates.search(bench.root, found, smallest, max(0, limit), told)
        named = names_of(bench, [copy.content for group in outcome.groups for copy in group.copies if copy.content])
        for group in outcome.groups:
            group.copies = [copy._replace(key=named.get(copy.content, copy.key)) for copy in group.copies]
        currency = bench.config.currency
    if json:
        print_json({'schema': 'mlops/storage-duplicates/v1', **screen.duplicate_document(outcome, currency, told.changed)})
        return ExitCode.DONE
    out_lines(list(screen.duplicate_lines(outcome, currency, context.current.verbose)))
    if told.changed:
        say(Line(f'note: {plural(told.changed, "file")} went or changed meanwhile, and count no more', 'note:'))
    return ExitCode.DONE


def _words(bench: Workbench, places: Sequence[str] | None) -> list[str]:
    if places:
        return list(dict.fromkeys(places))
    if not bench.config.remotes:
        raise UserError('this project has no remote', hint='name what to look at: mlops storage duplicates s3://BUCKET FOLDER')
    return sorted(bench.config.remotes)


@contextmanager
def _place(bench: Workbench, word: str) -> Iterator[duplicates.Place]:
    """A remote, a URL or a folder."""
    if word in bench.config.remotes:
        with depot_of(bench, word) as (name, depot):
            yield duplicates.Place(name, depot.where, depot, bench.config.remotes[name].price)
        return
    bucket = _bucket(bench, word)
    try:
        yield duplicates.Place(word, bucket.where, bucket, _price_of(bench, bucket.where))
    finally:
        bucket.close()


def _bucket(bench: Workbench, word: str) -> Bucket:
    from mlops_cli.store.remote import open_bucket

    url = word if '://' in word else os.path.abspath(os.path.expanduser(word))
    if '://' not in word and not os.path.isdir(url):
        there = ', '.join(sorted(bench.config.remotes))
        remotes = f'there are the remotes {there}' if there else 'there is no remote'
        raise UserError(f'{word}: no remote and no folder', hint=f'{remotes}; or a URL, or the path of a folder')
    try:
        return open_bucket(read_remote({'url': url}).url)
    except ValueError as error:
        raise UserError(f'{word} {error}', hint='s3://BUCKET/PREFIX, or the path of a folder') from error


def _price_of(bench: Workbench, where: str) -> float | None:
    """As the remote that this lies in, or beside which it lies in the same bucket."""
    host = '/'.join(where.split('/')[:3])
    prices = {one.price for one in bench.config.remotes.values() if '/'.join(one.url.split('/')[:3]) == host}
    return prices.pop() if len(prices) == 1 and '://' in where else None
