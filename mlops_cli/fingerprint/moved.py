"""What of a stage's draft is no longer so: asked before its command starts and after it has ended, since an edit in between
would be recorded as the result of what was there before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlops_cli.core.errors import UserError
from mlops_cli.core.manifest import Entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.fingerprint.globs import is_glob
from mlops_cli.fingerprint.stage import Describer, Draft


def moved(describer: Describer, draft: Draft, inputs: Mapping[str, ObjectRef]) -> tuple[str, ...]:
    """Names of what differs now: paths of ``inputs`` (path -> content), files that a glob finds in addition, and
    ``file:key`` of parameters.  What can no longer be read differs.  Raises OSError."""
    return tuple(dict.fromkeys([*_contents(describer, inputs), *_found(describer, draft), *_parameters(describer, draft)]))


def means_the_same(describer: Describer, draft: Draft, path: str) -> bool:
    """Whether a code file that differs still means what it did: a comment was edited, or its layout.  Raises OSError."""
    try:
        ref = describer.workspace.ref(path)
        digest = None if ref is None else describer.code_meaning(draft.stage, path, ref)
    except UserError:
        return False
    return digest is not None and Entry('code', path, digest) in draft.entries


def _contents(describer: Describer, inputs: Mapping[str, ObjectRef]) -> Iterator[str]:
    workspace = describer.workspace
    for path, ref in inputs.items():
        workspace.forget(path)
        try:
            if workspace.ref(path) == ref:
                continue
        except UserError:  # a pipe, or a link out of the project, stands there now
            pass
        yield path


def _found(describer: Describer, draft: Draft) -> Iterator[str]:
    patterns = [dep.value for dep in draft.stage.deps if dep.kind == 'glob']
    patterns += [path for path in draft.stage.code.paths if is_glob(path)]
    for pattern in dict.fromkeys(patterns):
        for path in describer.workspace.glob(pattern):
            known = path in draft.inputs or path in draft.elsewhere or path in draft.tracked
            if not known and describer.maker_of(path) is None:
                yield path


def _parameters(describer: Describer, draft: Draft) -> Iterator[str]:
    before = {entry.name: entry.digest for entry in draft.entries if entry.kind == 'param'}
    for file in dict.fromkeys(ref.file for ref in draft.stage.params if describer.maker_of(ref.file) is None):
        describer.workspace.forget(file)
        try:
            held = describer.workspace.ref(file)
        except UserError:
            held = None
        describer.params.forget_unless(file, None if held is None else held.digest)
    try:
        yield from [entry.name for entry in describer.parameters_of(draft.stage) if before.get(entry.name) != entry.digest]
    except UserError:  # it is being written, or is no parameter file any more
        yield from before
