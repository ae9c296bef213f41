"""Learned lifetimes beside fixed ones, beside a tenth of the age, and beside somebody who sees the future.

A simulation of requests and changes, with the code of `cachemw.learning` itself and without HTTP. Keys
change every ten seconds to every six hours on average, in four patterns, for 40,000 seconds each. Each is
asked for once a second on average, at random times or regularly. Measured are the share of stale answers,
and the calls of the application. To compare policies, the others are tuned until they are as stale as the
learned lifetimes: then the number of calls says which is better.

`clairvoyant` sees the next change and lets the entry live until then, inside the same bounds.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.effort import Effort
from bench.rows import Row
from cachemw.engine.model.entry import Made, Position
from cachemw.engine.model.routes import Bounds
from cachemw.learning.lifetimes import Lifetimes

__all__ = ["learning"]

_HORIZON = 40_000.0
_DAY = 20_000.0
"""Seconds of a simulated day: two of them fit."""
_EVERY = (10, 30, 120, 600, 1800, 7200, 21_600)
_KEYS = 4
"""Keys of each rate."""
_BOUNDS = Bounds(
    kind="simulated", shortest=0.25, longest=3600.0, target=0.02, initial=60.0, window=0.0
)
_HERE = Position(b"", 0)
_STEPS = 9
"""Halvings of the interval in which another policy is tuned."""

Moments = Sequence[float]
Lifetime = Callable[[float, int], float]
"""Returns the lifetime of an entry that is made now, of a key at this version."""


def _steady(rng: random.Random, every: float) -> Moments:
    return _drawn(rng, every, lambda now: 1.0)


def _daily(rng: random.Random, every: float) -> Moments:
    return _drawn(rng, every, lambda now: 1.0 + math.sin(2 * math.pi * now / _DAY))


def _drawn(rng: random.Random, every: float, level: Callable[[float], float]) -> Moments:
    moments, now = [], 0.0
    while (now := now + rng.expovariate(2 / every)) < _HORIZON:
        if rng.random() < level(now) / 2:
            moments.append(now)
    return moments


def _regular(rng: random.Random, every: float) -> Moments:
    first = rng.random() * every
    return [first + number * every for number in range(int((_HORIZON - first) / every) + 1)]


def _bursty(rng: random.Random, every: float) -> Moments:
    """Ten changes, ten times as fast as on average, then a pause."""
    moments, now = [], 0.0
    while now < _HORIZON:
        now += rng.expovariate(1 / (9 * every))
        for _ in range(10):
            now += rng.expovariate(10 / every)
            moments.append(now)
    return moments


_PATTERNS = {"steady": _steady, "regular": _regular, "bursty": _bursty, "daily": _daily}


@dataclass(slots=True)
class _Key:
    name: bytes
    every: float
    changes: Moments
    requests: Moments


@dataclass(slots=True)
class _Sum:
    requests: int = 0
    stale: int = 0
    calls: int = 0

    @property
    def share(self) -> float:
        return self.stale / self.requests

    def add(self, other: _Sum) -> None:
        self.requests += other.requests
        self.stale += other.stale
        self.calls += other.calls


def _keys(pattern: str, *, at_random: bool) -> list[_Key]:
    rng = random.Random(f"{pattern} {at_random}")
    return [
        _Key(
            b"%d %d" % (every, number),
            every,
            _PATTERNS[pattern](rng, every),
            _asked(rng, at_random),
        )
        for every in _EVERY
        for number in range(_KEYS)
    ]


def _asked(rng: random.Random, at_random: bool) -> Moments:
    if not at_random:
        return [0.5 + number for number in range(int(_HORIZON))]
    moments, now = [], 0.0
    while (now := now + rng.expovariate(1.0)) < _HORIZON:
        moments.append(now)
    return moments


def _serve(key: _Key, lifetime: Lifetime) -> _Sum:
    served, fresh_until, held = _Sum(), -1.0, 0
    changes = key.changes
    for now in key.requests:
        version = bisect.bisect_right(changes, now)
        served.requests += 1
        if now < fresh_until:
            served.stale += version != held
        else:
            served.calls += 1
            held, fresh_until = version, now + lifetime(now, version)
    return served


def _learned(key: _Key, lifetimes: Lifetimes) -> Lifetime:
    def choose(now: float, version: int) -> float:
        made = Made(
            key=key.name,
            content=b"%d" % version,
            at=now,
            born=now,
            position=_HERE,
            purged=False,
            named=False,
        )
        return lifetimes.learn(made, _BOUNDS, lifetimes.known(key.name, None)).lifetime

    return choose


def _inside(seconds: float) -> float:
    return min(_BOUNDS.longest, max(_BOUNDS.shortest, seconds))


def _of_age(key: _Key, share: float) -> Lifetime:
    def choose(now: float, version: int) -> float:
        return _inside(share * (now - (key.changes[version - 1] if version else 0.0)))

    return choose


def _clairvoyant(key: _Key) -> Lifetime:
    def choose(now: float, version: int) -> float:
        changes = key.changes
        return _inside(changes[version] - now if version < len(changes) else _BOUNDS.longest)

    return choose


def _all(keys: Sequence[_Key], policy: Callable[[_Key], Lifetime]) -> _Sum:
    total = _Sum()
    for key in keys:
        total.add(_serve(key, policy(key)))
    return total


def _tuned(
    keys: Sequence[_Key], share: float, policy: Callable[[float], Callable[[_Key], Lifetime]]
) -> _Sum:
    """Return what a policy needs whose one number is tuned until it is as stale as given."""
    low, high = math.log(1e-3), math.log(1e4)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _all(keys, policy(math.exp(middle))).share < share:
            low = middle
        else:
            high = middle
    return _all(keys, policy(math.exp((low + high) / 2)))


def learning(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    asked = (True,) if effort.rounds < 5 else (True, False)
    for pattern in _PATTERNS:
        for at_random in asked:
            yield from _pattern(pattern, at_random)


def _pattern(pattern: str, at_random: bool) -> Iterator[Row]:
    keys = _keys(pattern, at_random=at_random)
    when = "at random" if at_random else "regularly"
    lifetimes = Lifetimes(10_000, applies=True)
    ours, seer = _Sum(), _Sum()
    worst, words, figures = 0.0, [], {}
    for every in _EVERY:
        some = [key for key in keys if key.every == every]
        mine = _all(some, lambda key: _learned(key, lifetimes))
        best = _all(some, _clairvoyant)
        ours.add(mine)
        seer.add(best)
        worst = max(worst, mine.share) if best.share <= _BOUNDS.target else worst
        words.append(
            f"{every:,} s: {mine.share:.1%}, {mine.calls // _KEYS:,} calls ({best.calls // _KEYS:,})"
        )
        figures[f"{pattern} {when} {every}"] = mine.share
    yield Row(
        what=f"stale answers and calls, {pattern} changes, asked for {when} (clairvoyant's calls)",
        measured="; ".join(words),
        must="≤ 3 % each (1.5 times the target)",
        verdict="reached" if worst <= 1.5 * _BOUNDS.target else "NOT REACHED",
        figures=figures,
    )
    of_age = _tuned(keys, ours.share, lambda share: lambda key: _of_age(key, share))
    fixed = _tuned(keys, ours.share, lambda ttl: lambda key: lambda now, version: _inside(ttl))
    fewer = ours.calls <= min(of_age.calls, fixed.calls)
    yield Row(
        what=f"calls of all these keys at {ours.share:.1%} stale answers, {pattern}, asked for {when}",
        measured=(
            f"{ours.calls:,}; a share of the age {of_age.calls / ours.calls:.2f} times as many,"
            f" the best fixed lifetime {fixed.calls / ours.calls:.2f} times;"
            f" clairvoyant {seer.calls / ours.calls:.2f} times at {seer.share:.1%}"
        ),
        must="fewer than both others",
        verdict="reached" if fewer else "NOT REACHED",
        figures={
            "ours": ours.calls,
            "of_age": of_age.calls,
            "fixed": fixed.calls,
            "seer": seer.calls,
        },
    )
