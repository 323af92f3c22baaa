"""``mlops verify``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import workbench, writing
from mlops_cli.cli.words import some
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural, show_size

if TYPE_CHECKING:
    from mlops_cli.run.mending import Mender, Users
    from mlops_cli.run.workbench import Workbench
    from mlops_cli.store.objects import Damage

EXITS = exits.line(ExitCode.UNREACHABLE, ExitCode.REFUSED, failed='damage found, healed or not')

Sample = Annotated[
    str, options.Option('--sample', metavar='N/T|X%', help='Only part N of T, or about X percent of the objects.')
]
NoHeal = Annotated[
    bool, options.Option('--no-heal', help='Look for no other copies: damaged objects are put aside, that is all.')
]
Remote = Annotated[
    str, options.Option('--remote', '-r', metavar='REMOTE', help='What a remote holds, in place of the cache; it is read.')
]
NAMED = 3  # stages and paths that are named in a line


def command(
    sample: Sample = '',
    no_heal: NoHeal = False,
    remote: Remote = '',
    json: options.Json = False,
) -> int:
    """Read every stored object, compare it with its name, and heal what another copy here can heal.  Exit 1 for any damage.

    Example:  mlops verify --sample 1/7        another seventh every day
    """
    share = parse_sample(sample)
    if remote:
        return _of_remote(remote, share, json)
    checked = size = 0

    def seen(_: Digest, of: int) -> None:
        nonlocal checked, size
        checked, size = checked + 1, size + of
        progress.step()

    with workbench(tolerant=True) as bench:
        from mlops_cli.run import mending  # what needs it has a project open

        mender = mending.Mender(bench, mending.set_aside(bench))
        with Progress(lambda: f'  verifying {plural(checked, "object")}, {show_size(size)}') as progress:
            damage = list(bench.store.verify(in_sample(share), seen=seen))
        records = [] if share else _records(bench)
        healed = {one.digest: 'itself: its bytes are right, and its permissions are back' for one in damage if one.mended}
        if not no_heal:
            healed |= _heal(bench, mender, [one.digest for one in damage if not (one.unreadable or one.mended)])
        users = mender.users([one.digest for one in damage if one.digest not in healed]) if damage else {}
    code = ExitCode.FAILED if damage or records else ExitCode.DONE
    if json:
        rows = [_row(one, healed.get(one.digest), users.get(one.digest)) for one in damage]
        print_json(
            {
                'schema': 'mlops/verify/v1',
                'checked': checked,
                'bytes': size,
                'damaged': rows,
                'healed': len(healed),
                'records': [{'path': path, 'problem': problem} for path, problem, _ in records],
            }
        )
        return code
    for one in damage:
        _tell(one, healed.get(one.digest), users.get(one.digest))
    for path, problem, unreadable in records:
        out(Line(f'  {"unreadable" if unreadable else "damaged":<10} {one_line(path)}: {one_line(problem)}', 'damaged'))
    part = f' (part {share[0]} of {share[1]})' if share else ''
    found = f'{len(damage)} damaged' if damage else 'all sound'
    found += f', {len(healed)} healed' if healed else ''
    found += f', {plural(len(records), "record")} damaged' if records else ''
    out(f'{plural(checked, "object")}, {show_size(size)} read{part}, {found}.')
    for line in _advice(damage, healed, users, records):
        out(line)
    return code


def _heal(bench: Workbench, mender: Mender, bad: list[Digest]) -> dict[Digest, str]:
    """From what each was healed.  Where there is nothing to heal, what killed commands left goes all the same."""
    if bad:
        with writing(bench):
            return mender.heal(bad)
    from mlops_cli.run.heal import tidy

    tidy(bench)
    return {}


def _of_remote(remote: str, share: tuple[int, int] | None, json: bool) -> int:
    from mlops_cli.cli.remote_verifying import verify

    return verify(remote, in_sample(share), json)


def _records(bench: Workbench) -> list[tuple[str, str, bool]]:
    """(path, what is wrong, whether it could not be read) of damaged results, which are put aside if they could be read, and of
    damaged pins, which git has."""
    from mlops_cli.run.mending import damaged_pins

    found = list(bench.results.damaged())
    for path, _, unreadable in found:
        if not unreadable:
            bench.results.set_aside(path)
    return found + [(path, problem, False) for path, problem in damaged_pins(bench)]


def _row(one: Damage, source: str | None, users: Users | None) -> dict[str, Any]:
    return {
        'digest': str(one.digest),
        'problem': one.problem,
        'unreadable': one.unreadable,
        'healed_from': source,
        'stages': list(users.stages) if users else [],
        'data': list(users.data) if users else [],
        'earlier': users.earlier if users else False,
    }


def _tell(one: Damage, source: str | None, users: Users | None) -> None:
    out(Line(f'  {"unreadable" if one.unreadable else "damaged":<10} {one.digest}: {one_line(one.problem)}', 'damaged'))
    if source is not None:
        out(f'  {"":<10} healed from {one_line(source)}')
    elif users is not None:
        out(f'  {"":<10} {_needed(users)}')


def _needed(users: Users) -> str:
    if users.data:
        return f'no copy is here, and tracked data needs it: {_some(users.data)}'
    if users.stages:
        return f'no copy is here; running makes it again: {_some(users.stages)}'
    return 'only results of earlier states need it' if users.earlier else 'nothing that is recorded here needs it'


def _some(names: Sequence[str]) -> str:
    return ', '.join(some([one_line(name) for name in names], NAMED))


def _advice(
    damage: Sequence[Damage],
    healed: Mapping[Digest, str],
    users: Mapping[Digest, Users],
    records: Sequence[tuple[str, str, bool]],
) -> Iterator[str]:
    left = [one for one in damage if one.digest not in healed]
    stages = sorted({name for one in left for name in users[one.digest].stages})
    tracked = sorted({path for one in left for path in users[one.digest].data})
    if any(not one.unreadable for one in left):
        yield 'Damaged objects were put aside, so nothing uses them.'
    if stages:
        yield f'To make again what {_some(stages)} made: mlops run'
    if tracked:
        yield f'To have {_some(tracked)} again: put a sound copy there, then mlops add'
    if any(one.unreadable for one in left) or any(unreadable for *_, unreadable in records):
        yield 'What could not be read was left where it is: the disk, or its permissions, need a look.'
    if any(not unreadable for *_, unreadable in records):
        yield 'Damaged results were put aside, and are made again by mlops run; of what is in git: git status, git checkout.'


def in_sample(share: tuple[int, int] | None) -> Callable[[Digest], bool]:
    """Digests are evenly spread, so part N of T is those that leave N - 1 when divided by T."""
    if share is None:
        return lambda _: True
    part, of = share
    return lambda digest: int(digest.hex[:12], 16) % of == part - 1


def parse_sample(text: str) -> tuple[int, int] | None:
    """``2/7`` -> (2, 7); ``10%`` -> (1, 10); '' -> None.  Raises UserError."""
    try:
        if not text:
            return None
        if text.endswith('%'):
            percent = float(text[:-1])
            if 0 < percent <= 100:
                return 1, max(1, round(100 / percent))
        else:
            part, _, of = text.partition('/')
            if 1 <= int(part) <= int(of):
                return int(part), int(of)
    except ValueError:
        pass
    raise UserError(f'--sample {text!r} is neither N/T nor X%', hint='such as --sample 2/7 or --sample 10%')
