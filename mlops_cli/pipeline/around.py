"""The project that a project lies in: two pipelines, one inside the other, of which the outer may include the inner."""

from __future__ import annotations

import os

from mlops_cli.core import layout


def around(project: str) -> tuple[str, str]:
    """(the nearest folder above with a pipeline.yaml, that file if it includes this project's); empty ones if there is none."""
    folder = os.path.dirname(project)
    while True:
        file = os.path.join(folder, layout.PIPELINE_FILE)
        if os.path.isfile(file):
            return folder, file if _includes(file, os.path.relpath(project, folder)) else ''
        if folder == os.path.dirname(folder):
            return '', ''
        folder = os.path.dirname(folder)


def _includes(file: str, folder: str) -> bool:
    """Looked for as text first: most pipelines include nothing."""
    from mlops_cli.yamlfile import PIPELINE, examine

    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as opened:
            data = opened.read(PIPELINE.size)
    except OSError:
        return False
    document = examine(data, file, limits=PIPELINE)[0] if b'include' in data else None
    value = document.value if document else None
    listed = value.get('include') if isinstance(value, dict) else None
    wanted = os.path.normpath(f'{folder}/{layout.PIPELINE_FILE}')
    return isinstance(listed, list) and any(isinstance(one, str) and os.path.normpath(one) == wanted for one in listed)
