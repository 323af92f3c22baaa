"""From the file to values: every key, paths, parameters, variables, included files."""
from __future__ import annotations

import importlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from mlops_cli.core.errors import UserErrors, Where
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.load import load, schema
from mlops_cli.pipeline.spec import (
    Code,
    Command,
    Dep,
    Environment,
    Metric,
    Model,
    Output,
    ParamRef,
    Pipeline,
    Resources,
    Retry,
    Stage,
)

ROOT = Path(__file__).parent.parent.parent


def made(folder: Path, files: Mapping[str, str] | str, environ: Mapping[str, str] | None = None,
         overlay: Mapping[tuple[str, str], Any] | None = None) -> Pipeline:
    for name, text in ({'pipeline.yaml': files} if isinstance(files, str) else files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return load(folder, environ=environ or {}, overlay=overlay)


def stage(folder: Path, keys: str, **more: Any) -> Stage:
    """The only stage of a pipeline with these keys."""
    text = 'stages:\n  s:\n' + ''.join(f'    {line}\n' for line in keys.splitlines())
    found, = made(folder, text, **more).stages.values()
    return found


def plain(output: Output) -> Output:
    return replace(output, where=Where(''))


def test_the_least(tmp_path: Path) -> None:
    pipeline = made(tmp_path, 'stages: {hello: {cmd: echo hello}}\n')
    assert pipeline.name == tmp_path.name and pipeline.files == ('pipeline.yaml',) and pipeline.absent == ('params.yaml',)
    found = pipeline.stages['hello']
    assert found.command == Command('shell', ('echo hello',)) and found.group == 'hello' and found.wdir == '.'
    assert found.where == Where('pipeline.yaml', 1, 10) and found.places == {'cmd': Where('pipeline.yaml', 1, 18)}
    assert found == Stage('hello', 'hello', found.command, where=found.where, places=found.places)


def test_no_stages_yet(tmp_path: Path) -> None:
    assert made(tmp_path, 'version: 1\nname: n\ndesc: d\nstages: {}\n') == Pipeline(
        'n', {}, ('pipeline.yaml',), ('params.yaml',), 'd')


def test_every_simple_key(tmp_path: Path) -> None:
    found = stage(tmp_path, '''\
cmd: x
env: [A, B_1]
secrets: [TOKEN]
timeout: 1h30m
grace: 5
needs: []
mutex: [database]
frozen: true
always_changed: true
checkpoint: ckpt/
caches: [.cache/hub, ./kernels]
progress: ./log.jsonl
isolate: folder
desc: A sentence
meta: {owner: [me, 1]}
environment: {uv: uv.lock}
resources: {cpus: 0.5, memory: 2GiB, gpus: 1, licence: 2}
retry: {max: 3, causes: [network, oom]}
''')
    assert found.env == ('A', 'B_1') and found.secrets == ('TOKEN',)
    assert found.timeout_seconds == 5400 and found.grace_seconds == 5 and found.mutex == ('database',)
    assert found.frozen and found.always_changed and found.isolate == 'folder'
    assert found.checkpoint == 'ckpt' and found.caches == ('.cache/hub', 'kernels')
    assert found.desc == 'A sentence' and found.meta == {'owner': ['me', 1]}
    assert found.environment == Environment('uv', 'uv.lock', Where('pipeline.yaml', 18, 18)) and found.progress == 'log.jsonl'
    assert found.resources == Resources(0.5, 2 << 30, 1, {'licence': 2})
    assert found.retry == Retry(3, ('network', 'oom'))
    assert stage(tmp_path, 'cmd: x\nretry: 2\nresources: {memory: 2000000}').retry == Retry(2)


@pytest.mark.parametrize(('written', 'command'), [
    ('cmd: python x.py', Command('shell', ('python x.py',))),
    ('cmd: |\n  a\n  b\n', Command('shell', ('a\nb',))),
    ('cmd: [a, "b c"]', Command('shell', ('a', 'b c'))),
    ("cmd: echo '${x}' \\${HOME}", Command('shell', ("echo 'it'\\''s' ${HOME}",))),
    ('argv: [python, -c, "print(1)"]', Command('argv', ('python', '-c', 'print(1)'))),
    ('argv: [a, 1, 0.5, true, "${x}", "${list}"]', Command('argv', ('a', '1', '0.5', 'true', "it's", 'p', 'q'))),
    ('argv: ${list}', Command('argv', ('p', 'q'))),
])
def test_commands(tmp_path: Path, written: str, command: Command) -> None:
    (tmp_path / 'params.yaml').write_text("x: it's\nlist: [p, q]\n")
    assert stage(tmp_path, written).command == command


def test_deps(tmp_path: Path) -> None:
    found = made(tmp_path, '''\
stages:
  a: {cmd: x, outs: [o]}
  s:
    cmd: x
    deps:
      - data/./x.csv
      - raw/*.csv
      - stage: a
      - path: odd[1].csv
''').stages['s']
    assert found.deps == (
        Dep('path', 'data/x.csv', Where('pipeline.yaml', 6, 9)), Dep('glob', 'raw/*.csv', Where('pipeline.yaml', 7, 9)),
        Dep('stage', 'a', Where('pipeline.yaml', 8, 9)), Dep('path', 'odd[1].csv', Where('pipeline.yaml', 9, 9)))


@pytest.mark.parametrize(('written', 'code'), [
    ('[lib, "sql/*.sql"]', Code(paths=('lib', 'sql/*.sql'))),
    ('bytes', Code(mode='bytes')),
    ('{auto: false, paths: [lib]}', Code(auto=False, paths=('lib',))),
    ('{mode: bytes, docstrings: ignore}', Code(mode='bytes', docstrings=False)),
    ('{docstrings: count}', Code()),
])
def test_code(tmp_path: Path, written: str, code: Code) -> None:
    assert stage(tmp_path, f'cmd: x\ncode: {written}').code == code


def test_outputs(tmp_path: Path) -> None:
    found = stage(tmp_path, '''\
cmd: x
outs: [model/, {logs: {persist: true, cache: false, desc: Logs}, other: {}}]
metrics:
  - m.json: {primary: acc, goals: {acc: max, loss: min}, tolerance: {acc: 1e-3}}
  - n.json
plots: [p.svg, {l.csv: {x: epoch, y: [a, b], title: T, header: false, cache: false}}]
''')
    assert tuple(map(plain, found.outputs)) == (
        Output('model'), Output('logs', persist=True, cache=False, desc='Logs'), Output('other'),
        Output('m.json', 'metric', metric=Metric('acc', {'acc': 'max', 'loss': 'min'}, {'acc': 0.001})),
        Output('n.json', 'metric', metric=Metric()), Output('p.svg', 'plot'),
        Output('l.csv', 'plot', cache=False, plot={'x': 'epoch', 'y': ['a', 'b'], 'title': 'T', 'header': False}))
    assert [output.where.line for output in found.outputs] == [4, 4, 4, 6, 7, 8, 8]


def test_a_model(tmp_path: Path) -> None:
    assert stage(tmp_path, 'cmd: x\nouts: [m]\nmodel: {name: digits, path: ./m}').model == Model('digits', 'm')
    assert stage(tmp_path, 'cmd: x\nmetrics: [m.json]\nmodel: {name: m, path: m.json}').model == Model('m', 'm.json')


# Parameters, variables, templates

def test_params(tmp_path: Path) -> None:
    found = stage(tmp_path, 'cmd: x\nparams:\n  - a.b\n  - {c.json: [d], e.toml: }\n  - f.yml: []\n')
    assert [(param.file, param.key) for param in found.params] == [
        ('params.yaml', 'a.b'), ('c.json', 'd'), ('e.toml', None), ('f.yml', None)]
    assert found.params[0].where == Where('pipeline.yaml', 5, 9)


def test_params_are_looked_up_in_the_stages_folder_as_in_dvc(tmp_path: Path) -> None:
    assert stage(tmp_path, 'cmd: x\nwdir: sub\nparams: [a]').params[0].file == 'sub/params.yaml'
    named = 'params: conf.yaml\nstages: {s: {cmd: "x ${a}", wdir: sub, params: [a]}}\n'
    found = made(tmp_path, {'pipeline.yaml': named, 'conf.yaml': 'a: 1\n'}).stages['s']
    assert found.params == (ParamRef('conf.yaml', 'a', Where('pipeline.yaml', 2, 49)),)
    assert found.command.words == ('x 1',)


def test_templates_keep_types_and_are_checked_again(tmp_path: Path) -> None:
    (tmp_path / 'params.yaml').write_text('n: 2\nyes: true\npaths: [a, b]\nres: {cpus: 3}\nt: 90s\n')
    found = stage(tmp_path, '''\
cmd: x
deps: ${paths}
outs: [ "out-${n}", {"${n}/x": {cache: "${yes}"}} ]
resources: {gpus: "${n}", cpus: "${res.cpus}", memory: "${n}GiB"}
frozen: ${yes}
timeout: ${t}
retry: ${n}
params: ["a.${n}"]
desc: for ${n}
''')
    assert [dep.value for dep in found.deps] == ['a', 'b']
    assert tuple(map(plain, found.outputs)) == (Output('out-2'), Output('2/x', cache=True))
    assert found.resources == Resources(3.0, 2 << 30, 2) and found.frozen and found.timeout_seconds == 90
    assert found.retry == Retry(2) and found.params[0].key == 'a.2' and found.desc == 'for 2'


def test_vars_in_order(tmp_path: Path) -> None:
    found = made(tmp_path, {
        'params.yaml': 'lr: 1\nfolders: {raw: r}\n',
        'more.toml': 'folders.clean = "c"\n[x]\ny = 2\n', 'some.json': '{"a": 1, "b": 2}',
        'pipeline.yaml': '''\
vars:
  - params.yaml
  - more.toml
  - some.json:b
  - {base: "${folders.raw}/${b}", list: [1]}
  - deep: ${base}/x
stages:
  s:
    vars: [{own: "${deep}"}, sub/own.yaml]
    wdir: ${folders.clean}
    cmd: x ${own} ${x.y} ${theirs}
  t: {cmd: "x ${own:-none}"}
''', 'c/sub/own.yaml': 'theirs: 3\n'})
    assert found.stages['s'].command.words == ('x r/2/x 2 3',) and found.stages['s'].wdir == 'c'
    assert found.stages['t'].command.words == ('x none',)
    assert found.files == ('pipeline.yaml', 'params.yaml', 'more.toml', 'some.json', 'c/sub/own.yaml') and not found.absent


def test_a_stage_may_make_params_yaml_where_no_template_uses_it(tmp_path: Path) -> None:
    text = 'stages: {a: {cmd: x, outs: [params.yaml]}, b: {cmd: "y", params: [lr]}}\n'
    files = {'pipeline.yaml': text, 'params.yaml': 'lr: 1\n'}
    assert made(tmp_path, files).stages['b'].params[0].file == 'params.yaml'
    with pytest.raises(UserErrors, match='the pipeline is read from the output'):
        made(tmp_path, {**files, 'pipeline.yaml': text.replace('"y"', '"y ${lr}"')})
    more = {'pipeline.yaml': text.replace('stages', 'include: [c.yaml]\nstages'), 'c.yaml': 'stages: {c: {cmd: "z ${lr}"}}\n'}
    with pytest.raises(UserErrors, match='the pipeline is read from the output'):
        made(tmp_path, {**files, **more})


def test_an_overlay_is_what_templates_see(tmp_path: Path) -> None:
    files = {'params.yaml': 'lr: 1\nmodels: [a]\n',
             'pipeline.yaml': 'stages: {s: {foreach: "${models}", do: {cmd: "x ${lr} ${item}"}}}\n'}
    overlay = {('params.yaml', 'lr'): 0.5, ('params.yaml', 'models'): ['b', 'c'], ('x.yaml', 'lr'): 9}
    found = made(tmp_path, files, overlay=overlay)
    assert [one.command.words for one in found.stages.values()] == [('x 0.5 b',), ('x 0.5 c',)]
    assert (tmp_path / 'params.yaml').read_text() == 'lr: 1\nmodels: [a]\n'
    added = made(tmp_path, {'pipeline.yaml': 'stages: {s: {cmd: "x ${new}"}}\n'}, overlay={('params.yaml', '+new'): 7})
    assert added.stages['s'].command.words == ('x 7',)


def test_only_declared_variables_of_the_environment(tmp_path: Path) -> None:
    found = stage(tmp_path, 'cmd: x ${env:A} ${env:B:-none}\nenv: [A, B]', environ={'A': 'a b', 'C': 'c'})
    assert found.command.words == ("x 'a b' none",)


def test_items_may_come_from_the_environment(tmp_path: Path) -> None:
    text = 'stages: {s: {foreach: ["${env:A}"], do: {cmd: x, env: [A]}}, t: {matrix: {m: ["${env:A}"]}, cmd: x, env: [A]}}\n'
    assert list(made(tmp_path, text, environ={'A': 'a'}).stages) == ['s@a', 't@a']


# Folders

def test_paths_are_relative_to_wdir(tmp_path: Path) -> None:
    found = stage(tmp_path, '''\
cmd: x
wdir: ./train/
deps: [../data/x, "*.csv"]
outs: [m]
metrics: [../metrics.json]
code: [../lib]
environment: {venv: ../requirements.txt}
checkpoint: c
caches: [h]
progress: ../log.csv
params: [{../p.yaml: [a]}]
model: {name: m, path: m}
''')
    assert found.wdir == 'train' and [dep.value for dep in found.deps] == ['data/x', 'train/*.csv']
    assert [output.path for output in found.outputs] == ['train/m', 'metrics.json']
    assert found.code.paths == ('lib',) and found.environment and found.environment.path == 'requirements.txt'
    assert (found.checkpoint, found.caches, found.params[0].file) == ('train/c', ('train/h',), 'p.yaml')
    assert found.progress == 'log.csv'
    assert found.model == Model('m', 'train/m')


def test_included_files_stand_on_their_own(tmp_path: Path) -> None:
    files = {
        'pipeline.yaml': 'name: all\ninclude: [sub/pipeline.yaml]\nvars: [{v: outer}]\n'
                         'stages: {a: {cmd: "x ${v} ${lr}", deps: [sub/out], needs: [b]}}\n',
        'params.yaml': 'lr: 1\n',
        'sub/pipeline.yaml': 'name: part\nvars: [{v: inner}]\ninclude: [more/p.yaml]\n'
                             'stages: {b: {cmd: "x ${v} ${lr}", outs: [out], deps: [../raw], params: [lr], wdir: .}}\n',
        'sub/params.yaml': 'lr: 2\n',
        'sub/more/p.yaml': 'stages: {c: {cmd: x, wdir: ../.., outs: [c.out]}}\n',
    }
    found = made(tmp_path, files)
    assert found.name == 'all' and list(found.stages) == ['a', 'b', 'c']
    assert found.stages['a'].command.words == ('x outer 1',) and found.stages['b'].command.words == ('x inner 2',)
    b = found.stages['b']
    assert (b.wdir, b.deps[0].value, b.outputs[0].path, b.params[0].file) == ('sub', 'raw', 'sub/out', 'sub/params.yaml')
    assert b.where == Where('sub/pipeline.yaml', 4, 10)
    assert (found.stages['c'].wdir, found.stages['c'].outputs[0].path) == ('.', 'c.out')
    assert graph.edges(found)['a'] == ('b',)
    assert found.files == ('pipeline.yaml', 'sub/pipeline.yaml', 'sub/more/p.yaml', 'params.yaml', 'sub/params.yaml')
    assert found.absent == ('sub/more/params.yaml',)


def test_another_file(tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub' / 'other.yaml').write_text('stages: {a: {cmd: x, outs: [o]}}\n')
    found = load(tmp_path, file='sub/other.yaml', environ={})
    assert found.stages['a'].outputs[0].path == 'sub/o' and found.stages['a'].wdir == 'sub'


# As a whole

@pytest.mark.parametrize('name', sorted(path.parent.name for path in (ROOT / 'examples').glob('*/pipeline.yaml')))
def test_the_examples(name: str) -> None:
    pipeline = load(ROOT / 'examples' / name, environ={})
    assert pipeline.stages and len(graph.topological(pipeline)) == len(pipeline.stages)


def test_the_schema_is_a_schema() -> None:
    assert jsonschema_rs.meta.is_valid(schema())


STAGE_KEYS = schema()['$defs']['stage']['properties']
STAGE_EXAMPLES = [(key, example) for key, about in STAGE_KEYS.items() for example in about['examples']]


@pytest.mark.parametrize(('key', 'example'), STAGE_EXAMPLES, ids=[key for key, _ in STAGE_EXAMPLES])
def test_the_examples_of_the_schema_are_valid(key: str, example: Any, tmp_path: Path) -> None:
    keys = {'cmd': 'x', 'outs': ['best.skops'], key: example}
    if key == 'argv':
        del keys['cmd']
    if key == 'matrix':
        keys['outs'] = ['${item.model}-${item.seed}']
    others = {name: {'cmd': 'x', 'outs': [f'{name}.o']} for name in ('train', 'migrate')}
    text = json.dumps({'stages': {'s': keys, **others}})
    found = made(tmp_path, {'pipeline.yaml': text, 'params.yaml': 'train: {lr: 1}\nseeds: [1, 2]\n'})
    assert len(found.stages) == (5 if key == 'matrix' else 3)


def test_a_thousand_stages_are_loaded_fast(tmp_path: Path) -> None:
    lines = '  s{0}:\n    cmd: python step.py {0}\n    deps: [in{0}.csv, step.py]\n    params: [lr]\n    outs: [out{0}.csv]\n'
    (tmp_path / 'pipeline.yaml').write_text('stages:\n' + ''.join(lines.format(number) for number in range(1000)))
    text = (tmp_path / 'pipeline.yaml').read_text()
    plain = importlib.import_module('mlops_cli.pipeline.load').load  # without what every test here adds to it
    plain(tmp_path, environ={})
    ours, library = [], []
    for _ in range(3):  # in turn: a machine that is slow is so for both
        begin = time.process_time()
        assert len(plain(tmp_path, environ={}).stages) == 1000
        ours.append(time.process_time() - begin)
        begin = time.process_time()
        yaml.load(text, yaml.SafeLoader)
        library.append(time.process_time() - begin)
    assert min(ours) < min(library)  # which reads it and checks nothing; ours took a quarter of that


@pytest.mark.parametrize(('written', 'size', 'hint'), [
    ('gpu_memory: 24', '24 bytes', 'did you mean 24GiB?'), ('memory: 16', '16 bytes', 'did you mean 16GiB?'),
    ('gpu_memory: "24"', '24 bytes', 'did you mean 24GiB?'),
    ('gpu_memory: 24k', '24576 bytes', 'write it with its unit, such as 8GiB'),
    ('memory: 0GiB', '0 bytes', 'write it with its unit, such as 8GiB'),
])  # fmt: skip
def test_memory_without_its_unit_is_refused(tmp_path: Path, written: str, size: str, hint: str) -> None:
    with pytest.raises(UserErrors) as caught:
        stage(tmp_path, f'cmd: x\nresources: {{{written}}}')
    (problem,) = caught.value.errors
    assert f'memory of {size}, which is too little for anything' in problem.message and problem.hint == hint
    assert problem.where == Where('pipeline.yaml', 4, 19 + written.index(':'))
