"""``mlops cost``: what machines cost."""

from __future__ import annotations

import os
import sys
import time

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import out_lines, print_json, width
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.screens.config import origin
from mlops_cli.cli.screens.cost_prices import Entry, price_lines, price_rows
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import ExitCode
from mlops_cli.fsio.paths import Root
from mlops_cli.records.config import HOSTS, PRICES, Setting, load_settings
from mlops_cli.usage.prices import is_stale

app = Folder('What machines cost: prices.')


@app.command('prices', epilog=exits.line(ExitCode.REFUSED))
def prices(json: options.Json = False) -> int:
    """The prices that count today, since when, and where each is written; with -v also earlier ones and those to come.

    Example:  mlops cost prices
    """
    with Root(project_folder()) as root:
        found = load_settings(root, os.environ)
    today, currency = iso(time.time())[:10], str(found['currency'].value)
    named = {name.removeprefix(f'{PRICES}.'): one for name, one in sorted(found.items()) if name.startswith(f'{PRICES}.')}
    entries = [entry for name, setting in named.items() for entry in _entries(name, setting, today, currency)]
    hosts = [name.removeprefix(f'{HOSTS}.') for name in sorted(found) if name.startswith(f'{HOSTS}.')]
    unpriced = [name for name in hosts if name not in named]
    if json:
        rows = price_rows(entries)
        print_json({'schema': 'mlops/cost-prices/v1', 'currency': currency, 'rows': rows, 'unpriced': unpriced})
    else:
        out_lines(price_lines(entries, unpriced, today, width(sys.stdout), context.current.verbose))
    return ExitCode.DONE


def _entries(name: str, setting: Setting, today: str, currency: str) -> list[Entry]:
    counts = setting.value.on(today)
    where = setting.where
    assert where is not None  # no variable and no option says prices
    return [
        Entry(name, price, price.currency or currency, price is counts, is_stale(price, today), origin(setting), where.file,
              where.line)
        for price in setting.value.periods
    ]  # fmt: skip
