"""What a plot is, as values: lines, bars, a histogram, a confusion matrix, a picture, or a sentence why there is none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from mlops_cli.core.classes import dataclass, field

Kind = Literal['line', 'scatter', 'bar', 'histogram', 'confusion']
KINDS: tuple[Kind, ...] = ('line', 'scatter', 'bar', 'histogram', 'confusion')
# What DVC calls them.
TEMPLATES: Mapping[str, Kind] = {
    'linear': 'line',
    'simple': 'line',
    'smooth': 'line',
    'scatter': 'scatter',
    'scatter_jitter': 'scatter',
    'bar_horizontal': 'bar',
    'bar_horizontal_sorted': 'bar',
    'confusion': 'confusion',
    'confusion_normalized': 'confusion',
    **{kind: kind for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The lowest, the highest and the last of all finite numbers of a column, drawn or not; NaN without any.

    ``left_out``: how many of its values are not drawn since they are NaN, infinite, too large, or have no place in x."""

    low: float
    high: float
    last: float
    left_out: int = 0


def facts_of(numbers: Iterable[float], left_out: int = 0) -> Facts:
    finite = [number for number in numbers if math.isfinite(number)]
    if not finite:
        return Facts(math.nan, math.nan, math.nan, left_out)
    return Facts(min(finite), max(finite), finite[-1], left_out)


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers by position; NaN where there is none."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """``joined``: lines, else points.  ``names``: of the positions 0, 1, 2..., where x is text.  ``facts``: by the name
    of a series."""

    series: tuple[Series, ...]
    joined: bool = True
    names: tuple[str, ...] = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bars:
    """``series``: (name, a number for each category, NaN where there is none)."""

    categories: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]
    facts: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """``series``: (name, finite numbers); bins are for who draws it, so that two points can share them."""

    series: tuple[tuple[str, tuple[float, ...]], ...]
    facts: Mapping[str, Facts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confusion:
    """``counts``: a row for each actual label, in it a number for each predicted one.  ``left_out``: how many of the counts
    in the table are no numbers that can be added."""

    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """``media``: its type, as image/png.  ``size``: (width, height) in pixels, where the file tells."""

    media: str
    data: bytes = field(repr=False)
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """``problem``: a sentence without its full stop."""

    problem: str
    hint: str = ''


Content = Lines | Bars | Histogram | Confusion | Picture | Broken


@dataclass(frozen=True, slots=True)
class Drawing:
    """``part``: which of several that come from one file, '' for the only one.  ``notes``: what was left out, as sentences."""

    title: str
    content: Content
    x_label: str = ''
    y_label: str = ''
    part: str = ''
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing of one output at one point (``point``: its label).  ``settings``: as the pipeline declares them there."""

    stage: str
    path: str
    point: str
    drawing: Drawing
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """The same plot at another point has the same."""
        return (self.stage, self.path, self.drawing.part)

    @property
    def broken(self) -> bool:
        return isinstance(self.drawing.content, Broken)
