"""Readers of files tried on what nobody wrote: ``python -m tests.faults.fuzzing TARGET SEED SECONDS``.

Prints how many inputs were tried; ends with 1, the input and the traceback if one did anything but what it declares."""

from __future__ import annotations

import base64
import json
import random
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlops_cli import yamlfile
from mlops_cli.core import strictjson
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import check_path, is_pattern, join_path, join_pattern
from mlops_cli.experiments import plots_read
from mlops_cli.fingerprint import ignore, pyast
from mlops_cli.fingerprint.params import parse_assignment
from mlops_cli.fsio import journal
from mlops_cli.pipeline import load, paramfile, script, template
from mlops_cli.records import accepted, data, kept, metrics, pins, runs
from mlops_cli.store import results, tree
from tests.faults import readers

SLOW = 2.0  # seconds for one input of some kilobytes
LARGEST = 20_000  # bytes


def _text(value: bytes) -> str:
    return value.decode('utf-8', 'surrogateescape')


def _pipeline(value: bytes) -> None:
    with TemporaryDirectory() as folder:
        Path(folder, 'pipeline.yaml').write_bytes(value)
        load.load(folder, environ={})


def _template(value: bytes) -> None:
    scope = template.Scope({'v': 'x', 'l': [1, 2], 'm': {'a': 1}}, {'HOME': '/'})
    text = _text(value)
    with suppress(UserError):
        template.resolve(text, scope)
    template.render_command(text, scope)


def _script(value: bytes) -> None:
    text = _text(value).replace('@', script.HOLE)
    assert len(script.places(text)) == text.count(script.HOLE)


def _path(value: bytes) -> None:
    text = _text(value)
    for check in (check_path, lambda one: join_path('a/b', one), lambda one: join_pattern('.', one)):
        with suppress(ValueError):
            found = check(text)
            assert '..' not in found.split('/') and not found.startswith('/') and '\0' not in found, found
    is_pattern(text)


def _pin(value: bytes) -> None:
    name = f'use~{"a" * 16}-{pins.digest_of(value.replace(bytes((13, 10)), bytes((10,)))).hex[:8]}.json'
    pins.decode(value, f'.mlops/stages/{name}').encode()


def _accepted(value: bytes) -> None:
    name = f'use~{"a" * 16}-{accepted.digest_of(value).hex[:8]}.json'
    accepted.decode(value, f'.mlops/accepted/{name}')


RUN = '20261120T101522Z-7k2m9q4c'
TARGETS: Mapping[str, Callable[[bytes], object]] = {
    'yaml': lambda value: yamlfile.read(value, 'x.yaml'),
    'json': lambda value: strictjson.read(value, 'x.json'),
    'params.yaml': lambda value: paramfile.read(value, 'params.yaml'),
    'params.json': lambda value: paramfile.read(value, 'params.json'),
    'params.toml': lambda value: paramfile.read(value, 'params.toml'),
    'pipeline': _pipeline,
    'template': _template,
    'script': _script,
    'path': _path,
    'assignment': lambda value: parse_assignment(_text(value)),
    'pin': _pin,
    'run': lambda value: runs.decode(value, runs.layout.run_record(RUN)).encode(),
    'data': lambda value: data.decode(value, '.mlops/data/data/raw.json'),
    'kept': lambda value: kept.decode(value, f'.mlops/kept/{RUN}~01234567.json').encode(),
    'accepted': _accepted,
    'result': lambda value: results.encode(results.decode(value)),
    'tree': lambda value: tree.encode(tree.decode(value)),
    'journal': lambda value: journal.decode(b'%08x %s\n' % (zlib.crc32(value), value)),
    'ignore': lambda value: ignore.Ignore.of(_text(value)).matches('a/b/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', False),
    'metrics.json': lambda value: metrics.scalars(value, 'm.json'),
    'metrics.yaml': lambda value: metrics.scalars(value, 'm.yaml'),
    'metrics.toml': lambda value: metrics.scalars(value, 'm.toml'),
    'plots.csv': lambda value: plots_read.read_table(value, 'p.csv'),
    'plots.tsv': lambda value: plots_read.read_table(value, 'p.tsv', header=False),
    'plots.json': lambda value: plots_read.read_table(value, 'p.json'),
    'plots.jsonl': lambda value: plots_read.read_table(value, 'p.jsonl'),
    'code': lambda value: (pyast.meaning(value), pyast.parts(value)),
    **readers.TARGETS,
}
DECLARED = (UserError, ValueError)

