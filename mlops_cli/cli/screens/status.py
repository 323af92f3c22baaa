"""The status page, read off the plan and what else stands.  Values in, lines out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from mlops_cli.cli.console import Line, cells, clip, one_line, pad, plain, wrap
from mlops_cli.cli.context import typed
from mlops_cli.cli.going_on import died_lines
from mlops_cli.cli.narrow import narrowed
from mlops_cli.cli.quick.form import open_moment
from mlops_cli.cli.rows import Row, notes, rows
from mlops_cli.cli.standing import IN_PLACE, NO_WAY_BACK, NOT_HERE, NOWHERE, Standing, Working, ended_at
from mlops_cli.cli.unchanged import note
from mlops_cli.cli.words import Groups, ago, fold, some
from mlops_cli.core.paths import shell_word
from mlops_cli.core.units import plural, show_seconds
from mlops_cli.plan.model import Plan, Step, Verdict

INDENT = 22  # columns before what is said about something
LEAST = 24  # columns for what is said
MOST_ROWS = 30
REASONS = 4
NAMED = 6  # paths of a kind
LONGEST_AGO = 15  # cells


def with_open_moment(lines: Sequence[Line], standing: Standing, columns: int) -> list[Line] | None:
    """The page, with how long ago the last run was left to be put into words later, by quick.form.in_words; None where other
    words could break the line."""
    if standing.last is None:
        return list(lines)
    head, moment = lines[0], ended_at(standing.last)
    words = ago(standing.now - moment)
    before, found, after = head.text.rpartition(words)
    if not found or not after.endswith('.') or cells(before + after) + LONGEST_AGO > columns:
        return None
    return [head._replace(text=f'{before}{open_moment(moment)}{after}'), *lines[1:]]


def status_lines(plan: Plan, standing: Standing, groups: Groups, columns: int, *, everything: bool = False) -> list[Line]:
    """The page.  ``everything``: nothing folded or left out."""
    page = _Page(plan, groups, columns, everything)
    page.head(standing)
    page.stale()
    page.blocked()
    page.quiet_ones()
    page.running(standing)
    page.data(standing)
    page.by_hand(standing)
    page.notes(standing)
    page.uncommitted(standing)
    page.unpulled(standing)
    page.unsent(standing)
    page.cosmetic(standing)
    return narrowed(page.lines, columns, whole=everything)


class _Page:
    def __init__(self, plan: Plan, groups: Groups, columns: int, everything: bool) -> None:
        self.plan, self.groups, self.columns, self.everything = plan, groups, columns, everything
        self.lines: list[Line] = []
        widest = max((cells(one_line(step.stage)) for step in plan.steps), default=0)
        self.indent = min(max(INDENT, min(widest, columns * 2 // 5) + 4), columns - LEAST)

    def put(self, text: str, word: str = '') -> None:
        self.lines.append(Line(text.rstrip(), word))

    def beside(self, name: str, texts: Sequence[str], word: str = '') -> None:
        """A name, and beside it sentences, each on a line of its own; a command in brackets stays where there is room."""
        room = self.columns - self.indent
        if len(texts) == 2 and texts[1].startswith('(') and cells(texts[0]) + cells(texts[1]) + 3 <= room:
            texts = [f'{texts[0]}   {texts[1]}']
        lines = [line for text in texts for line in ([text] if cells(text) <= room else _hanging(text, room))] or ['']
        if cells(name) >= self.indent:
            self.put(name, word)
        else:
            self.put(f'{pad(name, self.indent)}{lines.pop(0)}', word)
        for line in lines:
            self.put(' ' * self.indent + line)

    def with_command(self, text: str, command: str) -> None:
        """``Stale, 4 ...      (mlops plan)``, the command below where there is no room beside."""
        gap = max(self.indent, self.columns - cells(command) - 2 if self.columns < 90 else 64)
        if cells(text) + 2 <= gap:
            self.put(f'{pad(text, gap)}({command})')
        else:
            self.put(text)
            self.put(f'{" " * self.indent}({command})')

    def steps(self, *verdicts: Verdict) -> list[Step]:
        return [step for step in self.plan.steps if step.verdict in verdicts]

    def head(self, standing: Standing) -> None:
        if standing.branch is None:
            where = standing.no_git[:1].upper() + standing.no_git[1:]
        else:
            name = one_line(standing.branch) or f'no branch, commit {standing.commit[:8]}'
            where = f'Branch {name}' if standing.branch else f'On {name}'
        last = standing.last
        if last is None:
            self.put(f'{where}, {"no record of a run can be read" if standing.unread else "no run yet"}.')
        else:
            ended = '' if last.ended == 'done' else f', {last.ended}'
            self.put(f'{where}, last run {last.short} {ago(standing.now - ended_at(last))}{ended}.')
        if self.plan.steps and len(self.steps(Verdict.FRESH)) == len(self.plan.steps):
            self.put(f'Up to date: {plural(len(self.plan.steps), "stage")}.', 'done')
        self.lines += died_lines(standing.died, self.columns)

    def stale(self) -> None:
        steps = self.steps(Verdict.RUN, Verdict.RESTORE)
        if not steps:
            return
        restorable = len(self.steps(Verdict.RESTORE))
        tail = f' ({"all" if restorable == len(steps) else restorable} can be restored)' if restorable else ''
        self.put('')
        self.with_command(f'Stale, {len(steps):,}{tail}', 'mlops plan')
        found = rows(steps, self.groups, folded=not self.everything)
        for row in found if self.everything else found[:MOST_ROWS]:
            self._row(row)
        if not self.everything and len(found) > MOST_ROWS:
            self.put(f'  and {sum(len(row.steps) for row in found[MOST_ROWS:]):,} more (mlops plan)')

    def _row(self, row: Row) -> None:
        why = row.why
        if not self.everything and len(why) > REASONS:
            why = [*why[:REASONS], f'and {len(why) - REASONS} more (mlops explain)']
        self.beside(f'  {row.name}', why)

    def blocked(self) -> None:
        steps = [step for step in self.steps(Verdict.BLOCKED) if step.reasons]
        waiting = [step for step in self.steps(Verdict.BLOCKED) if not step.reasons]
        if not steps:
            return
        from mlops_cli.cli.screens.plan import advice

        self.put('')
        self.put(f'Blocked, {len(steps) + len(waiting):,}', 'Blocked')
        for row in rows(steps, self.groups, folded=not self.everything):
            reasons = [
                f'{line}. {advice(one.kind, one.subject, one.detail)}'
                for line, one in zip(row.why, row.steps[0].reasons, strict=False)
            ]
            self.beside(f'  {row.name}', reasons[:REASONS])
        if waiting:
            self.beside('  waiting for those', [self._names(waiting)])

    def quiet_ones(self) -> None:
        maybe, fresh = self.steps(Verdict.MAYBE), self.steps(Verdict.FRESH)
        if maybe:
            self.beside(f'Downstream, {len(maybe):,}', [self._names(maybe)])
        if fresh and len(fresh) != len(self.plan.steps):
            self.beside(f'Fresh, {len(fresh):,}', [self._names(fresh)])

    def _names(self, steps: Iterable[Step]) -> str:
        names = fold([step.stage for step in steps], self.groups)
        return ', '.join(names if self.everything else some(names, 12))

    def running(self, standing: Standing) -> None:
        if standing.running:
            self.put('')
            self.put('Running now')
        for one in standing.running[:MOST_ROWS]:
            self.beside(f'  {one_line(one.stage)}', [_doing(one, standing.now)])
        if standing.running:
            self.put(f'{" " * self.indent}(mlops logs {one_line(shell_word(standing.running[0].stage))} --follow)')
        for run in dict.fromkeys(one.run for one in standing.running if one.run):
            self.put(f'{" " * self.indent}(mlops runs attach {one_line(run)})')

    def data(self, standing: Standing) -> None:
        changes, old = standing.data or {}, standing.old or {}
        mlops = one_line(typed('mlops', standing.folder))
        if changes or old:
            self.put('')
            self.put('Data')
        for path, text in list(changes.items())[:MOST_ROWS]:
            word = one_line(shell_word(path))
            steps = [f'(keep: {mlops} add {word})', f'(go back: {mlops} checkout {word})']
            if text == NOT_HERE:
                steps = [f'({mlops} checkout {word})']
            elif text.startswith(NOWHERE):
                steps = []
            elif text.endswith(IN_PLACE):
                steps = [f'(keep: {mlops} import --in-place {word})']
            elif text.endswith(NO_WAY_BACK):
                steps = steps[:1]
            self.beside(f'  {one_line(path)}', [one_line(text), *steps])
        for path, text in list(old.items())[:MOST_ROWS]:
            command = 'add' if text.startswith('added') else 'update'
            self.beside(f'  {one_line(path)}', [one_line(text), f'({mlops} {command} {one_line(shell_word(path))})'])

    def by_hand(self, standing: Standing) -> None:
        changed = [(path, step.stage) for step in self.plan.steps for path in step.changed_by_hand]
        if changed:
            self.put('')
            self.put('Changed by hand')
        mlops = one_line(typed('mlops', standing.folder))
        for path, stage in changed[:MOST_ROWS]:
            force = '--force ' if standing.unsaved is None or path in standing.unsaved else ''
            texts = [f'not what {one_line(stage)} made', f'({mlops} checkout {force}{one_line(shell_word(path))})']
            self.beside(f'  {one_line(path)}', texts)

    def notes(self, standing: Standing) -> None:
        """What of the code could not be followed, then the rest that the planner noted."""
        found = notes(self.plan, self.groups)
        for title, mine in (
            ('Code unknown', [one for one in found if one[0] in standing.unknown_code]),
            ('Worth knowing', [one for one in found if one[0] not in standing.unknown_code]),
        ):
            if mine:
                self.put('')
                self.put(title)
            for sentence, stages in mine if self.everything else mine[:MOST_ROWS]:
                self.beside(f'  {stages}', [one_line(sentence)])

    def uncommitted(self, standing: Standing) -> None:
        """What a colleague would miss after a clone."""
        lacking = standing.uncommitted
        parts = [f'{plural(len(lacking.records), "file")} in .mlops'] if lacking.records else []
        files = list(map(one_line, lacking.files))
        parts += files if self.everything else some(files, NAMED)
        if parts or lacking.data or lacking.ignored:
            self.put('')
        if parts:
            adding = ' '.join(one_line(shell_word(path)) for path in lacking.to_add)
            self.beside('Not committed', [', '.join(parts), f'({one_line(typed("git", standing.folder))} add {adding})'])
        if lacking.data:
            names = ', '.join(some(list(map(one_line, lacking.data)), NAMED))
            tracking = ' '.join(one_line(shell_word(path)) for path in lacking.data[:NAMED])
            mlops = one_line(typed('mlops', standing.folder))
            self.beside('Nowhere but here', [f'{names}: stages read it, nobody tracks it', f'({mlops} add {tracking})'])
        if lacking.ignored:
            names = ', '.join(some(list(map(one_line, lacking.ignored)), NAMED))
            self.beside('Ignored by git', [f'{names}: stages use it, and a clone will lack it', '(.gitignore)'])

    def unpulled(self, standing: Standing) -> None:
        """What a remote may have of what would run."""
        if standing.unpulled is not None:
            self.put('')
            text = f'{one_line(standing.unpulled.outputs)}; {one_line(standing.unpulled.where)} may have them'
            self.beside('Not pulled', [text, '(mlops pull)'])

    def unsent(self, standing: Standing) -> None:
        """What the remote is not known to hold."""
        if standing.unsent is None:
            return
        remote, results, data, stays = standing.unsent
        parts = [plural(results, 'result')] if results else []
        parts += some(list(map(one_line, data)), NAMED)
        if parts:
            self.put('')
            self.beside('Not pushed', [f'{", ".join(parts)}, to {one_line(remote)}', '(mlops push)'])
            if stays:
                names = ', '.join(some(list(map(one_line, stays)), NAMED))
                self.beside('Stays here', [f'{names}   (push: false)'])

    def cosmetic(self, standing: Standing) -> None:
        if text := note(list(standing.cosmetic)):
            first, *more = wrap(f'note: {text}', self.columns)
            self.put(first, 'note:')
            for line in more:
                self.put(line)


def _doing(one: Working, now: float) -> str:
    if one.since is None:
        return f'held by another command   {one_line(plain(one.said)).strip()}'.rstrip()
    clock = time.strftime('%H:%M', time.localtime(one.since))
    host = one_line(one.host)
    head = f'{host} since {clock} ({show_seconds(max(0.0, now - one.since))})'
    return f'{head}, {one_line(plain(one.said)).strip()}'.rstrip(', ')


def _hanging(text: str, room: int) -> list[str]:
    first, *more = wrap(text, room - 2)
    return [clip(first, room), *(f'  {clip(line, room - 2)}' for line in more)]
