"""Hands out the GPUs of a machine: whole ones to one attempt at a time, shared ones as far as their memory goes, whoever asks
for them out of one folder.

What is handed out is a file in there for each card, locked as long as who was given it lives, in which stands how much of its
memory was promised (docs/formats/gpus.md)."""
from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import UserError
from mlops_cli.core.units import plural, show_size
from mlops_cli.fsio.locks import forget_in_children, is_locked, try_lock
from mlops_cli.fsio.paths import Root
from mlops_cli.job import cards
from mlops_cli.job.family import VARIABLE
from mlops_cli.usage import cpu
from mlops_cli.usage.gpu import Card, Load

FOLDER = 'gpus-v1'
TURN = 'turn'  # locked by who gets the next ones, so that who wants several is not overtaken for ever
WHOLE = 'whole'  # in a file: nobody else is to have the card
TICK = 0.2  # seconds between two looks whether one has become free
DRIVERS_BYTES = 1 << 30  # of a card that nothing uses the driver may hold so much
FILE_MOST = 64  # bytes
_STEM = 32  # hex digits, of the name of a card


class Lacking(UserError):
    """There are not as many, or not such, as are asked for."""


class Unwanted(Exception):
    """It was not waited for any longer."""


@dataclass(frozen=True, slots=True)
class Held:
    """``names``: as CUDA_VISIBLE_DEVICES takes them.  ``files``: absolute paths, which whoever sees to the attempt locks too
    (shared), so that the cards are taken as long as anything of it lives."""

    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


NOTHING = Held()


def lacking(there: Sequence[Card], count: int, memory: int | None) -> str:
    """Why so many, with so much memory each, can never be had here; '' if they can."""
    if len(there) < count:
        return f'there {"is" if len(there) == 1 else "are"} {len(there) or "none"}'
    large = [card for card in there if memory is None or card.memory_bytes is None or card.memory_bytes >= memory]
    if len(large) < count:
        sizes = ', '.join(f'{card.name or card.uuid} with {show_size(card.memory_bytes or 0)}' for card in there)
        return f'there {"is" if len(there) == 1 else "are"} {sizes}'
    return ''


@dataclass(frozen=True, slots=True)
class Used:
    """Bytes of a card's memory that are in use: by attempts, by other processes, and by who knows whom beyond what the driver
    itself may hold."""

    own: int = 0
    others: int = 0
    rest: int = 0

    @classmethod
    def of(cls, load: Load) -> Used:
        own = others = 0
        for pid, size in load.by:
            if cpu.variable_of(pid, VARIABLE) is not None:
                own += size or 0
            else:
                others += size or 0
        return cls(own, others, max(0, (load.used_bytes or 0) - own - others - DRIVERS_BYTES))


UNUSED = Used()


@dataclass(frozen=True, slots=True)
class Seen:
    """``promised``: card -> bytes that each who has a share of it was promised, None for all; ``used``: card -> what is in use,
    as far as that is known."""

    promised: Mapping[str, Sequence[int | None]]
    used: Mapping[str, Used]

    def room(self, card: Card) -> int:
        """Bytes of a card's memory that nobody has, and nobody was promised."""
        promised, used = self.promised.get(card.uuid, ()), self.used.get(card.uuid, UNUSED)
        if None in promised or card.memory_bytes is None:
            return 0
        mine = sum(size for size in promised if size is not None)
        return card.memory_bytes - max(mine, used.own) - used.others - max(0, used.rest - mine)

    def choose(self, there: Sequence[Card], count: int, memory: int | None) -> list[Card] | None:
        """Which cards to give.  Whole ones: those that others use least; shares: where they fit most tightly, so that whole
        ones remain.  A card that does not tell its memory is given as a whole."""
        def foreign(card: Card) -> int:
            used = self.used.get(card.uuid, UNUSED)
            return used.others + used.rest

        free = [card for card in there if not self.promised.get(card.uuid)]
        if memory is None:
            return sorted(free, key=foreign)[:count] if len(free) >= count else None
        rooms = {card.uuid: self.room(card) for card in there}
        fitting = sorted((card for card in there if rooms[card.uuid] >= memory), key=lambda card: rooms[card.uuid])
        fitting += [card for card in free if card.memory_bytes is None]
        return fitting[:count] if len(fitting) >= count else None


