"""Whether a project and its store are whole, looked at from outside, for mlops and for DVC: by what lies on the disk, with no
help of the tool itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import blake3

Files = Mapping[str, bytes]

_MADE = re.compile(r'(\.git|\.dvc/(cache|tmp)|\.mlops/(cache|local))(/|$)')  # not the user's
_TEMPORARY = re.compile(
    r'(\.mlops-tmp-)?[0-9a-f]{8}-[0-9]+-[0-9a-f]+-[0-9]+(\.to|\.back|\.done)?|.*\.(tmp|temp)|tmp[a-z0-9_]{8}'
)
_STORES = {'mlops': '.mlops/cache/objects-v1', 'dvc': '.dvc/cache/files/md5'}
_IN_FLIGHT = {'mlops': ('.mlops/local/journal', '.mlops/local/work'), 'dvc': ()}


def walk(folder: Path, rel: str = '') -> Iterator[tuple[str, os.stat_result]]:
    """Relative path and state of all that is no folder."""
    try:
        entries = sorted(os.scandir(folder / rel), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f'{rel}/{entry.name}' if rel else entry.name
        facts = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(facts.st_mode):
            yield from walk(folder, path)
        else:
            yield path, facts


def read(folder: Path, *, everything: bool = False) -> dict[str, bytes]:
    """Path -> content of the user's files, of a link where it points; of ``everything`` also what the tool keeps."""
    found = {}
    for path, facts in walk(folder):
        if path.startswith('.git/') or (not everything and _MADE.match(path)):
            continue
        full = folder / path
        found[path] = os.readlink(full).encode() if stat.S_ISLNK(facts.st_mode) else full.read_bytes()
    return found


def lost(before: Files, folder: Path) -> list[str]:
    """Of the user's files as they were: those whose bytes are nowhere any more.  Where they lie now does not count, nor what
    was written behind them."""
    now = read(folder, everything=True)
    held = set(now.values())
    gone = [path for path, content in before.items() if content not in held]
    return [path for path in gone if not (now.get(path, b'').startswith(before[path]) or _is_anew(path, now.get(path)))]


def _is_anew(path: str, now: bytes | None) -> bool:
    """Of a record that DVC writes anew whenever something is made or added."""
    return bool(now) and (path == 'dvc.lock' or path.endswith('.dvc'))


def moved(before: Files, folder: Path, own: Mapping[str, object]) -> list[str]:
    """Of the user's files those in ``own`` that are no longer at their place, or no longer what they were."""
    now = read(folder)
    return [path for path in own if path in before and now.get(path) != before[path]]


def damaged(tool: str, folder: Path) -> list[str]:
    """Objects under a final name whose bytes are others, and folders of which a part is missing."""
    store = folder / _STORES[tool]
    found, children = [], []
    for path, _ in walk(store):
        if _is_temporary(path):
            continue
        content = (store / path).read_bytes()
        name = path.replace('/', '')
        try:
            if tool == 'mlops':
                right = blake3.blake3(content).hexdigest()
                children += [(path, one) for one in _children(content)]
            else:
                right = hashlib.md5(content).hexdigest() + ('.dir' if name.endswith('.dir') else '')
                children += [(path, one['md5']) for one in json.loads(content)] if name.endswith('.dir') else []
        except ValueError:
            right = 'unreadable'
        if right != name:
            found.append(f'{path}: {len(content)} bytes that hash to {right[:8]}')
    found += [
        f'{one} names {child}, which is not there' for one, child in children if not (store / child[:2] / child[2:]).exists()
    ]
    return found


def _children(content: bytes) -> list[str]:
    if not content.startswith(b'mlops tree-v1\n'):
        return []
    rows = [json.loads(line) for line in content.splitlines()[1:]]
    return [row[2].removeprefix('blake3:') for row in rows if row[1] != 'link']


def _is_temporary(path: str) -> bool:
    return bool(_TEMPORARY.fullmatch(path.rpartition('/')[2]))


def left(tool: str, folder: Path) -> list[str]:
    """Temporaries, and signs of what is under way, where nothing runs any more."""
    found = [
        path for path, facts in walk(folder) if _is_temporary(path) and not (path.startswith('.git/') or _is_mark(path, facts))
    ]
    for part in _IN_FLIGHT[tool]:
        found += [f'{part}/{path}' for path, _ in walk(folder / part) if f'{part}/{path}' not in found]
    found += [path for path in _folders(folder) if _is_temporary(path)]
    crashes = folder / '.mlops/local/crashes'
    return found + [f'crash log {one.name}' for one in crashes.glob('*')]


def _is_mark(path: str, facts: os.stat_result) -> bool:
    """Of when the last command began: empty, and taken away by the next."""
    return path.startswith('.mlops/cache/tmp/') and not facts.st_size


def _folders(folder: Path, rel: str = '') -> Iterator[str]:
    for entry in os.scandir(folder / rel):
        path = f'{rel}/{entry.name}' if rel else entry.name
        if entry.is_dir(follow_symlinks=False) and path != '.git':
            yield path
            yield from _folders(folder, path)
