"""Broken pipelines: every mistake is told, in its place, in a plain sentence, with what to do; and nothing is touched.

broken.txt holds the files and what is said about them.
"""
from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_cli.core.errors import ExitCode, UserError, UserErrors
from mlops_cli.pipeline.load import load

TABLE = Path(__file__).with_name('broken.txt')


def cases() -> Iterator[tuple[str, str, str]]:
    """(kind of mistake, the file, what is said)."""
    for section in TABLE.read_text().split('=== ')[1:]:
        head, _, said = section.partition('\n>>>\n')
        name, _, text = head.partition('\n')
        yield name, text + '\n' if text else '', said.strip()


def told(folder: Path, environ: dict[str, str] | None = None) -> str:
    """The mistakes as broken.txt has them."""
    with pytest.raises(UserErrors) as caught:
        load(folder, environ=environ or {})
    assert all(error.exit_code is ExitCode.WRONG_INPUT for error in caught.value.errors)
    return '\n'.join(line for error in caught.value.errors for line in _lines(error))


def _lines(error: UserError) -> list[str]:
    assert error.where is not None and error.where.file == 'pipeline.yaml'
    place = f'{error.where.line}:{error.where.column}'
    message = error.message.replace('pipeline.yaml:', '')
    return [f'{place} {message}', *([f'    {error.hint}'] if error.hint else [])]


def picture(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path.relative_to(folder)), path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob('*'))


@pytest.mark.parametrize(('text', 'said'), [case[1:] for case in cases()], ids=[case[0] for case in cases()])
def test_every_mistake_is_told_in_its_place(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / 'pipeline.yaml').write_text(text)
    before = picture(tmp_path)
    assert told(tmp_path) == said
    assert picture(tmp_path) == before


def test_there_are_many_kinds() -> None:
    assert len({name for name, _, _ in cases()}) >= 64


# What needs more than one file, or cannot stand in a text

def errors(folder: Path, files: dict[str, str], **more: str) -> list[tuple[str, str, str]]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    with pytest.raises(UserErrors) as caught:
        load(folder, environ=more)
    return [(str(error.where), error.message, error.hint) for error in caught.value.errors]


def test_no_pipeline(tmp_path: Path) -> None:
    assert errors(tmp_path, {}) == [('pipeline.yaml', f'there is no pipeline.yaml in {tmp_path}', 'mlops init makes one')]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='cannot open the project') as caught:
        load(tmp_path / 'gone', environ={})
    assert caught.value.exit_code is ExitCode.MACHINE


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipeline.yaml')
    with pytest.raises(UserErrors, match='not a regular file') as caught:
        load(tmp_path, environ={})
    assert caught.value.exit_code is ExitCode.REFUSED


def test_a_link_out_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'pipeline.yaml').symlink_to('/dev/zero')
    with pytest.raises(UserErrors, match='symbolic link'):
        load(tmp_path, environ={})
    (tmp_path / 'sub').symlink_to('/etc')
    (tmp_path / 'pipeline.yaml').unlink()
    assert errors(tmp_path, {'pipeline.yaml': 'include: [sub/passwd]\n'})[0][0] == 'pipeline.yaml:1:11'


def test_mistakes_in_parameter_files(tmp_path: Path) -> None:
    found = errors(tmp_path, {
        'pipeline.yaml': 'vars: [more.json, {ok: 1}]\nstages:\n  a: {cmd: x, dep: [y]}\n  b: {cmd: "y ${lr}"}\n',
        'params.yaml': 'lr: 012\nlr: 1\n',
        'more.json': '{"a": }',
    })
    assert found[0][0] == 'more.json:1:7'
    assert found[1:] == [
        ('params.yaml:1:5', '012 is a number with a leading zero, which tools read differently',
         'write 12 or 0o12, or quote it if it is text'),
        ('params.yaml:2:1', 'the key "lr" is there already, in line 1', 'remove one, or give it another name'),
        ('pipeline.yaml:3:15', 'stage a: unknown key "dep"', 'did you mean deps?'),
    ]


def test_a_parameter_file_that_does_not_fit(tmp_path: Path) -> None:
    files = {'pipeline.yaml': 'stages: {a: {cmd: "x ${y}"}}\n', 'params.yaml': '- 1\n'}
    found = errors(tmp_path, files)
    assert found == [('params.yaml:1:1', 'a parameter file holds names and values, this one is a list', '')]
    (tmp_path / 'pipeline.yaml').write_text('stages: {a: {cmd: x}}\n')
    assert load(tmp_path, environ={}).stages  # nothing here is about parameters


def test_vars_of_a_file(tmp_path: Path) -> None:
    found = errors(tmp_path, {
        'params.yaml': 'lr: 1\n', 'v.yaml': 'folders: {raw: r}\nlr: 2\n',
        'pipeline.yaml': 'vars:\n- v.yaml:folder\n- v.yaml\nstages: {a: {cmd: "x ${folders.rw}"}}\n'})
    assert found == [
        ('pipeline.yaml:2:3', 'v.yaml has no top-level key folder', 'did you mean folders?'),
        ('pipeline.yaml:3:3', 'v.yaml sets lr, which has a value already',
         'give it another name; parameters are changed in their file or with --set'),
    ]


