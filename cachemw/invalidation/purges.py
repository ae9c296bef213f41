"""Purges and their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Purge", "PurgeResult"]

PurgeStatus = Literal["confirmed", "appended", "queued"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One purge of some tags, or of everything. Hard: entries are removed. Soft: they become stale."""

    tags: tuple[str, ...] | None
    """None: everything."""
    soft: bool = False
    confirm_wait: float | None = None
    """Seconds to wait for the confirmation; None: as configured. Set for a purge that belongs to a request,
    which must not wait long, and not at all if Redis is known to be unreachable (I3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeResult:
    """The state of a purge when the call returns.

    - `confirmed`: every process that follows the log has applied it.
    - `appended`: it is in the log. Either `waiting` processes have not reported yet that they applied
      it, or Redis has just lost its data and some processes may not be back yet.
    - `queued`: Redis cannot be reached. The purge holds in this process, and is appended to the log
      when Redis is back.
    """

    status: PurgeStatus
    reached: int
    """Processes that have applied it, including this one if it caches."""
    waiting: int = 0
    everything: bool = False
    """Whether Redis refused the record (it is full), so that everything was purged instead."""

    @property
    def confirmed(self) -> bool:
        """Whether no connected process can serve the purged entries any more."""
        return self.status == "confirmed"

    def sentence(self, *, soft: bool = False) -> str:
        """Return the result as a sentence for a person. `soft` tells the kind of the purge."""
        what = "Purged softly" if soft else "Purged"
        if self.everything:
            what = "Redis refused the record, so everything was purged in its place"
        if self.status == "queued":
            return (
                f"{what} in this process. Redis cannot be reached: the purge goes to the other"
                " processes when it is back."
            )
        if self.confirmed and not self.reached:
            return f"{what}. Confirmed: no process is running, and each that starts will apply it."
        if self.confirmed:
            return f"{what}. Confirmed by {_processes(self.reached)}."
        if self.everything:
            return f"{what}. Processes apply it when they next read the log."
        applied = f"{what}: it is in the log. {_processes(self.reached).capitalize()} applied it"
        if not self.waiting:
            return f"{applied}; the log has only just started, and others may not be back yet."
        return f"{applied}, {_processes(self.waiting)} had not answered yet."


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"
