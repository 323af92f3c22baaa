"""``mlops lineage export``: what is recorded, in the documents of others, signed where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlops_cli import git
from mlops_cli.cli.console import Line, one_line, out, out_lines, print_json, say
from mlops_cli.cli.lineage_documents import target_document
from mlops_cli.core import dsse, layout
from mlops_cli.core.canonical import canonical, canonical_bytes
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.patterns import pattern
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.units import plural
from mlops_cli.experiments.lineage_model import Upstream
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.fsio.atomic import write_file
from mlops_cli.fsio.paths import Root
from mlops_cli.records import data
from mlops_cli.store.objects import Damaged, MissingObject
from mlops_cli.store.tree import walk

SUBJECTS = 10_000  # files of one statement
_URL = pattern(r'(?P<scheme>https?|ssh|git)://(?:[^/@\s]*@)?(?P<rest>[^@\s]+)')
_SCP = pattern(r'(?:[\w.-]+@)?(?P<host>[\w.-]+\.[\w.-]+):(?P<path>[^:@\s]+)')


@dataclass(frozen=True)
class Exported:
    """``documents``: one, or of OpenLineage one an event.  ``notes``: what they do not tell."""

    documents: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return ''.join(f'{canonical(one)}\n' for one in self.documents)


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for.  ``form``: openlineage or provenance."""

    form: str
    output: str = ''
    sign: bool = False
    key: str = ''
    namespace: str = ''
    send: str = ''
    json: bool = False


def write(records: Records, found: Upstream, choice: Choice) -> int:
    """Raises UserError."""
    signs = choice.sign or bool(choice.key)
    if choice.form == 'openlineage' and signs:
        raise UserError('events of OpenLineage are not signed', hint='--format provenance')
    if choice.form == 'provenance' and (choice.send or choice.namespace):
        raise UserError('--send and --namespace are of OpenLineage', hint='--format openlineage')
    if choice.form == 'openlineage':
        exported = as_openlineage(records, found, choice.namespace)
    else:
        exported = as_provenance(records, found, _signer(records, choice) if signs else None)
    if choice.output:
        write_out(choice.output, exported.text)
    if choice.send:
        send(exported, choice.send, os.environ.get('OPENLINEAGE_API_KEY', ''))
    for note in exported.notes:
        say(Line(f'note: {one_line(note)}', 'note:'))
    if choice.json:
        print_json({
            'schema': 'mlops/lineage-export/v1', 'target': target_document(found.target), 'format': choice.form,
            'signed': signs, 'file': choice.output or None, 'sent': len(exported.documents) if choice.send else 0,
            'documents': list(exported.documents), 'notes': list(exported.notes),
        })  # fmt: skip
    elif not choice.output and not choice.send:
        out_lines(exported.text.splitlines(), foreign=True)
    else:
        where = [one_line(choice.output)] if choice.output else []
        where += [f'{plural(len(exported.documents), "event")} to {one_line(choice.send)}'] if choice.send else []
        out(Line(f'  wrote     {", ".join(where)}{", signed" if signs else ""}', 'done'))
    return ExitCode.DONE if exported.documents else ExitCode.FAILED


def _signer(records: Records, choice: Choice) -> Callable[[bytes], str]:
    from mlops_cli.registry.signing import signature_of

    return lambda data: signature_of(data, choice.key, records.bench.root.path)


def write_out(path: str, text: str) -> None:
    """Whole or not at all, over what stands there: it is made of records, and can be made again."""
    folder, name = os.path.split(os.path.abspath(path))
    if os.path.isdir(path) or not name:
        raise UserError(f'{path} is a folder', hint='name a file')
    with Root(folder) as root:
        write_file(root, name, text.encode())


def repository_of(folder: str) -> str:
    """The address of ``origin`` without a user or a password in it; empty for a folder of this machine."""
    said = git.setting(folder, 'remote.origin.url')
    if found := _URL.fullmatch(said):
        return f'{found["scheme"]}://{found["rest"].removesuffix("/")}'
    found = _SCP.fullmatch(said)
    return f'ssh://{found["host"]}/{found["path"].lstrip("/")}' if found else ''


def _urls(records: Records) -> dict[str, str]:
    """Path of tracked data -> where it was imported from."""
    every = data.records(records.bench.root)
    return {path: one.source.url for path, one in every.items() if one.source is not None and one.source.url}


# OpenLineage


def as_openlineage(records: Records, found: Upstream, namespace: str) -> Exported:
    from mlops_cli.report.openlineage import Surroundings, events

    bench = records.bench
    repository = repository_of(bench.root.path)
    top = git.top(bench.root.path)
    folder = os.path.relpath(os.path.realpath(bench.root.path), os.path.realpath(top)) if top else '.'
    run = None
    if found.target.kind == 'run':
        with suppress(UserError, OSError):
            run = bench.runs.find(found.target.word)
    around = Surroundings(
        namespace or repository or f'mlops:{bench.pipeline.name}', bench.pipeline.name, repository,
        '' if folder == '.' else folder, _urls(records), lambda path, ref: _columns(records, path, ref), _models(records),
    )  # fmt: skip
    told, notes = events(found, around, run)
    return Exported(tuple(told), tuple(notes))


