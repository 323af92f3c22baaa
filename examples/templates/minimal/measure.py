"""Points near the line y = 2x + 1, as a table."""

import argparse
import csv
import random


def measure(count, noise, seed):
    """(x, y) of each point, x from 0 to 3."""
    numbers = random.Random(seed)
    for number in range(count):
        x = 3 * number / count
        yield x, 2 * x + 1 + numbers.gauss(0, noise)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, required=True)
    parser.add_argument('--noise', type=float, required=True)
    parser.add_argument('--seed', type=int, required=True)
    options = parser.parse_args()
    with open('points.csv', 'w', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['x', 'y'])
        table.writerows([f'{x:.6f}', f'{y:.6f}'] for x, y in measure(options.count, options.noise, options.seed))


if __name__ == '__main__':
    main()
