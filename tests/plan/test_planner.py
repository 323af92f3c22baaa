"""Verdicts on values alone: no disk, no clock, no commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.core.digest import Digest, digest_of
from mlops_cli.core.manifest import Entry, Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.stage import Draft, Hole
from mlops_cli.pipeline.spec import Command, Output, Stage
from mlops_cli.plan.facts import Computed, Facts, Wishes
from mlops_cli.plan.model import UNKNOWN, Plan, Reason, Verdict
from mlops_cli.plan.planner import make_plan
from mlops_cli.records.pins import Pin


def file_ref(text: str) -> ObjectRef:
    return ObjectRef(digest_of(text.encode()), len(text), 'file')


@dataclass
class Fake:
    """A project in three dictionaries."""

    drafts: dict[str, Draft] = field(default_factory=dict)
    edges: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pins: dict[str, list[Pin]] = field(default_factory=dict)  # by stage
    results: dict[Digest, list[Computed]] = field(default_factory=dict)
    held: dict[str, ObjectRef] = field(default_factory=dict)
    store: set[Digest] = field(default_factory=set)

    def stage(
        self,
        name: str,
        after: Mapping[str, str] | None = None,
        *,
        lr: Any = 1,
        outs: tuple[str, ...] | None = None,
        missing: tuple[str, ...] = (),
        code: str = '',
        **options: Any,
    ) -> Draft:
        """``after``: producer -> the output of it that is read."""
        persist = options.pop('persist', False)
        outputs = tuple(Output(path, persist=persist) for path in (outs or (f'{name}.out',)))
        stage = Stage(name, name, Command('shell', ('true',)), outputs=outputs, **options)
        entries = [value_entry('command', 'cmd', name), value_entry('param', 'params.yaml:lr', lr)]
        digests = {}
        if code:
            entries.append(Entry('code', 'x.py', digest_of(f'meaning {code}'.encode())))
            digests = {'x.py': digest_of(b'bytes')}
        holes = tuple(Hole(path, maker, path) for maker, path in (after or {}).items())
        self.drafts[name] = Draft(stage, tuple(entries), holes, missing=missing, code=digests)
        self.edges[name] = tuple(after or ())
        return self.drafts[name]

    def record(
        self, name: str, text: str, *, made: Mapping[str, ObjectRef] | None = None, hold: bool = True, store: bool = True
    ) -> Pin:
        """Pins ``text`` as what the stage's present state leads to."""
        draft = self.drafts[name]
        entries = [*draft.entries, *(Entry('data', hole.path, (made or {})[hole.output].identity) for hole in draft.holes)]
        pin = Pin(Manifest.of(entries), tuple((output.path, file_ref(text)) for output in draft.stage.outputs))
        self.pins.setdefault(name, []).append(pin)
        if hold:
            self.held |= dict(pin.outputs)
        if store:
            self.store |= {ref.digest for _, ref in pin.outputs}
        return pin

    def plan(self, **wishes: Any) -> Plan:
        every = [pin for pins in self.pins.values() for pin in pins]
        facts = Facts(
            pins=lambda key: tuple(pin for pin in every if pin.key == key),
            results=lambda key: tuple(self.results.get(key, ())),
            history=lambda name: tuple(self.pins.get(name, ())),
            held=self.held.get,
            stored=lambda refs: all(ref.digest in self.store for ref in refs),
            read=lambda digest: b'',
            source=lambda key, path: None,
            present=lambda path: None,
            folder=lambda path: False,
            estimate=lambda name: UNKNOWN,
        )
        return make_plan('p', self.drafts, list(self.drafts), self.edges, facts, Wishes(**wishes))

    def verdicts(self, **wishes: Any) -> dict[str, str]:
        return {step.stage: str(step.verdict) for step in self.plan(**wishes).steps}


def chain() -> Fake:
    """a -> b -> c, all fresh."""
    fake = Fake()
    fake.stage('a')
    fake.record('a', 'A')
    fake.stage('b', {'a': 'a.out'})
    fake.record('b', 'B', made={'a.out': file_ref('A')})
    fake.stage('c', {'b': 'b.out'})
    fake.record('c', 'C', made={'b.out': file_ref('B')})
    return fake


