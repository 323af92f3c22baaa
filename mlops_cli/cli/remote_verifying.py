"""A remote compared with its names: for ``verify --remote``, and before and behind a push."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.transferring import depot_of
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural, show_size
from mlops_cli.run.workbench import Workbench
from mlops_cli.store import remote_check, transfer
from mlops_cli.store.depot import Depot
from mlops_cli.store.objects import Damage

MOST = 40  # objects that are named


def read_all(depot: Depot, chosen: Callable[[Digest], bool]) -> tuple[list[Damage], int, int]:
    """(what is wrong, how many objects were read, their bytes), with progress."""
    checked = size = 0

    def seen(_: Digest, of: int) -> None:
        nonlocal checked, size
        checked, size = checked + 1, size + of
        progress.step()

    with Progress(lambda: f'  reading   {plural(checked, "object")}, {show_size(size)}') as progress:
        damage = list(remote_check.check(depot, chosen, seen=seen))
    return damage, checked, size


def verify(remote: str, chosen: Callable[[Digest], bool], json: bool) -> ExitCode:
    """``mlops verify --remote``."""
    with workbench(tolerant=True) as bench, depot_of(bench, remote) as (name, depot):
        damage, checked, size = read_all(depot, chosen)
    if json:
        found = {'checked': checked, 'bytes': size, 'damaged': [*map(_row, damage)], 'healed': 0, 'records': []}
        print_json({'schema': 'mlops/verify/v1', **found})
        return ExitCode.FAILED if damage else ExitCode.DONE
    _tell(damage)
    out(f'{plural(checked, "object")} of {name} read, {f"{len(damage)} damaged" if damage else "all sound"}.')
    if damage:
        out(f'Whoever has them mends them: mlops push --repair --remote {name}')
    return ExitCode.FAILED if damage else ExitCode.DONE


def _row(one: Damage) -> dict[str, Any]:
    return {
        'digest': str(one.digest), 'problem': one.problem, 'unreadable': one.unreadable, 'healed_from': None, 'stages': [],
        'data': [], 'earlier': False,
    }  # fmt: skip


def _tell(damage: Sequence[Damage]) -> None:
    for one in damage[:MOST]:
        out(Line(f'  {"damaged":<9} {one.digest}: {one_line(one.problem)}', 'damaged'))
    if len(damage) > MOST:
        out(f'  {"":<9} and {len(damage) - MOST:,} more')


class Checked:
    """What a push has looked at in the remote.  ``refs``: what it is about.  ``mended``: how many objects were replaced;
    ``damaged``: what still is."""

    def __init__(self, bench: Workbench, depot: Depot, refs: Sequence[ObjectRef]) -> None:
        self._bench, self._depot, self._refs = bench, depot, refs
        self.mended = 0
        self.damaged: list[Damage] = []
        self.read = 0

    def repair(self) -> None:
        """All that is damaged there is replaced, or taken for missing, so that this push sends it, or that of somebody else."""
        damaged = {one.digest for one in read_all(self._depot, lambda _: True)[0]}
        if damaged:
            self.mended = len(remote_check.mend(self._depot, self._bench.store, damaged))

    def verify(self) -> None:
        """What this push is about, as far as it is known here."""
        self._depot.look_again()
        about = transfer.all_of(self._bench.store, self._refs)
        self.damaged, self.read, _ = read_all(self._depot, about.__contains__)

    def document(self) -> dict[str, Any]:
        return {'mended': self.mended, 'damaged': [str(one.digest) for one in self.damaged]}

    def tell(self) -> None:
        if self.mended:
            out(Line(f'  {"mended":<9} {plural(self.mended, "object")}', 'done'))
        _tell(self.damaged)
        if self.read and not self.damaged:
            out(f'{plural(self.read, "object")} read back, all sound.')


def together(looked: Sequence[Checked]) -> Checked:
    """What was looked at in several remotes, as one."""
    first = looked[0]
    for one in looked[1:]:
        first.mended += one.mended
        first.damaged += one.damaged
        first.read += one.read
    return first
