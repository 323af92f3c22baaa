"""Documents that mean harm, by the kind of file, and every wrong form of one that is right."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

MIB = 1 << 20
Document = Callable[[], bytes]


def _of(text: str | bytes) -> Document:
    data = text.encode() if isinstance(text, str) else text
    return lambda: data


def _laughs(levels: int, width: int, form: str) -> str:
    lines = [form.format(0, '"x"')]
    lines += [form.format(level, ', '.join([f'*a{level - 1}'] * width)) for level in range(1, levels)]
    return '\n'.join(lines) + '\n'


def _merges(levels: int) -> str:
    lines = ['a0: &a0 {k: v}']
    lines += [f'a{level}: &a{level} {{<<: [{", ".join([f"*a{level - 1}"] * 9)}]}}' for level in range(1, levels)]
    return '\n'.join(lines) + '\n'


ANY: Mapping[str, Document] = {
    'empty': _of(''),
    'blank': _of(' \n\t\n'),
    'nothing but a line end': _of('\n'),
    'NUL': _of(b'\0'),
    'many NULs': lambda: b'\0' * MIB,
    'not UTF-8': _of(b'\xff\xfe\xfd'),
    'UTF-8 cut off': _of('{"a": "é'.encode()[:-1]),
    'overlong UTF-8': _of(b'a: \xc0\xae\xc0\xae/x\n'),
    'surrogate in UTF-8': _of(b'a: "\xed\xa0\x80"\n'),
    'byte order mark': _of(b'\xef\xbb\xbfa: 1\n'),
    'byte order mark alone': _of(b'\xef\xbb\xbf'),
    'UTF-16': lambda: 'a: 1\n'.encode('utf-16'),
    'UTF-16 without a mark': lambda: '{"a": 1}'.encode('utf-16-le'),
    'UTF-32': lambda: 'a: 1\n'.encode('utf-32'),
    'gzip': _of(b'\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03K\xc4\x01'),
    'ELF': _of(b'\x7fELF\x02\x01\x01' + b'\0' * 100),
    'pickle': _of(
    b'\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x05touch\x94\x85\x94R\x94.'),
    'SQLite': _of(b'SQLite format 3\0' + b'\x10\x00\x01\x01' + b'\0' * 84),
    'LFS pointer': _of('version https://git-lfs.github.com/spec/v1\noid sha256:' + 'a' * 64 + '\nsize 9\n'),
    'conflict': _of('<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n'),
    'conflict in JSON': _of('{\n<<<<<<< HEAD\n"a": 1\n=======\n"a": 2\n>>>>>>> other\n}\n'),
    'escape sequences': _of('\x1b[2J\x1b]0;x\x07a: 1\n'),
    'control characters': _of(bytes(range(1, 32)) + b'\x7f'),
    'C1': _of('\x80\x85\x9b\u2028\u2029'),
    'bidi': _of('a: "\u202ex\u2066"\n'),
    'noncharacters': _of('a: "\ufffe\uffff\U0010ffff"\n'),
    'carriage returns': _of('a: 1\rb: 2\r'),
    'one line of 1 MiB': lambda: b'a' * MIB,
    'a million lines': lambda: b'\n' * 1_000_000,
    'a million comments': lambda: b'#\n' * 500_000,
    'a long comment': lambda: b'#' + b'x' * MIB,
    '20 MiB of text': lambda: b'a: ' + b'x' * (20 * MIB),
    '20 MiB of NUL': lambda: b'\0' * (20 * MIB),
    '20 MiB of brackets': lambda: b'[' * (20 * MIB),
    '20 MiB of lines': lambda: b'- a\n' * (5 * MIB),
    'random bytes': lambda: random.Random(1).randbytes(100_000),
    'random printable': lambda: bytes(random.Random(2).choices(range(32, 127), k=100_000)),
    'quotes': lambda: b'"' * 99_999,
    'backslashes': lambda: b'"' + b'\\' * 99_999,
    'colons': lambda: b':' * 100_000,
    'dollars': lambda: b'a: "' + b'${' * 50_000 + b'"\n',
}
VALUES: Mapping[str, Document] = {  # what YAML and JSON both read
    'null': _of('null'),
    'true': _of('true'),
    'a number': _of('1'),
    'text': _of('"x"'),
    'a list': _of('[]'),
    'a list of nulls': _of('[null, null]'),
    'an empty mapping': _of('{}'),
    'deep lists': lambda: b'[' * 50_000,
    'deep closed lists': lambda: b'[' * 50_000 + b']' * 50_000,
    'deep mappings': lambda: b'{"a":' * 50_000 + b'1' + b'}' * 50_000,
    'deep in a key': lambda: b'{"a": ' + b'[' * 100 + b']' * 100 + b'}',
    '64 deep': lambda: b'{"a": ' + b'[' * 62 + b']' * 62 + b'}',
    '65 deep': lambda: b'{"a": ' + b'[' * 66 + b']' * 66 + b'}',
    '1000 deep': lambda: b'{"a": ' + b'[' * 998 + b']' * 998 + b'}',
    'deep and wide': lambda: b'{"a": [' + b'[' * 60 + b'1' + b',1' * 10_000 + b']' * 60 + b']}',
    'a long integer': lambda: b'{"lr": ' + b'9' * 100_000 + b'}',
    'a long fraction': lambda: b'{"lr": 0.' + b'9' * 100_000 + b'}',
    'a long exponent': lambda: b'{"lr": 1e' + b'9' * 100_000 + b'}',
    'a long hexadecimal': lambda: b'{"lr": 0x' + b'f' * 100_000 + b'}',
    'NaN': _of('{"lr": NaN}'),
    'infinity': _of('{"lr": Infinity, "a": -Infinity}'),
    '1e308': _of('{"lr": 1e308, "a": -1e308, "b": 5e-324}'),
    '1e309': _of('{"lr": 1e309}'),
    'beyond 64 bits': _of('{"lr": 9223372036854775808}'),
    '64 bits': _of('{"lr": 9223372036854775807, "a": -9223372036854775808}'),
    'minus zero': _of('{"lr": -0, "a": -0.0}'),
    'a key twice': _of('{"lr": 1, "lr": 2}'),
    'a key twice in escapes': _of('{"lr": 1, "\\u006cr": 2}'),
    'a key twice below': _of('{"a": {"b": {"c": 1, "c": 2}}}'),
    '__proto__': _of('{"__proto__": {"a": 1}, "__class__": "x", "constructor": 1}'),
    'an empty key': _of('{"": 1, " ": 2}'),
    'a long key': lambda: b'{"' + b'k' * 300_000 + b'": 1}',
    'a long text': lambda: b'{"a": "' + b'x' * 300_000 + b'"}',
    'many keys': lambda: b'{' + b','.join(b'"k%d":%d' % (n, n) for n in range(40_000)) + b'}',
    'many values': lambda: b'{"a": [' + b','.join([b'1'] * 400_000) + b']}',
    'many mappings': lambda: b'{"a": [' + b','.join([b'{"b":1}'] * 100_000) + b']}',
    'many empty mappings': lambda: b'{"a": [' + b','.join([b'{}'] * 300_000) + b']}',
    'many texts': lambda: b'{"a": [' + b','.join(b'"t%d"' % n for n in range(90_000)) + b']}',
    'keys that collide when sorted': lambda: b'{' + b','.join(b'"%s":1' % (b'a' * n) for n in range(1, 1000)) + b'}',
    'lone surrogates': _of('{"a": "\\ud800", "\\udfff": 1}'),
    'swapped surrogates': _of('{"a": "\\udc00\\ud800"}'),
    'NUL in text': _of('{"a": "x\\u0000y", "\\u0000": 1}'),
    'control in text': _of('{"a": "\\u001b[2J\\r\\n", "b\\u0007": 1}'),
    'a raw control in text': _of(b'{"a": "x\x01y\n"}'),
    'a bad escape': _of('{"a": "\\x41"}'),
    'half an escape': _of('{"a": "\\u12'),
    'cut off in a key': _of('{"a'),
    'cut off after a colon': _of('{"a":'),
    'cut off after a comma': _of('{"a": 1,'),
    'cut off in a list': _of('{"a": [1, 2'),
    'something follows': _of('{"a": 1} {"b": 2}'),
    'a trailing comma': _of('{"a": 1,}'),
    'no comma': _of('{"a": 1 "b": 2}'),
    'single quotes': _of("{'a': 1}"),
    'a comment': _of('{"a": 1} // x\n/* y */'),
    'a list that is too long for a screen': lambda: b'["' + b'","'.join([b'x' * 50] * 1000) + b'"]',
    'pointers': _of('{"$ref": "#/a", "a": {"$ref": "#"}}'),
    'schema of the future': _of('{"schema": "mlops/run/v99", "version": 99}'),
    'schema of another': _of('{"schema": "mlops/data/v1", "path": "x", "ref": ["file", "blake3:' + 'a' * 64 + '", 1]}'),
    'schema of no text': _of('{"schema": {"a": [1]}}'),
}
YAML: Mapping[str, Document] = {
    'billion laughs': lambda: _laughs(10, 10, 'a{0}: &a{0} [{1}]').encode(),
    'laughs in mappings': lambda: _laughs(9, 9, 'a{0}: &a{0} {{k: [{1}]}}').encode(),
    'quadratic laughs': lambda: b'a: &a "' + b'x' * 100_000 + b'"\nb: [' + b', '.join([b'*a'] * 10_000) + b']\n',
    'merge keys': lambda: _merges(10).encode(),
    'a merge of itself': _of('a: &a {<<: *a}\n'),
    'an alias of itself': _of('a: &a [*a]\n'),
    'an alias as key': _of('&a x: 1\n*a : 2\n'),
    'aliases to nothing': lambda: b'a: [' + b', '.join([b'*x'] * 1000) + b']\n',
    'many anchors': lambda: b''.join(b'a%d: &a%d 1\n' % (n, n) for n in range(20_000)),
    'one anchor many times': lambda: b''.join(b'a%d: &a 1\n' % n for n in range(20_000)),
    'a python object': _of('a: !!python/object/apply:os.system ["touch pwned"]\n'),
    'a python name': _of('a: !!python/name:os.system\n'),
    'a python module': _of('!!python/module:os {}\n'),
    'a python tuple': _of('a: !!python/tuple [1, 2]\n'),
    'an object in a key': _of('? !!python/object/apply:os.system ["touch pwned"]\n: 1\n'),
    'a local tag': _of('a: !include /etc/passwd\n'),
    'a verbatim tag': _of('a: !<tag:yaml.org,2002:python/object/new:os.system> [touch pwned]\n'),
    'a tag directive': _of('%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [x]\n'),
    'many directives': lambda: b'%TAG !a%d! x\n' * 20_000 + b'---\na: 1\n',
    'a set': _of('a: !!set {x, y}\n'),
    'binary': _of('a: !!binary aGVsbG8=\n'),
    'a timestamp': _of('a: 2020-01-01\nb: 2001-12-14t21:59:43.10-05:00\n'),
    'YAML 1.1': _of('%YAML 1.1\n---\na: yes\n'),
    'YAML 3': _of('%YAML 3.0\n---\na: 1\n'),
    'two documents': _of('a: 1\n---\nb: 2\n'),
    'many documents': lambda: b'---\n' * 10_000,
    'the end of a document': _of('a: 1\n...\nb: 2\n'),
    'a complex key': _of('? [a, b]\n: 1\n? {c: d}\n: 2\n'),
    'a key of null': _of('null: 1\n~: 2\n: 3\n'),
    'a key of a number': _of('1: a\n1.5: b\ntrue: c\n'),
    'a key that is text by quotes': _of('"1": a\n1: b\n'),
    'octal': _of('a: 0o777\nb: 0777\nc: 1:30:00\nd: 0b1\ne: 1_000\n'),
    'norway': _of('a: no\nb: on\nc: y\n'),
    'tabs': _of('a:\n\tb: 1\n'),
    'a tab in front': _of('\ta: 1\n'),
    'bad indentation': _of('a:\n   b: 1\n  c: 2\n'),
    'unclosed': _of('a: [1, 2\nb: 3\n'),
    'an unclosed quote': _of('a: "x\nb: 1\n'),
    'a block of 300 KB': lambda: b'a: |\n' + b'  xxxxxxxxx\n' * 30_000,
    'a folded block': lambda: b'a: >-\n' + b'  x\n\n' * 50_000,
    'a plain scalar on many lines': lambda: b'a: x\n' + b'  y\n' * 60_000,
    'deep by indentation': lambda: b''.join(b' ' * n + b'a:\n' for n in range(1000)),
    'deep by dashes': lambda: b'- ' * 50_000 + b'a\n',
    'deep by question marks': lambda: b'? ' * 50_000 + b'a\n',
    'deep flow in block': lambda: b'a:\n  - ' + b'{a: ' * 5_000,
    'many question marks': lambda: b'? a\n' * 30_000,
    'a long simple key': lambda: b'a' * 5000 + b': 1\n',
    'commas': lambda: b'a: [' + b',' * 50_000 + b']\n',
    'dashes': lambda: b'-\n' * 90_000,
    'percent': lambda: b'%' * 10_000 + b'\n',
    'ampersands': lambda: b'&' * 10_000 + b'\n',
    'exclamation marks': lambda: b'!' * 10_000 + b' x\n',
    'indicators': _of('@x: `y`\n'),
    'anchors without values': lambda: b'a: &b\n' * 1 + b'c: &d &e x\n',
    'a document of nothing but a tag': _of('!!map\n'),
    'an escape that is no character': _of('a: "\\ud800"\n'),
    'a large escape': _of('a: "\\UFFFFFFFF"\n'),
    'trailing spaces and tabs': _of('a: 1 \t\n\t\n'),
}
TOML: Mapping[str, Document] = {
    'deep lists': lambda: b'a = ' + b'[' * 50_000,
    'deep closed lists': lambda: b'a = ' + b'[' * 500 + b']' * 500,
    'deep tables': lambda: b'a = ' + b'{b=' * 50_000,
    'deep keys': lambda: b'.'.join([b'a'] * 20_000) + b' = 1\n',
    'deep headers': lambda: b'[' + b'.'.join([b'a'] * 20_000) + b']\n',
    'many headers': lambda: b''.join(b'[a%d]\n' % n for n in range(50_000)),
    'many dotted keys': lambda: b''.join(b'a.b.c.d.e.k%d = 1\n' % n for n in range(30_000)),
    'many arrays of tables': lambda: b'[[a]]\nb = 1\n' * 30_000,
    'an integer of 100 kB': lambda: b'a = ' + b'9' * 100_000 + b'\n',
    'a float of 100 kB': lambda: b'a = 0.' + b'9' * 100_000 + b'\n',
    'NaN': _of('lr = nan\n'),
    'infinity': _of('lr = -inf\n'),
    'a key twice': _of('lr = 1\nlr = 2\n'),
    'a table twice': _of('[a]\n[a]\n'),
    'dates': _of('lr = 1979-05-27T07:32:00Z\na = 07:32:00\n'),
    'cut off': _of('lr = "x'),
    'cut off in a block': _of('lr = """x\n'),
    'a surrogate': _of('lr = "\\ud800"\n'),
    'a long string of blanks': lambda: b'lr = ' + b' ' * 500_000 + b'1\n',
    'quotes': lambda: b'lr = ' + b'"""' * 50_000,
    'unicode': _of('lr = "\\UFFFFFFFF"\n'),
    '1 MiB of values': lambda: b'a = [' + b'1,' * 400_000 + b']\n',
}
TABLE: Mapping[str, Document] = {
    'a header alone': _of('x,y\n'),
    'no header': _of('1,2\n3,4\n'),
    'uneven': _of('x,y\n1\n1,2,3\n'),
    'an unclosed quote': _of('x,y\n"1,2\n'),
    'a field of 200 KB': lambda: b'x,y\n"' + b'a' * 200_000 + b'",1\n',
    'NUL': _of(b'x,y\n1,\x002\n'),
    'names twice': _of('x,x\n1,2\n'),
    'no names': _of(',\n,\n'),
    'many columns': lambda: b','.join(b'c%d' % n for n in range(20_000)) + b'\n' + b','.join([b'1'] * 20_000) + b'\n',
    'many rows': lambda: b'x,y\n' + b'1,2\n' * 200_000,
    'not finite': _of('x,y\nnan,inf\n-inf,1e309\n'),
    'huge numbers': lambda: b'x,y\n1,' + b'9' * 100_000 + b'\n2,1e308\n3,-1e308\n',
    'formulas': _of('x,y\n=cmd|x!A1,@SUM(1)\n+1,-1\n'),
    'markup': _of('x,<script>alert(1)</script>\n1,"]]></svg>"\n'),
    'semicolons': _of('x;y\n1,5;2,5\n'),
    'tabs': _of('x\ty\n1\t2\n'),
    'carriage returns': _of('x,y\r1,2\r'),
    'mixed line ends': _of('x,y\r\n1,2\n3,4\r'),
    'one value many times': lambda: b'x,y\n' + b''.join(b'%d,1e308\n' % n for n in range(10_000)),
}
JSON_LINES: Mapping[str, Document] = {
    'a line of text': _of('x\n'),
    'a line of a list': _of('[1]\n'),
    'deep lines': lambda: b'{"a":' + b'[' * 50_000 + b'\n',
    'lines of other keys': _of('{"x": 1}\n{"y": 2}\n'),
    'a long line': lambda: b'{"x": "' + b'a' * 500_000 + b'"}\n',
    'many lines': lambda: b'{"x":1}\n' * 100_000,
    'a torn line': _of('{"x": 1}\n{"x"'),
    'large numbers': lambda: b'{"x": ' + b'9' * 10_000 + b'}\n',
}
CODE: Mapping[str, Document] = {
    'deep brackets': lambda: b'x = ' + b'(' * 100_000,
    'deep closed brackets': lambda: b'x = ' + b'(' * 90 + b')' * 90,
    'deep minus': lambda: b'x = ' + b'-' * 50_000 + b'1\n',
    'deep not': lambda: b'x = ' + b'not ' * 50_000 + b'1\n',
    'a long sum': lambda: b'x = ' + b'+'.join([b'1'] * 50_000) + b'\n',
    'deep attributes': lambda: b'x = a' + b'.b' * 50_000 + b'\n',
    'deep calls': lambda: b'x = a' + b'()' * 50_000 + b'\n',
    'deep lambdas': lambda: b'x = ' + b'lambda:' * 20_000 + b'1\n',
    'deep conditions': lambda: b'x = ' + b'1 if 1 else ' * 20_000 + b'1\n',
    'deep blocks': lambda: b''.join(b' ' * n + b'if 1:\n' for n in range(99)) + b' ' * 99 + b'x = 1\n',
    'deep elifs': lambda: b'if 1: pass\n' + b'elif 1: pass\n' * 20_000,
    'deep f-strings': lambda: b'x = f"' + b'{' * 10_000 + b'"\n',
    'NUL': _of(b'x = 1\0\n'),
    'a cookie': _of('# coding: rot13\nk = 1\n'),
    'an unknown cookie': _of('# coding: no-such\nx = 1\n'),
    'an integer of 100 kB': lambda: b'x = ' + b'9' * 100_000 + b'\n',
    'a long string': lambda: b'x = "' + b'a' * 900_000 + b'"\n',
    'many statements': lambda: b'x = 1\n' * 50_000,
    'many imports': lambda: b''.join(b'import m%d\n' % n for n in range(5_000)),
    'imports outside': _of('import sys; sys.path.insert(0, "../../../../outside")\nimport x\nfrom .... import y\n'),
    'imports of itself': _of('import x\nfrom x import *\n'),
    'deep subscripts': lambda: b'x = a' + b'[0]' * 30_000 + b'\n',
    'deep comprehension': lambda: b'x = ' + b'[a for a in ' * 3_000 + b'b' + b']' * 3_000 + b'\n',
    'deep patterns': lambda: b'match x:\n case ' + b'[' * 3_000 + b']' * 3_000 + b': pass\n',
    'deep types': lambda: b'def f(a: ' + b'a[' * 3_000 + b']' * 3_000 + b'): pass\n',
    'deep powers': lambda: b'x = ' + b'2**' * 20_000 + b'1\n',
    'a surrogate': _of(b'x = "\xed\xa0\x80"\n'),
}
PATTERNS: Mapping[str, Document] = {
    'stars': lambda: b'*a' * 60 + b'b\n',
    'many stars': lambda: b'*' * 10_000 + b'\n',
    'stars in folders': lambda: b'**/*a' * 30 + b'b\n',
    'question marks': lambda: b'?*' * 100 + b'x\n',
    'unclosed brackets': lambda: b'[' * 10_000 + b'\n',
    'ranges': lambda: b'[z-a][!-~]' * 1_000 + b'\n',
    'classes': lambda: b'[[:alpha:][:foo:]]' * 500 + b'\n',
    'backslashes': lambda: b'\\' * 9_999 + b'\n',
    'negations': lambda: b'!' * 10_000 + b'\n!*\n',
    'many lines': lambda: b''.join(b'a%d*b\n' % n for n in range(30_000)),
    'nested stars': lambda: b'/'.join([b'**'] * 200) + b'/x\n',
    'alternating': lambda: b'x\n!x\n' * 20_000,
    'braces': lambda: b'{a,b}' * 1_000 + b'\n',
}


