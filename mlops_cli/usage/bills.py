"""Bills of clouds, a line at a time: Cost and Usage Reports of AWS and usage exports of Databricks.

Rows in, values out; knows neither runs nor files."""
from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import LATEST
from mlops_cli.core.patterns import pattern

HOUR = 3600.0
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 1e12
_CAPITAL = pattern(r'(?<=[a-z0-9])(?=[A-Z])')
_CURRENCY = pattern(r'[A-Z]{3}')
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BillLine:
    """``start``, ``end``: seconds since 1970.  ``names``: what it is tagged with or called, the likeliest first.  ``amount``
    None: so much ``quantity`` of ``sku``, of which the bill does not say the price."""

    start: float
    end: float
    names: tuple[str, ...]
    amount: float | None
    currency: str
    quantity: float = 0.0
    sku: str = ''


@dataclass(frozen=True, slots=True)
class Format:
    """``columns``: that are read; ``line``: of a row, with the keys of the tags that count.  The latter raises ValueError."""

    name: str
    columns: Sequence[str]
    line: Callable[[Row, Sequence[str]], BillLine | None]


def format_of(columns: Sequence[str]) -> Format | None:
    """None for a table that is no bill we know."""
    known = {_plain(name): name for name in columns}
    if 'line_item_unblended_cost' in known and 'line_item_usage_start_date' in known:
        wanted = [name for plain, name in known.items() if plain in AWS or plain.startswith('resource_tags')]
        return Format('AWS Cost and Usage Report', wanted, _aws)
    if 'usage_quantity' in known and 'usage_start_time' in known and 'sku_name' in known:
        return Format('Databricks usage', [name for plain, name in known.items() if plain in DATABRICKS], _databricks)
    if {'timestamp', 'sku', 'dbus'} <= known.keys():
        return Format('Databricks usage', [name for plain, name in known.items() if plain in OLDER], _databricks_before)
    return None


AWS = ('line_item_unblended_cost', 'line_item_usage_start_date', 'line_item_usage_end_date', 'line_item_currency_code',
       'line_item_resource_id')  # fmt: skip
DATABRICKS = ('usage_start_time', 'usage_end_time', 'usage_quantity', 'sku_name', 'custom_tags', 'usage_metadata', 'list_cost',
              'currency_code')  # fmt: skip
OLDER = ('timestamp', 'sku', 'dbus', 'cluster_name', 'cluster_id', 'cluster_custom_tags', 'tags')


@lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    """``lineItem/UnblendedCost`` and ``line_item_unblended_cost`` are one; of a tag the key stays as it is."""
    start, tag, key = name.partition('user:')
    return _CAPITAL.sub('_', start).replace('/', '_').lower() + (f'user_{key}' if tag else '')


def _aws(row: Row, keys: Sequence[str]) -> BillLine | None:
    found = {_plain(name): value for name, value in row.items()}
    amount = _number(found.get('line_item_unblended_cost'))
    if amount is None:
        return None
    tags: dict[str, str] = {}
    for name, value in found.items():
        if name == 'resource_tags':
            tags |= {key.removeprefix('user_').removeprefix('user:'): text for key, text in _mapping(value).items()}
        elif name.startswith('resource_tags_user_') and value:
            tags[name.removeprefix('resource_tags_user_')] = str(value)
    start = moment(found['line_item_usage_start_date'])
    end = moment(found['line_item_usage_end_date']) if found.get('line_item_usage_end_date') else start + HOUR
    resource = str(found.get('line_item_resource_id') or '')
    names = [*_tagged(tags, keys), *([resource.rpartition('/')[2]] if resource else [])]
    return BillLine(start, max(end, start), tuple(names), amount, _currency(found.get('line_item_currency_code')))


def _databricks(row: Row, keys: Sequence[str]) -> BillLine | None:
    row = {_plain(name): value for name, value in row.items()}
    quantity = _number(row.get('usage_quantity'))
    if quantity is None:
        return None
    about = _mapping(row.get('usage_metadata'))
    names = _tagged(_mapping(row.get('custom_tags')), keys)
    names += [about[name] for name in ('cluster_id', 'job_id') if about.get(name)]
    start, amount = moment(row['usage_start_time']), _number(row.get('list_cost'))
    end = moment(row['usage_end_time']) if row.get('usage_end_time') else start + HOUR
    return BillLine(start, max(end, start), tuple(names), amount, _currency(row.get('currency_code')), quantity,
                    str(row.get('sku_name') or ''))  # fmt: skip


def _databricks_before(row: Row, keys: Sequence[str]) -> BillLine | None:
    found = {_plain(name): value for name, value in row.items()}
    quantity = _number(found.get('dbus'))
    if quantity is None:
        return None
    tags = _mapping(found.get('tags')) | _mapping(found.get('cluster_custom_tags'))
    names = [*_tagged(tags, keys), *(str(found[name]) for name in ('cluster_name', 'cluster_id') if found.get(name))]
    start = moment(found['timestamp'])
    return BillLine(start, start + HOUR, tuple(names), None, 'USD', quantity, str(found.get('sku') or ''))


def _tagged(tags: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    """By key, in the order in which these were asked for; whether in capitals or not, as AWS keeps them in one export only."""
    lower = {key.lower(): value for key, value in tags.items()}
    return [lower[key.lower()] for key in keys if lower.get(key.lower())]


def _mapping(value: Any) -> dict[str, str]:
    """Of a column that is a mapping, as JSON text, as pairs, or as such."""
    if isinstance(value, str) and value.strip().startswith('{'):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    if isinstance(value, list) and all(isinstance(one, tuple | list) and len(one) == 2 for one in value):
        value = dict(value)
    return {str(key): str(text) for key, text in value.items() if text} if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    """None where there is none.  Raises ValueError."""
    if value is None or value == '':
        return None
    found = float(value)
    if not math.isfinite(found) or abs(found) > MOST:
        raise ValueError('an amount that is no number')
    return found


def _currency(value: Any) -> str:
    text = str(value or 'USD')
    if not _CURRENCY.fullmatch(text):
        raise ValueError('a currency that is not three capital letters')
    return text


def moment(value: Any) -> float:
    """Seconds since 1970, as such a number says, or a text; without a zone it is UTC.  Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        if not isinstance(value, datetime):
            text = re.sub(r'\s*(?:UTC|GMT)\Z', '', str(value).strip())
            value = datetime.fromisoformat(text)
        found: datetime = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        seconds = (found - EPOCH).total_seconds()
    if not 0 <= seconds <= LATEST - DAY:  # an hour more of it is a time, too
        raise ValueError('a time that is none')
    return seconds
