"""tree-v1: exact bytes, strict reading, and walks that open no more than they must."""
from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_cli.core.canonical import canonical_bytes
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.store import tree
from mlops_cli.store.tree import EMPTY, Link, MalformedTree, TreeEntry, build, decode, diff, encode, find, walk

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'tree.md'
HELLO = ObjectRef(digest_of(b'hello\n'), 6, 'file')


def blob(text: str, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), kind)  # type: ignore[arg-type]


class Nodes(dict[Digest, bytes]):
    """Nodes by digest that count how many were opened."""

    opened = 0

    def read(self, digest: Digest) -> bytes:
        self.opened += 1
        return self[digest]


# The format

def test_the_page_has_vectors_that_hold() -> None:
    text = PAGE.read_text()
    vectors = re.findall(r'```\n(mlops tree-v1\n.*?)```\n+digest `(blake3:[0-9a-f]{64})`', text, re.DOTALL)
    assert len(vectors) >= 3
    for node, digest in vectors:
        assert str(digest_of(node.encode())) == digest
        assert encode(decode(node.encode())) == node.encode()


def test_a_node_is_one_canonical_line_an_entry_sorted_by_bytes() -> None:
    entries = [
        TreeEntry('b', 'exec', digest_of(b'1'), 1), TreeEntry('a', 'link', None, 0, 'b'),
        TreeEntry('\udcff', 'file', digest_of(b''), 0), TreeEntry('é', 'file', digest_of(b''), 0),
        TreeEntry('C', 'dir', digest_of(EMPTY), 0),
    ]
    lines = encode(entries).decode().splitlines()
    assert lines[0] == 'mlops tree-v1'
    assert [json.loads(line)[0] for line in lines[1:]] == ['C', 'a', 'b', 'é', '\udcff']  # 43 61 62 c3a9 ff
    assert lines[2] == '["a","link","b"]'
    assert lines[-1].startswith('["\\udcff","file","blake3:')
    assert decode(encode(entries)) == tuple(tree.ordered(entries))


letters = st.characters(exclude_characters='/\0', exclude_categories=['Cs']) | st.sampled_from('\udc80\udcc3\udcffaB."\\\n')
names = st.text(letters, min_size=1, max_size=12)


@given(st.lists(names, max_size=8))
def test_what_is_written_is_read_back_and_is_canonical_json(found: list[str]) -> None:
    sound = [name for name in dict.fromkeys(found) if tree.name_problem(name) is None]
    if tree.collision(sound):
        return
    entries = [TreeEntry(name, 'file', digest_of(name.encode('utf-8', 'surrogateescape')), len(name)) for name in sound]
    node = encode(entries)
    assert decode(node) == tuple(tree.ordered(entries))
    assert [entry.name for entry in decode(node)] == sorted(sound, key=tree.name_bytes)
    rows = [[name, kind, str(digest), size] for name, kind, digest, size, _ in tree.ordered(entries)]
    assert node == tree.PREFIX + b''.join(canonical_bytes(row) + b'\n' for row in rows)


