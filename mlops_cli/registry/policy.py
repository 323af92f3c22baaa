"""Whether a version may hold an alias: gates, checks, approvals, signatures, as the team's policy asks.  Writes nothing.

Two policies count, that of the working tree and that of the default branch: a branch may ask for more, never for less."""

from __future__ import annotations

import unicodedata

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.files import read_small
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_standing import holders, label
from mlops_cli.records.models import Fact, Person, Version
from mlops_cli.records.policies import ModelPolicies, Policy, policy_for
from mlops_cli.registry.signing import LIMIT, Trunk, key_of, policies_in

HOLDER = '@'  # in front of a file of a gate: @prod/metrics.json is that of who holds prod


@dataclass(frozen=True, slots=True)
class Refusal:
    """``code``: 1 for a gate or check, 5 for everything else that a policy forbids.  ``hint``: what mends it, if a command."""

    text: str
    code: ExitCode = ExitCode.REFUSED
    hint: str = ''


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
    found = [policy_for(entries, name, alias) for entries in (_here(root), trunk.policies)]
    return tuple(policy for policy in dict.fromkeys(found) if policy != Policy())


def near_alias(root: Root, trunk: Trunk, model: Model, alias: str) -> str:
    """An alias that a policy names, or that a version of the model held, and that was perhaps meant; '' where there is none."""
    from difflib import get_close_matches  # for mistakes only

    entries = [*_here(root).values(), *trunk.policies.values()]
    known = {one for entry in entries for one in entry.aliases if not set(one) & set('*?')} | {*holders(model)}
    return next(iter(get_close_matches(alias, sorted(known - {alias}), n=1, cutoff=0.7)), '') if alias not in known else ''


def _here(root: Root) -> dict[str, ModelPolicies]:
    try:
        return policies_in(read_small(root, layout.CONFIG, LIMIT))
    except FileNotFoundError:
        return {}


# People


def authors(version: Version) -> tuple[Person, ...]:
    """Who cannot approve it: who registered it, and who ran what made it."""
    found = [version.who]
    if version.made.get('who'):
        found.append(Person(version.made['who'], version.made.get('email', '')))
    return tuple(found)


def same(one: Person, other: Person) -> bool:
    """Whether two may be one person: what one is called, by name or address, the other is called too."""
    return not _called(one).isdisjoint(_called(other))


def _called(who: Person) -> set[str]:
    """Name and address, and addresses in the name: everybody writes their own settings of git."""
    name = unicodedata.normalize('NFKC', who.name).casefold()
    email = unicodedata.normalize('NFKC', who.email).casefold()
    parts = (part.strip('<>()[]{},;:"\'') for part in f'{name} {email}'.split() if '@' in part)
    return {one for one in (' '.join(name.split()), ' '.join(email.split()), *parts) if one}


def same_signer(one: Version | Fact, other: Version | Fact) -> bool:
    """Whether both are the same person's, as named, or signed with one key."""
    keys = [key_of(signed.signature) for signed in (one, other)]
    return same(one.who, other.who) or (bool(keys[0]) and keys[0] == keys[1])


def is_author(version: Version, fact: Fact) -> bool:
    return same_signer(version, fact) or any(same(fact.who, author) for author in authors(version))


def refused(model: Model, version: Version, alias: str, judgement: Judgement) -> UserError:
    """Of several reasons the code of docs/exit-codes.md."""
    shown = label(model, version.digest)
    first = min(judgement.refusals, key=lambda one: one.code != ExitCode.REFUSED)
    text = '; '.join(one.text for one in judgement.refusals)
    hint = next((one.hint for one in reversed(judgement.refusals) if one.hint), '')  # an unsigned version needs no approval
    if not hint and len(judgement.approvals) < judgement.needed:
        sign = ' --sign' if any(policy.signed for policy in judgement.policies) else ''
        hint = f'somebody else: mlops models approve {model.name}@{shown} {alias}{sign}, and commit'
    return UserError(
        f'{model.name} {shown} may not become {alias}: {text}',
        hint=hint or f'what {alias} asks stands in {layout.CONFIG}',
        exit_code=first.code,
    )
