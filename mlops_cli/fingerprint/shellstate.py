"""What a shell carries from one command to the next: its folder and its variables, as far as they can be known.
Looks at no disk."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from mlops_cli.core.classes import dataclass, field, replace
from mlops_cli.core.patterns import pattern
from mlops_cli.fingerprint.shell import Word, constant

_OTHERS = pattern(r'\$\{(PYTHONPATH|PATH):?\+:?\$\{?(?:PYTHONPATH|PATH)\}?:?\}')  # ${PYTHONPATH:+:$PYTHONPATH}
_UNKNOWN = '\0'  # stands for what only the run knows; no value can hold it

_FOLDERS = frozenset(('HOME', 'VIRTUAL_ENV', 'CONDA_PREFIX'))  # programs are found below these

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class State:
    """Of a shell.  ``cwd``: absolute, None where only the run knows.  ``environ``: what the programs it starts get;
    ``variables``: what they do not get.  ``unsure``: whose environment is not made yet, so that its python is not known."""

    cwd: str | None
    environ: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)
    unsure: str = ''

    def having(self, name: str, value: str) -> State:
        return replace(self, environ={**self.environ, name: value})

    def without(self, names: Iterable[str | None]) -> State:
        gone = set(names)
        return replace(self, environ={name: value for name, value in self.environ.items() if name not in gone})

    def activated(self, folder: str) -> State:
        """With the programs of an environment first."""
        path = self.environ.get('PATH', os.defpath)
        return replace(self, unsure='', environ={**self.environ, 'VIRTUAL_ENV': folder, 'PATH': f'{folder}/bin:{path}'})

    def assigned(self, assignments: Iterable[tuple[str, Word]], report: Report, *, exported: bool,
                 shell: State | None = None) -> State:
        """After ``A=b``; ``exported``: for the programs too, as before a command or after ``export``.  ``shell``: whose
        variables the values may name, if not this one's."""
        state = self
        for name, word in assignments:
            value = (shell or state)._value(word)
            if _UNKNOWN in value and name == 'PYTHONPATH':
                report(f'PYTHONPATH={word.raw} has a part that is known only when it runs')
            value = ':'.join(part for part in value.split(':') if _UNKNOWN not in part)
            if exported or name in state.environ:
                state = state.having(name, value)
            else:
                state = replace(state, variables={**state.variables, name: value})
        return state

    def exporting(self, words: Sequence[Word], report: Report) -> State:
        """After ``export A=b C``."""
        state = self
        for word in words:
            name, equals, _ = word.raw.partition('=')
            if equals and name.isidentifier():
                state = state.assigned([(name, value_of(word, name))], report, exported=True)
            elif name in state.variables:
                state = state.having(name, state.variables[name])
        return state

    def moved(self, word: Word | None) -> State:
        """After ``cd word``."""
        value = self._value(word) if word is not None else _UNKNOWN
        if _UNKNOWN in value or value in ('', '-') or not (self.cwd or os.path.isabs(value)):
            return replace(self, cwd=None)
        return replace(self, cwd=os.path.normpath(os.path.join(self.cwd or '/', value)))

    def path(self, text: str) -> str | None:
        """The absolute path that a text names here; None where only the run knows."""
        if _UNKNOWN in text or (self.cwd is None and not os.path.isabs(text)):
            return None
        return os.path.normpath(os.path.join(self.cwd or '/', text))

    def program(self, word: Word) -> str | None:
        """The program a word stands for; None where only the run knows."""
        value = self._value(word)
        return None if _UNKNOWN in value or not value else value

    def _value(self, word: Word) -> str:
        """Of a word in an assignment, where search paths and the folder are worth knowing."""
        if word.text is not None:
            return word.text
        text = ''
        for kind, part in word.parts:
            others = _OTHERS.fullmatch(part) if kind == 'opaque' else None
            if kind == 'text':
                text += part
            elif self.cwd and (kind, part.strip()) in (('variable', 'PWD'), ('command', 'pwd')):
                text += self.cwd
            elif kind == 'variable' and part in ('PYTHONPATH', 'PATH'):
                text += self.environ.get(part, '')
            elif kind == 'variable' and part in _FOLDERS:
                text += self.environ.get(part) or _UNKNOWN
            elif (kind, part) == ('opaque', '~'):
                text += self.environ.get('HOME') or _UNKNOWN
            elif others:
                text += f':{self.environ.get(others.group(1), "")}:'
            else:
                text += _UNKNOWN
        return text


def value_of(word: Word, name: str) -> Word:
    """The value of a word ``name=value``."""
    length = len(name) + 1
    if word.text is not None:
        return constant(word.text[length:])
    (kind, text), *rest = word.parts
    return Word(None, word.raw[length:], ((kind, text[length:]), *rest))
