"""Outcomes: how one request can be answered. Counters, spans and log lines share these words.

Every request ends in exactly one `Outcome`. The exception is REFRESH: it counts the calls of the
application that the cache makes itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

__all__ = ["FAILED", "EventName", "Family", "ForecastName", "Outcome", "Tier"]

FAILED = 500
"""The lowest status of a response that counts as failed."""

Family = Literal["hit", "stale", "miss", "pass", "off", "refresh", "control", "shadow"]
Tier = Literal["memory", "shared", "flight", "origin"]

EventName = Literal[
    "stored",
    "not_stored",
    "entry_rejected",
    "store_error",
    "store_skipped",
    "dropped_stores",
    "evicted",
    "memory_refused",
    "memory_pressure",
    "purge",
    "endpoint_refused",
    "breaker_opened",
    "flight_timeouts",
    "lease_timeouts",
    "log_records",
    "log_losses",
    "log_lines_dropped",
    "variants_dropped",
    "bad_tags",
    "shadow_mismatch",
    "outer_identity",
    "second_cache_hit",
    "second_cache_unknown",
    "second_cache_error",
]
"""What is counted besides the outcomes of requests. `telemetry.events` describes each one."""

ForecastName = Literal[
    "requests", "hits", "default_requests", "default_hits", "default_wrong", "replaced"
]
"""What is counted of a route in shadow, of what it would do switched on:

- `requests`: those that it may answer, and those that bypass it by their cookies;
- `hits`: those that it would answer;
- `default_requests`: those of a route for which other cookie rules are proposed (`RouteState.proposed`);
- `default_hits`: those of them that these rules would answer;
- `default_wrong`: those of them that would get another answer than the application gives;
- `replaced`: those whose response would replace a cookie of its client.
"""


class Outcome(IntEnum):
    """How one request was answered. The order of the members is the order of the counter cells."""

    outcome: Family
    """The family by which rates are computed."""
    tier: Tier
    """Where the response came from."""
    calls_origin: bool
    """Whether the application was called for it."""
    label: str
    """The member's name in lower case, as it appears in statistics and log lines."""

    # A 304 to the client counts as what its full answer would have been.
    HIT_MEMORY = 0, "hit", "memory", False
    HIT_SHARED = 1, "hit", "shared", False
    HIT_COALESCED = 2, "hit", "flight", False
    STALE_MEMORY = 3, "stale", "memory", False
    STALE_SHARED = 4, "stale", "shared", False
    # When the application has failed, this process holds the stale entry already, whatever its tier was.
    STALE_IF_ERROR = 5, "stale", "memory", True
    MISS = 6, "miss", "origin", True
    # The route allows it, but the key is remembered as uncacheable. It counts as a miss: the hit rate
    # would look too good without it.
    HIT_FOR_MISS = 7, "miss", "origin", True
    PASS = 8, "pass", "origin", True
    OFF = 9, "off", "origin", True
    # The cache failed and was bypassed. It says something about the store, not about the traffic.
    ERROR_BYPASS = 10, "pass", "origin", True
    REFRESH = 11, "refresh", "origin", True
    # The application said that a stale entry is still current (304).
    REVALIDATED = 12, "miss", "origin", True
    # The client asked for a stored response or none (only-if-cached), and nothing was stored.
    UNSATISFIED = 13, "miss", "memory", False
    # In the holdout: the control group that the others are compared with. HIT or MISS: whether memory
    # would have answered, since misses must be compared with misses.
    CONTROL_HIT = 14, "control", "origin", True
    CONTROL_MISS = 15, "control", "origin", True
    # In shadow: what the cache would have done.
    SHADOW_HIT = 16, "shadow", "origin", True
    SHADOW_MISS = 17, "shadow", "origin", True
    SHADOW_MISMATCH = 18, "shadow", "origin", True
    # The request is let in but has credentials, so no stored response may answer it. Unlike a PASS it
    # could have been in the holdout, so it belongs to the requests that are compared.
    PERSONAL = 19, "pass", "origin", True

    def __new__(cls, value: int, outcome: Family, tier: Tier, calls_origin: bool) -> Outcome:
        """Make the member, equal to the number of its cell."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.outcome = outcome
        member.tier = tier
        member.calls_origin = calls_origin
        return member

    def __init__(self, *_: object) -> None:
        self.label = self.name.lower()
