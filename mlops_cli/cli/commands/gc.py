"""``mlops gc``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.agreeing import asked
from mlops_cli.cli.console import Line, out, print_json, say, terminal
from mlops_cli.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from mlops_cli.cli.progress import Progress
    from mlops_cli.fsio.holders import Holder
    from mlops_cli.fsio.locks import LockFile
    from mlops_cli.run.cleaning import Cleaning, Done, Outlook, Wish
    from mlops_cli.run.workbench import Workbench

EXITS = exits.line(ExitCode.REFUSED, ExitCode.LOCK_TIMEOUT)
SCHEMA = 'mlops/gc/v1'
Host = Annotated[str, options.Option('--host', metavar='HOST', help='Of the folder of a host: remove what is unused there.')]
UNASKED = 'to do it without being asked'


def command(
    dry_run: Annotated[bool, options.Option('--dry-run', '-n', help='Say what would go, and what holds the rest.')] = False,
    grace: Annotated[
        str,
        options.Option(
            '--grace', metavar='AGE', help='Spare what was used since. Default: 14d, of a remote 30d; 0 spares nothing.'
        ),
    ] = '',
    since: Annotated[
        str, options.Option('--since', metavar='AGE', help='Older commits hold nothing, unless a ref names them. Such as 180d.')
    ] = '',
    skip_rev: Annotated[
        list[str] | None,
        options.Option('--skip-rev', metavar='REV', help='Pass over records of this commit that cannot be read.'),
    ] = None,
    forget: Annotated[
        list[str] | None,
        options.Option('--forget', metavar='PATH', help='This project, which used the cache, is gone for good.'),
    ] = None,
    pins: Annotated[
        bool, options.Option('--pins', help='Remove pin files that no stage computes any more; on the default branch.')
    ] = False,
    undo: Annotated[bool, options.Option('--undo', help='Put back what the last gc took out.')] = False,
    remote: Annotated[
        str, options.Option('--remote', '-r', metavar='REMOTE', help='Of a remote: mark it, and delete it a day later.')
    ] = '',
    host: Host = '',
    json: options.Json = False,
) -> int:
    """Take out of the cache what no branch, tag, stash, reflog, worktree, run or other project needs. It goes to a trash, from
    which it comes back when it is missed, and a day later, with another gc, for good.

    Example:  mlops gc --dry-run
    """
    from mlops_cli.cli.wiring import workbench, writing
    from mlops_cli.run.cleaning import Wish

    if pins and undo:
        raise UserError('--pins and --undo are two things', hint='git has the pins: git checkout -- .mlops/stages')
    if host:
        if pins or undo or since or skip_rev or forget or remote:
            raise UserError('--host goes with --dry-run and --grace only', hint='mlops gc --host gpu1 --dry-run')
        from mlops_cli.cli.host_cleaning import clean as clean_host

        return clean_host(host, seconds(grace or '14d', '--grace'), dry_run, json)
    if remote:
        if pins or undo or since or skip_rev or forget:
            raise UserError('--remote goes with --dry-run and --grace only', hint='mlops gc --remote origin --dry-run')
        from mlops_cli.cli.remote_cleaning import clean

        return clean(remote, seconds(grace or '30d', '--grace'), dry_run, json)
    period = seconds(since, '--since') if since else None
    wish = Wish(seconds(grace or '14d', '--grace'), period, tuple(skip_rev or ()), tuple(forget or ()))
    if pins:
        with workbench() as bench, writing(bench, 'mlops gc --pins'):
            return _pins(bench, dry_run, json)
    with workbench(tolerant=True) as bench, writing(bench, 'mlops gc') as locks:
        if undo:
            return _undo(bench, locks, dry_run, json)
        return _clean(bench, locks, wish, dry_run, json)


def seconds(text: str, option: str) -> float:
    """An age as people write it.  Raises UserError."""
    from mlops_cli.core.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError:
        raise UserError(f'{option} {text[:40]!r} is no age', hint=f'such as {option} 30d or {option} 12h') from None


class _Watched:
    """How far it is, for the line of progress."""

    def __init__(self) -> None:
        self.what, self.count = 'looking', 0
        self.progress: Progress | None = None

    def tell(self, what: str, count: int) -> None:
        self.what, self.count = what, count
        if self.progress is not None:
            self.progress.step()

    def line(self) -> str:
        return f'  cleaning  {self.count:,} {self.what}'


def _clean(bench: Workbench, locks: LockFile, wish: Wish, dry_run: bool, json: bool) -> int:
    from mlops_cli.cli.progress import Progress
    from mlops_cli.cli.screens import gc as screen
    from mlops_cli.run import cleaning

    if wish.without and not dry_run:
        cleaning.forget(bench, wish.without)
    watched = _Watched()
    done = None
    with cleaning.Cleaning(bench, locks, wish, watched.tell) as clean:
        asks = not (dry_run or context.current.yes)
        if asks and not json and terminal(sys.stdin) and terminal(sys.stderr):
            with Progress(watched.line) as watched.progress:
                outlook = clean.look()
            for line in screen.outlook_lines(outlook, wish):
                out(line)
            if not _worth(outlook):
                return ExitCode.DONE
            if not asked(screen.question(outlook)):
                out('Nothing was moved.')
                return ExitCode.DONE
            with Progress(watched.line) as watched.progress:
                _, done = _carry_out(clean)
            for line in screen.done_lines(done):
                out(line)
            return ExitCode.DONE
        with Progress(watched.line) as watched.progress:
            if dry_run or asks:
                outlook = clean.look()
            else:
                outlook, done = _carry_out(clean)
    if asks and _worth(outlook):
        if not json:
            for line in screen.outlook_lines(outlook, wish):
                say(line)
        raise UserError(
            screen.question(outlook).removesuffix('?'), exit_code=ExitCode.REFUSED, hint=f'{UNASKED}: mlops gc --yes'
        )
    if json:
        print_json({'schema': SCHEMA, **screen.document(outlook, done, dry_run)})
        return ExitCode.DONE
    for line in screen.outlook_lines(outlook, wish):
        out(line)
    for line in screen.done_lines(done) if done else ():
        out(line)
    return ExitCode.DONE


def _worth(outlook: Outlook) -> bool:
    """Whether there is anything to do."""
    plan = outlook.plan
    return bool(plan.objects or plan.results or plan.old or plan.back)


def _carry_out(clean: Cleaning) -> tuple[Outlook, Done]:
    """Looks, again if it did before: meanwhile branches may have come."""
    if clean.marks_alone:
        with clean.alone(_waiting):
            outlook = clean.look()
            done = clean.carry_out(outlook)
        return outlook, clean.finish(done)
    outlook = clean.look()
    with clean.alone(_waiting):
        done = clean.carry_out(outlook)
    return outlook, clean.finish(done)


def _waiting(holder: Holder | None, _seconds: float) -> None:
    from mlops_cli.fsio.locks import describe

    say(Line(f'note: waiting for {describe(holder)}, which begins to use the cache', 'note:'))


def _undo(bench: Workbench, locks: LockFile, dry_run: bool, json: bool) -> int:
    from mlops_cli.cli.screens import gc as screen
    from mlops_cli.run import cleaning

    if dry_run:
        raise UserError('--undo has nothing to try: it only puts back', hint='mlops gc --undo')
    with locks.holding(cleaning.LOCK, 'exclusive', cleaning.LOCK_SECONDS, _waiting):
        undone = cleaning.undo(bench)
    if json:
        print_json({'schema': SCHEMA, **screen.undone_document(undone)})
    else:
        for line in screen.undone_lines(undone):
            out(line)
    return ExitCode.REFUSED if undone.taken else ExitCode.DONE


def _pins(bench: Workbench, dry_run: bool, json: bool) -> int:
    from mlops_cli.cli.screens import gc as screen
    from mlops_cli.run import stalepins

    found = stalepins.find(bench)
    if found.stale and not dry_run and not context.current.yes:
        question = screen.pins_question(found)
        for line in screen.pins_lines(found, removed=False) if not json else ():
            say(line)
        if json or not (terminal(sys.stdin) and terminal(sys.stderr)):
            raise UserError(
                question.removesuffix('?'), exit_code=ExitCode.REFUSED, hint=f'{UNASKED}: mlops gc --pins --yes'
            )
        if not asked(question):
            out('Nothing was removed.')
            return ExitCode.DONE
    removed = () if dry_run else stalepins.remove(bench, found)
    if json:
        print_json({'schema': SCHEMA, **screen.pins_document(found, removed)})
        return ExitCode.DONE
    for line in screen.pins_lines(found, removed=not dry_run):
        out(line)
    return ExitCode.DONE