def test_mistakes_of_included_files_name_their_file(tmp_path: Path) -> None:
    found = errors(tmp_path, {
        'pipeline.yaml': 'include: [sub/one.yaml, sub/two.yaml, sub/../sub/one.yaml]\nstages: {a: {cmd: x, outs: [sub/o]}}\n',
        'sub/one.yaml': 'stages:\n  a: {cmd: y}\n  b: {cmd: z, outs: [o]}\n',
        'sub/two.yaml': 'include: [one.yaml]\nstages:\n  c: {cmd: z, deps: [../../x]}\n  d: {cmd: "${item}"}\n',
    })
    assert [(place, message) for place, message, _ in found] == [
        ('pipeline.yaml:1:39', 'sub/one.yaml is included already, at pipeline.yaml:1:11'),
        ('sub/one.yaml:2:3', 'stage a is there already, at pipeline.yaml:2:10'),
        ('sub/one.yaml:3:22', 'stage b: sub/o is an output of a already, at pipeline.yaml:2:29'),
        ('sub/two.yaml:1:11', 'sub/one.yaml is included already, at pipeline.yaml:1:11'),
        ('sub/two.yaml:3:22', 'stage c: deps: "../../x" leaves the project'),
        ('sub/two.yaml:4:13', 'stage d: ${item}: there is no item'),
    ]


def test_too_many_included_files(tmp_path: Path) -> None:
    names = [f'{number}.yaml' for number in range(120)]
    for name in names:
        (tmp_path / name).write_text('stages: {}\n')
    assert 'more than 100 pipeline files' in str(errors(tmp_path, {'pipeline.yaml': f'include: [{", ".join(names)}]\n'}))


def test_a_path_with_the_root_in_front_is_shown_without_it(tmp_path: Path) -> None:
    found = errors(tmp_path, {'pipeline.yaml': f'stages: {{a: {{cmd: x, wdir: sub, deps: ["{tmp_path}/data/x"]}}}}\n'})
    assert found[0][2] == 'write ../data/x'


def test_an_environment_variable_that_is_not_set(tmp_path: Path) -> None:
    text = 'stages:\n  a:\n    cmd: x ${env:WHERE}\n    env: [WHERE]\n'
    found = errors(tmp_path, {'pipeline.yaml': text})
    assert [row[:2] for row in found] == [('pipeline.yaml:3:12', 'stage a: ${env:WHERE}: env:WHERE is not set')]
    assert load(tmp_path, environ={'WHERE': 'here'}).stages['a'].command.words == ('x here',)


def test_an_overlay_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / 'pipeline.yaml').write_text('stages: {a: {cmd: x}}\n')
    (tmp_path / 'params.yaml').write_text('lr: 1\n')
    with pytest.raises(UserErrors, match=r'^params\.yaml: --set: params\.yaml has no parameter rl'):
        load(tmp_path, environ={}, overlay={('params.yaml', 'rl'): 2})


def test_a_thousand_mistakes_are_cut_short(tmp_path: Path) -> None:
    text = 'stages:\n' + ''.join(f'  s{number}: {{cmd: 1}}\n' for number in range(1000))
    found = errors(tmp_path, {'pipeline.yaml': text})
    assert len(found) == 101 and found[-1][1] == 'and 900 more mistakes'


# Anything at all

KEYS = ['cmd', 'argv', 'deps', 'outs', 'params', 'metrics', 'plots', 'matrix', 'foreach', 'do', 'vars', 'wdir', 'resources',
        'code', 'needs', 'model', 'retry', 'timeout', 'env']
WORDS = [*KEYS, 'stages', 'a', 'b', 'include', 'exclude', 'item', 'version', 'gpus', 'stage', 'path', 'name', 'max', 'x', 'x/y',
         '../x', '*', '[', '${a}', '${item.a}', '${', 'echo ${a} "${b', '.git', '/', '', 'a@b', 'no', '1e-4']
values = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(WORDS), below, max_size=4), max_leaves=20)
stages = st.dictionaries(st.sampled_from('abc'), st.dictionaries(st.sampled_from(KEYS), values, max_size=5), max_size=3)
documents = values | st.fixed_dictionaries(
    {'stages': stages}, optional={'vars': values, 'include': values, 'params': values, 'name': values})


def only_user_errors(base: Path, data: bytes) -> None:
    folder = base / 'broken'  # not in the base itself: the folders of all other tests would lie in a project
    folder.mkdir(exist_ok=True)
    (folder / 'pipeline.yaml').write_bytes(data)
    begin = time.process_time()
    try:
        load(folder, environ={})
    except UserErrors as caught:
        assert all(error.where and error.message for error in caught.errors)
    assert time.process_time() - begin < 1


@settings(max_examples=50)
@given(data=st.binary(max_size=300))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    only_user_errors(tmp_path_factory.getbasetemp(), data)


@settings(max_examples=60)
@given(value=documents)
def test_any_document(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    only_user_errors(tmp_path_factory.getbasetemp(), json.dumps(value).encode())


@pytest.mark.full
@settings(max_examples=5000)
@given(value=documents)
def test_a_great_many_documents(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    only_user_errors(tmp_path_factory.getbasetemp(), json.dumps(value).encode())
