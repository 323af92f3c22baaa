"""Trains a small network to tell an outer ring of points from an inner one; writes it, and how well it does on new points."""
import argparse
import json
import math
from pathlib import Path

import torch
from torch import nn


def rings(count, seed):
    """Points, and 1 for those of the outer ring."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count,), generator=chance)
    angle = torch.rand(count, generator=chance) * 2 * math.pi
    radius = 1 + labels + 0.2 * torch.randn(count, generator=chance)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), 1), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('width', 'epochs', 'seed'):
        parser.add_argument(f'--{name}', type=int, required=True)
    options = parser.parse_args()
    where = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    print(f'on {torch.cuda.get_device_name() if where.type == "cuda" else "the CPU"}')
    torch.manual_seed(options.seed)
    network = nn.Sequential(nn.Linear(2, options.width), nn.ReLU(), nn.Linear(options.width, 2)).to(where)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    points, labels = (part.to(where) for part in rings(2000, options.seed))
    for _ in range(options.epochs):
        for part in torch.randperm(len(points), device=where).split(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(points[part]), labels[part]).backward()
            optimiser.step()
    points, labels = (part.to(where) for part in rings(1000, options.seed + 1))
    accuracy = (network(points).argmax(1) == labels).float().mean().item()
    for folder in ('models', 'metrics'):
        Path(folder).mkdir(exist_ok=True)
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, f'models/{options.width}.pt')
    Path(f'metrics/{options.width}.json').write_text(json.dumps({'accuracy': round(accuracy, 4)}) + '\n')


if __name__ == '__main__':
    main()
