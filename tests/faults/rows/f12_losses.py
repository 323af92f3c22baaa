"""F12: what was lost according to DVC's list of issues, done again with today's DVC, and with mlops.

A case is one scenario, named after the numbers of its issues.  docs/explanation/losses.md tells them all, and
tests/cases/test_dvc_*.py hold each for mlops in more detail."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.faults import forked
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.edits_judge import KILLED, delete
from tests.faults.edits_world import Mlops, Side, commit, content, files, key, save_as_editors_do
from tests.faults.rows.f11_edits import laid
from tests.faults.tools import Done, git, run

Scenario = Callable[[Side, Trial], None]
ALL: dict[str, Scenario] = {}
WORLDS: dict[str, tuple[str, bool]] = {}
FAST = ('10557', '1258', '5978', '11101', '4634')  # their first numbers


def scenario(name: str, mode: str = 'copy', *, shared: bool = False) -> Callable[[Scenario], Scenario]:
    """``name``: the numbers, then what it is about."""

    def put(function: Scenario) -> Scenario:
        ALL[name], WORLDS[name] = function, (mode, shared)
        return function

    return put


def do(side: Side, *words: str, before: Sequence[str] = ()) -> Done:
    """A command as mlops calls it, by the tool's own words."""
    return side.tool.do(side.project, *side.words(words), environ=side.environ, before=before)


def begun(side: Side, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*before, *side.tool.argv(*side.words(words))],
        cwd=side.project,
        env=side.tool.environment(Path(f'{side.project}-home'), side.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def killed(side: Side, words: tuple[str, ...], at: int) -> Done:
    environ = side.tool.environment(Path(f'{side.project}-home'), side.environ)
    if isinstance(side, Mlops):
        return forked.do(words, side.project, environ, kill_before=at)
    start = side.tool.argv(*side.words(words))
    python = str(Path(start[0]).with_name('python'))
    return run([python, '-c', KILLED, str(at), str(side.folder), *start[1:]], side.project, environ)


def somewhere(side: Side, data: bytes) -> bool:
    """In the work tree, in the store, or kept for people."""
    return key(data) in side.see().all()


def object_of(side: Side, data: bytes) -> Path:
    return next(path for cache in side.caches() for path in files(cache, ()) if content(path) == key(data))


def stages(side: Side, text: str) -> None:
    """Other stages in place of those that are there."""
    name = 'pipeline.yaml' if isinstance(side, Mlops) else 'dvc.yaml'
    (side.project / name).write_text(('version: 1\n' if isinstance(side, Mlops) else '') + f'stages:\n{text}')


def ended(process: subprocess.Popen[bytes], seconds: float = 60) -> str:
    try:
        return process.communicate(timeout=seconds)[0].decode(errors='replace')
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)


@scenario('10413 the disk is full while data is added')
def full_disk(side: Side, trial: Trial) -> None:
    (side.folder / 'small').mkdir()
    inner = [*side.tool.argv(*side.words(('add', 'new.bin')))]
    script = (
        'mount -t tmpfs -o size=6m none small; cp -a p small/p; cd small/p; '
        'head -c 4000000 /dev/urandom > new.bin; before=$(sha256sum < new.bin); "$@" >/dev/null 2>&1 && echo added; '
        'if [ "$(sha256sum < new.bin)" = "$before" ]; then echo intact; fi'
    )
    environ = side.tool.environment(Path(f'{side.project}-home'), side.environ)
    done = run(['unshare', '-rm', 'sh', '-c', script, '-', *inner], side.folder, environ)
    if 'added' in done.out:
        trial.bad(Bad.WRONG, 'it fitted: the disk was not full')
    if 'intact' not in done.out:
        trial.bad(Bad.LOST, f'new.bin is not what it was: {done.said}')


