"""Turns what the two runs met into figures, and judges them against their targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from cachemw.cli.demo.rollback import RolledBack
from cachemw.ops.load.replay import ORIGIN, Replay, Sample

__all__ = ["Figures", "Latency", "Outage", "Run", "Target", "compare", "summarise"]

ORIGIN_SAVED: Final = 0.50  # R57
FASTER: Final = 0.30  # R58
UNCACHED_KINDS: Final = frozenset({"healthcheck"})
"""Read, but by configuration never from the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Response times in seconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Latency:
        """Summarise; every value is 0 when there is nothing to summarise."""
        ordered = sorted(sample.seconds for sample in samples)
        if not ordered:
            return cls(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0)

        def rank(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(
            count=len(ordered), mean=fmean(ordered), p50=rank(0.5), p95=rank(0.95), p99=rank(0.99)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """When Valkey was away, in seconds from the start of the run."""

    start: float
    end: float
    shared_again: float | None = None
    """Seconds from its return to the next answer out of the shared tier."""

    def covers(self, sample: Sample) -> bool:
        """Whether a request was due while Valkey was away."""
        return self.start <= sample.due < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over the traffic."""

    latency: Latency
    reads: int
    writes: int
    tiers: dict[str, int]
    """Reads by where their answer came from."""
    origin_reads: int
    """Reads that the shop really ran, as the shop counted them."""
    failures: tuple[str, ...]
    judged: int
    stale: int
    """Answers that did not show a write which they had to show."""
    stale_away: int
    """The same of writes while Valkey was away."""
    stale_away_age: float
    """The oldest of these, in seconds after the write."""
    stale_examples: tuple[str, ...]

    @property
    def hit_rate(self) -> float:
        """The share of reads that the cache answered."""
        return 1 - self.tiers.get(ORIGIN, 0) / self.reads if self.reads else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure with what it must be."""

    name: str
    value: str
    target: str
    met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The whole outcome."""

    front_end: str
    rate: float
    seconds: float
    before: Run
    after: Run
    outage: Outage
    while_away: Latency
    partition_limit: float
    targets: tuple[Target, ...]
    rolled_back: RolledBack | None = None
    """What came of the rollout; None where there was none."""

    @property
    def met(self) -> bool:
        """Whether every target is met."""
        took_back = self.rolled_back is None or self.rolled_back.met
        return took_back and all(target.met for target in self.targets)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        plain = asdict(self)
        plain["met"] = self.met
        for name, run in (("before", self.before), ("after", self.after)):
            plain[name]["hit_rate"] = run.hit_rate
        return plain


def summarise(replay: Replay, origin_reads: int) -> Run:
    """Sum a run up."""
    reads = [sample for sample in replay.samples if not sample.is_write]
    versions = replay.versions
    stale = [each for each in versions.stale if not each.away]
    away = [each for each in versions.stale if each.away]
    return Run(
        latency=Latency.of(replay.samples),
        reads=len(reads),
        writes=len(replay.samples) - len(reads),
        tiers=dict(Counter(s.tier for s in reads).most_common()),
        origin_reads=origin_reads,
        failures=tuple(replay.failures),
        judged=versions.judged,
        stale=len(stale),
        stale_away=len(away),
        stale_away_age=max((each.age for each in away), default=0.0),
        stale_examples=tuple(
            f"at {each.sent:.2f} s {each.path} showed an old {each.subject}"
            f" {each.age * 1e3:.0f} ms after the write was answered"
            for each in stale[:10]
        ),
    )


def compare(
    *,
    front_end: str,
    rate: float,
    seconds: float,
    before: Run,
    after: Run,
    outage: Outage,
    samples: Sequence[Sample],
    partition_limit: float,
) -> Figures:
    """Judge the run with the cache against the one without; `samples` are the former's."""
    shared_again = _shared_again(samples, outage.end)
    return Figures(
        front_end=front_end,
        rate=rate,
        seconds=seconds,
        before=before,
        after=after,
        outage=Outage(start=outage.start, end=outage.end, shared_again=shared_again),
        while_away=Latency.of([sample for sample in samples if outage.covers(sample)]),
        partition_limit=partition_limit,
        targets=_targets(before, after, partition_limit),
    )


def _targets(before: Run, after: Run, partition_limit: float) -> tuple[Target, ...]:
    saved = _less(after.origin_reads, before.origin_reads)
    faster = _less(after.latency.mean, before.latency.mean)
    failed = len(before.failures) + len(after.failures)
    away = after.stale_away_age
    return (
        Target(
            name="origin calls saved (R57)",
            value=f"{saved:.1%}",
            target=f"≥ {ORIGIN_SAVED:.0%}",
            met=saved >= ORIGIN_SAVED,
        ),
        Target(
            name="mean response time better by (R58)",
            value=f"{faster:.1%}",
            target=f"≥ {FASTER:.0%}",
            met=faster >= FASTER,
        ),
        Target(
            name="failed requests",
            value=str(failed),
            target="0",
            met=failed == 0 and before.latency.count > 0 and after.latency.count > 0,
        ),
        Target(
            name="answers that did not show a write",
            value=f"{before.stale + after.stale} of {after.judged} judged",
            target="0",
            met=before.stale == after.stale == 0 and after.judged > 0,
        ),
        Target(
            name="older answers while Valkey was away",
            value=f"up to {away:.1f} s ({after.stale_away})",
            target=f"≤ {partition_limit:g} s",
            met=away <= partition_limit,
        ),
    )


def _less(now: float, then: float) -> float:
    return 1 - now / then if then else 0.0


def _shared_again(samples: Sequence[Sample], back: float) -> float | None:
    found = [s.due + s.seconds - back for s in samples if s.tier == "shared" and s.due >= back]
    return min(found, default=None)
