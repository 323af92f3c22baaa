"""What the notebook imports: a change here runs it again."""

import csv


def load(path):
    with open(path) as file:
        return [(float(row['area']), float(row['price'])) for row in csv.DictReader(file)]


def slope(pairs, penalty):
    return sum(x * y for x, y in pairs) / (sum(x * x for x, _ in pairs) + penalty)