_RUN = {
    'schema': 'mlops/run/v1', 'id': RUN, 'started': '2026-11-20T10:15:22Z', 'seconds': 1.5, 'ended': 'done', 'fresh': 0,
    'saved_seconds': 0.0,
    'stages': [['use', 'done', 'a' * 64, 'a' * 8, 1.0, 0, 1.0, 2]], 'command': ['mlops'], 'who': '', 'host': '', 'commit': '',
    'branch': '',
    'set': [['params.yaml', 'lr', 1]], 'metrics': [['s', 'f', 'n', 1.0]], 'environment': {'python': '3'},
    'fresh_stages': [['s', 'a' * 64, 'a' * 8]],
    'values': [['params.yaml', 'lr', 1]],
}  # fmt: skip
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    'yaml': (b'a: &x [1, "b", *x]\nc: {d: 1e-4, "e": ~}\nf: |\n  g\n', b'- a\n- b: >-\n   c\n'),
    'json': (b'{"a": [1, 2.5e3, null, true, "x\\u00e9"], "b": {"c": -1}}',),
    'toml': (b'a = 1\n[b.c]\nd = [1.5, "x", 1979-05-27]\n[[e]]\nf = """x"""\n',),
    'pipeline': (
    (b'stages:\n  a:\n    cmd: x ${v:-1}\n    deps: [in, {stage: b}]\n    outs: [o: {cache: false}]\n'
    b'  b: {matrix: {x: [1]}, cmd: y, outs: ["${item.x}"]}\n'),),
    'template': (b'a ${v} "${m.a}" \'${l[0]}\' ${x:-${env:HOME}} \\${y}',),
    'script': (b"for i in @ 'a@' \"@$x\"; do case @ in a) echo $(b @);; esac; done <<E\n@\nE\n",),
    'path': ('a/../b/./.git ~1/é/x:y'.encode(),),
    'assignment': (b'+params.yaml:a.b=[1, {c: "d"}]',),
    'pin': (
    b'[\n["aaaaaaaaaaaaaaaa","schema","mlops/pin/v1"],\n["aaaaaaaaaaaaaaaa","key","blake3:aa"],\n["aaaaaaaaaaaaaaaa","metric","m.json","acc",0.5]\n]\n',),
    'run': (json.dumps(_RUN, indent=1).encode(),),
    'data': (('{"path":"data/raw","ref":["tree","blake3:%s",4],"schema":"mlops/data/v1"}' % ('a' * 64)).encode(),),
    'kept': (b'{"reason":"r","run":"%s","schema":"mlops/kept/v1","when":"2026-11-21T09:00:00Z","who":"ada"}' % RUN.encode(),),
    'result': (json.dumps({
        'schema': 'mlops/result/v1', 'key': f'blake3:{"a" * 64}', 'outputs': [['o', 'file', f'blake3:{"b" * 64}', 3]],
        'created': 'now', 'seconds': 1.0,
        'suspect': False, 'code_bytes': [], 'discovered': [], 'log': None, 'manifest': None, 'sources': None,
        'metrics': {'m.json:a': 1}, 'environment': {},
        'origin': {}, 'usage': {'cpu_seconds': 1}}).encode(),),
    'tree': (b'mlops tree-v1\n["a","file","blake3:%s",3]\n["b","link","a"]\n' % (b'a' * 64),),
    'ignore': (b'*.pyc\n!a/**/b\n/c/\n[a-z]?\\ x\n# d\n',),
    'plots.csv': (b'x,y\n1,2.5\n"3",\n',),
    'plots.jsonl': (b'{"x": 1, "y": 2}\n{"x": 2}\n',),
    'code': (
    (b'import os\n@d\nclass A(B):\n  """d"""\n  async def f(self, *, a: int = 1) -> None:\n'
    b'    return [x for x in y if (z := x)]\n'),
             b'match x:\n  case {"a": [1, *_]} | C(d=2): pass\nx = f"{a!r:>{b}}"\n'),
    **readers.SEEDS,
}  # fmt: skip
TOKENS = [
    b'', b'{', b'}', b'[', b']', b',', b':', b'"', b"'", b'\\', b'\n', b'\r\n', b' ', b'\t', b'-', b'?', b'&a', b'*a', b'!!x',
    b'|', b'>', b'%', b'@', b'`', b'#', b'<<',
    b'${', b'}', b'$(', b'`', b';', b'1e999', b'-0', b'NaN', b'Infinity', b'9' * 30, b'0x1f', b'null', b'true', b'~', b'..',
    b'/', b'\x00', b'\x1b', b'\x7f', b'\xff', b'\xed\xa0\x80',
    '\ufeff'.encode(), '\u2028'.encode(), 'é'.encode(), '🎉'.encode(), b'\\ud800', b'\\u0000', b'[' * 100, b'(' * 300,
    b'{' * 100, b'"a":', b'blake3:' + b'c' * 64, b'mlops/run/v1', b'file', b'tree',
    b'if', b'do', b'esac', b'<<E\n', b'$((', b'))', b'[[', b'=', b'**', b'*', b'[!', b'lambda ', b'f"{', b':=', b'    ', b'"""',
    *readers.TOKENS,
]  # fmt: skip


