"""The folder of models: what is recorded of each name, with what cannot be read told apart from what is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass, field
from mlops_cli.core.collector import without_collector
from mlops_cli.core.digest import Digest
from mlops_cli.core.errors import ExitCode, UserError, Where
from mlops_cli.fsio.durable import Batch
from mlops_cli.fsio.paths import Root
from mlops_cli.fsio.temporaries import PREFIX
from mlops_cli.records import models
from mlops_cli.records.files import read_small, write_in_batch
from mlops_cli.records.models import ALIASES, KINDS, VERSIONS, Fact, Version
from mlops_cli.records.pins import slug

MOST = 100_000  # files below one model's folder


@dataclass
class Model:
    """All that is recorded under one name.  ``versions``, ``facts``: by their digests.  ``problems``: files that are not as we
    wrote them.  ``worked_out``: what follows from these."""

    name: str
    versions: dict[Digest, Version] = field(default_factory=dict)
    facts: dict[Digest, Fact] = field(default_factory=dict)
    problems: list[UserError] = field(default_factory=list)
    worked_out: dict[str, Any] = field(default_factory=dict)

    def once(self, what: str, work_out: Callable[[], Any]) -> Any:
        """What follows from all that is recorded, worked out when it is asked for first.  Not while it is being read."""
        if what not in self.worked_out:
            self.worked_out[what] = work_out()
        return self.worked_out[what]

    @property
    def numbered(self) -> tuple[Version, ...]:
        """Oldest first; versions of two branches that have one number are beside each other."""
        return tuple(sorted(self.versions.values(), key=lambda one: (one.number, one.when, one.id)))

    def of_kind(self, kind: str) -> tuple[Fact, ...]:
        """Oldest first."""

        def found() -> tuple[Fact, ...]:
            facts = (fact for fact in self.facts.values() if fact.kind == kind)
            return tuple(sorted(facts, key=lambda fact: (fact.when, fact.file)))

        facts: tuple[Fact, ...] = self.once(kind, found)
        return facts


class Models:
    """``root``: the project.  Read when it is asked for, once.  Raises OSError; UserError where the folder is a link."""

    def __init__(self, root: Root) -> None:
        self.root = root

    @cached_property
    def all(self) -> dict[str, Model]:
        """By name."""
        found: dict[str, Model] = {}
        with without_collector():
            for folder in _folders(self.root, layout.MODELS):
                for path in sorted(_files(self.root, f'{layout.MODELS}/{folder}')):
                    self._take(found, folder, path)
        return dict(sorted(found.items()))

    def _take(self, found: dict[str, Model], folder: str, path: str) -> None:
        try:
            one = models.decode(read_small(self.root, path, models.LIMIT), path)
        except FileNotFoundError:
            return  # git has taken it away since the listing
        except UserError as error:
            name = next((name for name in found if slug(name) == folder), folder)
            found.setdefault(name, Model(name)).problems.append(error)
            return
        if one.name not in found and folder in found:  # what could not be read came first
            found[one.name] = found.pop(folder)
            found[one.name].name = one.name
        model = found.setdefault(one.name, Model(one.name))
        if isinstance(one, Version):
            model.versions[one.digest] = one
        else:
            model.facts[one.digest] = one

    def add(self, one: Version | Fact, batch: Batch) -> str:
        """Writes it; its path.  Durable when the batch is.  Raises OSError; UserError for what could not be read back."""
        try:
            models.decode(one.encoded, one.file)
        except UserError as error:
            raise UserError(f'this cannot be recorded: {error.message}', exit_code=ExitCode.REFUSED) from error
        write_in_batch(self.root, one.file, one.encoded, batch)
        self.__dict__.pop('all', None)
        return one.file


def _folders(root: Root, folder: str) -> list[str]:
    """Names of folders in it.  Raises UserError for a link."""
    try:
        return sorted(entry.name for entry in root.scandir(folder) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(root: Root, folder: str) -> Iterator[str]:
    """The files that may be ours below a model's folder, links in place of them too: of these reading tells."""
    for part in (VERSIONS, *KINDS.values()):
        for below in [part, *(f'{part}/{name}' for name in (_folders(root, f'{folder}/{part}') if part == ALIASES else ()))]:
            try:
                entries = root.scandir(f'{folder}/{below}')
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                if not entry.is_dir() and entry.name.endswith('.json') and not entry.name.startswith(PREFIX):
                    yield f'{folder}/{below}/{entry.name}'


def strangers(root: Root) -> list[str]:
    """Paths below the folder of models that are none of ours: links, folders and files with other names."""
    found: list[str] = []
    waiting = [layout.MODELS]
    while waiting and len(found) < MOST:
        folder = waiting.pop()
        try:
            entries = root.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in sorted(entries, key=lambda one: one.name):
            path = f'{folder}/{entry.name}'
            if entry.is_dir() and path.count('/') < layout.MODELS.count('/') + 4:
                waiting.append(path)
            elif not entry.is_file() or not models.name_fits(path):
                found.append(path)
    return sorted(found)


def unreadable(model: Model) -> UserError:
    """Raised where nobody may rely on what is recorded of a model."""
    first = model.problems[0]
    more = f' (and {len(model.problems) - 1} more)' if len(model.problems) > 1 else ''
    return UserError(
        f'what is recorded of the model {model.name} is damaged: {first.message}{more}',
        where=first.where or Where(models.folder_of(model.name)),
        hint=first.hint or 'mlops models verify tells all of it',
        exit_code=ExitCode.FAILED,
    )