ONE = f'["a","file","{digest_of(b"")}",0]\n'
HOSTILE = {
    'nothing': b'',
    'another prefix': b'mlops tree-v2\n',
    'no newline at the end': tree.PREFIX + ONE.encode()[:-1],
    'spaces': tree.PREFIX + ONE.replace(',', ', ').encode(),
    'two on a line': tree.PREFIX + (ONE.strip() + ',' + ONE.replace('"a"', '"b"')).encode(),
    'an empty line': tree.PREFIX + b'\n' + ONE.encode(),
    'out of order': tree.PREFIX + ONE.replace('"a"', '"b"').encode() + ONE.encode(),
    'twice': tree.PREFIX + ONE.encode() * 2,
    'case': tree.PREFIX + ONE.replace('"a"', '"A"').encode() + ONE.encode(),
    'composition': encode([TreeEntry(name, 'file', digest_of(b''), 0) for name in ('e\u0301', '\u00e9')]),
    'long s': encode([TreeEntry(name, 'file', digest_of(b''), 0) for name in ('\u017f', 's')]),
    'escaped where it need not be': tree.PREFIX + ONE.replace('"a"', '"\\u0061"').encode(),
    'not JSON': tree.PREFIX + b'[\n',
    'deep': tree.PREFIX + b'[' * 100_000,
    'not UTF-8': tree.PREFIX + ONE.encode().replace(b'a', b'\xff', 1),
    'a bare value': tree.PREFIX + b'1\n',
    'another kind': tree.PREFIX + ONE.replace('"file"', '"pipe"').encode(),
    'a negative size': tree.PREFIX + ONE.replace(',0]', ',-1]').encode(),
    'a size of true': tree.PREFIX + ONE.replace(',0]', ',true]').encode(),
    'a real size': tree.PREFIX + ONE.replace(',0]', ',0.0]').encode(),
    'a size beyond 63 bits': tree.PREFIX + ONE.replace(',0]', f',{1 << 63}]').encode(),
    'a size of 10,000 digits': tree.PREFIX + ONE.replace(',0]', f',{"9" * 10_000}]').encode(),
    'another digest': tree.PREFIX + ONE.replace('blake3:', 'sha256:').encode(),
    'a short digest': tree.PREFIX + b'["a","file","blake3:00",0]\n',
    'a link with a size': tree.PREFIX + b'["a","link","b",0]\n',
    'a constant': tree.PREFIX + b'NaN\n',
    **{f'the name {name!r}': encode([TreeEntry(name, 'file', digest_of(b''), 0)]) for name in (
        '', '.', '..', 'a/b', '/a', '.git', '.GIT', '.mlops', '.Mlops', 'git~1', 'GIT~1', '.git.', '.git ', '.g\u200cit',
        '.git:x', '\udcc3\udca9', '\ufeff.mlops', 'x' * 256, 'é' * 128)},
    'a name with NUL': tree.PREFIX + ONE.replace('"a"', '"a\\u0000"').encode(),
    **{f'a link to {target!r}': encode([TreeEntry('a', 'link', None, 0, target)]) for target in (
        '', '/etc/passwd', 'b/../../x', '.git/config', 'b/.GIT/x', '../.mlops/cache', 'b/..', '\udcc3\udca9')},
    **{f'the surrogate {escape}': tree.PREFIX + ONE.replace('"a"', f'"\\{escape}"').encode()
       for escape in ('ud800', 'udc7f', 'udd00')},
    'a link to a surrogate': tree.PREFIX + b'["a","link","\\ud800"]\n',
}


@pytest.mark.parametrize('node', HOSTILE.values(), ids=HOSTILE)
def test_what_we_cannot_have_written_is_refused(node: bytes) -> None:
    with pytest.raises(MalformedTree):
        decode(node)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_make_it_do_anything_but_refuse(data: bytes, cut: int) -> None:
    for node in (data, tree.PREFIX + data, tree.PREFIX + ONE.encode()[:cut] + data):
        try:
            entries = decode(node)
        except MalformedTree:
            continue
        assert encode(entries) == node


# Links

LINES = [f'["{name}","{kind}","blake3:{digit * 64}",{size}]\n' for name, kind, digit, size in [
    ('B', 'file', 'a', 0), ('a', 'file', 'a', 0), ('b', 'exec', 'f', 12), ('b', 'dir', '0', 1), ('c.txt', 'file', '9', '012'),
    ('d', 'file', 'A', 1), ('.git', 'dir', 'a', 1), ('GIT~1', 'file', 'a', 1), ('e', 'tree', 'a', 1), ('f', 'file', 'g', 1),
    ('g', 'file', 'a', 1 << 63), ('g', 'file', 'a', 10 ** 18), ('h', 'file', 'a', -1), ('i\\u0041', 'file', 'a', 1),
    ('\u00e4', 'file', 'a', 1), ('con.', 'file', 'a', 1), ('z' * 201, 'file', 'a', 1), ('z' * 256, 'file', 'a', 1)]]


@given(st.lists(st.sampled_from([*LINES, '\n', ' ', '["y","link","a"]\n', '["x","file","blake3:']), max_size=5))
def test_what_is_read_the_short_way_is_what_the_long_way_reads(lines: list[str]) -> None:
    body = ''.join(lines).encode()
    found = tree._decode_plain(body)
    if found is not None:
        assert found == tree._decode_any(tree.PREFIX + body, body)


def test_plain_names_are_read_the_short_way() -> None:
    for line in (LINES[0], LINES[1], LINES[2], LINES[3]):
        assert tree._decode_plain(line.encode())


@pytest.mark.parametrize(('target', 'depth', 'allowed'), [
    ('b', 0, True), ('./b', 0, True), ('b//c', 0, True), ('b/', 0, True), ('../b', 0, False), ('../b', 1, True),
    ('..', 1, True), ('../..', 1, False),
    ('../../b', 2, True), ('../../../b', 2, False), ('.', 0, True), ('a/../b', 3, False), ('/b', 9, False),
    ('./../b', 1, True), ('./../b', 0, False),
])
def test_links_stay_inside(target: str, depth: int, allowed: bool) -> None:
    assert (tree.link_problem(target, depth) is None) == allowed


