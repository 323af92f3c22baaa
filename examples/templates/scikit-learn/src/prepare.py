"""Splits the data set; every part has the same mix of kinds."""

import argparse

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from tables import write_part


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--validation', type=float, required=True)
    parser.add_argument('--test', type=float, required=True)
    options = parser.parse_args()
    features, labels = load_wine(return_X_y=True)
    rest, test, rest_labels, test_labels = train_test_split(
        features, labels, test_size=options.test, random_state=options.seed, stratify=labels
    )
    train, validation, train_labels, validation_labels = train_test_split(
        rest,
        rest_labels,
        test_size=options.validation / (1 - options.test),
        random_state=options.seed,
        stratify=rest_labels,
    )
    write_part('train', train, train_labels)
    write_part('validation', validation, validation_labels)
    write_part('test', test, test_labels)


if __name__ == '__main__':
    main()
