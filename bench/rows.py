"""The rows of the table: what was measured, what it must reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bench.effort import Effort
from bench.timing import Spread

__all__ = ["Group", "Row", "at_least", "at_most", "failed", "note", "skipped"]

Verdict = Literal["reached", "NOT REACHED", "skipped", "FAILED", "-"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; `figures` are for the JSON, in seconds, bytes and plain ratios."""

    what: str
    measured: str
    must: str = ""
    verdict: Verdict = "-"
    figures: dict[str, Any] = field(default_factory=dict)


Group = Callable[[Effort], Iterator[Row]]
"""What measures some rows that belong together."""


def at_most(
    what: str,
    found: Spread,
    limit: float,
    *,
    unit: str,
    scale: float = 1.0,
    digits: int = 2,
    beside: str = "",
    **figures: Any,
) -> Row:
    """Judge the median against an upper limit, which is given in the unit shown."""
    return _judged(what, found, limit, "≤", unit, scale, digits, beside, figures)


def at_least(
    what: str,
    found: Spread,
    limit: float,
    *,
    unit: str,
    scale: float = 1.0,
    digits: int = 2,
    beside: str = "",
    **figures: Any,
) -> Row:
    """Judge the median against a lower limit, which is given in the unit shown."""
    return _judged(what, found, limit, "≥", unit, scale, digits, beside, figures)


def _judged(
    what: str,
    found: Spread,
    limit: float,
    sign: str,
    unit: str,
    scale: float,
    digits: int,
    beside: str,
    figures: dict[str, Any],
) -> Row:
    value = found.median * scale
    reached = value <= limit if sign == "≤" else value >= limit
    return Row(
        what=what,
        measured=_with(found.show(unit, scale, digits), beside),
        must=f"{sign} {limit:g}{unit}",
        verdict="reached" if reached else "NOT REACHED",
        figures={**asdict(found), **figures},
    )


def note(
    what: str,
    found: Spread,
    *,
    unit: str,
    scale: float = 1.0,
    digits: int = 2,
    beside: str = "",
    **figures: Any,
) -> Row:
    """Report a figure that nothing is asked of."""
    return Row(
        what=what,
        measured=_with(found.show(unit, scale, digits), beside),
        figures={**asdict(found), **figures},
    )


def skipped(what: str, why: str) -> Row:
    """Say that something could not be measured here."""
    return Row(what=what, measured=f"skipped: {why}", verdict="skipped")


def failed(what: str, error: Exception) -> Row:
    """Say that a measurement broke off."""
    return Row(what=what, measured=f"{type(error).__name__}: {error}", verdict="FAILED")


def _with(measured: str, beside: str) -> str:
    return f"{measured}; {beside}" if beside else measured
