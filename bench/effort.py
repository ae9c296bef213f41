"""How long the measurements take: as the record wants it, or a quick look while working."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of everything."""

    rounds: int
    server_rounds: int
    server_seconds: int
    """One run of wrk against one server."""
    entries: int
    """In the large cache that is compared with one of a thousand."""
    kept: int
    """Entries whose memory is measured."""
    processes: int
    """In which it is measured, one after the other."""
    followers: tuple[int, ...]
    """Fleets that follow the log."""
    idle_seconds: int
    """In which it is seen what they cost when nothing happens."""
    turns: int
    """How often a full tier is replaced, to see what holes that leaves."""
    trace: int
    """Requests in a trace."""
    flood: int
    """Random keys."""
    runs: int
    """Rollouts that are simulated."""


FULL = Effort(
    rounds=40,
    server_rounds=16,
    server_seconds=1,
    entries=1_000_000,
    kept=100_000,
    processes=3,
    followers=(1, 10, 100),
    idle_seconds=10,
    turns=10,
    trace=200_000,
    flood=1_000_000,
    runs=300,
)
QUICK = Effort(
    rounds=7,
    server_rounds=3,
    server_seconds=1,
    entries=50_000,
    kept=20_000,
    processes=1,
    followers=(10,),
    idle_seconds=2,
    turns=3,
    trace=50_000,
    flood=50_000,
    runs=20,
)
