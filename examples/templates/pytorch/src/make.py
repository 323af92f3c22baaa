"""Points on two spirals, half of them to train on and half to test with."""

import argparse
import math
from pathlib import Path

import torch


def spirals(count, noise, numbers):
    """(points, which of the two spirals each is on)."""
    labels = torch.arange(count) % 2
    turn = 3 * torch.rand(count, generator=numbers)
    angle = turn * 2 + labels * math.pi
    points = torch.stack([turn * torch.cos(angle), turn * torch.sin(angle)], dim=1)
    return points + noise * torch.randn(count, 2, generator=numbers), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, required=True)
    parser.add_argument('--noise', type=float, required=True)
    parser.add_argument('--seed', type=int, required=True)
    options = parser.parse_args()
    numbers = torch.Generator().manual_seed(options.seed)
    Path('data').mkdir(exist_ok=True)
    for part in ('train', 'test'):
        points, labels = spirals(options.count, options.noise, numbers)
        torch.save({'points': points, 'labels': labels}, f'data/{part}.pt')


if __name__ == '__main__':
    main()
