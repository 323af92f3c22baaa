"""What a shell script that a command runs calls in turn: seen, not followed.  Looks at no disk."""
from __future__ import annotations

from collections.abc import Sequence

from mlops_cli.fingerprint.launchers import LAUNCHERS, OPAQUE, PYTHON, SHELLS
from mlops_cli.fingerprint.managers import MANAGERS
from mlops_cli.fingerprint.shell import ShellError, Simple, Word, constant, parse


def scan(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(programs it calls whose code is not followed, shell scripts it runs, as written)."""
    called: dict[str, None] = {}
    others: dict[str, None] = {}
    for words in _commands(text):
        names = [(word.text or '').rpartition('/')[2] for word in words]
        called |= dict.fromkeys(name for name in names if PYTHON.match(name) or name in LAUNCHERS)
        called |= dict.fromkeys(name for name in names[:1] if name in MANAGERS or name in OPAQUE)
        for inner in (inner for word in words for inner in word.commands):
            deeper = scan(inner) if inner != text else ((), ())
            called |= dict.fromkeys(deeper[0])
            others |= dict.fromkeys(deeper[1])
        others |= dict.fromkeys(_shell_scripts(words))
    return tuple(called), tuple(others)


def _commands(text: str) -> list[Sequence[Word]]:
    """Of a text that is no complete script, its lines."""
    try:
        return [(*(value for _, value in event.assignments), *event.words) for event in parse(text)
                if isinstance(event, Simple) and (event.words or event.assignments)]
    except ShellError:
        return [tuple(map(constant, line.split())) for line in text.splitlines() if line.strip()]


def _shell_scripts(words: Sequence[Word]) -> list[str]:
    """Scripts that one command of a script runs."""
    texts = [word.text or '' for word in words]
    if texts[0].rpartition('/')[2] in SHELLS or texts[0] in ('.', 'source'):
        return [text for text in texts[1:] if text and not text.startswith('-') and '\0' not in text][:1]
    return texts[:1] if texts[0].endswith(('.sh', '.bash')) else []
