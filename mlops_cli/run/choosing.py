"""Which host a stage goes to that may run on any: the cheapest that has what it asks for (docs/decisions/0041).

Of hosts it knows what they said when they were last seen here; it asks none."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property

from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural, show_money, show_size
from mlops_cli.job.desk import lacking
from mlops_cli.pipeline.spec import Resources, Stage
from mlops_cli.records import sightings, trust
from mlops_cli.records.config import HOSTS, load_settings
from mlops_cli.records.costs import book_of
from mlops_cli.records.sightings import Sighting
from mlops_cli.run.workbench import Workbench
from mlops_cli.usage.cost import GIB
from mlops_cli.usage.prices import Book, Place

UNSEEN = 'nobody has looked at it from here'


@dataclass(frozen=True, slots=True)
class Host:
    """``seen``: what is known of it.  ``problem``: why it cannot be used, whatever it has, with the exit code of that."""

    name: str
    seen: Sighting | None = None
    problem: str = ''
    code: ExitCode = ExitCode.UNREACHABLE


@dataclass(frozen=True, slots=True)
class Choice:
    """``host``: '' where none fits.  ``why``: what it has and costs.  ``others``: (host, why it was not taken)."""

    host: str
    why: str = ''
    others: tuple[tuple[str, str], ...] = ()
    code: ExitCode = ExitCode.DONE

    @property
    def sentence(self) -> str:
        told = [f'{name} {why}' for name, why in self.others]
        return '; '.join([self.why, *told] if self.why else told)


@dataclass(frozen=True, slots=True)
class Price:
    """Of an hour with what a stage asks for."""

    amounts: tuple[tuple[str, float], ...]  # of each currency

    def __str__(self) -> str:
        return f'{" and ".join(show_money(amount, currency) for currency, amount in self.amounts)} an hour'


def price(book: Book, host: Host, needs: Resources, day: str) -> Price | None:
    """None where nobody says what an hour there costs."""
    seen = host.seen
    rate = book.rate(Place('', host.name, needs.gpus, seen.model if seen is not None else ''), day)
    if rate is None or rate.lacking:
        return None
    units = {'hour': 1.0, 'gpu_hour': needs.gpus, 'cpu_hour': needs.cpus, 'gib_hour': (needs.memory_bytes or 0) / GIB}
    units['kwh'] = (rate.amounts.get('watts', 0.0) + rate.amounts.get('gpu_watts', 0.0) * needs.gpus) / 1000
    found: dict[str, float] = {}
    for item, amount in rate.amounts.items():
        if item in units:
            found[rate.currencies[item]] = found.get(rate.currencies[item], 0.0) + amount * units[item]
    return Price(tuple(sorted(found.items())))


def unfit(needs: Resources, seen: Sighting, image: bool = False) -> str:
    """What a host lacks of what a stage asks for; '' if nothing.  ``image``: it runs in containers of one."""
    if image and seen.engine == 'kubernetes':
        return 'has pods with an image of its own'
    if image and not seen.engine and seen.containers is False:  # of a cluster it is the nodes' that counts
        return 'has nothing that runs images'
    if needs.gpus and seen.gpus is None:
        return 'does not say how many GPUs it has'
    if needs.gpus > (seen.gpus or 0):
        size = f' of {in_gib(needs.gpu_memory_bytes)}' if needs.gpu_memory_bytes else ''
        return f'has {plural(seen.gpus, "GPU") if seen.gpus else f"no GPU{size}"}'
    if needs.gpus and needs.gpu_memory_bytes and seen.engine:
        return 'does not say how large its GPUs are'
    if needs.gpus and seen.cards and lacking(seen.cards, needs.gpus, needs.gpu_memory_bytes):
        return f'has {_large(seen, needs)} of {in_gib(needs.gpu_memory_bytes or 0)}'
    if needs.cpus > 1 and seen.cpus is not None and needs.cpus > seen.cpus:
        return f'has {plural(seen.cpus, "CPU")}'
    if needs.memory_bytes and seen.memory_bytes and needs.memory_bytes > seen.memory_bytes:
        return f'has {show_size(seen.memory_bytes)} of memory'
    return ''


def _large(seen: Sighting, needs: Resources) -> str:
    least = needs.gpu_memory_bytes or 0
    many = sum((card.memory_bytes or 0) >= least for card in seen.cards)
    return plural(many, 'GPU') if many else 'no GPU'


def in_gib(size: int) -> str:
    """As GPUs are sold."""
    return f'{size / GIB:.3g} GiB'


def what_it_has(needs: Resources, seen: Sighting) -> str:
    """``1 × H200 (140 GiB)``, or its processors where no GPU is asked for."""
    if not needs.gpus:
        return plural(seen.cpus, 'CPU') if seen.cpus is not None else 'what it takes'
    sizes = [card.memory_bytes for card in seen.cards if card.memory_bytes]
    size = f' ({in_gib(min(sizes))})' if sizes else ''
    return f'{needs.gpus} × {seen.model or "GPU"}{size}'


class Chooser:
    """One for a plan or run: the same stage is always told the same, unless a host turns out not to answer."""

    def __init__(self, bench: Workbench, now: float | None = None) -> None:
        self._bench = bench
        self._day = iso(time.time() if now is None else now)[:10]
        self._chosen: dict[str, Choice] = {}
        self._avoided: dict[str, str] = {}

    @cached_property
    def _book(self) -> Book:
        return book_of(self._bench.config)

    @cached_property
    def hosts(self) -> dict[str, Host]:
        """All that the settings name."""
        bench = self._bench
        settings = load_settings(bench.root, os.environ)
        found: dict[str, Host] = {}
        for name, host in sorted(bench.config.hosts.items()):
            if trust.needs_confirmation(bench.root, settings[f'{HOSTS}.{name}']):
                problem = f'came with git and nobody here has confirmed it (mlops config confirm {HOSTS}.{name})'
                found[name] = Host(name, None, problem, ExitCode.REFUSED)
                continue
            seen = sightings.last(bench.root, name, host.url)
            found[name] = Host(name, seen, '' if seen is not None else f'is unknown: {UNSEEN} (mlops hosts check {name})')
        return found

    @property
    def unseen(self) -> list[str]:
        """Of which nothing is known, and who may be asked."""
        return [name for name, host in self.hosts.items() if host.seen is None and host.code is ExitCode.UNREACHABLE]

    def look_again(self) -> None:
        """Something was learned of hosts."""
        self.__dict__.pop('hosts', None)
        self._chosen.clear()

    def avoid(self, name: str, problem: str) -> None:
        """It does not answer: what would have gone there is chosen anew."""
        self._avoided[name] = problem
        self._chosen = {stage: one for stage, one in self._chosen.items() if one.host != name}

    def choice(self, stage: Stage) -> Choice:
        if stage.name not in self._chosen:
            taken = Counter(one.host for one in self._chosen.values())
            self._chosen[stage.name] = self._best(stage, taken)
        return self._chosen[stage.name]

    def _best(self, stage: Stage, taken: Mapping[str, int]) -> Choice:
        needs, image = stage.resources, bool(stage.environment and stage.environment.image)
        fitting: list[tuple[tuple[int, str, float], int, Host, Price | None]] = []
        others: dict[str, str] = {}
        codes = set()
        for name, host in self.hosts.items():
            if problem := self._avoided.get(name, '') or host.problem:
                others[name] = problem
                codes.add(ExitCode.UNREACHABLE if name in self._avoided else host.code)
            elif host.seen is not None and (lacks := unfit(needs, host.seen, image)):
                others[name] = lacks
            else:
                cost = price(self._book, host, needs, self._day)
                fitting.append((self._rank(cost), taken.get(name, 0), host, cost))
        if not fitting:
            code = next((one for one in (ExitCode.UNREACHABLE, ExitCode.REFUSED) if one in codes), ExitCode.WRONG_INPUT)
            return Choice('', '', tuple(others.items()), code)
        fitting.sort(key=lambda one: (one[0], one[1], one[2].name))
        (rank, _, best, cost), *rest = fitting
        others = {one.name: _beside(rank, other, its) for other, _, one, its in rest} | others
        assert best.seen is not None
        said = f', {cost}' if cost is not None else ', and nobody says what it costs' if self._book else ''
        return Choice(best.name, f'{what_it_has(needs, best.seen)}{said}', tuple(others.items()))

    def _rank(self, cost: Price | None) -> tuple[int, str, float]:
        """Currencies are not comparable: those of the settings come first, and what nobody knows last."""
        if cost is None:
            return 2, '', 0.0
        (currency, amount), *more = cost.amounts
        if more:
            return 1, ' and '.join(one for one, _ in cost.amounts), 0.0
        return (0 if currency == self._book.currency else 1), currency, round(amount, 9)


def _beside(best: tuple[int, str, float], rank: tuple[int, str, float], cost: Price | None) -> str:
    if cost is None:
        return 'would do, too' if rank == best else 'has no price'
    if rank == best:
        return 'costs the same'
    return f'is dearer ({cost})' if rank[:2] == best[:2] else f'has a price in another currency ({cost})'


def refusal(stage: Stage, choice: Choice) -> UserError:
    """Why it can go to none."""
    if not choice.others:
        return UserError(
            f'stage {stage.name} is to run on any host, and there are none',
            where=stage.places.get('host', stage.where),
            hint='mlops hosts add gpu1 ssh://user@host',
        )
    return UserError(
        f'stage {stage.name} asks for {asked(stage.resources)}, and no host has that: {choice.sentence}',
        where=stage.places.get('resources', stage.places.get('host', stage.where)),
        hint='lower resources, or add a host that has it: mlops hosts add'
        if choice.code is ExitCode.WRONG_INPUT
        else 'mlops hosts check says what is wrong with each',
        exit_code=choice.code,
    )


def asked(needs: Resources) -> str:
    """``1 GPU of 20 GiB, 4 CPUs``."""
    parts: list[str] = []
    if needs.gpus:
        parts.append(plural(needs.gpus, 'GPU') + (f' of {in_gib(needs.gpu_memory_bytes)}' if needs.gpu_memory_bytes else ''))
    if needs.cpus > 1 or not parts:
        parts.append(f'{needs.cpus:g} CPU{"" if needs.cpus == 1 else "s"}')
    if needs.memory_bytes:
        parts.append(f'{show_size(needs.memory_bytes)} of memory')
    return ', '.join(parts)


@dataclass(frozen=True, slots=True)
class Told:
    """Of stages of which there is the same to say."""

    stages: tuple[str, ...]
    choice: Choice


def together(found: Iterable[tuple[str, Choice]]) -> list[Told]:
    groups: dict[Choice, list[str]] = {}
    for stage, choice in found:
        groups.setdefault(choice, []).append(stage)
    return [Told(tuple(stages), choice) for choice, stages in groups.items()]
