"""The doctor's table: each check a pure function, facts in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlops_cli.checks.doctor import rules_disk, rules_git, rules_own, rules_remotes, rules_stages
from mlops_cli.checks.doctor.facts import Facts, Finding


class Check(NamedTuple):
    """``about``: what is right where it finds nothing, for ``--verbose``.  ``needs``: whether it can be told without a project,
    or without a pipeline that can be read, or without asking remotes."""

    name: str
    about: str
    look: Callable[[Facts], Iterator[Finding]]
    needs: str = ''


CHECKS = (
    Check('project', 'a pipeline.yaml, and one project only', rules_own.project),
    Check('input', 'config and pipeline can be read', rules_own.errors, 'project'),
    Check('git', 'git is here and answers', rules_git.git),
    Check('git-version', 'git is not too old', rules_git.old),
    Check('head', 'a branch to commit to', rules_git.head, 'project'),
    Check('ours-in-git', 'git tracks nothing that only this machine may write', rules_git.ours, 'project'),
    Check('conflicts', 'no record is left in conflict', rules_git.conflicts, 'project'),
    Check('records', 'records can be read', rules_own.records, 'project'),
    Check('outputs-in-git', 'git keeps no stored outputs', rules_git.outputs, 'stages'),
    Check('ignored', 'git ignores the outputs', rules_git.ignored, 'stages'),
    Check('big-files', 'no huge file that git would take', rules_git.big, 'project'),
    Check('disk', 'disks that hold what is written', rules_disk.disk, 'project'),
    Check('space', 'room on the disks', rules_disk.space, 'project'),
    Check('rights', 'everything of ours can be written, and is yours', rules_disk.rights, 'project'),
    Check('cache', 'the cache is sound as far as one sees', rules_own.cache, 'project'),
    Check('local', 'tables and journals are in order', rules_own.local, 'project'),
    Check('kept', 'little is kept of failed runs', rules_own.kept, 'project'),
    Check('confirmed', 'everything that leads out is confirmed', rules_own.confirmed, 'project'),
    Check('remotes', 'every remote can be read and written', rules_remotes.remotes, 'remotes'),
    Check('editor', 'the schema for editors is of this version', rules_own.editor, 'project'),
    Check('surroundings', 'home and encoding', rules_disk.surroundings),
    Check('programs', 'the programs of all stages are here', rules_stages.programs, 'stages'),
    Check('environments', 'environments are installed', rules_stages.environments, 'stages'),
    Check('machine', 'every stage can run on this machine', rules_stages.machine, 'stages'),
    Check('code', 'all code could be followed', rules_stages.code, 'stages'),
    Check('declared', 'folders in commands are declared', rules_stages.declared, 'stages'),
    Check('overlaps', 'no stage reads a folder around what another one makes', rules_stages.overlaps, 'stages'),
    Check('inputs', 'inputs are what they seem', rules_stages.inputs, 'stages'),
    Check('huge-outputs', 'no output is huge', rules_stages.huge, 'stages'),
    Check('clock', 'no file is from the future', rules_stages.clock, 'stages'),
)


def applies(check: Check, facts: Facts) -> bool:
    """Whether it can be told: of stages only where the pipeline can be read."""
    if check.needs == 'project':
        return bool(facts.project)
    if check.needs == 'remotes':
        return bool(facts.remotes)
    return check.needs != 'stages' or (bool(facts.project) and not facts.errors)


def examine(facts: Facts) -> list[Finding]:
    """What is wrong first, then what is worth knowing; else in the order of the table."""
    found = [finding for check in CHECKS if applies(check, facts) for finding in check.look(facts)]
    return sorted(found, key=lambda finding: finding.level != 'wrong')
