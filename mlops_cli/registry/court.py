"""The policies at work on one model: whether a version may hold an alias, and whether those that were promoted may.

Nothing that a file says about what was decided is believed where it can be decided again: the promotions that one rests on are
looked at as it is itself.  Writes nothing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlops_cli.checks.gate import FAILED, PASSED, evaluate, files_of
from mlops_cli.checks.sources import NobodyYet, Sources, of_metrics
from mlops_cli.core import layout
from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.units import ago, plural
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_standing import approvals as approvals_of
from mlops_cli.records.model_standing import chain, holders, label
from mlops_cli.records.models import Fact, Version
from mlops_cli.records.policies import Policy
from mlops_cli.registry.policy import Judgement, Refusal, authors, is_author, policies_of, same_signer
from mlops_cli.registry.signing import Trunk

HOLDER = '@'  # in front of a file of a gate: @prod/metrics.json is that of who holds prod
SKEW = 86400.0  # seconds by which clocks of people may differ
MOST = 1000  # combinations of holders that a gate is compared with
_HOLDERS = re.compile(r'@([a-z][a-z0-9._-]*)/')
Held = tuple[Judgement, tuple[str, ...]]


def court_of(root: Root, model: Model, trunk: Trunk, now: float) -> Court:
    """With the policies of the working tree and of the default branch."""
    return Court(model, trunk, lambda alias: policies_of(root, trunk, model.name, alias), now)


class Court:
    """``policies``: those of an alias.  ``now``: seconds since 1970.  All of it raises UserError where policies, or what says
    whose keys count, cannot be read."""

    def __init__(self, model: Model, trunk: Trunk, policies: Callable[[str], tuple[Policy, ...]], now: float) -> None:
        self._model, self._trunk, self._now = model, trunk, now
        self._read = policies
        self._asked: dict[str, tuple[Policy, ...]] = {}
        self._known: dict[Digest, Held] = {}
        self._open: set[Digest] = set()
        self._walks = False

    def policies(self, alias: str) -> tuple[Policy, ...]:
        if alias not in self._asked:
            self._asked[alias] = self._read(alias)
        return self._asked[alias]

    def judge(self, version: Version, alias: str, *, past: Fact | None = None) -> Judgement:
        """``past``: the promotion that is looked at again: as of its time, and against who held the alias before it."""
        policies = self.policies(alias)
        refusals: list[Refusal] = []
        counted, others = self._approvals(version, alias, past)
        needed = max((policy.approvals for policy in policies), default=0)
        if len(counted) < needed:
            refusals.append(Refusal(_lacking(version, alias, needed, counted, others)))
        said = []
        for expression in dict.fromkeys(gate for policy in policies for gate in policy.gates):
            passed, text = self._gate(version, alias, expression, past)
            said.append(text)
            if not passed:
                refusals.append(Refusal(text, ExitCode.FAILED))
        for check in dict.fromkeys(check for policy in policies for check in policy.checks):
            if check not in version.checks:
                refusals.append(Refusal(f'the check {check} had not passed when it was registered', ExitCode.FAILED))
        refusals += self._after(version, policies)
        if any(policy.signed for policy in policies) and (problem := self._trunk.problem(version)):
            refusals.append(Refusal(f'the signature of {version.label} does not count: {problem}', hint=_signing(version)))
        return Judgement(tuple(said), counted, others, tuple(refusals), policies)

    # Promotions that were written

    def stands(self, promotion: Fact) -> bool:
        """Whether it could be decided so today.  None stands of which that is being asked: it would rest on itself."""
        return promotion.digest not in self._open and promotion.version in self._model.versions and not self.held(promotion)[1]

    def held(self, promotion: Fact) -> Held:
        """(what the policies say of a promotion, why it does not stand)."""
        if promotion.digest not in self._known:
            if not self._walks and any(HOLDER in gate for one in self.policies(promotion.alias) for gate in one.gates):
                self._walks = True
                for fact in reversed(chain(self._model, promotion)[1:]):  # the oldest first: each rests on those before it
                    self.stands(fact)
                self._walks = False
            self._open.add(promotion.digest)
            try:
                self._known[promotion.digest] = self._held(promotion)
            finally:
                self._open.discard(promotion.digest)
        return self._known[promotion.digest]

    def _held(self, promotion: Fact) -> Held:
        assert promotion.version is not None
        version = self._model.versions[promotion.version]
        if promotion.decision == 'rollback':
            judgement, problems = self._back(promotion, version)
        else:
            judgement = self.judge(version, promotion.alias, past=promotion)
            problems = [one.text for one in judgement.refusals]
        problems += self._times(promotion, version)
        gone = [digest for digest in promotion.approvals if digest not in self._model.facts]
        if gone:
            problems.append(f'an approval that it rests on ({gone[0].short}) is gone')
        if any(policy.signed for policy in judgement.policies) and (problem := self._trunk.problem(promotion)):
            problems.append(f'the signature of the promotion does not count: {problem}')
        elif promotion.signature and (problem := self._trunk.problem(promotion)):
            problems.append(f'the promotion is signed, but: {problem}')
        return judgement, tuple(problems)

    def _back(self, promotion: Fact, version: Version) -> tuple[Judgement, list[str]]:
        """Of a rollback: what is said of the promotion by which the version came to hold the alias."""
        earlier = self.earlier((promotion,), version)
        if earlier is None:
            judgement = self.judge(version, promotion.alias, past=promotion)
            return judgement, ['it says that it goes back to a version that never held the alias']
        judgement, problems = self.held(earlier)
        return judgement, list(problems)

    def earlier(self, tips: Sequence[Fact], version: Version) -> Fact | None:
        """The promotion by which a version held the alias before: the newest that stands, else the newest."""
        found = [one for one in self._past(tips) if one.version == version.digest and one.decision == 'promote']
        return next((one for one in found if self.stands(one)), found[0] if found else None)

    def _past(self, tips: Sequence[Fact]) -> tuple[Fact, ...]:
        return tuple(dict.fromkeys(fact for tip in tips for fact in chain(self._model, tip)))

    def _times(self, promotion: Fact, version: Version) -> Iterator[str]:
        when = from_iso(promotion.when)
        if self._ahead(promotion):
            yield f'it is dated in the future ({promotion.when})'
        if when < from_iso(version.when):
            yield f'it is dated before {version.label} was registered'
        before = [self._model.facts[one] for one in promotion.follows if one in self._model.facts]
        if any(when < from_iso(one.when) and not self._ahead(one) for one in before):
            yield 'it is dated before the promotion that it takes the place of'

    def _ahead(self, fact: Fact) -> bool:
        return from_iso(fact.when) > self._now + SKEW

    def moment(self, version: Version, tips: Sequence[Fact], judgement: Judgement) -> float:
        """When something is promoted: now, but not before what it rests on, as clocks differ."""
        rests: list[Version | Fact] = [version, *judgement.approvals]
        before = [from_iso(tip.when) + 1 for tip in tips if not self._ahead(tip)]
        return max([self._now, *(from_iso(one.when) for one in rests if from_iso(one.when) <= self._now + SKEW), *before])

    # Approvals

    def _approvals(
        self, version: Version, alias: str, past: Fact | None
    ) -> tuple[tuple[Fact, ...], tuple[tuple[Fact, str], ...]]:
        counted: list[Fact] = []
        others: list[tuple[Fact, str]] = []
        for fact in approvals_of(self._model, version.digest, alias):
            if why := self._why_not(fact, version, self.policies(alias), past):
                others.append((fact, why))
            elif any(same_signer(fact, other) for other in counted):
                others.append((fact, 'the same person approved already'))
            else:
                counted.append(fact)
        return tuple(counted), tuple(others)

    def _why_not(self, fact: Fact, version: Version, policies: Sequence[Policy], past: Fact | None) -> str:
        """Empty where the approval counts."""
        if is_author(version, fact):
            return 'they are an author of it'
        age = (self._now if past is None else from_iso(past.when)) - from_iso(fact.when)
        if age < (-SKEW if past is None else 0):
            return 'it is dated in the future' if past is None else 'it is from after the promotion'
        for policy in policies:
            if not policy.may_approve(fact.who.name, fact.who.email):
                return 'not one of ' + ', '.join(policy.approvers)
            if policy.expires_seconds is not None and age > policy.expires_seconds:
                return f'expired, it is from {ago(age)}'
        if any(policy.signed for policy in policies) or fact.signature:
            return self._trunk.problem(fact)
        return ''

    # Gates

    def _gate(self, version: Version, alias: str, expression: str, past: Fact | None) -> tuple[bool, str]:
        """(whether it holds, what is said about it).  Where nobody held an alias, what it compares with that is left out.

        Who held another alias at the time of an earlier promotion is not recorded: then it has to say itself that the gate
        passed, and to hold against one of those who ever held that alias."""
        try:
            names = dict.fromkeys(found[1] for file in files_of(expression) if (found := _HOLDERS.match(file)))
        except UserError as error:
            return False, f'{FAILED} {expression} ({error.message})'
        others = [name for name in names if past is not None and name != alias]
        if past is not None and others and not any(text.startswith(f'{PASSED} {_plain(expression)}') for text in past.gates):
            return False, f'{FAILED} {expression} (the promotion does not say that it passed)'
        for name in names if past is None else ():
            holder = holders(self._model).get(name)
            if holder is not None and (holder.problem is not None or not holder.tips):
                why = holder.problem.message if holder.problem else f'promotions to {name} follow each other in a circle'
                return False, f'{FAILED} {expression} ({why})'
        known = {name: self._holders(name, alias, past) for name in names}
        mine = [[(name, one) for one in known[name] or (None,)] for name in names if name not in others]
        theirs = [[(name, one) for one in known[name] or (None,)] for name in others]
        last = (True, '')
        for fixed in itertools.islice(itertools.product(*mine), MOST):
            tried = itertools.islice(itertools.product(*theirs), MOST)
            results = (self._evaluated(version, expression, dict([*fixed, *free])) for free in tried)
            last = next((result for result in results if result[0]), None) or self._evaluated(
                version, expression, dict([*fixed, *(one[0] for one in theirs)])
            )
            if not last[0]:
                break
        return last

    def _holders(self, name: str, alias: str, past: Fact | None) -> list[Version]:
        """The versions that one has to compare with: of the alias in question who held it last; where nothing of that stands,
        all that ever did, so that no promotion by hand lowers what has to be reached."""
        if past is not None and name != alias:
            every = [fact for fact in self._model.of_kind('promotion') if fact.alias == name]
            return self._versions([fact for fact in every if self.stands(fact)] or every)
        if past is not None:
            tips = [self._model.facts[one] for one in past.follows if one in self._model.facts]
        else:
            holder = holders(self._model).get(name)
            tips = list(holder.tips) if holder else []
        found: list[Fact] = []
        seen: set[Digest] = set()
        while tips:
            fact = tips.pop()
            if fact.digest in seen:
                continue
            seen.add(fact.digest)
            if self.stands(fact):
                found.append(fact)
            else:
                tips += [self._model.facts[one] for one in fact.follows if one in self._model.facts]
        return self._versions(found or [self._model.facts[one] for one in seen])

    def _versions(self, facts: Sequence[Fact]) -> list[Version]:
        digests = dict.fromkeys(fact.version for fact in facts if fact.version is not None)
        return [self._model.versions[one] for one in digests if one in self._model.versions]

    def _evaluated(self, version: Version, expression: str, against: dict[str, Version | None]) -> tuple[bool, str]:
        def held(name: str) -> Version:
            if (found := against[name]) is None:
                raise NobodyYet(f'nobody holds {name} yet')
            return found

        def numbers(file: str) -> dict[str, Any]:
            of = version
            if file.startswith(HOLDER):
                name, _, file = file.removeprefix(HOLDER).partition('/')
                if name not in against:
                    raise UserError(f'{name[:40]} is no alias', hint='such as @prod/best.json:accuracy')
                of = held(name)
            return _numbers(of, file)

        def several(file: str, _quoted: bool) -> Sources | None:
            if '*' not in file:
                return None
            name, _, inside = file.removeprefix(HOLDER).partition('/') if file.startswith(HOLDER) else ('', '', file)
            if name and name not in against:
                return None
            of, shown = (held(name), f'{HOLDER}{name}/') if name else (version, '')
            found = of_metrics(inside, of.numbers, shown)
            return found if found.all else None  # then it is told as a file that has no metrics

        try:
            result = evaluate(expression, numbers, several, first=True)
        except UserError as error:
            return False, f'{FAILED} {expression} ({error.message})'
        said = ', '.join(f'{name} was {label(self._model, one.digest)}' for name, one in against.items() if one)
        return result.passed, f'{result.text}; {said}' if said else result.text

    # Aliases before

    def _after(self, version: Version, policies: Sequence[Policy]) -> list[Refusal]:
        """A promotion to one of them has to stand itself."""
        wanted = {alias for policy in policies for alias in policy.after}
        facts = [fact for fact in self._model.of_kind('promotion') if fact.version == version.digest and fact.alias in wanted]
        had = {fact.alias for fact in facts if self.stands(fact)}
        refusals = []
        for policy in policies:
            if policy.after and had.isdisjoint(policy.after):
                names = ' or '.join(policy.after)
                fallen = any(fact.alias in policy.after for fact in facts)
                more = ', but for a promotion that its own policy does not allow' if fallen else ''
                shown = f'{version.name}@{label(self._model, version.digest)}'
                first = f'first: mlops models promote {shown} {policy.after[0]}'
                refusals.append(Refusal(f'it has never held {names}{more}', hint=first))
        return refusals


def _plain(expression: str) -> str:
    return ' '.join(expression.split())


def _numbers(version: Version, file: str) -> dict[str, Any]:
    """The recorded metrics of a file.  Raises UserError."""
    found = version.numbers.get(file)
    if not found:
        files = ', '.join(dict.fromkeys(of for of, _, _ in version.metrics)) or 'none'
        raise UserError(f'{version.label} has no metrics of {file}; it has those of: {files}')
    return found


def _signing(version: Version) -> str:
    """What gives a version a signature that counts."""
    if version.signature:
        return f'its key has to stand in {layout.SIGNERS} of the default branch'
    return f'with its files in the workspace: mlops models register {version.name} --sign; it becomes a version of its own'


def _lacking(version: Version, alias: str, needed: int, counted: Sequence[Fact], others: Sequence[tuple[Fact, str]]) -> str:
    who = ' or '.join(dict.fromkeys(one.name for one in authors(version)))
    text = f'it has {len(counted)} of {plural(needed, "approval")} for {alias} by people other than {who}'
    said = '; '.join(f'that of {fact.who.name} does not count: {why}' for fact, why in others[:3])
    return f'{text} ({said})' if said else text
