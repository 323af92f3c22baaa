"""Of several results of one key, which counts; and what is said of the others and of where a result comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.pipeline.spec import Command, Metric, Output, Stage
from mlops_cli.plan.known import Candidate, differences, rival
from mlops_cli.plan.model import Blessing, Rival, Step, Surrounding, Verdict
from mlops_cli.plan.sentences import Rivalry, apart, blessing, restored_from, rivalries, sentences

HERE = {'python': '3.11.7', 'platform': 'Linux x86_64', 'packages': {'numpy': '2.2', 'same': '1'}}


@pytest.mark.parametrize(
    ('then', 'found'),
    [
        (HERE, ()),
        ({}, ()),
        ({'executor': 'slurm'}, ()),
        ({**HERE, 'python': '3.12.1'}, (Surrounding('Python', '3.12.1', '3.11.7'),)),
        ({**HERE, 'gpu_driver': '550.54'}, (Surrounding('GPU driver', '550.54', None),)),
        (
            {**HERE, 'packages': {'numpy': '2.1', 'same': '1', 'gone': '3'}},
            (Surrounding('gone', '3', None), Surrounding('numpy', '2.1', '2.2')),
        ),
        ({**HERE, 'packages': {'same': '1'}}, (Surrounding('numpy', None, '2.2'),)),
        ({**HERE, 'packages': 'damaged'}, ()),
        ({**HERE, 'packages': {1: 2}}, (Surrounding('1', '2', None),)),
        ({'platform': 'Linux x86_64'}, ()),
    ],
)
def test_environments(then: dict[str, Any], found: tuple[Surrounding, ...]) -> None:
    shown = differences(then, HERE)
    if found and found[0].name == '1':
        assert len(shown) == 3 and [one.then for one in shown] == ['2', None, None]
    else:
        assert shown == found
    assert differences(then, {}) == ()


def restore(*surroundings: Surrounding, origin: str = 'run 6hx2aa (ben, gpu1)') -> Step:
    return Step('a', Verdict.RESTORE, origin=origin, surroundings=surroundings)


def test_where_a_restore_comes_from() -> None:
    python, numpy = Surrounding('Python', '3.12.1', '3.11.7'), Surrounding('numpy', '2.1', '2.2')
    assert restored_from(restore()) == 'same key as run 6hx2aa (ben, gpu1)'
    assert restored_from(restore(origin='')) == 'recorded before'
    text = 'same key as run 6hx2aa (ben, gpu1; Python 3.12.1, here 3.11.7; numpy 2.1, here 2.2)'
    assert restored_from(restore(python, numpy)) == text
    assert restored_from(restore(python, origin='run 6hx2aa')) == 'same key as run 6hx2aa (Python 3.12.1, here 3.11.7)'
    assert restored_from(restore(*[python] * 5)).endswith('; 2 more)')
    assert '\n' not in restored_from(restore(Surrounding('a\nb', 'c\nd', None), origin='x\ny'))


def ref(text: str) -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), 'file')


OUTPUTS = (Output('model'), Output('m', 'metric', metric=Metric(tolerance={'acc': 0.01})))
STAGE = Stage('a', 'a', Command('shell', ('true',)), outputs=OUTPUTS)


def candidate(model: str, accuracy: float | None) -> Candidate:
    numbers = () if accuracy is None else (('m', 'acc', accuracy),)
    return Candidate((('m', ref(str(accuracy))), ('model', ref(model))), numbers, True)


@pytest.mark.parametrize(
    ('one', 'other', 'differs', 'tolerated'),
    [
        (candidate('x', 0.5), candidate('x', 0.505), ('m',), True),
        (candidate('x', 0.5), candidate('x', 0.52), ('m',), False),
        (candidate('x', 0.5), candidate('y', 0.505), ('m', 'model'), False),
        (candidate('x', 0.5), candidate('x', None), ('m',), False),
        (candidate('x', 0.5), candidate('y', 0.5), ('model',), False),
    ],
)
def test_what_differs(one: Candidate, other: Candidate, differs: tuple[str, ...], tolerated: bool) -> None:
    found = rival(one, other, stage=STAGE)
    assert (found.differs, found.tolerated, found.outs8) == (differs, tolerated, other.outs8)
    assert not rival(one, other).tolerated, 'without the pipeline nothing is tolerated'


RIVAL = Rival('01234567', 'x-7k2m9q4c', ('m', 'model'), (('m', 'acc', 0.96941, 0.96671),))


def test_what_is_said_of_results_that_differ() -> None:
    ((text, names),) = rivalries([Rivalry('a', 'x-6hx2aa8k', (RIVAL,))])
    assert names == ['a'] and 'led to 2 results, which differ in acc (0.9694, 0.9667), model;' in text
    assert 'run 6hx2aa8k made the one here, run 7k2m9q4c the other.' in text and 'mlops accept 6hx2aa8k --reason' in text
    ((text, _),) = rivalries([Rivalry('a', '', (replace(RIVAL, run=''),))])
    assert 'an unknown run' in text and 'mlops accept a --reason' in text
    ((text, _),) = rivalries([Rivalry('a', 'x-6hx2aa8k', (replace(RIVAL, tolerated=True),))])
    assert 'within their tolerance' in text and 'not deterministic' not in text


def test_instances_are_told_together_only_if_there_is_the_same_to_do() -> None:
    mine, theirs = Rivalry('t@1', 'x-6hx2aa8k', (RIVAL,)), Rivalry('t@2', 'x-6hx2aa8k', (RIVAL,))
    ((text, names),) = rivalries([mine, theirs])
    assert names == ['t@1', 't@2'] and '2 results each, which differ, as in acc' in text and 'choose these' in text
    assert len(rivalries([mine, replace(theirs, run='x-11111111')])) == 2
    assert len(rivalries([mine, replace(theirs, stage='u@2')])) == 2


def test_figures_are_shown_with_the_digits_that_differ() -> None:
    assert apart(('acc', 0.5, 0.25)) == 'acc (0.5, 0.25)'
    assert apart(('acc', 0.123456789, 0.123456788)) == 'acc (0.123456789, 0.123456788)'
    assert apart(('acc', None, 1)) == 'acc (none, 1)'


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        ('accepted', 'accepted by ada on 2026-11-20: only logs'),
        ('trusted', 'trusted by ada on 2026-11-20, though its code or inputs changed while it ran: only logs'),
        ('chosen', 'chosen by ada on 2026-11-20, of 3 results: only logs'),
    ],
)
def test_what_is_said_of_an_acceptance(kind: str, text: str) -> None:
    one = Blessing('ada', 'gpu1', '2026-11-20T10:15:22Z', 'only\nlogs', kind, results=3)
    assert blessing(one) == text
    assert sentences(Step('a', Verdict.FRESH, notes=('frozen',), accepted=one)) == ['frozen', text]
