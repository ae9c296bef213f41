"""The guardrails of a rollout on simulated runs, beside a plain threshold.

Measured: the share of healthy four-hour runs that are rolled back (false alarms, in per cent), and
the time until harm is found (in minutes). The plain rule, as it is often written, rolls back as soon
as one check shows a crossed threshold.

Each run is simulated check by check, 30 seconds apart. Requests arrive at random, some are held out
at random, and response times are log-normal. Harm begins after half an hour.

A phase that waits for approval, is paused or holds stands much longer than planned. So the same phase
of four hours is also simulated for a week, with a check a minute, and harm that begins after 0, 12, 24
and 72 hours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from bench.effort import Effort
from bench.rows import Row
from cachemw.rollout.guardrails.guardrails import Guardrails, Margins
from cachemw.rollout.guardrails.measures import Tally
from cachemw.telemetry.events import BOUNDS

__all__ = ["rollouts"]

_INTERVAL = 30.0
"""Seconds between two checks."""
_HOURS = 4.0
"""Length of a healthy run."""
_ONSET = 1800.0
"""Seconds after which harm begins."""
_LONGEST = 3600.0
"""Seconds after the beginning of harm at which a run ends."""
_WAITED = (0, 12, 24, 72)
"""Hours after which harm begins in a phase that stands for long."""
_WEEK = 7 * 24.0
"""Hours that it stands without harm."""
_MARGINS = Margins(
    holdout=0.05,
    errors=0.005,
    latency=0.2,
    hits=0.4,
    memory=1.2,
    alpha=0.01,
    seconds=_HOURS * 3600.0,
    bet_every=300.0,
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of a run, and how the application answers them."""

    per_second: float = 50.0
    errors: float = 0.001
    spread: float = 0.6
    """Standard deviation of the logarithm of a response time; the median is 50 ms."""
    hits: float = 0.7
    memory: float = 0.9
    bursts: float = 0.0
    """The share of checks in which three of ten responses fail, with or without the cache."""
    wave: float = 0.0
    """How much response times rise and fall over an hour, as a logarithm."""


@dataclass(frozen=True, slots=True)
class Harm:
    """How much worse responses become with the cache."""

    errors: float = 0.0
    slower: float = 1.0
    hits: float | None = None
    memory: float | None = None
    holdout: float = _MARGINS.holdout
    """The share that is really held out."""