def test_all_fresh() -> None:
    assert chain().verdicts() == {'a': 'fresh', 'b': 'fresh', 'c': 'fresh'}


def test_never_run() -> None:
    fake = Fake()
    fake.stage('a')
    (step,) = fake.plan().steps
    assert (step.verdict, step.reasons) == (Verdict.RUN, (Reason('never-run', '', detail='never run'),))


def test_a_changed_parameter_runs_its_stage_and_leaves_what_follows_open() -> None:
    fake = chain()
    fake.stage('a', lr=2)
    steps = fake.plan().by_name
    assert {name: str(step.verdict) for name, step in steps.items()} == {'a': 'run', 'b': 'maybe', 'c': 'maybe'}
    assert steps['a'].reasons == (Reason('param', 'lr', '1', '2'),)
    assert steps['b'].waits_for == ('a',) and not steps['b'].certain and steps['b'].reasons == ()


def test_a_maybe_with_a_reason_of_its_own_is_certain() -> None:
    fake = chain()
    fake.stage('a', lr=2)
    fake.stage('b', {'a': 'a.out'}, lr=7)
    step = fake.plan().by_name['b']
    assert step.verdict is Verdict.MAYBE and step.certain and step.reasons == (Reason('param', 'lr', '1', '7'),)


def test_a_known_state_is_restored_and_what_follows_is_decided_at_once() -> None:
    fake = chain()
    fake.stage('a', lr=2)
    fake.record('a', 'A2', hold=False)
    assert fake.verdicts() == {'a': 'restore', 'b': 'run', 'c': 'maybe'}


def test_early_cutoff_shows_in_the_plan() -> None:
    fake = chain()
    fake.stage('a', lr=2)
    fake.record('a', 'A', hold=False)
    assert fake.verdicts() == {'a': 'fresh', 'b': 'fresh', 'c': 'fresh'}


def test_an_output_that_is_gone_or_another_is_restored_if_stored_else_run() -> None:
    fake = chain()
    del fake.held['b.out']
    assert fake.verdicts()['b'] == 'restore'
    fake.held['b.out'] = file_ref('edited')
    step = fake.plan().by_name['b']
    assert step.verdict is Verdict.RESTORE and step.changed_by_hand == ('b.out',)
    fake.store.discard(file_ref('B').digest)
    steps = fake.plan().by_name
    assert steps['b'].verdict is Verdict.RUN
    assert steps['b'].reasons == (Reason('output', 'b.out', detail='its recorded content is not in this cache'),)
    assert steps['c'].verdict is Verdict.MAYBE


def test_an_emptied_cache_alone_makes_nothing_stale() -> None:
    fake = chain()
    fake.store.clear()
    assert set(fake.verdicts().values()) == {'fresh'}


def test_a_result_without_a_pin_is_restored() -> None:
    fake = Fake()
    fake.stage('a')
    pin = fake.record('a', 'A', hold=False)
    fake.pins.clear()
    fake.results[pin.key] = [Computed(pin.outputs, 'run 7k2m (ben)')]
    (step,) = fake.plan().steps
    assert (step.verdict, step.source, step.origin) == (Verdict.RESTORE, 'result', 'run 7k2m (ben)')
    assert fake.verdicts(lookup=False) == {'a': 'run'}


def test_a_result_whose_objects_are_gone_is_a_miss() -> None:
    fake = Fake()
    fake.stage('a')
    pin = fake.record('a', 'A', hold=False, store=False)
    fake.pins.clear()
    fake.results[pin.key] = [Computed(pin.outputs)]
    assert fake.verdicts() == {'a': 'run'}


def test_force_runs_the_named_and_only_them() -> None:
    fake = chain()
    assert fake.verdicts(forced=frozenset({'b'})) == {'a': 'fresh', 'b': 'run', 'c': 'maybe'}


