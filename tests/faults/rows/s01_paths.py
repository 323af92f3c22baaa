"""S1: paths that lead elsewhere, by their text, by links, by what lies where they lead, and by being swapped meanwhile.

A branch brings them, in each place that names a path; then each command that may read that place.  Nothing outside may be
read or written, nothing may run, no command may hang or fall over."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records import data as data_records
from mlops_cli.records import pins, runs
from mlops_cli.store import results, tree
from tests.faults import later_places
from tests.faults.base import Bad, Row, Setting, Trial, Verdict
from tests.faults.hostile import PIPELINE, Ended, Watch, World, command, in_yaml, judge, judge_around, single, worlds
from tests.faults.tools import git

# Texts.  Those of MUST are refused wherever a pipeline names a path.

CONTROLS = [chr(code) for code in (*range(1, 0x20), 0x7F, 0x80, 0x85, 0x9B, 0x9F, 0x2028, 0x2029)]
GIT = ['.git', '.GIT', '.Git', '.gIt', 'git~1', 'GIT~1', 'git~2', '.git.', '.git...', '.git ', '.git . .', '.gi\u200ct',
    '.g\u200bit',
       '\ufeff.git', '.git\u2060', '.gi\u00adt', '.git\ufe0f', '.git:stream', '.git::$INDEX_ALLOCATION', '.gi\u034ft']
MLOPS = ['.mlops', '.MLOPS', '.Mlops', '.mlops.', '.mlops ', '.mlo\u200cps', 'mlops~1', 'MLOPS~1', '.mlops:x', '\ufeff.mlops']
UP = ['..', '../x', '../../x', '../../../../x', '../../../../outside/secret.txt', 'data/../../x', 'a/b/../../../x', './../x',
    'a/./..//../x',
      'data/raw/../../../x', '../project/../../x', '.../../../x', '../outside', '..//x', 'made/../../../../../outside/file']
NOT_HERE = ['/', '//', '/etc/passwd', '//etc/passwd', '///etc', '/dev/zero', '/dev/stdin', '/dev/tty',
    '/proc/self/root/etc/passwd',
            '//proc/self/root', '/proc/self/fd/0', '/proc/self/environ', '{outside}/secret.txt', '{outside}', '{outside}/file',
            '{outside}/../outside/file', '/{outside}/new', '{outside}/new/deep']
BACKSLASHES = ['\\', 'a\\b', '..\\x', '..\\..\\..\\..\\outside\\file', 'C:\\x', '\\\\host\\share', '\\x41', 'data\\..\\..\\x']
DECOMPOSED = ['e\u0301', 'A\u030a.txt', 'data/o\u0308/x', '\u1112\u1161\u11ab', 'n\u0303', '\u212b', '\u2126', '\uf900',
    'a\u0323\u0307']
LONG = ['a' * 256, 'é' * 128, 'a/' * 2048 + 'x', ('b' * 255 + '/') * 16 + 'x', '数' * 86, '/'.join(['c' * 250] * 17),
    'data/' + 'd' * 4091]
STRANGE = ['', '.', './', ' ', '-', '--', '-rf', '--help', '-C', '-n', '@', '#', '*', '?', '[', '[a', '**', '**/*', '*/../..',
    '[.][.]/x', '.*/x',
           '.[.]/[.][.]/x', '{.,}./x', '**/..', '***', 'a**', '[^a]', '[[:alpha:]]', '${x}', '$HOME/x', '~', '~/x', '~root/x',
           '%2e%2e/x',
           'file:///etc/passwd', 's3://bucket/x', 'CON', 'NUL', 'aux.txt', 'COM1', 'LPT1.txt', 'C:x', 'a:b', 'a.', 'a ', ' a',
           'a/', 'a//b',
           'a/./b', './a', '.gitignore', '.gitmodules', '.gitattributes', '.mlopsignore', 'pipeline.yaml', 'params.yaml',
           '.github/workflows/x.yml',
           'data/.gitattributes', '.', 'data', 'made', 'made/out.txt/x', 'in.txt/x', 'a' * 255, '/'.join('d' * 256),
           '/'.join('d' * 129),
           '\u202egnp.exe', 'a\u200bb', '.\u200b./x', '\u2024\u2024/x', '\uff0e\uff0e/x', '\uff0egit/hooks/x', '.g\u0131t',
           '\u0130', 'ß', 'ſ', 'ﬁ',
           '\udcff', 'a\udcffb', '\udcc0\udcae\udcc0\udcae/x', '🎉', '数', 'x;y', "'", '"', '`x`', '$(x)', '&', '|', '<x',
           'x>y', '!x', 'x=y', '%s%n',
           'stage:make', 'HEAD:in.txt', 'HEAD', '.git.txt', 'git', 'mlops', 'x.git', '.gitx', '.mlops-x', 'Made/out.txt',
           'MADE', 'data/USED.txt']
MUST = (
    *UP, *NOT_HERE, *(f'a{one}b' for one in CONTROLS), 'a\x00b', *BACKSLASHES, *DECOMPOSED, *LONG,
    *(form.format(one) for one in GIT for form in ('{}/hooks/pre-commit', 'data/{}/x')), *GIT[:6],
    *(form.format(one) for one in MLOPS for form in ('{}/keep.txt', 'data/{}/x')), *MLOPS[:3], '.mlops/local/keep.txt',
    '.mlops/config.yaml',
    '.mlops/cache/objects-v1/ab/x', '.git/config', '.git/hooks/post-checkout', '.git/x.yaml', '.mlops/config.local.yaml',
    '../x.yaml', '{outside}/params.yaml',
)  # fmt: skip
TEXTS = tuple(dict.fromkeys((*MUST, *STRANGE)))
FAST_TEXTS = ('.mlops/config.local.yaml', '../../../../outside/file', '{outside}/secret.txt', '.GIT/hooks/pre-commit')
FAST_FIELDS = ('deps', 'outs', 'include', 'pin', 'applied', 'tree name')
assert len(TEXTS) >= 250

# Where they stand.  Each writes what a branch brings, and gives the further commands that name the text themselves.

Words = Sequence[Sequence[str]]
Field = Callable[[World, str], Words]


def _stage(**keys: str) -> Field:
    """A stage with these keys, ``%s`` for the text in YAML."""

    def write(world: World, text: str) -> Words:
        quoted = in_yaml(text)
        lines = ''.join(f'    {key}: {value.replace("%s", quoted)}\n' for key, value in {'cmd': '"true"', **keys}.items())
        world.write('pipeline.yaml', f'{PIPELINE}  bad:\n{lines}')
        return ()

    return write


def _top(text_of: str, params: str = '') -> Field:
    def write(world: World, text: str) -> Words:
        world.write('pipeline.yaml', text_of.replace('%s', in_yaml(text)) + PIPELINE)
        if params:
            world.write('params.yaml', params.replace('%s', in_yaml(text)))
        return ()

    return write


def _by_parameter(world: World, text: str) -> Words:
    world.write('params.yaml', f'lr: 1\np: {in_yaml(text)}\n')
    world.write('pipeline.yaml', PIPELINE + '  bad: {cmd: "true", outs: ["${p}"]}\n')
    return ()


def _by_item(world: World, text: str) -> Words:
    world.write('pipeline.yaml',
        PIPELINE + f'  bad: {{foreach: [{in_yaml(text)}], do: {{cmd: "true", outs: ["${{item}}"]}}}}\n')
    return ()


def _included(world: World, text: str) -> Words:
    world.write('sub/pipeline.yaml', f'stages:\n  bad: {{cmd: "true", outs: [{in_yaml("../" + text)}]}}\n')
    world.write('pipeline.yaml', f'include: [sub/pipeline.yaml]\n{PIPELINE}')
    return ()


def _program(form: str, key: str = 'cmd') -> Field:
    """Of found code: nothing is refused, the path is what a command says, and nothing outside may be read for it."""

    def write(world: World, text: str) -> Words:
        value = form.replace('%s', text.replace("'", "'\\''"))
        value = in_yaml(value) if key == 'cmd' else f'[python, {in_yaml(text)}]'
        world.write('pipeline.yaml', f'{PIPELINE}  bad:\n    {key}: {value}\n')
        return ()

    return write


def _reference(world: World, content: bytes = b'planted\n', kind: str = 'file') -> ObjectRef:
    """An object in the cache."""
    found = digest_of(content)
    world.write(f'.mlops/cache/objects-v1/{found.hex[:2]}/{found.hex[2:]}', content)
    return ObjectRef(found, len(content), kind)  # type: ignore[arg-type]


def _record(world: World, text: str) -> Words:
    content = data_records.encode(text, _reference(world))
    for place in (data_records.record_path(text), '.mlops/data/bad.json'):
        with suppress(OSError, ValueError):
            if os.path.normpath(place).startswith('.mlops/data/'):
                world.write(place, content)
    return ()


def _tree(kind: str) -> Field:
    def write(world: World, text: str) -> Words:
        ref = _reference(world)
        entry = tree.TreeEntry('link', 'link', None, 0, text) if kind == 'link' else tree.TreeEntry(text, 'file', ref.digest,
            ref.size)
        try:
            node = tree.encode([entry])
        except UnicodeEncodeError:
            return ()
        found = _reference(world, node)
        world.write('.mlops/data/bad.json', data_records.encode('bad', ObjectRef(found.digest, ref.size, 'tree')))
        return ()

    return write


def _pin(world: World, text: str) -> Words:
    """A pin of the very key, with the text among what it made."""
    for path in (world.project / '.mlops/stages').glob('use~*'):
        old = pins.decode(path.read_bytes(), f'.mlops/stages/{path.name}')
        for outputs in ((*old.outputs, (text, _reference(world))), ((text, _reference(world)),)):
            with suppress(UnicodeEncodeError):
                pin = pins.Pin(old.manifest, outputs, ((text, text, 1.0),))
                world.write(f'.mlops/stages/{pin.file_name("use")}', pin.data)
    (world.project / 'data/used.txt').unlink()
    return ()


def _entry(world: World, text: str) -> Words:
    """A result of the very key in a cache that others write, too."""
    for path in (world.project / '.mlops/cache/results-v1').rglob('*.json'):
        old = results.decode(path.read_bytes())
        if [name for name, _ in old.outputs] == ['data/used.txt']:
            with suppress(UnicodeEncodeError):
                new = replace(old, outputs=tuple(sorted([(text, _reference(world)), *old.outputs])), metrics={f'{text}:x': 1})
                path.chmod(0o644)
                path.unlink()
                (path.parent / new.file_name).write_bytes(results.encode(new))
    for path in (world.project / '.mlops/stages').glob('use~*'):
        path.unlink()
    (world.project / 'data/used.txt').unlink()
    return ()


def _applied(world: World, text: str) -> Words:
    """A trial whose parameters stand in a file of that name; runs apply writes them."""
    path = world.project / runs.layout.run_record(world.trial)
    record = runs.decode(path.read_bytes(), runs.layout.run_record(world.trial))
    with suppress(UnicodeEncodeError):
        path.write_bytes(replace(record, overlay=((text, '+cache.dir', str(world.outside)), (text, 'lr', 3), ('params.yaml',
            'lr', 3))).encode())
    return ()


def _journal(name: str) -> Field:
    def write(world: World, text: str) -> Words:
        begin = {'do': 'begin', 'attempt': '7k2m9q4c-x-1', 'stage': 'make', 'run': '20261120T101522Z-7k2m9q4c',
            'outputs': [text],
                 'links': [], 'kind': 'run', 'clear': True}  # fmt: skip
        records = [{'do': 'run', 'run': begin['run'], 'started': '2026-11-20T10:15:22Z', 'command': [], 'set': []},
                   {**begin, name: [text] if name in ('outputs', 'links') else text}]  # fmt: skip
        lines = [json.dumps(record).encode() for record in records]
        world.write(f'.mlops/local/journal/{begin["run"]}.jsonl', b''.join(b'%08x %s\n' % (zlib.crc32(one),
            one) for one in lines))
        world.write('.mlops/local/work/7k2m9q4c-x-1/aside/made', 'old')
        return ()

    return write


def _live(world: World, text: str) -> Words:
    """A run that says it goes on, whose stage shows its progress in a file of that name."""
    run_id = '20261120T101522Z-7k2m9q4c'
    lines = [
        {'event': 'live', 'at': 1.0, 'schema': 'mlops/live/v1', 'run': run_id, 'pid': os.getpid(), 'owner': '', 'host': 'h',
        'who': 'w',
         'command': [], 'detached': False},
        {'event': 'run-started', 'at': 1.0, 'run': run_id, 'pipeline': 'p', 'total': 1, 'fresh': 0, 'jobs': 1,
        'stages': ['make']},
        {'event': 'stage-started', 'at': 1.0, 'stage': 'make', 'attempt': 1, 'log': text, 'progress': text,
        'typical_seconds': None},
    ]  # fmt: skip
    world.write(f'.mlops/local/live/{run_id}/events.jsonl', ''.join(json.dumps(line) + '\n' for line in lines))
    return (('runs', 'attach', '7k2m'), ('logs', 'make', '--run', '7k2m'))


def _config(file: str) -> Field:
    def write(world: World, text: str) -> Words:
        world.write(file, f'cache: {{dir: {in_yaml(text or ".mlops")}}}\n')
        world.commit()
        return ()

    return write


def _accepted(world: World, text: str) -> Words:
    for path in sorted((world.project / '.mlops/accepted').glob('*.json')):
        found = json.loads(path.read_bytes())
        from mlops_cli.records import accepted

        old = accepted.decode(path.read_bytes(), f'.mlops/accepted/{path.name}')
        with suppress(UnicodeEncodeError):
            new = replace(old, pin=text[:300], stage=found['stage'], run=text[:100])
            world.write(new.path, new.data)
            path.unlink()
    return ()


def _kept(world: World, text: str) -> Words:
    for path in (world.project / '.mlops/kept').glob('*.json'):
        found = json.loads(path.read_bytes())
        path.write_text(json.dumps({**found, 'run': text}))
    return ()


def _ignore(world: World, text: str) -> Words:
    world.write('.mlopsignore', f'{text}\n!{text}\n/{text}/\n')
    (world.project / 'data/raw/f').write_text('changed\n')
    return ()


def _argument(world: World, text: str) -> Words:
    if '\0' in text or not text:
        return ()
    return (
        ('add', '--', text), ('checkout', '--', text), ('status', '--', text), ('explain', '--', text), ('run', '--', text),
        ('graph', '--', text), ('metrics', 'show', '--', text), ('plots', 'show', '--', text), ('logs', '--', text), ('runs',
        'show', '--', text),
        ('accept', '--reason', 'r', '--', text), ('run', '--set', f'{text}:lr=2'), ('run', '--set', f'{text}=2'), ('plan',
        '--set', f'{text}:lr=2'),
        ('checkout', '--at', text), ('metrics', 'show', '--at', text), ('gate', f'{text}:acc > 0'), ('init', '--script',
        text), ('add', text),
    )  # fmt: skip


PIPELINE_FIELDS: Mapping[str, Field] = {
    'deps': _stage(deps='[%s]'), 'deps path': _stage(deps='[{path: %s}]'), 'outs': _stage(outs='[%s]'),
    'outs settings': _stage(outs='[{%s: {cache: false, persist: true}}]'), 'metrics': _stage(metrics='[%s]'),
    'plots': _stage(plots='[%s]'),
    'wdir': _stage(wdir='%s', outs='[x.txt]'), 'code': _stage(code='[%s]'),
    'code paths': _stage(code='{auto: false, paths: [%s]}'),
    'checkpoint': _stage(checkpoint='%s'), 'progress': _stage(progress='%s'), 'caches': _stage(caches='[%s]'),
    'params file': _stage(params='[{%s: null}]'), 'venv': _stage(environment='{venv: %s}'),
    'uv': _stage(environment='{uv: %s}'),
    'vars': _stage(vars='[%s]'), 'isolated': _stage(isolate='folder', deps='[%s]', outs='[x.txt]'),
    'top params': _top('params: %s\n'),
    'top vars': _top('vars: [%s]\n'), 'include': _top('include: [%s]\n'), 'parameter': _by_parameter, 'item': _by_item,
    'included': _included, **later_places.OF_PIPELINES,
}  # fmt: skip
OTHER_FIELDS: Mapping[str, Field] = {
    'python script': _program("python '%s'"), 'shell script': _program("sh '%s'"), 'sourced': _program(". '%s'"),
    'argv': _program('', 'argv'),
    'data record': _record, 'tree name': _tree('name'), 'tree link': _tree('link'), 'pin': _pin, 'result': _entry,
    'applied': _applied,
    'journal outputs': _journal('outputs'), 'journal links': _journal('links'), 'journal attempt': _journal('attempt'),
    'journal run': _journal('run'), 'journal stage': _journal('stage'), 'live': _live, 'config': _config('.mlops/config.yaml'),
    'local config': _config('.mlops/config.local.yaml'), 'accepted': _accepted, 'kept': _kept, 'ignore': _ignore,
    'argument': _argument, **later_places.FIELDS,
}  # fmt: skip
FIELDS = {**PIPELINE_FIELDS, **OTHER_FIELDS}

READS: Words = (
    ('status',), ('plan', '-v'), ('explain', 'make'), ('graph',), ('graph', '--outs'), ('lineage', 'upstream', 'm.json'),
    ('metrics', 'show'),
    ('plots', 'show'), ('runs', 'list'), ('runs', 'show'), ('runs', 'diff'), ('logs', 'make'), ('doctor',), ('config',),
    ('verify',),
    ('gate', 'm.json:acc > 0'),
)  # fmt: skip
WRITES: Words = (
    ('checkout',), ('add', 'data/raw'), ('accept', 'use', '--reason', 'r'), ('runs', 'keep', 'last'), ('runs', 'apply',
    '{trial}'),
    ('run',), ('checkout', '--at', 'HEAD'), ('run', '--set', 'lr=5'), ('metrics', 'diff', 'HEAD'), ('status',),
)  # fmt: skip
FAST: Words = (('status',), ('checkout',), ('runs', 'apply', '{trial}'), ('run',))
ALWAYS = frozenset((*FAST, ('add', 'data/raw')))
SHARE = 3  # of the others a world gets each third: so each text meets all of them, in one place or another, and each place


CODE = ('python script', 'shell script', 'sourced', 'argv', 'code')
RUNS_CODE = ('run', 'runs')
REFUSED: Words = (('status',), ('plan', '-v'), ('graph',), ('doctor',), ('checkout',), ('add', 'data/raw'), ('run',))


def _commands(
    setting: Setting, world: World, what: str, further: Words, refused: bool, share: int, alone: bool
) -> Iterator[tuple[str, ...]]:
    """``refused``: the pipeline cannot be loaded, which is the same for most.  ``alone``: no others than the further ones."""
    first = zlib.crc32(what.encode(errors='surrogateescape'))
    every = (*READS, *WRITES, *_of_gc())
    some = [words for number, words in enumerate(every) if words in ALWAYS or (number + first) % share == 0]
    for words in (*(() if alone else FAST if not setting.full else REFUSED if refused else some), *further):
        yield tuple(world.trial if word == '{trial}' else word for word in words)


@cache
def _of_gc() -> Words:
    from importlib.util import find_spec

    return (('gc', '--dry-run'), ('gc', '--yes')) if find_spec('mlops_cli.cli.commands.gc') else ()


def _attempt(
    setting: Setting, trial: Trial, world: World, what: str, further: Words = (), *, refused: bool = False,
    share: int = SHARE, alone: bool = False,
) -> list[Ended]:
    """All the commands, one after the other, in one world.  Of code that a link leads to, names are listed, as Python would
    to import it: so it is known that it lies outside, and not followed.  And who runs it runs it.
    What a person names in the words of a command may be read wherever it is."""
    is_code = what.startswith(CODE) or any(place in what for place in (' at x.py', ' at pkg'))
    is_program = what.startswith(CODE[:4])
    before = world.around()
    environ = setting.tool.environment(Path(f'{world.project}-home'), {'MLOPS_QUICK': '1'})
    ended = []
    with single(trial) as found:
        with Watch(world.outside) as watch:
            for words in _commands(setting, world, what, further, refused, share, alone):
                if is_program and words[0] in RUNS_CODE:
                    continue  # that is what the person's own command reads
                watch.seen()
                one = command(world.project, environ, *(word.encode('utf-8', 'surrogateescape').decode('utf-8',
                    'surrogateescape') for word in words))
                judge(found, one, what)
                seen = [one for one in watch.seen() if not (is_code and one.startswith('listed '))]
                if seen and not (is_code and words[0] in RUNS_CODE) and not what.startswith('argument: '):
                    found.bad(Bad.ESCAPED, f'{what}: {" ".join(words)[:80]!r}: {", ".join(seen[:5])}')
                ended.append(one)
                if trial_is_bad_enough(found):
                    break
        judge_around(found, world, before, (), what)
    return ended


def trial_is_bad_enough(trial: Trial) -> bool:
    return len(trial.verdict().notes) > 50


def _of_text(setting: Setting, text: str, fields: Mapping[str, Field]) -> Verdict:
    trial = Trial()
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    for name, field in fields.items():
        world = next(fresh)
        hostile = text.replace('{outside}', str(world.outside))
        must = text in MUST and name in PIPELINE_FIELDS and name != 'included'
        ended = _attempt(setting, trial, world, f'{name}: {text[:60]!r}', field(world, hostile), refused=must)
        passed = [one for one in ended if one.words[0] in ('status', 'run') and one.code == 0]
        if must and passed:
            trial.bad(Bad.WRONG, f'{name}: {text[:60]!r}: {passed[0].said}, where it must be refused')
    fresh.close()  # type: ignore[attr-defined]
    return trial.verdict()


# Layouts: what lies where a path leads.

PLACES = {
    'dep': 'in.txt', 'dep folder': 'data/raw', 'dep parent': 'data', 'out': 'data/used.txt', 'out folder': 'made',
    'metrics': 'm.json',
    'plots': 'p.csv', 'params': 'params.yaml', 'pipeline': 'pipeline.yaml', 'ignore': '.mlopsignore', 'script': 'x.py',
    'folder of code': 'pkg',
    'checkpoint': 'ckpt', 'cache of a stage': 'hub', 'progress': 'log.jsonl', 'lock file': 'requirements.txt',
    'included': 'sub/pipeline.yaml',
    'folder included': 'sub', 'gitignore': '.gitignore', 'gitignore below': 'data/.gitignore', 'venv': '.venv',
    **{name: f'.mlops/{name}' for name in (
        'stages', 'runs', 'data', 'kept', 'accepted', 'models', 'cache', 'local', '.gitignore', 'config.yaml',
        'config.local.yaml',
        'pipeline.schema.json', 'local/journal', 'local/work', 'local/failed', 'local/rescue', 'local/logs', 'local/live',
        'local/checkpoints',
        'local/crashes', 'local/locks-v1', 'local/index-v1.sqlite', 'local/index-v1.sqlite-wal', 'local/index-v1.sqlite-shm',
        'local/answers-v1',
        'local/pipeline-v1', 'local/trust.json', 'local/history-v1.sqlite', 'cache/objects-v1', 'cache/results-v1',
        'cache/tmp', 'cache/locks-v1',
        'cache/tmp/quarantine')},
    'folders of objects': '.mlops/cache/objects-v1/%', 'folders of results': '.mlops/cache/results-v1/%',
    'mlops': '.mlops', 'data record': '.mlops/data/data/raw.json', 'folder of records': '.mlops/data/data',
    **{name: path for name, (path, _) in later_places.PLACES.items()},
}  # fmt: skip
LAYOUT = """\
include: [sub/pipeline.yaml]
""" + PIPELINE + """\
  more:
    cmd: true || python x.py
    deps: [data/raw/f]
    code: [pkg]
    checkpoint: ckpt
    caches: [hub]
    progress: log.jsonl
    environment: {venv: requirements.txt}
