"""Measures the network on the test points."""

import argparse
import json
from pathlib import Path

import torch
from torch import nn

from network import device, new_network


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--width', type=int, required=True)
    options = parser.parse_args()
    where = device()
    network = new_network(options.width)
    network.load_state_dict(torch.load('model.pt'))
    network.to(where).eval()
    data = torch.load('data/test.pt')
    with torch.no_grad():
        scores = network(data['points'].to(where)).cpu()
    found = {
        'accuracy': round(float((scores.argmax(dim=1) == data['labels']).float().mean()), 6),
        'loss': round(float(nn.functional.cross_entropy(scores, data['labels'])), 6),
    }
    Path('metrics.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()
