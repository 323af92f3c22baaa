"""Keeps the model that is best on the validation part; measures it on the test part and writes tables to plot."""

import argparse
import csv
import json
import shutil
from pathlib import Path

import joblib
from sklearn.metrics import confusion_matrix

from measures import measured
from tables import read_part


def best_kind(kinds):
    """By validation accuracy; of equal ones, the one that is surer."""
    found = {kind: json.loads(Path(f'metrics/{kind}.json').read_text()) for kind in kinds}
    return max(found, key=lambda kind: (found[kind]['accuracy'], -found[kind]['loss']))


def write_table(path, head, rows):
    Path(path).parent.mkdir(exist_ok=True)
    with open(path, 'w', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(head)
        table.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kinds', nargs='+', required=True)
    kind = best_kind(parser.parse_args().kinds)
    model = joblib.load(f'models/{kind}.joblib')
    features, labels = read_part('test')
    shutil.copyfile(f'models/{kind}.joblib', 'best.joblib')
    Path('best.json').write_text(json.dumps(measured(model, features, labels)))
    predicted, sure = model.predict(features), model.predict_proba(features).max(axis=1)
    counts = confusion_matrix(labels, predicted)
    write_table(
        'plots/confusion.csv',
        ['actual', 'predicted', 'count'],
        [(row, column, int(count)) for row, line in enumerate(counts) for column, count in enumerate(line)],
    )
    groups = [(step / 10, (sure > step / 10) & (sure <= step / 10 + 0.1)) for step in range(3, 10)]
    write_table(
        'plots/calibration.csv',
        ['confidence', 'accuracy', 'count'],
        [(start, round(float((predicted == labels)[of].mean()), 6), int(of.sum())) for start, of in groups if of.any()],
    )
    print(f'{kind} is best')


if __name__ == '__main__':
    main()
