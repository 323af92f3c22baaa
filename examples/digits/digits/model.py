"""The kinds of model.  Each learns in rounds, so that progress can be shown and a learning curve drawn."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier

from digits.data import CLASSES


def logistic(params: Mapping[str, Any], seed: int, inputs: np.ndarray, labels: np.ndarray) -> Iterator[SGDClassifier]:
    """Logistic regression by stochastic gradient descent: a round is one pass in an order of its own."""
    model = SGDClassifier(loss='log_loss', alpha=params['alpha'], shuffle=False, random_state=seed)
    orders = np.random.default_rng(seed)
    while True:
        order = orders.permutation(len(labels))
        yield model.partial_fit(inputs[order], labels[order], classes=CLASSES)


def forest(params: Mapping[str, Any], seed: int, inputs: np.ndarray, labels: np.ndarray) -> Iterator[RandomForestClassifier]:
    """A random forest: a round adds trees."""
    model = RandomForestClassifier(0, max_depth=params['depth'], warm_start=True, n_jobs=1, random_state=seed)
    while True:
        model.n_estimators += params['trees']
        yield model.fit(inputs, labels)


KINDS = {'logistic': logistic, 'forest': forest}
