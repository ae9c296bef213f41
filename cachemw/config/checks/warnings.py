"""Warnings about what is allowed, but probably not meant."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["cookies_warning", "health_check_warning", "memory_warning", "redis_warnings"]

DEFAULT_NAMESPACE = "default"

_HEALTH = frozenset({"health", "healthcheck", "healthz", "liveness", "readiness"})
_HEALTH_AT_THE_END = frozenset({"live", "livez", "ping", "ready", "readyz"})
"""Words that mean a health check only at the end of a path: `/live/scores` is something else."""


def cookies_warning(names: Sequence[str]) -> str:
    """Return a warning about the routes of these names, which remove cookies that nobody called personal."""
    routes = ", ".join(names)
    return (
        f"cookies are removed on {routes}. If a page there sets a cookie that its visitor has (a session,"
        " the token of a form), the application is called twice, and nothing is kept. List such cookies:"
        ' personal_cookies = ["sessionid"]'
    )


def health_check_warning(name: str, path: str, mount: str | None) -> str:
    """Return a warning if a route looks like a health check, else an empty text.

    It takes the three options, not the route, so that `checks` imports nothing of the folder above it.
    """
    if not _looks_like_a_health_check(name, path):
        return ""
    return (
        f"route {name!r} ({(mount or '') + path}) looks like a health check and is cached:"
        " a cached health check hides a failure for the lifetime of its entry"
    )


def memory_warning(workers: int) -> str:
    """Return a warning about several worker processes that share no Redis."""
    return (
        f"{workers} workers have no Redis to share: a purge, and a write that should purge, reach only the"
        " process that makes them, and the others go on with what they have. Write redis ="
        ' "redis://localhost:6379/0", or run one worker'
    )


def redis_warnings(namespace: str, *, has_secret: bool) -> list[str]:
    """Return warnings about a cache whose entries are in a Redis."""
    warnings = []
    if not has_secret:
        warnings.append(
            "secret is not set: whoever can write to this Redis can forge entries that are served."
            ' Set it to a random text that only this application knows: secret = "..."'
        )
    if namespace == DEFAULT_NAMESPACE:
        warnings.append(
            f"namespace is {DEFAULT_NAMESPACE!r}: another application with this Redis and no namespace of"
            ' its own would share entries, purges and flags. Give each a name: namespace = "shop"'
        )
    return warnings


def _looks_like_a_health_check(name: str, path: str) -> bool:
    for pieces in (path.strip("/").split("/"), re.split(r"[-_.]", name)):
        words = [re.sub(r"[-_.]", "", piece).lower() for piece in pieces]
        if not _HEALTH.isdisjoint(words) or words[-1] in _HEALTH_AT_THE_END:
            return True
    return False
