"""What is allowed and hardly ever meant, and is said by name."""

from __future__ import annotations

import re

from cachemw.config.route import Route

__all__ = ["health_check_warning"]

_HEALTH = frozenset({"health", "healthcheck", "healthz", "liveness", "readiness"})
_HEALTH_AT_THE_END = frozenset({"live", "livez", "ping", "ready", "readyz"})
"""Words that are about health only where nothing follows: `/live/scores` is about something else."""


def health_check_warning(route: Route) -> str:
    """Give what is to be said of a route that looks like a health check; nothing of another one."""
    if not _looks_like_a_health_check(route):
        return ""
    return (
        f"route {route.name!r} ({(route.mount or '') + route.path}) looks like a health check and is"
        " cached: a cached health check hides a failure for as long as it lives"
    )


def _looks_like_a_health_check(route: Route) -> bool:
    for pieces in (route.path.strip("/").split("/"), re.split(r"[-_.]", route.name)):
        words = [re.sub(r"[-_.]", "", piece).lower() for piece in pieces]
        if not _HEALTH.isdisjoint(words) or words[-1] in _HEALTH_AT_THE_END:
            return True
    return False
