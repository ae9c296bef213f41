"""What the log costs at fleets that no machine here can hold: `python -m bench.simulation`.

The model, event by event: one server that does one thing at a time, with the costs that
`bench.fleet` measured; followers on machines of their own, half a round trip away. An idle follower
asks something of the server once in every `poll`. A purge appends a record; the server wakes every
follower, one after the other; each reads on, says where it is (its *beat*), and waits again. A
record that comes while a follower is busy is read with the next beat, so a flood of purges makes
followers read several at a time. The purger looks at all heartbeats again and again, after pauses
that double, until all of them are new or its patience is over.

What is left out: the traffic for entries (put it on other nodes, or add its share of the core), and
the time that a follower takes to apply a record (some microseconds).
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

__all__ = ["Costs", "Outcome", "simulate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Seconds of the server's time, as measured on one 2-core machine; see docs/scaling.md."""

    idle_beat: float = 60e-6
    """A reading that ends without a record, and the beat after it."""
    wake: float = 12e-6
    """Writing one record to one follower that waits for it."""
    beat: float = 44e-6
    """The beat after a record, and the next reading."""
    append: float = 15e-6
    look: float = 4e-6
    look_per_follower: float = 0.35e-6
    """Reading one heartbeat of all."""
    half_trip: float = 0.25e-3
    """Of the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a fleet."""

    idle_share: float
    """Of the server's core, when nothing is purged."""
    busy_share: float
    """Of the server's core, in all."""
    confirmed: float
    """Share of purges that were confirmed within the purger's patience."""
    median_ms: float
    worst_ms: float
    """Until all followers had said that they applied a purge, whether or not anybody still waited."""


class _Server:
    """Does one thing at a time, in the order in which they come."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.busy = 0.0

    def work(self, now: float, cost: float) -> float:
        """Give the time at which a piece of work that comes now is done."""
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
) -> Outcome:
    """Let a fleet run for some seconds of its own time."""
    fleet = _Fleet(followers, poll, costs or Costs(), random.Random(seed))
    for at in _poisson(purges_per_second, seconds, fleet.chance):
        fleet.schedule(at, fleet.append)
    fleet.run(seconds)
    done = [ended - began for began, ended in zip(fleet.began, fleet.ended, strict=True) if ended]
    return Outcome(
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
        """For each purge, how many followers have not said yet that they applied it."""
        self._poll = poll
        self._applied = [0] * followers
        self._waits = [True] * followers
        self._turn = [0] * followers
        """Counts a follower's readings, so that the end of one that is over is no event."""
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
        """Take a purge, and wake everybody who waits."""
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
        """Let the purger look at the heartbeats, until all are new or a quarter of a second is over."""
        followers = len(self._applied)
        done = self.server.work(now, self.costs.look + self.costs.look_per_follower * followers)
        if self._missing[purge] and now - self.began[purge] < 0.25:
            self.schedule(done + min(0.001 * 2**looks, 0.016), self._look, purge, looks + 1)

    def _read_ends(self, now: float, each: int, turn: int) -> None:
        """Let a reading end that found nothing."""
        if self._waits[each] and self._turn[each] == turn:
            self._begin_beat(now, each, self.costs.idle_beat)

    def _begin_beat(self, now: float, each: int, cost: float) -> None:
        self._waits[each] = False
        self._turn[each] += 1
        arrives = now + 2 * self.costs.half_trip
        self.schedule(arrives, self._beat, each, round(cost * 1e9))

    def _beat(self, now: float, each: int, nanoseconds: int) -> None:
        """Take a beat: it reads on, and says how far the follower is."""
        done = self.server.work(now, nanoseconds / 1e9)
        for purge in range(self._applied[each], len(self.began)):
            self._missing[purge] -= 1
            if not self._missing[purge]:
                self.ended[purge] = done
        self._applied[each] = len(self.began)
        self._waits[each] = True
        self.schedule(done + self._poll, self._read_ends, each, self._turn[each])


def main() -> None:
    """Print a table of fleets."""
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
