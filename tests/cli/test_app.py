"""The command line itself: help, unknown words, exit codes, errors.  In this process, where it can be without a project."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from mlops_cli import __version__
from mlops_cli.cli import app, context, exits, failures, tree
from mlops_cli.cli.commands import run as run_command
from mlops_cli.core.errors import ExitCode, UserError, UserErrors, Where
from tests.cli.values import ended, plan, report, settled, step


def _typed() -> list[list[str]]:
    """The words of every command, those of groups too."""
    group = typer.main.get_command(tree.app)
    found: list[list[str]] = []
    for name in app.COMMANDS:
        command = group.get_command(None, name)  # type: ignore[attr-defined, arg-type]
        inner = getattr(command, 'commands', None)
        found += [[name, one] for one in inner] if inner else [[name]]
    return found


COMMANDS = _typed()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mlops(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code = app.run(arguments)
    found = capsys.readouterr()
    return code, found.out, found.err


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
@pytest.mark.parametrize('flag', ['-h', '--help'])
def test_help_of_every_command(capsys, command: list[str], flag: str) -> None:
    code, out, err = mlops(capsys, *command, flag)
    assert code == 0 and not err
    usage, _, sentence, *_ = out.splitlines()
    assert usage.startswith(f'Usage: mlops {" ".join(command)} ')
    assert sentence.strip() and sentence.strip()[0].isupper()
    assert '  Example:  mlops ' in out
    assert '  Exit codes: 0 ' in out and ' 2 wrong input' in ' '.join(out.split())
    for option in ('-C DIR', '-q, --quiet', '-v, --verbose', '-h, --help'):
        assert option in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize('command', COMMANDS, ids=' '.join)
def test_every_command_that_reports_takes_json(capsys, command: list[str]) -> None:
    assert '--json' in mlops(capsys, *command, '-h')[1]


@pytest.mark.parametrize('arguments', [['-h'], ['--help']])
def test_the_overview(capsys, arguments: list[str]) -> None:
    code, out, err = mlops(capsys, *arguments)
    assert code == 0 and not err
    assert all(f'  {name} ' in out for name in app.COMMANDS)
    assert max(map(len, out.splitlines())) <= 80


def test_runs_alone_shows_its_commands(capsys) -> None:
    code, out, err = mlops(capsys, 'runs')
    assert code == 0 and not err and all(f'  {name} ' in out for name in ('list', 'show', 'apply'))


@pytest.mark.parametrize('flag', ['--version', '-V'])
def test_version(capsys, flag: str) -> None:
    assert mlops(capsys, flag) == (0, f'mlops {__version__}\n', '')


@pytest.mark.parametrize(
    ('arguments', 'message', 'hint'),
    [
        (['repro'], "there is no command 'repro'", 'here it is called: mlops run'),
        (['dag'], "there is no command 'dag'", 'here it is called: mlops graph'),
        (['exp', 'show'], "there is no command 'exp show'", 'here it is called: mlops runs list'),
        (['exp', 'run', '-S', 'a=1'], "there is no command 'exp run'", 'here it is called: mlops run --set KEY=VALUE'),
        (['exp', 'whatever'], "there is no command 'exp'", 'here it is called: mlops runs list'),
        (
            ['stage', 'add'],
            "there is no command 'stage add'",
            'a stage is written into pipeline.yaml: stages: {NAME: {cmd: COMMAND, outs: [FILE]}}',
        ),
        (['params', 'diff'], "there is no command 'params diff'", 'here it is called: mlops runs diff'),
        (
            ['clean'],
            "there is no command 'clean'",
            'here it is called: mlops gc',
        ),
        (
            ['diff'],
            "there is no command 'diff'",
            'mlops runs diff compares runs or states, mlops metrics diff their numbers; mlops plan says what would run',
        ),
        (['list'], "there is no command 'list'", 'here it is called: mlops runs list'),
        (['show', 'x'], "there is no command 'show'", 'here it is called: mlops runs show'),
        (['watch'], "there is no command 'watch'", 'here it is called: mlops runs attach'),
        (['lineage', 'model.pkl'], "mlops lineage has no command 'model.pkl'", 'say: mlops lineage upstream model.pkl'),
        (['lineage', 'upstrem', 'x'], "mlops lineage has no command 'upstrem'", 'did you mean: mlops lineage upstream'),
        (['commit'], "there is no command 'commit'", 'here it is called: mlops accept STAGE --reason TEXT'),
        (['sttaus'], "mlops has no command 'sttaus'", 'did you mean: mlops status'),
        (['quux'], "mlops has no command 'quux'", 'mlops -h lists them all'),
        (['runs', 'lits'], "mlops runs has no command 'lits'", 'did you mean: mlops runs list'),
        (['run', '--forse'], 'mlops run has no option --forse', 'did you mean --force?'),
        (['run', '--zzz'], 'mlops run has no option --zzz', 'mlops run -h shows the options'),
        (['--qiet'], 'mlops has no option --qiet', 'did you mean --quiet?'),
        (['run', '-j', 'x'], "--jobs / -j: 'x' is not a whole number", 'mlops run -h shows the options'),
        (['run', '-j', '-1'], '--jobs / -j: -1 is not in the range x>=0', 'mlops run -h shows the options'),
        (['run', '-j'], "option '-j' requires an argument", 'mlops run -h shows the options'),
        (['run', '--isolate', 'box'], "--isolate: 'box' is not one of 'none', 'folder', 'sandbox', 'sandbox-with-network'",
         'mlops run -h shows the options'),
        (['run', '--lock-timeout', 'x'], "--lock-timeout: 'x' is not a number", 'mlops run -h shows the options'),
        (['logs'], 'STAGE is missing', 'mlops logs STAGE   (mlops logs -h shows more)'),
        (['models', 'approve', 'digits@v1'], 'ALIAS is missing',
         'mlops models approve MODEL ALIAS   (mlops models approve -h shows more)'),
        (['add'], 'PATH... is missing', 'mlops add PATH...   (mlops add -h shows more)'),
        (['logs', 'a', 'b'], 'mlops logs has no use for b', 'mlops logs -h shows the options'),
        (['-C', 'nowhere', 'status'], '-C nowhere: No such file or directory', 'name a folder that exists'),
        (['status', '-C', 'nowhere'], '-C nowhere: No such file or directory', 'name a folder that exists'),
        (['verify', '--sample', '9/3'], "--sample '9/3' is neither N/T nor X%", 'such as --sample 2/7 or --sample 10%'),
    ],
)
def test_what_is_wrong_is_told_with_a_way_on(capsys, arguments: list[str], message: str, hint: str) -> None:
    code, out, err = mlops(capsys, *arguments)
    assert (code, out) == (2, '')
    assert err == f'error: {message}\n  hint: {hint}\n'


@pytest.mark.parametrize('arguments', [['status', '--json'], ['run', '--json', '--forse'], ['runs', 'list', '--json']])
def test_errors_are_documents_where_json_was_asked_for(capsys, arguments: list[str]) -> None:
    code, out, err = mlops(capsys, *arguments)
    found = json.loads(out)
    assert not err and code == found['code'] == 2
    assert set(found) == {'schema', 'code', 'message', 'hint', 'where'} and found['schema'] == 'mlops/error/v1'


def told(capsys: Any, error: Exception, *, json_asked: bool = False) -> tuple[int, str, str]:
    def call() -> None:
        raise error

    code = failures.guarded(call, ['--json'] if json_asked else [])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_several_errors_are_all_told_and_the_gravest_counts(capsys) -> None:
    where = Where('pipeline.yaml', 3, 5)
    errors = UserErrors(
        [
            UserError('one', where=where, hint='mend it'),
            UserError('two', exit_code=ExitCode.MACHINE),
            UserError('three', exit_code=ExitCode.REFUSED),
        ]
    )
    code, _, err = told(capsys, errors)
    assert code == ExitCode.REFUSED
    assert err == 'error: pipeline.yaml:3:5: one\n  hint: mend it\nerror: two\nerror: three\n'
    code, out, _ = told(capsys, errors, json_asked=True)
    found = json.loads(out)
    assert found['where'] == {'file': 'pipeline.yaml', 'line': 3, 'column': 5} and len(found['more']) == 2


@pytest.mark.parametrize(
    ('codes', 'first'),
    [
        ([1, 6], 6),
        ([1, 5, 6], 5),
        ([4, 1], 1),
        ([6, 130], 130),
        ([143, 5], 143),
        ([2, 2], 2),
        ([11], 11),
    ],
)
def test_of_several_causes_one_counts(codes: list[int], first: int) -> None:
    assert exits.first([ExitCode(code) for code in codes]) == first


def test_a_bug_is_ours_and_leaves_a_log(capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    code, _, err = told(capsys, KeyError('x'))
    assert code == 70 and 'this is a bug of mlops' in err
    path = Path(err.split('attach ')[1].strip())
    assert 'KeyError' in path.read_text() and path.stat().st_mode & 0o077 == 0


def test_a_machine_that_fails(capsys) -> None:
    code, _, err = told(capsys, OSError(28, 'No space left on device', '/x/y'))
    assert code == 6 and '/x/y' in err


def test_interruption(capsys) -> None:
    assert told(capsys, KeyboardInterrupt())[0] == 130  # type: ignore[arg-type]


def test_the_exit_code_of_a_run() -> None:
    of = plan(step('prepare', 'run'))
    good, bad = settled(ended('prepare')), settled(ended('prepare', 'failed'))
    assert report(of, good).exit_code == 0
    assert report(of, bad, 'failed').exit_code == 1
    assert report(of, bad, 'interrupted').exit_code == 130
    assert replace(report(of, bad, 'interrupted'), stopped_by=15).exit_code == 143
    assert replace(report(of, bad, 'interrupted'), stopped_by=1).exit_code == 129


def test_global_options_stand_before_or_behind(capsys, tmp_path) -> None:
    (tmp_path / 'here').mkdir()
    for arguments in (['-C', 'here', 'status'], ['status', '-C', 'here'], ['-q', 'status', '-C', 'here', '-v']):
        code, _, err = mlops(capsys, *arguments)
        assert code == 2 and f'no pipeline.yaml in {tmp_path}/here' in err
        os.chdir(tmp_path)
    assert context.current.quiet and context.current.verbose


def test_the_documents_of_run_have_a_name_of_their_own() -> None:
    assert run_command.EXITS.startswith('Exit codes: 0 done, 1 a stage failed, 2 wrong input')


def test_names_of_files_that_cannot_be_shown_end_nothing(capsys) -> None:
    code, _, err = told(capsys, UserError('\udcff\x1b[2J is no file'))
    assert code == 2 and err == 'error: \ufffd\ufffd[2J is no file\n'


@pytest.mark.parametrize(
    'arguments',
    [
        ['--yes', '--lock-timeout', '2', 'init', '--list'],
        ['init', '--list', '--yes', '--lock-timeout', '2'],
        ['config', 'list', '--lock-timeout=2', '--yes'],
    ],
)
def test_what_is_asked_and_waited_for_stands_before_or_behind(capsys, arguments: list[str]) -> None:
    assert mlops(capsys, *arguments)[0] == 0
    assert context.current.yes and context.current.lock_timeout == 2.0
    assert mlops(capsys, 'init', '--list')[0] == 0
    assert not context.current.yes and context.current.lock_timeout is None


def test_variables_stand_for_them(capsys, monkeypatch) -> None:
    monkeypatch.setenv('MLOPS_YES', '1')
    monkeypatch.setenv('MLOPS_LOCK_TIMEOUT', '0.5')
    assert mlops(capsys, 'init', '--list')[0] == 0
    assert context.current.yes and context.current.lock_timeout == 0.5
    context.wait_at_most(None)


@pytest.mark.parametrize('name', ['runs', 'metrics', 'plots', 'config'])
def test_what_a_group_holds_is_told_in_whole_sentences(name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    assert app.run([name, '-h']) == 0
    text = capsys.readouterr().out
    assert '...' not in text.partition('Commands:')[2] and all(len(line) <= 80 for line in text.splitlines())
