"""What a colleague would miss after a clone: records, code, inputs and kept outputs that git does not have as they are.

Reads the list of what stages use off their drafts, and asks git about those paths alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlops_cli import git
from mlops_cli.core import layout
from mlops_cli.core.classes import dataclass
from mlops_cli.core.errors import UserError
from mlops_cli.core.paths import inside
from mlops_cli.pipeline.spec import Stage
from mlops_cli.run.workbench import Workbench

LARGE = 1 << 20  # bytes of an input from which it is rather tracked data than a file for git
# Of inputs that are rather tracked data, too, unless somebody gave them to git already.
DATA_ENDINGS = (
    *('.csv', '.tsv', '.jsonl', '.parquet', '.feather', '.arrow', '.npy', '.npz', '.h5', '.hdf5', '.pkl', '.pickle'),
    *('.zip', '.gz', '.tar', '.zst', '.xlsx', '.db', '.sqlite', '.mat', '.wav', '.mp3', '.mp4', '.png', '.jpg', '.jpeg'),
)
NAMED = 6  # files that a command names; beyond that, their folders
RECORDS = (layout.ROOT, '.gitignore', '.gitattributes')


@dataclass(frozen=True, slots=True)
class Uncommitted:
    """``records``: files of ``.mlops``.  ``files``: what else git lacks and should have.  ``data``: inputs that are too large
    for git or named as data are, or that it ignores, and that nobody tracks.
    ``ignored``: code and parameters that git is told to ignore."""

    records: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def to_add(self) -> list[str]:
        """What to hand to ``git add``: the records as one, of many files their folders."""
        tops = [layout.ROOT] if self.records else []
        others = list(self.files)
        if len(others) > NAMED:
            others = [path.partition('/')[0] for path in others]
        return sorted(dict.fromkeys([*tops, *others]))


NOTHING = Uncommitted()


def uncommitted(bench: Workbench, changed: Sequence[str]) -> Uncommitted:
    """``changed``: those of :func:`recorded` that git does not have as they are.  Of what stages use, git is asked here; where
    there is no repository, there is nothing to say.  Needs the drafts of all stages."""
    records = tuple(path for path in changed if inside(path, layout.ROOT))
    files = dict.fromkeys(path for path in changed if not inside(path, layout.ROOT))
    code, data = _used(bench)
    kept = [output.path for stage in bench.pipeline.stages.values() for output in stage.outputs if not output.cache]
    seen = bench.workspace.is_plain  # which saves a second look
    asked = [path for path in dict.fromkeys([*kept, *code, *data]) if seen(path) or bench.root.stat(path) is not None]
    found = git.lacking(bench.root.path, asked)
    if found is None:
        return Uncommitted(records, tuple(files))
    lacking, ignored = found
    tables = [path for path in data if path in lacking and path.lower().endswith(DATA_ENDINGS)]
    new = set(tables) - set(git.tracked(bench.root.path, tables)) if tables else set()
    large = [path for path in data if path in ignored or path in new or (path in lacking and data[path] > LARGE)]
    files |= dict.fromkeys(path for path in asked if path in lacking and path not in large)
    return Uncommitted(records, tuple(files), tuple(large), tuple(path for path in code if path in ignored))


def recorded(bench: Workbench) -> tuple[str, ...]:
    """What of the records and the pipeline git does not have as it is; empty where git refuses to answer."""
    mine = [*RECORDS, *bench.pipeline.files]
    try:
        return git.changed(bench.root.path, [path for path in mine if bench.root.stat(path) is not None])
    except UserError:
        return ()


def _used(bench: Workbench) -> tuple[list[str], dict[str, int]]:
    """(code and parameter files, inputs with their bytes) of all stages, less what mlops tracks or stages make."""
    tracked = tuple(bench.describer.tracked.records)

    def ours(path: str) -> bool:
        return any(inside(path, one) or inside(one, path) for one in tracked) or bench.describer.maker_of(path) is not None

    code: dict[str, None] = {}
    data: dict[str, int] = {}
    for name in bench.order:
        traits = bench.traits(name)
        code |= dict.fromkeys(traits.code)
        code |= dict.fromkeys(_settings(bench.pipeline.stages[name]))
        data |= {path: size for path, size in traits.sizes.items() if path not in traits.code}
    files = [path for path in code if not ours(path)]
    return files, {path: size for path, size in data.items() if path not in code and not ours(path)}


def _settings(stage: Stage) -> Iterator[str]:
    yield from (ref.file for ref in stage.params)
    if stage.environment is not None and stage.environment.path:
        yield stage.environment.path
