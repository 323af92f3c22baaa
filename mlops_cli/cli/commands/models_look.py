"""``mlops models list``, ``show``, ``diff``, ``history``, ``card``: they read, and execute nothing of the project."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.commands.models_take import Model
from mlops_cli.cli.console import out, out_lines, print_json, say, width
from mlops_cli.cli.folder import Folder
from mlops_cli.core.errors import ExitCode

if TYPE_CHECKING:
    from mlops_cli.records.config import Config
    from mlops_cli.records.model_files import Model as Recorded
    from mlops_cli.records.model_files import Models
    from mlops_cli.records.models import Fact, Version
    from mlops_cli.registry.headers import Header
    from mlops_cli.usage.cost import Cost

FOUND = exits.line(ExitCode.REFUSED, failed='what is recorded is damaged')


def register_commands(app: Folder) -> None:
    for name, function in (('list', list_models), ('show', show), ('diff', diff), ('history', history), ('card', card)):
        app.command(name, epilog=FOUND)(function)


@contextmanager
def _opened() -> Iterator[tuple[Models, Config]]:
    from mlops_cli.cli.wiring import open_project
    from mlops_cli.fsio.paths import Root
    from mlops_cli.records.model_files import Models

    project = open_project()
    with Root(project.folder) as root:
        yield Models(root), project.config


def list_all() -> int:
    return list_models()


def list_models(
    names: Annotated[list[str] | None, options.Argument(metavar='[MODEL]...', help='Models. Default: all.')] = None,
    every: Annotated[bool, options.Option('--all', help='Every version, not only the latest and those with an alias.')] = False,
    tagged: Annotated[
        list[str] | None,
        options.Option('--tag', metavar='TAG', help='Only what has this tag, such as use-case=ocr. May be repeated.'),
    ] = None,
    uses: Annotated[
        str, options.Option('--uses', metavar='PATH', help='Only what was made from this data or code, or something below it.')
    ] = '',
    json: options.Json = False,
) -> int:
    """The models and their versions: aliases, numbers, who registered them and when.  A model that is named is listed whole.

    Example:  mlops models list --json | jq -r '.rows[] | [.model, .version, .aliases] | @tsv'
    """
    from mlops_cli.cli.model_documents import row
    from mlops_cli.cli.screens.models import list_lines, warning_lines
    from mlops_cli.records.model_names import find

    with _opened() as (models, _):
        chosen = [find(models, name.partition('@')[0]) for name in dict.fromkeys(names or ())] or list(models.all.values())
        if not names:
            chosen.sort(key=_use_case)
        wanted = {*(tagged or ())}
        path = _from_root(models, uses) if uses else ''
        pairs = [
            (model, version)
            for model in chosen
            for version in _versions(model, every or bool(names) or bool(uses))
            if wanted <= {*_tags(model, version)} and (not path or _uses(version, path))
        ]
        total = sum(len(model.versions) for model in chosen)
        if json:
            print_json({'schema': 'mlops/models-list/v1', 'rows': [row(model, version) for model, version in pairs]})
        elif pairs:
            hidden = 0 if wanted or uses else total - len(pairs)
            out_lines(list_lines(pairs, time.time(), width(sys.stdout), hidden))
        elif total:
            out('No model fits.')
        else:
            out('No models yet. A stage with model: {name: NAME, path: OUTPUT} makes one; then: mlops models register')
        warnings = warning_lines(chosen)
        for line in warnings:
            say(line)
    return ExitCode.FAILED if any(model.problems for model in chosen) else ExitCode.DONE


def _use_case(model: Recorded) -> tuple[str, str]:
    """Models of one use case beside each other, those of none last."""
    from mlops_cli.records.model_standing import USE_CASE, tag_value, tags

    return tag_value(tags(model, None), USE_CASE) or chr(0x10FFFF), model.name


def _from_root(models: Models, word: str) -> str:
    from mlops_cli.cli.wiring import project_relative

    return project_relative(models.root.path, word)


def _uses(version: Version, path: str) -> bool:
    from mlops_cli.core.paths import inside

    return any(inside(one, path) for one, _ in (*version.data, *version.code))


def _versions(model: Recorded, every: bool) -> list[Version]:
    """Newest first."""
    from mlops_cli.records.model_standing import holders

    found = list(reversed(model.numbered))
    if every or not found:
        return found
    held = {digest for holder in holders(model).values() for digest in holder.versions}
    return [one for one in found if one.number == found[0].number or one.digest in held]


def _tags(model: Recorded, version: Version) -> tuple[str, ...]:
    from mlops_cli.records.model_standing import tags

    return (*tags(model, None), *tags(model, version.digest))


def show(model: Model, json: options.Json = False) -> int:
    """All about a version: what it is, how good, from which data, code and parameters, by whom, what it cost.

    Example:  mlops models show digits@v1
    """
    from mlops_cli.cli import model_documents
    from mlops_cli.cli.console import Line
    from mlops_cli.cli.screens.models import show_lines, warning_lines
    from mlops_cli.records.model_names import resolve_in

    with _opened() as (models, config):
        named = resolve_in(models, model)
        version, recorded = named.version, named.model
        cost, header = _cost(models, config, version), _header(config, version)
        notes = [fact for fact in recorded.of_kind('note') if fact.version in (None, version.digest)]
        for note in named.notes:
            say(Line(f'note: {note}', 'note:'))
        if json:
            extra: dict[str, Any] = {
                'format': header.format if header else '', 'header': header.facts if header else {},
                'warning': header.warning if header else '', 'alias': named.alias,
                'notes': [{'who': fact.who.name, 'when': fact.when, 'text': fact.text} for fact in notes],
            }  # fmt: skip
            print_json(model_documents.show(recorded, version, cost, config.currency, extra))
            return 0
        out_lines(show_lines(recorded, version, cost, header, notes, time.time(), width(sys.stdout)))
        for line in warning_lines([recorded]):
            say(line)
    return 0


def _cost(models: Models, config: Config, version: Version) -> Cost | None:
    """At the prices of its day; None where the run that made it is not recorded here."""
    from mlops_cli.core.errors import UserError
    from mlops_cli.records.costs import book_of, costs_of
    from mlops_cli.records.runs import Runs

    try:
        run = Runs(models.root).get(version.made['run'])
    except (KeyError, OSError, UserError):
        return None
    rows = zip(run.stages, costs_of(run, book_of(config)), strict=True)
    return next((cost for one, cost in rows if one.name == version.stage), None)


def _header(config: Config, version: Version) -> Header | None:
    """Of a file that is in this cache."""
    from mlops_cli.core import layout
    from mlops_cli.registry.headers import header_of

    if version.ref.kind == 'tree':
        return None
    digits = version.ref.digest.hex
    path = os.path.join(config.cache, layout.OBJECTS, digits[:2], digits[2:])
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with open(fd, 'rb') as opened:

        def read(count: int) -> bytes:
            opened.seek(0)
            return opened.read(count)

        return header_of(os.fstat(fd).st_size, read)


def diff(
    before: Annotated[str, options.Argument(metavar='MODEL', help='NAME@VERSION or NAME@ALIAS.')],
    after: Annotated[
        str, options.Argument(metavar='[MODEL]', help='The same. Default: the latest of that name.', show_default=False)
    ] = '',
    json: options.Json = False,
) -> int:
    """What differs between two versions: metrics, parameters, data, code, commands, environment.

    Example:  mlops models diff digits@prod digits@latest
    """
    from mlops_cli.cli.screens.models import diff_lines
    from mlops_cli.records.model_names import resolve_in
    from mlops_cli.registry.comparing import compare

    with _opened() as (models, _):
        one = resolve_in(models, before).version
        name = before.partition('@')[0]
        two = resolve_in(models, f'{name}@{after[1:]}' if after.startswith('@') else after or name).version
    rows = compare(one, two)
    if json:
        sides = {'before': f'{one.name}@{one.id}', 'after': f'{two.name}@{two.id}'}
        print_json({'schema': 'mlops/models-diff/v1', **sides, 'rows': rows})
    else:
        out_lines(diff_lines(one, two, rows, width(sys.stdout)))
    return 0


def history(
    model: Annotated[str, options.Argument(metavar='MODEL', help='A model; with @VERSION only what concerns it.')],
    alias: Annotated[str, options.Option('--alias', metavar='ALIAS', help='Only what happened to this alias.')] = '',
    json: options.Json = False,
) -> int:
    """Everything that happened to a model, newest first: registered, approved, promoted, rolled back, tagged, noted, by whom.

    Example:  mlops models history digits --alias prod
    """
    from mlops_cli.cli.model_documents import fact_row
    from mlops_cli.cli.screens.models import history_lines, warning_lines
    from mlops_cli.records.model_names import find, resolve_in
    from mlops_cli.records.models import Version

    with _opened() as (models, _):
        recorded = find(models, model.partition('@')[0])
        digest = resolve_in(models, model).version.digest if '@' in model else None
        every: list[Version | Fact] = [*recorded.versions.values(), *recorded.facts.values()]
        rows = []
        for one in sorted(every, key=lambda one: one.when, reverse=True):
            about = one.digest if isinstance(one, Version) else one.version
            if (digest is None or about == digest) and (not alias or (not isinstance(one, Version) and one.alias == alias)):
                rows.append(one)
        if json:
            print_json({'schema': 'mlops/models-history/v1', 'rows': [fact_row(recorded, one) for one in rows]})
        elif rows:
            out_lines(history_lines(recorded, rows, width(sys.stdout)))
        else:
            out('Nothing of that kind happened yet.')
        for line in warning_lines([recorded]):
            say(line)
    return ExitCode.FAILED if recorded.problems else ExitCode.DONE


def card(model: Model, json: options.Json = False) -> int:
    """The model card: a page in Markdown about a version, out of what is recorded.

    Example:  mlops models card digits@v1 > MODEL_CARD.md
    """
    from mlops_cli.records.model_names import resolve_in
    from mlops_cli.report.model_card import markdown

    with _opened() as (models, config):
        named = resolve_in(models, model)
        cost, header = _cost(models, config, named.version), _header(config, named.version)
        text = markdown(named.model, named.version, cost, header)
    if json:
        version = named.version
        print_json({'schema': 'mlops/models-card/v1', 'model': version.name, 'version': version.label, 'markdown': text})
    else:
        out_lines(text.splitlines(), foreign=True)
    return 0
