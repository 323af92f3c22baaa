"""The scratch folder: what is kept between runs, and old trees, which are renamed away and removed at the very end."""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from bench.errors import BenchError

PATIENCE = 300  # seconds
CALM = 1.3  # times what it took before
FILES = 100


def default_folder() -> Path:
    return Path(os.environ.get('MLOPS_BENCH_DIR') or '~/.cache/mlops-bench').expanduser()


class Places:
    """A mass delete makes ext4 slow at making files for minutes, so nothing is removed while anything is timed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.kept = self.folder / 'work'
        self.trash = self.folder / 'old'
        self.raw = self.folder / 'figures.jsonl'
        for path in (self.kept, self.trash, self.folder / 'home', self.folder / 'tools'):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder / 'lock', os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError(f'another bench/run is at work in {self.folder}; set MLOPS_BENCH_DIR for one beside it') from None
        self._count = sum(1 for _ in self.trash.iterdir())

    def put_aside(self, *paths: Path) -> None:
        """Take them out of the way; absent ones are none the worse."""
        for path in paths:
            if not os.path.lexists(path):
                continue
            while os.path.lexists(self.trash / str(self._count)):
                self._count += 1
            path.rename(self.trash / str(self._count))

    def drop(self) -> None:
        """Remove what was put aside, now: for few files that are large."""
        shutil.rmtree(self.trash, ignore_errors=True)
        self.trash.mkdir()

    def keep(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of that name, made once: a mark beside it says that making it came to its end."""
        folder, mark = self.kept / name, self.kept / f'{name}.made'
        if not mark.exists():
            self.put_aside(folder)
            folder.mkdir(parents=True)
            make(folder)
            mark.touch()
        return folder

    def spoil(self, name: str) -> None:
        """Have it made anew next time."""
        self.put_aside(self.kept / f'{name}.made')

    def remove_old(self) -> None:
        """And wait until files are made about as quickly as before, or five minutes: the medium is told of what was freed
        long after the names are gone, and the next run would be timed beside that."""
        usual = self._making()
        shutil.rmtree(self.trash, ignore_errors=True)
        self.trash.mkdir(exist_ok=True)
        os.sync()
        until = time.monotonic() + PATIENCE
        while self._making() > CALM * usual and time.monotonic() < until:
            time.sleep(5)

    def _making(self) -> float:
        """Seconds, the median of five times, that it takes to make some files and have them on the medium."""
        folder = self.folder / 'calm'
        taken = []
        for _ in range(5):
            shutil.rmtree(folder, ignore_errors=True)  # of one that was ended here
            begun = time.perf_counter()
            folder.mkdir()
            for number in range(FILES):
                with (folder / str(number)).open('wb') as file:
                    file.write(b'x')
                    os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
            shutil.rmtree(folder)
        return statistics.median(taken)
