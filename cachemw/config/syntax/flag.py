"""The states of flags ("off", "shadow", "canary 10%", "on"), and shares of requests ("2%").

A state tells how many of the keys may use the cache. It is converted to and from a number, so that of two
states the more restrictive one is the smaller number.
"""

from __future__ import annotations

import re
from decimal import Decimal

from cachemw.config.syntax.messages import show

__all__ = ["FULL", "OFF", "SHADOW", "parse_flag", "parse_holdout", "share_of", "state_of"]

FULL = 10_000
"""The share of "on": all keys. Shares are counted in hundredths of a per cent."""
SHADOW = 0
"""The share of "shadow": no key is answered from the cache, but answers are compared."""
OFF = -1
"""The share of "off", which is more restrictive than shadow."""
_MAX_HOLDOUT = 0.5
"""The maximum holdout. With more, most requests would not use the cache at all."""

_PER_CENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)\s*%", re.ASCII)
_CANARY = re.compile(rf"canary\s+{_PER_CENT.pattern}", re.ASCII)


def parse_flag(value: object) -> str:
    """Parse a state, and return it in its normal form (`canary 10%`). Raises ValueError."""
    if value in ("on", "off", "shadow"):
        return str(value)
    found = _CANARY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            f'expected "on", "off", "shadow" or a share of keys such as "canary 10%", got {show(value)}'
        )
    share = Decimal(found[1])
    if not 0 < share < 100:
        raise ValueError(
            f'expected a canary above 0% and below 100%, got {show(value)}: write "on" or "off" instead'
        )
    return f"canary {share.normalize():f}%"


def share_of(flag: str) -> int:
    """Return how many of FULL keys may use the cache in a state; OFF for an unknown state."""
    if flag in _SHARES:
        return _SHARES[flag]
    found = _CANARY.fullmatch(flag)
    return int(Decimal(found[1]) * 100) if found else OFF


_SHARES = {"on": FULL, "shadow": SHADOW, "off": OFF}
_NAMES = {share: flag for flag, share in _SHARES.items()}


def state_of(share: int) -> str:
    """Return the state in which `share` of FULL keys may use the cache."""
    if share in _NAMES:
        return _NAMES[share]
    return f"canary {(Decimal(share) / 100).normalize():f}%"


def parse_holdout(value: object) -> float:
    """Parse a share of requests, "2%" or a number such as 0.02. Raises ValueError."""
    share: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        share = value
    elif isinstance(value, str) and (found := _PER_CENT.fullmatch(value)):
        share = float(Decimal(found[1]) / 100)
    if share is None or not 0 <= share <= _MAX_HOLDOUT:
        raise ValueError(f'expected a share of requests from "0%" to "50%", got {show(value)}')
    return float(share)  # after the check: a huge int has no float
