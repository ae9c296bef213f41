"""The results of the two runs, and whether they reach their targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from cachemw.cli.demo.rollback import RollbackResult
from cachemw.ops.load.replay import ORIGIN, Replay, Sample

__all__ = [
    "LONG_ENOUGH",
    "Figures",
    "Outage",
    "ResponseTimes",
    "Run",
    "Target",
    "compare",
    "summarise",
]

ORIGIN_SAVED: Final = 0.50
"""At least half of the calls of the application are saved."""
FASTER: Final = 0.30
"""The mean response time is at least 30 % shorter."""
LONG_ENOUGH: Final = 25.0
"""Seconds. In a shorter run most reads are the first of their page, so its speed says nothing."""
UNCACHED_KINDS: Final = frozenset({"healthcheck"})
"""Kinds of reads that the configuration never caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTimes:
    """Response times in seconds."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> ResponseTimes:
        """Return the summary of some samples; every value is 0 if there are none."""
        ordered = sorted(sample.seconds for sample in samples)
        if not ordered:
            return cls(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0)

        def quantile(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(
            count=len(ordered),
            mean=fmean(ordered),
            p50=quantile(0.5),
            p95=quantile(0.95),
            p99=quantile(0.99),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """The time without Valkey, in seconds from the start of the run."""

    start: float
    end: float
    shared_again: float | None = None
    """Seconds from its return to the next answer from it; None if there was none."""

    def covers(self, sample: Sample) -> bool:
        """Tell whether a request was due while Valkey was away."""
        return self.start <= sample.due < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The result of one run over the traffic."""

    latency: ResponseTimes
    reads: int
    writes: int
    tiers: dict[str, int]
    """Number of reads by where their answer came from."""
    origin_reads: int
    """Reads that reached the shop, counted by the shop."""
    failures: tuple[str, ...]
    judged: int
    """Reads that were checked for staleness: a write to what they show came before them."""
    stale: int
    """Reads that did not show a write, although they had to."""
    stale_away: int
    """The same, for writes that were answered while Valkey was away."""
    stale_away_age: float
    """The longest time between such a write and a read without it, in seconds."""
    stale_examples: tuple[str, ...]

    @property
    def hit_rate(self) -> float:
        """The share of reads that the cache answered."""
        return 1 - self.tiers.get(ORIGIN, 0) / self.reads if self.reads else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One figure, its target, and whether it was reached; None: the run was too short to tell."""

    name: str
    value: str
    target: str
    met: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All results of a demo."""

    front_end: str
    rate: float
    seconds: float
    before: Run
    after: Run
    outage: Outage
    while_away: ResponseTimes
    partition_limit: float
    targets: tuple[Target, ...]
    rolled_back: RollbackResult | None = None
    """The result of the rollout; None if there was none."""

    @property
    def rollout_targets(self) -> tuple[Target, ...]:
        """The targets of the rollout; none if there was none."""
        return () if self.rolled_back is None else _rollout_targets(self.rolled_back)

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """The targets of the runs and of the rollout."""
        return self.targets + self.rollout_targets

    @property
    def met(self) -> bool:
        """Whether no target was missed."""
        return all(target.met is not False for target in self.all_targets)

    def as_dict(self) -> dict[str, Any]:
        """Return the results as plain data, for JSON."""
        plain = asdict(self)
        plain["met"] = self.met
        plain["rollout_targets"] = [asdict(target) for target in self.rollout_targets]
        for name, run in (("before", self.before), ("after", self.after)):
            plain[name]["hit_rate"] = run.hit_rate
        return plain


def summarise(replay: Replay, origin_reads: int) -> Run:
    """Return the result of a run; `origin_reads` is what the shop counted."""
    reads = [sample for sample in replay.samples if not sample.is_write]
    versions = replay.versions
    stale = [each for each in versions.stale if not each.away]
    away = [each for each in versions.stale if each.away]
    return Run(
        latency=ResponseTimes.of(replay.samples),
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
    """Compare the run with the cache to the one without; `samples` are those with the cache."""
    shared_again = _shared_again(samples, outage.end)
    return Figures(
        front_end=front_end,
        rate=rate,
        seconds=seconds,
        before=before,
        after=after,
        outage=Outage(start=outage.start, end=outage.end, shared_again=shared_again),
        while_away=ResponseTimes.of([sample for sample in samples if outage.covers(sample)]),
        partition_limit=partition_limit,
        targets=_targets(before, after, partition_limit, long=seconds >= LONG_ENOUGH),
    )


def _targets(before: Run, after: Run, partition_limit: float, *, long: bool) -> tuple[Target, ...]:
    saved = _reduction(after.origin_reads, before.origin_reads)
    faster = _reduction(after.latency.mean, before.latency.mean)
    failed = len(before.failures) + len(after.failures)
    away = after.stale_away_age
    return (
        Target(
            name="origin calls saved",
            value=f"{saved:.1%}",
            target=f"≥ {ORIGIN_SAVED:.0%}",
            met=saved >= ORIGIN_SAVED if long else None,
        ),
        Target(
            name="mean response time better by",
            value=f"{faster:.1%}",
            target=f"≥ {FASTER:.0%}",
            met=faster >= FASTER if long else None,
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


def _rollout_targets(result: RollbackResult) -> tuple[Target, ...]:
    restarts = result.restarts
    served = "not tried" if restarts is None else f"{restarts.served} of {restarts.asked}"
    return (
        Target(
            name="rolled back by a guardrail, and healthy then",
            value=f"after {result.seconds:.1f} s" if result.seconds else "no",
            target="yes",
            met=result.met,
        ),
        Target(
            name="rolled back, but served by restarted workers",
            value=served,
            target="0",
            met=restarts is not None and restarts.met,
        ),
    )


def _reduction(now: float, then: float) -> float:
    return 1 - now / then if then else 0.0


def _shared_again(samples: Sequence[Sample], restarted: float) -> float | None:
    waits = [
        sample.due + sample.seconds - restarted
        for sample in samples
        if sample.tier == "shared" and sample.due >= restarted
    ]
    return min(waits, default=None)
