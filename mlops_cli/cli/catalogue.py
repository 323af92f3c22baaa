"""Which commands there are.  A command's module is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Command -> (module, one line for the overview).  A folder of commands is a module with ``app``, a Typer of its own; every
# other one has ``command`` and, for its help, ``EXITS``.
COMMANDS = {
    'init': ('init', 'make a project: pipeline.yaml, params.yaml, .mlops/'),
    'run': ('run', 'bring stages up to date, in parallel, from cache where possible'),
    'status': ('status', 'what is out of date, and why'),
    'plan': ('plan', 'what run would do, why, and how long it would take'),
    'explain': ('explain', "every component of a stage's key, before and after"),
    'accept': ('accept', 'the present outputs become the recorded result, without running'),
    'graph': ('graph', 'the stages and what flows between them'),
    'models': ('models', 'the registry: register, list, show, approve, promote, roll back, get'),
    'lineage': ('lineage', 'where something came from, what was made from it'),
    'reproduce': ('reproduce', 'run again what is recorded, apart from everything, and compare'),
    'audit': ('audit', 'what stages open and do not declare'),
    'logs': ('logs', 'what a stage printed'),
    'runs': ('runs', 'runs: list, show, compare, follow, stop, keep, take over'),
    'metrics': ('metrics', 'the numbers that stages wrote: show, diff'),
    'plots': ('plots', 'what stages drew or wrote, as charts: show, diff'),
    'checkout': ('checkout', 'put recorded outputs into the workspace'),
    'add': ('add', 'track data that no stage makes'),
    'import': ('importing', 'bring data from elsewhere, pinned to what it is now'),
    'update': ('update', 'look whether imported data changed there, and move the pin'),
    'data': ('data', 'what is tracked: size, age, who uses it, statistics: list, show'),
    'remote': ('remote', 'where contents are kept beside this machine: add, list, remove'),
    'hosts': ('hosts', 'machines that stages may run on: add, list, check, setup, remove'),
    'push': ('push', 'send to a remote what it lacks'),
    'fetch': ('fetch', 'bring from a remote what is not here'),
    'pull': ('pull', 'fetch, and put it into the workspace'),
    'adopt': ('adopt', 'take over the project of another tool: dvc'),
    'export': ('export', 'hand the project to another tool: dvc, snakemake, airflow, argo'),
    'hooks': ('hooks', 'hooks of git that say what is wrong before it is committed or pushed: install, uninstall, run'),
    'ci': ('ci', 'CI: a workflow, and one comment on a pull request: init, report'),
    'doctor': ('doctor', 'what is wrong here, with what mends it'),
    'config': ('config', 'settings, and where each value comes from'),
    'verify': ('verify', 'check every stored object'),
    'storage': ('storage', 'what takes the space, and what is there twice'),
    'cost': ('cost', 'what stages cost: report, prices, advise'),
    'gc': ('gc', 'take out of the cache what nothing needs any more'),
    'check': ('check', 'checks of data: data, drift, fairness, overlap'),
    'gate': ('gate', 'an expression over metrics that must hold'),
}


def module(command: str) -> Any:
    """The command's module."""
    return import_module(f'mlops_cli.cli.commands.{COMMANDS[command][0]}')
