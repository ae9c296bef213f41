"""Names of cookies, and patterns of them: a name in which each `*` stands for any characters.

A cookie matches a pattern by its name as sent or percent-decoded, because some frameworks decode it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from cachemw.config.syntax.decode import Parser
from cachemw.config.syntax.messages import show
from cachemw.config.syntax.values import TOKEN, matching, names

__all__ = ["COOKIES", "COOKIE_PATTERNS", "SESSIONS", "compile_patterns", "spellings"]


def _exact(value: object) -> str:
    name = matching(TOKEN, "the name of a cookie")(value)
    if "*" in name:
        raise ValueError(
            f"{show(name)} must be an exact name: only `ignore_cookies` and `personal_cookies` allow *"
        )
    return name


def _pattern(value: object) -> str:
    pattern = matching(TOKEN, 'the name of a cookie, or a pattern such as "_ga*"')(value)
    if not pattern.strip("*"):
        raise ValueError(
            f"{show(pattern)} is every cookie: write `cookies = []` on a route that reads none"
        )
    return pattern


SESSIONS = ("sessionid", "session")
"""The cookie of a session, as Django names it, and as Flask and Starlette do."""

COOKIES = names(Parser(_exact, "names of cookies"))
COOKIE_PATTERNS = names(Parser(_pattern, "names of cookies, which may have `*` in them"))


def compile_patterns(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return one expression; its `fullmatch` finds the names that one of these patterns matches."""
    return re.compile("|".join(map(_expression, patterns)) or "(?!)", re.DOTALL)


def _expression(pattern: str) -> str:
    first, *others = map(re.escape, pattern.split("*"))
    if not others:
        return first
    *middle, last = others
    # Atomic groups, which never backtrack: clients choose the names.
    return first + "".join(f"(?>.*?{each})" for each in middle) + ".*" + last


def spellings(name: str) -> set[str]:
    """Return a cookie's name as it was sent, and percent-decoded."""
    return {name, unquote(name)}
