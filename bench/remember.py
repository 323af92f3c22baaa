"""remember.py FOLDER COUNT: give a project so many runs, an hour apart.  Run by the Python of the mlops that reads them."""

from __future__ import annotations

import sys
from pathlib import Path

from mlops_cli.core import layout
from mlops_cli.core.clock import iso, run_id
from mlops_cli.core.digest import digest_of
from mlops_cli.core.manifest import Manifest, value_entry
from mlops_cli.core.refs import ObjectRef
from mlops_cli.records.pins import Pin
from mlops_cli.records.runs import Run, StageRun

START = 1.7e9  # seconds since 1970
HOUR = 3600


def remember(folder: Path, count: int) -> None:
    """A record of a run of the stage ``train``, and the pin of what it made, for each."""
    for number in range(count):
        began = START + number * HOUR
        entries = [value_entry('command', 'cmd', 'cp'), value_entry('param', 'rate', number)]
        outputs = (('m.json', ObjectRef(digest_of(str(number).encode()), 9, 'file')),)
        pin = Pin(Manifest.of(entries), outputs, (('m.json', 'accuracy', number / count),))
        (folder / layout.STAGES / pin.file_name('train')).write_bytes(pin.data)
        stage = StageRun('train', 'done', pin.key, pin.outs8, 1.5, 0)
        run = Run(run_id(began, number.to_bytes(6, 'big')), iso(began), 1.6, 'done', (stage,))
        path = folder / layout.run_record(run.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(run.encode())


if __name__ == '__main__':
    remember(Path(sys.argv[1]), int(sys.argv[2]))
