"""How far a flag lets the cache in: "off", "shadow", "canary 10%", "on"; and shares of requests, as "2%"."""

from __future__ import annotations

import re
from decimal import Decimal

from cachemw.config.syntax.messages import show

__all__ = ["FULL", "OFF", "SHADOW", "parse_flag", "parse_holdout", "share_of", "state_of"]

FULL = 10_000
"""Shares are counted in hundredths of a per cent: all of them is "on"."""
SHADOW = 0
"""None of the keys is answered, and what the cache would do is watched."""
OFF = -1
_MOST_HELD = 0.5
"""Of more than half of the requests nobody would call the rest the rule."""

_PER_CENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)\s*%", re.ASCII)
_CANARY = re.compile(rf"canary\s+{_PER_CENT.pattern}", re.ASCII)


def parse_flag(value: object) -> str:
    """Read a flag's state, in its one spelling; raises ValueError."""
    if value in ("on", "off", "shadow"):
        return str(value)
    found = _CANARY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(
            f'expected "on", "off", "shadow" or a share of keys as "canary 10%", got {show(value)}'
        )
    share = Decimal(found[1])
    if not 0 < share < 100:
        raise ValueError(f'{show(value)}: a canary is some of the keys; say "on" or "off" instead')
    return f"canary {share.normalize():f}%"


def share_of(flag: str) -> int:
    """Give how many of FULL keys a state lets into the cache; OFF for a state that is not known."""
    if flag in _PLAIN:
        return _PLAIN[flag]
    found = _CANARY.fullmatch(flag)
    return int(Decimal(found[1]) * 100) if found else OFF


_PLAIN = {"on": FULL, "shadow": SHADOW, "off": OFF}
_NAMES = {share: flag for flag, share in _PLAIN.items()}


def state_of(share: int) -> str:
    """Give the state that lets so many of FULL keys in."""
    if share in _NAMES:
        return _NAMES[share]
    return f"canary {(Decimal(share) / 100).normalize():f}%"


def parse_holdout(value: object) -> float:
    """Read a share of requests, "2%" or a number such as 0.02; raises ValueError."""
    share: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        share = value
    elif isinstance(value, str) and (found := _PER_CENT.fullmatch(value)):
        share = float(Decimal(found[1]) / 100)
    if share is None or not 0 <= share <= _MOST_HELD:
        raise ValueError(f'expected a share of requests of at most "50%", got {show(value)}')
    return float(share)  # only now: not every int has a float
