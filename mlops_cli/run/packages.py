"""Fetches the packages of a lock file from an index, for a host that reaches none.

The lock file may be a stranger's, and the answer to "mlops hosts setup" was about the host alone.  So nothing of it is run
here: only packages of an index are asked for, and pip, which would run a package that has no wheel to learn what that needs,
can start no other program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.programs import find_program
from mlops_cli.job import environments
from mlops_cli.pipeline.spec import Environment
from mlops_cli.run.workbench import Workbench

FETCH_SECONDS = 1800.0
GLIBC_LEAST, GLIBC_MOST = 5, 99  # of the versions 2.x for which packages are built
LOCK_MOST = 64 << 20  # bytes of a lock file
SHOWN = 80  # characters of a line that is told
# A name with extras, versions and a condition; a direct address (``name @ address``) is none.
_PACKAGE = pattern(r'[A-Za-z0-9][A-Za-z0-9._-]*(\s*\[[A-Za-z0-9._,\s-]*\])?(\s*\(?[<>=!~][A-Za-z0-9.*+!_<>=~,\s-]*\)?)?'
                   r'''(\s*;[A-Za-z0-9_.\s'"<>=!~(),*+-]*)?''')  # fmt: skip
_WHEEL = pattern(r'(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<extras>\s*\[[A-Za-z0-9._,\s-]*\])?\s*@\s*https?://[^\s\'"\\$;]*/'
                 r'[A-Za-z0-9._]+-(?P<version>[A-Za-z0-9._+!%]+)-[^\s\'"\\$;/?#]+\.whl(?:#(?P<kind>[a-z0-9]+)=(?P<hash>[0-9a-f]+))?'
                 r'''(?P<condition>\s*;[A-Za-z0-9_.\s'"<>=!~(),*+-]*)?''')  # fmt: skip
_HASHES = pattern(r'(--hash[= ]\s*[a-z0-9]+:[0-9a-f]+\s*)*')
_SETTING = pattern(r'(--no-index|--pre|--require-hashes)|'
                   r'(-i|--index-url|--extra-index-url|-f|--find-links|--trusted-host)(=|\s+)[^\s\'"\\$]+')  # fmt: skip
_RULES = ('--pre', '--require-hashes')
_NEEDLESS = pattern(r'--prefer-binary|--only-binary(=|\s).*')  # only such are fetched in any case
_ENVIRONMENT_VARIABLE = pattern(r'\$\{[A-Z0-9_]+\}')
_COMMENT = pattern(r'(?:^|(?<=\s))#.*')
_OPTIONS = pattern(r'\s(?=-)')
# Of these it needs no answer to fetch a wheel, but for its user's own keeper of passwords, and what tells it its C library.
_PROGRAM = """\
import os, runpy, sys
STARTS = ('os.system', 'os.exec', 'os.fork', 'os.forkpty', 'os.posix_spawn', 'os.spawn', 'pty.spawn', 'subprocess.Popen')
def watch(event, arguments):
    if event in STARTS:
        name = os.path.basename(os.fsdecode(arguments[0])) if arguments else ''
        if name != 'keyring' and not name.startswith('ld-musl-'):
            raise OSError('there is a package that is no wheel, and what makes one of it is not run here')
