"""What a POSIX shell makes of a text, as far as that can be known without running it: simple commands in order, their
words and redirections, and where subshells begin and end.  Knows nothing of programs or files."""
from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from mlops_cli.core import patterns
from mlops_cli.core.classes import dataclass

PartKind = Literal['text', 'variable', 'command', 'opaque']
Part = tuple[PartKind, str]

DEPTH = 32  # of nested substitutions; deeper is no command a person wrote

_ONE_COMMAND = patterns.pattern(r'[ ]*[A-Za-z0-9_./]+(?: [A-Za-z0-9_./:,@%+=-]+)*[ ]*\n?\Z')
_PLAIN = patterns.pattern(r"[A-Za-z0-9_./:,@%+^{}!\]=#-]+")
_BLANK = patterns.pattern(r'[ \t]+')
_OPERATOR = patterns.pattern(r'&&|\|\||;;|<<<|<<-|<<|>>|<&|>&|<>|>\||[;&|<>()\n]')
_NAME = patterns.pattern(r'[A-Za-z_][A-Za-z0-9_]*')
_BRACED = patterns.pattern(r'([A-Za-z_][A-Za-z0-9_]*):?-?\Z')
_ASSIGNMENT = patterns.pattern(r'([A-Za-z_][A-Za-z0-9_]*)=')
_DOUBLE_STOP = patterns.pattern(r'["\\$`]')
_REDIRECTIONS = frozenset(('<', '>', '>>', '<<', '<<-', '<<<', '<&', '>&', '<>', '>|'))


class ShellError(ValueError):
    """The text is no complete shell script; the message says why, as part of a sentence."""


@dataclass(frozen=True, slots=True)
class Word:
    """``text``: what the program gets; None where only the run decides (a variable, a substitution, a pattern, ``~``).
    ``raw``: as written.  ``parts``: text, names of variables, texts of command substitutions, and what is none of these."""

    text: str | None
    raw: str
    parts: tuple[Part, ...] = ()

    @property
    def commands(self) -> Iterator[str]:
        """Texts of its command substitutions."""
        return (text for kind, text in self.parts if kind == 'command')


@dataclass(frozen=True, slots=True)
class Simple:
    """One simple command.  ``inputs``, ``outputs``: targets of redirections.  ``inline``: its input stands in the script
    (a here-document).  ``apart``: it runs in a subshell of its own (part of a pipeline, background), so a ``cd`` in it stays
    there.  ``otherwise``: runs only if what is before it failed (``||``)."""

    assignments: tuple[tuple[str, Word], ...] = ()
    words: tuple[Word, ...] = ()
    inputs: tuple[Word, ...] = ()
    outputs: tuple[Word, ...] = ()
    inline: bool = False
    apart: bool = False
    piped: bool = False
    otherwise: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """A subshell's parenthesis."""

    opens: bool


Event = Simple | Scope
Token = Word | str  # an operator, or '#<number>' never: file descriptor numbers are dropped with their redirection


def constant(text: str) -> Word:
    """A word that is known as it is, as the words of an ``argv`` command are."""
    return Word(text, text, (('text', text),))


def parse(text: str) -> tuple[Event, ...]:
    """The simple commands of a script, in the order they stand, those of ``if``, ``for`` and functions too.

    Raises ShellError."""
    if words := plain_words(text):
        return (Simple(words=tuple(Word(word, word) for word in words)),)
    return _Parser(_Lexer(text).tokens()).events()


