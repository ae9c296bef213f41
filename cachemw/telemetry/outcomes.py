"""What can become of a request, and which facts are counted beside it. Tables only.

Every request that reaches a front door ends in exactly one `Outcome` other than REFRESH, which
counts the origin calls that the cache makes on its own account.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Literal

__all__ = ["BOUNDS", "EVENT_LABELS", "FAMILIES", "FAMILY_OF", "EventName", "Outcome"]

Family = Literal["hit", "stale", "miss", "pass", "off", "refresh"]
Tier = Literal["memory", "shared", "flight", "origin"]
EventName = Literal[
    "stored",
    "not_stored",
    "entry_rejected",
    "store_error",
    "dropped_stores",
    "evicted",
    "purge",
    "breaker_opened",
    "flight_timeouts",
    "log_records",
    "log_lines_dropped",
]

FAMILIES: Final[tuple[Family, ...]] = ("hit", "stale", "miss", "pass", "off", "refresh")


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


FAMILY_OF: Final = tuple(FAMILIES.index(outcome.outcome) for outcome in Outcome)
"""Outcome -> index into FAMILIES."""

# 1-2.5-5 steps: the values that the HTTP semantic conventions use, carried down to a memory hit's
# ten microseconds.
# fmt: off
BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)
# fmt: on
"""Upper bounds of the duration buckets in seconds, inclusive; one more bucket takes the rest."""

EVENT_LABELS: Final[dict[EventName, str]] = {
    "stored": "",
    "not_stored": "reason",
    "entry_rejected": "reason",
    "store_error": "operation",
    "dropped_stores": "",
    "evicted": "",
    "purge": "kind",
    "breaker_opened": "",
    "flight_timeouts": "",
    "log_records": "",
    "log_lines_dropped": "",
}
"""Event -> what its second word means; empty: it has none."""
