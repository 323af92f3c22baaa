"""What NVIDIA's driver tells of GPUs, by its own Python binding, pynvml, which goes to hosts with us.  Values out, no state
but the driver's; whoever asks has to bear that an answer takes long, or never comes."""
from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from mlops_cli.core.classes import dataclass

MILLI = 1e-3
LONGEST = 100  # characters of a name


class Failed(Exception):
    """What the driver said, in its words."""


class Absent(Failed):
    """There is no driver, or nothing here that could ask it."""


@dataclass(frozen=True, slots=True)
class Card:
    """``uuid``: what CUDA_VISIBLE_DEVICES calls it.  ``memory_bytes``: all of it, None where it has none of its own."""

    uuid: str
    name: str = ''
    memory_bytes: int | None = None
    free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A card at one moment; None for what it did not tell.  ``busy``: share of the last moments in which it did something,
    from 0 to 1.  ``joules``: what it has drawn since the driver was loaded."""

    busy: float | None = None
    memory_bytes: int | None = None
    watts: float | None = None
    joules: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What of a card's memory is in use.  ``by``: process -> bytes, None where that is not told."""

    used_bytes: int | None
    by: tuple[tuple[int, int | None], ...] = ()


class Nvml:
    """The driver of this machine.  Raises Absent where there is none, Failed where it is not well."""

    def __init__(self) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise Absent('pynvml is not installed') from error
        self._lib: Any = pynvml
        self._handles: dict[str, Any] = {}
        self.names: tuple[str, ...] = ()  # that cards called themselves when they were last asked for
        self.memories: tuple[int, ...] = ()  # bytes that they had then
        # The second is what it raises where the driver is too old for a question; in bindings that are old it is not there.
        # The third is that of a text which is none.
        self._errors = (pynvml.NVMLError, getattr(pynvml, 'NVMLLibraryMismatchError', pynvml.NVMLError), ValueError)
        try:
            pynvml.nvmlInit()
        except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded) as error:
            raise Absent(str(error)) from error
        except pynvml.NVMLError as error:
            raise Failed(str(error)) from error

    def cards(self) -> list[Card]:
        """In the order in which nvidia-smi counts them; one that does not answer, and so is of no use, has no uuid.  Raises
        Failed."""
        found = [self._numbered(number) for number in range(self._asked(self._lib.nvmlDeviceGetCount))]
        self.names = tuple(card.name for card in found if card.name)
        self.memories = tuple(card.memory_bytes for card in found if card.memory_bytes)
        return found

    def _numbered(self, number: int) -> Card:
        lib = self._lib
        try:
            handle = self._asked(lib.nvmlDeviceGetHandleByIndex, number)
            uuid = _text(self._asked(lib.nvmlDeviceGetUUID, handle))
            name = _text(self._asked(lib.nvmlDeviceGetName, handle))
        except Failed:
            return Card('')
        self._handles[uuid] = handle
        return self._card(uuid, name)

    def named(self, uuid: str) -> Card:
        """Also a part of one (MIG).  Raises Failed where there is none of that name."""
        return self._card(uuid, _text(self._asked(self._lib.nvmlDeviceGetName, self._handle(uuid))))

    def look(self, uuid: str, *, power_alone: bool = False) -> Look:
        """Never raises: a card that is lost tells nothing."""
        lib = self._lib
        try:
            handle = self._handle(uuid)
        except Failed:
            return Look()
        power = self._told(lib.nvmlDeviceGetPowerUsage, handle)
        watts = None if power is None else power * MILLI
        if power_alone:
            return Look(watts=watts)
        rates = self._told(lib.nvmlDeviceGetUtilizationRates, handle)
        memory = self._told(lib.nvmlDeviceGetMemoryInfo, handle)
        energy = self._told(lib.nvmlDeviceGetTotalEnergyConsumption, handle)
        return Look(
            None if rates is None else min(rates.gpu, 100) / 100,
            None if memory is None else int(memory.used),
            watts,
            None if energy is None else energy * MILLI,
        )

    def load(self, uuid: str) -> Load:
        """Never raises."""
        lib = self._lib
        try:
            handle = self._handle(uuid)
        except Failed:
            return Load(None)
        memory = self._told(lib.nvmlDeviceGetMemoryInfo, handle)
        found: dict[int, int | None] = {}
        for question in (lib.nvmlDeviceGetComputeRunningProcesses, lib.nvmlDeviceGetGraphicsRunningProcesses):
            for process in self._told(question, handle) or ():
                found[int(process.pid)] = process.usedGpuMemory
        return Load(None if memory is None else int(memory.used), tuple(found.items()))

    def _card(self, uuid: str, name: str) -> Card:
        memory = self._told(self._lib.nvmlDeviceGetMemoryInfo, self._handle(uuid))
        total, free = (None, None) if memory is None else (int(memory.total), int(memory.free))
        return Card(uuid, name[:LONGEST], total or None, free)

    def _handle(self, uuid: str) -> Any:
        if uuid not in self._handles:
            self._handles[uuid] = self._asked(self._lib.nvmlDeviceGetHandleByUUID, uuid.encode())
        return self._handles[uuid]

    def _asked(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._errors as error:
            raise Failed(str(error)) from error

    def _told(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """None for what this card, or this driver, does not tell."""
        try:
            return question(*arguments)
        except self._errors:
            return None


@cache
def opened() -> Nvml:
    """The driver, asked for once in a process.  Raises Absent, Failed."""
    return Nvml()


def _text(value: str | bytes) -> str:
    """Of older bindings, bytes."""
    return value.decode(errors='replace') if isinstance(value, bytes) else value