@scenario('10557, 6387, 4349, 3001 an add that is killed halfway', 'hardlink')
def half_an_add(side: Side, trial: Trial) -> None:
    root = side.project
    for number in (1, 2, 3, 5, 7, 10, 14, 20, 30, 45):
        data = f'killed before {number}\n'.encode()
        save_as_editors_do(root / 'data/set/1', data)
        save_as_editors_do(root / 'data/set/2', data * 2)
        done = killed(side, ('add', 'data/set'), number)
        for path, text in (('data/set/1', data), ('data/set/2', data * 2)):
            if content(root / path) != key(text):
                trial.bad(Bad.LOST, f'{path} is not at its place after a kill before change {number}: {done.said}')
                save_as_editors_do(root / path, text)


@scenario('1258, 1326, 2497, 2802, 2803, 4413 checkout over what is saved nowhere')
def checkout_over(side: Side, trial: Trial) -> None:
    root = side.project
    for path in ('data/one.csv', 'data/set/1', 'data/set/new', 'out/a', 'd/x'):
        data = f'mine at {path}\n'.encode()
        save_as_editors_do(root / path, data)
        done = do(side, 'checkout')
        if content(root / path) != key(data):
            kind = Bad.WRONG if somewhere(side, data) else Bad.LOST
            trial.bad(kind, f'{path} was replaced unasked: {done.said}')


@scenario('278, 881, 1599 a stage writes where a link into the cache was', 'hardlink')
def writes_through(side: Side, trial: Trial) -> None:
    before = (side.project / 'last.txt').read_bytes()
    stages(side, '  s: {cmd: "cat data/one.csv >> last.txt", deps: [data/one.csv], outs: [last.txt]}\n')
    save_as_editors_do(side.project / 'data/one.csv', b'new\n')
    done = do(side, 'run')
    if (side.project / 'last.txt').read_bytes() != b'new\n':
        trial.bad(Bad.WRONG, f'the stage found what it had made before: {done.said}')
    if side.see().damaged or not somewhere(side, before):
        trial.bad(Bad.CORRUPT, f'the content of another result was written to: {done.said}')


@scenario('5978 an object was changed and is still read-only')
def changed_object(side: Side, trial: Trial) -> None:
    path = side.project / 'data/one.csv'
    data = path.read_bytes()
    damage(object_of(side, data))
    delete(path)
    done = do(side, 'checkout', 'data/one.csv')
    if content(path) is not None and content(path) != key(data):
        trial.bad(Bad.CORRUPT, f'other bytes were placed: {done.said}')
    elif content(path) is None and done.code == 0:
        trial.bad(Bad.WRONG, f'nothing was placed, and it ended well: {done.said}')


def damage(path: Path) -> None:
    """A flipped bit; size, times and mode as before."""
    facts = path.stat()
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(facts.st_mode & 0o777)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@scenario('9641, 9652 no command tells that the cache holds damage')
def told_of_damage(side: Side, trial: Trial) -> None:
    damage(object_of(side, (side.project / 'd/x').read_bytes()))
    asked = [['verify'], ['doctor']] if isinstance(side, Mlops) else [['status'], ['data', 'status'], ['doctor']]
    for words in asked:
        done = side.tool.do(side.project, *words, environ=side.environ)
        if done.code or 'damaged' in done.out + done.err or 'corrupt' in (done.out + done.err).lower():
            return
    trial.bad(
        Bad.CORRUPT, 'one object is not what its name says, and ' + ', '.join(' '.join(one) for one in asked) + ' say nothing'
    )


@scenario('4634 the content of a result is gone')
def result_without_content(side: Side, trial: Trial) -> None:
    data = (side.project / 'd/x').read_bytes()
    object_of(side, data).unlink()
    delete(side.project / 'd')
    done = do(side, 'run')
    if done.code or content(side.project / 'd/x') != key(data):
        trial.bad(Bad.STUCK, f'the stage was not run again: {done.said}')


@scenario('8874 the only copy is in the work tree, whatever was recorded')
def only_copy(side: Side, trial: Trial) -> None:
    root, record = side.project, side.project / side.record_of('data/one.csv')
    first = record.read_bytes()
    save_as_editors_do(root / 'data/one.csv', b'the only copy\n')
    do(side, 'add', 'data/one.csv')
    if not (root / 'data/one.csv').is_symlink():
        object_of_only = [
            path for cache in side.caches() for path in files(cache, ()) if content(path) == key(b'the only copy\n')
        ]
        for path in object_of_only:
            path.unlink()
    record.write_bytes(first)
    done = do(side, 'checkout', 'data/one.csv')
    if not somewhere(side, b'the only copy\n'):
        trial.bad(Bad.LOST, f'it is nowhere any more: {done.said}')


