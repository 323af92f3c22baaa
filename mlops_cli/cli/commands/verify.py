"""``mlops verify``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from mlops_cli.cli import exits, options
from mlops_cli.cli.console import Line, one_line, out, print_json
from mlops_cli.cli.progress import Progress
from mlops_cli.cli.wiring import workbench
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import plural, show_size

EXITS = exits.line(failed='damage found')


def command(
    sample: Annotated[
        str, options.Option('--sample', metavar='N/T|X%', help='Only part N of T, or about X percent of the objects.')
    ] = '',
    json: options.Json = False,
) -> int:
    """Read every stored object and compare it with its name.  Exit 1 if one is damaged.

    Example:  mlops verify --sample 1/7        another seventh every day
    """
    share = parse_sample(sample)
    checked = size = 0

    def seen(_: Digest, of: int) -> None:
        nonlocal checked, size
        checked, size = checked + 1, size + of
        progress.step()

    with workbench() as bench, Progress(lambda: f'  verifying {plural(checked, "object")}, {show_size(size)}') as progress:
        damage = list(bench.store.verify(in_sample(share), seen=seen))
    if json:
        rows = [{'digest': str(one.digest), 'problem': one.problem, 'unreadable': one.unreadable} for one in damage]
        print_json({'schema': 'mlops/verify/v1', 'checked': checked, 'bytes': size, 'damaged': rows})
        return ExitCode.FAILED if damage else ExitCode.DONE
    for one in damage:
        out(Line(f'  {"unreadable" if one.unreadable else "damaged":<10} {one.digest}: {one_line(one.problem)}', 'damaged'))
    part = f' (part {share[0]} of {share[1]})' if share else ''
    found = f'{len(damage)} damaged' if damage else 'all sound'
    out(f'{plural(checked, "object")}, {show_size(size)} read{part}, {found}.')
    if any(not one.unreadable for one in damage):
        out('Damaged objects were put aside: mlops run makes them again, or put a sound copy into the cache.')
    return ExitCode.FAILED if damage else ExitCode.DONE


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
