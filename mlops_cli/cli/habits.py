"""What people type who are used to other tools -> how it is called here; in brackets, what to do where it is no command."""

from __future__ import annotations

STAGE = '(a stage is written into pipeline.yaml: stages: {NAME: {cmd: COMMAND, outs: [FILE]}})'
NO_REMOTES = '(there are no remotes yet; projects can share a cache: mlops config set cache.dir FOLDER)'
PLAIN = '(outputs are plain files, to be changed at will; what is stored stays as it is)'

HABITS = {
    'repro': 'run',
    'build': 'run',
    'make': 'run',
    'start': 'run',
    'execute': 'run',
    'dag': 'graph',
    'ls': 'graph',
    'diff': 'plan',
    'dry-run': 'plan',
    'log': 'logs',
    'history': 'runs list',
    'exp': 'runs list',
    'exp show': 'runs list',
    'exp list': 'runs list',
    'exp ls': 'runs list',
    'exp run': 'run --set KEY=VALUE',
    'exp diff': 'runs diff',
    'exp apply': 'runs apply RUN',
    'exp branch': '(mlops runs apply RUN, then git switch -c NAME and git commit)',
    'exp save': '(every mlops run is recorded; git commit keeps it)',
    'exp remove': '(a trial is a file: git rm .mlops/runs/.../ID.json)',
    'experiments': 'runs list',
    'stage': 'graph',
    'stage list': 'graph',
    'stage add': STAGE,
    'params': 'plan',
    'params diff': 'runs diff',
    'commit': 'accept STAGE --reason TEXT',
    'freeze': '(write frozen: true to the stage)',
    'unfreeze': '(take frozen: true out of the stage)',
    'remove': '(take the stage out of pipeline.yaml; what it made stays)',
    'move': '(git mv, and the new path in pipeline.yaml: the cache knows content, not names)',
    'unprotect': PLAIN,
    'fsck': 'verify',
    'gc': '(nothing is deleted yet; .mlops/cache may go as a whole, if what it holds can be run again)',
    'push': NO_REMOTES,
    'pull': NO_REMOTES,
    'fetch': NO_REMOTES,
    'remote': NO_REMOTES,
    'import': NO_REMOTES,
    'cache': 'config get cache.dir',
    'cache dir': 'config get cache.dir',
    'version': '--version',
    'help': '-h',
}