@cache
def kinds() -> Mapping[str, Mapping[str, Document]]:
    """Kind of file -> its documents."""
    return {
        'yaml': {**ANY, **VALUES, **YAML}, 'json': {**ANY, **VALUES}, 'toml': {**ANY, **TOML}, 'table': {**ANY, **TABLE},
        'lines': {**ANY, **JSON_LINES}, 'code': {**ANY, **CODE}, 'patterns': {**ANY, **PATTERNS}, 'binary': {**ANY, **VALUES},
    }  # fmt: skip


# Systematic changes of a document that is right

WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 2**63 - 1, 10**30, 10**400, 1e308, -1.5, float('inf'), '', 'x' * 3000, '../x', '\x1b[2J\n', '\ud800',
    [], {}, [[[[]]]], [None],
    {'': None}, {'a': {'b': 1}}, ['x', 'x'],
)  # fmt: skip


def mutations(value: Any) -> Iterator[tuple[str, bytes]]:
    """(what was done, the document) of a plain value: each entry left out, of each other type, twice, nested, made huge."""
    for path in _paths(value):
        where = '.'.join(map(str, path)) or 'all of it'
        for number, other in enumerate(WRONG):
            yield f'{where} is WRONG[{number}]', encoded(_put(value, path, other))
        old = _get(value, path)
        yield f'{where} in a list', encoded(_put(value, path, [old]))
        yield f'{where} in a mapping', encoded(_put(value, path, {'x': old}))
        if path:
            yield f'{where} left out', encoded(_without(value, path))
            yield f'{where} twice', _twice(value, path)
        if isinstance(old, list) and old:
            yield f'{where} ten thousand times', encoded(_put(value, path, old * 10_000))
        if isinstance(old, dict):
            yield f'{where} with another key', encoded(_put(value, path, {**old, 'surplus': 1}))
            yield f'{where} with many keys', encoded(_put(value, path, {**old, **{f'k{n}': n for n in range(5000)}}))


def encoded(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _paths(below, (*path, key))
    elif isinstance(value, list):
        for number in sorted({*range(len(value))[:3], *range(len(value))[-3:]}):
            yield from _paths(value[number], (*path, number))


def _get(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _put(value[path[0]], path[1:], other)
    return changed


def _without(value: Any, path: tuple[Any, ...]) -> Any:
    changed = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del changed[path[0]]
    else:
        changed[path[0]] = _without(value[path[0]], path[1:])
    return changed


_MARK = 'stands here twice'


def _twice(value: Any, path: tuple[Any, ...]) -> bytes:
    """The entry once more behind itself: of a mapping the key again."""
    holder = _get(value, path[:-1])
    if isinstance(holder, list):
        return encoded(_put(value, path[:-1], [*holder, holder[path[-1]]]))
    text = encoded(_put(value, path[:-1], {**holder, _MARK: holder[path[-1]]})).decode()
    return text.replace(json.dumps(_MARK), json.dumps(path[-1])).encode()
