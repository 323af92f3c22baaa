"""What bench/run concludes from its figures, and that it times what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bench import report, work
from bench.bounds import Bound, Measure, Race, judge
from bench.errors import BenchError
from bench.measure import Contender, Sample, Timed, Timer
from bench.places import Places
from bench.program import main
from bench.rows import ROWS
from bench.tools import Tools

PLACE = Path()


def contender(name: str, code: str = '', expect: str = '') -> Contender:
    return Contender(name, (sys.executable, '-I', '-S', '-c', code), PLACE, expect=expect)


def timed(name: str, *walls: float, cut: bool = False) -> Timed:
    return Timed(contender(name), [Sample(wall, wall, 30, cut) for wall in walls])


@pytest.fixture
def timer(tmp_path: Path) -> Timer:
    return Timer(os.environ, tmp_path / 'said')


def race(*bounds: Bound) -> Race:
    return Race((), bounds)


def test_the_verdict_is_the_median_of_the_ratios_of_each_round() -> None:
    # The medians are 3 and 2; in each round the machine was as slow for one as for the other, but for the last.
    [found] = judge('row', race(Bound('a', 'b', 1.2)), [timed('a', 1, 3, 30), timed('b', 1, 2, 30)], {})
    assert (found.medians, found.paired, found.low, found.high) == (1.5, 1, 1, 1.5)
    assert found.verdict == 'within'
    [found] = judge('row', race(Bound('a', 'b', 0.9)), [timed('a', 1, 3, 30), timed('b', 1, 2, 30)], {})
    assert found.verdict == 'OVER'


def test_a_bound_to_a_peer_that_is_not_there_is_neither_kept_nor_passed() -> None:
    [found] = judge('row', race(Bound('a', 'b', 1)), [timed('a', 1, 2, 3)], {})
    assert found.verdict == 'no peer'
    assert found.within is None
    assert report.cells(found)[:4] == ('a', '2.00 s', 'b', '')


def test_growth_is_the_ratio_over_how_much_more_there_is_to_do() -> None:
    [found] = judge('row', race(Bound('a', 'b', 1, scale=10)), [timed('a', 8, 8), timed('b', 1, 1)], {})
    assert found.paired == pytest.approx(0.8)
    assert 'per stage: / 10' in ' '.join(report.cells(found))


def test_seconds_beyond_and_memory_are_judged_as_such() -> None:
    bounds = Bound('a', 'b', 0.1, Measure.BEYOND), Bound('a', '', 64, Measure.MEMORY)
    beyond, memory = judge('row', race(*bounds), [timed('a', 0.25), timed('b', 0.125)], {'a': 60})
    assert (beyond.paired, beyond.verdict, beyond.bound.text) == (0.125, 'OVER', '+100 ms')
    assert (memory.paired, memory.verdict, memory.bound.text) == (60, 'within', '64 MiB')


def test_a_peer_that_was_ended_early_is_said_to_take_longer() -> None:
    [found] = judge('row', race(Bound('a', 'b', 0.5)), [timed('a', 1), timed('b', 900, cut=True)], {})
    assert report.cells(found)[3] == 'over 900 s'


def test_rounds_are_interleaved_and_the_first_is_not_counted(timer: Timer, tmp_path: Path) -> None:
    order = tmp_path / 'order'

    def noting(name: str) -> Contender:
        return Contender(name, ('sh', '-c', f'echo {name} >> {order}'), tmp_path)

    found = timer.race([noting('a'), noting('b')], 2)
    assert order.read_text().split() == ['a', 'b'] * 3
    assert [len(one.samples) for one in found] == [2, 2]


def test_no_error_is_timed_as_an_answer(timer: Timer) -> None:
    timer.once(contender('right', 'print(42)', expect='42'))
    with pytest.raises(BenchError, match="did not say '43'"):
        timer.once(contender('wrong', 'print(42)', expect='43'))
    with pytest.raises(BenchError, match='ended with code 3'):
        timer.once(contender('failed', 'raise SystemExit(3)'))


def test_what_takes_too_long_is_ended_and_left_out_of_later_rounds(tmp_path: Path) -> None:
    timer = Timer(os.environ, tmp_path / 'said', limit=2)
    slow = Contender('slow', ('sh', '-c', 'echo x >> began; sleep 60'), tmp_path)
    [found] = timer.race([slow], 3)
    assert (tmp_path / 'began').read_text() == 'x\n'
    assert len(found.samples) == 3
    assert found.cut
    assert 2 <= found.samples[0].wall < 30


def test_processor_time_and_memory_are_those_of_grandchildren_too(timer: Timer) -> None:
    burn = 'x = bytearray(60 << 20); t = __import__("time"); e = t.process_time() + .1\nwhile t.process_time() < e: pass'
    child = f'import subprocess, sys; subprocess.run([sys.executable, "-I", "-S", "-c", {burn!r}])'
    sample = timer.once(contender('parent', child))
    assert sample.cpu >= 0.1
    assert sample.peak >= 60
    assert sample.wall >= 0.1


def test_memory_of_its_own_leaves_mapped_files_out(timer: Timer, tmp_path: Path) -> None:
    file = tmp_path / 'big'
    file.write_bytes(bytes(64 << 20))
    code = f'import mmap, time; f = open({str(file)!r}); m = mmap.mmap(f.fileno(), 0, access=1); sum(m[::4096]); time.sleep(.1)'
    assert timer.private_peak(Contender('maps', (sys.executable, '-I', '-c', code), tmp_path)) < 40
    code = 'import time; x = bytearray(b"x") * (64 << 20); time.sleep(1)'
    assert timer.private_peak(Contender('holds', (sys.executable, '-I', '-c', code), tmp_path)) > 60


def test_every_tool_gets_the_same_graph(tmp_path: Path) -> None:
    for tool in work.FILES:
        work.pipeline(tool, 50, tmp_path / tool)
    wanted = {one.name: (one.command, list(one.deps), [one.out]) for one in work.stages(50)}
    for file in ('mlops/pipeline.yaml', 'dvc/dvc.yaml'):
        found = yaml.safe_load((tmp_path / file).read_text())['stages']
        assert {name: (one['cmd'], one['deps'], one['outs']) for name, one in found.items()} == wanted
    for one in work.stages(50):
        assert f'{one.out}: {" ".join(one.deps)}\n\t@{one.command}\n' in (tmp_path / 'make/Makefile').read_text()
        assert f'build {one.out}: cp {" ".join(one.deps)}\n' in (tmp_path / 'ninja/build.ninja').read_text()
    assert max(len(one.above) for one in work.stages(50)) == 2
    assert {path.name for path in (tmp_path / 'mlops/src').iterdir()} == {f'{number}.txt' for number in range(50)}


def test_old_trees_are_renamed_away_and_removed_at_the_end(tmp_path: Path) -> None:
    places = Places(tmp_path / 'scratch')
    for text in ('first', 'second'):
        tree = tmp_path / 'scratch/tree'
        tree.mkdir()
        (tree / 'file').write_text(text)
        places.put_aside(tree, tmp_path / 'absent')
        assert not tree.exists()
    assert sorted(path.read_text() for path in places.trash.glob('*/file')) == ['first', 'second']
    places.remove_old()
    assert not list(places.trash.iterdir())


def test_what_was_half_made_is_made_anew(tmp_path: Path) -> None:
    places = Places(tmp_path)

    def half(folder: Path) -> None:
        (folder / 'half').touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        places.keep('work', half)
    folder = places.keep('work', lambda folder: (folder / 'whole').touch())
    assert [path.name for path in folder.iterdir()] == ['whole']
    assert places.keep('work', half) == folder


def test_two_at_once_would_disturb_each_other(tmp_path: Path) -> None:
    first = Places(tmp_path)
    with pytest.raises(BenchError, match='another bench/run'):
        Places(tmp_path)
    del first


def test_a_tool_that_cannot_be_had_is_told_of(tmp_path: Path) -> None:
    tools = Tools(Places(tmp_path), {'PATH': str(tmp_path)})
    assert tools.get('make') is None
    assert tools.absent == {'make': 'make is not on this machine'}


def test_the_readme_is_written_between_its_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = tmp_path / 'README.md'
    readme.write_text(f'before\n{report.BEGIN}\nold\n{report.END}\nafter\n')
    monkeypatch.setattr(report, 'README', readme)
    runs = [timed('a', 1, 2, 3), timed('b', 2, 2, 2)]
    found = judge('row', race(Bound('a', 'b', 1)), runs, {})
    report.write_readme([('row', 'some work')], found, [('row', runs)], Tools(Places(tmp_path / 's'), {'PATH': ''}), 'here.')
    text = readme.read_text()
    assert text.startswith('before\n') and text.endswith(f'{report.END}\nafter\n')
    assert '| row | some work | a | 2.00 s | b | 2.00 s | 1.00 | 1.00 | 0.50..1.50 | 1x | within |' in text
    assert 'old' not in text.replace('unfold', '')
    rows = [line.count('|') for line in text.splitlines() if line.startswith('| row')]
    assert rows


def test_the_readme_describes_every_row_and_has_its_marks() -> None:
    text = report.README.read_text()
    assert report.BEGIN in text and report.END in text
    for row in ROWS:
        assert f'`{row.name}`' in text, row.name


def test_the_program_lists_its_rows_and_names_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--list']) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [*(row.name for row in ROWS), 'memory']
    with pytest.raises(SystemExit):
        main(['nop-1000'])
    assert 'no row nop-1000' in capsys.readouterr().err


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    script = report.README.parent / 'run'
    done = subprocess.run([sys.executable, str(script), '--list'], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert 'noop-1000' in done.stdout
    assert os.access(script, os.X_OK)
    assert json.dumps(done.stderr) == '""'
