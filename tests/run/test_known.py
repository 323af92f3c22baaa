"""What was placed in a folder of an attempt's own is not read again, unless it is not as it was placed."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_cli.core.digest import digest_of
from mlops_cli.core.refs import ObjectRef
from mlops_cli.core.states import make_record, pack
from mlops_cli.run.folder import Known
from mlops_cli.store.ingest import Added


def test_a_file_is_known_as_long_as_it_is_as_it_was(tmp_path: Path) -> None:
    ref = ObjectRef(digest_of(b'content'), 7, 'file')
    known = Known()
    for name in ('one', 'two'):
        (tmp_path / name).write_bytes(b'content')
    one, two = (os.stat(tmp_path / name) for name in ('one', 'two'))
    known.take(Added(ref, [('own/one', one, ref)], records={'own/in': {'two': make_record(pack(two), ref, False)}}))
    assert known('own/one', one) == known('own/in/two', two) == ref
    assert known('own/three', one) is known('own/in/three', two) is None
    os.utime(tmp_path / 'one', (0, 0))
    os.utime(tmp_path / 'two', (0, 0))
    assert known('own/one', os.stat(tmp_path / 'one')) is known('own/in/two', os.stat(tmp_path / 'two')) is None
