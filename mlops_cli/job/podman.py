"""Containers of podman: processes below who starts them, so that they are measured and ended as any others are."""
from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

from mlops_cli.job.container import Named
from mlops_cli.job.environments import NotMade

SLURMS = '/slurm'  # in the name of a control group that a cluster holds its jobs with
FACTS = '{{.Host.OCIRuntime.Name}} {{.Host.CgroupsVersion}} {{.Host.Security.Rootless}}'


class Podman(Named):
    """On a cluster its containers stay in the control group of who starts them, by which the cluster limits, counts and ends
    what a job runs."""

    own_group = '/proc/self/cgroup'

    def options(self, cards: Sequence[str]) -> list[str]:
        words = [f'--device=nvidia.com/gpu={card}' for card in cards]
        return [*words, '--cgroups=disabled'] if self.engine and self._runtime.endswith('crun') else words

    @cached_property
    def _runtime(self) -> str:
        """What starts its containers.  Raises NotMade where these would leave the group that a job was given."""
        runtime, _, rest = self.told('info', '--format', FACTS).stdout.strip().partition(' ')
        stays = runtime.endswith('crun') or rest == 'v1 true'  # who is not root has no groups of the first kind
        with suppress(OSError), open(self.own_group, encoding='utf-8', errors='replace') as file:
            if not stays and SLURMS in file.read():
                by = runtime or 'nobody knows what'
                raise NotMade(f'its podman runs containers by {by}, outside of what Slurm gave the job',
                              hint='there, in containers.conf: [engine] runtime = "crun"')
        return runtime

    def entry(self, program: str) -> str:
        return json.dumps([program])  # a text would be parsed

    def has_image(self) -> bool:
        return self.told('image', 'exists', self.image).returncode == 0

    def clear(self) -> None:
        self.told('rm', '--force', '--ignore', '--time=0', self.name)
