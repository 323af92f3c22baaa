"""What a word means that somebody asks the lineage of: a stage, a parameter, a file here or elsewhere, a digest, a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.classes import replace
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import ABSENT, Entry, value_entry
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.paths import ancestors, check_path, inside
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_size
from mlops_cli.experiments.lineage import ranked_makers
from mlops_cli.experiments.lineage_model import Content, Made, Target
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.model import WORKSPACE, Point
from mlops_cli.fingerprint.params import MISSING
from mlops_cli.fingerprint.parsing import SOURCES
from mlops_cli.fingerprint.stage import read_file
from mlops_cli.pipeline.used import used_by
from mlops_cli.records.lineage import RecordName, Role

LAST = 20  # results that are looked at for the last one
RUN = pattern(r'[0-9]{8}T[0-9]{6}Z-[0-9a-z]{8}')
DIGEST = pattern(r'blake3:[0-9a-f]{4,64}|[0-9a-f]{64}')


class Targets:
    """``here``: the folder that paths are relative to.  Raises UserError for a word that means nothing, OSError."""

    def __init__(self, records: Records, here: str) -> None:
        self.records, self.here = records, here
        self.bench = records.bench
        self._present: Point | None = None

    @property
    def present(self) -> Point:
        """What is recorded for the present state; looked at when first asked for."""
        if self._present is None:
            from mlops_cli.experiments.points import planned
            from mlops_cli.plan.facts import Wishes
            from mlops_cli.plan.planner import make_plan
            from mlops_cli.run.outlook import facts_of  # of all that lineage is asked, little is about the present state

            bench = self.bench
            facts = replace(facts_of(bench), history=lambda _stage: ())  # why something is stale is not asked here
            plan = make_plan(bench.pipeline.name, bench.drafts, bench.order, bench.edges, facts, Wishes())
            stages = {step.stage: planned(bench, step) for step in plan.steps}
            self._present = Point(WORKSPACE, 'workspace', stages, bench.pipeline)
        return self._present

    def is_present(self, made: Made) -> bool:
        """Whether the present state of the project leads to this result."""
        state = self.present.stages.get(made.stage)
        return state is not None and state.key == made.key and dict(state.outputs) == made.made

    def find(self, word: str) -> Target:
        """The first that fits: a stage or group, a digest, a parameter, a path, a run, ``POINT:`` and one of the others."""
        stages = self.bench.pipeline.stages
        if word in stages or word in self.bench.pipeline.groups:
            names = (word,) if word in stages else self.bench.pipeline.groups[word]
            return self.stages(word, names, self.present)
        if DIGEST.fullmatch(word):
            return self.digest(word.removeprefix('blake3:'))
        found = self.parameter(word) or self.path(word) or self.run(word) or self.at_point(word)
        if found is None:
            raise self._unknown(word)
        return found

    def find_any(self, word: str) -> Target:
        """As :meth:`find`; a revision or ``workspace`` alone, too, which is all that it leads to."""
        try:
            found = self.find(word)
            return (self.run(word, whole=True) or found) if found.kind == 'run' else found
        except UserError:
            if word == WORKSPACE:
                point = self.present
            else:
                from mlops_cli.experiments.points import find_point

                try:
                    point = find_point(self.bench, word)
                except UserError:
                    point = None
            if point is None:
                raise
        return replace(self.stages(word, tuple(point.stages), point), title=point.label)

    def _unknown(self, word: str) -> UserError:
        paths = [output.path for stage in self.bench.pipeline.stages.values() for output in stage.outputs]
        paths += [*self.bench.pipeline.stages, *self.bench.pipeline.groups, *self.records.tracked]
        path = _checked(self._relative(os.path.normpath(os.path.join(self.here, word))))
        if path is not None and (made := self.bench.describer.maker_of(path)) is not None:
            said = f'{word[:200]!r} is not here, and no recorded result has it: {made[0]} makes {made[1]}'
            return UserError(said, hint=f'mlops run {made[0]}')
        from difflib import get_close_matches  # for mistakes only

        near = [name for name in get_close_matches(word, paths, 3) if name != word][:2]
        hint = f'did you mean {" or ".join(near)}?' if near else (
            'name a file or folder, here or elsewhere, a stage, a run, a model, FILE:KEY of a parameter, or blake3:DIGEST; '
            'of another state with POINT: in front, as HEAD~1:FILE'
        )  # fmt: skip
        return UserError(f'{word[:200]!r} is no file, stage, run, parameter or digest that is known here', hint=hint)

    # Stages and runs

    def stages(self, word: str, names: Sequence[str], point: Point) -> Target:
        """What a point leads to for some stages; of one that is not recorded, the last result that is."""
        makers, said = [], []
        for name in names:
            state = point.stages.get(name)
            if state is not None and state.key is not None:
                found = [made for made in self.records.of_key(state.key) if state.outputs in ({}, made.made)]
                if state.state != 'unknown' and found:
                    makers.append(ranked_makers([(made, 'path', '') for made in found], None)[0][0])
                    continue
            last = self._last(name)
            if last is None:
                said.append(f'{name} has no recorded result.')
            else:
                said.append(f'{name} has no result for the present state; this is its last one.')
                makers.append(last)
        title = f'{word}, a stage' if len(names) == 1 else f'{word}, {plural(len(names), "instance")}'
        if word not in point.pipeline.stages and word not in point.pipeline.groups:
            title = f'{plural(len(names), "stage")} of {point.label}'
        contents = tuple(Content(path, ref) for made in makers for path, ref in made.outputs)
        found_any = bool(makers)
        return Target(word, 'stage', title, tuple(said), tuple(made.id for made in makers), contents, found=found_any)

    def _last(self, stage: str) -> Made | None:
        """The last result of a stage that is recorded here: by the runs; where none of them is, one of its pins."""
        for identity in self.records.index.last_of(stage, LAST):
            found = self.records.opened(self.records.index.of_key(identity[:16]), lambda made, of=identity: made.id == of)
            if found:
                return found[0]
        names = self.bench.pins.names_of_stage(stage)[:LAST]
        found = [made for made in self.records.opened(_pin_names(names)) if stage in (made.stage, '')]
        return max(found, default=None, key=lambda made: (made.maker.at, made.id))

    def run(self, word: str, *, whole: bool = False) -> Target | None:
        """A run, by its id or the beginning of it.  ``whole``: what was fresh in it, too, as far as its record names that."""
        if not re.fullmatch(r'[0-9A-Za-z-]{2,40}', word):
            return None
        try:
            run = self.bench.runs.find(word)
        except UserError as error:
            if 'could mean' in error.message:
                raise
            return None
        had = [(stage.key, stage.outs8) for stage in run.stages if stage.key is not None and stage.outs8]
        had += [(key, outs8) for _, key, outs8 in run.fresh_stages if whole]
        made: dict[str, Made] = {}
        for key, outs8 in had:
            made |= {one.id: one for one in self.records.of_key(key) if one.outs8 == outs8}
        contents = tuple(Content(path, ref) for one in made.values() for path, ref in one.outputs)
        said = [f'{len(had) - len(made)} of its results are not recorded here.'] if len(had) > len(made) else []
        unnamed = run.fresh - (len(run.fresh_stages) if whole else 0)
        if unnamed:
            had_no_part = ', which the run has no part in' if not whole else ''
            said.append(f'{plural(unnamed, "more stage")} {"was" if unnamed == 1 else "were"} fresh{had_no_part}.')
        title = f'run {run.short}, {run.started}, by {run.who or "nobody known"} on {run.host or "an unknown host"}'
        return Target(word, 'run', title, tuple(said), tuple(made), contents, found=bool(made))

    def at_point(self, word: str) -> Target | None:
        """``POINT:`` and a stage or path: as it was there."""
        start, colon, rest = word.rpartition(':')
        if not colon or not start or not rest:
            return None
        from mlops_cli.experiments.points import find_point, output_ref

        point = find_point(self.bench, start)
        stages = point.pipeline.stages
        groups = point.pipeline.groups
        if rest in stages or rest in groups:
            return self.stages(rest, (rest,) if rest in stages else groups[rest], point)
        path = _checked(rest)
        ref = output_ref(self.bench, point, path) if path else None
        if ref is None or path is None:
            raise UserError(
                f'{point.label} has no stage {rest!r}, and no recorded output at that path',
                hint="paths after POINT: are from the project's root",
            )
        return self._of_content(word, path, ref, f'{path} of {point.label}')

    # Digests

    def digest(self, digits: str) -> Target:
        """Content, or a key, by its digest or the beginning of it."""
        mentions = self.records.index.with_digest(digits)
        refs: dict[tuple[str, Digest], Content] = {}
        for mention in mentions:
            made = self.records.open(mention.record)
            ref = made.made.get(mention.path) if made and mention.role == 'out' else None
            if ref is not None and digits in (ref.digest.hex[: len(digits)], ref.identity.hex[: len(digits)]):
                refs.setdefault((mention.path, ref.digest), Content(mention.path, ref))
        digests = {digest for _, digest in refs}
        if len(digests) > 1:
            hint = 'type more of it: ' + ', '.join(f'blake3:{one.hex[:16]}' for one in sorted(digests)[:4])
            raise UserError(f'blake3:{digits} could mean {len(digests)} contents', hint=hint)
        if refs:
            content = next(iter(refs.values()))
            return self._of_content(f'blake3:{digits}', content.path, content.ref, f'blake3:{content.ref.digest.hex[:16]}')
        return self._rare_digest(digits)

    def _rare_digest(self, digits: str) -> Target:
        """A key, something that only inputs have, or a file inside a stored folder."""
        word = f'blake3:{digits}'
        keyed = self.records.opened(self.records.index.of_key(digits), lambda made: made.key.hex.startswith(digits))
        if keyed:
            contents = tuple(Content(path, ref) for made in keyed for path, ref in made.outputs)
            return Target(word, 'stage', f'key {word[:23]}', (), tuple(made.id for made in keyed), contents)
        for path, ref in self.records.tracked.items():
            if ref.digest.hex.startswith(digits):
                return self._of_content(word, path, ref, f'{path}, tracked data')
        read = self.records.index.with_digest(digits)
        exact = Digest(digits) if len(digits) == 64 else None
        for mention in read:
            made = self.records.open(mention.record)
            for entry in made.entries if made else ():
                if entry.name == mention.path and entry.digest.hex.startswith(digits):
                    names = ((mention.role, entry.name, entry.digest),)
                    title = f'{entry.name}, an input by its digest'
                    return Target(word, 'digest', title, ('Made by nobody recorded here.',), names=names)
        makers = self.records.makers('', exact, deep=True) if exact else []
        if makers:
            made, _, output = ranked_makers(makers, None)[0]
            said = (f'It lies in {output} as {made.name} made it.',)
            return Target(word, 'digest', word, said, (made.id,), (Content('', ObjectRef(exact, 0, 'file')),))  # type: ignore[arg-type]
        return Target(word, 'digest', word, ('No recorded result has this content.',), found=False)

    # Parameters

    def parameter(self, word: str) -> Target | None:
        """``FILE:KEY``, or a key alone of the file that declares it."""
        declared = {(ref.file, ref.key) for stage in self.bench.pipeline.stages.values() for ref in stage.params}
        templated = used_by(self.bench.pipeline.stages.values())
        declared |= templated.keys()
        files = dict.fromkeys(file for file, _ in declared)
        file, colon, key = word.rpartition(':')
        if not colon:
            file, key = next((file for file, known in declared if known == word), ''), word
        named = self.records.index.has(f'{file}:{key}', 'param')
        if not file or not (file in files or named or file == layout.PARAMS_FILE):
            return None
        value = self.bench.describer.params.value(file, key)
        if value is MISSING and not named:
            near = did_you_mean(key, [known for of, known in declared if of == file and known])
            raise UserError(f'{file} has no {key!r}, and no stage ever used it', hint=near)
        wanted: list[tuple[Role, str, Digest | None]] = []
        parts = key.split('.')
        for length in range(len(parts), -1, -1):  # whoever reads all of train reads train.rate
            of = '.'.join(parts[:length])
            now = self.bench.describer.params.value(file, of or None)
            digest = ABSENT if now is MISSING else value_entry('param', '', now).digest
            wanted.append(('param', f'{file}:{of}' if of else file, digest))
        for mention in self.records.index.below(f'{file}:{key}.'):
            now = self.bench.describer.params.value(file, mention.path[len(file) + 1 :])
            digest = ABSENT if now is MISSING else value_entry('param', '', now).digest
            wanted.append(('param', mention.path, digest))
        said: tuple[str, ...] = ()
        found = {(of, known): names for (of, known), (_, names) in templated.items() if of == file and _same_branch(known, key)}
        users = tuple(dict.fromkeys(name for names in found.values() for name in names))
        if users:
            groups = dict.fromkeys(self.bench.pipeline.stages[name].group for name in users)
            said = (f'${{...}} of {", ".join(groups)} uses it: its value is in the command, in paths or in the instances.',)
        elif not named and not any(known == key for of, known in declared if of == file):
            said = ('No stage lists it under params, and no ${...} uses it.',)
        shown = 'not set now' if value is MISSING else f'now {value_entry("param", "", value).value or "a long value"}'
        used = tuple(self._used(found, users)) if users else ()
        title = f'parameter {file}:{key}, {shown}'
        return Target(word, 'parameter', title, said, names=tuple(dict.fromkeys(wanted)), used=used, users=users)

    def _used(self, found: Mapping[tuple[str, str], Sequence[str]], users: Sequence[str]) -> Iterator[tuple[str, Entry]]:
        """Results of stages whose templates use parameters, under their present values: of the present state, and of the last
        runs whose records name them."""
        values = {name: self.bench.describer.params.value(*name) for name in found}
        values = {name: value for name, value in values.items() if value is not MISSING}
        entries = {name: value_entry('param', f'{name[0]}:{name[1]}', value) for name, value in values.items()}
        by_stage = {stage: entries[name] for name, stages in found.items() if name in entries for stage in stages}
        for stage in users:
            state = self.present.stages.get(stage)
            if stage in by_stage and state is not None and state.key is not None and state.state != 'unknown':
                same = [made for made in self.records.of_key(state.key) if state.outputs in ({}, made.made)]
                if same:
                    yield ranked_makers([(made, 'path', '') for made in same], None)[0][0].id, by_stage[stage]
        for run in islice(self.bench.runs.newest(), LAST):
            kept = {(file, key): value for file, key, value in run.values or ()}
            same_values = all(name in kept and canonical(kept[name]) == canonical(value) for name, value in values.items())
            for one in run.stages if values and same_values else ():
                if one.name in by_stage and one.key is not None and one.outs8:
                    yield from ((m.id, by_stage[one.name]) for m in self.records.of_key(one.key) if m.outs8 == one.outs8)

    # Paths

    def path(self, word: str) -> Target | None:
        """A file or folder of the project, there or only recorded, or one outside it, found by its hash."""
        if not word:
            return None
        full = os.path.normpath(os.path.join(self.here, word))
        path = _checked(self._relative(full))
        if os.path.realpath(full) == os.path.realpath(self.bench.root.path):
            return self.stages(word, tuple(self.bench.pipeline.stages), self.present)
        if path is None and (record := self._record(os.path.basename(full))):
            return record
        if path is None:
            path = self._as_written(full)
        if path is None:
            return self._outside(word, full) if os.path.lexists(full) else None
        ref = self.bench.workspace.ref(path, ignore=path not in self.bench.describer.made)
        if ref is not None:
            if ref.kind == 'tree':
                self.records.learn(path)
            return self._of_content(word, path, ref, path)
        return self._recorded(word, path)

    def _relative(self, full: str) -> str:
        """A path as it is written from the project's folder on."""
        relative = os.path.relpath(os.path.realpath(os.path.dirname(full)), os.path.realpath(self.bench.root.path))
        return os.path.normpath(os.path.join(relative, os.path.basename(full))).replace(os.sep, '/')

    def _as_written(self, full: str) -> str | None:
        """A path of the project by its text; None for others.  What lies elsewhere by a link on the way is not what its user
        named, a branch may have made the link.  Raises UserError for that."""
        for top in (self.bench.root.path, os.path.realpath(self.bench.root.path)):
            path = _checked(os.path.relpath(full, top).replace(os.sep, '/'))
            if path is not None:
                self.bench.workspace.ref(path, ignore=path not in self.bench.describer.made)
                return path
        return None

    def _record(self, name: str) -> Target | None:
        """A pin or a run record, by the name of its file: what it is about."""
        stem = name.removesuffix('.json')
        if RUN.fullmatch(stem):
            return self.run(stem)
        made = (
            self.records.open(RecordName('pin', name))
            if '~' in name and self.bench.root.exists(f'{layout.STAGES}/{name}')
            else None
        )
        if made is None:
            return None
        contents = tuple(Content(path, ref) for path, ref in made.outputs)
        return Target(name, 'stage', f'{name}, a pin of {made.name}', (), (made.id,), contents)

    def _recorded(self, word: str, path: str) -> Target | None:
        """A path at which nothing is now, from the present state's records, tracked data, or the last result that had it."""
        tracked = next((folder for folder in (path, *ancestors(path)) if folder in self.records.tracked), None)
        ref = self.records.part(self.records.tracked[tracked], path[len(tracked) + 1 :]) if tracked else None
        if ref is not None:
            return self._of_content(word, path, ref, path, ('It is not in the workspace; this is what was added.',))
        if self.bench.describer.maker_of(path) is not None:
            from mlops_cli.experiments.points import output_ref

            ref = output_ref(self.bench, self.present, path)
            if ref is not None:
                return self._of_content(word, path, ref, path, ('It is not in the workspace; this is the present state.',))
        outputs = [mention.record for mention in self.records.index.with_name(path, 'out')]
        last = max(self.records.opened(outputs), default=None, key=lambda made: (made.maker.at, made.id))
        if last is not None:
            said = ('It is not in the workspace; this is the last result.',)
            return self._of_content(word, path, last.made[path], path, said)
        used = [m for m in self.records.index.with_name(path) if m.role in ('data', 'code')]
        if used:
            names = tuple(dict.fromkeys((mention.role, path, None) for mention in used))
            said = ('It is not in the workspace; this is about all that it ever was.',)
            return Target(word, 'input', path, said, names=names)
        return None

    def _outside(self, word: str, full: str) -> Target:
        """Whatever it is, by its content."""
        from mlops_cli.fingerprint.outside import hashed

        ref = hashed(full, project=self.bench.root.path)
        makers = self.records.makers('', ref.digest, deep=True)
        if not makers:
            makers = self.records.makers('', ref.identity, deep=True)
        for path, tracked in self.records.tracked.items():
            if not makers and tracked.digest == ref.digest:
                return self._of_content(word, path, tracked, f'{word}, {_size(ref)}', (f'It is {path}, tracked data.',))
        title = f'{word}, {_size(ref)}, blake3:{ref.digest.hex[:16]}'
        contents = (Content('', ref),)
        if not makers:
            said = ['No recorded result has this content.']
            if not self.records.index.searched_all:
                said.append('Not every recorded folder could be looked into: some are not in this cache, or very large.')
            return Target(word, 'file', title, tuple(said), (), contents, found=any(self._is_read(c) for c in contents))
        made, _, output = ranked_makers(makers, None)[0]
        where = self._where_in(made, output, ref)
        said = [f'This is {where} as {origin(made)}.']
        return Target(word, 'file', title, tuple(said), (made.id,), (*contents, Content(where, ref)))

    def _where_in(self, made: Made, output: str, ref: ObjectRef) -> str:
        for folder, below in self.records.index.holders(ref.digest) if made.made[output].kind == 'tree' else ():
            if folder == made.made[output].digest:
                return f'{output}/{below}'
        return output

    def _is_read(self, content: Content) -> bool:
        return any(mention.role != 'out' for mention in self.records.index.with_digest(content.ref.identity.hex))

    def _of_content(self, word: str, path: str, ref: ObjectRef, title: str, said: Iterable[str] = ()) -> Target:
        sentences = list(said)
        title = f'{title}, {_size(ref)}, blake3:{ref.digest.hex[:16]}' if 'blake3:' not in title else f'{title}, {_size(ref)}'
        makers = self.records.makers(path, ref.identity)
        contents = [Content(path, ref)]
        names = self._code_names(path, ref)
        if makers:
            made, through, output = ranked_makers(makers, None)[0]
            what = {'content': output, 'inside': f'{path}, in {output},'}.get(through, path)
            sentences.append(f'This is {what} as {origin(made)}.')
            others = [other for other, _, _ in makers if other.id != made.id]
            if others:
                sentences.append(f'{plural(len(others), "other recorded result")} came to the same content.')
            sentences += [accepted_words(other) for other in others if other.accepted]
            return Target(word, 'output', title, tuple(sentences), (made.id,), tuple(contents), names)
        if ref.kind == 'tree' and (inner := self._outputs_in(path)):
            return Target(word, 'output', title, tuple(sentences), tuple(m.id for m in inner), tuple(contents), names)
        sentences.append(self._nobody(path, ref))
        return Target(word, 'code' if names else 'input', title, tuple(sentences), (), tuple(contents), names)

    def _outputs_in(self, folder: str) -> list[Made]:
        """The results whose outputs lie in a folder and are what the workspace holds."""
        found: dict[str, Made] = {}
        for path in self.bench.describer.made:
            ref = self.bench.workspace.ref(path, ignore=False) if folder == '.' or inside(path, folder) else None
            makers = self.records.makers(path, ref.identity) if ref is not None else []
            if makers:
                made = ranked_makers(makers, None)[0][0]
                found[made.id] = made
        return list(found.values())

    def _nobody(self, path: str, ref: ObjectRef) -> str:
        for holder in (path, *ancestors(path)):
            if holder in self.records.tracked:
                whole = self.records.part(self.records.tracked[holder], path[len(holder) + 1 :])
                where = '' if holder == path else f', in {holder}'
                same = whole is not None and whole.identity == ref.identity
                return f'Tracked data{where}{"" if same else ", changed since it was added"}: no stage made it.'
        made = self.bench.describer.maker_of(path)
        if made is not None:
            return f'Made by nobody recorded here: {made[0]} makes this path, but no recorded result has this content.'
        return 'A file of the project: no stage made it.' if ref.kind != 'tree' else 'A folder that no stage made.'

    def _code_names(self, path: str, ref: ObjectRef) -> tuple[tuple[Role, str, Digest | None], ...]:
        """How keys name a code file: by its bytes, or by what it means."""
        if not self.records.index.has(path, 'code'):
            return ()
        digests = {ref.identity}
        if path.endswith(SOURCES) and ref.kind != 'tree' and self.bench.root.exists(path):
            from mlops_cli.fingerprint.sources import meaning_of

            source = read_file(self.bench.workspace, path)
            if digest_of(source) == ref.digest:
                digests |= {found for kept in (True, False) if (found := meaning_of(path, source, docstrings=kept)) is not None}
        return tuple(('code', path, digest) for digest in sorted(digests))


