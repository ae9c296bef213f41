"""Advice in log lines: what an operator or a developer can do."""

from __future__ import annotations

from typing import Final

__all__ = [
    "COOKIES_READ",
    "COOKIE_CONFLICT",
    "FUNCTION",
    "NOT_RUN",
    "ORDER",
    "SECOND_CACHE",
    "WITHOUT_THREADS",
]

COOKIE_CONFLICT: Final = (
    "list that cookie in personal_cookies, or in cookies if it is the same for many;"
    " until then the URL is asked for a second time, with all cookies"
)
COOKIES_READ: Final = (
    "requests with one of them go past the cache; list a cookie in personal_cookies to say so, in"
    " keyed_cookies if many visitors have the same few values, or in ignore_cookies if these pages may be"
    " made without it"
)
ORDER: Final = (
    "sessions and authentication are outside the cache, so requests bypass it: make the cache the outermost"
    " middleware (add it last to Starlette and FastAPI, list it first in Django's MIDDLEWARE), or give the"
    " route an identity, or same_for_all_users = true"
)
SECOND_CACHE: Final = (
    "this value was set outside of a recorded answer, so nobody knows the rows behind it: set it where it is"
    " read, or read it inside cachemw.unrecorded() and name its rows by cachemw.depends_on();"
    " recording.unknown_cached says what becomes of such answers, recording.ignore_cached lists keys that no"
    " answer is made from"
)
FUNCTION: Final = (
    "if it reads and writes no table, add it to recording.pure_functions; if it only reads tables, to"
    " recording.reading_functions"
)
WITHOUT_THREADS: Final = (
    "the thread that hears of purges runs only while a request is being answered, so memory is not used after"
    " a pause, and purges are confirmed without this process"
)
NOT_RUN: Final = (
    "the thread that hears of purges was not run: the process was stopped, or its server runs no threads"
    " between requests (uWSGI: set enable-threads); meanwhile nothing was served from memory"
)
