"""Which GPUs a machine has: as NVML says, else nvidia-smi, else the kernel; and which of them are for us."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.core.errors import UserError
from mlops_cli.job import cards
from mlops_cli.usage import gpu
from mlops_cli.usage.gpu import Card
from tests.servers.nvml import Nvml, uuid

FOUR = [Card(f'GPU-{letter}{letter}aa-0') for letter in 'abcd']


@pytest.fixture(autouse=True)
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of this machine, if there is one, is no business of these tests."""
    def absent() -> None:
        raise gpu.Absent('not here')

    monkeypatch.setattr(gpu, 'opened', absent)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)


@pytest.mark.parametrize(
    ('chosen', 'letters'),
    [
        (None, 'abcd'), ('', ''), ('2', 'c'), ('3,1', 'db'), (' 0 , 2 ', 'ac'), ('-1', ''), ('1,-1,2', 'b'), ('7', ''),
        ('1,7,2', 'b'), ('NoDevFiles', ''), ('1,1', 'b'), ('²', ''), ('GPU-dd,GPU-aa', 'da'), ('GPU-ccaa-0,0', 'ca'),
        ('GPU-', ''), ('GPU-ee,0', ''), ('0,GPU-aa', 'a'),
    ],
)  # fmt: skip
def test_those_that_cuda_would_show(chosen: str | None, letters: str) -> None:
    assert [card.uuid[4] for card in cards.visible(FOUR, chosen)] == list(letters)


def test_parts_of_a_card_and_cards_that_do_not_answer() -> None:
    assert cards.visible(FOUR, 'MIG-1c,1') == [Card('MIG-1c'), FOUR[1]]
    assert cards.visible(FOUR, '1,MIG-1c,0', lambda _: None) == [FOUR[1]], 'the driver knows no such part'
    assert cards.visible([], 'MIG-1c') == [] == cards.visible([], '0')
    lost = [Card(''), *FOUR]
    assert cards.visible(lost, None) == FOUR and cards.visible(lost, '1') == FOUR[:1] and cards.visible(lost, '0,1') == []
    numbered = [Card('0'), Card('1')]
    assert cards.visible(numbered, 'GPU-8a,1') == [Card('GPU-8a'), Card('1')], 'who knows what the kernel does not say'


def test_what_nvidia_smi_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / 'nvidia-smi'
    said = ('GPU-aa, NVIDIA H200, with a comma, 1000, 900', 'junk', 'GPU-bb, X, [N/A], 3')
    program.write_text('#!/bin/sh\n' + ''.join(f'echo "{line}"\n' for line in said))
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=':')
    first, other = Card('GPU-aa', 'NVIDIA H200, with a comma', 1000 << 20, 900 << 20), Card('GPU-bb', 'X', None, 3 << 20)
    assert cards.listed() == [first, other]
    assert cards.listed({'CUDA_VISIBLE_DEVICES': '1'}) == [other] and cards.listed({'CUDA_VISIBLE_DEVICES': ''}) == []
    cards._told_lately.cache_clear()
    assert cards.loads([first, other, Card('GPU-cc', '', 5, 2)], True) == {
        'GPU-aa': gpu.Load(100 << 20), 'GPU-bb': gpu.Load(None)}
    assert cards.loads([first, other], False) == {}, 'not worth a second'
    program.write_text('#!/bin/sh\necho "NVML: Driver/library version mismatch"; exit 18\n')
    with pytest.raises(UserError, match='ended with 18: NVML: Driver'):
        cards.listed()


def test_what_the_kernel_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    assert cards.listed(folder=str(tmp_path / 'none')) == []
    for number, line in enumerate(('GPU UUID: \t GPU-a1b2', 'GPU UUID: GPU-????????-????', 'Model: X')):
        (tmp_path / f'0000:0{number}:00.0').mkdir()
        (tmp_path / f'0000:0{number}:00.0' / 'information').write_text(f'Model: \t NVIDIA H200\n{line}\n')
    (tmp_path / '0000:09:00.0').mkdir()
    found = [Card('GPU-a1b2'), Card('1'), Card('2'), Card('3')]
    assert cards.listed(folder=str(tmp_path)) == found and cards.counted(str(tmp_path)) == 4
    assert cards.counted(str(tmp_path), {'CUDA_VISIBLE_DEVICES': '0,2'}) == 2


PROGRAM = """\
from mlops_cli.job import cards
from mlops_cli.core.errors import UserError
try:
    print(cards.listed())
    print(cards.loads(cards.listed(), False))
except UserError as error:
    print(error)
"""


def asked(nvml: Nvml, **more: str) -> list[str]:
    environ = {name: value for name, value in os.environ.items() if name != 'CUDA_VISIBLE_DEVICES'} | nvml.environ | more
    done = subprocess.run([sys.executable, '-c', PROGRAM], env=environ, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_what_the_driver_says(nvml: Nvml) -> None:
    nvml.set(count=3, name='NVIDIA H200', mem_total=1000, mem_used_1=400, pids_1='7:300,8:50')
    said = [Card(uuid(number), 'NVIDIA H200', 1000, free) for number, free in enumerate((1000, 600, 1000))]
    listed, loads = asked(nvml)
    assert listed == str(said) and f"'{uuid(1)}': {gpu.Load(400, ((7, 300), (8, 50)))}" in loads
    assert asked(nvml, CUDA_VISIBLE_DEVICES='2,1')[0] == str([said[2], said[1]])
    assert asked(nvml, CUDA_VISIBLE_DEVICES=uuid(1)[:8])[0] == str([said[1]])
    nvml.set(fail_0=15)  # it is lost, and the others keep their numbers
    assert asked(nvml)[0] == str(said[1:]) and asked(nvml, CUDA_VISIBLE_DEVICES='1')[0] == str([said[1]])
    nvml.set(init=18)
    assert asked(nvml, PATH='/nowhere') == ['the NVIDIA driver does not answer: RM has detected an NVML/RM version mismatch.']
    nvml.set(init=9)  # the library without a driver
    assert asked(nvml, PATH='/nowhere')[0] == '[]' == asked(nvml, PATH='/nowhere', LD_LIBRARY_PATH='')[0]
