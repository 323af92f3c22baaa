"""Shell completion: the scripts for bash, zsh and fish, and the answers they ask for (docs/commands.md).

A script hands over the line up to the cursor; the answer is ``words`` or ``files`` (whether the shell should offer files where
we know nothing) and then one candidate a line, in an order that is kept (runs: newest first).  No script evaluates what it is
given: names come with a branch, from anybody.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

from mlops_cli.cli.completion import grammar
from mlops_cli.cli.completion.offers import offers
from mlops_cli.core.classes import dataclass
from mlops_cli.core.patterns import pattern

VARIABLE = '_MLOPS_COMPLETE'  # complete_bash: answer; source_bash: print the script
MOST = 1000  # candidates

BASH = """\
_mlops_completion() {
    local line kind=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then kind=$line; else COMPREPLY+=("$line"); fi
    done < <(_MLOPS_COMPLETE=complete_bash COMP_LINE="${COMP_LINE:0:$COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        "$1" 2>/dev/null </dev/null)
    compopt -o nosort 2>/dev/null
    if [[ $kind == words ]]; then compopt +o default 2>/dev/null; fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=:] ]]; then compopt -o nospace 2>/dev/null; fi
    return 0
}
complete -o default -F _mlops_completion mlops
"""

ZSH = """\
#compdef mlops
_mlops() {
    local kind value text
    local -a closed shown open openshown
    while IFS=$'\\t' read -r value text; do
        if [[ -z $kind ]]; then
            kind=$value
        elif [[ $value == *[=:] ]]; then
            open+=("$value"); openshown+=("$value${text:+  -- $text}")
        else
            closed+=("$value"); shown+=("$value${text:+  -- $text}")
        fi
    done < <(_MLOPS_COMPLETE=complete_zsh COMP_LINE="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" \\
        ${(Q)words[1]} 2>/dev/null </dev/null)
    (( $#closed )) && compadd -V closed -l -d shown -a closed
    (( $#open )) && compadd -V open -S '' -l -d openshown -a open
    if [[ $kind == files ]] && (( ! $#closed && ! $#open )); then _files; fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _mlops "$@"; else compdef _mlops mlops; fi
"""

FISH = """\
function __mlops_complete
    set -l words (commandline -opc)
    set -l line (commandline -cp | string collect)
    set -l found (env _MLOPS_COMPLETE=complete_fish COMP_LINE=$line $words[1] 2>/dev/null </dev/null)
    if test "$found[1]" = files -a (count $found) -eq 1
        __fish_complete_path (commandline -ct)
    else if test (count $found) -gt 1
        printf '%s\\n' $found[2..-1]
    end
end
complete --command mlops --no-files --keep-order --arguments '(__mlops_complete)'
"""

SCRIPTS: Mapping[str, str] = {'bash': BASH, 'zsh': ZSH, 'fish': FISH}
_PLAIN = pattern(r'[\w@%+=:,./~^-]+')  # needs no quoting in any shell; \w: letters and digits of all languages


@dataclass(frozen=True, slots=True)
class Typed:
    """A command line up to the cursor.  ``incomplete``: its last word without quoting; ``raw``: the same as typed.
    ``quote``: the quote that it is still inside, or empty."""

    words: tuple[str, ...]
    incomplete: str
    raw: str
    quote: str


def typed(line: str) -> Typed:
    """Splits as a POSIX shell would, up to where the cursor is; what a shell would replace stays as it is."""
    words: list[str] = []
    word, quote, start, inside, position = '', '', 0, False, 0
    while position < len(line):
        character = line[position]
        if quote:
            if character == quote:
                quote = ''
            elif character == '\\' and quote == '"' and line[position + 1 : position + 2] in ('"', '\\', '$', '`'):
                position += 1
                word += line[position]
            else:
                word += character
        elif character in ' \t\n':
            if inside:
                words.append(word)
            word, inside = '', False
        else:
            if not inside:
                start, inside = position, True
            if character in '\'"':
                quote = character
            elif character == '\\':
                position += 1
                word += line[position : position + 1]
            else:
                word += character
        position += 1
    return Typed(tuple(words), word, line[start:] if inside else '', quote)


def answer(instruction: str, environ: Mapping[str, str]) -> None:
    """Prints what a script asked for.  Prints nothing at all where anything is wrong: it would land in the user's prompt."""
    kind, _, shell = instruction.partition('_')
    if shell not in SCRIPTS:
        return
    if kind == 'source':
        sys.stdout.write(SCRIPTS[shell])
        return
    try:
        lines = replies(shell, environ)
        sys.stdout.write('\n'.join(lines) + '\n')
        sys.stdout.flush()
    except Exception:  # noqa: BLE001 -- whatever it is: an error must not come between a person and the prompt
        return


def replies(shell: str, environ: Mapping[str, str]) -> list[str]:
    """The lines of an answer.  Candidates that a terminal or a shell could misread are left out."""
    line = typed(environ.get('COMP_LINE', ''))
    words = list(line.words)
    while words and re.match(r'\w+=', words[0]):  # FOO=1 mlops ...
        words.pop(0)
    found, files = offers(grammar.saved(), words[1:], line.incomplete)
    kept = {word: about for word, about in found if word.isprintable() and word and '\ufffd' not in word}
    kind = 'files' if files else 'words'
    if shell == 'bash':
        breaks = environ.get('COMP_WORDBREAKS', '')
        return [kind, *(reply for word in list(kept)[:MOST] if (reply := for_bash(word, line, breaks)) is not None)]
    texts = ((word, ''.join(c if c.isprintable() else ' ' for c in about)) for word, about in list(kept.items())[:MOST])
    return [kind, *(f'{word}\t{about}' if about else word for word, about in texts)]


def for_bash(word: str, line: Typed, breaks: str) -> str | None:
    """What bash has to put in place of the part of a word that it means to replace, quoted; None where it cannot."""
    if line.quote:
        if line.raw[:1] != line.quote or any(c in word for c in (line.quote, *('\\$`!' if line.quote == '"' else ''))):
            return None
        return word
    if not word.startswith(line.incomplete):
        return None
    before = _before(line.raw, breaks)
    return quoted(word.removeprefix(typed(before).incomplete))


def _before(raw: str, breaks: str) -> str:
    """The beginning of the word being typed that bash leaves as it is: up to the last character that separates words there;
    an @ belongs to what it replaces."""
    end, position = 0, 0
    while position < len(raw):
        if raw[position] == '\\':
            position += 1
        elif raw[position] in breaks and raw[position] not in ' \t\n\'"':
            end = position + (raw[position] != '@')
        position += 1
    return raw[:end]


def quoted(word: str) -> str:
    """The word as it has to be typed into bash."""
    return ''.join(c if _PLAIN.fullmatch(c) else f'\\{c}' for c in word)
