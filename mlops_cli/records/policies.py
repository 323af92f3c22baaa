"""What a team asks before an alias of a model may move, as ``.mlops/config.yaml`` has it (docs/howto/models.md).

Read from the tracked file alone: what a person could set for themselves would be no policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.core.units import parse_duration

KEYS = ('gates', 'checks', 'approvals', 'approvers', 'signed', 'expires', 'after')
ANY = '*'
MOST = 100  # entries of a list, aliases of a model
TEXT = 2000
_NAME = pattern(r'[A-Za-z0-9_*?][A-Za-z0-9_.*?-]{0,99}')
_ALIAS = pattern(r'[a-z*?][a-z0-9._*?-]{0,39}')


@dataclass(frozen=True, slots=True)
class Policy:
    """``gates``: expressions over the version's metrics, and with ``@ALIAS/`` in front over those of an alias's holder.
    ``checks``: stages that had to have passed when it was registered.  ``approvals``: by how many people other than the author.
    ``approvers``: patterns of names or addresses that count; empty: everybody's.  ``signed``: version, approvals and promotion
    need signatures.  ``expires_seconds``: how long an approval counts; None: for good.  ``after``: aliases of which it has to
    have held one before."""

    gates: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    approvals: int = 0
    approvers: tuple[str, ...] = ()
    signed: bool = False
    expires_seconds: float | None = None
    after: tuple[str, ...] = ()

    def may_approve(self, name: str, email: str) -> bool:
        """Addresses are compared without regard to case."""
        return not self.approvers or any(
            fnmatchcase(name, one) or (bool(email) and fnmatchcase(email.casefold(), one.casefold())) for one in self.approvers
        )

    def to_json(self) -> dict[str, Any]:
        """What differs from asking nothing, in the words of the file."""
        found: dict[str, Any] = {
            'gates': list(self.gates), 'checks': list(self.checks), 'approvals': self.approvals,
            'approvers': list(self.approvers), 'signed': self.signed, 'after': list(self.after),
        }  # fmt: skip
        if self.expires_seconds is not None:
            found['expires'] = f'{self.expires_seconds:g}s'
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class ModelPolicies:
    """Of one entry: alias, or a pattern of aliases -> policy, in the order of the file."""

    aliases: Mapping[str, Policy] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {alias: policy.to_json() for alias, policy in self.aliases.items()}


class Mistake(ValueError):
    """``inside``: where in the value."""

    def __init__(self, problem: str, *inside: str | int) -> None:
        super().__init__(problem)
        self.inside = inside


def policy_for(entries: Mapping[str, ModelPolicies], name: str, alias: str) -> Policy:
    """Of the entries that fit, the last one in the file counts, as in CODEOWNERS; without any, nothing is asked."""
    for pattern_of, entry in reversed(list(entries.items())):
        if fnmatchcase(name, pattern_of):
            for one, policy in reversed(list(entry.aliases.items())):
                if fnmatchcase(alias, one):
                    return policy
    return Policy()


def check_name(name: str) -> None:
    """Raises ValueError for what no model can be called, nor a pattern of names."""
    if not _NAME.fullmatch(name):
        raise ValueError('is no name of a model, and no pattern of such names')


def read_policies(value: Any) -> ModelPolicies:
    """Raises ValueError, whose text follows on the name of the setting."""
    if not isinstance(value, dict) or len(value) > MOST:
        raise ValueError('is not a mapping from aliases to what they ask')
    found = {}
    for alias, policy in value.items():
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise Mistake(f'has {str(alias)[:40]!r}, which is no alias', str(alias))
        found[alias] = _policy(alias, policy)
    return ModelPolicies(found)


def _policy(alias: str, value: Any) -> Policy:
    if not isinstance(value, dict):
        raise Mistake(f'{alias} is not a mapping of {", ".join(KEYS)}', alias)
    for key in value:
        if key not in KEYS:
            raise Mistake(f'{alias} has {str(key)[:40]!r} in it ({did_you_mean(str(key), KEYS, what="there are")})', alias, key)
    approvals, signed, expires = value.get('approvals', 0), value.get('signed', False), value.get('expires')
    if isinstance(approvals, bool) or not isinstance(approvals, int) or not 0 <= approvals <= MOST:
        raise Mistake(f'{alias}: approvals is not a whole number from 0 to {MOST}', alias, 'approvals')
    if not isinstance(signed, bool):
        raise Mistake(f'{alias}: signed is neither true nor false', alias, 'signed')
    seconds = None
    if expires is not None:
        try:
            seconds = parse_duration(expires) if isinstance(expires, str | int | float) and expires is not True else None
        except ValueError as error:
            raise Mistake(f'{alias}: expires {error}', alias, 'expires') from error
        if seconds is None or not math.isfinite(seconds) or seconds <= 0:
            raise Mistake(f'{alias}: expires is no time such as 30d', alias, 'expires')
    lists = {key: _texts(alias, key, value.get(key, [])) for key in ('gates', 'checks', 'approvers', 'after')}
    return Policy(lists['gates'], lists['checks'], approvals, lists['approvers'], signed, seconds, lists['after'])


def _texts(alias: str, key: str, value: Any) -> tuple[str, ...]:
    good = isinstance(value, list) and len(value) <= MOST
    if not good or not all(isinstance(one, str) and 0 < len(one) <= TEXT for one in value):
        raise Mistake(f'{alias}: {key} is not a list of texts', alias, key)
    return tuple(value)
