"""Stage select: of all trained models, the one that reads the validation digits best."""
from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from digits.files import read_json, write_json
from digits.params import read_params


def ranked(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names, best first: highest accuracy, then lowest loss, then the name."""
    return sorted(results, key=lambda name: (-results[name]['accuracy'], results[name]['loss'], name))


def main() -> None:
    params = read_params()
    # Named by the parameters, not found by a glob: a model left over from a longer list of seeds must not win.
    candidates = {f'{model}-{seed}': (model, seed) for model, seed in product(params['models'], params['seeds'])}
    results = {name: read_json(Path(f'metrics/{name}.json')) for name in candidates}
    order = ranked(results)
    for name in order:
        print(f'{name:<12} accuracy {results[name]["accuracy"]:.4f}  loss {results[name]["loss"]:.3f}')
    best = order[0]
    model, seed = candidates[best]
    Path('best.skops').write_bytes(Path(f'models/{best}.skops').read_bytes())
    write_json(Path('best.json'), {'name': best, 'model': model, 'seed': seed, 'candidates': len(order),
                                   'accuracy': results[best]['accuracy'], 'loss': results[best]['loss']})


if __name__ == '__main__':
    main()
