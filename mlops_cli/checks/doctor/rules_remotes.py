"""What remotes that were asked said."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.checks.doctor.facts import Facts, Finding


def remotes(facts: Facts) -> Iterator[Finding]:
    for one in facts.remotes or ():
        what = f'remote {one.name} ({one.url})'
        if one.reads and not one.writes:
            yield Finding('remotes', 'note', f'{what} can be read, and not written: {one.problem}', one.hint)
        elif not one.reads:
            yield Finding('remotes', 'wrong', f'{what} does not work: {one.problem}', one.hint)
