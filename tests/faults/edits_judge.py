"""Plays a sequence of steps on a project, and says of each command whether it did to anybody's files what it may not do.

What holds for each command, mlops's and DVC's alike:

* every content that was anywhere (work trees, store, what is kept for people) is somewhere afterwards;
* no file that is neither data nor output changes, nor anything in another work tree;
* ``add``, ``status`` and the like change no file at all; ``run`` no data that is there; ``checkout`` without ``--force``
  nothing that is saved nowhere;
* what was added, or made by a run that ended well, is in the store; what is said to be placed, kept or left is;
* after any kill the next commands go through, and in the end everything is as recorded, and nothing lies about."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults import forked
from tests.faults.base import Bad
from tests.faults.edits_world import (
    BASE_TEXTS,
    DATA,
    INPUTS,
    OUTS,
    STAGE_OF,
    Mlops,
    Seen,
    Side,
    below,
    commit,
    content,
    edit,
    files,
    git_may_fail,
    key,
    outcome_of,
    write,
)
from tests.faults.tools import Done, run

READS = frozenset({'add', 'status', 'plan', 'verify', 'accept', 'gc'})  # of the work tree
WRITERS = frozenset({'add', 'run', 'checkout', 'accept', 'gc'})  # they put right first what a killed command left
CODES = frozenset({0, 1, 2, 5, -9})
KEPT = re.compile(r'\.mlops/local/(?:rescue|failed)/[^\s,;:\'"()]+')
Snapshot = frozenset[tuple[str, str]]
BASE = {revision: {path: key(data) for path, data in texts.items()} for revision, texts in BASE_TEXTS.items()}


@dataclass(frozen=True)
class Act:
    """One step.  ``kind``: what somebody does, or ``do`` for a command ``words`` of the tool.

    ``tree``: which work tree.  ``kill``: before which change of the disk the command is killed, 0 for not.
    ``meanwhile``: (before which change, path, how, number) of an edit while it runs."""

    kind: str
    words: tuple[str, ...] = ()
    tree: int = 0
    number: int = 0
    large: bool = False
    kill: int = 0
    meanwhile: tuple[int, str, str, int] | None = None

    def __str__(self) -> str:
        extra = f' KILLED before change {self.kill}' if self.kill else ''
        if self.meanwhile:
            extra += f' while before change {self.meanwhile[0]} {self.meanwhile[1]} is edited ({self.meanwhile[2]})'
        where = ' in w' if self.tree else ''
        return f'{self.kind} {" ".join(self.words)}{" (large)" if self.large else ""}{where}{extra}'


@dataclass(frozen=True)
class Problem:
    kind: Bad
    step: int
    text: str


class Played:
    """One sequence.  ``problems`` as they are found."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.problems: list[Problem] = []
        self.step = 0
        self.pending = False  # something of a killed command is aside
        self.healing: set[int] = set()  # work trees where one was killed, and none has put right yet what it left
        self.accepted: dict[str, set[Snapshot]] = {path: set() for path in OUTS}
        self.recorded: dict[bytes, Snapshot] = {}
        self.right: dict[str, set[Snapshot]] = {path: set() for path in OUTS}
        self.heads: set[bytes] = set()
        self.tails: set[bytes] = set()
        self.seen = side.see()
        for revision in ('other', 'main'):
            for path in DATA:
                record = side.record_at(side.project, path, revision)
                self.recorded[record] = frozenset((name, one) for name, one in BASE[revision].items() if below(name) == path)
            self._learn_outputs(side.project, BASE_TEXTS[revision])

    def bad(self, kind: Bad, text: str) -> None:
        self.problems.append(Problem(kind, self.step, text))

    def play(self, acts: Sequence[Act]) -> list[Problem]:
        for self.step, act in enumerate(acts):
            if act.tree < len(self.side.roots()):
                self.act(act)
        self.step = len(acts)
        self.end()
        return self.problems

    # What people do

    def act(self, act: Act) -> None:
        root = self.side.roots()[act.tree]
        if act.kind == 'do':
            self.do(act)
            return
        if act.kind == 'edit':
            edit(root, act.words[0], act.words[1], act.number, act.large)
        elif act.kind == 'delete':
            delete(root / act.words[0])
        elif act.kind == 'link':
            delete(root / act.words[0])
            if (root / act.words[0]).parent.is_dir():
                (root / act.words[0]).symlink_to(os.path.relpath(root / 'notes/own.txt', (root / act.words[0]).parent))
        elif act.kind == 'block':  # a folder where a file was, a file where a folder was
            was_folder = (root / act.words[0]).is_dir()
            delete(root / act.words[0])
            if (root / act.words[0]).parent.is_dir():
                write(root / act.words[0] if was_folder else root / act.words[0] / 'inner', b'%08d block\n' % act.number)
        elif act.kind in ('copy', 'move'):
            self._copy(root, *act.words, remove=act.kind == 'move')
        elif act.kind == 'commit':
            commit(root)
        elif act.kind == 'switch':
            git_may_fail(root, 'checkout', '-q', act.words[0])
        elif act.kind == 'worktree':
            git_may_fail(root, 'worktree', 'add', '-q', '-b', 'aside', str(self.side.folder / 'w'))
        self.seen = self.side.see()

    @staticmethod
    def _copy(root: Path, source: str, target: str, *, remove: bool) -> None:
        if content(root / source) is None or (root / source).is_symlink() or os.path.lexists(root / target):
            return
        try:
            (root / target).parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            return  # a file stands where that folder would be
        if remove:
            os.rename(root / source, root / target)
        else:
            shutil.copy2(root / source, root / target)

    # Commands

    def do(self, act: Act) -> Done:
        root = self.side.roots()[act.tree]
        before, log = self.seen, self.side.folder / 'edited'
        log.unlink(missing_ok=True)
        self._learn_outputs(root)
        done = self.perform(act, root, log)
        edited = json.loads(log.read_text()) if log.exists() else None
        after = self.seen = self.side.see()
        self.pending = (self.pending or done.code < 0) and bool(after.aside)
        if done.code == 0 and act.words[0] == 'add':
            self._learn_records(act.tree, [path for path in act.words[1:] if not (edited and below(edited['path']) == path)])
        if done.code in (0, -9) and act.words[0] == 'accept':  # killed, it may have come that far
            self._learn_accepted(act.tree, act.words[1])
        self._learn_outputs(root)
        self._ended(act, done)
        self._conserved(act, before, after, edited)
        self._stayed(act, done, before, after, edited)
        if done.code < 0:
            self.healing.add(act.tree)
            return done
        self._true(act, done, before, after, edited)
        if act.words[0] in WRITERS and done.code in (0, 1):
            self.healing.discard(act.tree)
        return done

    def perform(self, act: Act, root: Path, log: Path) -> Done:
        environ = self.side.tool.environment(Path(f'{self.side.project}-home'), self.side.environ)
        if not isinstance(self.side, Mlops):
            start = self.side.tool.argv(*self.side.words(act.words))
            if act.kill:
                python = str(Path(start[0]).with_name('python'))
                start = [python, '-c', KILLED, str(act.kill), str(self.side.folder), *start[1:]]
            return run(start, root, environ)
        at, path, how, number = act.meanwhile or (0, '', '', 0)

        def meanwhile() -> None:
            old = content(root / path)
            begun = being_made(root, path) and not os.path.lexists(root / path)
            new = edit(root, path, how, number)
            log.write_text(json.dumps({'path': path, 'old': old if new else None, 'new': new, 'begun': begun}))

        return forked.do(act.words, root, environ, kill_before=act.kill, edit_before=at, edit=meanwhile)

    def _ended(self, act: Act, done: Done) -> None:
        odd = isinstance(self.side, Mlops) and done.code not in CODES
        if done.code == -14:
            self.bad(Bad.STUCK, f'{act}: did not end')
        elif odd or 'Traceback' in done.err:
            self.bad(Bad.WRONG, f'{act}: {done.said}')

    def _conserved(self, act: Act, before: Seen, after: Seen, edited: Mapping[str, str] | None) -> None:
        owed = before.all(without=(act.tree, edited['path']) if edited and edited['new'] else None)
        owed |= {edited['new']} if edited and edited['new'] else set()
        if edited and edited.get('begun') and after.trees[act.tree].get(edited['path']) not in (None, edited['new']):
            owed.discard(edited['new'])  # the stage's own command wrote over it, as it may: it had begun
        there = after.all()
        if not self.pending:
            there -= after.aside - (after.store | after.kept | {one for tree in after.trees for one in tree.values()})
        for lost in sorted(owed - there):
            places = [path for tree in before.trees for path, one in tree.items() if one == lost]
            made_anew = bool(places) and act.words[0] == 'run' and all(below(one) in OUTS for one in places)
            if made_anew and not isinstance(self.side, Mlops):
                continue  # DVC says that it takes outputs away first
            where = f'{", ".join(places)} is' if places else 'stored or kept content is'
            self.bad(Bad.LOST, f'{act}: {where if lost in before.all() else "what was saved meanwhile is"} nowhere any more')

    def _stayed(self, act: Act, done: Done, before: Seen, after: Seen, edited: Mapping[str, str] | None) -> None:
        word = act.words[0]
        for number, tree in enumerate(before.trees):
            now = after.trees[number]
            for path in sorted({*tree, *now}):
                if edited and path == edited['path'] and number == act.tree:
                    continue
                managed = below(path)
                if tree.get(path) == now.get(path):
                    continue
                if number != act.tree or not managed or (word in READS and act.tree not in self.healing):
                    self.bad(Bad.LOST, f'{act}: {path} was changed, which it may not touch')
                elif done.code < 0 or act.tree in self.healing or path not in tree:
                    continue
                elif word == 'run' and managed in DATA:
                    self.bad(Bad.LOST, f'{act}: {path} is data, was there, and was changed')
                elif word == 'checkout' and '--force' not in act.words and tree[path] not in before.store:
                    self.bad(Bad.LOST, f'{act}: {path} was saved nowhere, and is not as it was')

    def _true(self, act: Act, done: Done, before: Seen, after: Seen, edited: Mapping[str, str] | None) -> None:
        root, tree = self.side.roots()[act.tree], after.trees[act.tree]
        word = act.words[0]
        aim = edited['path'] if edited else ''
        for place in KEPT.findall(f'{done.out}\n{done.err}'):
            if not os.path.lexists(root / place.rstrip('.')) and '...' not in place:
                self.bad(Bad.WRONG, f'{act}: said {place}, where nothing is')
        if done.code == 0 and word in ('add', 'run'):
            paths = [path for path in act.words[1:] if path in DATA] if word == 'add' else self._asked(act)
            unsaved = [path for path, one in tree.items() if below(path) in paths and one not in after.store and path != aim]
            for path in unsaved:
                self.bad(Bad.LOST, f'{act}: ended well, but the store has no {path}')
        if done.code == 0 and word == 'run' and not edited:
            self._right_outputs(act, root)
        if word == 'checkout':
            self._claims(act, done, before, after, edited or {})

    @staticmethod
    def _asked(act: Act) -> list[str]:
        """The outputs that a run has to see to."""
        return [path for path in OUTS if len(act.words) == 1 or act.words[1] in ('last', STAGE_OF[path])]

    def _right_outputs(self, act: Act, root: Path) -> None:
        texts = {path: (root / path).read_bytes() for path in (*INPUTS, 'd/x', 'out/a') if (root / path).is_file()}
        wanted = {path: key(data) for path, data in outcome_of({**dict.fromkeys(INPUTS, b''), **texts}).items()}
        wanted['last.txt'] = key(texts.get('d/x', b'') + texts.get('out/a', b''))
        for path in self._asked(act):
            if STAGE_OF[path] != 'files' and not all(os.path.lexists(root / one) for one in DATA):
                continue  # what was made of data that is away now
            found = self._snapshot(act.tree, path)
            computed = frozenset((name, one) for name, one in wanted.items() if below(name) == path)
            if found != computed and found not in self.accepted[path]:
                self.bad(Bad.WRONG, f'{act}: ended well, but {path} is not what its inputs make')

    def _claims(self, act: Act, done: Done, before: Seen, after: Seen, edited: Mapping[str, str]) -> None:
        aim = edited.get('path', '')
        root, tree = self.side.roots()[act.tree], after.trees[act.tree]
        if isinstance(self.side, Mlops):
            if '--json' not in act.words or done.code not in (0, 1):
                return
            told = json.loads(done.out)
            if told['schema'] != 'mlops/checkout/v1':
                return
            placed, kept, stayed = told['placed'], told['kept'], told['stayed']
        else:
            if done.code:
                return
            placed, kept, stayed = [path for path in DATA if path in act.words or len(act.words) == 1], [], []
        # A command that puts back what a killed one left finds some of it aside.
        mine = {*before.trees[act.tree].values(), *before.aside, edited.get('new', '')}
        for place in kept:
            if not mine & {one for path in [root / place, *files(root / place, ())] if (one := content(path))}:
                self.bad(Bad.WRONG, f'{act}: says that it kept {place}, where nothing of what was there is')
        for path in stayed:
            # Where the command first undid a killed one, what that had set aside is what stays; what came later is kept.
            was = before.trees[act.tree].get(path)
            there = {was, *(before.aside if was is None or act.tree in self.healing else ())} - {None}
            if path != aim and tree.get(path) not in there:
                self.bad(Bad.WRONG, f'{act}: says that {path} stayed, which it did not')
        revision = act.words[act.words.index('--at') + 1] if '--at' in act.words else ''
        for path in placed:
            if aim and below(aim) == path:
                continue
            found = frozenset(item for item in self._snapshot(act.tree, path) if item[0] not in stayed)
            if path in DATA:
                record = self.side.record_at(root, path, revision)
                if record in self.recorded and found != self.recorded[record]:
                    self.bad(Bad.CORRUPT, f'{act}: says that it placed {path}, which is not what was added')
            elif found not in self.right[path] and not (path == 'last.txt' and self._is_some_last(root)):
                self.bad(Bad.CORRUPT, f'{act}: says that it placed {path}, which was never made or accepted')

    def _is_some_last(self, root: Path) -> bool:
        data = (root / 'last.txt').read_bytes()
        return any(data.startswith(head) and data[len(head) :] in self.tails for head in self.heads)

    # What is known to be right

    def _snapshot(self, tree: int, path: str) -> Snapshot:
        return frozenset((name, one) for name, one in self.seen.trees[tree].items() if below(name) == path)

    def _learn_records(self, tree: int, paths: Sequence[str]) -> None:
        for path in paths:
            record = self.side.record_at(self.side.roots()[tree], path)
            self.recorded.setdefault(record, self._snapshot(tree, path))

    def _learn_outputs(self, root: Path, texts: Mapping[str, bytes] | None = None) -> None:
        """What the stages make of what is there now is right, whenever it comes back."""
        texts = texts or {path: (root / path).read_bytes() for path in INPUTS if (root / path).is_file()}
        made = outcome_of({**dict.fromkeys(INPUTS, b''), **texts})
        for path in OUTS:
            self.right[path].add(frozenset((name, key(data)) for name, data in made.items() if below(name) == path))
        for name, into in (('d/x', self.heads), ('out/a', self.tails)):
            into.add(made[name])
            if (root / name).is_file():
                into.add((root / name).read_bytes())

    def _learn_accepted(self, tree: int, stage: str) -> None:
        for path in OUTS:
            if stage == STAGE_OF[path]:
                self.accepted[path].add(self._snapshot(tree, path))
                self.right[path].add(self._snapshot(tree, path))

    # The end

    def end(self) -> None:
        """Links that lead elsewhere are removed by who put them there; then all comes back as it was recorded, twice: over
        what there is (mlops), and where there is nothing."""
        root = self.side.project
        for path in [*files(root, ('.git', self.side.own))]:
            if path.is_symlink() and (content(path) or 'link').startswith('link'):
                path.unlink()
        self.seen = self.side.see()
        if isinstance(self.side, Mlops):
            self._must('checkout', '--force', '--json')
        self._take_away(root)
        self._must('checkout', *self._json)
        self._take_away(root)
        for name, text in {**BASE_TEXTS['main'], 'src/in.txt': b'the end\n'}.items():
            delete(root / name)
            write(root / name, text)
        self.seen = self.side.see()
        self._must('add', *DATA)
        self._must('run')
        self._take_away(root)
        self._must('checkout', *self._json)
        for one in (*DATA, *OUTS):
            if not self._snapshot(0, one):
                self.bad(Bad.STUCK, f'at the end {one} does not come back')
        if self.seen.aside:
            self.bad(Bad.LEAKED, f'{len(self.seen.aside)} files are still set aside')
        if self.seen.litter:
            self.bad(Bad.LEAKED, f'temporaries are left: {", ".join(self.seen.litter[:3])}')

    @property
    def _json(self) -> list[str]:
        return ['--json'] if isinstance(self.side, Mlops) else []

    def _take_away(self, root: Path) -> None:
        for name in ('data/set', 'data/one.csv', 'out', 'd', 'last.txt'):
            delete(root / name)
        if not (root / 'data').is_dir():
            delete(root / 'data')
        self.seen = self.side.see()

    def _must(self, *words: str) -> None:
        """A command that has to go through, whatever was before."""
        before = len(self.problems)
        done = self.do(Act('do', words))
        unknown = words[0] == 'checkout' and done.code == 1  # that nothing is recorded for the present state is an answer
        if done.code and not unknown and len(self.problems) == before:
            self.bad(Bad.STUCK, f'at the end: {done.said}')


def being_made(root: Path, path: str) -> bool:
    """Whether a stage has begun, and not ended, that makes this: what stood there is aside, and its command writes there."""
    begun: set[str] = set()
    for journal in (root / '.mlops/local/journal').glob('*'):
        for line in journal.read_bytes().splitlines():
            try:
                record = json.loads(line[line.index(b'{') :])
            except ValueError:
                continue
            if record.get('do') == 'begin' and record.get('kind') == 'run' and below(path) in record.get('outputs', ()):
                begun.add(record['attempt'])
            elif record.get('do') == 'end':
                begun.discard(record['attempt'])
    return bool(begun)


def delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


KILLED = """
import os, signal, sys
at, folder, count = int(sys.argv[1]), sys.argv[2], 0
CHANGES = {'os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.link', 'os.symlink', 'os.chmod', 'os.truncate', 'os.utime'}
def hook(event, args):
    global count
    writes = event == 'open' and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes or event in CHANGES) and isinstance(args[0], (str, bytes)):
        if os.path.abspath(os.fsdecode(args[0])).startswith(folder):
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from dvc.cli import main
sys.exit(main(sys.argv[3:]))
"""
