"""The picture of a model's reading: which digits it takes for which, and the ones that it gets wrong."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from digits.data import SIDE, Digits

INK, SOFT, FAINT, PAPER = '#1f2933', '#7b8794', '#e4e7eb', '#ffffff'
RIGHT, WRONG = '#2a7f8e', '#d9622b'
RIGHT_SHADES = LinearSegmentedColormap.from_list('right', ['#dceef0', '#6fb3bd'])
WRONG_SHADES = LinearSegmentedColormap.from_list('wrong', ['#fbe3d6', '#e98a5b'])
INK_SHADES = LinearSegmentedColormap.from_list('ink', ['#f5f7fa', INK])

STYLE = {
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
        figure = Figure(figsize=(11.4, 6.5), facecolor=PAPER)
        figure.text(0.035, 0.925, f'{name} reads {right} of {len(reading.digits)} digits right', size=18, weight='bold')
        figure.text(0.035, 0.876, f'{right / len(reading.digits):.1%} on the test digits, which no model has seen; '
                                  f'the best of {candidates} on the validation digits', size=10.5, color=SOFT)
        matrix(figure.add_axes((0.065, 0.06, 0.462, 0.73)), reading.confusion())
        mistakes(figure, (0.585, 0.045, 0.385, 0.77), reading, gallery)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format='svg', metadata={'Date': None, 'Creator': None})


def matrix(axes: Axes, counts: np.ndarray) -> None:
    """The confusion matrix: right ones in one colour, wrong ones in another, nothing where nothing is."""
    rows = counts.sum(axis=1)
    worst = max(1, int((counts - np.diag(np.diag(counts))).max()))
    for (true, read), count in np.ndenumerate(counts):
        if true == read:
            colour = RIGHT_SHADES((count / max(1, rows[true])) ** 4)
        else:
            colour = WRONG_SHADES((count - 1) / worst) if count else '#f5f7fa'
        axes.add_patch(FancyBboxPatch((read - 0.45, true - 0.45), 0.9, 0.9, boxstyle='round,pad=0,rounding_size=0.12',
                                      facecolor=colour, linewidth=0))
        if count:
            axes.text(read, true, count, ha='center', va='center_baseline', size=10.5, weight='bold')
    for digit, (row, hits) in enumerate(zip(rows, np.diag(counts), strict=True)):
        axes.text(-0.95, digit, digit, ha='center', va='center_baseline', size=12)
        axes.text(digit, -0.95, digit, ha='center', va='center_baseline', size=12)
        axes.text(9.75, digit, f'{hits / max(1, row):.0%}', va='center_baseline', size=9.5,
                  color=SOFT if hits == row else WRONG)
    axes.text(4.5, -1.6, 'read as', ha='center', va='center', size=10.5, color=SOFT)
    axes.text(-1.6, 4.5, 'true digit', ha='center', va='center', size=10.5, color=SOFT, rotation=90)
    axes.text(9.75, -0.95, 'right', va='center_baseline', size=9.5, color=SOFT)
    axes.set(xlim=(-1.8, 10.6), ylim=(9.6, -1.8), aspect='equal')
    axes.set_axis_off()


def mistakes(figure: Figure, box: tuple[float, float, float, float], reading: Reading, most: int) -> None:
    """A gallery of misread digits in ``box`` (left, bottom, width, height, as parts of the figure), the surest first."""
    every = reading.mistakes()
    shown = every[:most]
    left, bottom, width, height = box
    title = 'No mistakes' if not len(every) else (
        f'All {len(every)} mistakes, the surest first' if len(shown) == len(every) else
        f'{len(shown)} of {len(every)} mistakes, the surest first')
    figure.text(left, bottom + height + 0.005, title, size=10.5, color=SOFT)
    columns = max(4, int(np.ceil(np.sqrt(len(shown) * 4 / 3))))
    lines = max(3, int(np.ceil(len(shown) / columns)))
    across, down = width / columns, height / lines
    for place, index in enumerate(shown):
        line, column = divmod(place, columns)
        axes = figure.add_axes((left + column * across, bottom + height - (line + 1) * down, across * 0.86, down * 0.86))
        misread(axes, reading, int(index))


def misread(axes: Axes, reading: Reading, index: int) -> None:
    """One digit as the model got it, with what it is, what it was read as and how sure the model was."""
    ink = reading.digits.pixels[index].reshape(SIDE, SIDE)
    # The edges are drawn in the colour of the faces: without, a viewer's smoothing leaves hairlines between pixels.
    axes.pcolormesh(ink, cmap=INK_SHADES, vmin=0, vmax=16, edgecolors='face', linewidth=0.4)
    axes.set(xlim=(0, SIDE), ylim=(SIDE + 2.4, 0), aspect='equal')
    axes.set_axis_off()
    axes.text(0, SIDE + 0.9, f'{reading.digits.labels[index]}', size=11, weight='bold', va='center_baseline', color=RIGHT)
    axes.text(1.1, SIDE + 0.9, 'read as', size=8, va='center_baseline', color=SOFT)
    axes.text(4.6, SIDE + 0.9, f'{reading.read[index]}', size=11, weight='bold', va='center_baseline', color=WRONG)
    axes.text(8, SIDE + 0.9, f'{reading.sure[index]:.0%}', size=8, va='center_baseline', ha='right', color=SOFT)