def test_always_changed_runs_each_time() -> None:
    fake = Fake()
    fake.stage('a', always_changed=True)
    fake.record('a', 'A')
    assert fake.verdicts() == {'a': 'run'}


def test_persisting_outputs_are_fresh_or_run_never_restored() -> None:
    fake = Fake()
    fake.stage('a', persist=True)
    fake.record('a', 'A')
    assert fake.verdicts() == {'a': 'fresh'}
    fake.held['a.out'] = file_ref('more')
    assert fake.verdicts() == {'a': 'run'}


def test_frozen_is_what_the_workspace_holds() -> None:
    fake = chain()
    fake.stage('a', lr=9, frozen=True)
    assert fake.verdicts() == {'a': 'fresh', 'b': 'fresh', 'c': 'fresh'}
    del fake.held['a.out']
    assert fake.verdicts()['a'] == 'blocked'


def test_a_missing_input_blocks_what_follows() -> None:
    fake = chain()
    fake.stage('a', missing=('data.csv',))
    steps = fake.plan().by_name
    assert {name: str(step.verdict) for name, step in steps.items()} == {'a': 'blocked', 'b': 'blocked', 'c': 'blocked'}
    assert steps['a'].reasons == (Reason('data', 'data.csv', None, None, 'missing, and no stage makes it'),)


def test_two_results_of_one_key_are_reported_and_the_held_one_counts() -> None:
    fake = Fake()
    fake.stage('a')
    fake.record('a', 'one')
    fake.record('a', 'two')
    (step,) = fake.plan().steps
    assert step.verdict is Verdict.FRESH and step.made == {'a.out': file_ref('two')}
    (rival,) = step.rivals
    assert (rival.outs8, rival.differs) == (fake.pins['a'][0].outs8, ('a.out',))


def test_code_with_equal_bytes_is_the_same_code() -> None:
    """What one interpreter could parse and another could not has two digests, and one content."""
    fake = Fake()
    fake.stage('a', code='as parsed')
    pin = fake.record('a', 'A')
    fake.results[pin.key] = [Computed(pin.outputs, code={'x.py': digest_of(b'bytes')})]
    fake.stage('a', code='as bytes')
    assert fake.verdicts() == {'a': 'restore'}
    fake.results[pin.key] = [Computed(pin.outputs, code={'x.py': digest_of(b'other bytes')})]
    assert fake.verdicts() == {'a': 'run'}


def test_a_mapping_is_told_by_its_leaves() -> None:
    fake = Fake()
    fake.stage('a', lr={'depth': 8, 'deep': {'x': 1, 'same': 2}, 'old': True})
    fake.record('a', 'A')
    fake.stage('a', lr={'depth': 12, 'deep': {'x': 1.0, 'same': 2}, 'new': 'y'})
    (step,) = fake.plan().steps
    assert step.reasons == (
        Reason('param', 'lr.deep.x', '1', '1.0'),
        Reason('param', 'lr.depth', '8', '12'),
        Reason('param', 'lr.new', None, '"y"'),
        Reason('param', 'lr.old', 'true', None),
    )


def test_of_equally_near_states_the_one_in_the_workspace_is_compared_with() -> None:
    fake = Fake()
    for lr in (1, 2, 3):
        fake.stage('a', lr=lr)
        fake.record('a', f'A{lr}')
    fake.stage('a', lr=9)
    for lr in (1, 2, 3):
        fake.held['a.out'] = file_ref(f'A{lr}')
        (step,) = fake.plan().steps
        assert step.reasons == (Reason('param', 'lr', str(lr), '9'),)


def test_a_restore_says_what_differs_from_the_state_in_the_workspace() -> None:
    fake = Fake()
    fake.stage('a', lr=1)
    fake.record('a', 'A1')
    fake.stage('a', lr=2)
    fake.record('a', 'A2')
    fake.stage('a', lr=1)
    (step,) = fake.plan().steps
    assert (step.verdict, step.reasons) == (Verdict.RESTORE, (Reason('param', 'lr', '2', '1'),))
