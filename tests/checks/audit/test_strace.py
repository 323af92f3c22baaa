"""What strace writes, read line by line."""

from __future__ import annotations

import random

import pytest

from mlops_cli.checks.audit.access import Access, Ended
from mlops_cli.checks.audit.strace import LINE_LIMIT, Parser, plain


def told(*lines: str, folder: str = '/p') -> list[Access]:
    parser = Parser(folder)
    found = [event for line in lines for event in parser.line(line.encode('latin-1'))]
    assert not parser.unclear
    return [event for event in found if isinstance(event, Access)]


@pytest.mark.parametrize(
    ('line', 'access'),
    [
        ('openat(AT_FDCWD</p>, "a b", O_RDONLY|O_CLOEXEC) = 3</p/a b>', Access('read', '/p/a b', '/p/a b')),
        ('openat(5</p/d>, "x", O_RDONLY) = 6</p/e/y>', Access('read', '/p/d/x', '/p/e/y')),
        ('openat(AT_FDCWD</p>, "/q", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</q>', Access('make', '/q', '/q')),
        ('openat(AT_FDCWD</p>, "l", O_WRONLY|O_CREAT|O_APPEND, 0666) = 3</p/l>', Access('write', '/p/l', '/p/l')),
        ('openat(AT_FDCWD</p>, "s", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</p/s>', Access('maybe', '/p/s', '/p/s')),
        ('open("x", O_RDONLY) = 3</p/x>', Access('read', '/p/x', '/p/x')),
        ('creat("x", 0644) = 3</p/x>', Access('make', '/p/x', '/p/x')),
        ('openat2(AT_FDCWD</p>, "x", {flags=O_RDONLY, resolve=0}, 24) = 3</p/x>', Access('read', '/p/x', '/p/x')),
        ('execve("./t", [""...], 0x7 /* 9 vars */) = 0', Access('run', '/p/./t')),
        ('rename("a", "b") = 0', Access('rename', '/p/a', other='/p/b')),
        ('renameat2(AT_FDCWD</d>, "a", 4</e>, "b", 0) = 0', Access('rename', '/d/a', other='/e/b')),
        ('linkat(AT_FDCWD</d>, "a", AT_FDCWD</d>, "b", 0) = 0', Access('link', '/d/a', other='/d/b')),
        ('symlink("to", "b") = 0', Access('point', '/p/b')),
        ('unlinkat(AT_FDCWD</d>, "a", 0) = 0', Access('remove', '/d/a')),
        (
            'openat(AT_FDCWD</p>, "a) = 9</q>", O_RDONLY) = 3</p/a) = 9\\74/q\\76>',
            Access('read', '/p/a) = 9</q>', '/p/a) = 9</q>'),
        ),
    ],
)
def test_calls(line: str, access: Access) -> None:
    assert told(f'17  {line}') == [access]


@pytest.mark.parametrize(
    'line',
    [
        'openat(AT_FDCWD</p>, "a", O_RDONLY) = -1 ENOENT (No such file or directory)',
        'openat(AT_FDCWD</p>, "d", O_RDONLY|O_DIRECTORY) = 3</p/d>',
        'openat(AT_FDCWD</p>, "d", O_RDONLY|O_PATH) = 3</p/d>',
        'openat(AT_FDCWD</p>, "a", O_RDONLY) = ?',
        'getdents64(3</p/d>, 0x5 /* 3 entries */, 32768) = -1 EBADF (x)',
    ],
)
def test_what_says_nothing(line: str) -> None:
    assert told(f'17 {line}') == []


def test_two_pieces_of_several_processes() -> None:
    assert told(
        '1 openat(AT_FDCWD</p>, "a", O_RDONLY <unfinished ...>',
        '2 openat(AT_FDCWD</p>, "b", O_RDONLY <unfinished ...>',
        '1 <... openat resumed>) = 3</p/a>',
        '2 <... openat resumed>) = 3</p/b>',
    ) == [Access('read', '/p/a', '/p/a'), Access('read', '/p/b', '/p/b')]


def test_old_calls_are_relative_to_where_their_process_is() -> None:
    assert told('1 chdir("d") = 0', '1 clone(child_stack=NULL, flags=SIGCHLD) = 2', '2 unlink("x") = 0') == [
        Access('remove', '/p/d/x')
    ]


def test_names_without_their_escapes() -> None:
    assert plain(rb'a\"b\\\n\t\303\251\74\x3e\33') == 'a"b\\\n\té<>\x1b'
    assert plain(b'\\377') == '\udcff'


def test_a_process_begins_and_ends() -> None:
    parser = Parser('/p')
    assert next(parser.line(b'7 execve("/bin/sh", [], 0x0 /* 1 var */) = 0')) == Ended(7, begun=True)
    assert [*parser.line(b'7 +++ exited with 0 +++')] == [Ended(7)]


def test_whatever_comes_is_read_or_counted() -> None:
    chance = random.Random(59)
    parts = [b'7 ', b'openat(', b'AT_FDCWD</p>', b', ', b'"a\\', b'"', b'<unfinished ...>', b'<... openat resumed>',
             b') = 3</p/a>', b'\xff\x00', b'+++', b'rename(', b'\\777', b'clone(', b' = 9']  # fmt: skip
    parser = Parser('/p')
    for _ in range(3000):
        for _ in parser.line(b''.join(chance.choices(parts, k=chance.randrange(9)))):
            pass
    assert parser.unclear
    assert len([*parser.line(b'7 openat(AT_FDCWD</p>, "' + b'\\377' * (LINE_LIMIT // 8) + b'", O_RDONLY) = 3</p/a>')]) <= 2
