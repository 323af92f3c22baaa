"""Whether a version may hold an alias: gates, checks, approvals, signatures, as the team's policy asks.  Writes nothing.

Two policies count, that of the working tree and that of the default branch: a branch may ask for more, never for less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_cli.checks.gate import evaluate
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import from_iso
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import ago, plural
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import read_small
from mlops_cli.records.model_files import Model
from mlops_cli.records.models import Fact, Person, Version
from mlops_cli.records.policies import Policy, policy_for
from mlops_cli.registry.signing import LIMIT, Trunk, policies_in
from mlops_cli.registry.standing import approvals as approvals_of
from mlops_cli.registry.standing import holders, label, require_plain

HOLDER = '@'  # in front of a file of a gate: @prod/metrics.json is that of who holds prod


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code``: 1 for a gate or check, 5 for everything else that a policy forbids."""

    text: str
    code: ExitCode = ExitCode.REFUSED


@dataclass(frozen=True)
class Judgement:
    """``gates``: what each said.  ``approvals``: those that count; ``others``: (approval, why it does not).  ``refusals``: why
    the version may not hold the alias; none where it may.  ``policies``: what was asked."""

    gates: tuple[str, ...]
    approvals: tuple[Fact, ...]
    others: tuple[tuple[Fact, str], ...]
    refusals: tuple[Refusal, ...]
    policies: tuple[Policy, ...]

    @property
    def needed(self) -> int:
        return max((policy.approvals for policy in self.policies), default=0)


def policies_of(root: Root, trunk: Trunk, name: str, alias: str) -> tuple[Policy, ...]:
    """Each once; those that ask nothing are left out.  Raises UserError where one cannot be read."""
    try:
        here = policies_in(read_small(root, layout.CONFIG, LIMIT))
    except FileNotFoundError:
        here = {}
    found = [policy_for(entries, name, alias) for entries in (here, trunk.policies)]
    return tuple(policy for policy in dict.fromkeys(found) if policy != Policy())


def judge(
    model: Model, version: Version, alias: str, policies: tuple[Policy, ...], trunk: Trunk, now: float, *,
    past: Fact | None = None,
) -> Judgement:  # fmt: skip
    """``now``: seconds since 1970.  ``past``: the promotion that is looked at again: approvals count that had not expired at
    its time, and gates that compare with a holder are not asked, for that has moved."""
    refusals: list[Refusal] = []
    counted, others = _approvals(model, version, alias, policies, trunk, now if past is None else from_iso(past.when))
    needed = max((policy.approvals for policy in policies), default=0)
    if len(counted) < needed:
        refusals.append(Refusal(_lacking(version, alias, needed, counted, others)))
    said = []
    for expression in dict.fromkeys(gate for policy in policies for gate in policy.gates):
        if past is not None and HOLDER in expression:
            continue
        passed, text = _gate(model, version, expression)
        said.append(text)
        if not passed:
            refusals.append(Refusal(text, ExitCode.FAILED))
    for check in dict.fromkeys(check for policy in policies for check in policy.checks):
        if check not in version.checks:
            refusals.append(Refusal(f'the check {check} had not passed when it was registered', ExitCode.FAILED))
    refusals += _after(model, version, policies)
    if any(policy.signed for policy in policies) and (problem := trunk.problem(version)):
        refusals.append(Refusal(f'the signature of {version.label} does not count: {problem}'))
    return Judgement(tuple(said), counted, others, tuple(refusals), policies)


# Approvals


def authors(version: Version) -> tuple[Person, ...]:
    """Who cannot approve it: who registered it, and who ran what made it."""
    found = [version.who]
    if version.made.get('who'):
        found.append(Person(version.made['who'], version.made.get('email', '')))
    return tuple(found)


def same(one: Person, other: Person) -> bool:
    """Whether two may be one person: the name or the address is the same."""
    names = ' '.join(one.name.split()).casefold() == ' '.join(other.name.split()).casefold() and bool(one.name.strip())
    return names or (bool(one.email) and one.email.casefold() == other.email.casefold())


def is_author(version: Version, who: Person) -> bool:
    return any(same(who, author) for author in authors(version))


