"""``mlops hooks``: hooks of git."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from mlops_cli.cli import context, exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json, say
from mlops_cli.cli.finding import project_folder
from mlops_cli.cli.folder import Folder
from mlops_cli.core.errors import ExitCode, UserError

if TYPE_CHECKING:
    from mlops_cli.ci.hooking import Finding
    from mlops_cli.ci.hooks import Installed

app = Folder('Hooks of git: install, uninstall, run.')


NAMES = ('pre-commit', 'post-checkout', 'post-merge', 'pre-push')
WORDS = {
    'installed': 'installed',
    'updated': 'updated',
    'kept': 'is there already',
    'removed': 'removed',
    'put back': 'removed; what was here before is back',
    'replaced': 'somebody else wrote it since: left as it is',
    'absent': 'was not there',
}


@app.command('install', epilog=exits.line(ExitCode.REFUSED))
def install(json: options.Json = False) -> int:
    """Install them in this repository.  Hooks that are there are kept, and called first.

    Example:  mlops hooks install
    """
    from mlops_cli.ci import hooks
    from mlops_cli.git.hooking import place

    where = place(project_folder())
    return _tell('install', where.folder, hooks.install(where, _program()), json)


@app.command('uninstall', epilog=exits.line())
def uninstall(json: options.Json = False) -> int:
    """Take them away again.  What was there before is there again, as it was.

    Example:  mlops hooks uninstall
    """
    from mlops_cli.ci import hooks
    from mlops_cli.git.hooking import place

    where = place(project_folder())
    return _tell('uninstall', where.folder, hooks.uninstall(where), json)


def _program() -> str:
    """What hooks start: this very program, wherever PATH leads then."""
    beside = os.path.join(os.path.dirname(sys.executable), 'mlops')
    typed = os.path.abspath(sys.argv[0])
    return typed if os.path.basename(typed) == 'mlops' and os.access(typed, os.X_OK) else beside


def _tell(what: str, folder: str, done: Sequence[Installed], json: bool) -> int:
    if json:
        rows = [{'hook': one.hook, 'state': one.state, 'before': one.before} for one in done]
        print_json({'schema': f'mlops/hooks-{what}/v1', 'folder': folder, 'hooks': rows})
    elif not context.current.quiet:
        for one in done:
            first = ', and calls the one that was there first' if one.before and one.state in ('installed', 'updated') else ''
            out(Line(f'  {one.hook:<14} {WORDS[one.state]}{first}', one.hook))
        out(f'in {one_line(folder)}')
    return ExitCode.DONE


@app.command('run', epilog=exits.line(failed='git is not to go on'))
def run(
    hook: Annotated[str, options.Argument(metavar='HOOK', help='pre-commit, post-checkout, post-merge or pre-push.')],
    words: Annotated[
        list[str] | None, options.Argument(metavar='[WORDS]...', help='What git, or the pre-commit framework, gives the hook.')
    ] = None,
    json: options.Json = False,
) -> int:
    """What a hook does; hooks of your own and the pre-commit framework call it, too.

    Example:  mlops hooks run pre-commit
    """
    if hook not in NAMES:
        raise UserError(f'there is no hook {hook[:40]!r} here', hint=f'there are {", ".join(NAMES)}')
    found = list(_findings(hook, list(words or ())))
    if json:
        rows = [{'text': one.text, 'hint': one.hint, 'stops': one.stops} for one in found]
        print_json({'schema': 'mlops/hooks-run/v1', 'hook': hook, 'findings': rows})
    else:
        for one in found:
            say(Line(f'mlops: {one_line(one.text)}', 'mlops:'))
            say(f'       {one_line(one.hint)}')
    stops = any(one.stops for one in found)
    if stops and not json:
        say(f'       all the same: git {hook.removeprefix("pre-")} --no-verify')
    return ExitCode.FAILED if stops else ExitCode.DONE


def _findings(hook: str, words: list[str]) -> Iterator[Finding]:
    """Raises UserError, such as for a pipeline that cannot be read."""
    if hook == 'pre-commit':
        yield from _before_commit()
    elif hook == 'pre-push':
        yield from _before_push(words)
    else:
        yield from _after(hook, words)


def _before_commit() -> Iterator[Finding]:
    from mlops_cli.ci.hooking import before_commit
    from mlops_cli.cli.quick.answer import answer
    from mlops_cli.cli.quick.learn import keep
    from mlops_cli.cli.wiring import workbench
    from mlops_cli.core.collector import without_collector
    from mlops_cli.run.outlook import look
    from mlops_cli.run.request import Request, chosen, wishes_of

    answer(['status', '--quiet'])  # says nothing: looks at what differs from when all was fresh, which few stages do
    with without_collector(), workbench(learns=True) as bench:
        request = Request()
        plan = look(bench, chosen(bench, request), wishes_of(bench, request)).plan
        keep(bench, plan, 'hooks', ())  # that all is fresh, for the next time
        yield from before_commit(bench, plan, os.environ)


def _before_push(words: Sequence[str]) -> Iterator[Finding]:
    from mlops_cli.ci.hooking import before_push
    from mlops_cli.cli.wiring import workbench

    remote = words[0] if words else os.environ.get('PRE_COMMIT_REMOTE_NAME', '')
    if head := os.environ.get('PRE_COMMIT_TO_REF'):
        refs = [f'- {head} - -']
    else:
        refs = [] if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read(1 << 20).splitlines()
    if refs:
        with workbench() as bench:
            yield from before_push(bench, remote, refs)


def _after(hook: str, words: Sequence[str]) -> Iterator[Finding]:
    from mlops_cli.ci.hooking import after_checkout
    from mlops_cli.git import resolve

    folder = project_folder()
    if hook == 'post-checkout':
        environ = os.environ
        before, after, kind = (*words, '', '', '')[:3] if words else (
            environ.get('PRE_COMMIT_FROM_REF', ''), environ.get('PRE_COMMIT_TO_REF', ''),
            environ.get('PRE_COMMIT_CHECKOUT_TYPE', ''),
        )  # fmt: skip
        if kind == '0' or not (_is_commit(before) and _is_commit(after)):
            return  # single files
    else:
        try:
            before, after = resolve(folder, 'ORIG_HEAD'), resolve(folder, 'HEAD')
        except UserError:
            return
    yield from after_checkout(folder, before, after)


def _is_commit(word: str) -> bool:
    return 40 <= len(word) <= 64 and all(letter in '0123456789abcdef' for letter in word)