def plain_words(text: str) -> list[str]:
    """The words of a script that is one command of plain words, as most are; none where it is anything more."""
    if not _ONE_COMMAND.match(text):
        return []
    words = text.split()
    return [] if words[0] in _RESERVED else words


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.waiting: list[tuple[str, bool]] = []  # here-documents whose bodies follow the next newline

    def tokens(self) -> list[Token]:
        text, found = self.text, list[Token]()
        while self.at < len(text):
            if blank := _BLANK.match(text, self.at):
                self.at = blank.end()
            elif text.startswith('\\\n', self.at):
                self.at += 2
            elif text[self.at] == '#':
                end = text.find('\n', self.at)
                self.at = len(text) if end < 0 else end
            elif operator := _OPERATOR.match(text, self.at):
                self.at = operator.end()
                found.append(operator.group())
                if operator.group() == '\n':
                    self.skip_documents()
            else:
                self.word_or_number(found)
        return found

    def word_or_number(self, found: list[Token]) -> None:
        word = self.word()
        if word.raw.isdigit() and self.text[self.at:self.at + 1] in ('<', '>'):
            return  # 2>&1: the number belongs to the redirection
        if found and found[-1] in ('<<', '<<-'):
            self.waiting.append((word.text if word.text is not None else word.raw, found[-1] == '<<-'))
        found.append(word)

    def skip_documents(self) -> None:
        for delimiter, indented in self.waiting:
            while self.at < len(self.text):
                end = self.text.find('\n', self.at)
                end = len(self.text) if end < 0 else end
                line = self.text[self.at:end]
                self.at = min(end + 1, len(self.text))
                if (line.lstrip('\t') if indented else line) == delimiter:
                    break
        self.waiting.clear()

    def word(self) -> Word:
        text, start, parts = self.text, self.at, list[Part]()
        while self.at < len(text):
            if plain := _PLAIN.match(text, self.at):
                parts.append(('text', plain.group()))
                self.at = plain.end()
                continue
            character = text[self.at]
            if character in ' \t\n|&;<>()':
                break
            if character == "'":
                end = self.find("'", self.at + 1, 'a quote is not closed')
                parts.append(('text', text[self.at + 1:end]))
                self.at = end + 1
            elif character == '"':
                self.double(parts)
            elif character == '\\':
                if text[self.at + 1:self.at + 2] != '\n':
                    parts.append(('text', text[self.at + 1:self.at + 2]))
                self.at += 2
            elif character in '$`':
                self.expansion(parts)
            else:
                pattern = character in '*?[' or (character == '~' and self.at == start)
                parts.append(('opaque' if pattern else 'text', character))
                self.at += 1
        raw = text[start:self.at]
        if raw in ('[', '[['):  # the programs
            return constant(raw)
        return Word(_joined(parts), raw, tuple(parts))

    def double(self, parts: list[Part]) -> None:
        self.at += 1
        parts.append(('text', ''))
        while True:
            stop = _DOUBLE_STOP.search(self.text, self.at)
            if not stop:
                raise ShellError('a double quote is not closed')
            parts.append(('text', self.text[self.at:stop.start()]))
            self.at = stop.start()
            if stop.group() == '"':
                self.at += 1
                return
            if stop.group() == '\\':
                following = self.text[self.at + 1:self.at + 2]
                kept = '' if following == '\n' else following if following and following in '"\\$`' else '\\' + following
                parts.append(('text', kept))
                self.at += 2
            else:
                self.expansion(parts)

    def expansion(self, parts: list[Part]) -> None:
        """Of ``$`` or a backtick, where the lexer stands."""
        text, at = self.text, self.at
        if text[at] == '`':
            end = at + 1
            while (end := self.find('`', end, 'a backtick is not closed')) and text[end - 1] == '\\':
                end += 1
            parts.append(('command', re.sub(r'\\([`\\$])', r'\1', text[at + 1:end])))
            self.at = end + 1
        elif text.startswith('$(', at):
            end = self.closing(at + 2, ')', 0)
            inner = text[at + 2:end]
            parts.append(('opaque', inner) if inner.startswith('(') and inner.endswith(')') else ('command', inner))
            self.at = end + 1
        elif text.startswith('${', at):
            end = self.closing(at + 2, '}', 0)
            inner = text[at + 2:end]
            name = _BRACED.match(inner)
            parts.append(('variable', name.group(1)) if name else ('opaque', text[at:end + 1]))
            self.at = end + 1
        elif name := _NAME.match(text, at + 1):
            parts.append(('variable', name.group()))
            self.at = name.end()
        elif text[at + 1:at + 2] and text[at + 1] in '0123456789@*#?$!-':
            parts.append(('variable', text[at + 1]))
            self.at = at + 2
        else:
            parts.append(('text', '$'))
            self.at = at + 1

    def find(self, character: str, start: int, problem: str) -> int:
        end = self.text.find(character, start)
        if end < 0:
            raise ShellError(problem)
        return end

    def closing(self, at: int, closer: str, depth: int) -> int:
        """Where the bracket that was opened before ``at`` closes."""
        if depth > DEPTH:
            raise ShellError('it is nested too deeply')
        text, opener, quoted = self.text, '(' if closer == ')' else '{', False
        while at < len(text):
            character = text[at]
            if character == '\\':
                at += 1
            elif character == '"':
                quoted = not quoted
            elif character == "'" and not quoted:
                at = self.find("'", at + 1, 'a quote is not closed')
            elif text.startswith(('$(', '${'), at):
                at = self.closing(at + 2, ')' if text[at + 1] == '(' else '}', depth + 1)
            elif not quoted and character == closer:
                return at
            elif not quoted and character == opener:
                at = self.closing(at + 1, closer, depth + 1)
            at += 1
        raise ShellError(f'a {opener} is not closed')


