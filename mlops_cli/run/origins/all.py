"""Which module asks which source."""

from __future__ import annotations

from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.records.origin import GIT, HTTP, STORES, Source, parts
from mlops_cli.run.origins.base import Origin
from mlops_cli.run.workbench import Workbench


def open_origin(bench: Workbench, source: Source, path: str) -> Origin:
    """``path``: of the data here.  Connects to nothing yet.  Raises UserError where what it takes is not installed."""
    if source.query:
        from mlops_cli.run.origins.query import QueryOrigin

        return QueryOrigin(bench, source, path)
    scheme, _, rest = parts(source.url)
    if scheme == 'file':
        from mlops_cli.run.origins.path import PathOrigin

        def counts(below: str, is_folder: bool) -> bool:
            folder, _, name = f'{path}/{below}'.rpartition('/')
            return not bench.workspace.ignore.entry_ignored(folder, name, is_folder)

        return PathOrigin(rest, counts)
    if scheme in HTTP:
        from mlops_cli.run.origins.web import WebOrigin

        return WebOrigin(source.url)
    if scheme in GIT:
        from mlops_cli.run.origins.repository import RepositoryOrigin

        return RepositoryOrigin(bench, source.url)
    if scheme in STORES:
        from mlops_cli.run.origins.bucket import BucketOrigin

        return BucketOrigin(bench.root, source.url)
    raise UserError(f'nothing here reads {source.shown}', exit_code=ExitCode.WRONG_INPUT, hint='mlops import -h')
