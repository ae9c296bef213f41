"""The cost of the invalidation log for up to 10,000 processes: `python -m bench.simulation`.

No machine here can run so many processes, so they are simulated, event by event. Measured are the
share of the server's core in per cent, the time until a purge is confirmed in milliseconds, and the
share of purges that are confirmed in time.

The model: one Redis server does one thing at a time, with the costs that `bench.fleet` measured.
Followers run on machines of their own, half a round trip away. An idle follower reads from the
server once in every `poll`. A purge appends a record. The server wakes every follower, one after
the other. Each reads the record, writes its position (its *heartbeat*), and waits again. A record
that arrives while a follower is busy is read with the next heartbeat, so during many purges a
follower reads several records at once. The process that purges reads all heartbeats again and
again, after pauses that double, until all are new or its time is over.

Left out: the traffic for entries (put it on other nodes, or add its share of the core), and the
time that a follower takes to apply a record (some microseconds).
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

__all__ = ["Costs", "Simulated", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Processor seconds of the server, measured on a 2-core machine; see docs/scaling.md."""

    idle_beat: float = 60e-6
    """A read that ends without a record, and the heartbeat after it."""
    wake: float = 12e-6
    """Writing one record to one waiting follower."""
    beat: float = 44e-6
    """The heartbeat after a record, and the next read."""
    append: float = 15e-6
    """Appending one record."""
    look: float = 4e-6
    """Reading all heartbeats, without the cost for each follower."""
    look_per_follower: float = 0.35e-6
    """Reading the heartbeat of one follower."""
    half_trip: float = 0.25e-3
    """Half a round trip on the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """The result of one simulation."""

    idle_share: float
    """Share of the server's core while nothing is purged."""
    busy_share: float
    """Share of the server's core, all together."""
    confirmed: float
    """Share of purges that were confirmed in time."""
    median_ms: float
    worst_ms: float
    """The longest time until all followers had applied a purge, even if the purge waited no longer."""


class _Server:
    """A server that does one thing at a time, in the order of arrival."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.busy = 0.0

    def work(self, now: float, cost: float) -> float:
        """Return the time at which work that arrives now is done."""
        self.free_at = max(now, self.free_at) + cost
        self.busy += cost
        return self.free_at


def simulate(
    followers: int,
    purges_per_second: float,
    *,
    poll: float = 0.5,
    patience: float = 0.25,
    seconds: float = 20.0,
    costs: Costs | None = None,
    seed: int = 1,
) -> Simulated:
    """Let a fleet run for some seconds of its own time."""
    fleet = _Fleet(followers, poll, costs or Costs(), random.Random(seed))
    for at in _poisson(purges_per_second, seconds, fleet.chance):
        fleet.schedule(at, fleet.append)
    fleet.run(seconds)
    done = [ended - began for began, ended in zip(fleet.began, fleet.ended, strict=True) if ended]
    return Simulated(
        idle_share=followers / poll * fleet.costs.idle_beat,
        busy_share=fleet.server.busy / seconds,
        confirmed=sum(each <= patience for each in done) / max(1, len(fleet.began)),
        median_ms=median(done) * 1e3 if done else float("nan"),
        worst_ms=max(done, default=float("nan")) * 1e3,
    )


def _poisson(rate: float, seconds: float, chance: random.Random) -> Iterator[float]:
    at = chance.expovariate(rate) if rate else seconds
    while at < seconds:
        yield at
        at += chance.expovariate(rate)


class _Fleet:
    """The followers of one log, and the purges that they apply."""

    def __init__(self, followers: int, poll: float, costs: Costs, chance: random.Random) -> None:
        self.costs = costs
        self.chance = chance
        self.server = _Server()
        self.began: list[float] = []
        self.ended: list[float] = []
        self._missing: list[int] = []
        """For each purge, how many followers have not yet confirmed it."""
        self._poll = poll
        self._applied = [0] * followers
        self._waits = [True] * followers
        self._turn = [0] * followers
        """The number of each follower's current read, so that the end of an earlier one is ignored."""
        self._events: list[tuple[float, int, object, tuple[int, ...]]] = []
        self._order = itertools.count()
        for each in range(followers):
            self.schedule(chance.random() * poll, self._read_ends, each, 0)

    def schedule(self, at: float, what: object, *arguments: int) -> None:
        heapq.heappush(self._events, (at, next(self._order), what, arguments))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            at, _, what, arguments = heapq.heappop(self._events)
            what(at, *arguments)  # type: ignore[operator]

    def append(self, now: float) -> None:
        """Append a purge, and wake all waiting followers."""
        done = self.server.work(now, self.costs.append)
        self.began.append(now)
        self.ended.append(0.0)
        self._missing.append(len(self._applied))
        for each, waits in enumerate(self._waits):
            if waits:
                done = self.server.work(done, self.costs.wake)
                self._begin_beat(done, each, self.costs.beat)
        self.schedule(done, self._look, len(self.began) - 1, 0)

    def _look(self, now: float, purge: int, looks: int) -> None:
        """Read the heartbeats, until all are new or a quarter of a second is over."""
        followers = len(self._applied)
        done = self.server.work(now, self.costs.look + self.costs.look_per_follower * followers)
        if self._missing[purge] and now - self.began[purge] < 0.25:
            self.schedule(done + min(0.001 * 2**looks, 0.016), self._look, purge, looks + 1)

    def _read_ends(self, now: float, each: int, turn: int) -> None:
        """End a read that found no record."""
        if self._waits[each] and self._turn[each] == turn:
            self._begin_beat(now, each, self.costs.idle_beat)

    def _begin_beat(self, now: float, each: int, cost: float) -> None:
        self._waits[each] = False
        self._turn[each] += 1
        arrives = now + 2 * self.costs.half_trip
        self.schedule(arrives, self._beat, each, round(cost * 1e9))

    def _beat(self, now: float, each: int, nanoseconds: int) -> None:
        """Receive a heartbeat: it confirms what the follower has applied, and starts its next read."""
        done = self.server.work(now, nanoseconds / 1e9)
        for purge in range(self._applied[each], len(self.began)):
            self._missing[purge] -= 1
            if not self._missing[purge]:
                self.ended[purge] = done
        self._applied[each] = len(self.began)
        self._waits[each] = True
        self.schedule(done + self._poll, self._read_ends, each, self._turn[each])


def main() -> None:
    """Print a table for several numbers of processes and purges."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--poll", type=float, default=0.5, help="seconds; log.poll")
    arguments = parser.parse_args()
    print(
        "| processes | purges a second | idle core | core in all | median | worst | within 250 ms |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for followers in (10, 100, 1_000, 3_000, 10_000):
        for rate in (0.2, 2.0, 20.0):
            found = simulate(followers, rate, poll=arguments.poll)
            print(
                f"| {followers:,} | {rate:g} | {found.idle_share:.1%} | {found.busy_share:.1%} "
                f"| {found.median_ms:,.0f} ms | {found.worst_ms:,.0f} ms | {found.confirmed:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
