"""Run by a Python that has DVC: what DVC itself makes of a project, as JSON.  ``python oracle.py [--status] FOLDER...``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def described(stage: Any, root: str) -> dict[str, Any]:
    def rel(item: Any) -> str | None:
        inside = item.protocol == 'local' and item.fs_path.startswith(root + os.sep)
        return os.path.relpath(item.fs_path, root) if inside else None

    params = stage.params
    deps = [dep for dep in stage.deps if dep not in params]
    return {
        'cmd': stage.cmd,
        'wdir': os.path.relpath(stage.wdir, root),
        'deps': sorted(rel(dep) or dep.def_path for dep in deps),
        'params': {rel(one) or one.def_path: sorted(set(one.params)) for one in params},
        'outs': {
            rel(out) or out.def_path: {
                'cache': out.use_cache,
                'persist': out.persist,
                'metric': bool(out.metric),
                'plot': bool(out.plot) or out.plot == {},
            }
            for out in stage.outs
        },
        'frozen': stage.frozen,
        'always_changed': stage.always_changed or bool(stage.is_callback),
    }


def project(folder: str, status: bool) -> dict[str, Any]:
    from dvc.repo import Repo

    root = os.path.realpath(folder)
    os.chdir(root)
    repo = Repo(root)
    try:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        graph = repo.index.graph
        found: dict[str, Any] = {
            'stages': {name: described(stage, root) for name, stage in stages.items() if stage.cmd is not None},
            'data': {name: sorted(os.path.relpath(out.fs_path, root) for out in stage.outs)
                     for name, stage in stages.items() if stage.cmd is None},
            'edges': sorted([before.addressing, after.addressing] for after, before in graph.edges),
        }
        if status:
            found['status'] = repo.status()
        return found
    finally:
        repo.close()


def main() -> None:
    arguments = [one for one in sys.argv[1:] if one != '--status']
    here = os.getcwd()
    for folder in arguments:
        os.chdir(here)
        try:
            found = project(folder, '--status' in sys.argv)
        except Exception as error:  # noqa: BLE001 -- whatever DVC says, the comparison wants to see
            found = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(found, default=str), flush=True)


main()
