"""What one Python source imports, as values: read by pyimports.py, which loads what parses Python."""
from __future__ import annotations

from typing import Any

from mlops_cli.core.classes import dataclass

Import = tuple[str, int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Facts:
    """``imports``: (dotted name, leading dots, names) in order; names are empty for ``import a.b``.
    ``dynamic``: (line, what) of code that is loaded under a name only the run knows.  ``exports``: ``__all__``; None if it
    is built when it runs, empty without one.  ``path_line``: where ``sys.path`` is first changed, 0 if nowhere.
    ``extends_path``: a package that spreads over several folders.  ``problem``: why it cannot be parsed, else empty."""

    imports: tuple[Import, ...] = ()
    dynamic: tuple[tuple[int, str], ...] = ()
    exports: tuple[str, ...] | None = ()
    path_line: int = 0
    extends_path: bool = False
    problem: str = ''

    @property
    def unread(self) -> str:
        """What is not known of a source with a ``problem``, as the end of a sentence."""
        followed = 'not all that it imports is followed' if self.imports else 'what it imports is not followed'
        return f'cannot be parsed ({self.problem}), so {followed}'

    def to_json(self) -> list[Any]:
        return [[[name, level, list(names)] for name, level, names in self.imports], [list(each) for each in self.dynamic],
                None if self.exports is None else list(self.exports), self.path_line, self.extends_path, self.problem]

    @classmethod
    def from_json(cls, value: Any) -> Facts:
        """The inverse of :meth:`to_json`.  Raises ValueError or TypeError on anything else."""
        imports, dynamic, exports, path_line, extends_path, problem = value
        return cls(tuple((str(name), int(level), tuple(names)) for name, level, names in imports),
                   tuple((int(line), str(what)) for line, what in dynamic),
                   None if exports is None else tuple(exports), int(path_line), bool(extends_path), str(problem))
