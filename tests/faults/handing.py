"""For row S3: texts that reach a shell by other ways than a command of the pipeline: hooks of git, engines."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_cli.ci import hooks
from mlops_cli.core.kube import read_url, read_words
from mlops_cli.job import slurm
from mlops_cli.job.engine import Handing
from mlops_cli.job.far_ray import RayEngine
from mlops_cli.job.ray import Ray
from mlops_cli.kube import manifests
from tests.faults.base import Bad, Trial

PRINTF = '/usr/bin/printf'
ENVIRON = {'PATH': '/usr/bin:/bin', 'LC_ALL': 'C'}
TOKEN = '0123456789abcdef'
MLOPS = '#!/bin/sh\nprintf "%s\\0" "$@" >> "$SAID"\n'


class _Handed(Ray):
    """Takes what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = ''

    def ask(self, path: str, asked: Mapping[str, Any] | None = None, *, post: bool = False) -> Any:
        self.entry = str((asked or {}).get('entrypoint', self.entry))
        return {}


def ways(program: Sequence[str], folder: str, output: str) -> dict[str, list[str]]:
    """Engine -> what it starts there: the words of a program whose output is to be in a file."""
    engine = RayEngine()
    engine._ray = ray = _Handed()
    engine.submit(Handing(f'train.{TOKEN}', folder, output, {}, program))
    asked = manifests.Asked(f'train.{TOKEN}', 'r', program, output, 1.0, 0, 0, None, 1.0)
    made = manifests.stage_job(read_url('k8s://a/b/c'), read_words('image=x'), asked)
    container: Mapping[str, Any] = made['spec']['template']['spec']['containers'][0]
    return {
        'Ray': ['sh', '-c', ray.entry], 'Kubernetes': [*container['command']], 'Slurm': ['sh', '-c', slurm.script(program)],
    }  # fmt: skip


def handed(folder: Path, value: str, trial: Trial, shells: Sequence[str]) -> None:
    """One value as a word of the program, as the folder that it works in and as the file that takes what it says."""
    stem = value.replace('/', '-')[:200].strip('\0') or 'x'
    if stem in ('.', '..'):  # where others lie that it would be said to have made
        stem = 'x'
    for where in ('word', 'folder', 'file'):
        work = folder / 'work' / (stem if where == 'folder' else where)
        try:
            work.mkdir(parents=True, exist_ok=True)
            output = work / (f'o{stem}' if where == 'file' else 'out')
            output.touch()
        except (OSError, ValueError):
            continue  # no file can have such a name
        word = value if where == 'word' else 'x'
        for name, argv in ways([PRINTF, '%s\\0', word, 'end'], str(work), str(output)).items():
            for shell in shells:
                output.write_bytes(b'')
                done = subprocess.run(
                    [os.fsencode(one) for one in argv], executable=shell, cwd=work, env=ENVIRON, stdin=subprocess.DEVNULL,
                    capture_output=True, timeout=10, check=False,
                )  # fmt: skip
                trial.tried += 1
                said = output.read_bytes() + done.stdout
                what = f'{name}, {where}, {shell}: {value[:60]!r}'
                if made := [one for one in os.listdir(work) if one != output.name]:
                    trial.bad(Bad.ESCAPED, f'{what}: made {made[0]!r}')
                    for one in made:
                        os.unlink(work / one)
                if said != b'%b\0end\0' % os.fsencode(word):
                    trial.bad(Bad.CORRUPT, f'{what}: {said[:100]!r} {done.stderr[-200:]!r}')
    shutil.rmtree(folder / 'work', ignore_errors=True)


def hooked(folder: Path, value: str, trial: Trial, shells: Sequence[str]) -> None:
    """A project in a folder of that name, and a program at such a path: the hook starts that one, for that project."""
    top, stem = folder / 'top', value.replace('/', '-')[:100]
    shutil.rmtree(top, ignore_errors=True)
    if '\n' in stem or not stem or stem in ('.', '..'):  # which is refused
        return
    try:
        (top / stem).mkdir(parents=True)
        (top / stem / 'pipeline.yaml').touch()
        program = top / f'm{stem}'
        program.write_text(MLOPS)
        program.chmod(0o755)
    except (OSError, ValueError):
        return
    said = folder / 'said'
    for name in hooks.HOOKS:
        (top / name).write_bytes(hooks.script(name, [stem], str(program), False))
        for shell in shells:
            said.write_bytes(b'')
            subprocess.run([shell, f'./{name}', 'a b', value], cwd=top, env={**ENVIRON, 'SAID': str(said)}, input=b'x y\n',
                           capture_output=True, timeout=10, check=False)  # fmt: skip
            trial.tried += 1
            wanted = b''.join(os.fsencode(one) + b'\0' for one in ('-C', stem, 'hooks', 'run', name, 'a b', value))
            what = f'hook {name}, {shell}: {value[:60]!r}'
            if made := {*os.listdir(top)} - {stem, program.name, *hooks.HOOKS}:
                trial.bad(Bad.ESCAPED, f'{what}: made {min(made)!r}')
                for one in made:
                    os.unlink(top / one)
            if said.read_bytes() != wanted:
                trial.bad(Bad.CORRUPT, f'{what}: {said.read_bytes()[:200]!r}')
        if hooks._projects((top / name).read_bytes()) != [stem]:
            trial.bad(Bad.WRONG, f'hook {name}: {value[:60]!r} is not read back')
        (top / name).unlink()
    shutil.rmtree(top, ignore_errors=True)
