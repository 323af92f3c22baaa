"""Whether what is recorded of models is what was recorded, and whether who holds an alias may: for verify, and before get hands
anything out.  Reads, computes, executes nothing of the project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_files import Model, Models, strangers
from mlops_cli.records.model_names import Named
from mlops_cli.records.model_standing import doubles, holders, label, require_plain
from mlops_cli.records.models import Fact, Version, folder_of
from mlops_cli.registry.court import court_of
from mlops_cli.registry.policy import Judgement
from mlops_cli.registry.register import sha256_of
from mlops_cli.registry.signing import Trunk
from mlops_cli.run.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Finding:
    """``where``: a file or a name.  ``bad``: damage, or against the policy; else something to know.  ``missing``: it is only
    not in this cache."""

    model: str
    where: str
    problem: str
    bad: bool = True
    missing: bool = False


def require_held(root: Root, named: Named, now: float) -> Judgement:
    """That whoever holds the alias may, as the policies of today ask.  Raises UserError (exit 5, or 1 where only gates and
    checks fail): somebody may have written the promotion by hand."""
    assert named.promotion is not None
    judgement, problems = court_of(root, named.model, Trunk(root), now).held(named.promotion)
    if problems:
        shown = label(named.model, named.version.digest)
        raise UserError(
            f'{named.model.name}@{named.alias} is {shown}, but may not be: {"; ".join(problems)}',
            hint=f'promote it again as the policy asks, or name the version itself: {named.model.name}@{shown}',
            exit_code=ExitCode.FAILED if _only_gates(judgement, problems) else ExitCode.REFUSED,
        )
    return judgement


def _only_gates(judgement: Judgement, problems: Sequence[str]) -> bool:
    return len(problems) == len(judgement.refusals) and all(one.code == ExitCode.FAILED for one in judgement.refusals)


def require_signed(root: Root, version: Version) -> str:
    """What is to be said of a version's own signature; empty where it has none.  Raises UserError (exit 5) for one that is not
    good."""
    if not version.signature:
        return ''
    if problem := Trunk(root).problem(version):
        raise UserError(
            f'the signature of {version.name} {version.label} does not count: {problem}',
            hint=f'whose keys count stands in {layout.SIGNERS} of the default branch',
            exit_code=ExitCode.REFUSED,
        )
    return f'signed by {version.who.shown}'


def result_problem(bench: Workbench, version: Version) -> str:
    """What a version says otherwise than the result that it names, as far as its pin is here; empty where nothing."""
    _, key, outs8 = version.results[0]
    said = {(file, name): number for file, name, number in version.metrics}
    try:
        pins = bench.pins.of_key(key)
    except UserError as error:
        return error.message
    for pin in pins:
        if pin.outs8 == outs8:
            if dict(pin.outputs).get(version.path) != version.ref:
                return f'its result has another {version.path}'
            for file, name, number in pin.metrics:
                if said.get((file, name), number) != number:
                    return f'its result has {file}:{name} {number}, not {said[file, name]}'
    return ''


def require_result(bench: Workbench, version: Version) -> None:
    """Raises UserError (exit 5): somebody wrote the version, or the pin, by hand."""
    if problem := result_problem(bench, version):
        raise UserError(
            f'{version.name} {version.label} is not what it says: {problem}',
            hint=f'git log -- {version.file} shows whose it is',
            exit_code=ExitCode.REFUSED,
        )


def verify(bench: Workbench, models: Models, names: Sequence[str], now: float) -> Iterator[Finding]:
    """Every file, every reference, every signature, every content that is here."""
    chosen = {name: models.all[name] for name in names} if names else models.all
    trunk = Trunk(bench.root)
    for path in strangers(bench.root):
        parts = path.split('/')
        if not names or any('/'.join(parts[:3]) == folder_of(name) for name in names):
            yield Finding(parts[2] if len(parts) > 3 else '', path, 'none that mlops writes: a link, or a name of its own')
    for model in chosen.values():
        yield from _files(model)
        yield from _signatures(model, trunk)
        yield from _aliases(bench.root, model, trunk, now)
        for version in model.numbered:
            if problem := result_problem(bench, version):
                yield Finding(model.name, version.file, problem)
            yield from _content(bench, version, f'{model.name}@{label(model, version.digest)}')
        for said in doubles(model):
            yield Finding(model.name, model.name, f'two branches gave one number: {said}', bad=False)


def _files(model: Model) -> Iterator[Finding]:
    for error in model.problems:
        yield Finding(model.name, error.where.file if error.where else folder_of(model.name), error.message)
    for fact in model.facts.values():
        if fact.version is not None and fact.version not in model.versions:
            yield Finding(model.name, fact.file, f'the version that it is about ({fact.version.short}) is gone')
        for digest in (*fact.follows, *fact.approvals):
            if digest not in model.facts:
                yield Finding(model.name, fact.file, f'the file that it rests on ({digest.short}) is gone')


def _signatures(model: Model, trunk: Trunk) -> Iterator[Finding]:
    every: list[Version | Fact] = [*model.versions.values(), *model.facts.values()]
    for one in every:
        if one.signature and (problem := trunk.problem(one)):
            yield Finding(model.name, one.file, f'its signature does not count: {problem}')


def _aliases(root: Root, model: Model, trunk: Trunk, now: float) -> Iterator[Finding]:
    court = court_of(root, model, trunk, now)
    for alias, holder in holders(model).items():
        try:
            promotion = require_plain(model, holder)
        except UserError as error:
            yield Finding(model.name, f'{model.name}@{alias}', error.message)
            continue
        _, problems = court.held(promotion)
        for problem in problems:
            yield Finding(model.name, f'{model.name}@{alias}', f'{label(model, promotion.version)} may not hold it: {problem}')


def _content(bench: Workbench, version: Version, where: str) -> Iterator[Finding]:
    facts = bench.store.stat(version.ref.digest) if version.ref.kind != 'tree' else None
    if facts is not None and facts.st_size != version.ref.size:  # before it is looked for, which puts it aside
        yield Finding(version.name, where, 'what this cache holds in its place has another size')
        return
    if bench.store.missing([version.ref]):
        yield Finding(version.name, where, 'the model itself is not in this cache', bad=False, missing=True)
        return
    try:
        found = sha256_of(bench, version.ref)
    except UserError as error:
        yield Finding(version.name, where, error.message)
        return
    if found != version.sha256:
        yield Finding(version.name, where, f'its sha256 is {found[:12]}..., not {version.sha256[:12]}... as recorded')
