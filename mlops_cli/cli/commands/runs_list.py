"""``mlops runs list``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, out, out_lines, print_json, say, width
from mlops_cli.cli.going_on import died_documents, died_lines, going_on_lines, live_documents
from mlops_cli.cli.history import Opened, history
from mlops_cli.cli.narrow import narrowed
from mlops_cli.cli.problems import tell_problems
from mlops_cli.cli.when import moment
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.units import plural
from mlops_cli.fsio.paths import Root
from mlops_cli.records.asking import FIELDS, METRIC, PARAM, Answer, Query, ask, conditions
from mlops_cli.records.found import Row
from mlops_cli.records.runs import ENDINGS, STATES

if TYPE_CHECKING:
    from mlops_cli.run.killed import Killed
    from mlops_cli.run.live import Live

EXITS = exits.line()
Words = list[str] | None
Costs = dict[str, tuple[dict[str, float], int]]
State = Annotated[
    Words,
    options.Option(
        '--state', metavar='STATE', help='That ended so, or in which a stage did: done, failed, stopped, killed, ...'
    ),
]
Condition = Annotated[
    Words, options.Option('--where', '-w', metavar='CONDITION', help="Such as 'accuracy > 0.9 and train.depth <= 8'.")
]
Sort = Annotated[
    str | None,
    options.Option(
        '--sort', '-s', metavar='NAME', help='By a field, metric or parameter; -NAME: largest first. Default: newest first.'
    ),
]


def command(
    state: State = None,
    stage: Annotated[
        Words, options.Option('--stage', metavar='GLOB', help='In which such a stage ran or was restored.')
    ] = None,
    branch: Annotated[Words, options.Option('--branch', metavar='GLOB', help='On such a branch.')] = None,
    who: Annotated[Words, options.Option('--who', metavar='GLOB', help='Started by such a person.')] = None,
    host: Annotated[Words, options.Option('--host', metavar='GLOB', help='On such a machine.')] = None,
    since: Annotated[
        str | None, options.Option('--since', metavar='WHEN', help='Not before: 2026-11-20, 2h, 3d, 1w, today.')
    ] = None,
    until: Annotated[str | None, options.Option('--until', metavar='WHEN', help='Not after; a date counts whole.')] = None,
    trials: Annotated[
        bool | None, options.Option('--trials/--no-trials', help='Only trials (run --set), or none.', show_default=False)
    ] = None,
    kept: Annotated[bool, options.Option('--kept', help='Only runs that are kept.')] = False,
    where: Condition = None,
    sort: Sort = None,
    reverse: Annotated[bool, options.Option('--reverse', '-r', help='The other way round.')] = False,
    columns: Annotated[
        str | None,
        options.Option('--columns', '-c', metavar='NAME,...', help='These fields, metrics and parameters, in this order.'),
    ] = None,
    most: Annotated[int, options.Option('--most', '-n', metavar='N', min=0, help='So many; 0: all.')] = 20,
    json: options.Json = False,
) -> int:
    """Runs, newest first, with their metrics and with the parameters that differ between them.

    Options may be repeated: any of their values fits.  Of several --where, all must hold.

    Example:  mlops runs list --where 'train.depth = 8' --sort accuracy --since 1w
    """
    now = time.time()
    query = Query(
        _states(_parts(state, '--state')), _parts(stage, '--stage'), _parts(branch, '--branch'), _parts(who, '--who'),
        _parts(host, '--host'),
        moment(since, now, '--since') if since is not None else None,
        moment(until, now, '--until', end=True) if until is not None else None,
        trials, None,
        tuple(condition for text in where or () for condition in conditions(text)),
        _named_one(sort, '--sort').removeprefix('-'), True if sort and sort.startswith('-') else None, reverse, most,
    )  # fmt: skip
    with history() as opened:
        live, dead = _going_on(opened.root)
        files = opened.kept.files()
        if kept:
            query = _among(query, frozenset(files))
        answer, costs = _answered(opened, query, columns or '', json)
    tell_problems(answer.problems)
    chosen = _columns(_named_one(columns, '--columns'), answer)
    if json:
        print_json(_document(answer, files, chosen, costs, opened.config.currency) | _lives(live, dead))
    elif answer.rows:
        _print(answer, files, chosen, now, _named(query, answer), costs)
    elif answer.all or not live:
        out(_nothing(answer))
    if not json:
        room = width(sys.stdout)
        out_lines(narrowed([*going_on_lines(live), *died_lines(dead, room)], room))
    return 0


def _going_on(root: Root) -> tuple[tuple[Live, ...], tuple[Killed, ...]]:
    """The runs that are not over, and those that died; they have no record yet."""
    if root.stat(layout.JOURNAL) is None:
        return (), ()
    from mlops_cli.run.killed import killed
    from mlops_cli.run.live import running_in

    return tuple(running_in(root)), killed(root)


def _lives(live: Sequence[Live], dead: Sequence[Killed]) -> dict[str, Any]:
    return {'running': live_documents(live), 'died': died_documents(dead)}


def _among(query: Query, ids: frozenset[str]) -> Query:
    from dataclasses import replace

    return replace(query, among=ids)


def _parts(words: Words, option: str) -> tuple[str, ...]:
    """``--who ada,ben`` is ``--who ada --who ben``.  Raises UserError for a word without any."""
    found: list[str] = []
    for word in words or ():
        parts = [part.strip() for part in word.split(',') if part.strip()]
        if not parts:
            raise _empty(option)
        found += parts
    return tuple(found)


def _named_one(word: str | None, option: str) -> str:
    """'' where the option was left out.  Raises UserError where it names nothing."""
    if word is not None and not word.strip(' -,'):
        raise _empty(option)
    return word or ''


def _empty(option: str) -> UserError:
    """It may have been a variable of a script, which holds nothing."""
    return UserError(f'{option} names nothing', hint='give it a value, or leave it out')


def _states(states: tuple[str, ...]) -> tuple[str, ...]:
    if not states:
        return ()
    from mlops_cli.cli.words import state_word

    known = dict.fromkeys([*ENDINGS, *STATES])
    shown = dict.fromkeys(state_word(state) for state in known)
    for state in states:
        if state not in known and state not in shown:
            raise UserError(f'--state {state[:40]!r} is no state of a run', hint=did_you_mean(state, shown, what='there are'))
    return tuple('interrupted' if state == state_word('interrupted') else state for state in states)


def _columns(typed: str, answer: Answer) -> tuple[str, ...]:
    """The names after ``--columns``, metrics and parameters with what they are in front.  Raises UserError."""
    metrics = dict.fromkeys(name for row in answer.rows for name in row.metrics)
    params = dict.fromkeys(name for row in answer.rows for name in row.params)
    found = []
    for name in (part.strip() for part in typed.split(',') if part.strip()):
        if name in FIELDS or name in OWN:
            found.append(name)
        elif name.removeprefix(METRIC) in metrics and not name.startswith(PARAM):
            found.append(METRIC + name.removeprefix(METRIC))
        elif name.removeprefix(PARAM) in params:
            found.append(PARAM + name.removeprefix(PARAM))
        elif answer.rows:
            near = did_you_mean(name, [*FIELDS, *OWN, *metrics, *params], what='there are')
            raise UserError(f'--columns: no run here has a field, metric or parameter {name[:80]!r}', hint=near)
    return tuple(found)


def _named(query: Query, answer: Answer) -> tuple[str, ...]:
    """The columns that say why these runs are there, and in this order."""
    asked = (('stages', query.stages), ('branch', query.branches), ('who', query.whos), ('host', query.hosts))
    names = [column for column, globs in asked if globs]
    for name in (*(condition.name for condition in query.where), query.sort):
        if name in FIELDS or name == 'cost':
            names.append(name)
        elif not name.startswith(PARAM) and any(name.removeprefix(METRIC) in row.metrics for row in answer.rows):
            names.append(METRIC + name.removeprefix(METRIC))
        elif any(name.removeprefix(PARAM) in row.params for row in answer.rows):
            names.append(PARAM + name.removeprefix(PARAM))
    return tuple(dict.fromkeys(names))


OWN = ('cost', 'kept', 'set', 'stages', 'when')  # what the table makes itself


def _print(
    answer: Answer, kept: dict[str, tuple[str, ...]], chosen: tuple[str, ...], now: float, named: tuple[str, ...], costs: Costs
) -> None:
    from mlops_cli.cli.screens.costs import amounts_of
    from mlops_cli.cli.screens.runs_list import list_lines

    told = {run: f'{amounts_of(amounts)}{" + ?" if unknown and amounts else "?" if unknown else ""}'
            for run, (amounts, unknown) in costs.items()}  # fmt: skip
    out_lines(list_lines(answer.rows, frozenset(kept), chosen, now, width(sys.stdout), named, told))
    more = answer.matching - len(answer.rows)
    if more > 0 and not context.current.quiet:
        say(Line(f'{plural(more, "more run")}: mlops runs list -n 0 shows all'))


def _nothing(answer: Answer) -> str:
    if not answer.all and any(problem.path.startswith(f'{layout.RUNS}/') for problem in answer.problems):
        return 'No record of a run can be read: mlops doctor says why'
    if not answer.all:
        return 'No runs yet: mlops run'
    return f'None of {plural(answer.all, "run")} fits: leave a filter out, or mlops runs list shows the newest'


def _answered(opened: Opened, query: Query, columns: str, json: bool) -> tuple[Answer, Costs]:
    """With what each run cost, where that was asked for."""
    costs = 'cost' in (part.strip() for part in columns.split(',')) or (json and bool(opened.config.prices))
    if query.sort != 'cost':
        answer = ask(opened.history, opened.pipeline, query)
        return answer, _costs(opened, answer.rows) if costs else {}
    from dataclasses import replace

    answer = ask(opened.history, opened.pipeline, replace(query, sort='', descending=None, reverse=False, most=0))
    found = _costs(opened, answer.rows)
    used = [currency for amounts, _ in found.values() for currency in amounts]
    own = opened.config.currency
    currency = own if own in used or not used else max(sorted(set(used)), key=used.count)
    most_first = bool(query.descending) != query.reverse

    def place(row: Row) -> tuple[bool, float]:
        """What nobody knows comes last either way."""
        amount = found[row.id][0].get(currency) if row.id in found else None
        return amount is None, -(amount or 0.0) if most_first else amount or 0.0

    rows = sorted(answer.rows, key=place)
    return replace(answer, rows=tuple(rows[: query.most or len(rows)])), found


def _costs(opened: Opened, rows: Sequence[Row]) -> Costs:
    """By the id of the run: currency -> amount, and of how many of its stages not all is known."""
    from mlops_cli.records.costs import book_of, costs_of
    from mlops_cli.records.runs import Runs
    from mlops_cli.usage.cost import added

    book, runs = book_of(opened.config), Runs(opened.root)
    found: Costs = {}
    for row in rows:
        try:
            found[row.id] = added(one for one in costs_of(runs.get(row.id), book) if one is not None)
        except (UserError, FileNotFoundError):  # git has taken it away, or put another in its place
            continue
    return found


def _cost_document(costs: Costs, run: str, currency: str) -> dict[str, Any]:
    if run not in costs:
        return {}
    amounts, unknown = costs[run]
    amount = amounts.get(currency, None if unknown or amounts else 0.0)
    whole = not unknown and not amounts.keys() - {currency}
    return {'cost': None if amount is None else round(amount, 6), 'currency': currency, 'cost_known': whole}


def _document(
    answer: Answer, kept: dict[str, tuple[str, ...]], chosen: tuple[str, ...], costs: Costs, currency: str
) -> dict[str, Any]:
    # One after the other: they take more room than the runs.
    rows = (row_document(row, row.id in kept) | _cost_document(costs, row.id, currency) for row in answer.rows)
    if chosen:
        rows = ({name: row.get(name) for name in ('run', *chosen) if name in row or name not in OWN} for row in rows)
    return {'schema': 'mlops/runs-list/v1', 'rows': rows, 'matching': answer.matching, 'all': answer.all}


def row_document(row: Row, kept: bool) -> dict[str, Any]:
    """A flat object for ``--json``."""
    return {
        'run': row.short,
        'id': row.id,
        'started': row.started,
        'ended': row.ended,
        'seconds': row.seconds,
        'who': row.who,
        'host': row.host,
        'branch': row.branch,
        'commit': row.commit,
        'trial': bool(row.overlay),
        'kept': kept,
        'fresh': row.fresh,
        **row.counts,
        'saved_seconds': row.saved_seconds,
        'cpu_seconds': round(row.cpu_seconds, 3),
        **{f'{METRIC}{name}': number for name, number in row.metrics.items()},
        **{f'{PARAM}{name}': value for name, value in row.params.items()},
    }
