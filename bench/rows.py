"""The rows of the table: what was measured, the limit, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from bench.effort import Effort
from bench.timing import Spread

__all__ = ["Group", "Row", "at_least", "at_most", "failed", "note", "skipped"]

Verdict = Literal["reached", "NOT REACHED", "skipped", "FAILED", "-"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `figures` go to the JSON file, in seconds, bytes and plain ratios."""

    what: str
    measured: str
    must: str = ""
    verdict: Verdict = "-"
    figures: dict[str, Any] = field(default_factory=dict)


Group = Callable[[Effort], Iterator[Row]]
"""A function that measures the rows of one group."""


def at_most(
    what: str, measured: Spread, limit: float, *, unit: str, scale: float = 1.0, **more: Any
) -> Row:
    """Return a row with an upper limit for the median, in the unit shown; `more` as for `note`."""
    row = note(what, measured, unit=unit, scale=scale, **more)
    reached = measured.median * scale <= limit
    return _judge(row, f"≤ {limit:g}{unit}", reached)


def at_least(
    what: str, measured: Spread, limit: float, *, unit: str, scale: float = 1.0, **more: Any
) -> Row:
    """Return a row with a lower limit for the median, in the unit shown; `more` as for `note`."""
    row = note(what, measured, unit=unit, scale=scale, **more)
    reached = measured.median * scale >= limit
    return _judge(row, f"≥ {limit:g}{unit}", reached)


def _judge(row: Row, must: str, reached: bool) -> Row:
    return replace(row, must=must, verdict="reached" if reached else "NOT REACHED")


def note(
    what: str,
    measured: Spread,
    *,
    unit: str,
    scale: float = 1.0,
    digits: int = 2,
    beside: str = "",
    **figures: Any,
) -> Row:
    """Return a row without a limit.

    `scale` turns the measured numbers into the unit. `beside` is shown after the figure, and further
    `figures` go to the JSON file.
    """
    return Row(
        what=what,
        measured=_join(measured.show(unit, scale, digits), beside),
        figures={**asdict(measured), **figures},
    )


def skipped(what: str, why: str) -> Row:
    """Return a row for a measurement that is not possible here."""
    return Row(what=what, measured=f"skipped: {why}", verdict="skipped")


def failed(what: str, error: Exception) -> Row:
    """Return a row for a measurement that ended with an error."""
    return Row(what=what, measured=f"{type(error).__name__}: {error}", verdict="FAILED")


def _join(measured: str, beside: str) -> str:
    return f"{measured}; {beside}" if beside else measured
