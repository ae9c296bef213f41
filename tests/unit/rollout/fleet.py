"""A fleet that answers requests as it is told, counted by the counters that processes have."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from cachemw.engine.model.differences import Difference
from cachemw.engine.model.outcomes import Outcome
from cachemw.telemetry.counters import Counters
from cachemw.telemetry.fleet import ProcessStats
from cachemw.telemetry.mismatches import Mismatches

__all__ = ["HELD_OUT", "Fleet", "Traffic"]

HELD_OUT = 0.2
DIFFERENCE = Difference(kinds=("body",), places=("$.total",))


@dataclass
class Traffic:
    """How requests are answered, and what is wrong with that where the cache takes part."""

    hits: float = 0.8
    errors: float = 0.0
    slower: float = 1.0
    memory: float = 0.9
    mismatches: float = 0.0
    """Of the answers in shadow."""
    cookies: float = 0.0
    """The share of answers that set some."""


@dataclass
class Fleet:
    """Some processes, by name."""

    routes: tuple[str, ...]
    traffic: Traffic = field(default_factory=Traffic)
    state: str = "on"
    """off, shadow or on: what the flags say."""
    revision: float = 1e9
    """Of the flags that every process has."""
    missing: bool = False

    def __post_init__(self) -> None:
        self._rng = random.Random(5)
        self.counters = {name: Counters(self.routes) for name in ("a", "b")}
        self.mismatches = {name: Mismatches() for name in ("a", "b")}

    def answer(self, requests: int, route: int = 0) -> None:
        """Answer so many requests, by the processes in turn."""
        for number in range(requests):
            self._one("ab"[number % 2], route)

    def _one(self, process: str, route: int) -> None:
        traffic, rng, counters = self.traffic, self._rng, self.counters[process]
        took = rng.lognormvariate(-3.0, 0.3)
        hit = rng.random() < traffic.hits
        if self.state != "off" and traffic.cookies and rng.random() < traffic.cookies:
            counters.refuse(route, "set-cookie")
            hit = False
        if self.state == "off":
            counters.record(route, Outcome.OFF, took)
        elif self.state == "shadow":
            outcome = Outcome.SHADOW_HIT if hit else Outcome.SHADOW_MISS
            if hit and rng.random() < traffic.mismatches:
                outcome = Outcome.SHADOW_MISMATCH
                self.mismatches[process].add(self.routes[route], DIFFERENCE)
            counters.record(route, outcome, took)
        elif rng.random() < HELD_OUT:
            counters.record(route, Outcome.CONTROL_HIT if hit else Outcome.CONTROL_MISS, took)
        else:
            outcome = Outcome.HIT_MEMORY if hit else Outcome.MISS
            counters.record(route, outcome, 1e-5 if hit else took * traffic.slower)
            if rng.random() < traffic.errors:
                counters.fail(route, outcome)

    def processes(self) -> list[ProcessStats]:
        """Give what each has counted, as the fleet's statistics do."""
        gauges = {
            "memory_bytes": self.traffic.memory * 1e6,
            "memory_planned": 1e6,
            "flags_revision": self.revision,
        }
        return [
            ProcessStats(
                id=name,
                age=0.0,
                live=True,
                component="other" if self.missing else "api",
                stats=replace(
                    counters.snapshot(),
                    gauges=gauges,
                    differences=self.mismatches[name].report(),
                ),
            )
            for name, counters in self.counters.items()
        ]
