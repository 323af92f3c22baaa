"""The parts of the data as CSV files, and parameters as mlops hands them to a stage."""

import csv
import os
from pathlib import Path

import numpy as np

FOLDER = Path('data/prepared')


def write_part(name, features, labels):
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / f'{name}.csv', 'w', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerows([*map(repr, map(float, row)), int(label)] for row, label in zip(features, labels))


def read_part(name):
    """(features, labels) of ``train``, ``validation`` or ``test``."""
    rows = np.loadtxt(FOLDER / f'{name}.csv', delimiter=',', ndmin=2)
    return rows[:, :-1], rows[:, -1].astype(int)


def param(key):
    """A parameter that the stage lists under ``params``, as text: ``train.forest.depth``."""
    return os.environ['MLOPS_PARAM_' + key.upper().replace('.', '_')]