def seeds(target: str) -> tuple[bytes, ...]:
    kind = {'params': target.rpartition('.')[2], 'metrics': target.rpartition('.')[2]}.get(target.partition('.')[0], target)
    return SEEDS.get(kind, SEEDS.get({'plots.tsv': 'plots.csv', 'plots.json': 'json', 'accepted': 'kept',
        'journal': 'json'}.get(kind, 'json'), (b'',)))


def attempt(target: str, value: bytes) -> None:
    """Raises what is not declared, AssertionError for what takes too long."""
    begun = time.process_time()
    with suppress(*DECLARED):
        TARGETS[target](value)
    took = time.process_time() - begun
    assert took < SLOW, f'{took:.1f} s for {len(value):,} bytes'


def changed(chance: random.Random, value: bytes) -> bytes:
    """A few bytes, tokens and parts of it taken away, doubled, put elsewhere."""
    data = bytearray(value)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((0, 1, 1, 4, 20)))
        match chance.randrange(5):
            case 0:
                data[at:end] = b''
            case 1:
                data[at:end] = chance.choice(TOKENS)
            case 2:
                data[at:at] = bytes(data[at:end]) * chance.choice((1, 2, 50))
            case 3:
                other = chance.randrange(len(data) + 1)
                data[at:at] = data[other : other + 30]
            case _:
                data[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
    return bytes(data[:LARGEST])


def fuzz(target: str, seed: int, seconds: float, number: int = 0) -> int:
    """How many were tried: what hypothesis makes up, then changes of what is right, and of what came of that.

    ``number``: so many of each, however long that takes."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    plain: Any = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda below: st.lists(below) | st.dictionaries(st.text(), below))
    joined = st.lists(st.sampled_from(TOKENS), max_size=60).map(b''.join)
    inputs = st.binary(max_size=300) | joined | st.text().map(lambda text: text.encode('utf-8',
        'surrogatepass')) | plain.map(lambda value: json.dumps(value).encode())
    count = 0
    until = time.monotonic() + seconds

    @seeded(seed)
    @settings(max_examples=number or int(50 * seconds), database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])
    @given(inputs)
    def made_up(value: bytes) -> None:
        nonlocal count
        if number or time.monotonic() < until - seconds / 2:
            count += 1
            attempt(target, value)

    made_up()
    chance = random.Random(f'{target} {seed}')
    pool = list(seeds(target))
    last = count + number
    while count < last if number else time.monotonic() < until:
        value = changed(chance, chance.choice(pool))
        count += 1
        try:
            attempt(target, value)
        except BaseException:
            print(f'input (base64): {base64.b64encode(value).decode()}', file=sys.stderr)
            raise
        if chance.random() < 0.05:
            pool.append(value)
            del pool[len(seeds(target)) : -200]
    return count


def follow(target: str, options: list[str]) -> None:
    """By atheris.  Never returns."""
    import atheris

    atheris.instrument_all()

    def one(value: bytes) -> None:
        attempt(target, value)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


def main(words: list[str]) -> int:
    if words[0] == '--follow':
        follow(words[1], words[2:])
    print(fuzz(words[0], int(words[1]), float(words[2])))  # an exception is printed with what led to it, and ends with 1
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
