"""Durations and sizes as people write them: "250ms", "30s", "5m"; "512KiB", "2MiB"."""

from __future__ import annotations

import re
from decimal import Decimal

from cachemw.config.syntax.messages import show

__all__ = ["LONGEST", "duration", "size"]

LONGEST = 2.0**31
"""The longest duration, in seconds: a cache need not be able to hold more (RFC 9111 §1.2.2)."""

_LARGEST = 2**63 - 1
"""The largest size, in bytes: what a signed integer of 64 bits can hold."""

_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES = {
    unit: Decimal(1024**power) for power, unit in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))
}
_TIME_WORDS = {
    word: unit
    for unit, words in {
        "ms": "ms msec millisecond milliseconds",
        "s": "s sec secs second seconds",
        "m": "m min mins minute minutes",
        "h": "h hr hrs hour hours",
        "d": "d day days",
    }.items()
    for word in words.split()
}
"""Other names of units of time, in small letters, and the names that are read."""
_SIZE_WORDS = {
    "b": "B",
    "byte": "B",
    "bytes": "B",
    **{
        word: unit
        for unit in ("KiB", "MiB", "GiB", "TiB")
        for word in (unit[0].lower(), f"{unit[0]}b".lower(), unit.lower())
    },
}
"""The same for sizes. What others call MB is often meant as MiB, and the message asks."""
_NUMBER_WITH_WORD = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]{1,12})", re.ASCII)
_NUMBER_WITH_UNIT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([A-Za-z]{1,3})", re.ASCII)


def duration(value: object) -> float:
    """Parse a duration, and return it in seconds. Raises ValueError for anything else."""
    seconds = _number(value) if isinstance(value, (int, float)) else _scaled(value, _SECONDS)
    if seconds is None or not 0 <= seconds <= LONGEST:
        raise ValueError(
            f'expected a duration such as "250ms", "30s", "5m", "1h", "2d" or a number of seconds,'
            f" got {show(value)}{meant(value, _TIME_WORDS)}"
        )
    return float(seconds)


def size(value: object) -> int:
    """Parse a size, and return it in whole bytes. Raises ValueError for anything else."""
    count = _number(value) if isinstance(value, int) else _scaled(value, _BYTES)
    if count is None or not 0 <= count <= _LARGEST:
        raise ValueError(
            f'expected a size such as "512KiB", "2MiB", "1GiB" or a number of bytes,'
            f" got {show(value)}{meant(value, _SIZE_WORDS)}"
        )
    return int(count)


def meant(value: object, words: dict[str, str] = _TIME_WORDS) -> str:
    """Return `: write "256MiB"` for a number with another name of a unit, else an empty text."""
    match = _NUMBER_WITH_WORD.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2].lower() not in words:
        return ""
    return f': write "{match[1]}{words[match[2].lower()]}"'


def _number(value: float) -> float | None:
    return None if isinstance(value, bool) else value


def _scaled(value: object, units: dict[str, Decimal]) -> Decimal | None:
    match = _NUMBER_WITH_UNIT.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        return None
    return Decimal(match[1]) * units[match[2]]