def _joined(parts: list[Part]) -> str | None:
    if len(parts) == 1:
        return parts[0][1] if parts[0][0] == 'text' else None
    return ''.join(text for _, text in parts) if all(kind == 'text' for kind, _ in parts) else None


_OPENERS = frozenset(('if', 'then', 'elif', 'else', 'do', 'while', 'until', '!', '{'))
_CLOSERS = frozenset(('fi', 'done', '}', 'esac'))
_RESERVED = _OPENERS | _CLOSERS | {'for', 'case', 'function'}


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.found: list[Event] = []
        self.piped = self.otherwise = False
        self.patterns = 0  # > 0: inside case ... esac
        self.reset()

    def reset(self) -> None:
        self.assignments: list[tuple[str, Word]] = []
        self.words: list[Word] = []
        self.inputs: list[Word] = []
        self.outputs: list[Word] = []
        self.inline = self.closed = False

    def events(self) -> tuple[Event, ...]:
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if isinstance(token, Word):
                self.word(token)
            elif token in _REDIRECTIONS:
                self.redirection(token)
            else:
                self.operator(token)
        self.finish('')
        return tuple(self.found)

    def word(self, word: Word) -> None:
        if self.words or self.closed:
            self.words.append(word)
        elif word.raw in _OPENERS:
            pass
        elif word.raw in _CLOSERS:
            self.patterns -= word.raw == 'esac'
            self.closed = True
        elif word.raw == 'for':
            self.list_until((';', '\n'))
        elif word.raw == 'case':
            self.list_until(('in',))
            self.patterns += 1
            self.skip_pattern()
        elif word.raw == 'function':
            self.at += 1
        elif assignment := _ASSIGNMENT.match(word.raw):
            self.assignments.append((assignment.group(1), _without_prefix(word, assignment.end())))
        else:
            self.words.append(word)

    def list_until(self, ends: tuple[str, ...]) -> None:
        """The words that ``for`` and ``case`` look at: files named there are read somehow."""
        if looked_at := self.skip_to(ends):
            self.found.append(Simple(inputs=looked_at))

    def skip_to(self, ends: tuple[str, ...]) -> tuple[Word, ...]:
        words = []
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            self.at += 1
            if (token.raw if isinstance(token, Word) else token) in ends:
                break
            if isinstance(token, Word):
                words.append(token)
        return tuple(words)

    def skip_pattern(self) -> None:
        """The pattern of a ``case`` and its parenthesis; nothing where ``esac`` comes."""
        while self.at < len(self.tokens) and self.tokens[self.at] == '\n':
            self.at += 1
        token = self.tokens[self.at] if self.at < len(self.tokens) else ''
        if not (isinstance(token, Word) and token.raw == 'esac'):
            self.skip_to((')',))

    def redirection(self, operator: str) -> None:
        target = self.tokens[self.at] if self.at < len(self.tokens) else None
        if not isinstance(target, Word):
            raise ShellError(f'{operator} has no target')
        self.at += 1
        if operator in ('<<', '<<-', '<<<'):
            self.inline = True
        elif operator in ('<', '<>'):
            self.inputs.append(target)
        elif operator != '<&' and not (operator == '>&' and target.raw.strip('-').isdigit()):
            self.outputs.append(target)

    def operator(self, operator: str) -> None:
        if operator == '(':
            if len(self.words) == 1 and self.tokens[self.at:self.at + 1] == [')']:
                self.at += 1  # name() { ...: what a function does is read where it stands
                self.reset()
                return
            self.finish('(')
            self.found.append(Scope(True))
        elif operator == ')':
            self.finish(')')
            self.found.append(Scope(False))
            self.closed = True
        else:
            self.finish(operator)
            if operator == ';;' and self.patterns:
                self.skip_pattern()

    def finish(self, operator: str) -> None:
        if not self.closed and (self.words or self.assignments or self.inputs or self.outputs):
            self.found.append(Simple(
                tuple(self.assignments), tuple(self.words), tuple(self.inputs), tuple(self.outputs), self.inline,
                apart=self.piped or operator in ('|', '&'), piped=self.piped, otherwise=self.otherwise))
        elif self.inputs:
            self.found.append(Simple(inputs=tuple(self.inputs)))
        if operator != '\n' or self.words or self.assignments or self.closed:
            self.piped, self.otherwise = operator == '|', operator == '||'
        self.reset()


def _without_prefix(word: Word, length: int) -> Word:
    """The value of an assignment; its name is plain text at the start of the first parts."""
    (kind, text), *rest = word.parts
    parts: list[Part] = [(kind, text[length:]), *rest]
    if text[length:] == '' and not rest:
        return constant('')
    return Word(_joined(parts), word.raw[length:], tuple(parts))
