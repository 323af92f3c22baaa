"""A machine with NVIDIA GPUs, as far as NVML tells: a library of ours in place of the driver's (nvml.c)."""
from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix('.c')
Steps = Sequence[tuple[float, float]]  # watts, from so many seconds after the epoch on


class Nvml:
    """``environ``: what a program needs to find it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which('gcc') is None:
            pytest.skip('no gcc, by which the stand-in for NVML is made')
        self.state = folder / 'state'
        made = folder / 'libnvidia-ml.so.1'
        state = f'-DSTATE="{self.state}"'  # for who is started with an environment that others choose
        subprocess.run(['gcc', '-shared', '-fPIC', '-O2', '-Wall', '-Werror', state, '-o', made, SOURCE], check=True)
        self.environ = {'LD_LIBRARY_PATH': str(folder), 'STAND_IN_NVML': str(self.state)}
        self._set: dict[str, str] = {}
        self.epoch = time.time()

    def set(self, **state: object) -> None:
        """Keys of nvml.c; ``util_1`` is that of card 1.  None: as it is by itself."""
        for name, value in state.items():
            key, _, card = name.rpartition('_')
            self._set[f'{key}.{card}' if card.isdigit() else name] = '' if value is None else str(value)
        text = ''.join(f'{key} {value}\n' for key, value in self._set.items() if value)
        beside = self.state.with_suffix('.new')
        beside.write_text(text)
        os.replace(beside, self.state)

    def draw(self, steps: Steps, card: int = 0) -> None:
        """From now on."""
        self.epoch = time.time()
        power = ','.join(f'{watts * 1000:.0f}@{seconds}' for watts, seconds in steps)
        self.set(**{'epoch': f'{self.epoch:.6f}', f'power_{card}': power})

    def joules(self, steps: Steps, begin: float, end: float) -> float:
        """What these add up to between two moments (Unix time)."""
        ends = [seconds for _, seconds in steps[1:]] + [float('inf')]
        begin, end = begin - self.epoch, end - self.epoch
        return sum(watts * max(0.0, min(end, until) - max(begin, since))
                   for (watts, since), until in zip(steps, ends, strict=True))


def uuid(card: int) -> str:
    return f'GPU-{card * 0x1111111:08x}-57a0-d111-0000-{card:012d}'