def test_a_link_out_of_the_tree_is_found_where_the_tree_is_walked() -> None:
    ref, found = build({'a/b/l': Link('../../c'), 'c': HELLO})
    nodes = Nodes(found)
    assert [path for path, _ in walk(ref, nodes.read)] == ['a', 'a/b', 'a/b/l', 'c']
    below = find(ref, 'a/b', nodes.read)
    assert below is not None
    with pytest.raises(MalformedTree):
        list(walk(below, nodes.read))


# Building and walking

def test_build_holds_files_links_grafts_and_empty_folders() -> None:
    empty = ObjectRef(digest_of(EMPTY), 0, 'tree')
    inner, inner_nodes = build({'x': HELLO})
    ref, nodes = build({'d/e': empty, 'd/f': blob('run', 'exec'), 'g': inner, 'l': Link('d')})
    every = Nodes({**nodes, **inner_nodes, empty.digest: EMPTY})
    assert ref.size == 9
    assert [(path, entry.kind) for path, entry in walk(ref, every.read)] == [
        ('d', 'dir'), ('d/e', 'dir'), ('d/f', 'exec'), ('g', 'dir'), ('g/x', 'file'), ('l', 'link')]
    assert find(ref, 'd/f', every.read) == blob('run', 'exec')
    assert find(ref, 'g', every.read) == inner
    assert find(ref, '.', every.read) == ref
    for path in ('nothing', 'd/f/x', 'l', 'l/e', 'd/nothing'):
        assert find(ref, path, every.read) is None
    assert build({})[0] == empty


@pytest.mark.parametrize('content', [
    {'a': HELLO, 'a/b': HELLO}, {'a/b': HELLO, 'a': HELLO}, {'A': HELLO, 'a': HELLO}, {'a/../b': HELLO}, {'/a': HELLO},
    {'': HELLO}, {'.git/hooks/x': HELLO}, {'a': Link('../x')}, {'a/b': Link('../../x')},
])
def test_build_refuses_what_a_folder_cannot_hold(content: dict[str, ObjectRef | Link]) -> None:
    with pytest.raises(ValueError, match=r'.'):
        build(content)


def test_ten_changed_files_of_100_000_rewrite_eleven_nodes() -> None:
    content: dict[str, ObjectRef | Link] = {f'd{n // 1000:02}/f{n % 1000:03}': HELLO for n in range(100_000)}
    old, before = build(content)
    for n in range(10):
        content[f'd{n * 7:02}/f500'] = blob(f'changed {n}')
    new, after = build(content)
    assert len(after.keys() - before.keys()) == 11
    nodes = Nodes(before | after)
    changes = list(diff(old, new, nodes.read))
    assert [path for path, _, _ in changes] == [f'd{n * 7:02}/f500' for n in range(10)]
    assert nodes.opened == 22


files = st.dictionaries(
    st.lists(st.sampled_from(['a', 'b', 'c']), min_size=1, max_size=3).map('/'.join),
    st.sampled_from([HELLO, blob('1'), blob('2', 'exec'), Link('x')]), max_size=8)


def flat(content: dict[str, ObjectRef | Link]) -> dict[str, ObjectRef | Link]:
    return {path: value for path, value in content.items()
            if not any(other != path and other.startswith(f'{path}/') for other in content)}


@given(files, files)
def test_diff_says_exactly_what_differs(one: dict[str, ObjectRef | Link], two: dict[str, ObjectRef | Link]) -> None:
    (old, before), (new, after) = build(flat(one)), build(flat(two))
    nodes = Nodes(before | after)

    def leaves(ref: ObjectRef) -> dict[str, TreeEntry]:
        return {path: entry for path, entry in walk(ref, nodes.read) if entry.kind != 'dir'}

    left, right = leaves(old), leaves(new)
    found = {path: (a if a and a.kind != 'dir' else None, b if b and b.kind != 'dir' else None)
             for path, a, b in diff(old, new, nodes.read)
             if (a and a.kind != 'dir') or (b and b.kind != 'dir')}
    both = {path: (left.get(path), right.get(path)) for path in left.keys() | right.keys()}
    assert found == {path: (a, b) for path, (a, b) in both.items() if a != b}
    assert not list(diff(old, old, nodes.read))
    assert {path for path, _, b in diff(None, new, nodes.read) if b and b.kind != 'dir'} == right.keys()


def test_a_tree_deeper_than_we_can_hold_open_is_refused_in_time() -> None:
    nodes = Nodes({digest_of(EMPTY): EMPTY})
    ref = ObjectRef(digest_of(EMPTY), 0, 'tree')
    for _ in range(5000):
        node = encode([tree.entry_of(string.ascii_lowercase[0], ref)])
        ref = ObjectRef(digest_of(node), 0, 'tree')
        nodes[ref.digest] = node
    with pytest.raises(MalformedTree):
        list(walk(ref, nodes.read))
    assert nodes.opened <= tree.DEPTH_LIMIT + 2