@scenario('11101 a folder on the way is a link that leads out')
def linked_parent(side: Side, trial: Trial) -> None:
    root, outside = side.project, side.folder / 'outside'
    outside.mkdir()
    stages(side, '  s: {cmd: "mkdir -p deep && echo content > deep/post-checkout", outs: [deep/post-checkout]}\n')
    do(side, 'run')
    for target in (outside, root / '.git/hooks'):
        delete(root / 'deep')
        before = sorted(os.listdir(target))
        (root / 'deep').symlink_to(target)
        done = do(side, 'checkout')
        if new := sorted({*os.listdir(target)} - {*before}):
            trial.bad(Bad.ESCAPED, f'{new} appeared in {target.name}: {done.said}')
            for name in new:
                delete(target / name)


def clean(side: Side) -> Done:
    """As much as may go; DVC is told to keep what any commit needs, which is the most that it can be told."""
    words = ('gc', '--grace', '0', '--yes') if isinstance(side, Mlops) else ('gc', '-q', '-f', '--all-commits')
    return side.tool.do(side.project, *words, environ=side.environ)


@scenario('377, 2325, 820 the cache is cleaned while a stash needs something')
def cleaned(side: Side, trial: Trial) -> None:
    root = side.project
    save_as_editors_do(root / 'data/one.csv', b'stashed\n')
    do(side, 'add', 'data/one.csv')
    git(root, 'stash')
    do(side, 'checkout')
    done = clean(side)
    git(root, 'stash', 'pop')
    delete(root / 'data/one.csv')
    do(side, 'checkout', 'data/one.csv')
    if content(root / 'data/one.csv') != key(b'stashed\n'):
        trial.bad(Bad.LOST, f'what a stash names is gone: {done.said}')
    for path in ('data/set/1', 'd/x'):
        if content(root / path) is None or not somewhere(side, (root / path).read_bytes()):
            trial.bad(Bad.LOST, f'{path} is gone: {done.said}')


@scenario('8090, 7610 the cache is cleaned by one of two projects that share it', shared=True)
def cleaned_by_another(side: Side, trial: Trial) -> None:
    shutil.copytree(side.project, side.folder / 'w', symlinks=True)
    other = type(side)(side.tool, side.folder, side.mode, True)
    other.project = side.folder / 'w'
    save_as_editors_do(other.project / 'data/one.csv', b'of the other one\n')
    do(other, 'add', 'data/one.csv')
    commit(other.project)
    done = clean(side)
    delete(other.project / 'data/one.csv')
    do(other, 'checkout', 'data/one.csv')
    if content(other.project / 'data/one.csv') != key(b'of the other one\n'):
        trial.bad(Bad.LOST, f'what the other project needs is gone: {done.said}')


def parallel(count: int) -> str:
    return ''.join(
        f'  s{number}: {{cmd: "cat src/in.txt > made-{number}.txt", deps: [src/in.txt], outs: [made-{number}.txt]}}\n'
        for number in range(count)
    )


@scenario('6097, 8118, 3370, 3789 several commands at once')
def at_once(side: Side, trial: Trial) -> None:
    count = 6
    stages(side, parallel(count))
    processes = [begun(side, 'run', f's{number}') for number in range(count)]
    said = [ended(process, 110) for process in processes]
    for number, process in enumerate(processes):
        if process.returncode:
            trial.bad(Bad.STUCK, f'run s{number} ended with {process.returncode}: {said[number][-200:]!r}')
    missing = [number for number in range(count) if content(side.project / f'made-{number}.txt') is None]
    text = (side.project / 'dvc.lock').read_text() if not isinstance(side, Mlops) else ''
    unrecorded = [n for n in range(count) if n not in missing and text and f'made-{n}.txt' not in text]
    if unrecorded:
        trial.bad(Bad.LOST, f'made and in no record: {unrecorded}')
    if isinstance(side, Mlops) and not missing and (done := do(side, 'status', '--exit-code')).code:
        trial.bad(Bad.LOST, f'made and in no record: {done.said}')


