"""How one request can be answered: the words that counters, spans and log lines share. A table only.

Every request that reaches a front door ends in exactly one `Outcome` other than REFRESH, which
counts the origin calls that the cache makes on its own account.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

__all__ = ["FAILED", "EventName", "Family", "Outcome", "Tier"]

FAILED = 500
"""The least status of an answer that failed."""

Family = Literal["hit", "stale", "miss", "pass", "off", "refresh", "control", "shadow"]
Tier = Literal["memory", "shared", "flight", "origin"]

EventName = Literal[
    "stored",
    "not_stored",
    "entry_rejected",
    "store_error",
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
]
"""What is counted besides the outcomes of requests. `telemetry.events` describes each one."""


class Outcome(IntEnum):
    """How one request was answered: the members' order is the order of the counter cells."""

    outcome: Family
    """The family that rates are computed over."""
    tier: Tier
    """Where the answer came from."""
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
    # By the time the origin has failed, the entry kept for it is in this process's hands.
    STALE_IF_ERROR = 5, "stale", "memory", True
    MISS = 6, "miss", "origin", True
    # Eligible by policy, but the key is remembered as uncacheable: leaving it out would flatter
    # the hit rate.
    HIT_FOR_MISS = 7, "miss", "origin", True
    PASS = 8, "pass", "origin", True
    OFF = 9, "off", "origin", True
    # The cache was ill and stood aside: an event of the store, not a property of the traffic.
    ERROR_BYPASS = 10, "pass", "origin", True
    REFRESH = 11, "refresh", "origin", True
    # The application said that a stale answer is still the current one (304).
    REVALIDATED = 12, "miss", "origin", True
    # The client asked for a stored answer or none (only-if-cached), and there was none.
    UNSATISFIED = 13, "miss", "memory", False
    # Held out by chance, so that what the cache does can be told from what the hour does; and whether
    # this process's memory would have answered, since misses are to be compared with misses.
    CONTROL_HIT = 14, "control", "origin", True
    CONTROL_MISS = 15, "control", "origin", True
    # In shadow: what the cache would have done, had it been asked.
    SHADOW_HIT = 16, "shadow", "origin", True
    SHADOW_MISS = 17, "shadow", "origin", True
    SHADOW_MISMATCH = 18, "shadow", "origin", True
    # Let in, and sent by somebody who says who they are: nothing that is stored may answer. Unlike a
    # pass it might have been held out, so it is one of those that are compared.
    PERSONAL = 19, "pass", "origin", True

    def __new__(cls, value: int, outcome: Family, tier: Tier, calls_origin: bool) -> Outcome:
        """Make the member equal to its cell's number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.outcome = outcome
        member.tier = tier
        member.calls_origin = calls_origin
        return member

    def __init__(self, *_: object) -> None:
        self.label = self.name.lower()
