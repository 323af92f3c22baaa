"""Fits a polynomial to points.csv; writes the model, its error and a table to plot."""

import argparse
import csv
import json

from polynomial import fit, value


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--degree', type=int, required=True)
    options = parser.parse_args()
    with open('points.csv', newline='') as file:
        points = [(float(row['x']), float(row['y'])) for row in csv.DictReader(file)]
    model = fit(points, options.degree)
    error = (sum((y - value(model, x)) ** 2 for x, y in points) / len(points)) ** 0.5
    with open('model.json', 'w') as file:
        json.dump({'coefficients': [round(number, 6) for number in model]}, file)
    with open('metrics.json', 'w') as file:
        json.dump({'error': round(error, 6), 'points': len(points)}, file)
    with open('fit.csv', 'w', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['x', 'measured', 'fitted'])
        table.writerows([f'{x:.6f}', f'{y:.6f}', f'{value(model, x):.6f}'] for x, y in points)
    print(f'degree {options.degree}: error {error:.4f}')


if __name__ == '__main__':
    main()
