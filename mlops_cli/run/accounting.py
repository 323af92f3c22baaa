"""Keeps what a run has to say of its stages so that it can be told what they cost: where they ran, what earlier attempts took,
what they said that they spent.  Loaded only where there is something of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_cli.core.errors import UserError
from mlops_cli.records.accounts import RAN, TEXT, Account, Tally
from mlops_cli.usage.spending import SIZE_LIMIT, Spent, read, together

if TYPE_CHECKING:
    from mlops_cli.pipeline.spec import Stage
    from mlops_cli.records.runs import StageRun
    from mlops_cli.run.report import Settled
    from mlops_cli.run.session import Session

_FLAGS = os.O_RDONLY | os.O_NONBLOCK  # a pipe in place of the file is not waited for


def tally_of(session: Session, stage: str) -> Tally:
    return session.tallies.setdefault(stage, Tally())


def tried(session: Session, settled: Settled) -> None:
    """An attempt came to nothing, and there will be another one."""
    one = tally_of(session, settled.stage)
    one.tries += 1
    one.seconds += settled.seconds
    one.cpu_seconds += settled.usage.get('cpu_seconds', 0.0)


def take_spent(session: Session, stage: str, path: str) -> tuple[Spent, ...]:
    """What an attempt wrote into its file; what is wrong with that is told, and never ends anything."""
    try:
        fd = session.root.open(path, _FLAGS)
        with open(fd, 'rb') as file:
            found, notes = read(file.read(SIZE_LIMIT + 1), session.redact)
    except (OSError, UserError) as error:
        session.note(f'what it spent cannot be read: {getattr(error, "strerror", None) or error}', stage)
        return ()
    for note in notes:
        session.note(note, stage)
    one = tally_of(session, stage)
    one.spent = together((*one.spent, *found))
    return found


def place_of(session: Session, stage: Stage, host: str) -> tuple[str, int, str]:
    """(host, GPUs, what they call themselves).  ``host``: where it goes; '' where it does not leave this machine, unless the
    run's executor takes it elsewhere, which then stands for the host."""
    gpus = stage.resources.gpus
    place = host or str(session.origin.get('executor', ''))
    return place[:TEXT], gpus, _model(session, place)[:TEXT] if gpus else ''


def _model(session: Session, place: str) -> str:
    if not place:
        from mlops_cli.run.machine import card_models

        names: Iterable[str] = card_models()
    else:
        names = [str(card.get('name', '')) for card in _cards_there(session, place)]
    kinds = {name for name in names if name.isprintable()}
    return kinds.pop() if len(kinds) == 1 else ''  # of several kinds nobody knows which it was given


def share_of(session: Session, stage: Stage, place: str) -> float:
    """How much of each of its GPUs a stage was promised: its ``gpu_memory`` of what the smallest has into which that fits.
    ``place``: as of :func:`place_of`."""
    promised = stage.resources.gpu_memory_bytes
    if not (stage.resources.gpus and promised):
        return 1.0
    if not place:
        from mlops_cli.run.machine import card_memories

        sizes = card_memories()
    else:
        cards = _cards_there(session, place)
        sizes = [size for card in cards if isinstance(size := card.get('memory_bytes'), int) and not isinstance(size, bool)]
    return max((promised / size for size in sizes if size >= promised), default=1.0)


def _cards_there(session: Session, place: str) -> list[Mapping[str, Any]]:
    connected = getattr(session.executor, 'hosts', {}).get(place)
    cards = connected.facts().get('gpus') if connected is not None else None
    return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []


def account_of(session: Session, rows: Sequence[StageRun], stages: Sequence[tuple[Stage, str]]) -> Account | None:
    """``stages``: beside each row its stage, and the host where it goes."""
    places: dict[int, tuple[str, int, str]] = {}
    earlier: dict[int, tuple[int, float, float]] = {}
    spent: dict[int, tuple[Spent, ...]] = {}
    shares: dict[int, float] = {}
    for position, (row, (stage, host)) in enumerate(zip(rows, stages, strict=True)):
        if row.state not in RAN:
            continue
        place = place_of(session, stage, host)
        if place != ('', 0, ''):
            places[position] = place
            if (share := share_of(session, stage, place[0])) < 1:
                shares[position] = share
        if (one := session.tallies.get(row.name)) is not None:
            if one.tries:
                earlier[position] = one.tries, one.seconds, one.cpu_seconds
            if one.spent:
                spent[position] = one.spent
    return Account(places, earlier, spent, shares) or None
