"""Every path name under ``.mlops/`` and beside it, in one place, as relative POSIX strings."""
from __future__ import annotations

PIPELINE_FILE = 'pipeline.yaml'
PARAMS_FILE = 'params.yaml'
IGNORE_FILE = '.mlopsignore'
ROOT = '.mlops'

# Tracked by git.
CONFIG = '.mlops/config.yaml'
STAGES = '.mlops/stages'
DATA = '.mlops/data'
RUNS = '.mlops/runs'
KEPT = '.mlops/kept'
MODELS = '.mlops/models'
ACCEPTED = '.mlops/accepted'
SIGNERS = '.mlops/trust'
EDITOR_SCHEMA = '.mlops/pipeline.schema.json'
GITIGNORE = '.mlops/.gitignore'
GITIGNORE_TEXT = '/cache/\n/local/\n/config.local.yaml\n'

# Ignored, shareable between worktrees.
CACHE = '.mlops/cache'
OBJECTS = 'objects-v1'  # these are relative to the cache folder, which config.local may move
RESULTS = 'results-v1'
DISCOVERED = 'discovered-v1'  # a name for each key of which some result holds discovered inputs
REMOTE_GC = 'gc-v1'  # of a remote only
TEMPORARY = 'tmp'
CACHE_LOCKS = 'locks-v1'
TRASH = 'trash'
ROOTS = 'roots'
PROJECTS = 'roots/projects'
CACHE_PARTS = (OBJECTS, RESULTS, DISCOVERED, TEMPORARY, CACHE_LOCKS, TRASH, ROOTS)

# Ignored, this worktree's own.
CONFIG_LOCAL = '.mlops/config.local.yaml'
LOCAL = '.mlops/local'
INDEX = '.mlops/local/index-v1.sqlite'
PIPELINE_KEPT = '.mlops/local/pipeline-v1'
JOURNAL = '.mlops/local/journal'
LOCKS = '.mlops/local/locks-v1'
LOGS = '.mlops/local/logs'
LIVE = '.mlops/local/live'
FAILED = '.mlops/local/failed'
RESCUE = '.mlops/local/rescue'
WORK = '.mlops/local/work'
CHECKPOINTS = '.mlops/local/checkpoints'
CRASHES = '.mlops/local/crashes'
TRUST = '.mlops/local/trust.json'
REMOTES = '.mlops/local/remotes'  # indexes of packs, a folder for each remote
IMPORTS = '.mlops/local/imports'  # of folders elsewhere: which file had which content, a file for each
HOSTS = '.mlops/local/hosts'  # what each said of itself when it was last seen, a file for each
STATISTICS = '.mlops/local/statistics'


def run_record(run_id: str) -> str:
    """``run_id``: as ids.run_id makes it; the month folder is read off it."""
    return f'{RUNS}/{run_id[:4]}-{run_id[4:6]}/{run_id}.json'