"""  # fmt: skip


def _link(target: str) -> Callable[[World, Path], None]:
    def make(world: World, place: Path) -> None:
        place.symlink_to(target.format(outside=world.outside, git=world.project / '.git', project=world.project,
            name=place.name))

    return make


def _fifo(world: World, place: Path) -> None:
    os.mkfifo(place)


def _socket(world: World, place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(place.parent, os.O_PATH)
        try:
            one.bind(f'/proc/self/fd/{here}/{place.name}')  # its own path may be too long
        finally:
            os.close(here)


def _device(world: World, place: Path) -> None:
    try:
        os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        place.symlink_to('/dev/zero')


def _hard_link(world: World, place: Path) -> None:
    """A second name of a file outside: to be read, which whoever made it wanted, and never to be changed."""
    os.link(world.outside / 'secret.txt', place)


def _file(world: World, place: Path) -> None:
    place.write_text('text\n')


def _folder(world: World, place: Path) -> None:
    (place / 'x').mkdir(parents=True)


KINDS: Mapping[str, Callable[[World, Path], None]] = {
    'link to a folder outside': _link('{outside}'), 'relative link out': _link('../../../../../../../outside'),
    'link to the same name outside': _link('{outside}/{name}'),
    'link to a file outside': _link('{outside}/secret.txt'), 'dangling link': _link('{outside}/new'),
    'dangling link below': _link('{outside}/new/deep'),
    'link to hooks': _link('{git}/hooks'), 'link to .git': _link('{git}'),
    'link to another project': _link('{outside}/foreign/.mlops/local'),
    'link to itself': _link('{name}'), 'link to /dev/zero': _link('/dev/zero'), 'link to /proc': _link('/proc/self/fd/0'),
    'FIFO': _fifo,
    'socket': _socket, 'device': _device, 'hard link': _hard_link, 'file': _file, 'folder': _folder,
}  # fmt: skip
# Git reads these, and waits for a pipe as long as there is one: 'git status' itself does.
OF_GIT = ('gitignore', 'gitignore below', '.gitignore')
WAITING = ('FIFO', 'device', 'link to /dev/zero', 'link to /proc')
FAST_LAYOUTS = (('dep parent', 'link to a folder outside'), ('local/journal', 'link to another project'), ('params', 'FIFO'),
                ('local', 'link to a folder outside'))  # fmt: skip


def _lay(world: World, place: str, kind: str, *, committed: bool) -> None:
    """What a branch brings in place of what was there; ``committed``, or unpacked from an archive."""
    if place in later_places.PLACES:
        later_places.prepare(world)
    elif place not in ('pipeline', 'mlops'):
        world.write('pipeline.yaml', LAYOUT)
    for rel, text in {'x.py': 'import pkg\n', 'pkg/__init__.py': 'x = 1\n', 'sub/pipeline.yaml': 'stages: {s: {cmd: "true"}}\n',
                      'requirements.txt': 'a==1\n'}.items():  # fmt: skip
        world.write(rel, text)
    folders = [f'{number:02x}' for number in range(256)] if '%' in PLACES[place] else ['']
    for name in folders:
        path = world.project / PLACES[place].replace('%', name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        KINDS[kind](world, path)
    if committed:
        world.commit()


def _of_layout(setting: Setting, place: str, kind: str) -> Verdict:
    trial = Trial()
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    for committed in (False, True) if setting.full else (False,):
        if committed and kind in ('FIFO', 'socket', 'device', 'hard link'):
            continue  # git brings none of these
        world = next(fresh)
        _lay(world, place, kind, committed=committed)
        _, further = later_places.PLACES.get(place, ('', ()))
        what = f'{kind} at {PLACES[place]}{", committed" if committed else ""}'
        _attempt(setting, trial, world, what, further, alone=bool(further))
    fresh.close()  # type: ignore[attr-defined]
    return trial.verdict()


# What DVC's issue 11101 shows: a folder on the way to tracked data is a link, and what a pull brings goes where that leads.

TRACES = {'written outside': ('{outside}', 'planted', 'file'), 'hook': ('{git}/hooks', 'pre-commit', 'exec'),
          'over a file outside': ('{outside}', 'secret.txt', 'file'), 'deep': ('{outside}/raw', 'f', 'file'),
          'relative': ('../../../../outside', 'planted', 'file'), 'mlops': ('.mlops', 'keep.txt', 'file'),
          'worktree of git': ('.git', 'config', 'file')}  # fmt: skip
PAYLOAD = '#!/bin/sh\ntouch "$HOME/pwned"\n'


def _of_trace(setting: Setting, name: str) -> Verdict:
    trial = Trial()
    target, file, kind = TRACES[name]
    if setting.tool.name == 'dvc':
        return _trace_in_dvc(setting, name)
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    for rel in (f'link/{file}', 'link', f'link/x/{file}'):
        world = next(fresh)
        where = target.format(outside=world.outside, git=world.project / '.git')
        ref = _reference(world, PAYLOAD.encode(), kind)
        content = data_records.encode(rel, ref)
        world.write(data_records.record_path(rel), content)
        world.write('pipeline.yaml', PIPELINE + f'  bad: {{cmd: "true", deps: [{rel}], outs: [x.txt]}}\n')
        (world.project / 'link').symlink_to(where)
        world.commit()
        _attempt(setting, trial, world, f'{name}: {rel}', ((('checkout', rel)), ('run', '--force'), ('add', rel)), share=1)
    fresh.close()  # type: ignore[attr-defined]
    return trial.verdict()


def _dvc_world(setting: Setting) -> World:
    """A repository of DVC with something in its cache."""
    world = World(setting.folder / 'w')
    project = world.project
    project.mkdir(parents=True)
    for rel, text in {'secret.txt': 'secret\n', 'raw/f': 'outside\n', 'file': '', 'used.txt': 'outside\n',
        'params.yaml': 'lr: 9\n',
                      'in.txt': 'outside\n', 'made/out.txt': 'outside\n', 'm.json': '{}',
                      'p.csv': 'x\n1\n'}.items():  # fmt: skip
        (world.outside / rel).parent.mkdir(parents=True, exist_ok=True)
        (world.outside / rel).write_text(text)
    git(project, 'init', '-q', '-b', 'main', '--template=')
    (project / '.git/hooks').mkdir()
    setting.tool.do(project, 'init', '-q', code=0)
    for rel, text in {'in.txt': 'in\n', 'params.yaml': 'lr: 1\n', 'data/raw/f': 'raw\n'}.items():
        world.write(rel, text)
    git(project, 'add', '-A')
    git(project, 'commit', '-q', '-m', 'all')
    return world


def _in_dvc(setting: Setting, trial: Trial, world: World, what: str, commands: Words) -> list[int]:
    codes = []
    with single(trial) as found:
        before = world.around()
        with Watch(world.outside) as watch:
            for words in commands:
                watch.seen()
                environ = setting.tool.environment(Path(f'{world.project}-home'))
                one = command(world.project, environ, *words, timeout=60, start=setting.tool.start)
                codes.append(one.code)
                if one.code < 0:
                    found.bad(Bad.STUCK, f'{what}: {one.said}')
                if seen := watch.seen():
                    found.bad(Bad.ESCAPED, f'{what}: {" ".join(words)[:80]!r}: {", ".join(seen[:5])}')
        judge_around(found, world, before, (), what)
    return codes


def _trace_in_dvc(setting: Setting, name: str) -> Verdict:
    import hashlib

    trial = Trial()
    target, file, kind = TRACES[name]
    world = _dvc_world(setting)
    where = target.format(outside=world.outside, git=world.project / '.git')
    found = hashlib.md5(PAYLOAD.encode()).hexdigest()
    remote = world.top / DEEP_REMOTE / 'files/md5' / found[:2]
    remote.mkdir(parents=True)
    (remote / found[2:]).write_text(PAYLOAD)
    (world.project / '.dvc/config').write_text(
        f"[core]\n    remote = r\n['remote \"r\"']\n    url = {world.top / DEEP_REMOTE}\n")
    executable = '  isexec: true\n' if kind == 'exec' else ''
    world.write('bad.dvc', f'outs:\n- md5: {found}\n  size: {len(PAYLOAD)}\n  hash: md5\n{executable}  path: link/{file}\n')
    (world.project / 'link').symlink_to(where)
    world.commit()
    _in_dvc(setting, trial, world, name, (('pull',), ('checkout', '--force')))
    return trial.verdict()


DEEP_REMOTE = 'a/b/c/project-home/remote'


def _text_in_dvc(setting: Setting, text: str) -> Verdict:
    trial = Trial()
    world = _dvc_world(setting)
    hostile = text.replace('{outside}', str(world.outside))
    quoted = in_yaml(hostile)
    for key in ('deps', 'outs', 'metrics', 'plots', 'wdir', 'params'):
        value = quoted if key == 'wdir' else f'[{{{quoted}: null}}]' if key == 'params' else f'[{quoted}]'
        world.write('dvc.yaml', f'stages:\n  bad:\n    cmd: "true"\n    {key}: {value}\n')
        _in_dvc(setting, trial, world, f'{key}: {text[:60]!r}', (('status',), ('repro',)))
    return trial.verdict()


def _layout_in_dvc(setting: Setting, place: str, kind: str) -> Verdict:
    trial = Trial()
    world = _dvc_world(setting)
    world.write('dvc.yaml',
        'stages:\n  use:\n    cmd: cp in.txt data/used.txt\n    deps: [in.txt, data/raw]\n    params: [lr]\n'
        '    outs: [data/used.txt]\n')
    setting.tool.do(world.project, 'repro', '-q', code=0)
    path = world.project / PLACES[place]
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    KINDS[kind](world, path)
    _in_dvc(setting, trial, world, f'{kind} at {PLACES[place]}', (('status',), ('checkout', '--force'), ('add', PLACES[place])))
    return trial.verdict()


# Swapped meanwhile

_EXCHANGE, _HERE = 2, -100
SWAPS = 1000  # a second


@contextmanager
def swapper(one: Path, two: Path) -> Iterator[None]:
    """Another process exchanges the two names, a thousand times a second, until the end; then they are as they were."""
    pid = os.fork()
    if not pid:
        try:
            libc = ctypes.CDLL(None)
            names = os.fsencode(one), os.fsencode(two)
            stop: list[int] = []
            signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
            count = 0
            while not stop or count % 2:
                if libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
                    count += 1
                elif stop:
                    break
                time.sleep(1 / SWAPS)
        finally:
            os._exit(0)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


SWAPPED = {
    'checkout of a file below': ('data', 'data/used.txt', ('checkout', 'data/used.txt')),
    'checkout of a folder below': ('data', 'data/raw', ('checkout', 'data/raw')),
    'checkout over a folder': ('made', 'made', ('checkout', 'made')),
    'add': ('data', '', ('add', 'data/raw')),
    'add of a file': ('data', '', ('add', 'data/raw/f')),
    'status': ('data', '', ('status',)),
    'run': ('data', 'data/used.txt', ('run',)),
    'run anew': ('made', '', ('run', '--force', 'use')),
    'plan of a folder': ('made', '', ('plan', '-v')),
    'records': ('.mlops/data', 'data/raw', ('checkout',)),
    'cache': ('.mlops/cache', 'made', ('checkout',)),
    'local': ('.mlops/local', 'made', ('checkout',)),
    'pins': ('.mlops/stages', '', ('status',)),
    'accept': ('data', '', ('accept', 'use', '--reason', 'r')),
    'lineage': ('data', '', ('lineage', 'upstream', 'm.json')),
    'lineage of a path': ('data', '', ('lineage', 'upstream', 'data/raw/f')),
    'plots': ('made', '', ('plots', 'show')),
    'apply': ('data', '', ('runs', 'apply', '{trial}')),
    'metrics': ('.mlops/runs', '', ('metrics', 'show')),
    'parameters': ('params.yaml', '', ('runs', 'apply', '{trial}')),
    'pipeline': ('pipeline.yaml', '', ('status',)),
}  # fmt: skip
PER_CASE = 100
FAST_SWAPS = 6


_TABLE = re.compile(r'(^outside/| (\./)?)(index|history)-v1\.sqlite[a-z-]*$')


def _of_swap(setting: Setting, name: str) -> Verdict:
    """What is swapped for a link to the same outside, while a command works on it.

    ``git status``, which is asked for what is not committed, then lists a folder outside, one time of some hundred, also when
    it is called by itself: it reads nothing.  SQLite opens its tables by path, whatever is there just then: that is the one
    thing that is not promised (docs/guarantees.md).  A stage's own command reads what is there."""
    swapped, remove, words = SWAPPED[name]
    trial = Trial()
    fresh = worlds(setting.shared, setting.folder, setting.tool)
    world = next(fresh)
    environ = setting.tool.environment(Path(f'{world.project}-home'))
    place = world.project / swapped
    other = place.with_name(f'{place.name}.other')
    for folder in ('used.txt', 'objects-v1', 'journal'):
        if not (world.outside / folder).exists():
            (world.outside / folder).mkdir()
    other.symlink_to(world.outside / place.name if place.is_file() or swapped == 'made' else world.outside)
    words = tuple(world.trial if word == '{trial}' else word for word in words)
    is_git_s = not swapped.startswith(('.mlops/local', '.mlops/cache'))  # which are ignored, so git does not look there
    before = world.around()
    with Watch(world.outside) as watch:
        watch.seen()
        for number in range(PER_CASE if setting.full else FAST_SWAPS):
            with single(trial) as found:
                path = world.project / remove
                if remove and path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif remove:
                    path.unlink(missing_ok=True)
                with swapper(place, other):
                    ended = command(world.project, environ, *words)
                judge(found, ended, f'{name} {number}')
                seen = [one for one in watch.seen() if not (one.startswith('listed ') and is_git_s) and not _TABLE.search(one)]
                if words[0] == 'run':  # what `use` says itself: cp made/out.txt
                    seen = [one for one in seen if one != 'read made/out.txt']
                if seen:
                    found.bad(Bad.ESCAPED, f'{name} {number}: {", ".join(seen[:5])}: {ended.said}')
            if trial_is_bad_enough(trial):
                break
    judge_around(trial, world, before, (), name, but=_TABLE.search)
    fresh.close()  # type: ignore[attr-defined]
    return trial.verdict()


