"""Containers of podman: processes below who starts them, so that they are measured and ended as any others are."""
from __future__ import annotations

import json
from collections.abc import Sequence

from mlops_cli.job.container import Container


class Podman(Container):
    def options(self, cards: Sequence[str]) -> list[str]:
        return [f'--device=nvidia.com/gpu={card}' for card in cards]

    def entry(self, program: str) -> str:
        return json.dumps([program])  # a text would be parsed

    def has_image(self) -> bool:
        return self.told('image', 'exists', self.image).returncode == 0

    def clear(self) -> None:
        self.told('rm', '--force', '--ignore', '--time=0', self.name)
