"""Writes the pages that follow from the program itself: ``python docs/generate.py``."""
from __future__ import annotations

from pathlib import Path

from mlops_cli.pipeline.load import schema
from mlops_cli.pipeline.manual import page

HERE = Path(__file__).parent

if __name__ == '__main__':
    (HERE / 'pipeline.md').write_text(page(schema()))
