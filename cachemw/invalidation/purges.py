"""What a purge is, and what is known of one when the call returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Purge", "PurgeResult"]

PurgeStatus = Literal["confirmed", "appended", "queued"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One purge: the tags it names, or everything; hard (gone) or soft (stale)."""

    tags: tuple[str, ...] | None
    soft: bool = False
    patience: float | None = None
    """Seconds to wait for confirmation; None: as configured. A request must not wait long for it,
    and not at all for a Redis that is known to be away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeResult:
    """What is known of a purge when the call returns.

    `confirmed`: every process that follows the log has applied it. `appended`: it is in the log, but
    `waiting` processes had not yet said that they applied it, or Redis had just lost its data and
    some that followed may not be back yet. `queued`: Redis could not be reached; it holds in this
    process now and will be appended when Redis is back.
    """

    status: PurgeStatus
    reached: int
    """Processes known to have applied it, this one included if it caches."""
    waiting: int = 0
    everything: bool = False
    """Whether Redis refused the record (it is full), so that all was purged in its place."""

    @property
    def confirmed(self) -> bool:
        """Whether nothing purged can be served by any connected process any more."""
        return self.status == "confirmed"

    def sentence(self, *, soft: bool = False) -> str:
        """Say it for a person; `soft` is what kind of purge it was."""
        what = "Purged softly" if soft else "Purged"
        if self.everything:
            what = "Redis refused the record, so everything was purged in its place"
        if self.status == "queued":
            return (
                f"{what} in this process. Redis cannot be reached: the others hear of it when it is"
                " back."
            )
        if self.confirmed and not self.reached:
            return f"{what}. Confirmed: no process is running; those that start will know of it."
        if self.confirmed:
            return f"{what}. Confirmed by {_processes(self.reached)}."
        if self.everything:
            return f"{what}. Processes notice when they next look at the log."
        told = f"{what}: it is in the log. {_processes(self.reached).capitalize()} applied it"
        if not self.waiting:
            return (
                f"{told}; the log has only just begun, others may still be on their way back to it."
            )
        return f"{told}, {_processes(self.waiting)} had not answered yet."


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
