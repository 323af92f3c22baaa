"""What the last line of a growing file says."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import pytest

from mlops_cli.core.events import StageProgress
from mlops_cli.fsio.paths import Root
from mlops_cli.run.progress import FIGURES, PERIOD, TAIL_BYTES, Watch, read


def told(tmp_path: Path, text: str | bytes, name: str = 'p.jsonl', since: float = 0.0) -> StageProgress | None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with Root(tmp_path) as root:
        return read(root, 's', name, since, str)


def figures(tmp_path: Path, text: str | bytes, name: str = 'p.jsonl') -> list[tuple[str, object]]:
    found = told(tmp_path, text, name)
    return list(found.figures) if found else []


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('{"loss": 0.5, "epoch": 7}\n', [('epoch', 7), ('loss', 0.5)]),
        ('{"epoch": 6}\n{"epoch": 7, "loss": 0.412}\n', [('epoch', 7), ('loss', 0.412)]),
        ('{"epoch": 6}\n{"epoch": 7, "lo', [('epoch', 6)]),  # half a line
        ('{"epoch": 6}\n{"epoch": 7}', [('epoch', 7)]),  # a whole one that has no end yet
        ('{"epoch": 6}\n\n  \n', [('epoch', 6)]),
        ('{"epoch": 6}\nnoise\n[1]\n3\n', [('epoch', 6)]),
        ('{"step": 5, "epoch": 1, "loss": 2}\n', [('epoch', 1), ('step', 5), ('loss', 2)]),
        ('{"global_step": 5, "time": 17.5, "lr": 1e-4}\n', [('global_step', 5), ('lr', 1e-4)]),
        ('{"train": {"loss": 1, "acc": {"top": {"one": 1}}}, "ok": true, "x": null, "l": [1]}\n', [('train.loss', 1)]),
        ('{"phase": "warming up", "done": 3}\n', [('done', 3), ('phase', 'warming up')]),
        ('{"loss": NaN, "epoch": 1}\r\n', [('epoch', 1), ('loss', pytest.approx(math.nan, nan_ok=True))]),
        ('{"n": 1' + '0' * 400 + '}\n', [('n', math.inf)]),
        ('{}\n', []),
        ('[' * 100_000, []),
        ('', []),
        (b'\xff\xfe\n', []),
    ],
)
def test_lines_of_json(tmp_path: Path, text: str | bytes, found: list[tuple[str, object]]) -> None:
    assert figures(tmp_path, text) == found


@pytest.mark.parametrize(
    ('name', 'text', 'found'),
    [
        ('p.csv', 'loss,epoch\n0.5,7\n', [('epoch', 7), ('loss', 0.5)]),
        ('p.csv', 'epoch,loss\n6,0.5\n7,0.4', [('epoch', 6), ('loss', 0.5)]),  # 0.4 may be half of 0.412
        ('p.csv', 'epoch,loss\n7', []),
        ('p.csv', 'epoch,loss\n', []),
        ('p.csv', 'epoch,los', []),
        ('p.csv', 'epoch;loss\n7;0,5\n', [('epoch', 7), ('loss', 0.5)]),
        ('p.csv', 'epoch\tloss\n7\t0.5\n', [('epoch', 7), ('loss', 0.5)]),
        ('p.csv', 'epoch;"loss, mean"\n7;0.5\n', [('epoch', 7), ('loss, mean', 0.5)]),
        ('p.tsv', 'epoch\tloss\n7\t0.5\n', [('epoch', 7), ('loss', 0.5)]),
        ('p.csv', '\ufeffepoch,"loss, mean"\r\n7,0.5\r\n', [('epoch', 7), ('loss, mean', 0.5)]),
        ('p.csv', 'epoch,loss\n7,0.5\n8\n', [('epoch', 7), ('loss', 0.5)]),
        ('p.csv', 'epoch,loss,\n7,,3\n', [('epoch', 7), ('3', 3)]),
    ],
)
def test_rows_of_a_table(tmp_path: Path, name: str, text: str, found: list[tuple[str, object]]) -> None:
    assert figures(tmp_path, text, name) == found


@pytest.mark.parametrize(
    ('text', 'done', 'total'),
    [
        ('{"epoch": 7, "epochs": 40, "loss": 1}', 7, 40),
        ('{"epoch": 7, "of": 40}', 7, 40),
        ('{"Epoch": 7, "Total": 40}', 7, 40),
        ('{"epoch": 1, "step": 5, "max_steps": 100}', 5, 100),
        ('{"epoch": 1, "epochs": 3, "step": 5, "steps": 100}', 1, 3),
        ('{"epoch": 7}', None, None),
        ('{"total": 40}', None, None),
        ('{"epoch": 7, "epochs": "many"}', None, None),
        ('{"epoch": -1, "epochs": 3}', None, None),
        ('{"epoch": NaN, "epochs": 3}', None, None),
    ],
)
def test_how_far_of_how_much(tmp_path: Path, text: str, done: float | None, total: float | None) -> None:
    found = told(tmp_path, text + '\n')
    assert found is not None and (found.done, found.total) == (done, total)
    if total is not None:
        assert found.figures[0][1] == done and str(int(total)) not in [str(value) for _, value in found.figures]


def test_of_a_large_file_only_the_end_is_read(tmp_path: Path) -> None:
    (tmp_path / 'p.csv').write_text('epoch,loss\n' + '1,0.5\n' * TAIL_BYTES + '2,0.25\n')
    with Root(tmp_path) as root:
        found = read(root, 's', 'p.csv', 0.0, str)
    assert found is not None and dict(found.figures) == {'epoch': 2, 'loss': 0.25}
    assert figures(tmp_path, '{"a": "' + 'x' * 2 * TAIL_BYTES + '"}\n') == []
    assert len(figures(tmp_path, '{' + ', '.join(f'"a{n}": {n}' for n in range(99)) + '}\n')) == FIGURES


def test_what_another_attempt_left_says_nothing(tmp_path: Path) -> None:
    assert told(tmp_path, '{"epoch": 40}\n', since=time.time() + 60) is None
    assert told(tmp_path, '{"epoch": 40}\n', since=time.time() - 60) is not None


def test_what_is_no_file_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.jsonl')
    (tmp_path / 'folder.jsonl').mkdir()
    (tmp_path / 'link.jsonl').symlink_to('/etc/passwd')
    with Root(tmp_path) as root:
        for name in ('pipe.jsonl', 'folder.jsonl', 'link.jsonl', 'absent.jsonl', 'no/such.jsonl'):
            assert read(root, 's', name, 0.0, str) is None


def test_secrets_are_told_by_nothing(tmp_path: Path) -> None:
    """Neither in values nor in names, nor where a text is cut off within one."""
    line = {'epoch': 1, 'url': f'{"x" * 50}SECRET-VALUE', 'state': 'SECRET-VALUE', 'the SECRET-VALUE': 3}
    (tmp_path / 'p.jsonl').write_text(json.dumps(line))
    with Root(tmp_path) as root:
        found = read(root, 's', 'p.jsonl', 0.0, lambda text: text.replace('SECRET-VALUE', '[secret]'))
    assert found is not None
    assert found.figures == (('epoch', 1), ('url', f'{"x" * 50}[secret]'), ('state', '[secret]'), ('the [secret]', 3))


def test_a_watch_tells_what_is_new_once_a_second_at_most(tmp_path: Path) -> None:
    with Root(tmp_path) as root:
        watch = Watch(root, str)
        assert watch.look(0.0) == ()
        watch.begin('s', 'p.jsonl', 0.0)
        watch.begin('without', '', 0.0)
        assert watch.look(10.0) == []
        (tmp_path / 'p.jsonl').write_text('{"epoch": 1}\n')
        assert watch.look(10.0 + PERIOD / 2) == ()
        assert watch.look(10.0 + PERIOD) == [StageProgress('s', (('epoch', 1),))]
        assert watch.look(10.0 + 2 * PERIOD) == []
        watch.end('s')
        watch.end('s')
        assert watch.look(99.0) == ()
