"""What a stage's command runs: the python programs it starts, the files its words name, and what of it cannot be known
before it runs.  Reads shell, follows wrappers, managers and launchers; runs nothing, and knows nothing of imports."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint import interpreter as interpreters
from mlops_cli.fingerprint.importcache import ImportCache
from mlops_cli.fingerprint.interpreter import read_start
from mlops_cli.fingerprint.launchers import (
    LAUNCHERS,
    MODULE_LAUNCHERS,
    OPAQUE,
    PLAIN,
    PYTHON,
    SHELLS,
    WRAPPERS,
    Call,
    command_after,
    launcher_call,
    python_call,
    shell_text,
)
from mlops_cli.fingerprint.managers import MANAGERS, managed
from mlops_cli.fingerprint.named import joined, named
from mlops_cli.fingerprint.parsing import SOURCES
from mlops_cli.fingerprint.shell import DEPTH, ShellError, Simple, Word, constant, parse, plain_words
from mlops_cli.fingerprint.shellscripts import scan
from mlops_cli.fingerprint.shellstate import State, value_of
from mlops_cli.pipeline.spec import Command

SCRIPT_LIMIT = 1 << 20  # bytes of a shell script that are looked at

_HINT = 'list the files it uses under code'
_WRITTEN_PYTHON = pattern(rb"""(?:^#!\s*|exec' |exec "|exec )"?(/[^\s"']*/(?:python|pypy)[\d.]*)""")  # of a console script

ProgramKind = Literal['script', 'module', 'code', 'tool']
ConsoleScripts = Callable[[str], tuple[str, str] | None]


@dataclass(frozen=True, slots=True)
class Program:
    """One run of python.

    ``value``: of a script its absolute path, of a module its dotted name, of code the text, of a ``tool`` the absolute path
    of an installed console script; empty where only its search path matters.  ``cwd``: absolute.  ``paths``: PYTHONPATH,
    absolute folders.  ``python``: the interpreter's absolute path, None if there is none yet.  ``without_folder``: neither the
    script's nor the current folder is searched.  ``distribution``: top-level module of the launcher that starts it."""

    kind: ProgramKind
    value: str
    cwd: str
    paths: tuple[str, ...]
    python: str | None
    without_folder: bool = False
    distribution: str = ''


@dataclass(slots=True)
class Reading:
    """What a command comes to; all paths absolute.

    ``words``: what its words may name.  ``scripts``: of these, Python sources that the program they are given to may
    load.  ``absent``: looked for in vain.  ``consulted``: read on the way, but no code.  ``pythons``: in the order of use."""

    programs: dict[Program, None] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    scripts: dict[tuple[str, Program], None] = field(default_factory=dict)
    unknown: dict[str, None] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    consulted: set[str] = field(default_factory=set)
    pythons: list[str] = field(default_factory=list)

    @property
    def only_words(self) -> bool:
        return not (self.programs or self.scripts or self.unknown or self.absent or self.consulted or self.pythons)


@dataclass(frozen=True, slots=True)
class _At:
    """Where a command stands: in a shell's state, with what comes to its input, so deep in other commands."""

    state: State
    input: Literal['', 'inline', 'given'] = ''
    depth: int = 0

    def deeper(self, state: State | None = None) -> _At:
        return _At(state or self.state, self.input, self.depth + 1)


def read_command(command: Command, wdir: str, root: str, environ: Mapping[str, str], cache: ImportCache,
                 console_script: ConsoleScripts) -> Reading:
    """What a stage's command runs, started in ``wdir`` of the project at ``root`` (absolute).

    ``console_script``: of a name that the project installs as a program, the module and the absolute path that says so."""
    folder = os.path.normpath(os.path.join(root, wdir)) if wdir != '.' else root
    words = plain_words(command.words[0]) if command.kind == 'shell' and len(command.words) == 1 else []
    if words and words[0] in _QUIET and console_script(words[0]) is None:
        return Reading(words={path for word in words[1:] for path in named(word, folder)})
    reader = _Reader(root, cache, console_script)
    state = State(folder, environ)
    if command.kind == 'argv':
        reader.run(tuple(constant(word) for word in command.words), _At(state))
    else:
        for text in command.words:
            reader.script(text, _At(state))
    return reader.reading


class _Reader:
    def __init__(self, root: str, cache: ImportCache, console_script: ConsoleScripts) -> None:
        self.root = root
        self.cache = cache
        self.console_script = console_script
        self.reading = Reading()
        self.opened: set[str] = set()  # shell scripts already looked at

    def unknown(self, sentence: str) -> None:
        """What keeps part of the code from being found."""
        self.say(f'{sentence}; {_HINT}')

    def say(self, sentence: str) -> None:
        self.reading.unknown[sentence] = None

    def script(self, text: str, at: _At) -> State:
        """Reads a shell text; gives the state it ends in."""
        state = at.state
        if self.is_too_deep(at):
            return state
        try:
            events = parse(text)
        except ShellError as error:
            self.unknown(f'`{_short(text)}` cannot be read as shell ({error}), so what it runs is not followed')
            return state
        outer: list[State] = []
        for event in events:
            if isinstance(event, Simple):
                after = self.simple(event, _At(state, at.input, at.depth))
                state = state if event.apart else after
            elif event.opens:
                outer.append(state)
            elif outer:
                state = outer.pop()
        return state

    def is_too_deep(self, at: _At) -> bool:
        if at.depth > DEPTH:
            self.unknown('a command is nested too deeply to be followed')
        return at.depth > DEPTH

    def simple(self, simple: Simple, at: _At) -> State:
        """One simple command of a shell; gives the state after it."""
        state = at.state
        for word in (*(value for _, value in simple.assignments), *simple.words, *simple.inputs, *simple.outputs):
            for inner in word.commands:
                self.script(inner, at.deeper())
        self.name_files(simple.inputs, state)
        if not simple.words:
            return state.assigned(simple.assignments, self.unknown, exported=False)
        if change := _BUILTINS.get(simple.words[0].text or ''):
            self.name_files(simple.words[1:], state)
            return change(self, simple, at)
        given = at.input
        if simple.inline or simple.piped or simple.inputs:
            given = 'inline' if simple.inline else 'given'
        within = state.assigned(simple.assignments, self.unknown, exported=True) if simple.assignments else state
        self.run(simple.words, _At(within, given, at.depth))
        return state

    # What a command starts

    def run(self, words: Sequence[Word], at: _At) -> None:
        """A program with its words: wrappers are taken off until it is clear what is started."""
        if not words or self.is_too_deep(at):
            return
        program = at.state.program(words[0])
        name = (program or '').rpartition('/')[2]
        if name not in _SPEAKERS:
            counts = program is not None and '/' in program and not PYTHON.match(name)
            self.name_files(words if counts else words[1:], at.state)
        if program is None:
            self.unknown(f'the program `{_short(words[0].raw)}` is known only when it runs')
            self.python_words(words[1:], at.state)
        elif PYTHON.match(name):
            self.python(python_call(words), self.interpreter(program, at.state), at)
        elif special := _SPECIAL.get(name):
            special(self, words, at)
        elif name in MANAGERS:
            self.manager(name, words, at)
        elif name in WRAPPERS:
            if not (name == 'command' and len(words) > 1 and words[1].text in ('-v', '-V')):
                self.run(command_after(words, WRAPPERS[name]), at.deeper())
        elif name in SHELLS:
            self.shell(words, at)
        else:
            self.other(program, name, words, at)

    def other(self, program: str, name: str, words: Sequence[Word], at: _At) -> None:
        """Neither python nor a wrapper: a console script, a launcher, a file of the project, or just a program."""
        if '/' not in program and (found := self.console_script(name)) is not None:
            module, source = found
            self.reading.consulted.add(source)
            self.start('module', module, self.tool_python(program, at.state), at.state, words[1:])
        elif name in LAUNCHERS:
            call = launcher_call(words, LAUNCHERS[name])
            python = self.tool_python(program, at.state) if call.kind in ('script', 'module') else None
            self.python(call, python, at, LAUNCHERS[name].distribution)
        elif name in OPAQUE:
            self.unknown(f'{name} {OPAQUE[name]}, which is not followed')
            self.python_words(words[1:], at.state)
        elif '/' in program:
            self.file(program, words, at)
        elif name not in PLAIN:
            self.tool(program, words, at.state)

    def file(self, program: str, words: Sequence[Word], at: _At) -> None:
        """A program given by its path: its first line says what runs it."""
        path = at.state.path(program)
        if path is None or not self.is_inside(path):
            self.tool(program, words, at.state)
            return
        line = self.start_of(path).partition(b'\n')[0].decode('utf-8', 'replace')
        by = line[2:].split() if line.startswith('#!') else []
        if by and by[0].endswith('/env'):
            by = by[2:] if by[1:2] == ['-S'] else by[1:]
        if by and os.path.basename(by[0]) not in PLAIN:
            self.run((*map(constant, by), Word(path, words[0].raw), *words[1:]), at.deeper())

    def tool(self, program: str, words: Sequence[Word], state: State) -> None:
        """An installed program: if it is a console script, what it imports may be the project's."""
        path = self.which(program, state)
        start = self.start_of(path)[:512] if path else b''
        if path and start.startswith(b'#!') and b'python' in start:
            self.start('tool', path, self.tool_python(program, state), state, words[1:])
        else:
            self.python_words(words[1:], state)

    def python(self, call: Call, python: str | None, at: _At, distribution: str = '') -> None:
        """A python that is asked to run something."""
        word, kind = call.word, call.kind
        if kind == 'program':
            self.run(call.rest, at.deeper())
        elif kind == 'nothing':
            pass
        elif kind == 'input' or word is None:
            if at.input or word is not None:
                given = 'a here-document' if at.input == 'inline' else 'its input'
                self.unknown(f'python reads its program from {given}, so what it imports is not followed')
        elif word.text is None:
            self.unknown(f'the {kind} `{_short(word.raw)}` that python runs is known only when it runs')
            self.python_words(call.rest, at.state)
        elif kind == 'module' and word.text in MODULE_LAUNCHERS:
            launcher = MODULE_LAUNCHERS[word.text]
            self.python(launcher_call((word, *call.rest), launcher), python, at.deeper(), launcher.distribution)
        else:
            self.start(kind, word.text, python, at.state, call.rest, call, distribution)

    def start(self, kind: ProgramKind, value: str, python: str | None, state: State, rest: Sequence[Word],
              call: Call | None = None, distribution: str = '') -> None:
        if state.cwd is None and kind != 'tool':
            self.unknown(f'the folder in which python runs `{_short(value)}` is known only when it runs')
            return
        cwd = state.cwd or self.root
        environ = {} if call and call.ignores_variables else state.environ
        paths = tuple(os.path.normpath(os.path.join(cwd, part)) for part in environ.get('PYTHONPATH', '').split(':') if part)
        without = bool((call and call.without_folder) or environ.get('PYTHONSAFEPATH'))
        if kind == 'script':
            value = joined(cwd, value)
        program = Program(kind, value, cwd, paths, python, without, distribution)
        self.reading.programs[program] = None
        self.python_words(rest, state, program)

    def python_words(self, words: Sequence[Word], state: State, program: Program | None = None) -> None:
        """Python sources among the words of a program that may load them."""
        for word in words:
            if word.raw.rstrip('\'"').endswith(SOURCES):
                program = program or Program('script', '', state.cwd or self.root, (), self.quiet_interpreter(state))
                for path in self.candidates(word, state):
                    if path.endswith(SOURCES):
                        self.reading.scripts[path, program] = None

    # Programs with words of their own

    def shell(self, words: Sequence[Word], at: _At) -> None:
        kind, word = shell_text(words)
        if kind == 'input' or word is None:
            if at.input:
                self.unknown(f'{words[0].text} reads its commands from its input, so what it runs is not followed')
        elif word.text is None:
            self.unknown(f'what {words[0].raw} runs, `{_short(word.raw)}`, is known only when it runs')
        elif kind == 'code':
            self.script(word.text, at.deeper())
        elif path := at.state.path(word.text):
            self.shell_script(path, at.state)

    def shell_script(self, path: str, state: State) -> None:
        """A script that a shell runs: its file counts; here, whether it calls python, and which other scripts it runs."""
        if path in self.opened or not self.is_inside(path):
            return
        self.opened.add(path)
        self.reading.words.add(path)
        called, others = scan(self.start_of(path).decode('utf-8', 'replace'))
        if called:
            shown = os.path.relpath(path, self.root)
            self.unknown(f'{shown} calls {called[0]}, and what a shell script calls is not followed')
        for other in others:
            for base in (state.cwd, os.path.dirname(path)):
                if base and os.path.isfile(found := os.path.normpath(os.path.join(base, other))):
                    self.shell_script(found, state)

    def manager(self, name: str, words: Sequence[Word], at: _At) -> None:
        """``uv run`` and its like: the command behind it, in the environment it gets."""
        found = managed(name, words, at.state.cwd or self.root, at.state.environ)
        if found is None:
            return
        state = at.state.moved(found.folder) if found.folder is not None else at.state
        self.reading.absent.update(found.looked_for)
        first = state.path(found.words[0].text or '') if found.python_words and found.words else None
        if first and b'\n# /// script' in b'\n' + self.start_of(first):
            state = replace(state, unsure=f'{name} run (the script lists its own packages)')
        elif found.environment:
            state = state.activated(found.environment)
        else:
            state = replace(state, unsure=f'{name} run')
        if found.python_words:
            words = (constant('python'), *found.words)
            self.python(python_call(words), self.interpreter('python', state), at.deeper(state))
            self.name_files(found.words, state)
        else:
            self.run(found.words, at.deeper(state))

    def env(self, words: Sequence[Word], at: _At) -> None:
        """``env [-i] [-u NAME] [-C DIR] [-S TEXT] [NAME=VALUE]... COMMAND``"""
        state, waiting = at.state, list(words[1:])
        while waiting:
            word = waiting.pop(0)
            text = word.text or ''
            name, equals, value = word.raw.partition('=')
            if text in ('-i', '-', '--ignore-environment'):
                state = replace(state, environ={})
            elif text in ('-u', '--unset') and waiting:
                state = state.without((waiting.pop(0).text,))
            elif text in ('-C', '--chdir') and waiting:
                state = state.moved(waiting.pop(0))
            elif text in ('-S', '--split-string') and waiting:
                waiting[:1] = [constant(part) for part in (waiting[0].text or '').split()]
            elif text.startswith('--chdir='):
                state = state.moved(constant(value))
            elif equals and name.isidentifier():
                state = state.assigned([(name, value_of(word, name))], self.unknown, exported=True, shell=at.state)
            elif not text.startswith('-'):
                self.run((word, *waiting), at.deeper(state))
                return

    def find(self, words: Sequence[Word], at: _At) -> None:
        """``find ... -exec COMMAND ;``"""
        texts = [word.text for word in words]
        for start, text in enumerate(texts):
            if text in ('-exec', '-execdir', '-ok', '-okdir'):
                ends = [index for index in range(start, len(texts)) if texts[index] in (';', '+')]
                self.run(words[start + 1:ends[0] if ends else len(words)], replace(at.deeper(), input='given'))

    def xargs(self, words: Sequence[Word], at: _At) -> None:
        self.run(command_after(words, WRAPPERS['xargs']), replace(at.deeper(), input='given'))

    # Builtins that change the shell's state

    def change_folder(self, simple: Simple, at: _At) -> State:
        if simple.otherwise:  # cd a || cd b: the first is what usually happens
            return at.state
        words = [word for word in simple.words[1:] if word.text not in ('-P', '-L', '--', '-e')]
        return at.state.moved(words[0] if words else None)

    def leave_folder(self, _simple: Simple, at: _At) -> State:
        return at.state.moved(None)

    def export(self, simple: Simple, at: _At) -> State:
        return at.state.exporting(simple.words[1:], self.unknown)

    def unset(self, simple: Simple, at: _At) -> State:
        return at.state.without(word.text for word in simple.words[1:])

    def source(self, simple: Simple, at: _At) -> State:
        if len(simple.words) < 2:
            return at.state
        word = simple.words[1]
        path = at.state.path(word.text) if word.text else None
        if path is None:
            self.unknown(f'`{_short(word.raw)}`, which the shell reads, is known only when it runs')
            return at.state
        folder, name = os.path.split(path)
        if name == 'activate' and os.path.basename(folder) == 'bin':
            return at.state.activated(os.path.dirname(folder))
        self.shell_script(path, at.state)
        return at.state

    def evaluate(self, simple: Simple, at: _At) -> State:
        texts = [word.text for word in simple.words[1:] if word.text is not None]
        if len(texts) == len(simple.words) - 1:
            return self.script(' '.join(texts), at.deeper())
        raw = ' '.join(word.raw for word in simple.words)
        self.unknown(f'what `{_short(raw)}` does is known only when it runs')
        return at.state

    # The disk

    def quiet_interpreter(self, state: State) -> str | None:
        """The first python on PATH, None if there is none or it is not known."""
        if state.unsure:
            return None
        key = ('python', 'python', state.environ.get('PATH'), state.cwd, state.environ.get('PYENV_VERSION'))
        return self.remembered(key, lambda: interpreters.find('python', state.environ, state.cwd or self.root))

    def interpreter(self, program: str, state: State) -> str | None:
        """The python a word stands for; a sentence if there is none."""
        path = None
        if state.unsure and '/' not in program:
            self.say(f'the environment of {state.unsure} is not made yet, so what is installed in it is not known')
        else:
            key = ('python', program, state.environ.get('PATH'), state.cwd, state.environ.get('PYENV_VERSION'))
            path = self.remembered(key, lambda: interpreters.find(program, state.environ, state.cwd or self.root))
            if path is None:
                place = '' if '/' in program else ' on PATH'
                self.say(f'there is no {program}{place}, so what is installed for it is not known')
        if path and path not in self.reading.pythons:
            self.reading.pythons.append(path)
        return path

    def tool_python(self, program: str, state: State) -> str | None:
        """The python that runs an installed program: its first line says so, or else it is the first on PATH."""
        path = self.which(program, state) if not state.unsure else None
        found = _WRITTEN_PYTHON.search(self.start_of(path)[:1024]) if path else None
        return self.interpreter(found.group(1).decode('utf-8', 'surrogateescape') if found else 'python', state)

    def which(self, program: str, state: State) -> str | None:
        return self.remembered(('which', program, state.environ.get('PATH'), state.cwd),
                               lambda: interpreters.which(program, state.environ, state.cwd or self.root))

    def remembered(self, key: tuple[str | None, ...], look: Callable[[], str | None]) -> str | None:
        answers = self.cache.answers
        if key not in answers:
            answers[key] = look()
        found: str | None = answers[key]
        return found

    def start_of(self, path: str) -> bytes:
        """The start of a program or script; of one among the project's files, nothing if a link leads out of the project."""
        key = ('start', path)
        if key not in self.cache.answers:
            folders = self.cache.folders(self.root)
            strays = self.is_inside(path) and not folders.real(path).startswith(folders.root + '/')
            self.cache.answers[key] = b'' if strays else read_start(path, SCRIPT_LIMIT)
        found: bytes = self.cache.answers[key]
        return found

    def is_inside(self, path: str) -> bool:
        return path.startswith(self.root.rstrip('/') + '/')

    def name_files(self, words: Iterable[Word], state: State) -> None:
        for word in words:
            self.reading.words.update(self.candidates(word, state))

    def candidates(self, word: Word, state: State) -> list[str]:
        """Absolute paths that a word may name: itself, or what follows ``=`` in it."""
        text = word.text
        if not text or state.cwd is None or '\n' in text or '\0' in text:
            return []
        return named(text, state.cwd)


_BUILTINS: dict[str, Callable[[_Reader, Simple, _At], State]] = {
    'cd': _Reader.change_folder,
    'pushd': _Reader.change_folder,
    'popd': _Reader.leave_folder,
    'export': _Reader.export,
    'unset': _Reader.unset,
    '.': _Reader.source,
    'source': _Reader.source,
    'eval': _Reader.evaluate,
}
_SPECIAL: dict[str, Callable[[_Reader, Sequence[Word], _At], None]] = {
    'env': _Reader.env,
    'find': _Reader.find,
    'xargs': _Reader.xargs,
}
_SPEAKERS = frozenset(('echo', 'printf', 'true', 'false', ':'))  # their words are only said
# Programs that only read and write the files that their words name.
_QUIET = frozenset(PLAIN).difference(_SPEAKERS, _BUILTINS, _SPECIAL, MANAGERS, WRAPPERS, SHELLS, LAUNCHERS, OPAQUE)


def _short(text: str) -> str:
    line = ' '.join(text.split())
    return line if len(line) <= 60 else line[:57] + '...'