def _models(records: Records) -> frozenset[tuple[str, ObjectRef]]:
    from mlops_cli.records.model_files import Models

    found = (version for model in Models(records.bench.root).all.values() for version in model.versions.values())
    return frozenset((version.path, version.ref) for version in found)


def _columns(records: Records, path: str, ref: ObjectRef) -> Sequence[tuple[str, str]]:
    """Of a table that this cache holds; parquet where DuckDB is installed."""
    from mlops_cli.checks import tables

    if ref.kind == 'tree' or not tables.is_table(path):
        return ()
    digits = ref.digest.hex
    stored = os.path.join(records.bench.config.cache, layout.OBJECTS, digits[:2], digits[2:])
    try:
        fd = os.open(stored, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ()
    with suppress(UserError, OSError, ValueError):
        if tables.suffix(path) in tables.DELIMITED:
            return [(name, '') for name in tables.head(fd, path)]
        if tables.suffix(path) in tables.PARQUET:
            from mlops_cli.databases import Parquet

            os.close(fd)
            file = Parquet(stored, path)
            try:
                return file.columns
            finally:
                file.close()
        os.close(fd)
    return ()


# Provenance


def as_provenance(records: Records, found: Upstream, sign: Any) -> Exported:
    """``sign``: bytes -> a signature; None for a bare statement."""
    from mlops_cli.report.provenance import statement

    if not found.target.makers:
        raise UserError(
            f'{found.target.title}: no recorded stage made it, so there is nothing to say about how',
            exit_code=ExitCode.FAILED,
            hint='name an output, a stage or a registered model',
        )
    bench = records.bench
    subjects = list(_subjects(records, found))
    told = statement(found, subjects, bench.pipeline.name, repository_of(bench.root.path), _urls(records))
    if sign is None:
        return Exported((told,), ('nobody signed it: --sign or --key FILE',))
    envelope = dsse.Envelope(dsse.IN_TOTO, canonical_bytes(told), ())
    signature = sign(envelope.signed_part)
    signed = dsse.Envelope(envelope.kind, envelope.payload, (('', signature.encode('ascii')),))
    return Exported((dsse.document(signed),))


def _subjects(records: Records, found: Upstream) -> Iterator[tuple[str, dict[str, str]]]:
    """Path and digests of each file that was asked about.  Raises UserError (exit 1) where the cache has not all of it."""
    from mlops_cli.registry.register import sha256_of

    count = 0
    for content in found.target.contents:
        for path, ref in _files(records, content.path, content.ref):
            count += 1
            if count > SUBJECTS:
                raise UserError(f'more than {SUBJECTS:,} files', hint='name one output of them')
            yield path, {'sha256': sha256_of(records.bench, ref), 'blake3': ref.digest.hex}


def _files(records: Records, path: str, ref: ObjectRef) -> Iterator[tuple[str, ObjectRef]]:
    if ref.kind != 'tree':
        yield path, ref
        return
    try:
        for below, entry in walk(ref, records.bench.store.read):
            if entry.kind in ('file', 'exec'):
                yield f'{path}/{below}', entry.ref
    except (MissingObject, Damaged) as error:
        raise UserError(
            f'{path} is damaged or not in this cache: {error}', hint='mlops fetch brings it', exit_code=ExitCode.FAILED
        ) from error


# Sending


def send(exported: Exported, url: str, key: str) -> None:
    """Each document to an address that somebody typed.  ``key``: of the API, sent over TLS or to this machine alone.

    Raises UserError (exit 4)."""
    import http.client
    import urllib.error
    import urllib.request
    from urllib.parse import urlsplit

    where = urlsplit(url)
    local = where.hostname in ('localhost', '127.0.0.1', '::1')
    if where.scheme not in ('http', 'https') or not where.hostname or where.username:
        raise UserError(f'{url[:80]!r} is no address to send to', hint='https://HOST/api/v1/lineage')
    if key and where.scheme != 'https' and not local:
        raise UserError('a key does not travel without TLS', hint='https://..., or unset OPENLINEAGE_API_KEY')

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            return None

    headers = {'Content-Type': 'application/json', 'User-Agent': 'mlops', **({'Authorization': f'Bearer {key}'} if key else {})}
    opener = urllib.request.build_opener(Stay)
    for number, one in enumerate(exported.documents):
        try:
            with opener.open(urllib.request.Request(url, canonical_bytes(one), headers, method='POST'), timeout=30):
                pass
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = f'answered {error.code}' if isinstance(error, urllib.error.HTTPError) else f'did not answer: {error}'
            sent = f'{number:,} of {len(exported.documents):,} were sent'
            raise UserError(f'{where.hostname} {why}; {sent}', hint='try again: the same events have the same ids',
                            exit_code=ExitCode.UNREACHABLE) from error  # fmt: skip
