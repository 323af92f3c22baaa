"""What lineage hands out, held against the standards' own libraries: openlineage-python, in-toto-attestation, securesystemslib.

The quick tier leaves them out; they come with mlops-cli[test-full]."""

from __future__ import annotations

import base64
import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from tests.registry.conftest import Person
from tests.registry.test_lineage_out import key as key  # a fixture

pytestmark = pytest.mark.full


def classes() -> dict[str, Any]:
    """The client's classes for facets, by the address of their schema."""
    from openlineage.client import facet_v2

    found = {}
    for name in facet_v2.__all__:
        module = getattr(facet_v2, name)
        for _, one in inspect.getmembers(module, inspect.isclass):
            if one.__module__.startswith('openlineage.client.generated') and hasattr(one, '_get_schema'):
                found[one._get_schema()] = one
    return found


NESTED = {
    'parent': lambda said: {
        'run': _inner('parent_run', 'Run', said['run']),
        'job': _inner('parent_run', 'Job', said['job']),
    },
    'schema': lambda said: {'fields': [_inner('schema_dataset', 'SchemaDatasetFacetFields', one) for one in said['fields']]},
    'ownership': lambda said: {'owners': [_inner('ownership_job', 'Owner', one) for one in said['owners']]},
    'executionParameters': lambda said: {
        'parameters': [_inner('execution_parameters_run', 'ExecutionParameter', one) for one in said['parameters']]
    },
}


def _inner(module: str, name: str, said: dict[str, Any]) -> Any:
    from openlineage.client import facet_v2

    return getattr(getattr(facet_v2, module), name)(**said)


def facets(found: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Made anew by the client: a name that it does not know, or one that it misses, is an error."""
    made = {}
    for name, facet in found.items():
        said = {word: value for word, value in facet.items() if not word.startswith('_')}
        said |= NESTED[name](said) if name in NESTED else {}
        made[name] = kinds[facet['_schemaURL']](**said, producer=facet['_producer'])
    return made


def rebuilt(event: dict[str, Any]) -> Any:
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

    kinds = classes()

    def dataset(kind: Any, one: dict[str, Any], **more: Any) -> Any:
        return kind(namespace=one['namespace'], name=one['name'], facets=facets(one['facets'], kinds), **more)

    run, job = event['run'], event['job']
    return RunEvent(
        eventTime=event['eventTime'],
        eventType=RunState[event['eventType']],
        producer=event['producer'],
        run=Run(run['runId'], facets(run['facets'], kinds)),
        job=Job(job['namespace'], job['name'], facets(job['facets'], kinds)),
        inputs=[dataset(InputDataset, one) for one in event['inputs']],
        outputs=[dataset(OutputDataset, one, outputFacets=facets(one['outputFacets'], kinds)) for one in event['outputs']],
    )


@pytest.mark.parametrize('target', ['best.bin', 'last', 'digits@v1', 'table.csv'])
def test_events_are_those_that_the_client_of_openlineage_would_write(ada: Person, target: str) -> None:
    from openlineage.client.serde import Serde

    ada.git('remote', 'set-url', 'origin', 'https://example.org/team/digits.git')
    pipeline = ada.read('pipeline.yaml').replace('    deps: [data]\n', '    deps: [data]\n    params: [score]\n', 1)
    pipeline += '  table:\n    cmd: printf "a,b\\n1,2\\n" > table.csv\n    outs: [table.csv]\n'
    ada.write('pipeline.yaml', pipeline)
    ada.do('run', '-q')
    ada.models('register')
    if target == 'last':
        ada.write('params.yaml', 'score: 40\n')
        ada.do('run', '-q', code=1)
    lines = ada.do('lineage', 'export', target, '--format', 'openlineage').out.splitlines()
    kinds = set()
    for line in lines:
        event = json.loads(line)
        kinds.add(event['eventType'])
        again = json.loads(Serde.to_json(rebuilt(event)))
        assert _without_nothing(again) == _without_nothing(event)
    assert kinds == ({'START', 'COMPLETE', 'FAIL'} if target == 'last' else {'START', 'COMPLETE'})
    text = '\n'.join(lines)
    assert '"schema"' in text or target != 'table.csv'
    assert '"sourceCodeLocation"' in text
    assert '"datasetType":"MODEL"' in text or target != 'digits@v1'


def _without_nothing(value: Any) -> Any:
    """The client leaves out what is empty, and writes what its schema defaults to."""
    if isinstance(value, dict):
        found = {name: _without_nothing(one) for name, one in value.items() if name != '_deleted'}
        return {name: one for name, one in found.items() if one not in (None, {}, [])}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value


def test_the_statement_is_one_for_in_toto_and_slsa(ada: Person, key: Path) -> None:
    import google.protobuf.json_format as pb_json
    from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    ada.git('remote', 'set-url', 'origin', 'git@example.org:team/digits.git')
    ada.train(95)  # there is a commit now
    ada.models('register')
    ada.do('lineage', 'export', 'digits@v1', '--key', str(key), '-o', 'a.json')
    payload = base64.b64decode(json.loads(ada.read('a.json'))['payload'])
    held = pb_json.Parse(payload, statement_pb2.Statement())  # refuses a field that the standard does not have
    Statement.copy_from_pb(held).validate()
    predicate = json.loads(payload)['predicate']
    told = pb_json.ParseDict(predicate, provenance_pb2.Provenance())
    assert told.build_definition.build_type and told.run_details.builder.id and told.run_details.metadata.invocation_id
    commit = told.build_definition.resolved_dependencies[0]
    assert commit.uri.startswith('git+ssh://example.org/team/digits.git@') and len(commit.digest['gitCommit']) == 40


def test_the_envelope_is_one_for_securesystemslib_and_openssh(ada: Person, key: Path, tmp_path: Path) -> None:
    import subprocess

    from securesystemslib.dsse import Envelope

    from mlops_cli.core import dsse

    ada.do('lineage', 'export', 'best.bin', '--key', str(key), '-o', 'a.json')
    raw = json.loads(ada.read('a.json'))
    theirs = Envelope.from_dict({**raw, 'signatures': [{**one, 'keyid': 'k'} for one in raw['signatures']]})
    ours = dsse.read(raw)
    assert theirs.pae() == ours.signed_part and theirs.payload == ours.payload
    (tmp_path / 'sig').write_bytes(ours.signatures[0][1])
    (tmp_path / 'signers').write_text(ada.read('.mlops/trust'))
    checked = subprocess.run(
        ['ssh-keygen', '-Y', 'verify', '-f', 'signers', '-I', 'ada@example.org', '-n', 'mlops-model', '-s', 'sig'],
        cwd=tmp_path, input=theirs.pae(), capture_output=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
