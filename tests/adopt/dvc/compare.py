"""What mlops makes of a DVC project beside what DVC makes of it.

``python -m tests.adopt.dvc.compare PYTHON FOLDER...`` tries folders of anybody's; PYTHON is one that has DVC.  Each is copied
first, and nothing of it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_cli.adopt.dvc import project as projects
from mlops_cli.adopt.dvc.convert import convert
from mlops_cli.adopt.dvc.stages import Path as DvcPath
from mlops_cli.core.errors import UserError
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline import graph
from mlops_cli.pipeline.load import load

ORACLE = Path(__file__).parent / 'oracle.py'


def quiet(home: Path) -> dict[str, str]:
    """The environment of a DVC that touches nothing of its user's."""
    own = {name: str(home / name) for name in ('DVC_SITE_CACHE_DIR', 'DVC_GLOBAL_CONFIG_DIR', 'DVC_SYSTEM_CONFIG_DIR')}
    return {**os.environ, **own, 'DVC_NO_ANALYTICS': '1', 'HOME': str(home)}


def ask(python: str, folders: Sequence[Path], home: Path, *, status: bool = False) -> list[dict[str, Any]]:
    """What DVC says of each."""
    command = [python, str(ORACLE), *(['--status'] if status else []), *map(str, folders)]
    done = subprocess.run(command, env=quiet(home), capture_output=True, text=True, timeout=600, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{')]
    assert len(lines) == len(folders), done.stderr[-2000:]
    return [json.loads(line) for line in lines]


def shown(path: DvcPath, folder: Path) -> str:
    """As DVC names it: from the project also where mlops cannot hold it."""
    top = os.path.join(os.path.realpath(folder), '')
    return path.path or (path.far[len(top) :] if path.far.startswith(top) else path.written)


def of_dvc_here(folder: Path) -> dict[str, Any]:
    """The same of ours, from the DVC files."""
    try:
        with Root(folder) as root:
            project = projects.load(root, {'HOME': '/nonexistent'})
    except UserError as error:
        return {'error': str(error)}
    stages = {}
    for file in project.files:
        for stage in file.stages:
            stages[stage.name] = {
                'cmd': stage.cmd,
                'wdir': stage.wdir,
                'deps': sorted(shown(dep, folder) for dep in stage.deps),
                'params': {shown(one.file, folder): sorted(set(one.keys)) for one in stage.params},
                'outs': {
                    shown(out.path, folder): {
                        'cache': out.cached, 'persist': bool(out.flags.get('persist')),
                        'metric': out.kind == 'metrics', 'plot': out.kind == 'plots',
                    }
                    for out in stage.outs
                },
                'frozen': stage.frozen,
                'always_changed': stage.always_changed or stage.callback,
            }  # fmt: skip
    data: dict[str, list[str]] = {}
    for one in project.tracked:
        data.setdefault(one.file, []).append(shown(one.path, folder))
    return {'stages': stages, 'data': {name: sorted(paths) for name, paths in data.items()}}


def of_pipeline(folder: Path) -> dict[str, Any]:
    """The edges of the pipeline.yaml that is made of it, in DVC's names, and its commands."""
    with Root(folder) as root:
        project = projects.load(root, {'HOME': '/nonexistent'})
        made = convert(project, 'x')
    target = folder / 'pipeline.yaml'
    target.write_text(made.text)
    try:
        pipeline = load(folder, environ={})
    except UserError as error:
        return {'error': f'{error}\n{made.text}'}
    finally:
        target.unlink()
    theirs = {ours: name for name, ours in made.names.items()}
    edges = sorted([theirs[before], theirs[name]] for name, found in graph.edges(pipeline).items() for before in found)
    commands = {theirs[name]: [*stage.command.words] for name, stage in pipeline.stages.items()}
    return {'edges': edges, 'commands': commands, 'how': {row.entry: row.how for row in made.rows}}


def differences(said: dict[str, Any], folder: Path) -> list[str]:
    """What differs between DVC and us; nothing where all is the same."""
    ours = of_dvc_here(folder)
    if 'error' not in ours and 'error' in (pipeline := of_pipeline(folder)):
        ours = {'error': f'pipeline.yaml: {pipeline["error"]}'}
    if 'error' in said or 'error' in ours:
        both = 'error' in said and 'error' in ours
        return [] if both else [f'DVC: {said.get("error", "fine")}; mlops: {ours.get("error", "fine")}']
    found = [f'{what}: DVC has {said[what].keys() - ours[what].keys()}, mlops {ours[what].keys() - said[what].keys()}'
             for what in ('stages', 'data') if said[what].keys() != ours[what].keys()]  # fmt: skip
    for name in said['stages'].keys() & ours['stages'].keys():
        for key, value in said['stages'][name].items():
            mine = json.loads(json.dumps(ours['stages'][name][key], default=str))
            if mine != value:
                found.append(f'{name}: {key}: DVC has {value!r}, mlops {mine!r}')
    if found:
        return found
    edges = [edge for edge in said['edges'] if edge[0] in said['stages'] and edge[1] in said['stages']]
    if sorted(edges) != pipeline['edges']:
        found.append(f'edges: DVC has {sorted(edges)}, mlops {pipeline["edges"]}')
    for name, command in pipeline['commands'].items():
        cmd = said['stages'][name]['cmd']
        wanted = [line.rstrip('\n') for line in (cmd.splitlines() if isinstance(cmd, str) else map(str, cmd)) if line.strip()]
        if command != (wanted or [':']):
            found.append(f'{name}: DVC runs {wanted}, mlops {command}')
    return found


def made_project(source: Path, target: Path) -> Path:
    """A copy that DVC takes for a project of its own."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns('.git', 'cache', 'tmp'))
    (target / '.dvc').mkdir(exist_ok=True)
    (target / '.dvc/config.local').write_text('[core]\n    no_scm = true\n')
    (target / '.dvc/config').touch()
    return target


def main() -> int:
    python, *sources = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        copies = [made_project(Path(source), top / f'{number}') for number, source in enumerate(sources)]
        for source, copy, said in zip(sources, copies, ask(python, copies, top), strict=True):
            found = differences(said, copy)
            how: dict[str, int] = {}
            if 'error' not in said and not found:
                for one in of_pipeline(copy)['how'].values():
                    how[one] = how.get(one, 0) + 1
            note = f'DVC refuses it: {said["error"][:150]}' if 'error' in said else how
            print(f'{"differs" if found else "same   "} {source} ({len(said.get("stages", ()))} stages) {note}')
            for one in found:
                print(f'    {one[:1500]}')
            failed += bool(found)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
