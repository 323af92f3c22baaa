"""Where something came from, and what was made from it, as a tree.  Values in, lines out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops_cli.cli.console import Line, one_line
from mlops_cli.cli.screens.branches import STATES, Branch, broken, draw, few, folded, natural
from mlops_cli.cli.words import value
from mlops_cli.core.units import plural, show_size
from mlops_cli.experiments.lineage_model import Downstream, Made, Source, Target, Upstream, Use
from mlops_cli.report.lineage_facts import is_data, maker_rows, result_facts, when

MOST = 40  # branches that are shown below one another
LONG = 200  # columns of one value


def head_lines(target: Target, columns: int) -> list[Line]:
    """What was asked about, and how it was found."""
    lines = [Line(text) for text in broken(one_line(target.title), columns)]
    return lines + [Line(f'  {text}') for said in target.said for text in broken(one_line(said), columns - 2)]


def note_lines(notes: Sequence[str], columns: int) -> list[Line]:
    lines = []
    for note in notes:
        rows = broken(f'note: {one_line(note)}', columns)
        lines += [Line(row, '' if number else 'note:') for number, row in enumerate(rows)]
    return lines


# Upstream


def upstream_lines(found: Upstream, columns: int, *, full: bool = False) -> list[Line]:
    """``full``: every file, parameter and package, every instance."""
    lines = head_lines(found.target, columns)
    for branch in _UpstreamTree(found, full).tops():
        lines += [Line(''), *draw(branch, columns)]
    return lines + note_lines(found.notes, columns)


class _UpstreamTree:
    """Makes branches of results; what stood there before is named, not drawn again."""

    def __init__(self, found: Upstream, full: bool) -> None:
        self.found, self.full = found, full
        self.drawn: set[str] = set()
        self.runs: set[str] = set()

    def tops(self) -> list[Branch]:
        found = [(identity, Branch('')) for identity in self.found.target.makers]
        waiting = list(reversed(found))
        while waiting:  # in the order in which it is read, however long a chain is
            identity, branch = waiting.pop()
            waiting += reversed(self._fill(identity, branch))
        tops = [branch for _, branch in found]
        return tops if self.full else folded(tops)

    def _fill(self, identity: str, branch: Branch) -> list[tuple[str, Branch]]:
        """Says what is known of a result; the branches below it, to be filled."""
        made = self.found.results[identity]
        branch.word = one_line(made.name)
        start = f'{branch.lead} from {branch.word}' if branch.lead else branch.word
        if identity in self.drawn:
            branch.head = f'{start}, as above'
            return []
        self.drawn.add(identity)
        branch.run, (branch.said, rows) = made.maker.run, maker_words(made, self.runs)
        branch.origin = repr((made.maker.run, made.maker.commit, made.maker.edited))
        branch.head = f'{start}  {branch.said}'
        sources = self.found.sources.get(identity, ())
        branch.facts = rows + fact_rows(made, self.full) + source_facts(sources, self.full)
        children: dict[str, list[Source]] = {}
        for source in sources:
            if source.makers:
                children.setdefault(source.makers[0], []).append(source)
        if identity in self.found.cut:
            more = plural(len(children), 'more result')
            branch.facts.append(('from', [f'{more}: a greater --depth shows them']))
            children = {}
        stages: dict[str, int] = {}
        for maker in children:
            stages.setdefault(self._stage(maker), len(stages))
        ordered = sorted(children, key=lambda maker: (stages[self._stage(maker)], natural(self.found.results[maker].name)))
        below = [(maker, Branch('', lead=_inputs(children[maker]))) for maker in ordered]
        branch.below = [child for _, child in below] + list(_data(sources, self.full))
        return below

    def _stage(self, identity: str) -> str:
        """Without the instance."""
        return self.found.results[identity].name.partition('@')[0]


def maker_words(made: Made, said: set[str]) -> tuple[str, list[tuple[str, list[str]]]]:
    """(``run 7k2m9q4c, 2026-11-20 10:15 UTC``, by whom and from which commit); of a run that was told of, its name."""
    maker = made.maker
    words = [f'run {maker.short}' if maker.short else 'made by nobody recorded here']
    rows = []
    if not maker.run or maker.run not in said:
        said.add(maker.run)
        words += [one_line(text) for text in (when(made),) if text]
        rows = [(word, [one_line(text) for text in texts]) for word, texts in maker_rows(made)]
    return ', '.join(words) + STATES[made.present], rows


def fact_rows(made: Made, full: bool) -> list[tuple[str, list[str]]]:
    """What is known of a result, harmless and as much as is shown."""
    shown = [(word, [value(text, LONG) for text in texts]) for word, texts in result_facts(made, full=full)]
    return [(word, few(texts, full)) for word, texts in shown]


def source_facts(sources: Sequence[Source], full: bool) -> list[tuple[str, list[str]]]:
    """Inputs that cannot be drawn as branches: rules, and what was not there."""
    rules = [one_line(source.entry.name) for source in sources if source.kind == 'rule']
    absent = [one_line(source.entry.name) for source in sources if source.kind == 'absent']
    facts = [('all of', few(rules, full))] if rules else []
    return facts + ([('not there', few(absent, full))] if absent else [])


def _data(sources: Sequence[Source], full: bool) -> Iterator[Branch]:
    """Data that no recorded stage made."""
    found = [s for s in sources if s.kind in ('tracked', 'file', 'unknown') and is_data(s.entry) and not s.makers]
    shown = found if full else found[:MOST]
    for source in shown:
        size = f', {show_size(source.ref.size)}' if source.ref is not None else ''
        what = {
            'tracked': 'tracked data' if source.output == source.entry.name else f'in {one_line(source.output)}, tracked data',
            'file': 'a file of the project',
            'unknown': 'made by nobody recorded here',
        }[source.kind]
        now = {'changed': '; now it is another', 'gone': '; now it is gone'}.get(source.now, '')
        digest = str(source.entry.digest) if full else source.entry.digest.short
        yield Branch(f'{one_line(source.entry.name)}{size}, {what}, {digest}{now}')
    if len(found) > len(shown):
        yield Branch(f'and {len(found) - len(shown):,} more files')


def _inputs(sources: Sequence[Source]) -> str:
    """``data/a and 2 more`` of what one result was read."""
    names = [_input(source) for source in sources]
    more = f' and {names[1]}' if len(names) == 2 else f' and {len(names) - 1} more' if len(names) > 2 else ''
    return names[0] + more


def _input(source: Source) -> str:
    name = one_line(source.entry.name)
    how = {
        'content': f' (the same content as {one_line(source.output)})',
        'name': ' (by its name alone)',
        'inside': f' (in {one_line(source.output)})',
    }.get(source.through, '')
    return name + how


# Downstream


def downstream_lines(found: Downstream, columns: int, *, full: bool = False) -> list[Line]:
    """``full``: every result, not only those of the present state and a count of the others."""
    lines = head_lines(found.target, columns)
    tops = _DownstreamTree(found, full).tops()
    if not tops:
        lines += [Line(f'  {text}') for text in broken(_nobody(found.target), columns - 2)]
    for branch in tops:
        lines += [Line(''), *draw(branch, columns)]
    return lines + _summary(found, columns, full) + note_lines(found.notes, columns)


def _nobody(target: Target) -> str:
    if not target.users:
        return 'Nothing recorded here was made from it.'
    names = ', '.join(few([one_line(name) for name in target.users], False))
    return f'No result of {names} under this value is recorded here: mlops run makes them.'


class _DownstreamTree:
    """As the other one, from a thing to what read it."""

    def __init__(self, found: Downstream, full: bool) -> None:
        self.found, self.full = found, full
        self.drawn: set[str] = set()
        self.runs: set[str] = set()
        self.children: dict[str, dict[str, Use]] = {}
        for use in found.uses:
            self.children.setdefault(use.of, {}).setdefault(use.by, use)

    def tops(self) -> list[Branch]:
        found = [(use, Branch('')) for use in self.children.get('', {}).values()]
        waiting = list(reversed(found))
        while waiting:
            use, branch = waiting.pop()
            waiting += reversed(self._fill(use, branch))
        tops = [branch for _, branch in found]
        return tops if self.full else folded(tops)

    def _fill(self, use: Use, branch: Branch) -> list[tuple[Use, Branch]]:
        made = self.found.results[use.by]
        branch.word, read = one_line(made.name), one_line(use.entry.name)
        how = {'content': f' (read the same content as {read})', 'inside': f' (read {read})'}.get(use.through, '')
        if use.by in self.drawn:
            branch.head = f'{branch.word}{how}, as above'
            return []
        self.drawn.add(use.by)
        branch.run, (branch.said, rows) = made.maker.run, maker_words(made, self.runs)
        branch.head = f'{branch.word}{how}  {branch.said}'
        branch.present = made.present
        branch.facts = rows + [row for row in fact_rows(made, self.full) if self.full or row[0] in ('made', 'metrics')]
        if use.by in self.found.cut:
            branch.facts.append(('further', ['a greater --depth shows more']))
        below = [(one, Branch('')) for one in self.children.get(use.by, {}).values() if one.by in self.found.results]
        branch.below = [child for _, child in below]
        return below


def _summary(found: Downstream, columns: int, full: bool) -> list[Line]:
    results = list(found.results.values())
    runs = {run.run for made in results for run in made.ran}
    stages = {made.stage for made in results}
    lines = []
    if results:
        present = sum(1 for made in results if made.present)
        text = (
            f'{plural(len(results), "result")} of {plural(len(stages), "stage")} in {plural(len(runs), "run")}, '
            f'{present} of them the present state.'
        )
        lines += [Line(''), *map(Line, broken(text, columns))]
        names = [run.partition('-')[2] for run in sorted(runs, reverse=True)]
        lines += [Line(row) for row in broken(f'Runs: {", ".join(few(names, full))}', columns)]
    if found.others:
        were = 'was' if found.others == 1 else 'were'
        text = f'{plural(found.others, "more result")} {were} made from other contents or values of it: --any shows them.'
        lines += [Line(text) for text in broken(text, columns)]
    return lines