sys.addaudithook(watch)
sys.argv[0] = 'pip'
runpy.run_module('pip', run_name='__main__', alter_sys=True)
"""


def fetched(bench: Workbench, environment: Environment, there: Mapping[str, Any]) -> tuple[ObjectRef, int]:
    """The packages for a host, as a folder in the store, and how many.  Raises UserError, OSError."""
    with tempfile.TemporaryDirectory(prefix='mlops-packages-') as place:
        os.mkdir(f'{place}/packages')
        data = read_file(bench.root, environment.path, LOCK_MOST)
        if environment.kind == 'uv':
            data = _exported(bench, environment.path, data, place)
        lines = wanted(data, environment.path)
        target, ahead = f'{place}/{environments.REQUIREMENTS}', f'{place}/packages/{environments.REQUIREMENTS}'
        for name, texts in ((target, [line.text for line in lines]), (ahead, [line.ahead for line in lines if line.ahead])):
            with open(name, 'w', encoding='utf-8') as file:
                file.writelines(f'{text}\n' for text in texts)
        words = [*_pip(bench), 'download', '--quiet', '--disable-pip-version-check', '--no-input', '--only-binary=:all:']
        _called([*words, *platform_words(there), '--dest', f'{place}/packages', '-r', target], place, _environ(bench), 'pip')
        count = len(os.listdir(f'{place}/packages')) - 1
        with Root(place) as root:
            return bench.store.add_path(root, 'packages').ref, count


def _exported(bench: Workbench, path: str, lock: bytes, place: str) -> bytes:
    """What a uv.lock stands for, as requirements.  As a host does it: of the two files alone, without the project around them,
    where an interpreter or settings of uv may lie."""
    program = find_program('uv', bench.environ.get('PATH'))
    if program is None:
        raise UserError('there is no uv on this machine, which says what is in its lock file', hint='pip install uv')
    os.mkdir(f'{place}/source')
    beside = os.path.join(os.path.dirname(path), 'pyproject.toml')
    for name, data in (('uv.lock', lock), ('pyproject.toml', read_file(bench.root, beside, LOCK_MOST))):
        with open(f'{place}/source/{name}', 'wb') as file:
            file.write(data)
    target = f'{place}/source/requirements.txt'
    words = [program, 'export', '--frozen', '--no-config', '--no-emit-project', '--no-header', '--quiet']
    _called([*words, '--output-file', target], f'{place}/source', _environ(bench), 'uv')
    with open(target, 'rb') as file:
        return file.read()


@dataclass(frozen=True, slots=True)
class Line:
    """Of a requirements file.  ``ahead``: what it is for who has the packages already; empty for where packages are."""

    text: str
    ahead: str


def wanted(data: bytes, path: str) -> list[Line]:
    """What a requirements file asks for, without what says nothing to us.  Raises UserError for what is no package of an index,
    nor a wheel."""
    try:
        text = data.decode('utf-8')
    except UnicodeDecodeError:
        raise UserError(f'{path} is not UTF-8', hint='write it in UTF-8, as pip does') from None
    found = []
    for number, line in _lines(text):
        if _NEEDLESS.fullmatch(line):
            continue
        where = f'{path}:{number}: {line[:SHOWN]}'
        if _ENVIRONMENT_VARIABLE.search(line):
            hint = 'its value would go to who is named there: set PIP_EXTRA_INDEX_URL, or pip config, and leave the line out'
            raise UserError(f'{where}: a variable of this machine', hint=hint)
        ahead = _ahead(line)
        if ahead is None:
            hint = 'what is no wheel would run on this machine to be fetched: make one of it, and name it or its folder'
            raise UserError(f'{where}: is no package of an index, and no wheel', hint=hint)
        found.append(Line(line, ahead))
    return found


def _ahead(line: str) -> str | None:
    """None for what is neither a setting nor a package."""
    if _SETTING.fullmatch(line):
        return line if line in _RULES else ''
    package, *options = _OPTIONS.split(f' {line}' if line.startswith('-') else line, 1)
    if not _HASHES.fullmatch(''.join(options).strip()):
        return None
    if wheel := _WHEEL.fullmatch(package.strip()):
        options += [f'--hash={wheel["kind"]}:{wheel["hash"]}'] if wheel['kind'] else []
        what = f'{wheel["name"]}{wheel["extras"] or ""}=={unquote(wheel["version"])}{wheel["condition"] or ""}'
        return ' '.join([what, *options])
    return line if _PACKAGE.fullmatch(package.strip()) else None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """As pip reads them: continued by a backslash, without comments."""
    parts: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        is_comment = line.lstrip().startswith('#')
        if line.endswith('\\') and not is_comment and number < len(lines):
            parts.append(line.strip('\\'))
            continue
        whole = _COMMENT.sub('', ''.join([*parts, f' {line}' if is_comment else line.rstrip('\\')])).strip()
        if whole:
            yield number - len(parts), whole
        parts = []


def _pip(bench: Workbench) -> list[str]:
    """How to start it."""
    import importlib.util

    if importlib.util.find_spec('pip') is not None:
        return [sys.executable, '-c', _PROGRAM]
    program = find_program('pip', bench.environ.get('PATH'))
    if program is not None and (python := _interpreter(program)):
        return [python, '-c', _PROGRAM]
    raise UserError('there is no pip on this machine to fetch packages with', hint=f'{sys.executable} -m ensurepip')


def _interpreter(program: str) -> str:
    """Of a script of Python's: the one that its first line names, or that lies beside it; empty where there is none."""
    with open(program, 'rb') as file:
        first = os.fsdecode(file.readline(1024)).strip()
    named = first[2:].strip() if first.startswith('#!') else ''
    beside = os.path.join(os.path.dirname(program), 'python3')
    found = [path for path in (named, beside) if os.path.isabs(path) and 'python' in os.path.basename(path)]
    return next((path for path in found if os.access(path, os.X_OK)), '')