SLOW = '  s: {cmd: "echo half > slow.txt; touch ../begun; sleep 1.5; echo whole > slow.txt", outs: [slow.txt]}\n'


@scenario('5795, 10465 two containers in which both are process 1')
def containers(side: Side, trial: Trial) -> None:
    stages(side, SLOW.replace('touch', 'echo x >> ../ran; touch'))
    contained = ('unshare', '-rpf', '--mount-proc')
    first = begun(side, 'run', before=contained)
    wait(side.folder / 'begun')
    second = begun(side, 'run', before=contained)
    said = [ended(first), ended(second)]
    if (side.folder / 'ran').read_text().split() != ['x']:
        trial.bad(Bad.WRONG, f'the stage ran twice at once: {said}')
    elif first.returncode or second.returncode:
        trial.bad(Bad.STUCK, f'one of them ended with an error: {[text[-200:] for text in said]}')


@scenario('2271, snakemake 1871 a stage is interrupted')
def interrupted(side: Side, trial: Trial) -> None:
    stages(side, SLOW)
    save_as_editors_do(side.project / 'slow.txt', b'mine\n')
    process = begun(side, 'run')
    wait(side.folder / 'begun')
    os.killpg(process.pid, signal.SIGINT)
    said = ended(process)
    if not somewhere(side, b'mine\n'):
        trial.bad(Bad.LOST, f'what stood at the output before is nowhere any more: {said[-200:]!r}')
    words = ('status', '--exit-code') if isinstance(side, Mlops) else ('status',)
    if content(side.project / 'slow.txt') == key(b'half\n') and not do(side, *words).code and isinstance(side, Mlops):
        trial.bad(Bad.WRONG, 'half an output counts as one')


@scenario('10655 a trial is interrupted')
def trial_interrupted(side: Side, trial: Trial) -> None:
    stages(side, SLOW.replace('outs', 'params: [k], outs'))
    commit(side.project)
    save_as_editors_do(side.project / 'src/in.txt', b'edited, in no commit\n')
    save_as_editors_do(side.project / 'notes/own.txt', b'untracked\n')
    words = ['run', '--set', 'k=9'] if isinstance(side, Mlops) else ['exp', 'run', '-q', '-S', 'k=9']
    process = subprocess.Popen(
        side.tool.argv(*words),
        cwd=side.project,
        env=side.tool.environment(Path(f'{side.project}-home'), side.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    wait(side.folder / 'begun')
    if (side.folder / 'begun').exists():
        os.killpg(process.pid, signal.SIGINT)
    said = ended(process)
    for path, data in (('src/in.txt', b'edited, in no commit\n'), ('notes/own.txt', b'untracked\n')):
        if content(side.project / path) != key(data):
            trial.bad(Bad.LOST, f'{path} is not as it was edited ({git(side.project, "stash", "list")!r}): {said[-200:]!r}')


def cases(setting: Setting) -> list[str]:
    return [name for name in ALL if setting.full or name.split()[0].rstrip(',') in FAST]


def tried(setting: Setting, case: str) -> Verdict:
    trial = Trial()
    trial.tried = 1
    folder = setting.folder / 'laid'
    side = laid(setting, folder, *WORLDS[case])
    try:
        ALL[case](side, trial)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    found = trial.verdict()
    return Verdict(1, dict.fromkeys(list(found.bad)[:1], 1), found.heal, found.notes)


def lacks() -> str:
    if shutil.which('unshare') is None:
        return 'there is no unshare'
    done = subprocess.run(['unshare', '-rpfm', '--mount-proc', 'true'], capture_output=True, check=False)
    return 'no namespaces of our own' if done.returncode else ''


ROWS = (
    Row(
        'F12',
        "the losses of DVC's list of issues, done again",
        f'{len(ALL)} scenarios, which {sum(name.count(",") + 1 for name in ALL)} issues come to',
        cases,
        tried,
        tools=('mlops', 'dvc'),
        lacks=lacks,
    ),
)