class Desk:
    """``root``: the desk's own from now on.  ``loads``: what of the memory of cards is in use.  Not thread safe.  Methods raise
    OSError where the folder cannot be used."""

    def __init__(self, root: Root, there: Sequence[Card],
                 loads: Callable[[Iterable[Card], bool], Mapping[str, Load]] = cards.loads) -> None:
        self._root, self._there, self._loads = root, there, loads
        self._given: dict[str, list[tuple[str, int]]] = {}  # who -> files in the folder, and the descriptors that lock them
        self._turn: tuple[str, int] | None = None  # whose turn it is, and the lock
        self._looked = -TICK
        self._seen: Seen | None = None  # of the last look; None where another process has the turn
        self._waiter = ''  # the one that is told to wait for others, of all that do
        self.waits_for_others = False  # of the last that got nothing: whether it is that one
        forget_in_children(self)

    def take(self, who: str, count: int, memory: int | None) -> Held | None:
        """So many cards; None while there are not as many free.  Who waits for what others have is next: nobody who asks
        after it is given any."""
        self.waits_for_others = False
        if self._turn is not None and self._turn[0] != who:
            return None
        if time.monotonic() - self._looked < TICK and (self._seen is None or not self._seen.choose(self._there, count, memory)):
            self._wait(who)
            return None
        self._root.makedirs(FOLDER, mode=0o700)
        turn = self._turn[1] if self._turn is not None else self._locked(TURN, exclusive=True)
        self._looked, self._seen = time.monotonic(), None
        if turn is None:
            self._wait(who)
            return None
        self._turn = who, turn
        try:
            loads = self._loads(self._there, memory is not None)
            self._seen = Seen(self._promised(), {uuid: Used.of(load) for uuid, load in loads.items()})
            found = self._seen.choose(self._there, count, memory)
            if found is not None:
                return self._give(who, found, memory)
            self._wait(who)
            return None
        finally:
            if who in self._given or not self._others_have():
                self._turn = None
                os.close(turn)

    def _wait(self, who: str) -> None:
        """One of those that wait for others says so; the rest wait for that one, or for what we have."""
        if (self._seen is None or not self._given or self._others_have()) and self._waiter in ('', who):
            self._waiter, self.waits_for_others = who, True

    def _others_have(self) -> bool:
        """Whether another process was given any, as far as we have looked."""
        promised = self._seen.promised if self._seen is not None else {}
        return sum(map(len, promised.values())) > sum(map(len, self._given.values()))

    def give_back(self, who: str) -> None:
        """Twice does no harm."""
        for name, fd in self._given.pop(who, ()):
            with suppress(OSError):
                self._root.unlink(f'{FOLDER}/{name}')
            os.close(fd)
        self._looked = -TICK

    def close(self) -> None:
        """What was not given back stays taken as long as somebody else has it locked."""
        self.after_fork()
        self._root.close()

    def after_fork(self) -> None:
        for fd in [fd for files in self._given.values() for _, fd in files] + ([self._turn[1]] if self._turn else []):
            os.close(fd)
        self._given.clear()
        self._turn = None

    def _give(self, who: str, found: Sequence[Card], memory: int | None) -> Held:
        given = self._given.setdefault(who, [])
        for card in found:
            name = f'{_stem(card.uuid)}-{os.urandom(4).hex()}'
            fd = self._locked(name, exclusive=False)
            assert fd is not None, 'a file of a new name is locked by nobody'
            given.append((name, fd))
            os.write(fd, WHOLE.encode() if memory is None or card.memory_bytes is None else b'%d' % memory)
        self._looked = -TICK
        self._waiter = '' if self._waiter == who else self._waiter
        order = {card.uuid: number for number, card in enumerate(self._there)}
        names = sorted((card.uuid for card in found), key=order.__getitem__)
        return Held(tuple(names), tuple(self._root.full(f'{FOLDER}/{name}') for name, _ in given))

    def _promised(self) -> dict[str, list[int | None]]:
        """Of each card what was promised, None for a whole one; files of those who are gone go."""
        stems = {_stem(card.uuid): card.uuid for card in self._there}
        found: dict[str, list[int | None]] = {}
        for entry in self._root.scandir(FOLDER):
            uuid = stems.get(entry.name[:_STEM])
            if uuid is None:
                continue
            try:
                fd = self._root.open(f'{FOLDER}/{entry.name}', os.O_RDWR)
            except FileNotFoundError:
                continue
            try:
                if try_lock(fd, exclusive=True):
                    with suppress(FileNotFoundError):
                        self._root.unlink(f'{FOLDER}/{entry.name}')
                else:
                    text = os.read(fd, FILE_MOST)
                    found.setdefault(uuid, []).append(int(text) if text.isdigit() else None)
            finally:
                os.close(fd)
        return found

    def _locked(self, name: str, *, exclusive: bool) -> int | None:
        """A lock; None while another has it."""
        fd = self._root.open(f'{FOLDER}/{name}', os.O_RDWR | os.O_CREAT, 0o600)
        if try_lock(fd, exclusive=exclusive):
            return fd
        os.close(fd)
        return None


@contextmanager
def held(root: Root, count: int, memory: int | None, unwanted: Callable[[], object],
         there: Callable[[], Sequence[Card]] = cards.listed) -> Iterator[Held]:
    """So many cards until the end of the block; waits until they are free.

    Raises Lacking where there are not as many, or not as large ones, at all, UserError where the driver fails, Unwanted once
    ``unwanted`` says something."""
    if not count:
        root.close()
        yield NOTHING
        return
    found = there()
    if why := lacking(found, count, memory):
        size = f' with {show_size(memory)} of memory' if memory else ''
        asked = f'{plural(count, "GPU")}{size} {"is" if count == 1 else "are"} asked for'
        raise Lacking(f'{asked}, and {why}', hint='lower resources.gpus or gpu_memory, or take another host')
    desk = Desk(root, found)
    try:
        while (given := desk.take('', count, memory)) is None:
            if unwanted() is not None:
                raise Unwanted
            time.sleep(TICK)
        yield given
        desk.give_back('')
    finally:
        desk.close()


def own_folder(environ: Mapping[str, str] = os.environ, otherwise: str = '') -> Root:
    """Where cards are handed out on this machine, the same for all that the user runs on it; ``otherwise`` where there is no
    place for that.  Cards have names of their own, so that a home of several machines does no harm."""
    cache = environ.get('XDG_CACHE_HOME') or (f'{environ["HOME"]}/.cache' if environ.get('HOME') else '')
    if cache.startswith('/'):
        with suppress(OSError):
            os.makedirs(f'{cache}/mlops', mode=0o700, exist_ok=True)
            root = Root(f'{cache}/mlops')
            root.makedirs(FOLDER, mode=0o700)
            fd = root.open(f'{FOLDER}/{TURN}', os.O_RDWR | os.O_CREAT, 0o600)
            try:
                is_locked(fd)  # raises where that file system has no locks
            finally:
                os.close(fd)
            return root
    return Root(otherwise)


def _stem(name: str) -> str:
    """What the driver calls a card may be no name of a file."""
    return digest_of(name.encode()).hex[:_STEM]
