"""Names of models as people say them: ``digits``, ``digits@v3``, ``digits@prod``.  Reads files of the project, nothing else."""

from __future__ import annotations

from mlops_cli.core.classes import dataclass
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.core.near import did_you_mean
from mlops_cli.core.patterns import pattern
from mlops_cli.fsio.paths import Root
from mlops_cli.records.model_files import Model, Models, unreadable
from mlops_cli.records.model_standing import holders, label, require_plain
from mlops_cli.records.models import ALIAS, NAME, Fact, Version

LATEST = 'latest'
_NUMBER = pattern(r'v?(?P<number>[1-9][0-9]{0,6})(?:-(?P<digest8>[0-9a-f]{4,8}))?')
_HEX = pattern(r'(?:blake3:|sha256:)?(?P<hex>[0-9a-f]{8,64})')


@dataclass(frozen=True)
class Named:
    """What a name means.  ``alias``: by which it was named, with ``promotion`` that says so; else empty and None.  ``notes``:
    what whoever named it should know."""

    model: Model
    version: Version
    alias: str = ''
    promotion: Fact | None = None
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return f'{self.model.name} {label(self.model, self.version.digest)}'


def resolve(root: Root, text: str) -> Named:
    """The version that is meant by ``NAME``, ``NAME@latest``, ``NAME@v3``, ``NAME@3``, ``NAME@v3-1a2b3c4d``, ``NAME@ALIAS`` or
    ``NAME@DIGEST``; ``NAME`` alone is the latest.

    Raises UserError: nothing of that name (2), the files that say so are damaged (1), two branches meant different ones (5)."""
    return resolve_in(Models(root), text)


def is_name(root: Root, text: str) -> bool:
    """Whether a word names a model that is registered here, whatever stands behind its ``@``."""
    name = text.partition('@')[0]
    return NAME.fullmatch(name) is not None and name in Models(root).all


def is_alias(which: str) -> bool:
    """Whether what stands behind an ``@`` is an alias, or ``latest``: who holds it may change, and nobody may hold it yet."""
    return not _NUMBER.fullmatch(which) and not _HEX.fullmatch(which)


def resolve_in(models: Models, text: str) -> Named:
    """As :func:`resolve`."""
    name, _, which = text.partition('@')
    model = find(models, name)
    if not model.versions and model.problems:
        raise unreadable(model)
    which = which or LATEST
    number = _NUMBER.fullmatch(which)
    digest = None if number else _HEX.fullmatch(which)
    if number:
        return _numbered(model, int(number['number']), number['digest8'] or '')
    if which == LATEST:
        _require_whole(model)
        if not model.versions:  # what is said about them is all that came
            raise UserError(f'no version of the model {model.name} is registered here', hint='mlops models register')
        return _numbered(model, max(version.number for version in model.versions.values()), '')
    if digest:  # before aliases, so that none takes the place of what a pin by digest means
        return _by_digest(model, digest['hex'])
    if ALIAS.fullmatch(which):
        return _aliased(model, which)
    raise _unknown(model, which)


def find(models: Models, name: str) -> Model:
    """Raises UserError with the near name."""
    if name in models.all:
        return models.all[name]
    if not models.all:
        raise UserError(f'no model {name[:80]!r}: none is registered yet', hint='mlops models register')
    raise UserError(f'no model {name[:80]!r}', hint=did_you_mean(name, models.all, what='models are'))


def _require_whole(model: Model) -> None:
    """Where a file cannot be read, nobody can say which version is the last, or who holds an alias."""
    if model.problems:
        raise unreadable(model)


def _numbered(model: Model, number: int, digest8: str) -> Named:
    found = [one for one in model.numbered if one.number == number and one.digest.hex.startswith(digest8)]
    if not found:
        _require_whole(model)
        raise _unknown(model, f'v{number}{"-" if digest8 else ""}{digest8}')
    if len({one.ref for one in found}) > 1:
        said = ', '.join(f'{one.id} (by {one.who.name}, {one.when[:10]})' for one in found)
        raise UserError(
            f'two branches registered a v{number} of {model.name}: {said}',
            exit_code=ExitCode.REFUSED,
            hint=f'say which: {model.name}@{found[0].id}',
        )
    notes = () if len(found) == 1 else (f'the same model was registered as {" and ".join(one.id for one in found)}',)
    return Named(model, found[0], notes=notes)


def _aliased(model: Model, alias: str) -> Named:
    _require_whole(model)
    holder = holders(model).get(alias)
    if holder is None:
        raise _unknown(model, alias)
    promotion = require_plain(model, holder)
    assert promotion.version is not None  # as decoded
    return Named(model, model.versions[promotion.version], alias, promotion)


def _by_digest(model: Model, digits: str) -> Named:
    def meant(version: Version) -> bool:
        digests: tuple[Digest, ...] = (version.digest, version.ref.digest)
        return version.sha256.startswith(digits) or any(one.hex.startswith(digits) for one in digests)

    found = [version for version in model.numbered if meant(version)]
    if not found:
        raise _unknown(model, digits)
    if len({one.ref for one in found}) > 1:
        raise UserError(
            f'{digits} could mean {len(found)} versions of {model.name}',
            hint='type more of it: ' + ', '.join(one.id for one in found[:4]),
        )
    return Named(model, found[0])


def _unknown(model: Model, which: str) -> UserError:
    known = [*holders(model), *(version.label for version in reversed(model.numbered))][:200]
    near = did_you_mean(which, known, what='there are')
    return UserError(f'the model {model.name} has no {which[:80]}', hint=f'{near}; mlops models list {model.name} shows all')
