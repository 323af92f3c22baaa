"""Policies on values: who counts, what expires, what gates see; and how they are read."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.records import policies
from mlops_cli.records.model_files import Model
from mlops_cli.records.model_names import resolve_in
from mlops_cli.records.model_standing import aliases_of, chain, holders
from mlops_cli.records.models import ALIAS, Fact, Person, Version
from mlops_cli.records.policies import ModelPolicies, Policy, policy_for, read_policies
from mlops_cli.registry.court import Court
from mlops_cli.registry.policy import Judgement, Refusal, refused
from mlops_cli.registry.signing import Trunk, key_of, policies_in
from tests.support.project import Project

ADA, BEN, CLEO = (Person(name, f'{name.lower()}@example.org') for name in ('Ada', 'Ben', 'Cleo'))
NOW = from_iso('2026-11-20T12:00:00Z')


def version(number: int, accuracy: float = 0.9, *, checks: tuple[str, ...] = ('validate',), when: str = '10') -> Version:
    return Version(
        'digits', number, 'best.bin', ObjectRef(digest_of(b'%d' % number), 1, 'file'), '0' * 64, 'train', ADA,
        f'2026-11-20T{when}:00:00Z', (('train', digest_of(b'key'), '01234567'),),
        metrics=(('best.json', 'accuracy', accuracy),),
        made={'who': 'Dora'}, checks=checks,
    )  # fmt: skip


def approval(of: Version, who: Person, when: str = '2026-11-20T11:00:00Z', alias: str = 'prod') -> Fact:
    return Fact('approval', 'digits', of.digest, who, when, alias)


def promotion(of: Version, *follows: Fact, alias: str = 'prod', decision: str = 'promote', when: str = '11:30') -> Fact:
    before = tuple(one.digest for one in follows)
    return Fact('promotion', 'digits', of.digest, ADA, f'2026-11-20T{when}:00Z', alias, decision=decision, follows=before)


def model(*of: Version | Fact) -> Model:
    versions: dict[Digest, Version] = {one.digest: one for one in of if isinstance(one, Version)}
    return Model('digits', versions, {one.digest: one for one in of if isinstance(one, Fact)})


def only(policy: Policy, alias: str) -> tuple[Policy, ...]:
    return (policy,) if alias == 'prod' else ()


def asked(found: Model, of: Version, policy: Policy, now: float = NOW) -> tuple[list[str], list[str]]:
    with Root('/') as root:
        judged = Court(found, Trunk(root), partial(only, policy), now).judge(of, 'prod')
    return [one.text for one in judged.refusals], [fact.who.name for fact in judged.approvals]


def test_approvals_that_count() -> None:
    one = version(1)
    two = Policy(approvals=2)
    assert asked(model(one, approval(one, BEN), approval(one, CLEO)), one, two) == ([], ['Ben', 'Cleo'])
    (text,), _ = asked(model(one, approval(one, BEN), approval(one, BEN, '2026-11-20T11:10:00Z')), one, two)
    assert '1 of 2 approvals' in text and 'the same person' in text
    for author in (ADA, Person('ADA '), Person('Somebody', 'Ada@Example.org'), Person('Dora')):
        (text,), counted = asked(model(one, approval(one, author)), one, Policy(approvals=1))
        assert 'they are an author' in text and not counted, author
    (text,), _ = asked(model(one, approval(one, BEN, alias='staging')), one, Policy(approvals=1))
    assert '0 of 1' in text
    (text,), _ = asked(model(one, version(2), approval(version(2), BEN)), one, Policy(approvals=1))
    assert '0 of 1' in text


def test_one_person_is_not_two() -> None:
    one = version(1)
    two = Policy(approvals=2)
    for other in (Person('ben@example.org'), Person('B.', 'BEN@example.org'), Person('Ben <ben@example.org>'), Person(' bEN ')):
        (text,), _ = asked(model(one, approval(one, BEN), approval(one, other, '2026-11-20T11:10:00Z')), one, two)
        assert '1 of 2' in text and 'the same person' in text, other
    for author in (Person('ada@example.org'), Person('A. Lovelace', 'ADA@example.org'), Person('Eve', 'dora@example.org')):
        made = replace(one, made={'who': 'Dora', 'email': 'dora@example.org'})
        (text,), _ = asked(model(made, approval(made, author)), made, Policy(approvals=1))
        assert 'they are an author' in text, author


def test_a_signature_is_of_an_address() -> None:
    one = replace(version(1), signature='-----BEGIN SSH SIGNATURE-----\n', who=Person('ada@example.org'))
    with Root('/') as root:
        assert 'no address' in Trunk(root).problem(one)
    assert key_of('') == key_of('x\n!') == key_of('x\nAAAA') == b''


def test_an_approval_is_from_before_the_promotion() -> None:
    one = version(1)
    later = approval(one, BEN, '2026-11-20T11:31:00Z')
    assert 'from after the promotion' in fallen(Policy(approvals=1), one, promotion(one), later)
    assert not fallen(Policy(approvals=1), one, promotion(one), approval(one, BEN))
    (text,), _ = asked(model(one, approval(one, BEN, '2026-11-22T00:00:00Z')), one, Policy(approvals=1))
    assert 'dated in the future' in text
    ahead = approval(one, BEN, '2026-11-20T12:30:00Z')  # a clock that is ahead
    assert asked(model(one, ahead), one, Policy(approvals=1))[0] == []


def fallen(policy: Policy, *of: Version | Fact) -> str:
    """Why the last promotion to prod does not stand."""
    found = model(*of)
    with Root('/') as root:
        court = Court(found, Trunk(root), partial(only, policy), NOW)
        return '; '.join(court.held(holders(found)['prod'].tips[-1])[1])


def test_a_promotion_by_hand_dated_as_it_suits() -> None:
    one, two = version(1), version(2)
    first = promotion(one)
    nothing = Policy(checks=('validate',))
    assert not fallen(nothing, one, first)
    assert 'before v1 was registered' in fallen(nothing, one, promotion(one, when='09:59'))
    early = promotion(two, first, when='11:29')
    assert 'before the promotion that it takes the place of' in fallen(nothing, one, two, first, early)
    future = replace(first, when='2223-07-06T14:13:20Z')
    assert 'dated in the future' in fallen(nothing, one, future)
    assert not fallen(nothing, one, two, future, promotion(two, future))  # and nobody is stuck behind it


def test_a_promotion_by_hand_of_what_is_worse() -> None:
    """Gates that compare with a holder are asked again, against those that stand."""
    good, bad, worse = version(1, 0.9), version(2, 0.7), version(3, 0.69)
    gate = Policy(gates=('best.json:accuracy >= @prod/best.json:accuracy - 0.001',))
    first = promotion(good)
    assert 'prod was v1' in fallen(gate, good, bad, first, promotion(bad, first))
    step = promotion(bad, first)  # by two steps it is not better
    assert 'prod was v1' in fallen(gate, good, bad, worse, first, step, promotion(worse, step, when='11:40'))
    found = model(good, bad, worse, first, step)
    assert 'prod was v1' in asked(found, worse, gate)[0][0]
    assert not fallen(gate, good, bad, first, step, promotion(good, step, when='11:40'))
    back = promotion(bad, step, decision='rollback', when='11:40')
    assert 'prod was v1' in fallen(gate, good, bad, first, step, back)
    chained = [promotion(good)]
    for at in range(300):
        chained.append(replace(promotion(good, chained[-1]), text=str(at)))
    assert not fallen(gate, good, *chained)
    other = Policy(gates=('best.json:accuracy >= @staging/best.json:accuracy',))
    staged = promotion(good, alias='staging')
    assert 'does not say that it passed' in fallen(other, good, staged, first)
    claimed = replace(promotion(bad), gates=(f'gate passed: {other.gates[0]} (1, 0)',))
    assert 'FAILED' in fallen(other, good, bad, staged, claimed)
    assert not fallen(other, good, bad, staged, promotion(bad, alias='staging', when='11:31'), claimed)


def test_a_promotion_by_hand_to_what_has_to_come_before() -> None:
    one = version(1)
    asks = {'prod': (Policy(after=('staging',)),), 'staging': (Policy(approvals=1, after=('prod',)),)}
    with Root('/') as root:
        staged, live = promotion(one, alias='staging'), promotion(one)
        court = Court(model(one, staged, live), Trunk(root), lambda alias: asks[alias], NOW)
        (refusal,) = court.judge(one, 'prod').refusals
        assert 'its own policy does not allow' in refusal.text
        assert not court.stands(live) and not court.stands(staged)


def test_approvals_expire_and_only_some_people_count() -> None:
    one = version(1)
    old = model(one, approval(one, BEN, '2026-10-01T00:00:00Z'))
    assert asked(old, one, Policy(approvals=1, expires_seconds=90 * 86400.0))[0] == []
    (text,), _ = asked(old, one, Policy(approvals=1, expires_seconds=30 * 86400.0))
    assert 'expired' in text
    found = model(one, approval(one, BEN))
    assert asked(found, one, Policy(approvals=1, approvers=('*@EXAMPLE.org',)))[0] == []
    assert asked(found, one, Policy(approvals=1, approvers=('Ben',)))[0] == []
    assert 'not one of cleo@example.org' in asked(found, one, Policy(approvals=1, approvers=('cleo@example.org',)))[0][0]


def test_where_nobody_holds_an_alias_the_rest_of_a_gate_counts() -> None:
    one = replace(version(1, 0.7), metrics=(('best.json', 'accuracy', 0.7), ('best.json', 'recall@k/macro', 0.1)))
    found = model(one)
    for gate in (
        'best.json:recall@k/macro >= 0.9',  # a key is no alias
        'best.json:"recall@k/macro" >= 0.9',
        'best.json:accuracy >= 0.9 and best.json:accuracy >= @prod/best.json:accuracy',
        'other.json:accuracy >= @prod/other.json:accuracy',  # the version has nothing that could be compared
        'digits@prod/best.json:accuracy > 0.5',  # what gates of stages write
        'best.json:accuracy >= @prod/best.json:accuracy and (',
    ):
        assert 'gate FAILED' in asked(found, one, Policy(gates=(gate,)))[0][0], gate
    for gate in ('best.json:accuracy >= 0.5 and best.json:accuracy >= @prod/best.json:accuracy', '@prod/x.json:y > 1'):
        assert asked(found, one, Policy(gates=(gate,)))[0] == [], gate


def test_gates_and_checks() -> None:
    one, two = version(1, 0.9), version(2, 0.89, checks=())
    found = model(one, two, promotion(one))
    assert asked(found, two, Policy(gates=('best.json:accuracy >= 0.8',)))[0] == []
    assert asked(found, two, Policy(gates=('best.json:accuracy >= @prod/best.json:accuracy - 0.02',)))[0] == []
    assert 'FAILED' in asked(found, two, Policy(gates=('best.json:accuracy >= @prod/best.json:accuracy',)))[0][0]
    assert asked(found, two, Policy(gates=('best.json:accuracy >= @staging/best.json:accuracy',)))[0] == []
    for wrong in ('best.json:acuracy > 0', 'other.json:accuracy > 0', 'best.json:accuracy >', 'open("x")'):
        assert 'gate FAILED' in asked(found, two, Policy(gates=(wrong,)))[0][0]
    assert 'validate had not passed' in asked(found, two, Policy(checks=('validate',)))[0][0]
    assert 'never held staging' in asked(found, two, Policy(after=('staging',)))[0][0]
    assert asked(model(one, promotion(one, alias='staging')), one, Policy(after=('staging', 'canary')))[0] == []
    assert 'not signed' in asked(found, one, Policy(signed=True))[0][0]


def test_a_refusal_names_the_command_that_mends_it() -> None:
    """An approval of a version that nobody signed would be in vain, and one without a signature is refused itself."""
    one = version(1)
    with Root('/') as root:
        for policy, signature, command in (
            (Policy(signed=True, approvals=1), '', 'mlops models register digits --sign'),
            (Policy(signed=True), 'SSHSIG', 'its key has to stand in .mlops/trust'),
            (Policy(after=('staging',)), '', 'first: mlops models promote digits@v1 staging'),
            (Policy(approvals=1), '', 'somebody else: mlops models approve digits@v1 prod, and commit'),
        ):
            of = replace(one, signature=signature)
            judged = Court(model(of), Trunk(root), partial(only, policy), NOW).judge(of, 'prod')
            assert command in refused(model(of), of, 'prod', judged).hint
        asked_twice = Judgement((), (), (), (Refusal('it lacks one'),), (Policy(signed=True, approvals=1),))
        assert 'approve digits@v1 prod --sign, and' in refused(model(one), one, 'prod', asked_twice).hint


def test_of_several_reasons_the_policy_comes_first() -> None:
    one = version(1)
    with Root('/') as root:
        for policy, code in (
            (Policy(gates=('best.json:accuracy > 1',)), ExitCode.FAILED),
            (Policy(gates=('best.json:accuracy > 1',), approvals=1), ExitCode.REFUSED),
        ):
            judged = Court(model(one), Trunk(root), partial(only, policy), NOW).judge(one, 'prod')
            assert refused(model(one), one, 'prod', judged).exit_code == code


def test_who_holds_an_alias() -> None:
    one, two = version(1), version(2)
    first = promotion(one)
    second = promotion(two, first, when='09:00')  # an hour that is behind decides nothing
    found = model(one, two, first, second)
    assert aliases_of(found, two.digest) == ('prod',) and aliases_of(found, one.digest) == ()
    assert chain(found, second) == (second, first)
    disputed = model(one, two, first, promotion(two))
    assert aliases_of(disputed, one.digest) == ('prod?',) and holders(disputed)['prod'].disputed
    decided = model(one, two, first, other := promotion(two), promotion(two, first, other, when='12:00'))
    assert not holders(decided)['prod'].disputed
    broken = model(two, first, second)
    assert holders(broken)['prod'].problem is not None
    gone = model(one, two, second)
    problem = holders(gone)['prod'].problem
    assert problem is not None and 'takes the place of' in problem.message


class Known:
    """In place of the folder of models."""

    def __init__(self, *of: Version | Fact) -> None:
        self.all = {'digits': model(*of)}


def test_names() -> None:
    known = Known(version(1), version(2), version(2, 0.8, when='11'), promotion(version(1)))

    def named(text: str) -> str:
        return resolve_in(known, text).version.id  # type: ignore[arg-type]

    first = version(1).id
    assert named('digits@v1') == named('digits@1') == named('digits@prod') == named(f'digits@{first}') == first
    assert named(f'digits@{version(1).digest.hex[:12]}') == first
    assert named(f'digits@{version(2).id}') == version(2).id
    for text, code in (
        ('faces', 2), ('digits@v9', 2), ('digits@staging', 2), ('digits@v2x', 2), ('digits@--x', 2), ('@prod', 2),
        ('digits@v0', 2), ('digits@../x', 2), ('digits@PROD', 2), (f'digits@{"0" * 64}', 2),
    ):  # fmt: skip
        with pytest.raises(UserError) as error:
            named(text)
        assert error.value.exit_code == code, text


def test_an_alias_is_not_taken_for_a_digest() -> None:
    one, two = version(1), version(2)
    for alias in (one.digest.hex[:8], one.digest.hex[:30], 'v2-0123abcd', 'v3', 'latest', 'deadbeef'):
        assert not ALIAS.fullmatch(alias)
    assert ALIAS.fullmatch('decade') and ALIAS.fullmatch('v2-beta')
    known = Known(one, two, promotion(two, alias=one.digest.hex[:16]))
    assert resolve_in(known, f'digits@{one.digest.hex[:16]}').version == one  # type: ignore[arg-type]


def test_the_same_model_under_one_number_is_no_doubt() -> None:
    found = resolve_in(Known(version(2), version(2, 0.8, when='11')), 'digits@v2')  # type: ignore[arg-type]
    assert found.version.when < '2026-11-20T11' and 'registered as' in found.notes[0]


def test_the_last_entry_that_fits_counts() -> None:
    strict, lax = Policy(approvals=2), Policy()
    entries = {
        '*': ModelPolicies({'*': Policy(approvals=1)}),
        'digits*': ModelPolicies({'prod*': strict, 'prod-test': lax}),
    }
    assert policy_for(entries, 'faces', 'prod').approvals == 1
    assert policy_for(entries, 'digits', 'prod') == policy_for(entries, 'digits-2', 'prod-eu') == strict
    assert policy_for(entries, 'digits', 'prod-test') == lax
    assert policy_for(entries, 'digits', 'staging').approvals == 1
    assert policy_for({}, 'digits', 'prod') == lax


@pytest.mark.parametrize(
    ('value', 'word'),
    [
        ({'prod': {'gate': []}}, 'gates'),
        ({'prod': {'approvals': True}}, 'approvals'),
        ({'prod': {'approvals': -1}}, 'approvals'),
        ({'prod': {'signed': 'yes'}}, 'signed'),
        ({'prod': {'expires': 'soon'}}, 'expires'),
        ({'prod': {'expires': ['30d']}}, 'expires'),
        ({'prod': {'expires': {'days': 30}}}, 'expires'),
        ({'prod': {'expires': True}}, 'expires'),
        ({'prod': {'expires': False}}, 'expires'),
        ({'prod': {'gates': 'a > b'}}, 'gates'),
        ({'PROD': {}}, 'alias'),
        ({'prod': 3}, 'mapping'),
        ([], 'mapping'),
    ],
)
def test_wrong_policies(value: object, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        read_policies(value)


def test_a_wrong_policy_is_no_missing_one() -> None:
    with pytest.raises(UserError) as error:
        policies_in(b'models: {digits: {prod: {aprovals: 1}}}\n')
    assert error.value.where is not None and error.value.where.line == 1 and 'approvals' in str(error.value)
    assert policies_in(b'jobs: 4\n') == {}
    found = policies_in(b'models: {a.b: {prod: {approvals: 1, expires: 30d}}}\n')['a.b'].aliases['prod']
    assert found == Policy(approvals=1, expires_seconds=30 * 86400.0) and found.to_json()['approvals'] == 1
    assert set(policies.KEYS) > set(found.to_json())


def test_a_project_that_a_branch_moves_keeps_its_policies(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write('pipeline.yaml', 'version: 1\nstages: {}\n')
    project.write('.mlops/config.yaml', 'models: {digits: {prod: {approvals: 1}}}\n')
    project.init_git()
    project.commit('start')
    project.git('switch', '-q', '-c', 'side')
    project.git('rm', '-q', '-r', '.')
    project.write('ml/pipeline.yaml', 'version: 1\nstages: {}\n')
    project.write('ml/.mlops/config.yaml', '')
    project.commit('moved')
    with Root(str(tmp_path / 'ml')) as root, pytest.raises(UserError, match=r'has no project in this folder') as caught:
        Trunk(root).policies  # noqa: B018 -- it is worked out
    assert caught.value.exit_code == ExitCode.REFUSED
    project.git('branch', '-f', 'main', 'side')
    with Root(str(tmp_path / 'ml')) as root:
        assert Trunk(root).policies == {}  # merged by who may


def test_what_is_said_about_versions_that_did_not_come() -> None:
    """A branch may bring nothing but a note."""
    said = Fact('note', 'digits', None, BEN, '2026-11-20T11:00:00Z', text='x')
    for word in ('digits', 'digits@latest', 'digits@v1', 'digits@prod'):
        with pytest.raises(UserError, match=r'no version|has no'):
            resolve_in(Known(said), word)  # type: ignore[arg-type]
