"""Runs at the start of each Python of a stage that is audited without strace, and tells what that Python opens.

It stands alone, for it runs in the stage's interpreter, of whatever version.  Nothing that goes wrong here may reach the
stage."""
# mypy: ignore-errors

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_OUTPUT = os.environ.get('MLOPS_AUDIT_OUTPUT', '')
_MOST = 100_000  # names that are remembered, so that each is told once


def _chain():
    """The sitecustomize that would have run without this one."""
    import importlib.machinery
    import importlib.util

    spec = importlib.machinery.PathFinder.find_spec('sitecustomize', sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules['sitecustomize'] = module
        spec.loader.exec_module(module)


class _Teller:
    """What is told of each event of the interpreter."""

    def __init__(self):
        import _thread
        import json

        self._busy = _thread._local()
        self._dumps = json.dumps
        self._told = set()
        self._of = {
            'open': self._opened,
            'sqlite3.connect': self._database,
            'ctypes.dlopen': self._library,
            'subprocess.Popen': self._program,
            'os.exec': self._program,
            'os.posix_spawn': self._program,
            'os.rename': lambda old, new, *_: self.tell('rename', _named(old), _named(new)),
            'os.link': lambda old, new, *_: self.tell('link', _named(old), _named(new)),
            'os.symlink': lambda _, new, *__: self.tell('point', _named(new)),
            'os.remove': lambda path, *_: self.tell('remove', _named(path)),
            'os.listdir': lambda path=None, *_: self.tell('list', _named(path or '.')),
            'os.scandir': lambda path=None, *_: self.tell('list', _named(path or '.')),
            'os.truncate': lambda path, *_: None if isinstance(path, int) else self.tell('update', _named(path)),
        }

    def tell(self, *words):
        line = self._dumps([os.getpid(), *words]) + '\n'
        # Opened for each line: what is kept open may be closed by the stage, and its number be another file's then.
        fd = os.open(_OUTPUT, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    def __call__(self, event, arguments):
        teller = self._of.get(event)
        if teller is None or getattr(self._busy, 'telling', False):
            return
        self._busy.telling = True
        try:
            teller(*arguments)
        except Exception:  # noqa: BLE001
            pass
        finally:
            self._busy.telling = False

    def _opened(self, path, _mode, flags):
        if isinstance(path, int) or path is None or not isinstance(flags, int):
            return
        name = _named(path)
        there = os.path.exists(name)
        if flags & (os.O_WRONLY | os.O_RDWR):
            if not there or flags & os.O_TRUNC:
                self.tell('make', name)
            else:
                self.tell('write' if flags & os.O_WRONLY else 'update', name)
        elif there and name not in self._told and not os.path.isdir(name):
            if len(self._told) < _MOST:
                self._told.add(name)
            self.tell('read', name)

    def _database(self, path, *_more):
        text = os.fsdecode(path)
        if text.startswith('file:'):
            text = text[len('file:'):].partition('?')[0]
        if text and not text.startswith(':'):
            self.tell('update' if os.path.exists(_named(text)) else 'make', _named(text))

    def _library(self, path, *_more):
        if path and '/' in os.fsdecode(path) and os.path.exists(_named(path)):
            self.tell('read', _named(path))

    def _program(self, path, *_more):
        if path and '/' in os.fsdecode(path):
            self.tell('run', _named(path))


def _named(path):
    return os.path.join(os.getcwd(), os.fsdecode(path))


def _watch():
    teller = _Teller()
    teller.tell('begun')
    sys.addaudithook(teller)


sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _HERE]
sys.modules.pop('sitecustomize', None)
if _OUTPUT:
    try:  # noqa: SIM105
        _watch()
    except Exception:  # noqa: BLE001
        pass
_chain()
