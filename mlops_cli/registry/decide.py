"""Decisions about a model: approve, promote, rollback, and what people say: tags and notes.  Each adds one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.clock import LATEST, from_iso, iso
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.locks import LockFile
from mlops_cli.fsio.paths import Root
from mlops_cli.records import models
from mlops_cli.records.model_files import Model, Models, unreadable
from mlops_cli.records.model_names import Named, find, resolve_in
from mlops_cli.records.model_standing import chain, holders, label, require_plain, tags
from mlops_cli.records.models import Fact, Person, Version
from mlops_cli.registry.court import Court, court_of
from mlops_cli.registry.policy import Judgement, is_author, near_alias, policies_of, refused
from mlops_cli.registry.register import LOCK
from mlops_cli.registry.signing import Trunk

Sign = Callable[[bytes], str]


@dataclass(frozen=True)
class Author:
    """``now``: seconds since 1970.  ``sign``: None where nothing is signed."""

    who: Person
    now: float
    text: str = ''
    sign: Sign | None = None


@dataclass(frozen=True)
class Decided:
    """``fact`` None: nothing had to be done.  ``before``: the version that held the alias until now.
    ``near``: an alias that was perhaps meant, where no policy asks anything of this one."""

    named: Named
    fact: Fact | None
    path: str = ''
    before: Version | None = None
    judgement: Judgement | None = None
    near: str = ''


@contextmanager
def deciding(root: Root) -> Iterator[Models]:
    """One after the other within a worktree."""
    with LockFile(layout.LOCKS, root=root, command='mlops models') as locks, locks.holding(LOCK, timeout=60):
        yield Models(root)


def approve(root: Root, batch: Batch, text: str, alias: str, author: Author) -> Decided:
    """Raises UserError: by an author of the model (5), by who may not, as the policy says (5)."""
    models.check_alias(alias)
    with deciding(root) as known:
        named = resolve_in(known, text)
        _require_whole(named.model)
        version, trunk = named.version, Trunk(root)
        said = models.check_text(author.text)
        fact = _signed(Fact('approval', version.name, version.digest, author.who, iso(author.now), alias, said), author)
        if is_author(version, fact):
            raise UserError(
                f'{author.who.shown} is an author of {named.shown}, and nobody approves their own work',
                hint='ask somebody else to; who registered it and who trained it are its authors',
                exit_code=ExitCode.REFUSED,
            )
        policies = policies_of(root, trunk, version.name, alias)
        for policy in policies:
            if not policy.may_approve(author.who.name, author.who.email):
                raise UserError(
                    f'{author.who.shown} is none of those whose approval counts for {alias}: {", ".join(policy.approvers)}',
                    hint=f'the policy stands in {layout.CONFIG}',
                    exit_code=ExitCode.REFUSED,
                )
        if any(policy.signed for policy in policies) and (problem := trunk.problem(fact)):
            raise UserError(
                f'{alias} asks for signed approvals, and this one would not count: {problem}',
                hint=f'--sign; your key has to stand in {layout.SIGNERS} of the default branch',
                exit_code=ExitCode.REFUSED,
            )
        near = '' if policies else near_alias(root, trunk, named.model, alias)
        path = known.add(fact, batch)
        batch.flush()
        counted = court_of(root, known.all[version.name], trunk, author.now).judge(version, alias)
    return Decided(named, fact, path, judgement=counted, near=near)


def promote(root: Root, batch: Batch, text: str, alias: str, author: Author) -> Decided:
    """Raises UserError: the policy is not fulfilled (5, or 1 where only gates and checks fail)."""
    models.check_alias(alias)
    with deciding(root) as known:
        named = resolve_in(known, text)
        model, version = named.model, named.version
        _require_whole(model)
        holder = holders(model).get(alias)
        if holder is not None and holder.problem is not None:
            raise holder.problem
        tips = holder.tips if holder else ()
        before = model.versions.get(tips[-1].version) if tips and tips[-1].version else None
        trunk = Trunk(root)
        court = court_of(root, model, trunk, author.now)
        judgement = court.judge(version, alias)
        if judgement.refusals:
            raise refused(model, version, alias, judgement)
        if len(tips) == 1 and tips[0].version == version.digest and court.stands(tips[0]):
            return Decided(named, None, tips[0].file, before, judgement)
        near = '' if judgement.policies else near_alias(root, trunk, model, alias)
        fact = _promotion(court, version, alias, 'promote', tips, judgement, author)
        _require_signed(fact, alias, judgement, trunk)
        path = known.add(fact, batch)
        batch.flush()
    return Decided(named, fact, path, before, judgement, near)


def rollback(root: Root, batch: Batch, name: str, alias: str, to: str, author: Author) -> Decided:
    """Back to the version that held the alias before, or to one that held it once.  That was allowed then, so it is now.

    Raises UserError: nobody held it before (2)."""
    with deciding(root) as known:
        model = find(known, name)
        _require_whole(model)
        holder = holders(model).get(alias)
        if holder is None:
            raise UserError(f'nobody ever held {alias[:40]} of {model.name}', hint=f'mlops models history {model.name}')
        if holder.problem is not None:
            raise holder.problem
        tip = require_plain(model, holder) if not to else holder.tips[-1]
        past = tuple(dict.fromkeys(fact for one in holder.tips for fact in chain(model, one)))
        target = _target(known, model, past, to, alias)
        trunk = Trunk(root)
        court = court_of(root, model, trunk, author.now)
        earlier = court.earlier(holder.tips, target)
        if earlier is None:
            raise _no_way_back(model, target, alias, f'never held {alias} by a promotion')
        judgement, problems = court.held(earlier)
        if judgement.refusals:
            raise refused(model, target, alias, judgement)
        if problems:
            raise _no_way_back(model, target, alias, f'held {alias} by a promotion that does not stand: {"; ".join(problems)}')
        fact = _promotion(court, target, alias, 'rollback', holder.tips, judgement, author)
        _require_signed(fact, alias, judgement, trunk)
        path = known.add(fact, batch)
        batch.flush()
        before = model.versions.get(tip.version) if tip.version else None
    return Decided(Named(model, target, alias, fact), fact, path, before, judgement)


def _no_way_back(model: Model, target: Version, alias: str, why: str) -> UserError:
    shown = label(model, target.digest)
    return UserError(
        f'{model.name} {shown} {why}, so this is no way back',
        hint=f'mlops models promote {model.name}@{shown} {alias}',
        exit_code=ExitCode.REFUSED if 'stand' in why else ExitCode.WRONG_INPUT,
    )


def _target(known: Models, model: Model, past: tuple[Fact, ...], to: str, alias: str) -> Version:
    promoted = [fact.version for fact in past if fact.decision == 'promote' and fact.version is not None]
    if to:
        target = resolve_in(known, f'{model.name}@{to.rpartition("@")[2]}').version
        if target.digest not in promoted:
            raise _no_way_back(model, target, alias, f'never held {alias}')
        return target
    now = past[0].version
    held = _before(model, past)
    if held is None or held == now:
        raise UserError(
            f'{label(model, now)} of {model.name} is the first that held {alias}: there is nothing to go back to',
            hint=f'mlops models promote {model.name}@VERSION {alias}',
        )
    return model.versions[held]


def _before(model: Model, past: tuple[Fact, ...]) -> Digest | None:
    """The version that one goes back to: what the present one took the place of, when it was promoted for the first time.

    So a second step back goes one further, and not to where the first one came from."""
    now = past[0].version
    first = next((fact for fact in reversed(past) if fact.version == now and fact.decision == 'promote'), past[0])
    for digest in first.follows:
        if (one := model.facts.get(digest)) is not None and one.version != now:
            return one.version
    return None


def tag(
    root: Root, batch: Batch, text: str, wanted: list[str], off: bool, author: Author
) -> tuple[str, tuple[str, ...], list[str]]:
    """Of a version (``NAME@...``) or of the model as a whole (``NAME``); (what was tagged, its tags now, files written)."""
    with deciding(root) as known:
        named = resolve_in(known, text) if '@' in text else None
        model = named.model if named else find(known, text)
        _require_whole(model)
        digest = named.version.digest if named else None
        have = tags(model, digest)
        change = [one for one in dict.fromkeys(map(models.check_tag, wanted)) if (one in have) == off]
        if not off:  # use-case=ocr takes the place of use-case=faces
            keys = {one.partition('=')[0] for one in change if '=' in one}
            gone = [one for one in have if '=' in one and one.partition('=')[0] in keys and one not in wanted]
        else:
            gone = []
        when = _after(model, digest, {*gone, *change}, author.now)
        paths = []
        for one, away in [*((one, True) for one in gone), *((one, off) for one in change)]:
            paths.append(known.add(Fact('tag', model.name, digest, author.who, when, text=one, off=away), batch))
        batch.flush()
        now = tags(known.all[model.name], digest)
    return (named.shown if named else model.name), now, paths


def _after(model: Model, digest: Digest | None, words: set[str], now: float) -> str:
    """Later than what was said of these tags before, whatever the clocks of others said: the last word counts.  Raises
    UserError (exit 5) where nothing could be later."""
    facts = [fact for fact in model.of_kind('tag') if fact.version == digest and fact.text in words]
    last = max(facts, key=lambda fact: fact.when, default=None)
    when = now if last is None else max(now, from_iso(last.when) + 1)
    if last is not None and when > LATEST:
        raise UserError(
            f'the tag {last.text} was given on {last.when[:10]}, by its file, so nothing comes after it',
            hint=f'if nobody means it: git rm {last.file}',
            exit_code=ExitCode.REFUSED,
        )
    return iso(when)


def note(root: Root, batch: Batch, text: str, author: Author) -> tuple[str, str]:
    """(what it is about, the file).  Raises UserError for an empty note."""
    said = models.check_text(author.text)
    if not said:
        raise UserError('the note is empty', hint='mlops models note NAME@v1 "what there is to say"')
    with deciding(root) as known:
        named = resolve_in(known, text) if '@' in text else None
        model = named.model if named else find(known, text)
        fact = Fact('note', model.name, named.version.digest if named else None, author.who, iso(author.now), text=said)
        path = known.add(fact, batch)
        batch.flush()
    return (named.shown if named else model.name), path


def _promotion(
    court: Court, version: Version, alias: str, decision: str, tips: tuple[Fact, ...], judgement: Judgement, author: Author
) -> Fact:
    rests = tuple(sorted({one.digest for one in judgement.approvals}))
    when = iso(court.moment(version, tips, judgement))
    follows = tuple(sorted(tip.digest for tip in tips))
    gates = tuple(text[: models.TEXT] for text in judgement.gates)
    said = models.check_text(author.text)
    fact = Fact(
        'promotion', version.name, version.digest, author.who, when, alias, said, decision, follows, rests, gates
    )
    return _signed(fact, author)


def _require_signed(fact: Fact, alias: str, judgement: Judgement, trunk: Trunk) -> None:
    if any(policy.signed for policy in judgement.policies) and (problem := trunk.problem(fact)):
        raise UserError(
            f'{alias} asks for signed promotions, and this one would not count: {problem}',
            hint=f'--sign; your key has to stand in {layout.SIGNERS} of the default branch',
            exit_code=ExitCode.REFUSED,
        )


def _signed(fact: Fact, author: Author) -> Fact:
    return replace(fact, signature=author.sign(fact.signed_part)) if author.sign else fact


def _require_whole(model: Model) -> None:
    if model.problems:
        raise unreadable(model)
