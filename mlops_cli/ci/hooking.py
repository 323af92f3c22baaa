"""What each hook looks at, as findings.  Changes nothing, asks no network, and runs nothing of the project."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import inside
from mlops_cli.core.units import plural, show_size
from mlops_cli.git import hooking, top
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.records import data, models
from mlops_cli.records.pins import is_pin
from mlops_cli.run.remotes import chosen
from mlops_cli.run.sent import Sent, name_of_data
from mlops_cli.run.workbench import Workbench

BIG = 10_000_000  # bytes of a file beyond which it is rather tracked data
NAMED = 3
RECORDS = (layout.STAGES, layout.DATA, layout.ACCEPTED, layout.MODELS)
LIMIT = 1 << 20  # bytes of a record
PINS, NO_COMMIT = '.json', '0'


@dataclass(frozen=True, slots=True)
class Finding:
    """``stops``: what git is about to do is to be refused; else it is only said."""

    text: str
    hint: str
    stops: bool = True


def named(names: Collection[str]) -> str:
    more = f' and {len(names) - NAMED} more' if len(names) > NAMED else ''
    return ', '.join(sorted(names)[:NAMED]) + more


def before_commit(bench: Workbench, plan: Plan, environ: Mapping[str, str]) -> list[Finding]:
    """The pipeline was read, or there were no plan."""
    staged = hooking.staged(bench.root.path, environ)
    found = _big(bench, staged)
    left = hooking.not_staged(bench.root.path, RECORDS, environ)
    left = tuple(path for path in left if bench.root.stat(path) is not None)
    if left and staged:
        kinds = 'results, data and models' if any(inside(path, layout.MODELS) for path in left) else 'results and data'
        what = plural(len(left), 'record') + f' of {kinds} ({named(_stages(left))})'
        found.append(Finding(f'{what} would not be in this commit', _typed(bench, 'git', f'add {layout.ROOT}')))
    stale = [step.stage for step in plan.steps if step.verdict in (Verdict.RUN, Verdict.MAYBE, Verdict.BLOCKED)]
    if stale and any(not inside(path, layout.ROOT) for path in staged):
        text = f'{plural(len(stale), "stage")} out of date with what is here: {named(stale)}'
        found.append(Finding(text, 'mlops run, or later', stops=False))
    return found


def _big(bench: Workbench, staged: Mapping[str, str]) -> list[Finding]:
    """Files that are larger than git is good for, unless a stage says that git is to have them."""
    kept = _kept_by_git(bench.pipeline)
    sizes = hooking.sizes(bench.root.path, list(dict.fromkeys(staged.values())))
    found = []
    for path, blob in sorted(staged.items()):
        size = sizes.get(blob, 0)
        if size > BIG and not any(inside(path, one) for one in kept):
            made = bench.describer.maker_of(path)
            word = shlex.quote(path)
            gone = _typed(bench, 'git', f'rm --cached -- {word}')
            hint = f'{gone} && {_typed(bench, "mlops", f"add {word}")}'
            if made is not None:
                hint = f'{gone}   ({made} makes it, and its cache keeps it)'
            found.append(Finding(f'{path}, {show_size(size)}, is about to enter git, which keeps it for ever', hint))
    return found


def _kept_by_git(pipeline: Pipeline) -> list[str]:
    return [output.path for stage in pipeline.stages.values() for output in stage.outputs if not output.cache]


def _stages(records: Sequence[str]) -> set[str]:
    """As far as the names of the files tell."""
    found = set()
    for path in records:
        if inside(path, layout.MODELS):
            found.add('model ' + path.removeprefix(f'{layout.MODELS}/').partition('/')[0])
            continue
        name = path.removeprefix(f'{layout.DATA}/').rpartition('/')[2] if inside(path, layout.STAGES) else path
        found.add(name.partition('~')[0] if '~' in name else path.removeprefix(f'{layout.DATA}/').removesuffix(PINS))
    return found


def after_checkout(folder: str, before: str, after: str) -> list[Finding]:
    """What came with another commit, and how to get it.  ``folder``: of the project."""
    if before == after:
        return []
    if not before.strip(NO_COMMIT):  # a clone, a new worktree
        hint = 'mlops pull, or mlops checkout where the cache is here'
        return [Finding('tracked data and outputs are not in git', hint, stops=False)]
    changed = hooking.changed_between(folder, before, after, RECORDS)
    other = {path.removeprefix(f'{layout.DATA}/').removesuffix(PINS) for path in changed if inside(path, layout.DATA)}
    pins = [path for path, letter in changed.items() if inside(path, layout.STAGES) and letter == 'A']
    gone = [path for path, letter in changed.items() if inside(path, layout.STAGES) and letter == 'D']
    parts = []
    if other:
        parts.append(f'other tracked data ({named(other)})')
    if pins or gone:
        parts.append(f'other results of {named(_stages([*pins, *gone]))}')
    if not parts:
        return []
    return [Finding(f'this commit has {" and ".join(parts)}', 'mlops checkout; what is not here: mlops pull', stops=False)]


def _typed(bench: Workbench, program: str, words: str) -> str:
    """A command as it works from the top of the repository, where git calls hooks, and most people call git."""
    root = os.path.realpath(bench.root.path)
    return f'{program} {words}' if top(root) in (None, root) else f'{program} -C {shlex.quote(root)} {words}'


def before_push(bench: Workbench, remote: str, refs: Sequence[str]) -> list[Finding]:
    """``refs``: as git says them, one a line: local ref, local commit, remote ref, remote commit."""
    commits = sorted({row.split()[1] for row in refs if len(row.split()) == 4} - {''})
    commits = [commit for commit in commits if commit.strip(NO_COMMIT)]
    if not commits or not bench.config.remotes:
        return []
    try:
        name = chosen(bench.config.remotes, '')
    except UserError:
        return []
    brought = hooking.brought_along(bench.root.path, commits, remote, RECORDS)
    known = Sent(bench.root, bench.config.remotes[name].url).names() or frozenset()
    there = hooking.held_by(bench.root.path, commits, brought, LIMIT)  # on whatever branch one is
    missing = [path for path in brought if path in there and not _is_sent(path, there[path], known)]
    if not missing:
        return []
    text = f'{named(_stages(missing))}: what these commits record was not sent to {name} yet, as far as is known here'
    return [Finding(text, _typed(bench, 'mlops', 'push'))]


def _is_sent(path: str, contents: Sequence[bytes], known: Collection[str]) -> bool:
    """Whether what records of these contents name is known to be in the remote; what is no such record says nothing."""
    if inside(path, layout.STAGES):
        name = path.rpartition('/')[2]
        return not is_pin(name) or name in known
    for content in contents:
        try:
            if inside(path, layout.DATA):
                record = data.decode(content, path)
                if name_of_data(record.path, record.ref) not in known:
                    return False
            elif inside(path, layout.MODELS):
                one = models.decode(content, path)
                if isinstance(one, models.Version):
                    mark = f'~{one.results[0][1].hex[:16]}-'  # of the pin of its result
                    if not any(mark in name for name in known):
                        return False
        except UserError:
            continue  # verify tells what is damaged
    return True