def origin(made: Made) -> str:
    """``train@forest-2 made it in run 7k2m9q4c (pinned on this branch)``."""
    run = f' in run {made.maker.short}' if made.maker.short else ''
    pinned = ' (pinned on this branch)' if made.pins else ' (in this cache, pinned nowhere on this branch)'
    return f'{made.name} made it{run}{pinned}'


def accepted_words(made: Made) -> str:
    """``Accepted for other code of report, 2026-11-20 by ada: only a comment``."""
    last = made.accepted[-1]
    return f'Accepted for another key of {made.name} too, {last.when[:10]} by {last.who}: {last.reason}.'


def _same_branch(one: str, two: str) -> bool:
    """Whether a key is the other, or one of them lies in the other."""
    return inside(one.replace('.', '/'), two.replace('.', '/')) or inside(two.replace('.', '/'), one.replace('.', '/'))


def _pin_names(names: Iterable[str]) -> list[RecordName]:
    return [RecordName('pin', name) for name in names]


def _checked(path: str) -> str | None:
    """The path as it is written in the project; None for one outside of it, or that no project has."""
    try:
        return check_path(path)
    except ValueError:
        return None


def _size(ref: ObjectRef) -> str:
    return f'{"a folder, " if ref.kind == "tree" else ""}{show_size(ref.size)}'
