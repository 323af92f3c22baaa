"""What a query finds in a database, or in files by way of DuckDB.  Pinned by its result: the same rows are the same content.

The address of the database comes from a variable; it is neither recorded nor told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from mlops_cli.core import layout
from mlops_cli.core.digest import digest_of
from mlops_cli.core.errors import ExitCode, UserError
from mlops_cli.databases import Connection, connection, write_result
from mlops_cli.fsio.atomic import read_file
from mlops_cli.fsio.temporaries import PREFIX, new_name
from mlops_cli.records.origin import Source
from mlops_cli.run.origins.base import Brought, Into, Seen
from mlops_cli.run.workbench import Workbench

KINDS = ('csv', 'tsv', 'jsonl', 'parquet')
LIMIT = 1 << 20  # bytes of a query


def text_of(bench: Workbench, file: str) -> str:
    """The query.  Raises UserError."""
    try:
        return read_file(bench.root, file, LIMIT).decode()
    except FileNotFoundError:
        raise UserError(f'{file} does not exist', hint='--query names a file of the project with SQL in it') from None
    except UnicodeDecodeError:
        raise UserError(f'{file} is not UTF-8', hint='save it as UTF-8') from None


class QueryOrigin:
    def __init__(self, bench: Workbench, source: Source, path: str) -> None:
        self._bench, self._source = bench, source
        self._kind = path.rpartition('.')[2].lower()
        if self._kind not in KINDS or '.' not in path:
            raise UserError(
                f'{path} does not say how the result is to be written', hint=f'a name that ends with .{", .".join(KINDS)}'
            )
        self._secret = self._address()
        self._over: Connection = connection(self._secret)

    def _address(self) -> str:
        name = self._source.connection.removeprefix('env:')
        if name and not self._bench.environ.get(name):
            raise UserError(f'{name} is not set', hint=f'{name}=postgresql://... mlops ...; it is not recorded')
        return self._bench.environ[name] if name else ''

    def look(self, pins: Mapping[str, str]) -> Seen:
        """Only the query itself can tell."""
        del pins
        return Seen(None)

    def bring(self, pins: Mapping[str, str], into: Into) -> Brought:
        del pins
        root, text = self._bench.root, text_of(self._bench, self._source.query)
        into.room(0)
        folder = f'{layout.LOCAL}/{new_name(PREFIX)}'  # the next command removes it if this one is killed
        root.makedirs(folder, 0o700)
        target = f'{folder}/result.{self._kind}'
        try:
            write_result(self._over, text, root.full(target), self._kind, root.path)
            facts = os.lstat(root.full(target))
            into.files, into.size = 1, facts.st_size
            ref = into.store.add_file(root, target)
        except UserError as error:
            raise UserError(
                f'{self._source.query}: {self._without_address(error.message)}', exit_code=error.exit_code,
                hint=self._without_address(error.hint) or 'look at the query, and at the address of the database',
            ) from None  # fmt: skip
        except FileNotFoundError:
            raise UserError(f'{self._source.query} found nothing that could be written', exit_code=ExitCode.FAILED) from None
        finally:
            root.remove_tree(folder)
        into.store.batch.flush()
        return Brought(ref, {'text': digest_of(text.encode()).hex})

    def _without_address(self, text: str) -> str:
        """What a database says may repeat where it is, and the password for it."""
        name = self._source.connection
        parts = [self._secret, self._over.address if self._secret else '']
        try:
            found = urlsplit(self._secret)
            parts += [found.password or '', unquote(found.password or '')]
        except ValueError:
            pass
        for part in parts:
            if len(part) > 1:
                text = text.replace(part, name)
        return self._bench.redact(text)
