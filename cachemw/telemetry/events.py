"""What is counted beside the outcome of requests: duration buckets and events. Tables only."""

from __future__ import annotations

from typing import Final, Literal

from cachemw.engine.model.outcomes import Family

__all__ = ["BOUNDS", "EVENT_LABELS", "EXPORTED_BOUNDS", "FAMILIES", "EventName"]

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

FAMILIES: Final[tuple[Family, ...]] = (
    "hit",
    "stale",
    "miss",
    "pass",
    "off",
    "refresh",
    "control",
    "shadow",
)

# Guardrails ask whether the slowest in twenty take a fifth more: where applications answer, a bucket is
# a quarter wide, by the ten steps of Renard's R10 series (ISO 3), which holds 1-2.5-5.
# fmt: off
BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005,
    0.001, 0.00125, 0.0016, 0.002, 0.0025, 0.00315, 0.004, 0.005, 0.0063, 0.008,
    0.01, 0.0125, 0.016, 0.02, 0.025, 0.0315, 0.04, 0.05, 0.063, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.315, 0.4, 0.5, 0.63, 0.8,
    1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0,
    10.0, 30.0,
)
"""Upper bounds of the duration buckets in seconds, inclusive; one more bucket takes the rest."""

# 1-2.5-5 steps: the values that the HTTP semantic conventions use, carried down to a memory hit's
# ten microseconds. Each bucket more would be a series more for every family.
EXPORTED_BOUNDS: Final = (
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)
"""Those of BOUNDS that are exported."""
# fmt: on

EVENT_LABELS: Final[dict[EventName, str]] = {
    "stored": "",
    "not_stored": "reason",
    "entry_rejected": "reason",
    "store_error": "operation",
    "dropped_stores": "",
    "evicted": "",
    "memory_refused": "reason",
    "memory_pressure": "level",
    "purge": "kind",
    "endpoint_refused": "reason",
    "breaker_opened": "",
    "flight_timeouts": "",
    "lease_timeouts": "",
    "log_records": "",
    "log_losses": "",
    "log_lines_dropped": "",
    "variants_dropped": "",
    "bad_tags": "",
    "shadow_mismatch": "kind",
}
"""Event -> what its second word means; empty: it has none."""
