"""A small project that uses a little of everything, and all that may happen to it between two commands."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.quick.served import Answer, Served
from tests.support.project import Project

Undo = Callable[[], object]

PIPELINE = """\
include: [serve/pipeline.yaml]
vars: [conf/shared.yaml, {dirs: {out: out}}]
stages:
  prepare:
    cmd: python src/prepare.py data/raw data/prepared
    deps: [data/raw]
    params: [prepare]
    outs: [data/prepared]
  count:
    cmd: cat raw/*.csv current/*.txt > out/count.txt
    deps: ["raw/*.csv", current]
    outs: [out/count.txt]
    env: [FLAVOUR]
  join:
    cmd: sh scripts/join.sh data/prepared big.csv > ${dirs.out}/joined.txt
    deps: [scripts, data/prepared, big.csv]
    outs: ["${dirs.out}/joined.txt"]
  train:
    cmd: PYTHONPATH=lib python -m pkg.train ${train.lr} ${folder}
    deps: [data/prepared, scripts]
    params: [train.lr, {conf/extra.yaml: [depth]}]
    outs: ["${folder}/model"]
    metrics: [{metrics.json: {cache: false}}]
  report:
    cmd: [python src/report.py, cat README.md]
    deps: [metrics.json, out/count.txt]
    outs: [{report.txt: {cache: false}}]
"""
SERVED = """\
stages:
  serve:
    cmd: python pack.py ../models/model packed ${level}
    deps: [../models/model]
    params: [level]
    outs: [packed]
"""
FILES = {
    'pipeline.yaml': PIPELINE,
    'serve/pipeline.yaml': SERVED,
    'serve/params.yaml': 'level: 3\nother: 1\n',
    'serve/pack.py': (
        'import os, sys\nimport shutil\nos.makedirs(sys.argv[2])\nshutil.copytree(sys.argv[1], sys.argv[2] + "/m")\n'
    ),
    'params.yaml': 'prepare: {rows: 3}\ntrain: {lr: 0.5, unused: 1}\n',
    'conf/shared.yaml': 'folder: models\nunused: 1\n',
    'conf/extra.yaml': 'depth: 2\nwidth: 3\n',
    'src/prepare.py': (
        'import os, sys\nimport helpers\nfrom parts import one\nsource, target = sys.argv[1:]\nos.makedirs(target)\n'
        'for name in sorted(os.listdir(source)):\n    if os.path.isfile(f"{source}/{name}"):\n'
        '        open(f"{target}/{name}", "w").write(helpers.clean(open(f"{source}/{name}").read()) + one.TEXT)\n'
    ),
    'src/helpers.py': 'def clean(text):\n    """Cleans."""\n    return text.strip()\n',
    'src/parts/__init__.py': '',
    'src/parts/one.py': 'TEXT = "one"\n',
    'src/report.py': 'import json\nopen("report.txt", "w").write(str(json.load(open("metrics.json"))))\n',
    'lib/pkg/__init__.py': '',
    'lib/pkg/train.py': (
        'import os, sys\nfrom pkg.util import loss\nos.makedirs(sys.argv[2] + "/model")\n'
        'open(sys.argv[2] + "/model/weights", "w").write(sys.argv[1])\n'
        'open("metrics.json", "w").write(\'{"loss": %s}\' % loss(float(sys.argv[1])))\n'
    ),
    'lib/pkg/util.py': 'def loss(x):\n    return 1 / x\n',
    'scripts/join.sh': 'cat "$1"/*.csv "$2"\n',
    'scripts/deep/er/notes.txt': 'notes\n',
    'scripts/skipped.tmp': 'skipped\n',
    'scripts/deep/skip/inner.txt': 'skipped too\n',
    'data/raw/a.csv': 'a,1\n',
    'data/raw/b.csv': 'b,2\n',
    'data/raw/more/c.csv': 'c,3\n',
    'raw/x.csv': 'x\n',
    'raw/y.csv': 'y\n',
    'real/z.txt': 'z\n',
    'big.csv': 'big\n',
    'README.md': 'Read me.\n',
    '.mlopsignore': '*.tmp\nskip/\n',
    '.gitignore': '*.log\n',
    '.gitattributes': '*.csv text\n',
}
ROUND = re.compile(r'checked in [0-9.]+ ?m?s|just now|[0-9]+ (?:s|min|h) ago|[0-9]+ seconds ago')
REST_SECONDS = 100.0  # in which nobody touches the folders above for a moment, however busy this machine is
COMMANDS = (['status'], ['plan'], ['run'])


class World:
    """``ask``: who runs the command lines.  ``log``: what was done, for whoever reads a failure."""

    def __init__(self, path: Path, served: Served, seed: int = 0) -> None:
        self.project = Project(path / 'project')
        self.path, self.served, self.random = self.project.path, served, random.Random(seed)
        self.home = Path(self.project.environ['HOME'])
        self.environ = {name: value for name, value in self.project.environ.items() if not name.startswith('GIT_CONFIG')}
        self.environ |= {'FLAVOUR': 'plain', 'XDG_RUNTIME_DIR': str(path)}
        self.project.environ = self.environ
        self.tools = path / 'tools'
        self.tools.mkdir()
        self.environ['PATH'] = f'{self.tools}:{self.environ["PATH"]}'
        self.log: list[str] = []
        self.states = self.answers = self.settled = 0
        self.every = False  # compare too what goes the long way once it was seen what differs

    def build(self) -> None:
        self.project.init_git()
        for name, text in FILES.items():
            self.project.write(name, text)
        os.symlink('real', self.path / 'current')
        (self.path / 'scripts/run.sh').symlink_to('join.sh')
        for words in (['add', 'data/raw', 'big.csv'], ['run']):
            self.must(*words)
        self.project.write('raw/y.csv', 'why\n')
        self.must('accept', 'count', '--reason', 'the same', '--yes')
        self.project.commit('all')
        (self.path / 'scripts/skipped.tmp').write_text('skipped anew\n')
        self.project.commit('again')
        time.sleep(0.05)

        self.keep()

    def keep(self) -> None:
        """What renew goes back to."""
        self.kept = self.path.parent / 'kept'
        for one in (self.path, self.home):
            shutil.copytree(one, self.kept / one.name, symlinks=True)

    def renew(self) -> None:
        """As it was first, in the same place."""
        self.log.append('renewed')
        for one in self.path.parent.iterdir():
            if one != self.kept:
                shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
        for one in (self.path, self.home):
            shutil.copytree(self.kept / one.name, one, symlinks=True)
        self.tools.mkdir()
        time.sleep(0.02)

    def ask(self, *words: str, cwd: str = '.', how: str = 'whole', **environ: str) -> Answer:
        return self.served.ask(words, str(self.path / cwd), {**self.environ, **environ}, how)

    def must(self, *words: str) -> Answer:
        found = self.ask(*words)
        assert found.code == 0, (words, found)
        return found

    def is_known(self, seconds: float = 0.0) -> bool:
        """Makes the status be answered at once, if all is up to date: as soon as all has come to rest, the folders above the
        project too, which others may touch.  ``seconds``: to wait for that where it is certain to come."""
        tries, end = 0, time.monotonic() + seconds
        while tries < 8 or time.monotonic() < end:
            if self.ask('status').at_once:
                return True
            tries += 1
            time.sleep(0.02)
        return False

    def learn(self) -> None:
        for command in COMMANDS:
            self.ask(*command)

    # Is what is said at once what the long way says?

    def compare(self, quick: Answer, words: Sequence[str], cwd: str, environ: Mapping[str, str]) -> None:
        long = self.ask(*words, cwd=cwd, **{**environ, 'MLOPS_QUICK': '0'})
        assert not long.at_once
        said = [(one.code, ROUND.sub('…', one.out), ROUND.sub('…', one.err)) for one in (quick, long)]
        asked = f'mlops {" ".join(words)} in {cwd} with {environ}'
        assert said[0] == said[1], '\n'.join(['after:', *self.log[-12:], asked, 'said:', str(said[0]), 'not:', str(said[1])])

    def check(self, views: Sequence[tuple[Sequence[str], str, Mapping[str, str]]] = ()) -> int:
        """How many commands were answered at once, all of them as the long way does."""
        self.states += 1
        hits = 0
        for words, cwd, environ in views or [(command, '.', {}) for command in COMMANDS]:
            found = self.ask(*words, cwd=cwd, how='answer', **environ)
            if found.code is not None:
                hits += 1
                self.compare(found, words, cwd, environ)
            elif self.every and words[0] != 'run':
                long = self.ask(*words, cwd=cwd, **environ)
                self.settled += len(long.settled)
                self.compare(long, words, cwd, environ)
        self.answers += hits
        return hits
