"""What happened as events of OpenLineage (docs/formats/openlineage.md): each stage that ran, from what it read to what it made.

Values in, plain data out.  The same records give the same events, so sending them twice tells nothing new."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mlops_cli import __version__
from mlops_cli.core.classes import dataclass
from mlops_cli.core.clock import from_iso, iso
from mlops_cli.core.refs import ObjectRef
from mlops_cli.experiments.lineage_model import Made, Source, Upstream
from mlops_cli.records.runs import Run
from mlops_cli.report.lineage_facts import command_of, is_data, plain
from mlops_cli.report.provenance import times

SPEC = 'https://openlineage.io/spec'
EVENT = f'{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent'
PRODUCER = f'pkg:pypi/mlops-cli@{__version__}'
IDS = uuid.UUID('2f6f0c7e-5a0e-5d0c-9a65-9d7d5f0f4b6e')  # ours; run ids are made of it and of what they are about
FACETS = {
    'parent': ('1-2-0', 'ParentRunFacet'),
    'processing_engine': ('1-1-1', 'ProcessingEngineRunFacet'),
    'errorMessage': ('1-0-1', 'ErrorMessageRunFacet'),
    'executionParameters': ('1-0-0', 'ExecutionParametersRunFacet'),
    'sourceCodeLocation': ('1-1-0', 'SourceCodeLocationJobFacet'),
    'sourceCode': ('1-0-1', 'SourceCodeJobFacet'),
    'jobType': ('2-0-4', 'JobTypeJobFacet'),
    'ownership': ('1-0-1', 'OwnershipJobFacet'),
    'version': ('1-0-1', 'DatasetVersionDatasetFacet'),
    'datasetType': ('1-0-1', 'DatasetTypeDatasetFacet'),
    'dataSource': ('1-0-1', 'DatasourceDatasetFacet'),
    'schema': ('1-2-0', 'SchemaDatasetFacet'),
    'outputStatistics': ('1-0-2', 'OutputStatisticsOutputDatasetFacet'),
}
FIELD = 'name', 'type'


@dataclass(frozen=True)
class Surroundings:
    """What the records do not say of themselves.  ``repository``: its address, or empty.  ``folder``: of the project in it.
    ``urls``: path of tracked data -> where it was imported from.  ``columns``: (path, content) -> (name, type) of each, as far
    as known.  ``models``: contents that are models."""

    namespace: str
    pipeline: str
    repository: str = ''
    folder: str = ''
    urls: Mapping[str, str] | None = None
    columns: Callable[[str, ObjectRef], Sequence[tuple[str, str]]] = lambda _path, _ref: ()
    models: frozenset[tuple[str, ObjectRef]] = frozenset()


def events(found: Upstream, around: Surroundings, run: Run | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """(events, oldest first; what is not told, in a sentence each).  ``run``: that was asked about, with what failed in it."""
    told: list[dict[str, Any]] = []
    notes = []
    for identity, made in reversed(list(found.results.items())):  # what comes first, first: clocks tell seconds alone
        if not times(made)[0]:
            notes.append(f'{made.name}: nobody recorded here when it ran, so it has no event')
            continue
        told += _of_result(made, found.sources.get(identity, ()), around)
    if run is not None:
        begin, end, *failed = _of_run(run, around)
        told = [begin, *told, *failed, end]
    return sorted(told, key=lambda event: str(event['eventTime'])), notes


def run_id(*parts: str) -> str:
    return str(uuid.uuid5(IDS, '\n'.join(parts)))


def facet(which: str, /, **said: Any) -> dict[str, Any]:
    """With who says it, and by which schema."""
    version, schema = FACETS[which]
    place = f'{SPEC}/facets/{version}/{schema}.json#/$defs/{schema}'
    return {which: {'_producer': PRODUCER, '_schemaURL': place, **said}}


def _event(kind: str, when: str, run: Mapping[str, Any], job: Mapping[str, Any], **datasets: Any) -> dict[str, Any]:
    return {
        'eventType': kind, 'eventTime': when, 'run': run, 'job': job, 'inputs': datasets.get('inputs', []),
        'outputs': datasets.get('outputs', []), 'producer': PRODUCER, 'schemaURL': EVENT,
    }  # fmt: skip


def _of_result(made: Made, sources: Sequence[Source], around: Surroundings) -> Iterator[dict[str, Any]]:
    begun, ended = times(made)
    facets = facet('processing_engine', version=__version__, name='mlops', openlineageAdapterVersion=__version__)
    if made.maker.run:
        facets |= _parent(made.maker.run, around)
    if params := [entry for entry in made.entries if entry.kind == 'param']:
        held = [{'key': entry.name, 'name': entry.name.rpartition(':')[2], 'value': plain(entry)} for entry in params]
        facets |= facet('executionParameters', parameters=held)
    run = {'runId': run_id('result', made.maker.run, made.id), 'facets': facets}
    job = _job(made, around)
    inputs = list(_inputs(sources, around))
    yield _event('START', begun, run, job, inputs=inputs)
    yield _event('COMPLETE', ended or begun, run, job, inputs=inputs, outputs=[_output(one, around) for one in made.outputs])


def _parent(run: str, around: Surroundings) -> dict[str, Any]:
    return facet('parent', run={'runId': run_id('run', run)}, job={'namespace': around.namespace, 'name': around.pipeline})


def _job(made: Made, around: Surroundings) -> dict[str, Any]:
    command = next((command_of(entry) for entry in made.entries if entry.kind == 'command'), '')
    facets = facet('jobType', processingType='BATCH', integration='MLOPS', jobType='STAGE')
    if command:
        facets |= facet('sourceCode', language='shell', sourceCode=command)
    if made.maker.who:
        facets |= facet('ownership', owners=[{'name': made.maker.who}])
    facets |= _location(made.maker.commit, made.maker.branch, around)
    return {'namespace': around.namespace, 'name': f'{around.pipeline}.{made.stage or made.key.short}', 'facets': facets}


def _location(commit: str, branch: str, around: Surroundings) -> dict[str, Any]:
    if not (commit and around.repository):
        return {}
    path = f'{around.folder}/pipeline.yaml' if around.folder else 'pipeline.yaml'
    where = {'url': around.repository, 'repoUrl': around.repository, 'path': path, 'version': commit}
    return facet('sourceCodeLocation', type='git', **where, **({'branch': branch} if branch else {}))


def _inputs(sources: Sequence[Source], around: Surroundings) -> Iterator[dict[str, Any]]:
    """Data alone; of a file in a folder that a stage made or somebody added the folder, which is what flows."""
    told: dict[str, dict[str, Any]] = {}
    for source in sources:
        if source.kind in ('absent', 'rule') or not (is_data(source.entry) or (source.makers and source.entry.kind == 'code')):
            continue
        name = source.output or source.entry.name
        facets: dict[str, Any] = {}
        if name == source.entry.name:
            facets |= facet('version', datasetVersion=str(source.ref.digest if source.ref else source.entry.digest))
            if source.ref is not None:
                facets |= _kind(name, source.ref, around) | _columns(name, source.ref, around)
        if url := (around.urls or {}).get(name):
            facets |= facet('dataSource', name=name, uri=url)
        told.setdefault(name, {'namespace': around.namespace, 'name': name, 'facets': facets})
    yield from told.values()


def _output(output: tuple[str, ObjectRef], around: Surroundings) -> dict[str, Any]:
    path, ref = output
    facets = facet('version', datasetVersion=str(ref.digest)) | _kind(path, ref, around) | _columns(path, ref, around)
    return {
        'namespace': around.namespace, 'name': path, 'facets': facets,
        'outputFacets': facet('outputStatistics', size=ref.size),
    }  # fmt: skip


def _kind(path: str, ref: ObjectRef, around: Surroundings) -> dict[str, Any]:
    return facet('datasetType', datasetType='MODEL' if (path, ref) in around.models else 'FILE')


def _columns(path: str, ref: ObjectRef, around: Surroundings) -> dict[str, Any]:
    found = around.columns(path, ref)
    fields = [{name: value for name, value in zip(FIELD, column, strict=True) if value} for column in found]
    return facet('schema', fields=fields) if fields else {}


def _of_run(run: Run, around: Surroundings) -> Iterator[dict[str, Any]]:
    """The run as a whole, and what in it made nothing."""
    ended = iso(from_iso(run.started) + run.seconds)
    job = {
        'namespace': around.namespace,
        'name': around.pipeline,
        'facets': facet('jobType', processingType='BATCH', integration='MLOPS', jobType='PIPELINE')
        | _location(run.commit, run.branch, around),
    }
    whole = {'runId': run_id('run', run.id), 'facets': {}}
    yield _event('START', run.started, whole, job)
    yield _event({'done': 'COMPLETE', 'failed': 'FAIL'}.get(run.ended, 'ABORT'), ended, whole, job)
    for stage in run.stages:
        if stage.state not in ('failed', 'interrupted'):
            continue
        how = f'exit code {stage.exit_code}' if stage.exit_code is not None else stage.state
        error: dict[str, Any] = facet('errorMessage', message=f'{stage.name} {stage.state}: {how}', programmingLanguage='shell')
        failed: dict[str, Any] = {'runId': run_id('stage', run.id, stage.name), 'facets': _parent(run.id, around)}
        its_job = {'namespace': around.namespace, 'name': f'{around.pipeline}.{stage.name}', 'facets': job['facets']}
        yield _event('START', run.started, failed, its_job)
        after = iso(min(from_iso(ended), from_iso(run.started) + stage.seconds))
        kind = 'FAIL' if stage.state == 'failed' else 'ABORT'
        yield _event(kind, after, {**failed, 'facets': failed['facets'] | error}, its_job)
