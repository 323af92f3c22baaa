"""The states of a stage: each has a sentence, and the drawing shows all of them."""

from __future__ import annotations

from mlops_cli.records.runs import STATES
from mlops_cli.run import states
from mlops_cli.run.states import SENTENCES, SETTLED, State


def test_every_state_has_a_sentence_and_stands_in_the_drawing() -> None:
    assert SENTENCES.keys() == set(State)
    assert len(set(SENTENCES.values())) == len(State)
    assert all(state.sentence == SENTENCES[state] and state in (states.__doc__ or '') for state in State)


def test_what_is_good_is_settled_and_what_is_settled_but_fresh_is_recorded() -> None:
    assert {state for state in State if state.good} < SETTLED
    assert {state for state in State if state.settled} == SETTLED
    assert {str(state) for state in SETTLED} - {'fresh'} == set(STATES)
