"""Secrets: recognised by how they look, and kept out of what is written.  Reads neither files nor the environment.

Nothing is redacted inside digests or paths, and no name makes a parameter a secret: ``max_tokens`` is a number of tokens.
"""
from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise

from mlops_cli.core.patterns import pattern

SHORTEST = 4  # bytes; replacing all that equals less would tell what it is, and ruin the text
ENCODED_SHORTEST = 8  # bytes of an encoded form, which is found inside longer ones
AT_ONCE = 256  # texts
GUESSED_SHORTEST = 16  # characters of a variable that only its name makes a secret
GUESSED_ENTROPY = 3.0  # bits a character; 'changemechangeme' has 2.7, random hex digits 3.5 to 4
HEAD = 8  # bytes of a beginning that are looked up together for all secrets
LOOK_BEHIND = 16  # bytes, the longest look-behind of a pattern
HOLD_LIMIT = 64 << 10  # bytes held back for what may become a secret

_NAMES = frozenset({'SECRET', 'TOKEN', 'PASSWORD', 'CREDENTIAL', 'PRIVATE', 'DSN'})
_SURROGATES = pattern('[\ud800-\udfff]')
_PATH = pattern(r'~?(?:/[\w.@-]{1,15})+/?')

# What a secret looks like: no blank in it, and one of _STARTS at or right before its start.  Repetitions are bounded, so that
# no text takes quadratic time.
_EDGE = rb'(?<![A-Za-z0-9])'
_KINDS = {
    'an AWS access key': _EDGE + rb'(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])',
    'a GitHub token': _EDGE + rb'(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})',
    'a Hugging Face token': _EDGE + rb'hf_[A-Za-z0-9]{30,255}',
    'an API key': _EDGE + rb'sk-(?:[A-Za-z0-9]{1,24}[-_]){0,4}(?=[A-Za-z]{0,60}[0-9])(?=[0-9]{0,60}[A-Za-z])'
                  rb'[A-Za-z0-9]{16}[A-Za-z0-9_-]{0,255}',
    'a Slack token': _EDGE + rb'xox[a-z]-(?=[A-Za-z-]{0,60}[0-9])[A-Za-z0-9-]{10,255}',
    'a JSON web token': _EDGE + rb'eyJ[A-Za-z0-9_-]{8,600}\.eyJ[A-Za-z0-9_-]{8,16000}\.[A-Za-z0-9_-]{0,2000}',
    'a signed URL': rb'(?<=X-Amz-Signature=)[0-9a-fA-F]{16,255}',
    'a password in a URL': rb'(?<=://)[^\s/:@?#"\'<>]{0,255}:(?![$<{]|\*+@)[^\s/@"\'<>]{1,255}(?=@)',
}
_PRIVATE_KEY = 'a private key'
_STARTS = (b'AKIA', b'ASIA', b'ghp_', b'gho_', b'ghu_', b'ghs_', b'ghr_', b'github_pat_', b'hf_', b'sk-', b'xox', b'eyJ',
           b'X-Amz-Signature=', b'://')
_BEGIN = b'-----BEGIN '
# What repeats for good is atomic itself: before 3.11.5, as in Debian 12, Python matches it wrongly where it is not.
_KEY_HEAD = rb'-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----(?>(?:\r?\n|\\n)[A-Za-z-]{1,30}: [^\n\\]{0,200})*+'
_KEY_BODY = rb'(?>[A-Za-z0-9+/=]++|\\[nr]|[\r\n][ \t>|]*+)*+'
_KEY = _KEY_HEAD + _KEY_BODY + rb'(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?'
_KIND_NAMES = (*_KINDS, _PRIVATE_KEY)
_BLANKS = (b' ', b'\t', b'\n', b'\r', b'\x0b', b'\x0c')


@cache
def _pattern() -> re.Pattern[bytes]:
    """Everything that looks like a secret, one group a kind.  Made when needed: it takes some milliseconds."""
    return re.compile(b'|'.join(b'(%s)' % pattern for pattern in (*_KINDS.values(), _KEY)))


@cache
def _unfinished_key() -> re.Pattern[bytes]:
    return re.compile(
        rb'-----BEGIN [A-Z0-9 ]{0,51}-{0,5}|' + _KEY_HEAD + rb'(?:(?:\r?\n|\\n)[A-Za-z-]{0,30}:?|' + _KEY_BODY
        + rb'(?:\\|-{0,5}|-----EN?|-----END(?: [A-Z0-9 ]{0,51}-{0,4})?))')


