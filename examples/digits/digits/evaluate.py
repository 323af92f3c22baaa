"""Stage evaluate: what the best model makes of digits that nothing has seen before."""
from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, precision_recall_fscore_support

from digits.data import CLASSES, read_digits
from digits.features import features
from digits.files import read_json, read_model, write_csv, write_json
from digits.params import read_params
from digits.plots import Reading, draw


def by_class(true: np.ndarray, read: np.ndarray) -> list[tuple[int, int, float, float, float]]:
    """One row a class: digit, how many there are, precision, recall, F1."""
    scores = precision_recall_fscore_support(true, read, labels=CLASSES, zero_division=0.0)
    precision, recall, f1, count = (of.tolist() for of in scores)
    return [
        (digit, count[digit], round(precision[digit], 6), round(recall[digit], 6), round(f1[digit], 6))
        for digit in CLASSES.tolist()
    ]


def main() -> None:
    best, test = read_json(Path('best.json')), read_digits('test')
    chances = read_model(Path('best.skops')).predict_proba(features(test.pixels))
    reading = Reading(test, read=chances.argmax(axis=1), sure=chances.max(axis=1))
    classes = by_class(test.labels, reading.read)
    accuracy = float(np.mean(reading.read == test.labels))
    loss = float(log_loss(test.labels, chances, labels=CLASSES))
    errors = int(np.sum(reading.read != test.labels))
    write_json(Path('metrics/test.json'), {
        'accuracy': round(accuracy, 6), 'loss': round(loss, 6), 'errors': errors, 'digits': len(test),
        'worst_recall': min(recall for _, _, _, recall, _ in classes),
    })
    write_csv(Path('plots/classes.csv'), ('digit', 'count', 'precision', 'recall', 'f1'), classes)
    draw(Path('plots/confusion.svg'), reading, name=best['name'], candidates=best['candidates'],
         gallery=read_params()['evaluate']['gallery'])
    print(f'accuracy {accuracy:.4f}  loss {loss:.3f}  {errors} of {len(test)} wrong')


if __name__ == '__main__':
    main()
