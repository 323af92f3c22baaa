"""Who does something that is recorded."""

from __future__ import annotations

from functools import cache

from mlops_cli import git

LENGTH = 100  # characters of a name


@cache
def who(folder: str) -> str:
    """The name that git knows the user by in this project, as its commits say it; else the login name; else nothing.

    Asks git, once: call it when something is recorded."""
    name = ''.join(one if one.isprintable() else ' ' for one in _user(folder)[0])
    return ' '.join(name.split())[:LENGTH] or _login()


@cache
def email(folder: str) -> str:
    """The address that commits in this project say; else nothing.  As :func:`who`."""
    return ''.join(one for one in _user(folder)[1] if one.isprintable())[:200]


@cache
def _user(folder: str) -> tuple[str, str]:
    return git.user(folder)


def _login() -> str:
    import getpass  # where git does not say

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ''
