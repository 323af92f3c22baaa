"""Takes prices out of a list into the price book of the project; what was there stays as it was."""

from __future__ import annotations

import io
import os
import stat
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, say, width
from mlops_cli.cli.screens.cost_prices import words
from mlops_cli.cli.tables import Column, table
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import UserError
from mlops_cli.core.units import plural
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.records import config_edit
from mlops_cli.records.config import PRICES, of_file, read_config_file
from mlops_cli.records.files import prepare_folders
from mlops_cli.usage.catalogue import Catalogue, Listed, NoCatalogue, chosen, filled, merged, names, read_catalogue
from mlops_cli.usage.prices import Price, check_name, read_prices
from mlops_cli.yamlfile import read

SIZE_LIMIT = 256 << 20  # bytes of a list
MOST = 100  # entries that are taken at once
WAIT_SECONDS = 10.0
SHOWN = 30
GPUHUNT = 'python -m gpuhunt PROVIDER --output FILE writes a catalogue (pip install gpuhunt)'


@dataclass(frozen=True, slots=True)
class Wish:
    """``file``: a CSV, or a zip with one.  ``types``, ``locations``: globs, of what is taken.  ``name``: what the one that fits
    is to be called, '' for its own name."""

    file: str
    types: Sequence[str] = ()
    locations: Sequence[str] = ()
    name: str = ''
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """``price``: as it is written; ``left``: which amounts of before count no more."""

    name: str
    how: str
    listed: Listed
    price: Mapping[str, Any]
    left: Sequence[str]


def take_prices(root: Root, wish: Wish, json: bool) -> int:
    """Raises UserError for a list that is none, or where too much or nothing fits; OSError."""
    today = iso(time.time())[:10]
    found = _read(wish.file, today)
    for line, why in found.wrong[:3]:
        say(Line(f'note: {one_line(wish.file)}:{line} is left out: {one_line(why)}', 'note:'))
    if len(found.wrong) > 3:
        say(Line(f'note: {plural(len(found.wrong) - 3, "more row")} left out, too', 'note:'))
    wanted = _wanted(chosen(found.listed, wish.types, wish.locations), wish)
    if wish.dry_run:
        _, done = _added(read_config_file(root, layout.CONFIG) or b'', wanted)
    else:
        prepare_folders(root)
        with LockFile(layout.LOCKS, root=root) as locks, locks.holding('config', timeout=WAIT_SECONDS):
            data, done = _added(read_config_file(root, layout.CONFIG) or b'', wanted)
            errors: list[UserError] = []
            of_file(root, data, layout.CONFIG, True, errors)
            if errors:
                raise errors[0]
            write_file(root, layout.CONFIG, data)
    _tell(done, wish.dry_run, json)
    return 0


def _read(file: str, today: str) -> Catalogue:
    try:
        facts = os.stat(file)
        if not stat.S_ISREG(facts.st_mode):  # which might never end
            raise UserError(f'{file} is no regular file', hint='name a CSV, or a zip with one')
        if facts.st_size > SIZE_LIMIT:
            raise UserError(f'{file} has more than {SIZE_LIMIT >> 20} MiB', hint='cut it down to what is needed')
        with open(file, 'rb') as opened:
            data = opened.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror}', hint=GPUHUNT) from error
    if data[:4] == b'PK\x03\x04':
        data = _unpacked(file, data)
    try:
        return read_catalogue(io.StringIO(data.decode('utf-8-sig', 'replace'), newline=''), os.path.basename(file)[:120], today)
    except NoCatalogue as error:
        raise UserError(f'{file} {error}', hint=f'its first row is to name them; {GPUHUNT}') from error


def _unpacked(file: str, data: bytes) -> bytes:
    """The one table in an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            tables = [one for one in archive.infolist() if one.filename.endswith('.csv')]
            if len(tables) != 1 or tables[0].file_size > SIZE_LIMIT:
                raise UserError(f'{file} holds {plural(len(tables), "table")}, or too large a one', hint='name a CSV')
            with archive.open(tables[0]) as opened:
                return opened.read(SIZE_LIMIT + 1)
    except UserError:
        raise
    except Exception as error:  # each way of packing has errors of its own
        raise UserError(f'{file} is a damaged archive: {error}', hint='fetch it again') from error


def _wanted(found: Sequence[Listed], wish: Wish) -> dict[str, list[Listed]]:
    if not found:
        raise UserError(f'nothing in {wish.file} fits', hint='--type and --location take globs, such as p5.*')
    if wish.name:
        if len({(one.type, one.location) for one in found}) != 1:
            some = ', '.join(f'{one.type} {one.location}' for one in found[:4])
            hint = f'say which with --type and --location: {some}, ...'
            raise UserError(f'--as names one, and {len(found):,} fit', hint=hint)
        try:
            return {check_name(wish.name): [*found]}
        except ValueError as error:
            hint = 'the name of a host, or what a GPU calls itself'
            raise UserError(f'--as {wish.name[:80]!r} {error}', hint=hint) from error
    if len(found) > MOST:
        hint = 'say which with --type and --location, such as --type "p5.*" --location us-east-1'
        raise UserError(f'{len(found):,} prices fit, and more than {MOST} are not taken at once', hint=hint)
    return names(found)


def _added(data: bytes, wanted: dict[str, list[Listed]]) -> tuple[bytes, list[Taken]]:
    done = []
    currency = _currency(data)
    for name, many in wanted.items():
        for listed in many:
            before = _prices(data, name)
            price, left = filled(before, listed.price, currency)
            rows, how = merged(before, price)
            data = config_edit.with_value(data, layout.CONFIG, (PRICES, name), rows)
            done.append(Taken(name, how, listed, price, left))
    return data, done


def _currency(data: bytes) -> str:
    value = read(data, layout.CONFIG).value
    found = value.get('currency') if isinstance(value, dict) else None
    return found if isinstance(found, str) else 'USD'


def _prices(data: bytes, name: str) -> Sequence[Price]:
    """What the file says of a name so far.  Raises UserErrors for a file that is no YAML."""
    value = read(data, layout.CONFIG).value
    prices = value.get(PRICES) if isinstance(value, dict) else None
    found = prices.get(name) if isinstance(prices, dict) else None
    try:
        return read_prices(found).periods if found is not None else ()
    except ValueError as error:
        raise UserError(f'{layout.CONFIG}: {PRICES}.{name} {error}', hint='mend it first') from error


def _tell(done: Sequence[Taken], dry_run: bool, json: bool) -> None:
    for one in done:
        if one.left:
            was = f'{one.name}: {", ".join(one.left)} of before count no more from {one.price.get("from")} on'
            say(Line(f'note: {one_line(was)}: they are in another currency', 'note:'))
    if json:
        rows = [{'name': one.name, 'how': one.how, 'type': one.listed.type, 'location': one.listed.location or None,
                 'price': dict(one.price)}
                for one in done]  # fmt: skip
        print_json({'schema': 'mlops/cost-prices-import/v1', 'written': not dry_run, 'file': layout.CONFIG, 'rows': rows})
        return
    head = (Column('HOW'), Column('OF', least=12), Column('PRICE', least=20))
    shown = [(one.how, one_line(one.name), words(read_prices(dict(one.price)).periods[0], str(one.price.get('currency', ''))))
             for one in done[:SHOWN]]  # fmt: skip
    out_lines([Line(text) for text in table(head, shown, width(sys.stdout))])
    if len(done) > SHOWN:
        out(Line(f'  and {len(done) - SHOWN:,} more'))
    out(Line(f'  {"would write" if dry_run else "wrote"}  {layout.CONFIG}, {plural(len(done), "price")}'))
