"""Advice in log lines about the cookies of an application."""

from __future__ import annotations

from typing import Final

__all__ = ["COOKIES_READ", "COOKIE_CONFLICT"]

COOKIE_CONFLICT: Final = (
    "list that cookie in personal_cookies, or in cookies if it is the same for many;"
    " until then the URL is asked for a second time, with all cookies"
)
COOKIES_READ: Final = (
    "requests with one of them go past the cache; list a cookie in personal_cookies to say so, in"
    " keyed_cookies if many visitors have the same few values, or in ignore_cookies if these pages may be"
    " made without it"
)
