"""Trains one model and measures it on the validation part."""

import argparse
import json
from pathlib import Path

import joblib
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from measures import measured
from tables import param, read_part


def new_model(kind, seed):
    if kind == 'forest':
        trees, depth = int(param('train.forest.trees')), int(param('train.forest.depth'))
        return RandomForestClassifier(n_estimators=trees, max_depth=depth, random_state=seed)
    strength = float(param('train.logistic.strength'))
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000, random_state=seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--kind', choices=['logistic', 'forest'], required=True)
    parser.add_argument('--seed', type=int, required=True)
    options = parser.parse_args()
    model = new_model(options.kind, options.seed)
    model.fit(*read_part('train'))
    Path('models').mkdir(exist_ok=True)
    joblib.dump(model, f'models/{options.kind}.joblib')
    Path('metrics').mkdir(exist_ok=True)
    Path(f'metrics/{options.kind}.json').write_text(json.dumps(measured(model, *read_part('validation'))))


if __name__ == '__main__':
    main()
