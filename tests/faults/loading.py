"""For row S2: a file that is read, where it stands, what is right in it, and which commands read it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_cli.core.digest import digest_of
from tests.faults.documents import encoded
from tests.faults.hostile import World

Words = Sequence[Sequence[str]]
RUN = '20261120T101522Z-7k2m9q4c'


def latest(folder: str, pattern: str) -> Callable[[World], str]:
    """The file that the template has there."""

    def find(world: World) -> str:
        paths = sorted((world.project / folder).rglob(pattern))
        return str(paths[-1].relative_to(world.project))

    return find


def at(path: str) -> Callable[[World], str]:
    return lambda _: path


def same(_: World, rel: str, _data: bytes) -> str:
    return rel


def named_by_content(_: World, rel: str, data: bytes) -> str:
    """The last eight digits of a name are those of what is in it: an attacker sees to that."""
    return f'{rel[: -len("01234567.json")]}{digest_of(data.replace(b"%b" % bytes((13, 10)), bytes((10,)))).hex[:8]}.json'


def as_object(world: World, rel: str, data: bytes) -> str:
    """As the content of the folder that a data record names."""
    found = digest_of(data)
    record = {'schema': 'mlops/data/v1', 'path': 'data/raw', 'ref': ['tree', str(found), 4]}
    world.write('.mlops/data/data/raw.json', json.dumps(record, indent=1))
    return f'.mlops/cache/objects-v1/{found.hex[:2]}/{found.hex[2:]}'


def nothing(world: World) -> None:
    return None


def uses(text: str) -> Callable[[World], None]:
    """A pipeline that reads the file."""

    def prepare(world: World) -> None:
        world.write('pipeline.yaml', text)

    return prepare


def no_pins(world: World) -> None:
    for path in (world.project / '.mlops/stages').iterdir():
        path.unlink()
    (world.project / 'data/used.txt').unlink()


def no_output(world: World) -> None:
    (world.project / 'data/used.txt').unlink()


def journal_lines(values: Any) -> bytes:
    """A journal, each line with its CRC."""
    texts = [json.dumps(one).encode() for one in (values if isinstance(values, list) else [values])]
    return b''.join(b'%08x %s\n' % (zlib.crc32(text), text) for text in texts)


def plain_lines(values: Any) -> bytes:
    return b''.join(json.dumps(one).encode() + b'\n' for one in (values if isinstance(values, list) else [values]))


def pin_lines(values: Any) -> bytes:
    from mlops_cli.core.canonical import canonical

    rows = values if isinstance(values, list) else [values]
    return ('[\n' + ',\n'.join(canonical(row) for row in rows) + '\n]\n').encode('utf-8', 'surrogatepass')


def tree_lines(values: Any) -> bytes:
    rows = values if isinstance(values, list) else [values]
    return b'mlops tree-v1\n' + b''.join(json.dumps(row, separators=(',', ':')).encode() + b'\n' for row in rows)


def canonical_document(value: Any) -> bytes:
    from mlops_cli.core.canonical import document

    try:
        return document(value)
    except (TypeError, ValueError, AttributeError, OverflowError):
        return encoded(value)


@dataclass(frozen=True, slots=True)
class Loader:
    """A file that is read.

    ``place``: where it is; ``kind``: of its documents; ``commands``: that read it.  ``person``: wrote it;
    None: it is data, of which no line need be told.  ``valid``: one that is right, for systematic changes; None: what the
    template has there.  ``written``: a changed one as bytes.  ``renamed``:
    where a document has to stand to be read.  ``prepare``: makes the project read it."""

    place: Callable[[World], str]
    kind: str
    commands: Words
    person: bool | None = True
    valid: Any = None
    written: Callable[[Any], bytes] | None = None
    renamed: Callable[[World, str, bytes], str] = same
    prepare: Callable[[World], None] = nothing
