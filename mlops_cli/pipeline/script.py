"""Where values stand in a /bin/sh script.

:func:`places` reads a script with a hole for each value, as dash and bash (started as sh) read it.  Where the two differ, or
where no quoting is safe in both (command substitutions, here-documents, arithmetic, ``${...}`` of the shell, ``$'...'``,
comments), the place is refused.  Knows no values.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from mlops_cli.core.classes import dataclass, replace
from mlops_cli.core.patterns import pattern

HOLE = '\0'
COMMENT = 'a comment'
ARITHMETIC = 'arithmetic'
DOCUMENT = 'a here-document'
TEST = '[[ ]], which /bin/sh does not have'
TWO_PARENTHESES = "'((', or what follows it"  # arithmetic to bash, two subshells to dash; the other way round after '$'
DUPLICATION = 'what follows >& or <&'
LONE_DOLLAR = "a word right after a lone '$'"
UNCLOSED = 'a script that never closes its '
NESTING_LIMIT = 50

_SIMPLE_PREFIX = pattern(r'[A-Za-z0-9_./:=@%+,\0-]*')
_ASSIGNMENT = pattern(r'[A-Za-z_][A-Za-z0-9_]*\+?=')
_SUBSCRIPT = pattern(r'[A-Za-z_][A-Za-z0-9_]*\[')
_REDIRECTION = pattern(r'<<<|<<-?|<&|<>|>>|>&|>\||<|>')
_OPERATOR = pattern(r';(?:\\\n)*(?:;(?:\\\n)*&?|&)|[;&|]')
_PARAMETER = pattern(r'[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]')
_NUMBER = pattern('[0-9]+')
_CONTINUED = pattern(r'(?:\\\n)*')
_DELIMITER_END = ' \t\n;&|<>()'
_BEFORE_COMMANDS = frozenset({'!', '{', 'if', 'then', 'elif', 'else', 'do', 'while', 'until', 'time', 'coproc'})


@dataclass(frozen=True, slots=True)
class Place:
    """Where one value stands.

    ``reason``: of a refused place, what it is inside of.  ``simple``: bare, and a value of harmless characters may stay
    unquoted.  ``command``: bare, and the shell may take the word for a command, a keyword or an assignment.  ``word``: bare,
    and a word of its own, so that several words may stand there.  ``glued``: in double quotes right after ``$name``."""

    kind: Literal['bare', 'double', 'single', 'refused']
    reason: str = ''
    simple: bool = False
    command: bool = False
    word: bool = False
    glued: bool = False


@lru_cache(maxsize=1024)  # the instances of a stage share their script
def places(script: str) -> tuple[Place, ...]:
    """The place of each :data:`HOLE` of a script, in order."""
    reader = _Reader(script)
    reader.commands()
    found, holes = reader.places, script.count(HOLE)
    if not reader.unclosed and len(found) == holes:
        return tuple(found)
    reason = UNCLOSED + (reader.unclosed or 'quotes')
    found += [Place('refused', reason)] * (holes - len(found))
    return tuple(replace(place, kind='refused', reason=place.reason or reason) for place in found)


class _Level:
    """What one list of commands (the script, or one ``$(...)``) has seen so far.

    ``start``: of the word being read, None between words.  ``command``: the next word may be a command.
    ``redirection``: the operator whose target is the next word.  ``open``: what waits for its end: ``(``, ``[[`` and the
    parts of a case: ``case``, ``in``, ``pattern``, ``body``."""

    def __init__(self, text: str, closer: str = '') -> None:
        self.text = text
        self.closer = closer
        self.start: int | None = None
        self.command = True
        self.redirection = ''
        self.open: list[str] = []

    @property
    def top(self) -> str:
        return self.open[-1] if self.open else ''

    def word(self, end: int) -> str:
        """The word being read, with its quotes, as far as it was read; '' between words."""
        return '' if self.start is None else self.text[self.start:end].replace('\\\n', '')

    def end_word(self, end: int) -> None:
        if self.start is None:
            return
        word = self.word(end)
        self.start = None
        if self.redirection:
            self.redirection = ''
        elif self.top == 'case':
            self.open[-1] = 'in'
        elif self.top == 'in':
            self.open[-1] = 'pattern'
            self.command = True
        elif word == ']]' and self.top == '[[':
            self.open.pop()
        elif self.command:
            self._first_word(word)
        elif word in ('{', 'do'):  # for name do; function name {
            self.command = True

    def _first_word(self, word: str) -> None:
        if self.top == 'pattern' and word != 'esac':
            self.command = False
        elif word in ('case', '[['):
            self.open.append(word)
            self.command = False
        elif word == 'esac' and self.top in ('pattern', 'body'):
            self.open.pop()
            self.command = False
        elif word not in _BEFORE_COMMANDS and not _ASSIGNMENT.match(word) and not word.startswith('-'):
            self.command = False

    def separate(self, operator: str, end: int) -> None:
        self.end_word(end)
        self.command = True
        if operator[0] == ';' and len(operator) > 1 and self.top == 'body':
            self.open[-1] = 'pattern'

    def open_parenthesis(self, end: int) -> None:
        self.end_word(end)
        self.redirection = ''
        self.command = True
        if self.top != 'pattern':
            self.open.append('(')

    def close_parenthesis(self, end: int) -> bool:
        """False if nothing of this level is open: then it is the end of the level, or an error of the script."""
        self.end_word(end)
        self.command = True
        if self.top == 'pattern':
            self.open[-1] = 'body'
        elif self.top == '(':
            self.open.pop()
        else:
            return False
        return True


class _Reader:
    """One pass over a script.  ``inside``: what refuses every hole here.  ``doubt``: what makes the rest unclear.
    ``unclosed``: what was open at the end.  ``documents``: here-documents whose bodies are to come: (delimiter, tabs are
    stripped, the body is literal).  ``not_arithmetic``: offsets of ``((`` that turned out to be two parentheses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.places: list[Place] = []
        self.inside = self.doubt = self.unclosed = ''
        self.depth = 0
        self.documents: list[tuple[str, bool, bool]] = []
        self.not_arithmetic: set[int] = set()
        self.name_end = self.dollar_end = -1
        self.level = _Level(text)

    # Small steps

    def peek(self, offset: int = 0) -> str:
        return self.text[self.at + offset:self.at + offset + 1]

    def over_continuations(self, position: int) -> int:
        """Past backslash-newline pairs, which the shell removes before anything else."""
        found = _CONTINUED.match(self.text, position)
        return found.end() if found else position

    def doubtful(self, what: str) -> None:
        self.doubt = self.doubt or what

    def hole(self, place: Place, reason: str = '') -> None:
        reason = self.inside or reason or self.doubt or self.surroundings()
        self.places.append(Place('refused', reason) if reason else place)
        self.at += 1

    def surroundings(self) -> str:
        """Why no value may stand here, whatever its quotes."""
        level = self.level
        if self.at == self.dollar_end:
            return LONE_DOLLAR
        if level.redirection == '<<<':
            return 'a here-string'
        if level.redirection in ('>&', '<&'):  # bash expands what stands there twice
            return DUPLICATION
        if '[[' in level.open:
            return TEST
        if level.command and _SUBSCRIPT.match(level.word(self.at)):
            return ARITHMETIC
        return ''

    def end(self, what: str) -> None:
        self.unclosed = self.unclosed or what
        self.at = len(self.text)

    # Commands

    def commands(self, closer: str = '') -> None:
        """Read commands up to the level's closing parenthesis (and over it) or the end of the script."""
        outer, self.level = self.level, _Level(self.text, closer)
        self.read_level(self.level)
        self.level = outer

    def read_level(self, level: _Level) -> None:
        while self.at < len(self.text):
            character = self.text[self.at]
            if character in ' \t':
                level.end_word(self.at)
                self.at += 1
            elif character == '\n':
                level.separate('\n', self.at)
                self.at += 1
                self.bodies()
            elif character in ';&|':
                found = _OPERATOR.match(self.text, self.at)
                assert found
                level.separate(found[0], self.at)
                self.at = found.end()
            elif character == '(':
                self.parenthesis(level)
            elif character == ')':
                self.at += 1
                if not level.close_parenthesis(self.at - 1) and level.closer:
                    return
            elif character in '<>':
                self.redirection(level)
            elif character == '#' and level.start is None:
                self.comment()
            else:
                self.word_part(level, character)
        level.end_word(self.at)
        if level.closer or level.open:
            self.end({'(': 'parenthesis', '[[': '[['}.get(level.top, 'case' if level.open else '$('))

    def parenthesis(self, level: _Level) -> None:
        second = self.over_continuations(self.at + 1)
        if level.start is None and level.command and self.text[second:second + 1] == '(':
            self.doubtful(TWO_PARENTHESES)
        level.open_parenthesis(self.at)
        self.at += 1

    def comment(self) -> None:
        while self.at < len(self.text) and self.text[self.at] != '\n':
            if self.text[self.at] == HOLE:
                self.hole(Place('bare'), COMMENT)
            else:
                self.at += 1

    def word_part(self, level: _Level, character: str) -> None:
        if character == '\\' and self.peek(1) == '\n':
            self.at += 2
            return
        if level.start is None:
            level.start = self.at
        if character == HOLE:
            self.bare_hole(level)
        elif not self.special(character, quoted=False):
            self.at += 1

    def bare_hole(self, level: _Level) -> None:
        before = level.word(self.at)
        after = self.over_continuations(self.at + 1)
        following = self.text[after:after + 1]
        alone = not before and (not following or following in ' \t\n;&|)')
        assigned = _ASSIGNMENT.match(before) is not None
        simple = (_SIMPLE_PREFIX.fullmatch(before) is not None and (not following or following not in '<>({~')
                  and (alone or assigned or not level.command))
        self.hole(Place('bare', simple=simple, command=level.command and not assigned, word=alone and not level.redirection))

    def redirection(self, level: _Level) -> None:
        if _NUMBER.fullmatch(level.word(self.at)):
            level.start = None  # 2>file: the number is no word
        level.end_word(self.at)
        found = _REDIRECTION.match(self.text, self.at)
        assert found
        self.at = found.end()
        level.redirection = found[0]
        if self.over_continuations(self.at) != self.at:
            self.doubtful('what follows a redirection that is broken over two lines')
        if found[0] in ('<<', '<<-'):
            self.document(strip=found[0] == '<<-')
            level.redirection = ''

    # Here-documents

    def document(self, strip: bool) -> None:
        """The delimiter of a here-document; its body comes after the line."""
        while self.peek() and self.peek() in ' \t':
            self.at += 1
        start = self.at
        delimiter: list[str] = []
        while (character := self.peek()) and character not in _DELIMITER_END:
            if character == HOLE:
                self.doubtful(DOCUMENT)
                self.hole(Place('bare'))
            elif character == '\\':
                delimiter.append(self.peek(1))
                self.at += 2
            elif character in '"\'':
                close = self.text.find(character, self.at + 1)
                if close < 0:
                    return self.end('quotes')
                delimiter.append(self.text[self.at + 1:close])
                self.at = close + 1
            else:
                delimiter.append(character)
                self.at += 1
        written = self.text[start:self.at]
        name = ''.join(delimiter)
        if not name or set(written) & set('$`\n\\'):
            self.doubtful('what may be a here-document')
        self.documents.append((name, strip, written != name))
        return None

    def bodies(self) -> None:
        """Over the bodies of the here-documents that the line before announced."""
        documents, self.documents = self.documents, []
        for delimiter, strip, literal in documents:
            joined = ''
            while self.at < len(self.text):
                begin = self.at
                while self.at < len(self.text) and self.text[self.at] != '\n':
                    if self.text[self.at] == HOLE:
                        self.hole(Place('bare'), DOCUMENT)
                    else:
                        self.at += 1
                line = self.text[begin:self.at]
                self.at = min(self.at + 1, len(self.text))
                if not literal and (len(line) - len(line.rstrip('\\'))) % 2:
                    joined = '\n'  # the next line belongs to this one, so it is not the delimiter
                    continue
                if joined + (line.lstrip('\t') if strip else line) == delimiter:
                    break
                joined = ''

    # Quotes and expansions

    def special(self, character: str, quoted: bool) -> bool:
        """Read what starts with this character, if it is special inside (``quoted``) or outside double quotes."""
        if character == '\\':
            self.at += 2
        elif character == '"' and not quoted:
            self.double_quotes()
        elif character == "'" and not quoted:
            self.until("'", 'quotes', lambda: self.hole(Place('single')))
        elif character == '`':
            self.until('`', 'backtick', lambda: self.hole(Place('bare'), 'backticks'), escapes=True)
        elif character == '$':
            self.dollar(quoted)
        else:
            return False
        return True

    def until(self, closer: str, what: str, hole: Callable[[], None], *, escapes: bool = False) -> None:
        """Over text that ends at the next ``closer``, from the character that opens it."""
        self.at += 1
        while (character := self.peek()) != closer:
            if not character:
                return self.end(what)
            if character == HOLE:
                hole()
            else:
                self.at += 2 if escapes and character == '\\' else 1
        self.at += 1
        return None

    def double_quotes(self) -> None:
        self.at += 1
        while (character := self.peek()) != '"':
            if not character:
                return self.end('quotes')
            if character == HOLE:
                self.hole(Place('double', glued=self.at == self.name_end))
            elif not self.special(character, quoted=True):
                self.at += 1
        self.at += 1
        return None

    def dollar(self, quoted: bool) -> None:
        after = self.over_continuations(self.at + 1)
        following = self.text[after:after + 1]
        if following == '(':
            self.substitution(after + 1)
        elif following == '{':
            self.at = after + 1
            self.within('the ${...} of the shell', lambda: self.braces(quoted))
        elif following == "'" and not quoted:
            if self.text.find("\\'", after) >= 0:
                self.doubtful("what follows a backslash inside $'...'")  # dash does not know these quotes
            self.at = after
            self.until("'", "$'", lambda: self.hole(Place('single'), "$'...'"), escapes=True)
        elif found := _PARAMETER.match(self.text, after):
            self.at = self.name_end = found.end()
            if self.over_continuations(self.at) != self.at:
                self.doubtful('what follows a name that may be broken over two lines')
        else:
            if following == '[':
                self.doubtful('$[ ], or what follows it')
            self.at = after
            self.dollar_end = after

    def within(self, what: str, read: Callable[[], None]) -> None:
        """Read something in which every hole is refused."""
        before, self.inside = self.inside, self.inside or what
        self.depth += 1
        if self.depth > NESTING_LIMIT:
            self.end(f'brackets, or has more than {NESTING_LIMIT} levels of them')
        else:
            read()
        self.depth -= 1
        self.inside = before

    def substitution(self, start: int) -> None:
        """``$(...)`` or ``$((...))``; ``start``: after its first parenthesis."""
        second = self.over_continuations(start)
        if self.text[second:second + 1] == '(':
            if self.arithmetic(second + 1):
                return
            self.doubtful(TWO_PARENTHESES)
        if self.documents:
            self.doubtful('a line with both a here-document and $( )')
        self.at = start
        self.within('$( )', lambda: self.commands(')'))
        if self.documents:
            self.doubtful('what follows a here-document inside $( )')

    def arithmetic(self, start: int) -> bool:
        """Read ``((...))``, whose inside starts at ``start``; False, with nothing read, if no ``))`` closes it."""
        if start in self.not_arithmetic:
            return False
        before, seen, unclosed = self.at, len(self.places), self.unclosed
        depth = 2

        def read() -> None:
            nonlocal depth
            while depth and (character := self.peek()):
                if character == ')' and depth == 2 and self.peek(1) != ')':
                    return
                depth += (character == '(') - (character == ')')
                if character == HOLE:
                    self.hole(Place('bare'))
                elif not self.special(character, quoted=False):
                    self.at += 1

        self.at = start
        self.within(ARITHMETIC, read)
        if depth:
            self.not_arithmetic.add(start)
            self.at, self.places[seen:], self.unclosed = before, [], unclosed
        return not depth

    def braces(self, quoted: bool) -> None:
        while (character := self.peek()) != '}':
            if not character:
                return self.end('${')
            if character == HOLE:
                self.hole(Place('bare'))
            elif character == "'" and quoted:
                self.doubtful('what follows a single quote inside "${...}"')  # quotes or a plain character: shells differ
                self.at += 1
            elif not self.special(character, quoted=False):
                self.at += 1
        self.at += 1
        return None
