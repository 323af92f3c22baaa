"""``mlops lineage verify``: whose signature an in-toto statement has, and whether it is about these bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.cli.console import Line, one_line, out_lines, print_json
from mlops_cli.cli.wiring import workbench
from mlops_cli.core import dsse, layout, strictjson
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.core.units import plural

LIMIT = 16 << 20  # bytes of a statement
SHOWN = 20  # files


@dataclass(frozen=True, slots=True)
class Subject:
    """``path``: where its bytes were looked for.  ``problem``: empty where they are what the statement says."""

    name: str
    sha256: str
    path: str
    problem: str


def verify(file: str, path: str, unsigned: bool, as_json: bool) -> int:
    """Raises UserError for what is no statement (2)."""
    from mlops_cli.registry.signing import Trunk

    here = os.getcwd()
    envelope, statement = read(os.path.join(here, file), file)
    with workbench(tolerant=True) as bench:
        problem, who = _signature(Trunk(bench.root), envelope, unsigned)
        base = bench.root.path
        subjects = list(_subjects(statement, os.path.join(here, path) if path else '', base))
    bad = bool(problem) or not subjects or any(one.problem for one in subjects)
    made = _made(statement)
    if as_json:
        print_json({
            'schema': 'mlops/lineage-verify/v1', 'file': file, 'good': not bad, 'signed_by': list(who),
            'problem': problem or None,
            'subjects': [
                {'name': one.name, 'sha256': one.sha256, 'path': one.path, 'problem': one.problem or None} for one in subjects
            ],
            'made': made,
        })  # fmt: skip
    else:
        out_lines(_lines(file, problem, who, subjects, made))
    return ExitCode.FAILED if bad else ExitCode.DONE


def read(path: str, shown: str) -> tuple[dsse.Envelope | None, dict[str, Any]]:
    """(the envelope, None for a bare statement; the statement).  Raises UserError."""
    try:
        with open(path, 'rb') as opened:
            held = opened.read(LIMIT + 1)
    except OSError as error:
        raise UserError(
            f'{shown} cannot be read: {error.strerror}', hint='name a file that mlops lineage export wrote'
        ) from error
    found, envelope = strictjson.read(held, shown), None
    try:
        if isinstance(found, dict) and 'payload' in found:
            envelope = dsse.read(found)
            if envelope.kind != dsse.IN_TOTO:
                raise ValueError(f'its payload is {envelope.kind[:80]!r}')
            found = strictjson.read(envelope.payload, f'the payload of {shown}')
        _require_statement(found)
    except ValueError as error:
        raise UserError(f'{shown} is no in-toto statement: {error}', where=Where(shown)) from error
    return envelope, found


def _require_statement(found: Any) -> None:
    """Raises ValueError."""
    from mlops_cli.report.provenance import STATEMENT

    if not isinstance(found, dict) or found.get('_type') != STATEMENT:
        raise ValueError(f'it does not say {STATEMENT}')
    rows = found.get('subject')
    if not isinstance(rows, list) or not rows:
        raise ValueError('it is about nothing')
    for row in rows:
        digest = row.get('digest') if isinstance(row, dict) else None
        if not isinstance(digest, dict) or not isinstance(digest.get('sha256'), str) or not isinstance(row.get('name'), str):
            raise ValueError('a subject has no name or no sha256')


def _signature(trunk: Any, envelope: dsse.Envelope | None, unsigned: bool) -> tuple[str, tuple[str, ...]]:
    """(why it does not count, who signed).  Whose keys count is what the default branch says."""
    if envelope is None or not envelope.signatures:
        return ('' if unsigned else 'nobody signed it (--unsigned takes it all the same)'), ()
    who = [
        name
        for _, held in envelope.signatures
        for name in trunk.who_signed(envelope.signed_part, held.decode('ascii', 'replace'))
    ]
    if not who:
        return f'none of the keys in {layout.SIGNERS} of the default branch signed it', ()
    return '', tuple(dict.fromkeys(who))


def _subjects(statement: Mapping[str, Any], path: str, base: str) -> Iterator[Subject]:
    """``path``: what they are compared with, absolute; empty for the files of their names in the project."""
    rows = [(row['name'], row['digest']['sha256'].lower()) for row in statement['subject']]
    if path and len(rows) == 1 and not os.path.isdir(path):
        yield _compared(*rows[0], path)
        return
    start = _common(rows) if path else ''
    for name, sha256 in rows:
        below = name[len(start) :]
        if below.startswith('/') or '..' in below.split('/') or '\0' in below:
            yield Subject(name, sha256, '', 'it names a path that leads elsewhere')
        else:
            yield _compared(name, sha256, os.path.join(path or base, below))
    if path and os.path.isdir(path):
        known = {name[len(start) :] for name, _ in rows}
        for folder, _, files in os.walk(path):
            for one in files:
                found = os.path.relpath(os.path.join(folder, one), path)
                if found not in known:
                    yield Subject(found, '', os.path.join(folder, one), 'the statement does not name it')


def _common(rows: list[tuple[str, str]]) -> str:
    """The folder that all of them lie in, with its ``/``: what somebody took out may be called otherwise."""
    if any(name.startswith('/') for name, _ in rows):  # which is refused one by one
        return ''
    found = os.path.commonpath([os.path.dirname(name) for name, _ in rows])
    return f'{found}/' if found else ''


def _compared(name: str, sha256: str, path: str) -> Subject:
    made = hashlib.sha256()
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Subject(name, sha256, path, 'it is no file')
            while chunk := file.read(1 << 20):
                made.update(chunk)
    except (OSError, ValueError) as error:
        return Subject(name, sha256, path, f'it cannot be read: {getattr(error, "strerror", None) or error}')
    found = made.hexdigest()
    return Subject(name, sha256, path, '' if found == sha256 else f'its sha256 is {found[:16]}..., not {sha256[:16]}...')


def _made(statement: Mapping[str, Any]) -> dict[str, Any]:
    """How it was made, as the statement says: texts alone, as anybody may have written it."""
    predicate = statement.get('predicate')
    definition = predicate.get('buildDefinition') if isinstance(predicate, dict) else None
    details = predicate.get('runDetails') if isinstance(predicate, dict) else None
    asked = definition.get('externalParameters') if isinstance(definition, dict) else None
    metadata = details.get('metadata') if isinstance(details, dict) else None
    wanted = {'stage': asked, 'command': asked, 'invocationId': metadata, 'startedOn': metadata}
    found = {name: held[name] for name, held in wanted.items() if isinstance(held, dict) and isinstance(held.get(name), str)}
    inputs = definition.get('resolvedDependencies') if isinstance(definition, dict) else None
    return {**found, 'inputs': len(inputs) if isinstance(inputs, list) else 0}


def _lines(file: str, problem: str, who: tuple[str, ...], subjects: list[Subject], made: Mapping[str, Any]) -> list[Line]:
    lines = [Line(f'FAILED    {one_line(file)}: {problem}', 'FAILED')] if problem else []
    if who:
        lines.append(Line(f'  signed    by {", ".join(map(one_line, who))}', 'done'))
    bad = [one for one in subjects if one.problem]
    lines += [Line(f'FAILED    {one_line(one.name)}: {one_line(one.problem)}', 'FAILED') for one in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(Line(f'          and {len(bad) - SHOWN:,} more'))
    good = len(subjects) - len(bad)
    lines += [Line(f'  same      {plural(good, "file")}, by sha256')] if good else []
    stage = one_line(str(made.get('stage', '')))
    run = f' in run {one_line(made["invocationId"].partition("-")[2])}' if made.get('invocationId') else ''
    if stage:
        lines.append(Line(f'  made      by {stage}{run}, from {plural(made["inputs"], "input")}'))
    return lines
