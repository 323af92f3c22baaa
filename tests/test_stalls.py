"""What failed while the machine stood still is tried once more; nothing else is (tests/support/stalls.py)."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stalls import STALL, TICK, Watch

HERE = Path(__file__).resolve().parent.parent
SUITE = '''
import pytest
from tests.support import stalls

@pytest.fixture
def stood(request):
    watch = request.config.pluginmanager.get_plugin('stalls').watch
    return lambda: watch.saw(100, 0)

times = []

def test_once(stood, tmp_path):
    times.append(tmp_path)
    if len(times) == 1:
        (tmp_path / 'left').write_text('')
        stood()
    assert len(times) == 2 and not list(tmp_path.iterdir())

def test_again(stood):
    stood()
    assert not 'it fails again'

def test_without():
    times.append(0)
    assert len(times) == 4, 'the first time'

def test_passed(stood):
    stood()
'''


@pytest.mark.parametrize('processes', ['0', '2'])
def test_tried_once_more(tmp_path: Path, processes: str) -> None:
    (tmp_path / 'test_some.py').write_text(SUITE)
    (tmp_path / 'conftest.py').write_text(
        'from tests.support import stalls\n'
        'def pytest_configure(config): config.pluginmanager.register(stalls.Plugin(), "stalls")\n'
    )
    words = ['-m', 'pytest', '-n', processes, '--dist', 'loadfile', '-p', 'no:cacheprovider', '-q', '--rootdir', '.']
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, env={'PYTHONPATH': str(HERE)}, capture_output=True, text=True)
    assert '2 failed, 2 passed' in done.stdout, done.stdout + done.stderr
    assert 'the machine stood still' in done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith('100 s in ')]
    assert [line.rpartition('::')[2] for line in told] == ['test_once', 'test_again']


def test_what_is_a_stall() -> None:
    watch = Watch()
    watch.saw(TICK + STALL - 0.01, 0)  # a little late
    watch.saw(60, 59.5)  # it worked all the time, and did not let the thread have its turn
    assert watch.lost == 0
    watch.saw(120 + TICK, 0.01)
    assert watch.lost == pytest.approx(119.99)


def test_no_test_fails_by_how_long_a_made_up_example_takes() -> None:
    """Unless it says so itself: the library's own limit is 0.2 s on the wall, which any machine exceeds at times."""
    from hypothesis import HealthCheck, settings

    assert settings.default is not None and settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