# The row

def cases(setting: Setting) -> Sequence[str]:
    if setting.tool.name == 'dvc':
        texts = [f'text {number}' for number in range(3, len(TEXTS), 25)]
        layouts = [f'{place}: {kind}' for place in ('dep', 'dep folder', 'dep parent', 'out',
            'params') for kind in ('link to a folder outside',
                   'link to the same name outside', 'dangling link', 'FIFO')]  # fmt: skip
        return [f'trace: {name}' for name in TRACES] + texts + layouts
    if not setting.full:
        return ['fast texts', 'trace: written outside', 'trace: hook', *(': '.join(one) for one in FAST_LAYOUTS),
            'swap: checkout of a file below']
    layouts = [f'{place}: {kind}' for place in PLACES for kind in KINDS if not (place in OF_GIT and kind in WAITING)]
    texts = [f'text {number}' for number in range(len(TEXTS))]
    return [*(f'trace: {name}' for name in TRACES), *texts, *layouts, *(f'swap: {name}' for name in SWAPPED)]


def attempt(setting: Setting, case: str) -> Verdict:
    kind, _, name = case.partition(': ')
    if kind == 'trace':
        return _of_trace(setting, name)
    if kind == 'swap':
        return _of_swap(setting, name)
    if kind in PLACES:
        return _layout_in_dvc(setting, kind, name) if setting.tool.name == 'dvc' else _of_layout(setting, kind, name)
    if case == 'fast texts':
        return _sum(_of_text(setting, text, {name: FIELDS[name] for name in FAST_FIELDS}) for text in FAST_TEXTS)
    text = TEXTS[int(case.split()[1])]
    return _text_in_dvc(setting, text) if setting.tool.name == 'dvc' else _of_text(setting, text, FIELDS)


def _sum(verdicts: Iterator[Verdict]) -> Verdict:
    tried, bad, notes = 0, dict[str, int](), list[str]()
    for one in verdicts:
        tried += one.tried
        notes += one.notes
        for kind, count in one.bad.items():
            bad[kind] = bad.get(kind, 0) + count
    return Verdict(tried, bad, 0.0, tuple(notes))


def lacks() -> str:
    if not hasattr(os, 'pidfd_open'):
        return 'only on Linux'
    return ''


ROWS = (
    Row(
        'S1',
        'paths, links and swapped folders that lead elsewhere, in every place that names a path',
        f'{len(TEXTS)} texts in {len(FIELDS)} places, {len(PLACES) * len(KINDS):,} layouts, '
        f'{PER_CASE * len(SWAPPED):,} swaps: nothing outside touched',
        cases,
        attempt,
        ('mlops', 'dvc'),
        lacks,
    ),
)
