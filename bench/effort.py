"""The sizes of the measurements (rounds, requests, entries): full ones, and small ones for a quick look."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The sizes of all measurements."""

    rounds: int
    """Rounds in which every subject runs."""
    server_rounds: int
    """The same for servers."""
    server_seconds: int
    """Length of one run of wrk against one server."""
    entries: int
    """Entries of the large cache, which is compared with one of a thousand."""
    kept: int
    """Entries whose memory is measured."""
    processes: int
    """Processes in which it is measured, one after the other."""
    followers: tuple[int, ...]
    """Numbers of processes that follow the invalidation log."""
    idle_seconds: int
    """Seconds in which the cost of idle followers is measured."""
    turns: int
    """How often all entries of a full memory tier are replaced: that fragments memory."""
    trace: int
    """Requests in a trace for the eviction policies."""
    flood: int
    """Random keys in the flood."""
    runs: int
    """Simulated rollouts."""


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
