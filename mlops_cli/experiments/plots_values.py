"""What a plot is, as values: lines, bars, a histogram, a confusion matrix, a picture, or a sentence why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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
class Series:
    """Numbers by position; NaN where there is none."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """``joined``: lines, else points.  ``names``: of the positions 0, 1, 2..., where x is text."""

    series: tuple[Series, ...]
    joined: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bars:
    """``series``: (name, a number for each category, NaN where there is none)."""

    categories: tuple[str, ...]
    series: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """``series``: (name, finite numbers); bins are for who draws it, so that two points can share them."""

    series: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """``counts``: a row for each actual label, in it a number for each predicted one."""

    labels: tuple[str, ...]
    counts: tuple[tuple[float, ...], ...]


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
