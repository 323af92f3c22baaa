"""Several processes register, tag and promote in one worktree at the same moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.project import Project

PIPELINE = """\
version: 1
name: many
stages:
  train:
    matrix: {seed: [1, 2, 3, 4, 5, 6, 7, 8]}
    cmd: echo ${item.seed} > m${item.seed}.bin && echo '{"accuracy":0.${item.seed}}' > m${item.seed}.json
    outs: ['m${item.seed}.bin']
    metrics: ['m${item.seed}.json']
    model: {name: digits, path: 'm${item.seed}.bin'}
"""


def started(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, '-m', 'mlops_cli', 'models', *arguments], cwd=project.path, env=project.environ,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def ended(processes: list[subprocess.Popen[bytes]]) -> list[tuple[int, str]]:
    said = [process.communicate(timeout=120)[0].decode() for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def test_eight_processes_register_at_once(project: Project) -> None:
    project.write('pipeline.yaml', PIPELINE)
    project.mlops('run', '-q')
    project.commit('start')
    for code, text in ended([started(project, 'register', f'train@{seed}') for seed in range(1, 9)]):
        assert code == 0, text
    rows = project.mlops('models', 'list', 'digits', '--json').json['rows']
    assert sorted(row['number'] for row in rows) == list(range(1, 9)) and len({row['digest'] for row in rows}) == 8
    # the same model by all of them is one version; then they fight for an alias
    assert {code for code, _ in ended([started(project, 'register', 'train@3') for _ in range(4)])} == {0}
    assert len(list((project.path / '.mlops/models/digits/versions').iterdir())) == 8
    for code, text in ended([started(project, 'promote', f'digits@v{number}', 'prod') for number in range(1, 5)]):
        assert code == 0, text
    history = project.mlops('models', 'history', 'digits', '--alias', 'prod', '--json').json['rows']
    assert len(history) == 4 and [row['before'] for row in reversed(history)][1:] == [row['version'] for row in history][:0:-1]
    assert project.mlops('models', 'verify').out.endswith('sound.\n')
    assert not [name for name in os.listdir(project.path / '.mlops/local') if name.startswith('.tmp')]


def test_a_branch_that_nobody_trusts_executes_nothing(project: Project, tmp_path: Path) -> None:
    """Pickles, escapes, links and patterns in everything that is recorded; what is listed, shown and drawn does nothing."""
    from mlops_cli.core.digest import digest_of
    from mlops_cli.core.refs import ObjectRef
    from mlops_cli.records.models import Fact, Person, Version

    bomb = b'\x80\x04\x95\x1f\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x0ctouch pwned \x94\x85\x94R\x94.'
    digits = digest_of(bomb).hex
    project.write(f'.mlops/cache/objects-v1/{digits[:2]}/{digits[2:]}', bomb)
    evil = '\u202e[x](javascript:alert(1)) <img src=x onerror=alert(1)> | `$(touch pwned)` ::set-output name=x::y @team'
    person = Person('Eve\u202e ::error::x', 'eve@example.org')
    versions = [
        Version(
            'digits', number, 'out/$(touch pwned).bin', ObjectRef(digest_of(bomb), len(bomb), 'file'), '0' * 64, evil, person,
            '2026-11-20T10:00:00Z', (('t', digest_of(b'key'), '01234567'),), text=evil, metrics=(('a|b.json', evil[:40], 0.5),),
            params=((evil[:40], {'x': [evil]}),), data=(('../../etc/passwd', digest_of(b'x')),), commands=(('t', evil),),
            made={'run': '20261120T101522Z-7k2m9q4c', 'who': evil[:100]}, environment={'packages': {evil: evil}, 'x': 'y'},
        )
        for number in (1, 2)
    ]  # fmt: skip
    facts = [
        Fact('promotion', 'digits', versions[0].digest, person, '2026-11-20T10:00:01Z', 'prod', evil, 'promote', gates=(evil,)),
        Fact('note', 'digits', None, person, '2026-11-20T10:00:02Z', text=evil),
    ]
    project.write('pipeline.yaml', 'version: 1\nstages: {t: {cmd: touch pwned, always_changed: true}}\n')
    gate = "__import__('os').system('touch pwned') == 0"
    project.write('.mlops/config.yaml', f'models: {{digits: {{prod: {{gates: ["{gate}"]}}}}}}\n')
    for one in (*versions, *facts):
        project.write(one.file, one.encoded)
    (project.path / '.mlops/models/linked').symlink_to(tmp_path)
    (tmp_path / 'versions').mkdir()
    project.commit('trust me')
    before = {path: path.read_bytes() for path in (project.path / '.mlops/models').rglob('*.json')}
    around = sorted(tmp_path.rglob('*'))
    environ = {'GITHUB_ACTIONS': 'true', 'COLUMNS': '120'}
    for command in ('list', 'show digits@v1', 'diff digits@v1 digits@v2', 'history digits', 'card digits@v1', 'verify',
                    'show digits@v1 --json', 'list --json'):  # fmt: skip
        said = project.mlops('models', *command.split(), environ=environ, code=None)
        assert said.code in (0, 1), said
        assert not said.err.startswith('Traceback') and '\x1b' not in said.out + said.err
        if '--json' not in command:
            assert '\u202e' not in said.out
            assert not any(line.lstrip().startswith('::') for line in said.out.splitlines())
    card = project.mlops('models', 'card', 'digits@v1').out
    assert '<img' not in card.replace('\\<', '') and '](' not in card and '\n|' in card
    assert 'pickle' in project.mlops('models', 'show', 'digits@v1').out
    refused = project.mlops('models', 'get', 'digits@prod', 'there', code=None)
    assert refused.code == 1 and 'gate FAILED' in refused.err and not project.exists('there')
    assert not project.exists('pwned') and {path: path.read_bytes() for path in before} == before
    assert [path for path in sorted(tmp_path.rglob('*')) if path not in around and 'project/' not in str(path)] == []
