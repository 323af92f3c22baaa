"""Stage prepare: scikit-learn's handwritten digits as three CSV files."""
from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.data import Digits, write_digits
from digits.params import read_params


def collection() -> Digits:
    """All 1,797 digits that come with scikit-learn: written by 13 people."""
    bunch = load_digits()
    return Digits(np.arange(len(bunch.target)), bunch.target, bunch.data.astype(np.int64))


def split(digits: Digits, *, seed: int, validation: float, test: float) -> dict[str, Digits]:
    """Three parts with the same mix of classes; ``validation`` and ``test`` are shares of the whole, between 0 and 1."""
    held_out = round((validation + test) * len(digits))
    tested = round(test * len(digits))
    everything = np.arange(len(digits))
    train, rest = train_test_split(everything, test_size=held_out, stratify=digits.labels, random_state=seed)
    compare, final = train_test_split(rest, test_size=tested, stratify=digits.labels[rest], random_state=seed)
    return {'train': digits.rows(train), 'validation': digits.rows(compare), 'test': digits.rows(final)}


def main() -> None:
    params = read_params()['prepare']
    parts = split(collection(), seed=params['seed'], validation=params['validation'], test=params['test'])
    for name, part in parts.items():
        print(f'{write_digits(name, part)}: {len(part)} digits')


if __name__ == '__main__':
    main()
