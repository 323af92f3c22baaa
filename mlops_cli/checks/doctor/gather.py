"""Looks at a project and around it, and notes the facts.  Changes nothing, runs nothing of the project, follows no link."""

from __future__ import annotations

import locale
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any

from mlops_cli.checks.doctor import gather_git, gather_own, gather_records, gather_stages
from mlops_cli.checks.doctor.facts import Disk, Facts, StageFacts
from mlops_cli.core import layout
from mlops_cli.core.errors import UserError, UserErrors
from mlops_cli.fsio import filesystem
from mlops_cli.fsio.errors import machine_error
from mlops_cli.fsio.paths import Root
from mlops_cli.pipeline.around import around
from mlops_cli.records import trust
from mlops_cli.records.config import Config, load_config, load_settings
from mlops_cli.run.workbench import Workbench, open_workbench


def look(here: str, project: str, environ: Mapping[str, str], now: float, *, remotes: bool = False) -> Facts:
    """``project``: its folder, empty outside one.  ``now``: seconds since 1970.  ``remotes``: ask them, too; else nothing is
    connected to.  Raises OSError for the folder itself."""
    stands: dict[str, Any] = {
        'here': here,
        'project': project,
        'dvc': os.path.isfile(os.path.join(here, 'dvc.yaml')),
        'home': os.path.isabs(environ.get('HOME', '')),
        'utf8': _utf8(),
        'wsl': 'microsoft' in platform.release().lower(),
        'user': os.geteuid(),
        'now': now,
    }
    if not project:
        return Facts(**stands, git=gather_git.outside(here))
    with Root(project) as root:
        config, errors, unconfirmed = _config(root, environ)
        above, included_by = around(project)
        cache = config.cache if config else root.full(layout.CACHE)
        stands |= {'around': above, 'included_by': included_by, 'unconfirmed': unconfirmed}
        stands |= {'disks': (_disk('project', project), _disk('cache', cache)), 'own': gather_own.look(root, cache)}
        stands['damaged'] = gather_records.look(root)
        if remotes and config is not None:
            from mlops_cli.checks.doctor import gather_remotes

            stands['remotes'] = gather_remotes.look(root, environ)
        bench: Workbench | None = None
        stages: tuple[StageFacts, ...] = ()
        try:
            if config is not None:
                bench = open_workbench(project, config, environ)
                stages = gather_stages.look(bench, now)
        except UserError as error:
            errors += list(error.errors) if isinstance(error, UserErrors) else [error]
        except OSError as error:
            errors.append(machine_error(error, 'open the project'))
        try:
            facts = gather_git.look(root, bench)
        finally:
            if bench is not None:
                bench.close()
    return Facts(**stands, errors=tuple(errors), git=facts, stages=stages)


def _utf8() -> bool:
    encoding = getattr(sys.stdout, 'encoding', None) or locale.getpreferredencoding(False)
    return 'utf' in encoding.lower()


def _config(root: Root, environ: Mapping[str, str]) -> tuple[Config | None, list[UserError], tuple[tuple[str, str], ...]]:
    try:
        config = load_config(root, environ)
        found = [
            (setting.name, str(setting.value.leads_to))
            for setting in load_settings(root, environ).values()
            if trust.needs_confirmation(root, setting)
        ]
        return config, [], tuple(found)
    except UserErrors as error:
        return None, list(error.errors), ()
    except UserError as error:
        return None, [error], ()


def _disk(what: str, path: str) -> Disk:
    """Of the nearest folder that is there."""
    there = path
    while not os.path.isdir(there) and there != os.path.dirname(there):
        there = os.path.dirname(there)
    try:
        fd = os.open(there, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return Disk(what, path, exists=os.path.isdir(path), writable=False)
    try:
        kind, room, status = filesystem.probe(fd), os.fstatvfs(fd), os.fstat(fd)
    finally:
        os.close(fd)
    return Disk(
        what,
        path,
        os.path.isdir(path),
        kind.type,
        kind.network,
        kind.type in ('tmpfs', 'ramfs'),
        bool(room.f_flag & os.ST_RDONLY),
        bool(room.f_flag & getattr(os, 'ST_NOEXEC', 8)),
        os.access(there, os.W_OK | os.X_OK),
        room.f_bavail * room.f_frsize,
        room.f_favail if room.f_files else -1,
        _case_blind(there),
        status.st_dev,
        status.st_uid,
    )


def _case_blind(folder: str) -> bool:
    """Whether pipeline.yaml is found by a name in capitals too."""
    path = os.path.join(folder, layout.PIPELINE_FILE)
    other = os.path.join(folder, layout.PIPELINE_FILE.upper())
    try:
        return os.path.samestat(os.lstat(path), os.lstat(other))
    except OSError:
        return False
