"""Pins: exact bytes, strict reading, names that never collide, quick listings."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core import layout
from mlops_cli.core.canonical import canonical
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.records.pins import Pin, Pins, decode, slug

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'formats' / 'pins.md'


def ref(text: str, kind: str = 'file') -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), kind)  # type: ignore[arg-type]


def make(rate: float = 0.1, result: str = 'model', metrics: bool = True) -> Pin:
    manifest = Manifest.of(
        [
            value_entry('command', 'cmd', {'cmd': 'python train.py', 'shell': '/bin/sh -e'}),
            Entry('code', 'train.py', digest_of(b'code')),
            Entry('data', 'data/train', digest_of(b'data')),
            value_entry('param', 'params.yaml:train.rate', rate),
            value_entry('output', 'model.bin', {'persist': False}),
            value_entry('output', 'metrics.json', {'persist': False}),
        ]
    )
    return Pin(
        manifest,
        (('metrics.json', ref(f'{result} metrics')), ('model.bin', ref(result))),
        (('metrics.json', 'accuracy', 0.95), ('metrics.json', 'steps', 100)) if metrics else (),
    )


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / 'project').mkdir()
    with Root(tmp_path / 'project') as opened:
        yield opened


def add(root: Root, *named: tuple[str, Pin]) -> list[str | None]:
    pins = Pins(root)
    with Batch('none') as batch:
        return [pins.add(stage, pin, batch) for stage, pin in named]


def place(pin: Pin, stage: str = 'train') -> str:
    return f'{layout.STAGES}/{pin.file_name(stage)}'


# The format


def test_the_page_shows_a_pin_that_is_one() -> None:
    found = re.search(r'`(\.mlops/stages/[^`\n]+\.json)`\n+```json\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert found, 'no example on the page'
    pin = decode(found[2].encode(), found[1])
    assert pin == make()
    assert place(make()) == found[1]
    assert make().encode().decode() == found[2]


def test_a_pin_is_json_with_one_entry_a_line_each_of_which_begins_with_the_key() -> None:
    pin = make()
    lines = pin.encode().decode().splitlines()
    assert (lines[0], lines[-1]) == ('[', ']')
    rows = json.loads(pin.encode())
    assert [canonical(row) for row in rows] == [line.removesuffix(',') for line in lines[1:-1]]
    assert {row[0] for row in rows} == {pin.key.hex[:16]}


def test_equal_results_are_equal_files_in_whatever_order_they_were_told() -> None:
    one = make()
    two = Pin(Manifest(one.manifest.entries), one.outputs[::-1], one.metrics[::-1])
    assert (one.encode(), one.file_name('a'), one.outs8) == (two.encode(), two.file_name('a'), two.outs8)


def test_what_was_pinned_as_a_metric_or_not_is_another_file_with_the_same_result() -> None:
    with_numbers, without = make(), make(metrics=False)
    assert with_numbers.outs8 == without.outs8
    assert with_numbers.file_name('a') != without.file_name('a')


numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=['Cs']) | st.sampled_from('\udc80\udcff"\\\n\u2028'), min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | numbers | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
refs = st.builds(lambda text, kind: ref(text, kind), st.text(max_size=5), st.sampled_from(['file', 'exec', 'tree']))
kinds = st.sampled_from(['command', 'code', 'data', 'param', 'environment', 'output'])
entries = st.builds(value_entry, kinds, names, values) | st.builds(
    lambda kind, name, text: Entry(kind, name, digest_of(text.encode())), kinds, names, st.text(max_size=5)
)
pins = st.builds(
    lambda entries, outputs, metrics: Pin(
        Manifest.of(entries), tuple(sorted(outputs.items())), tuple(sorted((f, n, v) for (f, n), v in metrics.items()))
    ),
    st.lists(entries, max_size=6, unique_by=lambda entry: entry.sort_key),
    st.dictionaries(names, refs, max_size=3),
    st.dictionaries(st.tuples(names, names), numbers, max_size=4),
)


@settings(deadline=None)
@given(pins, names)
def test_what_is_written_is_read_back(pin: Pin, stage: str) -> None:
    data, file = pin.encode(), place(pin, stage)
    again = decode(data, file)
    assert again.encode() == data
    assert (again.manifest, again.outputs) == (pin.manifest, pin.outputs)
    assert [(f, n, v, type(v)) for f, n, v in again.metrics] == [(f, n, v, type(v)) for f, n, v in pin.metrics]
    assert decode(data.replace(b'\n', b'\r\n'), file) == again, 'a checkout with core.autocrlf'


def test_no_number_that_json_lacks_gets_into_a_pin() -> None:
    with pytest.raises(ValueError, match='JSON compliant'):
        Pin(make().manifest, (), (('m.json', 'loss', float('nan')),)).encode()


# Damage


def lines_of(pin: Pin) -> list[str]:
    return pin.encode().decode().split('\n')


def replace_line(number: int, change: Callable[[str], str]) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        lines = data.decode().split('\n')
        lines[number - 1] = change(lines[number - 1])
        return '\n'.join(lines).encode()

    return damage


DAMAGES: dict[
    str, tuple[Callable[[bytes], bytes], int]
] = {  # what -> (how, the line that is to be named; 0: none in particular)
    'empty': (lambda data: b'', 1),
    'cut in a line': (lambda data: data[:300], 5),
    'cut at a line': (lambda data: b'\n'.join(data.split(b'\n')[:4]), 4),
    'its end twice': (lambda data: data + b']\n', 15),
    'a conflict': (replace_line(4, lambda line: f'<<<<<<< ours\n{line}'), 4),
    'no JSON': (replace_line(5, lambda line: line.replace('"', "'")), 5),
    'not UTF-8': (lambda data: data.replace(b'train.py', b'tr\xffin.py'), 4),
    'NaN': (replace_line(12, lambda line: line.replace('0.95', 'NaN')), 12),
    'infinity': (replace_line(12, lambda line: line.replace('0.95', '1e999')), 12),
    'a value of another type': (replace_line(12, lambda line: line.replace('0.95', 'true')), 12),
    'another number': (replace_line(12, lambda line: line.replace('0.95', '0.96')), 0),
    'another size': (replace_line(10, lambda line: re.sub(r'\d+\]', '7]', line)), 0),
    'a negative size': (replace_line(10, lambda line: re.sub(r'\d+\]', '-7]', line)), 10),
    'a digest in capitals': (replace_line(5, lambda line: line.replace('blake3:', 'BLAKE3:')), 5),
    'another digest': (replace_line(5, lambda line: re.sub('blake3:..', 'blake3:00', line)), 3),
    'another algorithm': (replace_line(5, lambda line: line.replace('blake3:', 'sha256:')), 5),
    'an unknown kind': (replace_line(5, lambda line: line.replace('"command"', '"magic"', 1)), 5),
    'an unknown entry': (replace_line(10, lambda line: line.replace('"out"', '"owt"')), 10),
    'another key in a line': (replace_line(6, lambda line: '["' + '0' * 16 + line[18:]), 6),
    'an entry twice': (replace_line(5, lambda line: f'{line}\n{line}'), 0),
    'an output twice': (replace_line(10, lambda line: f'{line}\n{line}'), 11),
    'an entry less': (replace_line(5, lambda line: ''), 5),
    'spaces': (replace_line(5, lambda line: line.replace(',', ', ')), 5),
    'two entries in a line': (lambda data: data.replace(b'],\n', b'],', 3), 2),
    'pretty printed': (lambda data: json.dumps(json.loads(data), indent=2).encode(), 2),
    'no schema': (replace_line(2, lambda line: line.replace('schema', 'scheme')), 2),
    'a mapping': (lambda data: b'{}', 1),
    'deep': (lambda data: b'[\n' + b'[' * 100_000, 2),
    'a long number': (replace_line(12, lambda line: line.replace('0.95', '9' * 5000)), 12),
    'a picture': (lambda data: b'\x89PNG\r\n\x1a\n' * 20, 1),
}


def test_half_of_a_character_is_damage() -> None:
    """A pin that somebody made, down to its name."""
    data = make().encode()
    line = next(number for number, one in enumerate(data.split(b'\n'), 1) if b'"out"' in one)
    for escape, good in ((b'\\ud800', False), (b'\\udcff', True)):
        made = data.replace(b'"out","', b'"out","' + escape, 1)
        file = place(make()).replace(digest_of(data).hex[:8], digest_of(made).hex[:8])
        if good:  # as names of files may be
            assert any(path.startswith('\udcff') for path, _ in decode(made, file).outputs)
            continue
        with pytest.raises(UserError, match='half of a character') as raised:
            decode(made, file)
        assert raised.value.where is not None and raised.value.where.line == line


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_told_with_its_line(name: str) -> None:
    damage, line = DAMAGES[name]
    data, file = make().encode(), place(make())
    assert damage(data) != data
    with pytest.raises(UserError) as raised:
        decode(damage(data), file)
    error = raised.value
    assert (error.exit_code, error.where and error.where.file) == (ExitCode.FAILED, file)
    assert error.hint == f'put it back with: git checkout -- {file}'
    assert error.where is not None
    if line:
        assert error.where.line == line


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
def test_any_flipped_byte_and_any_cut_is_noticed(position: int, mask: int, cut: bool) -> None:
    data, file = bytearray(make().encode()), place(make())
    position %= len(data)
    if cut:
        del data[position:]
    else:
        data[position] ^= mask
    with pytest.raises(UserError):
        decode(bytes(data), file)


@pytest.mark.parametrize('name', ['x.json', 'train~0-0.json', 'train.json', 'train~' + '0' * 16 + '-00000000.json'])
def test_a_pin_under_a_name_that_is_not_its_own_is_refused(name: str) -> None:
    with pytest.raises(UserError, match='damaged pin'):
        decode(make().encode(), f'{layout.STAGES}/{name}')


def test_a_pin_of_a_later_version_asks_for_an_update() -> None:
    later = make().encode().replace(b'mlops/pin/v1', b'mlops/pin/v2')
    file = f'{layout.STAGES}/train~{make().key.hex[:16]}-{digest_of(later).hex[:8]}.json'
    with pytest.raises(UserError, match='mlops/pin/v2') as raised:
        decode(later, file)
    assert (raised.value.hint, raised.value.exit_code, str(raised.value.where)) == ('update mlops', 2, f'{file}:2:1')


# Names

HOSTILE_NAMES = [
    'train',
    'Train',
    'TRAIN',
    'train@forest-1',
    'train@{a: 1}',
    'a b',
    'a/b',
    'a-b',
    'a\\b',
    '.hidden',
    '..',
    '.',
    '-x',
    '~',
    'a~b',
    '🚀',
    '🚀🚀',
    'é',
    'e\u0301',
    'naïve',
    '[x]',
    '[y]',
    '*',
    'x' * 60,
    'x' * 61,
    'x' * 300,
    'X' * 300,
    'git',
    'git~1',
    'mlops',
    'con',
    'a\nb',
    'a\udcffb',
    'a.',
    'a ',
    'a-12345678',
    'A-12345678',
    '$(touch x)',
    'a.json',
    'a..b',
    '\u202egnp',
    'ſ',
    's',
    'K',
    'k',
]


def test_names_of_files_are_plain_short_and_tell_stages_apart_also_without_case() -> None:
    slugs = {name: slug(name) for name in HOSTILE_NAMES}
    for found in slugs.values():
        assert re.fullmatch(r'[A-Za-z0-9._@=+-]{1,69}', found)
        assert not found.startswith('.')
    assert len({found.casefold() for found in slugs.values()}) == len(slugs)
    assert (slugs['train'], slugs['train@forest-1']) == ('train', 'train@forest-1')


@settings(deadline=None)
@given(st.lists(names | st.sampled_from(['Train', 'train']), unique=True, max_size=10))
def test_slugs_never_meet(stages: list[str]) -> None:
    names = stages + [slug(stage) for stage in stages] + [slug(stage).lower() for stage in stages]
    distinct = list(dict.fromkeys(names))
    assert len({slug(name).casefold() for name in distinct}) == len(distinct)


def test_stages_with_any_name_are_pinned_and_found(root: Root) -> None:
    named = [(name, make(rate=number)) for number, name in enumerate(HOSTILE_NAMES)]
    assert None not in add(root, *named)
    found = Pins(root)
    for name, pin in named:
        assert found.of_stage(name) == (pin,)
        assert found.of_key(pin.key) == (pin,)
        assert found.names_of_stage(name) == (pin.file_name(name),)
    assert len({name.casefold() for name in os.listdir(root.full(layout.STAGES))}) == len(named)


def test_stages_that_differ_in_case_only_and_have_one_key_do_not_meet(root: Root) -> None:
    add(root, ('Train', make()), ('train', make()))
    one, two = os.listdir(root.full(layout.STAGES))
    assert one.casefold() != two.casefold()


# The folder


def test_a_pin_is_written_once(root: Root) -> None:
    pins = Pins(root)
    done: list[str] = []
    with Batch('none') as batch:
        path = pins.add('train', make(), batch, after=lambda: done.append('durable'))
        assert path == place(make())
        assert not os.path.exists(root.full(path))
        assert pins.of_key(make().key) == (make(),), 'it counts before it is flushed'
        pins.refresh()
        assert pins.of_key(make().key) == (make(),), 'also after another look'
        assert pins.add('train', make(), batch, after=lambda: done.append('again')) is None
        batch.flush()
        assert done == ['durable']
        assert pins.add('train', make(), batch) is None
        pins.refresh()
        assert pins.add('train', make(), batch) is None
    assert Path(root.full(path)).read_bytes() == make().encode()
    assert os.listdir(root.full(layout.LOCAL)) == []


def test_a_pin_that_git_took_away_is_written_again_and_not_missed_by_readers(root: Root) -> None:
    add(root, ('train', make()), ('train', make(0.2)))
    pins = Pins(root)
    os.unlink(root.full(place(make())))
    os.unlink(root.full(place(make(0.2))))
    assert pins.of_key(make().key) == ()
    assert pins.of_stage('train') == ()
    with Batch('none') as batch:
        assert pins.add('train', make(), batch) == place(make())
    assert Pins(root).of_stage('train') == (make(),)


def test_several_results_of_a_key_come_smallest_first_and_once_each(root: Root) -> None:
    results = [make(result=text) for text in ('one', 'two', 'three')]
    add(root, *[('train', pin) for pin in results], ('other', results[0]), ('train', make(result='one', metrics=False)))
    found = Pins(root).of_key(make().key)
    assert list(found) == sorted(results, key=lambda pin: pin.outs8)
    assert len(Pins(root).of_stage('train')) == 4


def test_of_equal_results_the_one_with_most_numbers_is_taken(root: Root) -> None:
    for order in ((True, False), (False, True)):
        add(root, *[('train', make(metrics=metrics)) for metrics in order])
        assert Pins(root).of_key(make().key) == (make(),)


def test_what_is_no_pin_is_passed_over(root: Root) -> None:
    add(root, ('train', make()))
    folder = Path(root.full(layout.STAGES))
    for name in ('README.md', '.gitkeep', '.mlops-tmp-1', 'train.json', f'{make().file_name("train")}.orig'):
        (folder / name).write_text('?')
    assert Pins(root).of_stage('train') == (make(),)


def test_a_damaged_pin_is_an_error_where_it_is_needed_and_only_there(root: Root) -> None:
    add(root, ('train', make()), ('other', make(0.2)))
    Path(root.full(place(make()))).write_text('[]')
    pins = Pins(root)
    assert pins.of_stage('other') == (make(0.2),)
    with pytest.raises(UserError, match='damaged pin'):
        pins.of_key(make().key)


def test_links_are_not_followed(root: Root, tmp_path: Path) -> None:
    secret = tmp_path / 'secret'
    secret.write_text('password')
    os.makedirs(root.full(layout.STAGES))
    os.symlink(secret, root.full(place(make())))
    with pytest.raises(UserError, match='symbolic link'):
        Pins(root).of_key(make().key)
    os.rename(root.full(layout.STAGES), root.full('.mlops/elsewhere'))
    os.symlink('elsewhere', root.full(layout.STAGES))
    with pytest.raises(UserError, match='symbolic link'):
        Pins(root).refresh()


def test_a_pipe_in_place_of_a_pin_does_not_hang(root: Root) -> None:
    os.makedirs(root.full(layout.STAGES))
    os.mkfifo(root.full(place(make())))
    with pytest.raises(UserError, match='not a regular file'):
        Pins(root).of_key(make().key)


def test_threads_may_add_while_others_look(root: Root) -> None:
    pins = Pins(root)
    with Batch('none') as batch:

        def work(start: int) -> None:
            for number in range(start, start + 20):
                pins.add('train', make(rate=number), batch)
                pins.refresh()

        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(pins.of_stage('train')) == 60
    assert len(Pins(root).of_stage('train')) == 60


def test_a_thousand_pins_are_listed_and_looked_up_quickly(root: Root) -> None:
    made = [(f'train@{number}', make(rate=number)) for number in range(1000)]
    add(root, *made)
    start = time.process_time()
    pins = Pins(root)
    listed = time.process_time() - start
    assert all(pins.of_key(pin.key) == (pin,) for _, pin in made)
    read = time.process_time() - start
    assert listed < 0.05, f'{listed:.3f} s of processor to list 1,000 pins'
    assert read < 1, f'{read:.3f} s of processor to read 1,000 pins'


def test_a_key_is_found_without_its_manifest_being_made(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, ('train', make()), ('other', make(0.2)))
    pins = Pins(root)
    monkeypatch.setattr('mlops_cli.records.pins._entry_of', lambda _: pytest.fail('an entry was made'))
    with pins.reading():
        (found,) = pins.of_key(make().key)
    assert found.outputs == make().outputs and found.metrics == make().metrics
    monkeypatch.undo()
    assert found == make() and found.data == make().data


def test_what_reads_quickly_refuses_what_reads_slowly(root: Root) -> None:
    """A link in place of a pin, and one that vanished, are met in the same way within ``reading``."""
    add(root, ('train', make()), ('other', make(0.2)))
    paths = [Path(root.full(place(make()))), Path(root.full(place(make(0.2), 'other')))]
    pins = Pins(root)
    with pins.reading():
        assert pins.names_of_stage('train')
        paths[0].rename(paths[0].with_name('elsewhere'))
        paths[0].symlink_to('elsewhere')
        paths[1].unlink()
        with pytest.raises(UserError) as caught:
            pins.of_key(make().key)
        assert caught.value.exit_code == ExitCode.REFUSED
        assert pins.of_key(make(0.2).key) == ()


@pytest.mark.parametrize('value', ['1e999', '[1e999]', '{"a":[1e999]}'])
def test_numbers_beyond_all_numbers_are_damage(value: str) -> None:
    lines = make().encode().decode().splitlines()
    lines[4] = lines[4].rpartition(',{')[0] + f',{value}],'
    content = ('\n'.join(lines) + '\n').encode()
    name = re.sub('-[0-9a-f]{8}.json', f'-{digest_of(content).hex[:8]}.json', place(make()))
    with pytest.raises(UserError, match='damaged pin'):
        decode(content, name)


@pytest.mark.parametrize(
    ('line', 'row'),
    [
        (2, '7'),
        (2, '{"0":1}'),
        (4, '["KEY","out",[1],"file","blake3:' + 'a' * 64 + '",1]'),
        (4, '["KEY","out","x","file","blake3:' + 'a' * 64 + '",9223372036854775808]'),
        (4, '["KEY","metric","m.json","acc",1' + '0' * 400 + ']'),
        (4, '["KEY","metric","m.json","acc",true]'),
    ],
)
def test_a_row_that_is_none_of_ours_is_damage_under_a_name_that_fits(line: int, row: str) -> None:
    pin = make()
    rows = pin.data.decode().split('\n')
    rows[line] = row.replace('KEY', pin.key.hex[:16]) + ','
    data = '\n'.join(rows).encode()
    with pytest.raises(UserError, match='damaged pin'):
        decode(data, f'.mlops/stages/train~{pin.key.hex[:16]}-{digest_of(data).hex[:8]}.json')
