"""What a word means that somebody asks a lineage of, models of the registry among it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.core.errors import UserError
from mlops_cli.core.units import show_size
from mlops_cli.experiments.lineage_model import Content, Target
from mlops_cli.experiments.lineage_records import Records
from mlops_cli.experiments.lineage_targets import Targets, origin

if TYPE_CHECKING:
    from mlops_cli.records.models import Version


def meant(records: Records, targets: Targets, word: str, *, whole: bool = False) -> Target:
    """The target that a word means.  ``whole``: a revision or ``workspace`` alone, too.  A stage, a file or a run of that name
    goes before a model, unless an ``@`` says that it is one.  Raises UserError."""
    pipeline = records.bench.pipeline
    if '@' in word and word not in pipeline.stages and word not in pipeline.groups and (version := version_of(records, word)):
        return of_version(records, word, version)
    try:
        return targets.find_any(word) if whole else targets.find(word)
    except UserError:
        version = version_of(records, word)
        if version is None:
            raise
    return of_version(records, word, version)


def version_of(records: Records, word: str) -> Version | None:
    """The version of a registered model that a word names; None where it is no model's name.  Raises UserError."""
    from mlops_cli.records import model_names as names  # most words are no models

    root = records.bench.root
    return names.resolve(root, word).version if names.is_name(root, word) else None


def of_version(records: Records, word: str, version: Version) -> Target:
    """The result that was registered, and no other that happens to have the same content."""
    _, key, outs8 = version.results[0]
    made = next((one for one in records.of_key(key) if one.outs8 == outs8), None)
    size = f'{"a folder, " if version.ref.kind == "tree" else ""}{show_size(version.ref.size)}'
    title = f'{version.name} {version.label}, a model: {version.path}, {size}, blake3:{version.ref.digest.hex[:16]}'
    said = [f'Registered {version.when[:10]} by {version.who.name}.']
    said.append(f'This is {version.path} as {origin(made)}.' if made else _nobody(version))
    makers = (made.id,) if made else ()
    return Target(word, 'output', title, tuple(said), makers, (Content(version.path, version.ref),))


def _nobody(version: Version) -> str:
    return (f'The result that it is, of {version.stage}, is not recorded here: fetch the branch that pinned it. '
            f'What was noted: mlops models show {version.name}@{version.id}')  # fmt: skip
