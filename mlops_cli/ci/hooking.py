"""What each hook looks at, as findings.  Changes nothing, asks no network, and runs nothing of the project."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import inside
from mlops_cli.core.units import plural, show_size
from mlops_cli.git import hooking
from mlops_cli.pipeline.spec import Pipeline
from mlops_cli.plan.model import Plan, Verdict
from mlops_cli.records.data import record_path
from mlops_cli.run.remotes import chosen
from mlops_cli.run.sent import Sent, name_of_data
from mlops_cli.run.workbench import Workbench

BIG = 10_000_000  # bytes of a file beyond which it is rather tracked data
NAMED = 3
RECORDS = (layout.STAGES, layout.DATA, layout.ACCEPTED)
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
        what = plural(len(left), 'record') + f' of results and data ({named(_stages(left))})'
        found.append(Finding(f'{what} would not be in this commit', f'git add {layout.ROOT}'))
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
            hint = f'git rm --cached -- {word} && mlops add {word}'
            if made is not None:
                hint = f'git rm --cached -- {word}   ({made} makes it, and its cache keeps it)'
            found.append(Finding(f'{path}, {show_size(size)}, is about to enter git, which keeps it for ever', hint))
    return found


def _kept_by_git(pipeline: Pipeline) -> list[str]:
    return [output.path for stage in pipeline.stages.values() for output in stage.outputs if not output.cache]


def _stages(records: Sequence[str]) -> set[str]:
    """As far as the names of the files tell."""
    found = set()
    for path in records:
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
    data = {path.removeprefix(f'{layout.DATA}/').removesuffix(PINS) for path in changed if inside(path, layout.DATA)}
    pins = [path for path, letter in changed.items() if inside(path, layout.STAGES) and letter == 'A']
    gone = [path for path, letter in changed.items() if inside(path, layout.STAGES) and letter == 'D']
    parts = []
    if data:
        parts.append(f'other tracked data ({named(data)})')
    if pins or gone:
        parts.append(f'other results of {named(_stages([*pins, *gone]))}')
    if not parts:
        return []
    return [Finding(f'this commit has {" and ".join(parts)}', 'mlops checkout; what is not here: mlops pull', stops=False)]


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
    pins = [path for path in brought if inside(path, layout.STAGES) and path.rpartition('/')[2] not in known]
    pins = [path for path in pins if bench.root.stat(path) is not None]
    records = {record_path(path): name_of_data(path, ref) for path, ref in bench.tracked.items()}
    data = [path for path in brought if path in records and records[path] not in known]
    if not pins and not data:
        return []
    text = f'{named(_stages([*pins, *data]))}: what these commits record was not sent to {name} yet, as far as is known here'
    return [Finding(text, 'mlops push; to send the commits all the same: git push --no-verify')]