def _environ(bench: Workbench) -> dict[str, str]:
    """Without folders of the project from which Python would take modules."""
    environ = {name: value for name, value in bench.environ.items() if name != 'PYTHONPATH'}
    project = os.path.realpath(bench.root.path)
    parts = [part for part in bench.environ.get('PYTHONPATH', '').split(os.pathsep) if os.path.isabs(part)]
    outside = [part for part in parts if os.path.commonpath([os.path.realpath(part), project]) != project]
    return {**environ, 'PYTHONSAFEPATH': '1'} | ({'PYTHONPATH': os.pathsep.join(outside)} if outside else {})


def platform_words(there: Mapping[str, Any]) -> list[str]:
    """For pip: which Python, machine and C library the host has.  Raises UserError for what is none."""
    version = str(there.get('python', '')).split('.')
    machine, libc = str(there.get('machine', '')), there.get('libc')
    is_python = len(version) >= 2 and all(part.isascii() and part.isdigit() and len(part) < 4 for part in version[:2])
    if not is_python or not machine.replace('_', '').isalnum() or len(machine) > SHOWN:
        raise UserError('the host does not say which Python it has', hint='mlops hosts check')
    minor = str(libc[1]).split('.')[1:2] if isinstance(libc, list) and len(libc) == 2 and libc[0] == 'glibc' else []
    tags = [f'musllinux_1_{number}_{machine}' for number in (2, 1)]
    if minor and minor[0].isascii() and minor[0].isdigit():
        latest = GLIBC_MOST if len(minor[0]) > 2 else int(minor[0])  # what a host says is not believed
        tags = [f'manylinux_2_{number}_{machine}' for number in range(latest, GLIBC_LEAST - 1, -1)]
        tags += [f'{old}_{machine}' for old in ('manylinux2014', 'manylinux2010', 'manylinux1')]
    found = ['--implementation', 'cp', '--python-version', '.'.join(version[:2])]
    for abi in (f'cp{version[0]}{version[1]}', 'abi3', 'none'):
        found += ['--abi', abi]
    for tag in [*tags, f'linux_{machine}']:
        found += ['--platform', tag]
    return found


def _called(words: Sequence[str], folder: str, environ: Mapping[str, str], name: str) -> None:
    """Raises UserError with its last words."""
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, errors='replace', timeout=FETCH_SECONDS, check=False,
            stdin=subprocess.DEVNULL, env=environ,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f'{name} does not answer: {error}') from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith('error') and not line.endswith('Exception:')]
        said = (errors or lines or ['it said nothing'])[-1][:300]
        raise UserError(
            f'the packages cannot be fetched: {name} ended with {done.returncode}: {said}',
            hint='does this machine reach an index of packages, and has it wheels for that host?',
            exit_code=ExitCode.UNREACHABLE,
        )