def rollouts(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    rng = np.random.default_rng(7)
    healthy = {
        "healthy": Traffic(),
        "healthy, 5 requests/s": Traffic(per_second=5.0),
        "healthy, 1 % errors in bursts": Traffic(bursts=0.03),
        "healthy, twice as slow and as fast over an hour": Traffic(wave=math.log(2.0)),
    }
    for name, traffic in healthy.items():
        yield _false_alarms(name, traffic, effort.runs, rng)
    busy = Traffic()
    harms = {
        "errors +2 points": (Harm(errors=0.02), "errors", 6.0),
        "errors +2 points, where 0.5 % fail anyway": (Harm(errors=0.02), "errors", None),
        "answers 30 % slower": (Harm(slower=1.3), "misses", None),
        "answers 60 % slower": (Harm(slower=1.6), "misses", None),
        "hit rate 35 %": (Harm(hits=0.35), "hits", None),
        "memory 125 %": (Harm(memory=1.25), "memory", None),
    }
    for name, (harm, guardrail, limit) in harms.items():
        traffic = replace(busy, errors=0.005) if "0.5 %" in name else busy
        yield _detection(name, traffic, harm, guardrail, limit, max(5, effort.runs // 5), rng)
    yield from _standing(max(2, effort.runs // 10), rng)


def _false_alarms(name: str, traffic: Traffic, runs: int, rng: np.random.Generator) -> Row:
    alarms = sum(
        _run(traffic, Harm(), rng, until=_HOURS * 3600)[0] is not None for _ in range(runs)
    )
    plain = sum(_plain_rule(traffic, rng) for _ in range(runs))
    return Row(
        what=f"guardrails, {name}: 4-hour runs rolled back",
        measured=f"{100 * alarms / runs:.1f} % of {runs}; a plain threshold {100 * plain / runs:.0f} %",
        must="≤ 1 %",
        verdict="reached" if alarms <= 0.01 * runs else "NOT REACHED",
        figures={"alarms": alarms, "plain": plain, "runs": runs},
    )


def _detection(
    name: str,
    traffic: Traffic,
    harm: Harm,
    guardrail: str,
    limit: float | None,
    runs: int,
    rng: np.random.Generator,
) -> Row:
    found = [_run(traffic, harm, rng, until=_ONSET + _LONGEST) for _ in range(runs)]
    minutes = [math.inf if at is None else (at - _ONSET) / 60 for at, _ in found]
    middle = median(minutes)
    others = sum(bool(names - {guardrail}) for _, names in found)
    verdict = "-" if limit is None else "reached" if middle < limit else "NOT REACHED"
    return Row(
        what=f"guardrails, {name}: found by {guardrail!r}",
        measured=f"after {middle:.1f} min (median of {runs}), others alarmed in {others}",
        must="" if limit is None else f"< {limit:g} min",
        verdict=verdict,  # type: ignore[arg-type]
        figures={"minutes": minutes, "others": others},
    )


_LATE = {
    "errors": Harm(errors=0.02),
    "latency": Harm(slower=2.0),
    "misses": Harm(slower=1.6),
    "hits": Harm(hits=0.35),
    "memory": Harm(memory=1.25),
    "holdout": Harm(holdout=0.04),
}
"""A harm for each guardrail."""


def _standing(runs: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield the time until harm is found after each wait, and the false alarms of a week."""
    found: dict[tuple[str, int], list[float]] = {}
    alarms = 0
    for _ in range(runs):
        alarms += _stand(found, rng)
    for guardrail in _LATE:
        minutes = {hours: found.get((guardrail, hours), []) for hours in _WAITED}
        middles = [median(each) if each else math.inf for each in minutes.values()]
        yield Row(
            what=f"guardrails, harm after {', '.join(map(str, _WAITED))} h: found by {guardrail!r}",
            measured=f"after {', '.join(f'{each:g}' for each in middles)} min (medians of {runs})",
            must="≤ 1.5 times the first, + 2 min",
            verdict="reached" if max(middles) <= 1.5 * middles[0] + 2 else "NOT REACHED",
            figures={"minutes": {str(hours): each for hours, each in minutes.items()}},
        )
    bound = _WEEK / _HOURS * _MARGINS.alpha
    yield Row(
        what="guardrails, healthy, a phase of 4 hours that stands a week: rolled back",
        measured=f"{100 * alarms / runs:.1f} % of {runs}",
        must=f"≤ {bound:.0%}",
        verdict="reached" if alarms <= bound * runs else "NOT REACHED",
        figures={"alarms": alarms, "runs": runs},
    )


def _stand(found: dict[tuple[str, int], list[float]], rng: np.random.Generator) -> bool:
    """Simulate a healthy week; tell whether it was rolled back. Add when each harm would be found."""
    guardrails, traffic, alarmed = Guardrails(_MARGINS, BOUNDS), Traffic(per_second=25.0), False
    for minute in range(int(_WEEK * 60)):
        if minute % 60 == 0 and minute // 60 in _WAITED:
            for name, harm in _LATE.items():
                late = _found_by(name, deepcopy(guardrails), traffic, harm, minute, rng)
                found.setdefault((name, minute // 60), []).append(late)
        tally = _check(traffic, Harm(), rng, minute * 60.0, 60.0)
        alarmed |= any(each.verdict == "fail" for each in guardrails.look(tally, minute * 60.0))
    return alarmed


def _found_by(
    name: str,
    guardrails: Guardrails,
    traffic: Traffic,
    harm: Harm,
    begins: int,
    rng: np.random.Generator,
) -> float:
    """Return the minutes until one guardrail finds harm, whatever the others say."""
    for minute in range(int(_LONGEST / 60)):
        seconds = (begins + minute) * 60.0
        judged = guardrails.look(_check(traffic, harm, rng, seconds, 60.0), seconds)
        if any(each.guardrail == name and each.verdict == "fail" for each in judged):
            return minute + 1.0
    return math.inf


def _run(
    traffic: Traffic, harm: Harm, rng: np.random.Generator, *, until: float
) -> tuple[float | None, set[str]]:
    """Return when a run was rolled back, or None, and by which guardrails."""
    guardrails = Guardrails(_MARGINS, BOUNDS)
    seconds = 0.0
    while seconds < until:
        tally = _check(traffic, harm if seconds >= _ONSET else Harm(), rng, seconds)
        failing = {
            each.guardrail for each in guardrails.look(tally, seconds) if each.verdict == "fail"
        }
        seconds += _INTERVAL
        if failing:
            return seconds, failing
    return None, set()


def _check(
    traffic: Traffic,
    harm: Harm,
    rng: np.random.Generator,
    seconds: float,
    interval: float = _INTERVAL,
) -> Tally:
    count = rng.poisson(traffic.per_second * interval)
    control = rng.binomial(count, harm.holdout)
    treated = count - control
    hits = rng.binomial(treated, traffic.hits if harm.hits is None else harm.hits)
    base = 0.3 if rng.random() < traffic.bursts else traffic.errors
    middle = math.log(0.05) + traffic.wave * math.sin(seconds / 3600 * 2 * math.pi)
    slow = _times(rng, treated - hits, middle + math.log(harm.slower), traffic.spread)
    would_miss = rng.binomial(control, 1.0 - traffic.hits)
    cold = _times(rng, would_miss, middle, traffic.spread)
    warm = _times(rng, control - would_miss, middle, traffic.spread)
    fast = np.zeros_like(slow)
    fast[0] = hits
    return Tally(
        control=int(control),
        control_failed=int(rng.binomial(control, base)),
        control_times=tuple((cold + warm).tolist()),
        control_missed_times=tuple(cold.tolist()),
        treated=int(treated),
        treated_failed=int(rng.binomial(treated, base + harm.errors)),
        treated_times=tuple((slow + fast).tolist()),
        missed_times=tuple(slow.tolist()),
        hits=int(hits),
        eligible=int(treated),
        memory=traffic.memory if harm.memory is None else harm.memory,
    )


def _times(
    rng: np.random.Generator, count: int, middle: float, spread: float
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    drawn = rng.lognormal(middle, spread, count)
    buckets = np.searchsorted(np.array(BOUNDS), drawn)
    return np.bincount(buckets, minlength=len(BOUNDS) + 1)


def _plain_rule(traffic: Traffic, rng: np.random.Generator) -> bool:
    """Tell whether one check of a healthy run crosses a threshold: errors, p95 or hit rate."""
    for number in range(int(_HOURS * 3600 / _INTERVAL)):
        tally = _check(traffic, Harm(), rng, number * _INTERVAL)
        if not tally.control or not tally.treated:
            continue
        more = tally.treated_failed / tally.treated - tally.control_failed / tally.control
        slower = _p95(tally.missed_times) >= 1.2 * _p95(tally.control_times)
        if more >= 0.005 or slower or tally.hits < 0.4 * tally.eligible:
            return True
    return False


def _p95(times: tuple[int, ...]) -> float:
    cumulative = np.cumsum(times)
    index = int(np.searchsorted(cumulative, 0.95 * cumulative[-1]))
    return BOUNDS[min(index, len(BOUNDS) - 1)]
