"""A channel of conda packages on this machine, and programs that make environments of it.

The real conda is used where ``MLOPS_TEST_CONDA`` names one: no index from which tests install has it.  ``stand_in`` writes a
program that takes the same words and makes an environment in which the package's program lies, so that what we ask of it is
tested everywhere."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

REAL = os.environ.get('MLOPS_TEST_CONDA', '')


def channel(folder: Path, *versions: str, name: str = 'fartool') -> Path:
    """With a package of each version, whose program says it and where it is."""
    packages = {}
    (folder / 'noarch').mkdir(parents=True, exist_ok=True)
    for version in versions:
        program = f'#!/bin/sh\necho {version} "$CONDA_PREFIX"\n'.encode()
        about = {
            'arch': None, 'build': '0', 'build_number': 0, 'depends': [], 'name': name, 'noarch': 'generic', 'platform': None,
            'subdir': 'noarch', 'version': version,
        }  # fmt: skip
        paths = [{'_path': f'bin/{name}', 'path_type': 'hardlink', 'sha256': hashlib.sha256(program).hexdigest(),
                  'size_in_bytes': len(program)}]  # fmt: skip
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode='w') as into:
            for path, data, mode in (
                ('info/index.json', json.dumps(about).encode(), 0o644),
                ('info/files', f'bin/{name}\n'.encode(), 0o644),
                ('info/paths.json', json.dumps({'paths': paths, 'paths_version': 1}).encode(), 0o644),
                (f'bin/{name}', program, 0o755),
            ):
                entry = tarfile.TarInfo(path)
                entry.size, entry.mode = len(data), mode
                into.addfile(entry, io.BytesIO(data))
        data = bz2.compress(packed.getvalue())
        file = f'{name}-{version}-0.tar.bz2'
        (folder / 'noarch' / file).write_bytes(data)
        sums = {'md5': hashlib.md5(data, usedforsecurity=False).hexdigest(), 'sha256': hashlib.sha256(data).hexdigest()}
        packages[file] = {**about, **sums, 'size': len(data)}
    for subdir, found in (('noarch', packages), ('linux-64', {}), ('linux-aarch64', {})):
        (folder / subdir).mkdir(exist_ok=True)
        index = {'info': {'subdir': subdir}, 'packages': found, 'packages.conda': {}, 'repodata_version': 1}
        (folder / subdir / 'repodata.json').write_text(json.dumps(index))
    return folder


def listed(channel: Path, version: str, name: str = 'fartool') -> str:
    """An environment.yml."""
    return f'name: some\nchannels: [{channel.as_uri()}]\ndependencies: [{name}={version}]\n'


def explicit(channel: Path, version: str, name: str = 'fartool') -> str:
    return f'# a list\n@EXPLICIT\n{channel.as_uri()}/noarch/{name}-{version}-0.tar.bz2\n'


_PROGRAM = """\
import os, re, sys
words = sys.argv[1:]
with open({log!r}, 'a') as log:
    log.write(' '.join([os.path.basename(sys.argv[0]), *words]) + '\\n')
is_micromamba = os.path.basename(sys.argv[0]) == 'micromamba'
prefix, file = words[words.index('--prefix') + 1], words[words.index('--file') + 1]
text = open(file).read()
if '@EXPLICIT' in text:
    assert words[:2] == ['create', '--yes'], words
    found = re.search(r'(file://\\S*)/noarch/(\\w+)-([\\d.]+)-0.tar.bz2', text)
else:
    assert words[:2] == (['create', '--yes'] if is_micromamba else ['env', 'create']), words
    found = re.search(r'(file://[^\\s,\\]]*).*\\n.*\\[(\\w+)=([\\d.]+)', text)
where, name, version = found.groups()
import tarfile
try:
    packed = tarfile.open(where.removeprefix('file://') + '/noarch/' + name + '-' + version + '-0.tar.bz2')
except FileNotFoundError:
    sys.exit('error: nothing provides ' + name + ' ' + version)
os.makedirs(prefix + '/conda-meta')
open(prefix + '/conda-meta/history', 'w').close()
packed.extract('bin/' + name, prefix)
"""


def stand_in(folder: Path, name: str, log: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f'#!{sys.executable}\n{_PROGRAM.format(log=str(log))}')
    program.chmod(0o755)
    return program
