"""What of the project's own files is wrong or worth knowing."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.checks.doctor.facts import Facts, Finding, Stored
from mlops_cli.core import layout
from mlops_cli.core.units import plural, show_size

RECORDS = 5  # told one by one
MUCH_KEPT = 1_000_000_000  # bytes
LARGE_CACHE = 100_000_000_000


def project(facts: Facts) -> Iterator[Finding]:
    if not facts.project:
        if facts.dvc:
            fix = 'mlops adopt dvc: it takes the project over, and runs nothing'
            yield Finding('project', 'wrong', 'a dvc.yaml, and no pipeline.yaml: mlops reads the latter', fix)
        else:
            fix = 'mlops init, or cd to a project'
            yield Finding('project', 'wrong', f'no pipeline.yaml in {facts.here} or above it', fix)
    elif facts.included_by:
        text = (
            f'this pipeline is included by {facts.included_by}: seen from here it is a second project, with results of its own'
        )
        yield Finding('project', 'wrong', text, f'mlops -C {facts.included_by.rpartition("/")[0] or "/"} ...')
    elif facts.around:
        text = f'this project lies inside another one, {facts.around}, which does not include it'
        yield Finding('project', 'note', text, 'nothing, if that is meant; else include: [.../pipeline.yaml] there')


def errors(facts: Facts) -> Iterator[Finding]:
    for error in facts.errors[:20]:
        yield Finding('input', 'wrong', error.message, error.hint, str(error.where or ''))
    if len(facts.errors) > 20:
        yield Finding('input', 'wrong', f'and {len(facts.errors) - 20} more mistakes', 'mlops plan shows all')


def records(facts: Facts) -> Iterator[Finding]:
    told = [error for error in facts.damaged if not (error.where and error.where.file in facts.git.conflicts)]
    for error in told[:RECORDS]:
        yield Finding('records', 'wrong', error.message, error.hint, str(error.where or ''))
    if len(told) > RECORDS:
        yield Finding('records', 'wrong', f'and {len(told) - RECORDS} more records that cannot be read', 'git status .mlops')


def cache(facts: Facts) -> Iterator[Finding]:
    if facts.own.quarantine.files:
        found = facts.own.quarantine
        text = f'{plural(found.files, "damaged object")} put aside in the cache ({_size(found)}): the disk may be failing'
        yield Finding('cache', 'wrong', text, f'mlops verify; then look at {found.path}, and remove it')
    if facts.own.cache.bytes >= LARGE_CACHE:
        text = f'the cache has {_size(facts.own.cache)}'
        yield Finding(
            'cache', 'note', text, 'nothing, if there is room; mlops gc takes out what nothing needs any more'
        )
    if facts.own.trash.files:
        text = f'{_size(facts.own.trash)} of what gc took out can be deleted for good'
        yield Finding('cache', 'note', text, 'mlops gc, or to have it back: mlops gc --undo')
    for path in facts.own.gone[:RECORDS]:
        text = f'the project {path} used this cache and is not there, so mlops gc refuses'
        yield Finding('cache', 'note', text, f'bring it back (mount its disk), or: mlops gc --forget {path}')


def local(facts: Facts) -> Iterator[Finding]:
    for path, problem in sorted(facts.own.databases.items()):
        yield Finding(
            'local',
            'note',
            f'{path} is damaged ({problem}): it is only a memory of what the disk looked like',
            'nothing: the next command makes it anew',
        )
    if facts.own.journals:
        killed = plural(len(facts.own.journals), 'command was', 'commands were')
        text = f'{killed} killed here, and what was in flight is not put back yet'
        yield Finding('local', 'note', text, 'the next mlops run does it')
    if facts.own.leftovers:
        text = f'{plural(len(facts.own.leftovers), "folder")} in which killed commands worked: {facts.own.leftovers[0]}'
        yield Finding('local', 'note', text, 'the next mlops run, gc or reproduce removes it')
    if facts.own.ignore_lines:
        text = f'{layout.GITIGNORE} lacks {", ".join(facts.own.ignore_lines)}: git would take what belongs to this machine'
        yield Finding('local', 'wrong', text, 'the next mlops run adds it')


def kept(facts: Facts) -> Iterator[Finding]:
    for stored, what in ((facts.own.rescue, 'outputs that were in the way'), (facts.own.failed, 'outputs of failed stages')):
        if stored.bytes >= MUCH_KEPT:
            text = f'{_size(stored)} of {what} are kept in {stored.path}'
            yield Finding('kept', 'note', text, f'look, then rm -r {stored.path}')


def confirmed(facts: Facts) -> Iterator[Finding]:
    for name, leads_to in facts.unconfirmed:
        text = f'{name} came with git and leads to {leads_to}: nothing goes there before you confirm it'
        yield Finding('confirmed', 'note', text, f'mlops config confirm {name}', layout.CONFIG)


def editor(facts: Facts) -> Iterator[Finding]:
    if facts.own.schema is False:
        text = f'{layout.EDITOR_SCHEMA} is of another version of mlops: editors complete by it'
        yield Finding('editor', 'note', text, 'mlops init --schema')


def _size(stored: Stored) -> str:
    return f'{"" if stored.all else "more than "}{show_size(stored.bytes)}'
