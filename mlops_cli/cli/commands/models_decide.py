"""``mlops models approve``, ``promote``, ``rollback``, ``tag``, ``note``: each adds one file, for a pull request to show."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.commands.models_take import Key, Message, Model, Sign, keep_line, person, signer
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.folder import Folder
from mlops_cli.core.errors import ExitCode

if TYPE_CHECKING:
    from mlops_cli.registry.decide import Author, Decided
    from mlops_cli.run.workbench import Workbench

Alias = Annotated[str, options.Argument(metavar='ALIAS', help='Such as prod or staging; any word of small letters.')]
About = Annotated[str, options.Argument(metavar='MODEL', help='NAME for the model as a whole; NAME@VERSION for one version.')]


def register_commands(app: Folder) -> None:
    app.command('approve', epilog=exits.line(ExitCode.REFUSED, failed='what is recorded is damaged'))(approve)
    app.command('promote', epilog=exits.line(ExitCode.REFUSED, failed='a gate or a check fails'))(promote)
    app.command('rollback', epilog=exits.line(ExitCode.REFUSED, failed='a gate or a check fails'))(rollback)
    app.command('tag', epilog=exits.line(ExitCode.REFUSED, failed='what is recorded is damaged'))(tag)
    app.command('note', epilog=exits.line(failed='what is recorded is damaged'))(note)


def _doing(work: Callable[[Workbench, Author], Any], message: str, sign: bool = False, key: str = '') -> Any:
    from mlops_cli.cli.wiring import workbench, writing
    from mlops_cli.registry.decide import Author

    with workbench(tolerant=True) as bench, writing(bench, 'mlops models'):
        author = Author(person(bench.root), time.time(), bench.redact(message), signer(bench.root, sign, key))
        found = work(bench, author)
        bench.batch.close()
    return found


def _sound(bench: Workbench, model: str) -> None:
    """Raises UserError where a version is not what its result is."""
    from mlops_cli.records.model_names import resolve
    from mlops_cli.registry.checking import require_result

    require_result(bench, resolve(bench.root, model).version)


def approve(
    model: Model, alias: Alias, message: Message = '', sign: Sign = False, key: Key = '', json: options.Json = False
) -> int:
    """Say that a version may hold an alias.  Its authors cannot: who registered it, and who trained it.

    Example:  mlops models approve digits@v1 prod -m "looked at the confusion matrix"
    """
    from mlops_cli.registry import decide

    def work(bench: Workbench, author: Author) -> Decided:
        _sound(bench, model)
        return decide.approve(bench.root, bench.batch, model, alias, author)

    done: Decided = _doing(work, message, sign, key)
    version, judged = done.named.version, done.judgement
    assert done.fact is not None and judged is not None
    have, needed = len(judged.approvals), judged.needed
    if json:
        print_json({
            'schema': 'mlops/models-approve/v1', 'model': version.name, 'version': version.label, 'id': version.id,
            'alias': alias, 'who': done.fact.who.name, 'approvals': have, 'needed': needed, 'file': done.path,
            'signed': bool(done.fact.signature),
        })  # fmt: skip
        return 0
    signed = ', signed' if done.fact.signature else ''
    count = f'{have} of {needed}' if needed else f'{have}, none is needed'
    out(Line(f'  done      approved {done.named.shown} for {alias} as {one_line(done.fact.who.shown)}{signed}', 'done'))
    out(f'            approvals that count: {count}')
    if judged.refusals:
        lacks = '; '.join(one_line(one.text) for one in judged.refusals)
        out(f'            not {alias} yet: {lacks}')
    _tell_unasked(done, alias)
    keep_line()
    return 0


def promote(
    model: Model, alias: Alias, message: Message = '', sign: Sign = False, key: Key = '', json: options.Json = False
) -> int:
    """Give an alias to a version, if the team's policy allows it: gates, checks, approvals by others, signatures.

    Example:  mlops models promote digits@v1 staging
    """
    from mlops_cli.registry import decide

    def work(bench: Workbench, author: Author) -> Decided:
        _sound(bench, model)
        return decide.promote(bench.root, bench.batch, model, alias, author)

    done: Decided = _doing(work, message, sign, key)
    return _tell('promote', 'promoted', done, alias, json)


def rollback(
    name: Annotated[str, options.Argument(metavar='MODEL', help='A model.')],
    alias: Alias,
    to: Annotated[
        str, options.Option('--to', metavar='VERSION', help='To this one, which held it once. Default: the one before.')
    ] = '',
    message: Message = '',
    sign: Sign = False,
    key: Key = '',
    json: options.Json = False,
) -> int:
    """Give an alias back to the version that held it before.  Nothing is taken out of the history.

    Example:  mlops models rollback digits prod -m "latency doubled"
    """
    from mlops_cli.registry import decide

    done: Decided = _doing(
        lambda bench, author: decide.rollback(bench.root, bench.batch, name, alias, to, author), message, sign, key
    )
    return _tell('rollback', 'rolled back to', done, alias, json)


def _tell(command: str, word: str, done: Decided, alias: str, json: bool) -> int:
    version, judged = done.named.version, done.judgement
    assert judged is not None
    if json:
        print_json({
            'schema': f'mlops/models-{command}/v1', 'model': version.name, 'version': version.label, 'id': version.id,
            'alias': alias, 'before': done.before.id if done.before else '', 'changed': done.fact is not None,
            'gates': list(judged.gates), 'approvals': [fact.who.shown for fact in judged.approvals], 'needed': judged.needed,
            'signed': bool(done.fact and done.fact.signature), 'file': done.path,
        })  # fmt: skip
        return 0
    if done.fact is None:
        out(Line(f'  unchanged {done.named.shown} holds {alias} already'))
        return 0
    was = f' (was {done.before.label})' if done.before else ''
    out(Line(f'  done      {word} {done.named.shown}: {alias}{was}', 'done'))
    for text in judged.gates:
        out(f'            {one_line(text)}')
    for fact in judged.approvals:
        said = f': {one_line(fact.text)}' if fact.text else ''
        out(f'            approved by {one_line(fact.who.shown)}, {fact.when[:10]}{said}')
    if command == 'promote':
        _tell_unasked(done, alias)
    keep_line()
    return 0


def _tell_unasked(done: Decided, alias: str) -> None:
    if done.judgement is not None and not done.judgement.policies:
        where = f': did you mean {done.near}?' if done.near else ' (models: in .mlops/config.yaml)'
        out(f'            no policy asks anything of {alias}{where}')


def tag(
    model: About,
    tags: Annotated[list[str], options.Argument(metavar='TAG...', help='Words, or such as use-case=ocr.')],
    remove: Annotated[bool, options.Option('--remove', help='Take them away.')] = False,
    json: options.Json = False,
) -> int:
    """Tag a model or a version; use-case=NAME groups models.  One with the same word before its = is taken the place of.

    Example:  mlops models tag digits use-case=ocr
    """
    from mlops_cli.registry import decide

    about, now, paths = _doing(
        lambda bench, author: decide.tag(bench.root, bench.batch, model, list(map(bench.redact, tags)), remove, author), ''
    )
    if json:
        print_json({'schema': 'mlops/models-tag/v1', 'about': about, 'tags': list(now), 'files': paths})
        return 0
    out(Line(f'  {"done" if paths else "unchanged":<9} {about}: {one_line(", ".join(now)) or "no tags"}', 'done'))
    if paths:
        keep_line()
    return 0


def note(
    model: About,
    text: Annotated[str, options.Argument(metavar='TEXT', help='What there is to say; others read it, in git too.')],
    json: options.Json = False,
) -> int:
    """Write a note about a model or a version, which show, card and history tell.

    Example:  mlops models note digits@v1 "weak on sevens with a bar"
    """
    from mlops_cli.registry import decide

    about, path, said = _doing(
        lambda bench, author: (*decide.note(bench.root, bench.batch, model, author), author.text), text
    )
    if json:
        print_json({'schema': 'mlops/models-note/v1', 'about': about, 'file': path})
        return 0
    out(Line(f'  done      {about}: {one_line(said)[:200]}', 'done'))
    keep_line()
    return 0
