"""What follows from the facts about a model: who holds which alias, since when, which tags count.  Values in, values out.

Promotions of an alias name those that they take the place of.  So what was decided on two branches stays two decisions after
their merge, whatever the clocks said, until somebody decides between them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.records.model_files import Model
from mlops_cli.records.models import Fact, Version

USE_CASE = 'use-case'  # the tag by which models are grouped


@dataclass(frozen=True)
class Holder:
    """Who holds an alias.  ``tips``: the promotions that nothing has taken the place of: several where two branches decided,
    and nobody between them.  ``problem``: why nobody can say who holds it; None where it is plain."""

    alias: str
    tips: tuple[Fact, ...]
    problem: UserError | None = None

    @property
    def versions(self) -> tuple[Digest, ...]:
        return tuple(dict.fromkeys(tip.version for tip in self.tips if tip.version is not None))

    @property
    def disputed(self) -> bool:
        return len(self.versions) > 1


def holders(model: Model) -> dict[str, Holder]:
    """By alias."""

    def found() -> dict[str, Holder]:
        facts: dict[str, list[Fact]] = {}
        for fact in model.of_kind('promotion'):
            facts.setdefault(fact.alias, []).append(fact)
        return {alias: _holder(model, alias, those) for alias, those in sorted(facts.items())}

    known: dict[str, Holder] = model.once('holders', found)
    return known


def _holder(model: Model, alias: str, facts: list[Fact]) -> Holder:
    replaced = {digest for fact in facts for digest in fact.follows}
    tips = tuple(fact for fact in facts if fact.digest not in replaced)
    return Holder(alias, tips, _broken(model, facts))


def _broken(model: Model, facts: list[Fact]) -> UserError | None:
    """Why the promotions of an alias do not hang together."""
    known = {fact.digest for fact in facts}
    for fact in facts:
        if gone := [digest for digest in fact.follows if digest not in known]:
            return _doubt(fact, f'the promotion that it takes the place of ({gone[0].short}) is gone')
        if fact.version not in model.versions:
            return _doubt(fact, f'the version that it names ({fact.version.short if fact.version else ""}) is gone')
    return None


def _doubt(fact: Fact, problem: str) -> UserError:
    return UserError(
        f'who holds {fact.alias} of {fact.name} cannot be told: {problem}',
        where=Where(fact.file),
        exit_code=ExitCode.FAILED,
        hint=f'git log -- {fact.file.rpartition("/")[0]} shows who took it away; git checkout brings it back',
    )


def require_plain(model: Model, holder: Holder) -> Fact:
    """The promotion by which an alias is held.  Raises UserError where that is damaged, or two branches decided differently."""
    if holder.problem is not None:
        raise holder.problem
    if not holder.tips:  # promotions that follow each other in a circle: nobody wrote them
        raise UserError(
            f'who holds {holder.alias} of {model.name} cannot be told: its promotions follow each other in a circle',
            exit_code=ExitCode.FAILED,
            hint='mlops models verify tells which files are not as mlops writes them',
        )
    if holder.disputed:
        said = '; '.join(f'{label(model, tip.version)} by {tip.who.name} on {tip.when[:10]}' for tip in holder.tips)
        raise UserError(
            f'two branches promoted to {holder.alias} of {model.name}, and nobody has decided between them: {said}',
            exit_code=ExitCode.REFUSED,
            hint=f'decide: mlops models promote {model.name}@VERSION {holder.alias}',
        )
    return holder.tips[-1]


def chain(model: Model, tip: Fact) -> tuple[Fact, ...]:
    """A promotion and those before it, newest first."""
    found: dict[Digest, Fact] = {}
    waiting = [tip]
    while waiting:
        fact = waiting.pop(0)
        if fact.digest not in found:
            found[fact.digest] = fact
            waiting += sorted(
                (model.facts[one] for one in fact.follows if one in model.facts), key=lambda one: one.when, reverse=True
            )
    return tuple(found.values())


def label(model: Model, digest: Digest | None) -> str:
    """``v3``; with a part of its digest where another version has that number too."""
    version = model.versions.get(digest) if digest else None
    if version is None:
        return digest.short if digest else 'nobody'
    return version.id if doubled(model, version) else version.label


def doubled(model: Model, version: Version) -> bool:
    """Whether two branches gave one number to different versions."""
    counts: Counter[int] = model.once('numbers', lambda: Counter(other.number for other in model.versions.values()))
    return counts[version.number] > 1


def doubles(model: Model) -> list[str]:
    """``v3 (v3-01234567, v3-89abcdef)``, of each such number."""
    numbers: dict[int, list[str]] = {}
    for version in model.numbered:
        numbers.setdefault(version.number, []).append(version.id)
    return [f'v{number} ({", ".join(ids)})' for number, ids in numbers.items() if len(ids) > 1]


def tags(model: Model, version: Digest | None) -> tuple[str, ...]:
    """Of a version, or of the model as a whole; of each the last word counts."""

    def found() -> dict[Digest | None, dict[str, bool]]:
        last: dict[Digest | None, dict[str, bool]] = {}
        for fact in model.of_kind('tag'):
            last.setdefault(fact.version, {})[fact.text] = fact.off
        return last

    return tuple(sorted(tag for tag, off in model.once('tags', found).get(version, {}).items() if not off))


def tag_value(tags_of: Iterable[str], key: str) -> str:
    """``ocr`` of ``use-case=ocr``; empty where there is no such tag."""
    return next((tag.partition('=')[2] for tag in tags_of if tag.partition('=')[0] == key), '')


def approvals(model: Model, version: Digest, alias: str) -> tuple[Fact, ...]:
    """Oldest first."""
    return tuple(fact for fact in model.of_kind('approval') if fact.version == version and fact.alias == alias)


def aliases_of(model: Model, version: Digest) -> tuple[str, ...]:
    """The aliases that a version holds; with a question mark where that is disputed."""
    return tuple(
        f'{alias}{"?" if held.disputed or held.problem else ""}'
        for alias, held in holders(model).items()
        if version in held.versions
    )
