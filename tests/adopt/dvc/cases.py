"""Projects that hold what is easy to get wrong about dvc.yaml (cases.txt), and random ones: files by name."""

from __future__ import annotations

import random
from pathlib import Path

Files = dict[str, str]
NO_END = ' (no end)'


def read() -> dict[str, Files]:
    """``=== name`` begins a project, ``--- file`` a file of it."""
    found: dict[str, Files] = {}
    for block in (Path(__file__).parent / 'cases.txt').read_text().split('=== ')[1:]:
        name, _, rest = block.partition('\n')
        files: Files = {}
        for part in ('\n' + rest).split('\n--- ')[1:]:
            file, _, text = part.partition('\n')
            text = text if text.endswith('\n') or not text else f'{text}\n'
            files[file.removesuffix(NO_END)] = text.removesuffix('\n') if file.endswith(NO_END) else text
        found[name] = files
    return found


CASES = read()
VALUES = ('1', '0.5', 'true', '[1, 2]', '[a, b]', '{x: 1, y: b}', 'text', '"a b"', '1e-3', 'null')


def random_case(seed: int) -> Files:
    """A project of stages that reach into each other and into params.yaml."""
    rng = random.Random(seed)
    values = {f'p{number}': rng.choice(VALUES) for number in range(6)}
    lines = ['stages:']
    made: list[str] = []
    for number in range(rng.randint(2, 6)):
        lines.append(f'  s{number}:')
        way = rng.choice(['plain', 'plain', 'foreach', 'matrix'])
        pad, item = '    ', ''
        if way == 'foreach':
            over = rng.choice(['[a, b]', '{u: 1, v: 2}', '${p3}', '${p4}', '${p5}', '[1, true]'])
            lines += [f'    foreach: {over}', '    do:']
            pad, item = '      ', '${item}'
        elif way == 'matrix':
            lines.append(f'    matrix: {{m: {rng.choice(["[1, 2]", "[x, y]", "[0.1]"])}, n: [a, b]}}')
            item = '${item.m}-${item.n}'
        name = rng.choice([f'p{rng.randint(0, 5)}', f'p{rng.randint(0, 7)}'])
        lines.append(f'{pad}cmd: run {item} ${{{name}}}')
        reads = rng.sample(made, min(len(made), rng.randint(0, 2))) + rng.choices(['in.csv', 'lib', './x'], k=rng.randint(0, 1))
        if reads:
            lines += [f'{pad}deps:', *(f'{pad}- {path}' for path in reads)]
        if rng.random() < 0.5:
            lines.append(f'{pad}params: [{rng.choice(list(values))}]')
        out = f'out/{number}/{item}' if item else f'out/{number}'
        lines += [f'{pad}{rng.choice(["outs", "outs", "plots"])}:', f'{pad}- {out}']
        made.append(rng.choice([f'out/{number}', 'out']))
    return {'dvc.yaml': '\n'.join([*lines, '']), 'params.yaml': ''.join(f'{name}: {value}\n' for name, value in values.items())}
