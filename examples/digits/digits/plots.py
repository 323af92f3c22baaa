"""The picture of a model's reading: which digits it takes for which, and the ones that it gets wrong."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from digits.data import SIDE, Digits

Box = tuple[float, float, float, float]  # left, bottom, width, height, as parts of the figure

WIDE, HIGH = 10.6, 6.5  # inches
CAPTION = 1.24          # height of a digit with its caption, in widths
INK, SOFT, EMPTY, PAPER = '#1f2933', '#7b8794', '#f5f7fa', '#ffffff'
RIGHT, WRONG = '#2a7f8e', '#d9622b'
RIGHT_SHADES = LinearSegmentedColormap.from_list('right', ['#dceef0', '#6fb3bd'])
WRONG_SHADES = LinearSegmentedColormap.from_list('wrong', ['#fbe3d6', '#e98a5b'])
INK_SHADES = LinearSegmentedColormap.from_list('ink', [EMPTY, INK])

STYLE: dict[Any, Any] = {
    'font.family': 'DejaVu Sans',  # comes with matplotlib, so the same everywhere
    'svg.fonttype': 'path',
    'svg.hashsalt': 'digits',      # else matplotlib draws the ids of its shapes by lot
    'text.color': INK,
}


@dataclass(frozen=True)
class Reading:
    """What a model reads: for each of ``digits`` the class, (n,) 0 to 9, and how sure it is, (n,) 0 to 1."""

    digits: Digits
    read: np.ndarray
    sure: np.ndarray

    def confusion(self) -> np.ndarray:
        """(10, 10) counts: row the true digit, column what it is read as."""
        counts = np.zeros((10, 10), dtype=np.int64)
        np.add.at(counts, (self.digits.labels, self.read), 1)
        return counts

    def mistakes(self) -> np.ndarray:
        """Positions of the misread digits, the surest first."""
        wrong = np.flatnonzero(self.read != self.digits.labels)
        return wrong[np.lexsort((self.digits.ids[wrong], -self.sure[wrong]))]


def draw(path: Path, reading: Reading, *, name: str, candidates: int, gallery: int) -> None:
    """Writes the SVG: the confusion matrix, and beside it up to ``gallery`` misread digits.  Same reading, same bytes."""
    right = int(np.sum(reading.read == reading.digits.labels))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a reader's own matplotlibrc must not show
        matplotlib.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDE, HIGH), facecolor=PAPER)
        figure.text(0.035, 0.925, f'{name} reads {right} of {len(reading.digits)} digits right', size=18, weight='bold')
        figure.text(0.035, 0.876, f'{right / len(reading.digits):.1%} on the test digits, which no model has seen; '
                                  f'the best of {candidates} on the validation digits', size=10.5, color=SOFT)
        matrix(figure.add_axes((0.022, 0.06, 0.5, 0.73)), reading.confusion())
        mistakes(figure, (0.59, 0.045, 0.375, 0.667), reading, gallery)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format='svg', metadata={'Date': None, 'Creator': None, 'Title': f'What {name} reads'})


def matrix(axes: Axes, counts: np.ndarray) -> None:
    """The confusion matrix: right ones in one colour, wrong ones in another, nothing where nothing is."""
    rows = counts.sum(axis=1)
    worst = max(1, int((counts - np.diag(np.diag(counts))).max()))
    for (true, read), count in np.ndenumerate(counts):
        if true == read:
            colour = RIGHT_SHADES((count / max(1, rows[true])) ** 4)
        else:
            colour = WRONG_SHADES((count - 1) / worst) if count else EMPTY
        axes.add_patch(FancyBboxPatch((read - 0.45, true - 0.45), 0.9, 0.9, boxstyle='round,pad=0,rounding_size=0.12',
                                      facecolor=colour, linewidth=0))
        if count:
            axes.text(read, true, str(count), ha='center', va='center_baseline', size=10.5, weight='bold')
    for digit, (row, hits) in enumerate(zip(rows, np.diag(counts), strict=True)):
        axes.text(-0.95, digit, str(digit), ha='center', va='center_baseline', size=12)
        axes.text(digit, -0.95, str(digit), ha='center', va='center_baseline', size=12)
        axes.text(9.75, digit, f'{hits / max(1, row):.0%}', va='center_baseline', size=9.5,
                  color=SOFT if hits == row else WRONG)
    axes.text(4.5, -1.6, 'read as', ha='center', va='center', size=10.5, color=SOFT)
    axes.text(-1.6, 4.5, 'true digit', ha='center', va='center', size=10.5, color=SOFT, rotation=90)
    axes.text(9.75, -0.95, 'right', va='center_baseline', size=9.5, color=SOFT)
    axes.set(xlim=(-1.8, 10.6), ylim=(9.6, -1.8), aspect='equal')
    axes.set_axis_off()


def mistakes(figure: Figure, box: Box, reading: Reading, most: int) -> None:
    """A gallery of up to ``most`` misread digits, the surest first."""
    every = reading.mistakes()
    shown = every[:most]
    left, bottom, width, height = box
    figure.text(left, bottom + height + 0.062, counted(len(shown), len(every)), size=12, weight='bold')
    if len(shown):
        how = 'true → read as, and how sure it was; the surest first'
        figure.text(left, bottom + height + 0.026, how, size=9.5, color=SOFT)
    columns, side = grid(len(shown), width * WIDE, height * HIGH)
    for place, index in enumerate(shown):
        line, column = divmod(place, columns)
        top = bottom + height - line * side * CAPTION / HIGH
        axes = figure.add_axes((left + column * side / WIDE, top - 0.91 * side * CAPTION / HIGH,
                                0.91 * side / WIDE, 0.91 * side * CAPTION / HIGH))
        misread(axes, reading, int(index), big=min(12.0, 10 * side))


def counted(shown: int, every: int) -> str:
    if every == 0:
        return 'No mistakes'
    if shown < every:
        return f'{shown} of {every} mistakes'
    return 'The one mistake' if every == 1 else f'All {every} mistakes'


def grid(tiles: int, width: float, height: float) -> tuple[int, float]:
    """How many columns show the tiles largest in a box (inches), and the side of a tile, at most a third of the width."""
    sides = {columns: min(width / max(3, columns), height / -(-tiles // columns) / CAPTION) for columns in range(1, tiles + 1)}
    columns = max(sides, key=lambda columns: (sides[columns], columns), default=1)
    return columns, sides.get(columns, 0.0)


def misread(axes: Axes, reading: Reading, index: int, *, big: float) -> None:
    """One digit as the model got it, with what it is, what it was read as and how sure the model was.  ``big``: the size
    of the larger letters, in points."""
    ink = reading.digits.pixels[index].reshape(SIDE, SIDE)
    # The edges are drawn in the colour of the faces: without, a viewer's smoothing leaves hairlines between pixels.
    axes.pcolormesh(ink, cmap=INK_SHADES, vmin=0, vmax=16, edgecolors='face', linewidth=0.4)
    axes.set(xlim=(0, SIDE), ylim=(SIDE * CAPTION, 0), aspect='equal', anchor='NW')
    axes.set_axis_off()
    caption: dict[str, Any] = {'y': SIDE + 0.95, 'va': 'center_baseline'}
    axes.text(0.1, s=str(reading.digits.labels[index]), size=big, weight='bold', color=RIGHT, **caption)
    axes.text(1.7, s='→', size=0.85 * big, ha='center', color=SOFT, **caption)
    axes.text(2.5, s=str(reading.read[index]), size=big, weight='bold', color=WRONG, **caption)
    axes.text(7.9, s=f'{reading.sure[index]:.0%}', size=0.75 * big, ha='right', color=SOFT, **caption)