def _approvals(
    model: Model, version: Version, alias: str, policies: Sequence[Policy], trunk: Trunk, now: float
) -> tuple[tuple[Fact, ...], tuple[tuple[Fact, str], ...]]:
    counted: list[Fact] = []
    others: list[tuple[Fact, str]] = []
    for fact in approvals_of(model, version.digest, alias):
        if why := _why_not(fact, version, policies, trunk, now):
            others.append((fact, why))
        elif any(same(fact.who, other.who) for other in counted):
            others.append((fact, 'the same person approved already'))
        else:
            counted.append(fact)
    return tuple(counted), tuple(others)


def _why_not(fact: Fact, version: Version, policies: Sequence[Policy], trunk: Trunk, now: float) -> str:
    """Empty where the approval counts."""
    if is_author(version, fact.who):
        return 'they are an author of it'
    for policy in policies:
        if not policy.may_approve(fact.who.name, fact.who.email):
            return 'not one of ' + ', '.join(policy.approvers)
        age = now - from_iso(fact.when)
        if policy.expires_seconds is not None and age > policy.expires_seconds:
            return f'expired, it is from {ago(age)}'
    if any(policy.signed for policy in policies) or fact.signature:
        return trunk.problem(fact)
    return ''


def _lacking(version: Version, alias: str, needed: int, counted: Sequence[Fact], others: Sequence[tuple[Fact, str]]) -> str:
    who = ' or '.join(dict.fromkeys(one.name for one in authors(version)))
    text = f'it has {len(counted)} of {plural(needed, "approval")} for {alias} by people other than {who}'
    said = '; '.join(f'that of {fact.who.name} does not count: {why}' for fact, why in others[:3])
    return f'{text} ({said})' if said else text


# Gates


def _gate(model: Model, version: Version, expression: str) -> tuple[bool, str]:
    """(whether it holds, what is said about it).  Where nobody holds the alias that it compares with, it holds."""
    try:
        result = evaluate(expression, lambda file: _numbers(model, version, file))
    except _NobodyYet as nobody:
        return True, f'gate passed: {expression} (nobody holds {nobody.alias} yet)'
    except UserError as error:
        return False, f'gate FAILED: {expression} ({error.message})'
    return result.passed, result.text


class _NobodyYet(Exception):
    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self.alias = alias


def _numbers(model: Model, version: Version, file: str) -> dict[str, Any]:
    """The recorded metrics of a file, of the version or of who holds an alias.  Raises UserError."""
    if file.startswith(HOLDER):
        alias, _, file = file.removeprefix(HOLDER).partition('/')
        holder = holders(model).get(alias)
        if holder is None:
            raise _NobodyYet(alias)
        held = require_plain(model, holder).version
        assert held is not None
        version = model.versions[held]
    found: dict[str, Any] = {name: number for of, name, number in version.metrics if of == file}
    if not found:
        files = ', '.join(dict.fromkeys(of for of, _, _ in version.metrics)) or 'none'
        raise UserError(f'{version.label} has no metrics of {file}; it has those of: {files}')
    return found


def _after(model: Model, version: Version, policies: Sequence[Policy]) -> list[Refusal]:
    held = {fact.alias for fact in model.of_kind('promotion') if fact.version == version.digest}
    return [
        Refusal(f'it has never held {" or ".join(policy.after)}')
        for policy in policies
        if policy.after and held.isdisjoint(policy.after)
    ]


def refused(model: Model, version: Version, alias: str, judgement: Judgement) -> UserError:
    """Of several reasons the code of docs/exit-codes.md."""
    shown = label(model, version.digest)
    first = min(judgement.refusals, key=lambda one: one.code != ExitCode.REFUSED)
    text = '; '.join(one.text for one in judgement.refusals)
    lacks = len(judgement.approvals) < judgement.needed
    hint = f'somebody else: mlops models approve {model.name}@{shown} {alias}, and commit' if lacks else ''
    return UserError(
        f'{model.name} {shown} may not become {alias}: {text}',
        hint=hint or f'what {alias} asks stands in {layout.CONFIG}',
        exit_code=first.code,
    )
