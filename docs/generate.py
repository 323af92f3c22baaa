"""Writes the pages that follow from the program itself: ``python docs/generate.py``."""
from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from mlops_cli.cli import app, grammar
from mlops_cli.pipeline.load import schema
from mlops_cli.pipeline.manual import page

ROOT = Path(__file__).resolve().parent.parent


def tree() -> grammar.Node:
    """All commands with all their parameters."""
    return grammar.node(typer.main.get_command(app.app), 'mlops')


def made() -> dict[str, str]:
    """Path from the repository's root -> what has to stand there."""
    commands = tree()
    return {
        'docs/pipeline.md': page(schema()),
        'mlops_cli/cli/grammar.json': json.dumps(grammar.compact(commands), ensure_ascii=False, separators=(',', ':')) + '\n',
    }


def write(folder: Path) -> None:
    for name, text in made().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == '__main__':
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