def looks_secret(text: str) -> str | None:
    """What kind of secret a text holds (``a GitHub token``), judged by its looks alone; None for all other text."""
    data = _bytes(text)
    found = _pattern().search(data) if _may_match(data, 0) else None
    return _kind(found) if found else None


def looking_secret(texts: Sequence[str]) -> dict[str, str]:
    """Those of many texts that hold a secret, and what kind.  Many are looked at together first, for that takes a tenth."""
    found: dict[str, str] = {}
    for start in range(0, len(texts), AT_ONCE):
        some = texts[start:start + AT_ONCE]
        if _may_match(_bytes('\n'.join(some)), 0):
            found |= {text: what for text in some if (what := looks_secret(text))}
    return found


def _kind(found: re.Match[bytes]) -> str:
    assert found.lastindex
    return _KIND_NAMES[found.lastindex - 1]


def environment_secrets(environ: Mapping[str, str], declared: Iterable[str]) -> dict[str, str]:
    """The variables whose values are secrets: the declared ones, and those whose name says so (a whole word between ``_``,
    ``.`` and ``-``, such as HF_TOKEN, not TOKENIZERS_PARALLELISM) and whose value is long and random enough."""
    found = {name: environ[name] for name in declared if environ.get(name)}
    for name, value in environ.items():
        if name not in found and _named_secret(name) and _random(value):
            found[name] = value
    return found


def _named_secret(name: str) -> bool:
    words = re.split(r'[_.-]', name.upper())
    return not _NAMES.isdisjoint(words) or ('API', 'KEY') in pairwise(words)


def _random(value: str) -> bool:
    if len(value) < GUESSED_SHORTEST or _PATH.fullmatch(value):
        return False
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares) >= GUESSED_ENTROPY


_Found = tuple[int, int, bytes]  # start, end, replacement; start at the end of the buffer: none


