"""The GPUs of this machine, as far as CUDA_VISIBLE_DEVICES leaves them to us."""
from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from mlops_cli.core.classes import replace
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.programs import find_program
from mlops_cli.usage import gpu
from mlops_cli.usage.gpu import Card

VISIBLE = 'CUDA_VISIBLE_DEVICES'
FOLDER = '/proc/driver/nvidia/gpus'
PATIENCE_SECONDS = 20.0
DRIVER_SECONDS = 2.0  # that the driver may take to say what of the memory of cards is in use
PROGRAM_SECONDS = 4.0  # between two questions to it, while something is waited for
FIELDS = ('uuid', 'name', 'memory.total', 'memory.free')
WELL = 'is the driver well? try it there by hand: nvidia-smi'


def listed(environ: Mapping[str, str] = os.environ, folder: str = FOLDER) -> list[Card]:
    """What the driver says of them; none where there is none.  Raises UserError where it is not well.  ``folder``: of the
    driver's module."""
    return visible(_all(folder), environ.get(VISIBLE), _part)


def seen(environ: Mapping[str, str], asked: int) -> tuple[str, ...]:
    """What the cards are called that somebody else gave a job which asked for so many: those that CUDA_VISIBLE_DEVICES names,
    or all where there are just as many, as in a pod.  None of a driver that is not well."""
    found: list[Card] = []

    def look() -> None:
        with suppress(UserError):
            found.extend(listed(environ))

    looking = threading.Thread(target=look, name='gpu-list', daemon=True)
    looking.start()
    looking.join(PATIENCE_SECONDS)
    names = tuple(card.uuid for card in found) if not looking.is_alive() else ()
    return names if environ.get(VISIBLE) or len(names) == asked else ()


def counted(folder: str, environ: Mapping[str, str] = os.environ) -> int:
    """How many there are, without asking the driver."""
    return len(visible(_of_kernel(folder), environ.get(VISIBLE)))


def visible(cards: Sequence[Card], chosen: str | None, part: Callable[[str], Card | None] = Card) -> list[Card]:
    """Those that a value of CUDA_VISIBLE_DEVICES names, in its order; as CUDA does, up to the first that is none.  Numbers
    count as nvidia-smi does, uuids may be cut short.  ``part``: of a card, by its name."""
    if chosen is None:
        return [card for card in cards if card.uuid]
    found: list[Card] = []
    for word in (part.strip() for part in chosen.split(',') if cards):
        card = part(word) if word.startswith('MIG-') else _meant(cards, word)
        if card is None or not card.uuid or card in found:
            break
        found.append(card)
    return found


def _meant(cards: Sequence[Card], word: str) -> Card | None:
    if word.isascii() and word.isdigit():
        return cards[int(word)] if int(word) < len(cards) else None
    if not word.startswith('GPU-'):
        return None
    alike = [card for card in cards if card.uuid.startswith(word)]
    unknown = any(card.uuid.isdigit() for card in cards)  # the kernel alone may not tell what they are called
    return alike[0] if len(alike) == 1 else Card(word) if unknown else None


def _part(name: str) -> Card | None:
    """A part of a card (MIG), which is in no list."""
    try:
        return replace(gpu.opened().named(name), uuid=name)
    except gpu.Absent:
        return Card(name)
    except gpu.Failed:
        return None


def _all(folder: str) -> list[Card]:
    try:
        return gpu.opened().cards()
    except gpu.Absent:
        return _told_by_program() or _of_kernel(folder)
    except gpu.Failed as error:
        if found := _told_by_program():
            return found
        raise UserError(f'the NVIDIA driver does not answer: {error}', hint=WELL) from error


def _of_kernel(folder: str) -> list[Card]:
    """Where only the driver's module is there, as in a container without its programs."""
    found = []
    with suppress(OSError):
        for number, name in enumerate(sorted(os.listdir(folder))):
            found.append(Card(_uuid_in(f'{folder}/{name}/information') or str(number)))
    return found


def _uuid_in(path: str) -> str:
    with suppress(OSError), open(path, encoding='utf-8', errors='replace') as file:
        for line in file.read(1 << 14).splitlines():
            key, _, value = line.partition(':')
            if key.strip() == 'GPU UUID' and value.strip().startswith('GPU-') and '?' not in value:
                return value.strip()[: gpu.LONGEST]
    return ''


def _told_by_program() -> list[Card]:
    """What nvidia-smi says, where its library cannot be asked."""
    program = find_program('nvidia-smi')
    if program is None:
        return []
    words = [program, f'--query-gpu={",".join(FIELDS)}', '--format=csv,noheader,nounits']
    import subprocess

    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f'{program} does not answer', hint='is the driver well? try it there by hand') from error
    found = []
    for line in done.stdout.splitlines():
        uuid, comma, rest = line.partition(',')
        name, *figures = [part.strip() for part in rest.rsplit(',', 2)]
        if comma and len(figures) == 2:  # the memory of some is that of the machine, and not told
            total, free = (int(figure) << 20 if figure.isdigit() else None for figure in figures)
            found.append(Card(uuid.strip()[: gpu.LONGEST], name[: gpu.LONGEST], total or None, free))
    if done.returncode and not found:
        said = ' '.join((done.stdout + done.stderr).split())[:200]
        raise UserError(f'{program} ended with {done.returncode}: {said}', hint='is the driver well? try it there by hand')
    return found


def loads(cards: Iterable[Card], shares: bool) -> dict[str, gpu.Load]:
    """What of their memory is in use now, as far as that is told.  ``shares``: it must be known, also where it takes long."""
    try:
        driver = gpu.opened()
    except gpu.Failed:
        now = _told_lately(int(time.monotonic() / PROGRAM_SECONDS)) if shares else {}
        return {card.uuid: _load(now[card.uuid]) for card in cards if card.uuid in now}
    return _asked(lambda: {card.uuid: driver.load(card.uuid) for card in cards})


_asking: list[threading.Thread] = []


def _asked(question: Callable[[], dict[str, gpu.Load]]) -> dict[str, gpu.Load]:
    """What it comes to, unless the driver takes too long: whoever hands out cards has other things to see to."""
    if _asking and _asking[0].is_alive():
        return {}
    found: dict[str, gpu.Load] = {}
    _asking[:] = [threading.Thread(target=lambda: found.update(question()), name='gpu-loads', daemon=True)]
    _asking[0].start()
    _asking[0].join(DRIVER_SECONDS)
    return {} if _asking[0].is_alive() else found


@lru_cache(maxsize=1)
def _told_lately(_now: int) -> dict[str, Card]:
    """Not more often than every few seconds: the program takes up to one itself."""
    with suppress(UserError):
        return {card.uuid: card for card in _told_by_program()}
    return {}


def _load(card: Card) -> gpu.Load:
    known = card.memory_bytes is not None and card.free_bytes is not None
    return gpu.Load((card.memory_bytes or 0) - (card.free_bytes or 0) if known else None)
