"""``mlops cost``: what machines and runs cost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, out, out_lines, print_json, say, width
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.pictures import Html, Svg, asked, write_charts, write_page
from mlops_cli.cli.problems import tell_problems
from mlops_cli.cli.screens.config import origin
from mlops_cli.cli.screens.cost_prices import Entry, price_lines, price_rows
from mlops_cli.cli.screens.cost_report import csv_text, last_documents, model_lines, report_lines, report_rows
from mlops_cli.cli.when import moment
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.experiments.ledger import Ledger, ledger
from mlops_cli.fsio.paths import Root
from mlops_cli.records.config import HOSTS, PRICES, Setting, load_config, load_settings
from mlops_cli.records.costs import book_of
from mlops_cli.records.history import Problem, problem_of
from mlops_cli.records.runs import Runs
from mlops_cli.usage.prices import is_stale

if TYPE_CHECKING:
    from mlops_cli.experiments.model_costs import ModelCost
    from mlops_cli.records.runs import Run
    from mlops_cli.usage.prices import Book

app = Folder('What stages cost: report (also without a command), prices, advise.', helps=False)


class By(StrEnum):
    STAGE = 'stage'
    RUN = 'run'
    BRANCH = 'branch'
    USER = 'user'
    MONTH = 'month'
    HOST = 'host'
    MODEL = 'model'


Since = Annotated[str | None, options.Option('--since', metavar='WHEN', help='Not before: 2026-11-20, 2h, 3d, 1w, today.')]


Bill = Annotated[str, options.Option('--bill', metavar='FILE', help='What of a bill of AWS or Databricks runs explain.')]
Tags = Annotated[
    list[str] | None, options.Option('--tag', metavar='TEXT', help='With --bill: the key of a tag that names a run or machine.')
]


@app.command('report', epilog=exits.line(ExitCode.REFUSED))
def report(
    by: Annotated[By, options.Option('--by', help='What is added up.')] = By.STAGE,
    since: Since = None,
    until: Annotated[str | None, options.Option('--until', metavar='WHEN', help='Not after: the same.')] = None,
    csv: Annotated[bool, options.Option('--csv', help='As CSV on standard output.')] = False,
    html: Html = '',
    svg: Svg = '',
    bill: Bill = '',
    tags: Tags = None,
    json: options.Json = False,
) -> int:
    """What all recorded runs cost at the prices of their days, what the cache spared, and what is not known.

    Example:  mlops cost report --by month
    """
    now, drawn = time.time(), asked(html, svg, json=json, csv=csv)
    first = moment(since, now, '--since') if since is not None else None
    last = moment(until, now, '--until', end=True) if until is not None else None
    problems: list[Problem] = []
    with Root(project_folder()) as root:
        book = book_of(load_config(root, os.environ))
        runs = [*Runs(root).newest(lambda error: problems.append(problem_of(error)))]
        if bill or tags:
            return _bill(bill, tags or (), by, (runs, book, first, last), json, drawn or csv)
        models: Sequence[ModelCost] = ()
        if by == By.MODEL:
            found, models = _of_models(runs, book, first, last)
        else:
            found = ledger(runs, book, by, first, last)
        rows = found.sorted(by, book.currency)
        tell_problems(tuple(problems))
        if drawn:
            months = ledger(runs, book, By.MONTH, first, last) if by not in (By.MONTH, By.MODEL) else None
            _draw(root, (by, found), months, book.currency, html, svg, _period(since, until))
            return ExitCode.DONE
    if json:
        total = list(report_rows([found.total], by, book.currency)) if rows else []
        unknown = [{'why': why, 'stages': count} for why, count in sorted(found.why.items())]
        print_json({
            'schema': 'mlops/cost-report/v1', 'by': str(by), 'rows': list(report_rows(rows, by, book.currency)), 'total': total,
            'unknown': unknown, **({'models': last_documents(models)} if by == By.MODEL else {}),
        })  # fmt: skip
    elif csv:
        out(csv_text(list(report_rows(rows, by, book.currency))).removesuffix('\n'))
    else:
        out_lines([*report_lines(found, rows, by, book.currency, width(sys.stdout)), *model_lines(models)])
    return ExitCode.DONE


app.alone = report


def _bill(
    file: str,
    tags: Sequence[str],
    by: By,
    known: tuple[Sequence[Run], Book, float | None, float | None],
    json: bool,
    otherwise: bool,
) -> int:
    from mlops_cli.cli.billing import Asked, show_bill

    if not file or otherwise:
        said = '--tag is of --bill' if not file else '--bill is told as a table or with --json'
        raise UserError(said, hint='mlops cost report --bill FILE --tag KEY')
    runs, book, first, last = known
    return show_bill(Asked(file, tags, by, first, last), runs, book, json)


def _of_models(
    runs: Sequence[Run], book: Book, first: float | None, last: float | None
) -> tuple[Ledger, Sequence[ModelCost]]:
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.experiments.lineage_records import Records
    from mlops_cli.experiments.model_costs import model_ledger, models_of

    with workbench() as bench, closing(Records(bench)) as records:
        if not models_of(bench.pipeline):
            say(Line('note: no stage makes a model: model: {name: NAME, path: OUTPUT} says so', 'note:'))
        found = model_ledger(records, runs, book, first, last)
    return found.ledger, found.models


def _period(since: str | None, until: str | None) -> str:
    said = [f'{word} {typed}' for word, typed in (('since', since), ('until', until)) if typed]
    return f'runs {" ".join(said)}' if said else 'all recorded runs'


def _draw(
    root: Root, asked_for: tuple[By, Ledger], months: Ledger | None, currency: str, html: str, svg: str, period: str
) -> None:
    """``months``: the same by month, which stands beside it where there are several."""
    from mlops_cli.report.cost_page import View, charts, cost_page

    by, found = asked_for
    views = [View(by, found, found.sorted(by, currency))]
    if months is not None and len(months.rows) > 1:
        views.append(View(By.MONTH, months, months.sorted(By.MONTH, currency)))
    if svg:
        drawn = ((view, name, text) for view in views for name, _, text in charts(view, titled=True))
        write_charts(root, svg, ((f'{name}-by-{view.by}', text) for view, name, text in drawn))
    if html:
        today = iso(time.time())[:10]
        write_page(root, html, cost_page(f'Cost by {by}', f'{period}, at the prices of their days; written {today}', views))


@app.command('prices', epilog=exits.line(ExitCode.REFUSED))
def prices(
    import_: Annotated[
        str, options.Option('--import', metavar='FILE', help='Take prices out of a CSV, of gpuhunt or with our columns.')
    ] = '',
    types: Annotated[list[str] | None, options.Option('--type', metavar='GLOB', help='With --import: only such types.')] = None,
    locations: Annotated[
        list[str] | None, options.Option('--location', metavar='GLOB', help='With --import: only at such places.')
    ] = None,
    name: Annotated[str, options.Option('--as', metavar='TEXT', help='With --import: what the one that fits is called.')] = '',
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='With --import: write nothing.')] = False,
    json: options.Json = False,
) -> int:
    """The prices that count today, since when, and where each is written; with -v also earlier ones and those to come. With
    --import it writes those of a list into .mlops/config.yaml, and keeps earlier ones for the runs of their days.

    Example:  mlops cost prices
    """
    if import_:
        from mlops_cli.cli.price_import import Wish, take_prices

        with Root(project_folder()) as root:
            return take_prices(root, Wish(import_, types or (), locations or (), name, dry_run), json)
    if types or locations or name or dry_run:
        raise UserError('--type, --location, --as and --dry-run are of --import', hint='mlops cost prices --import FILE')
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


@app.command('advise', epilog=exits.line(ExitCode.REFUSED))
def advise(stages: options.Stages = None, json: options.Json = False) -> int:
    """What stages declare under resources, beside what their last runs used: processors that they had but for a hundredth of
    their time, the most memory that they held. Where there are prices also which machine or GPU would do for less, which stages
    could run as spot, whose GPUs are idle or wait, and whether a commitment pays. With -v also what is not advised, and why.

    Example:  mlops cost advise
    """
    from mlops_cli.cli.screens.cost_advice import advice_lines, advice_rows, hint_lines, hint_rows
    from mlops_cli.cli.wiring import output_words, workbench
    from mlops_cli.experiments.advice import advise as looked_at
    from mlops_cli.experiments.machine_advice import machine_advice
    from mlops_cli.plan.select import select

    with workbench(tolerant=True) as bench:
        words = output_words(bench, stages or ())
        names = select(bench.pipeline, bench.edges, bench.order, words, only=True)
        found, hints = looked_at(bench, names), machine_advice(bench, names)
    if json:
        print_json({'schema': 'mlops/cost-advise/v1', 'rows': advice_rows(found), 'hints': hint_rows(hints)})
    else:
        columns, everything = width(sys.stdout), context.current.verbose
        out_lines([*advice_lines(found, columns, everything), *hint_lines(hints, columns, everything)])
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
