"""Trains the network.  Saves a checkpoint after each epoch and goes on from the last one; loss.csv grows meanwhile."""

import argparse
import csv
import os
from pathlib import Path

import torch
from torch import nn

from network import device, new_network


def load_checkpoint(path, network, optimiser, where):
    """The losses of the epochs that are done."""
    if not path.exists():
        return []
    saved = torch.load(path, map_location=where)
    network.load_state_dict(saved['network'])
    optimiser.load_state_dict(saved['optimiser'])
    return saved['losses']


def save_checkpoint(path, network, optimiser, losses):
    """Whole or not at all: a kill in the middle leaves the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix('.new')
    torch.save({'network': network.state_dict(), 'optimiser': optimiser.state_dict(), 'losses': losses}, new)
    new.replace(path)


def epoch_loss(network, optimiser, data, batch, where):
    """Trains for one epoch; the mean loss."""
    total = 0.0
    for part in torch.randperm(len(data['points'])).split(batch):
        loss = nn.functional.cross_entropy(network(data['points'][part].to(where)), data['labels'][part].to(where))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += float(loss.detach()) * len(part)
    return total / len(data['points'])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, kind in (('epochs', int), ('width', int), ('batch', int), ('rate', float), ('seed', int)):
        parser.add_argument(f'--{name}', type=kind, required=True)
    options = parser.parse_args()
    where = device()
    print(f'on {where}')
    torch.manual_seed(options.seed)
    network = new_network(options.width).to(where)
    optimiser = torch.optim.Adam(network.parameters(), lr=options.rate)
    data = torch.load('data/train.pt')
    checkpoint = Path(os.environ.get('MLOPS_CHECKPOINT_DIR', 'checkpoints')) / 'last.pt'
    losses = load_checkpoint(checkpoint, network, optimiser, where)
    with open('loss.csv', 'w', newline='') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(['epoch', 'epochs', 'loss'])
        table.writerows((number, options.epochs, f'{loss:.6f}') for number, loss in enumerate(losses, 1))
        for epoch in range(len(losses) + 1, options.epochs + 1):
            torch.manual_seed(options.seed + epoch)  # the same order of points, gone on or not
            losses.append(epoch_loss(network, optimiser, data, options.batch, where))
            save_checkpoint(checkpoint, network, optimiser, losses)
            table.writerow((epoch, options.epochs, f'{losses[-1]:.6f}'))
            file.flush()  # so that mlops can show it
    torch.save({name: value.cpu() for name, value in network.state_dict().items()}, 'model.pt')


if __name__ == '__main__':
    main()
