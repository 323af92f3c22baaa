"""Policies on values: who counts, what expires, what gates see; and how they are read."""

from __future__ import annotations

import pytest

from mlops_cli.core.clock import from_iso
from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fsio.paths import Root
from mlops_cli.records import policies
from mlops_cli.records.model_files import Model
from mlops_cli.records.models import Fact, Person, Version
from mlops_cli.records.policies import ModelPolicies, Policy, policy_for, read_policies
from mlops_cli.registry.names import resolve_in
from mlops_cli.registry.policy import judge, refused
from mlops_cli.registry.signing import Trunk, policies_in
from mlops_cli.registry.standing import aliases_of, chain, holders

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


def asked(found: Model, of: Version, policy: Policy, now: float = NOW) -> tuple[list[str], list[str]]:
    with Root('/') as root:
        judged = judge(found, of, 'prod', (policy,), Trunk(root), now)
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


def test_of_several_reasons_the_policy_comes_first() -> None:
    one = version(1)
    with Root('/') as root:
        for policy, code in (
            (Policy(gates=('best.json:accuracy > 1',)), ExitCode.FAILED),
            (Policy(gates=('best.json:accuracy > 1',), approvals=1), ExitCode.REFUSED),
        ):
            judged = judge(model(one), one, 'prod', (policy,), Trunk(root), NOW)
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