class Redactor:
    """Replaces secrets in a stream of bytes, wherever it is cut: ``feed`` what comes, write what it returns, ``finish``.

    ``secrets``: name -> value; found as they are, and as base64, URLs, JSON and Python write them, and line by line.  What
    looks like a secret is replaced too.  Only what may be the beginning of one is held back, at most 64 KiB.  ``too_short``:
    names of secrets of fewer than 4 bytes, which are not looked for."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._literals: dict[bytes, bytes] = {}
        too_short = []
        for name, value in secrets.items():
            if len(_bytes(value)) < SHORTEST:
                too_short.append(name)
            for form in _forms(value):
                self._literals.setdefault(form, _replacement(name))
        self.too_short = tuple(too_short)
        texts = (*self._literals, *_STARTS, _BEGIN)
        self._heads = [frozenset(text[:size] for text in texts if len(text) > size) for size in range(HEAD)]
        self._long = [text for text in texts if len(text) > HEAD]
        self._limit = max([HOLD_LIMIT, *map(len, self._literals)])
        self._buffer = b''
        self._written = 0  # bytes of the buffer that are written already, kept for patterns that look behind

    def feed(self, data: bytes) -> bytes:
        """What is certain by now, redacted."""
        self._buffer += data
        out, kept = self._redacted(self._buffer, self._written, final=False)
        if len(self._buffer) - kept > self._limit:  # longer than any secret
            out += self._redacted(self._buffer, kept, final=True)[0]
            kept = len(self._buffer)
        self._written = min(kept, LOOK_BEHIND)
        self._buffer = self._buffer[kept - self._written:]
        return out

    def finish(self) -> bytes:
        """The rest.  The redactor can then be used for another stream."""
        rest, _ = self._redacted(self._buffer, self._written, final=True)
        self._buffer, self._written = b'', 0
        return rest

    def redact(self, text: str) -> str:
        """A text at once, apart from the stream."""
        return self._redacted(_bytes(text), 0, final=True)[0].decode('utf-8', _surrogates(text))

    def _redacted(self, buffer: bytes, position: int, *, final: bool) -> tuple[bytes, int]:
        """The bytes from ``position`` with secrets replaced, as far as they are certain; and how far that is."""
        out: list[bytes] = []
        ahead = {} if _may_match(buffer, position) else {b'': _none(buffer)}
        hold = len(buffer) if final else self._hold(buffer, position)
        while True:
            start, end, replacement = self._next(buffer, position, ahead)
            if start >= hold:
                out.append(buffer[position:hold])
                return b''.join(out), hold
            out += (buffer[position:start], replacement)
            position = end
            if position > hold:
                hold = self._hold(buffer, position)

    def _next(self, buffer: bytes, position: int, ahead: dict[bytes, _Found]) -> _Found:
        """The first secret from here on, of several that start together the longest.  ``ahead``: what was found before."""
        best = _none(buffer)
        for literal in (*self._literals, b''):
            found = ahead.get(literal)
            if found is None or found[0] < position:
                found = ahead[literal] = self._find(buffer, literal, position)
            if (found[0], -found[1]) < (best[0], -best[1]):
                best = found
        return best

    def _find(self, buffer: bytes, literal: bytes, position: int) -> _Found:
        """The next occurrence of a literal; of b'', of a pattern."""
        if literal:
            start = buffer.find(literal, position)
            return (start, start + len(literal), self._literals[literal]) if start >= 0 else _none(buffer)
        match = _pattern().search(buffer, position)
        if match is None:
            return _none(buffer)
        return match.start(), match.end(), _replacement(_kind(match).partition(' ')[2])

    def _hold(self, buffer: bytes, position: int) -> int:
        """Where the first thing starts that more bytes could make a secret."""
        hold = len(buffer)
        for size in range(1, min(HEAD, len(buffer) - position + 1)):
            if buffer[-size:] in self._heads[size]:
                hold = len(buffer) - size
        for text in self._long:
            hold = min(hold, _beginning(buffer, text, position))
        word = max(position, 1 + max(buffer.rfind(blank, position) for blank in _BLANKS))
        for text in _STARTS:
            if (start := buffer.find(text, max(word - len(text), 0))) >= 0:
                hold = min(hold, max(start, position))
        begin = buffer.find(_BEGIN, position)
        while 0 <= begin < hold:
            if _unfinished_key().fullmatch(buffer, begin):
                hold = begin
            begin = buffer.find(_BEGIN, begin + 1)
        return hold


def _none(buffer: bytes) -> _Found:
    return len(buffer), len(buffer), b''


def _beginning(buffer: bytes, text: bytes, position: int) -> int:
    """Where the buffer's end starts that is a beginning of ``text`` of HEAD bytes or more, and not all of it; the buffer's
    length if none is."""
    start = max(position, len(buffer) - len(text) + 1)
    while (start := buffer.find(text[:HEAD], start)) >= 0:
        if text.startswith(buffer[start:]):
            return start
        start += 1
    return len(buffer)


def _may_match(buffer: bytes, position: int) -> bool:
    return (buffer.find(_BEGIN, position) >= 0
            or any(buffer.find(start, max(0, position - LOOK_BEHIND)) >= 0 for start in _STARTS))


def _bytes(text: str) -> bytes:
    return text.encode('utf-8', _surrogates(text))


def _surrogates(text: str) -> str:
    """How to encode the surrogates in a text: as undecodable bytes if all may be that (the environment, names of files)."""
    found = _SURROGATES.findall(text) if not text.isascii() else ()
    return 'surrogateescape' if all('\udc80' <= character <= '\udcff' for character in found) else 'surrogatepass'


def _replacement(name: str) -> bytes:
    return _bytes(f'[secret: {name}]')


def _forms(value: str) -> Iterator[bytes]:
    """A secret as programs write it."""
    import base64
    import json
    from urllib.parse import quote, quote_plus

    raw = _bytes(value)
    lines = [line for line in raw.splitlines() if len(line.strip()) >= GUESSED_SHORTEST]
    texts = {raw, *(line.strip() for line in lines if len(lines) > 1), raw.replace(b'\r\n', b'\n'), raw.replace(b'\n', b'\r\n'),
             repr(raw)[2:-1].encode(), _bytes(repr(value)[1:-1]), json.dumps(value)[1:-1].encode(),
             _bytes(json.dumps(value, ensure_ascii=False)[1:-1])}
    for safe in ('', '/'):
        for text in (quote(raw, safe=safe), quote_plus(raw, safe=safe)):
            texts |= {text.encode(), re.sub('%..', lambda found: found[0].lower(), text).encode()}
    yield from sorted(text for text in texts if len(text) >= SHORTEST)
    for shift in range(3):  # inside longer base64, a text starts at the first, second or third byte of a group
        encoded = base64.b64encode(b'\0' * shift + raw).rstrip(b'=')
        whole = encoded[(0, 2, 3)[shift]:len(encoded) - ((shift + len(raw)) % 3 > 0)]
        if len(whole) >= ENCODED_SHORTEST:
            yield from {whole, whole.translate(bytes.maketrans(b'+/', b'-_'))}
