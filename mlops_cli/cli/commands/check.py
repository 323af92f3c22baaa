"""``mlops check``: what data must hold, as commands that a stage or a CI step can call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

from mlops_cli.checks import overlap as check
from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.data_checks import commits_of, opened
from mlops_cli.cli.finding import find_project
from mlops_cli.cli.folder import Folder
from mlops_cli.cli.opening import open_named
from mlops_cli.cli.progress import Progress
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural
from mlops_cli.fsio.paths import Root

app = Folder('Checks of data, for stages and CI: data, drift, fairness, overlap.')
Output = Annotated[
    list[str] | None,
    options.Option('--output', '-o', metavar='FILE', help='A report: .html, .md or .json. May be repeated.'),
]
TABLE = 'A table: CSV, TSV, JSON lines or parquet. As it was: PATH@REV.'
Known = Callable[[str, os.stat_result], str | None]


@app.command('data', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='it does not hold'))
def data(
    path: Annotated[str, options.Argument(metavar='PATH', help=TABLE)],
    contract: Annotated[
        str, options.Option('--contract', '-c', metavar='FILE', help='What it must hold, or FILE@REV. Default: contract.yaml.')
    ] = '',
    init: Annotated[bool, options.Option('--init', help='Write the contract from the table as it is.')] = False,
    output: Output = None,
    json: options.Json = False,
) -> int:
    """Whether a table holds to its contract, a file of types, ranges, keys and more: exit 1 and the broken rules if not.

    Example:  mlops check data data/train.csv --contract data/train.contract.yaml
    """
    from mlops_cli.cli import contracts

    contract = contract or 'contract.yaml'
    if init:
        return contracts.init(path, contract, output or (), json)
    return contracts.check(path, contract, output or (), json)


@app.command('drift', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='it has drifted'))
def drift(
    path: Annotated[str, options.Argument(metavar='PATH', help=TABLE)],
    baseline: Annotated[
        str,
        options.Option(
            '--baseline', '-b', metavar='FILE', help='A baseline, or another table; or FILE@REV. Default: baseline.json.'
        ),
    ] = '',
    init: Annotated[bool, options.Option('--init', help='Write the baseline from the table as it is.')] = False,
    contract: Annotated[
        str | None, options.Option('--contract', '-c', metavar='FILE', help='Whose limits of drift count, or FILE@REV.')
    ] = None,
    target: Annotated[
        str, options.Option('--target', '-t', metavar='COLUMN', help='What a model predicts: label shift is told apart.')
    ] = '',
    column: Annotated[
        list[str] | None, options.Option('--column', metavar='COLUMN', help='Only this one. May be repeated.')
    ] = None,
    ignore: Annotated[
        list[str] | None, options.Option('--ignore', metavar='COLUMN', help='Not this one. May be repeated.')
    ] = None,
    max_psi: Annotated[
        float | None, options.Option('--max-psi', metavar='X', help='The largest population stability index. Default: 0.2.')
    ] = None,
    max_ks: Annotated[
        float | None, options.Option('--max-ks', metavar='X', help='The largest Kolmogorov-Smirnov distance. Default: any.')
    ] = None,
    alpha: Annotated[
        float | None,
        options.Option('--alpha', metavar='X', help='What chance brings about as often as this is no drift. Default: 0.05.'),
    ] = None,
    correction: Annotated[
        str, options.Option('--correction', metavar='NAME', help='Of p values of many columns: holm or none. Default: holm.')
    ] = '',
    output: Output = None,
    json: options.Json = False,
) -> int:
    """Whether the columns of a table are distributed as in a baseline kept in git, or another table: exit 1 if not.

    Example:  mlops check drift data/new.csv --baseline data/train.baseline.json
    """
    from mlops_cli.cli import drift as screen

    limits = screen.limits(max_psi, max_ks, alpha, correction)
    held_to = screen.held_to(contract, limits, (tuple(column or ()), tuple(ignore or ())))
    baseline = baseline or 'baseline.json'
    if init:
        return screen.init(path, baseline, held_to, output or (), json)
    return screen.check(path, baseline, target, held_to, output or (), json)


@app.command('fairness', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='a limit is passed'))
def fairness(
    path: Annotated[str, options.Argument(metavar='PATH', help='A table of predictions, or PATH@REV.')],
    label: Annotated[str, options.Option('--label', '-l', metavar='COLUMN', help='What is true. Default: label.')] = '',
    prediction: Annotated[
        str, options.Option('--prediction', '-p', metavar='COLUMN', help='What was predicted. Default: prediction.')
    ] = '',
    group: Annotated[
        list[str] | None,
        options.Option('--group', '-g', metavar='COLUMN', help='Whose values are the groups. May be repeated.'),
    ] = None,
    positive: Annotated[
        str, options.Option('--positive', metavar='VALUE', help='The value that counts as yes. Default: 1 and true.')
    ] = '',
    score: Annotated[
        float | None, options.Option('--score', metavar='X', help='Predictions are scores, and yes from X on.')
    ] = None,
    max_parity: Annotated[
        float | None, options.Option('--max-parity', metavar='X', help='The largest demographic parity difference.')
    ] = None,
    min_ratio: Annotated[
        float | None, options.Option('--min-ratio', metavar='X', help='The smallest demographic parity ratio.')
    ] = None,
    max_odds: Annotated[
        float | None, options.Option('--max-odds', metavar='X', help='The largest equalized odds difference.')
    ] = None,
    output: Output = None,
    json: options.Json = False,
) -> int:
    """How a classifier treats groups: rates of each, and how far apart they are; exit 1 where a limit is passed.

    Example:  mlops check fairness data/predictions.csv --group sex --max-odds 0.1
    """
    from mlops_cli.cli import fairness as screen

    limits = {
        'demographic_parity_difference': max_parity,
        'demographic_parity_ratio': min_ratio,
        'equalized_odds_difference': max_odds,
    }
    columns = (label or 'label', prediction or 'prediction', tuple(group or ()))
    return screen.check(path, columns, positive, score, limits, output or (), json)


@app.command('overlap', epilog=exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='they overlap'))
def overlap(
    a: Annotated[str, options.Argument(metavar='PATH', help='A table or a folder, such as the training data.')],
    b: Annotated[str, options.Argument(metavar='PATH', help='Another, such as the test data.')],
    key: Annotated[
        list[str] | None,
        options.Option('--key', '-k', metavar='COLUMN', help='Of tables. May be repeated. Default: whole rows.'),
    ] = None,
    by: Annotated[
        str,
        options.Option('--by', metavar='WHAT', help='Of folders, what files share: content, name or stem. Default: content.'),
    ] = '',
    json: options.Json = False,
) -> int:
    """Whether two sets of data share rows or files, as a split into training and test must not: exit 1 if they do.

    Example:  mlops check overlap data/train.csv data/test.csv --key image
    """
    keys = key or []
    if by and by not in check.BY:
        raise UserError(f'--by {by} is none of {", ".join(check.BY)}', hint=f'such as --by {check.BY[0]}')
    folders = check.refuse_unlike(a, b, by, keys)
    done = 0

    def step(count: int) -> None:
        nonlocal done
        done = count
        progress.step()

    noun = 'file' if folders else 'row'
    with Progress(lambda: f'  comparing {one_line(a)}, {one_line(b)}: {plural(done, noun)}') as progress:
        if folders:
            for path in (a, b):
                _refuse_link(path)
            with _known() as known:
                found = check.of_folders(a, b, by or 'content', known, step)
        else:
            found = check.of_tables(a, b, keys, opened, step)
    if json:
        names = ('by', 'keys', 'a', 'b', 'of_a', 'of_b', 'without_a', 'without_b')
        examples = [{'key': one, 'a': in_a, 'b': in_b} for one, in_a, in_b in found.examples]
        counts = {name: getattr(found, name) for name in names}
        passed, commits = not found.keys, commits_of(a, b)
        print_json({'schema': 'mlops/check-overlap/v1', 'passed': passed, **counts, 'examples': examples, 'commits': commits})
    else:
        _tell(found, a, b, noun)
    return ExitCode.FAILED if found.keys else ExitCode.DONE


def _tell(found: check.Overlap, a: str, b: str, noun: str) -> None:
    by = one_line(found.by)
    sides = f'{plural(found.of_a, noun)} of {one_line(a)}, {plural(found.of_b, noun)} of {one_line(b)}'
    without = found.without_a + found.without_b
    left = f' {plural(without, noun)} without it left out.' if without else ''
    if not found.keys:
        out(Line(f'No overlap by {by}: {sides}.{left}', 'No overlap'))
        return
    share = f'{found.a:,} of {plural(found.of_a, noun)} of {one_line(a)}, {found.b:,} of {found.of_b:,} of {one_line(b)}'
    out(Line(f'FAILED    overlap by {by}: {share}.{left}', 'FAILED'))
    for one, in_a, in_b in found.examples:
        out(f'  {one_line(one)}   ({one_line(in_a)}; {one_line(in_b)})')
    if found.keys > len(found.examples):
        out(f'  and {found.keys - len(found.examples):,} more')


def _refuse_link(path: str) -> None:
    """A folder in the project that is really elsewhere."""
    os.close(open_named(path))


@contextmanager
def _known() -> Iterator[Known]:
    """What the project knows of its files: nothing is read twice that status has read."""
    folder = os.path.realpath(find_project(os.getcwd()) or '/')
    from mlops_cli.fingerprint.index import Index, database_path

    if folder == '/':
        yield lambda _path, _facts: None
        return
    with Root(folder) as root:
        database = database_path(root, os.environ)
        index = Index(database, root) if os.path.exists(database) else None

        def known(path: str, facts: os.stat_result) -> str | None:
            rel = os.path.relpath(os.path.realpath(path), folder)
            ref = index.get(rel, facts) if index is not None and not rel.startswith('..') else None
            return ref.digest.hex if ref is not None else None

        try:
            yield known
        finally:
            if index is not None:
                index.close()
