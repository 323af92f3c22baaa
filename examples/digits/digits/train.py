"""Stage train: one model of one kind with one seed."""
from __future__ import annotations

import argparse
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import log_loss

from digits.data import CLASSES, Digits, read_digits
from digits.features import features
from digits.files import write_csv, write_json, write_model
from digits.model import KINDS
from digits.params import read_params

CURVE = ('round', 'train', 'validation', 'loss')


def train(kind: str, seed: int, params: Mapping[str, Any], learn: Digits, compare: Digits) -> tuple[Any, list[tuple[Any, ...]]]:
    """The model after the last round, and its curve: a row of :data:`CURVE` for each round.  ``params``: share, rounds
    and one section a kind.  ``compare`` is measured after each round and never learned from."""
    learn = learn.share(params['share'])
    seen, unseen = features(learn.pixels), features(compare.pixels)
    curve: list[tuple[Any, ...]] = []
    for model in islice(KINDS[kind](params[kind], seed, seen, learn.labels), params['rounds']):
        accuracy = np.mean(model.predict(unseen) == compare.labels)
        loss = log_loss(compare.labels, model.predict_proba(unseen), labels=CLASSES)
        curve.append((len(curve) + 1, round(model.score(seen, learn.labels), 6), round(accuracy, 6), round(loss, 6)))
        print(f'round {len(curve)}  accuracy {accuracy:.4f}  loss {loss:.3f}', flush=True)
    return model, curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', required=True, choices=sorted(KINDS))
    parser.add_argument('--seed', required=True, type=int)
    options = parser.parse_args()
    name = f'{options.model}-{options.seed}'
    learn, compare = read_digits('train'), read_digits('validation')
    model, curve = train(options.model, options.seed, read_params()['train'], learn, compare)
    _, seen, accuracy, loss = curve[-1]
    write_model(Path(f'models/{name}.skops'), model)
    write_json(Path(f'metrics/{name}.json'), {'accuracy': accuracy, 'loss': loss, 'train_accuracy': seen})
    write_csv(Path(f'plots/learning-{name}.csv'), CURVE, curve)


if __name__ == '__main__':
    main()
