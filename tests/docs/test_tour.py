"""The README's commands do what it says."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from tests.docs.tour import BLOCK, ROOT, replay, same, typed

README = (ROOT / 'README.md').read_text()

PAGES = [str(path.relative_to(ROOT)) for path in (ROOT / 'README.md', *sorted(ROOT.glob('examples/*/README.md')),
                                                  *sorted(ROOT.glob('docs/**/*.md'))) if BLOCK.search(path.read_text())]
NEEDS = {'docs/howto/audit.md': ('strace', 'bwrap')}  # programs of the machine, which are no part of an installation


def test_the_pages_that_are_replayed() -> None:
    assert {'README.md', 'examples/digits/README.md', 'docs/tutorial.md', 'docs/howto/adopt-dvc.md'} <= set(PAGES)


def first_commands() -> list[str]:
    return re.findall(r'(?m)^```sh\n(.*?)^```$', README, re.DOTALL)[:2]


def test_the_first_two_commands_are_one_line_each_and_ci_calls_the_second() -> None:
    run, check = first_commands()
    assert run.count('\n') == check.count('\n') == 1
    assert 'mlops -C examples/digits run' in run
    assert (ROOT / '.ci/run').read_text().splitlines()[-1] == f'exec {check.strip()}'


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_first_command_works_in_a_fresh_clone_with_an_empty_home(tmp_path: Path) -> None:
    clone, home = tmp_path / 'a clone', tmp_path / 'home'
    home.mkdir()
    subprocess.run(['git', 'clone', '-q', str(ROOT), str(clone)], check=True)
    base = os.path.realpath(sys.executable)
    environ = {'PATH': os.path.dirname(base) + ':/usr/local/bin:/usr/bin:/bin', 'HOME': str(home), 'LC_ALL': 'C.UTF-8'}
    environ |= {name: value for name, value in os.environ.items() if name.startswith('PIP_') or name.endswith('_proxy')}
    command = first_commands()[0]
    done = subprocess.run(['sh', '-c', command], cwd=clone, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '8 done' in done.stdout
    assert (clone / 'examples/digits/best.skops').exists()


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize('name', PAGES)
def test_the_tours_output_is_what_comes_out(name: str) -> None:
    if missing := [program for program in NEEDS.get(name, ()) if which(program) is None]:
        pytest.skip(f'no {", ".join(missing)}')
    wrong = []
    for _, steps in replay((ROOT / name).read_text()):
        wrong += [f'$ {typed(command)}\n--- the page\n{old}--- now\n{new}' for command, old, new in steps if not same(old, new)]
        wrong += [f'$ {command}\n{new}' for command, _, new in steps if 'this is a bug of mlops' in new]
    assert not wrong, '\n'.join(wrong)
