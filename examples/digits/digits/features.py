"""What the models see of a digit.  Training and evaluation share it: a change here runs both again."""
from __future__ import annotations

import numpy as np

from digits.data import SIDE

FULL_INK = 16.0  # the darkest pixel of the collection
ZONE = 2         # pixels along the side of a zone


def features(pixels: np.ndarray) -> np.ndarray:
    """(n, 64) ink values to (n, 80) numbers from 0 to 1: every pixel, and the mean of each zone of 2 by 2 pixels."""
    ink = pixels.reshape(-1, SIDE, SIDE) / FULL_INK
    zones = ink.reshape(-1, SIDE // ZONE, ZONE, SIDE // ZONE, ZONE).mean(axis=(2, 4))
    return np.hstack([ink.reshape(len(ink), -1), zones.reshape(len(ink), -1)])
