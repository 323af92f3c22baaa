"""Other Pythons than the one that runs the tests: what they make of a source file, by the one file pyast_text.py, which
needs nothing but their standard library."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import mlops_cli.fingerprint.pyast_text as pyast_text

MODULE = str(Path(pyast_text.__file__).resolve())
VERSIONS = ('3.11', '3.12', '3.13', '3.14')
PYODIDE = 'pyodide@314'  # CPython 3.14 for node
SECONDS = 800  # an answer may take that long on a busy machine

# Runs on the other interpreter.  Asked: [module, files, docstrings, whole]; says {file: text, its SHA-256, or null}.
_ASK = '''
import hashlib, importlib.util

def ask(module, files, docstrings, whole):
    spec = importlib.util.spec_from_file_location('pyast_text', module)
    import sys
    loaded = sys.modules['pyast_text'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    answers = {}
    for file in files:
        with open(file, 'rb') as opened:
            text = loaded.serialise(opened.read(), docstrings=docstrings)
        answers[file] = text and (text.decode('ascii') if whole else hashlib.sha256(text).hexdigest())
    return answers
'''
_CHILD = _ASK + '''
import json, sys
json.dump(ask(*json.load(sys.stdin)), sys.stdout)
'''
_NODE = '''
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
const { loadPyodide } = await import(pathToFileURL(process.argv[1] + '/pyodide.mjs').href);
const asked = JSON.parse(readFileSync(0, 'utf8'));
const python = await loadPyodide();
python.FS.mkdirTree('/host');
python.mountNodeFS('/host', '/');
python.globals.set('asked', JSON.stringify(asked.question));
process.stdout.write(python.runPython(asked.program));
'''


@cache
def interpreters() -> dict[str, str]:
    """Version (``3.12``) -> executable, of those found through pyenv and on PATH; the running one is among them."""
    here = f'{sys.version_info[0]}.{sys.version_info[1]}'
    found = {here: sys.executable}
    pyenv = Path(os.environ.get('PYENV_ROOT') or Path.home() / '.pyenv')
    for version in VERSIONS:
        candidates = [*sorted(pyenv.glob(f'versions/{version}.*/bin/python'), reverse=True), shutil.which(f'python{version}')]
        for candidate in filter(None, candidates):
            if version not in found and _version_of(str(candidate)) == version:
                found[version] = str(candidate)
    return found


def _version_of(python: str) -> str | None:
    asked = [python, '-I', '-c', 'import sys; print("%d.%d" % sys.version_info[:2])']
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    return said.stdout.strip() if said.returncode == 0 else None  # a shim of pyenv fails where no version is chosen


def texts(python: str, files: Iterable[str], *, docstrings: bool = True, whole: bool = False) -> dict[str, str | None]:
    """What an interpreter says of files: the canonical text if ``whole``, else its SHA-256 in hex; None: cannot parse it.
    Warnings are errors there."""
    said = subprocess.run([python, '-I', '-W', 'error', '-c', _CHILD], check=True, text=True, capture_output=True,
                          input=json.dumps([MODULE, list(files), docstrings, whole]), timeout=SECONDS)
    answers: dict[str, str | None] = json.loads(said.stdout)
    return answers


def pyodide() -> Path | str:
    """The folder of the npm package pyodide with CPython 3.14, or a sentence why there is none.

    MLOPS_PYODIDE names a folder; without it, it is installed once into the user's cache folder."""
    given = os.environ.get('MLOPS_PYODIDE')
    if given:
        return Path(given) if Path(given, 'pyodide.mjs').exists() else f'MLOPS_PYODIDE={given} holds no pyodide.mjs'
    node, npm = shutil.which('node'), shutil.which('npm')
    if not node or not npm:
        return 'Python 3.14 in node: there is no node and npm on PATH'
    folder = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mlops-tests' / PYODIDE
    package = folder / 'node_modules' / 'pyodide'
    if not (package / 'pyodide.mjs').exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', str(folder), PYODIDE]
        said = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if said.returncode:
            return f'Python 3.14 in node: npm cannot install {PYODIDE}: {said.stderr.strip()[-300:]}'
    return package


def texts_in_node(package: Path, files: Iterable[str], *, docstrings: bool = True,
                  whole: bool = False) -> dict[str, str | None]:
    """As :func:`texts`, by the CPython inside node."""
    node = shutil.which('node')
    assert node
    program = _ASK + '''
import json
module, files, docstrings, whole = json.loads(asked)
answers = ask('/host' + module, ['/host' + file for file in files], docstrings, whole)
json.dumps([__import__('sys').version_info[:2], {file[5:]: answer for file, answer in answers.items()}])
'''
    question = {'question': [MODULE, list(files), docstrings, whole], 'program': program}
    command = [node, '--input-type=module', '--eval', _NODE, str(package)]
    said = subprocess.run(command, check=True, text=True, capture_output=True, input=json.dumps(question), timeout=SECONDS)
    version, answers = json.loads(said.stdout)
    assert version == [3, 14], f'{package} runs Python {version}'
    found: dict[str, str | None] = answers
    return found
