"""The knowledge of a kind: what its keys have in common, and what their changes have shown so far.

Theory of operation. Four things are learned for a kind:

- **The rate of a key that nobody knows yet.** The first refreshes of each key count here too. What they
  show is the rate that the next new key starts with, with the weight of one change.
- **How many changes are announced.** A change after which the key was purged cannot make an answer stale:
  the purge has removed it. As long as every change is announced, lifetimes may grow to their bound. The
  share of changes that come without a purge is estimated with `DOUBT` such changes added in advance.
- **How stale answers really were.** A refresh that finds an unannounced change tells that the old answer
  was stale for some time; if it came at any time alike, for half of its lifetime on average. The rate of
  `rates` assumes that changes come independently. Where they come in bursts it is too optimistic.
- **A correction** for that. It is a factor on the target, at most 1, and moves by a small step with every
  refresh until the staleness seen is the target (stochastic approximation: Robbins and Monro 1951).

All of it is sums with a limited weight, so what several processes have learned can be added up.
"""

from __future__ import annotations

from math import exp, isfinite, log

from msgspec import Struct

from cachemw.learning.rates import Rate, at_least_one

__all__ = ["YOUNG", "LearnedKind", "Round", "Seen"]

YOUNG = 4
"""Refreshes of a key that count for the rate of new keys. Later ones would give most weight to the keys
that change most often, because these are refreshed most often."""
DOUBT = 3.0
"""Unannounced changes that are assumed in advance. With this number, 50 announced changes in a row make
lifetimes some 18 times as long."""
_GAIN = 0.005
"""The step of the correction. A larger one would follow single refreshes."""
_LOWEST = -1.4
"""The logarithm of the smallest correction: a quarter of the target."""
_COUNTED = 50.0
"""Changes that the shares of a kind are estimated from; older ones lose weight."""
_MEASURED = 500.0
"""Refreshes that the measured staleness is taken from; older ones lose weight."""


class Seen(Struct, frozen=True, kw_only=True):
    """The facts that one refresh has shown of a key."""

    seconds: float
    """The time since the refresh before it."""
    changed: bool
    announced: bool
    """Whether a purge has named the key since then."""
    lifetime: float
    """The lifetime of the entry that it replaces."""
    requests: float
    """The requests for the key in a second, estimated."""
    young: bool
    """Whether it is one of the first refreshes of its key."""
    free: bool
    """Whether the lifetime was learned, and could have been longer or shorter."""


class Round(Struct, frozen=True, kw_only=True):
    """The lifetimes of an entry that was just stored, in seconds."""

    learned: float
    used: float
    initial: float
    """The one that it would have without learning."""
    requests: float
    """The requests for its key in a second, estimated."""
    reached: bool
    """Whether the target can be kept with the learned lifetime."""


class LearnedKind(Struct, kw_only=True):
    """The knowledge of one kind. Each number is a sum, so differences of two states can be added."""

    changes: float = 0.0
    """The changes of young keys, and the seconds that they were seen in."""
    seconds: float = 0.0
    announced: float = 0.0
    """Changes with a purge, and without."""
    silent: float = 0.0
    covered: float = 0.0
    """The seconds for which entries were fresh, and the part of them in which they were stale."""
    stale: float = 0.0
    refreshes: float = 0.0
    """Their number, of those that `covered` and `stale` still remember."""
    correction: float = 0.0
    """The logarithm of the factor on the target; 0 or less."""
    rounds: float = 0.0
    """Entries that were stored, of those that the next three numbers still remember."""
    lifetimes: float = 0.0
    """The sum of the logarithms of their learned lifetimes."""
    reached: float = 0.0
    """How many of them keep the target."""
    calls: float = 0.0
    """Calls of the application with the learned lifetimes, for the requests that these entries serve."""
    initial_calls: float = 0.0
    """Calls with the initial lifetime, for the same requests."""

    @property
    def is_sound(self) -> bool:
        """Whether all numbers are such as `learn` and `note` make; a document may hold others."""
        numbers = {name: getattr(self, name) for name in self.__struct_fields__}
        if not all(isfinite(number) for number in numbers.values()):
            return False
        counts = [number for name, number in numbers.items() if name not in _LOGARITHMS]
        return min(counts) >= 0.0 and _LOWEST <= self.correction <= 0.0

    @property
    def expected(self) -> Rate | None:
        """The rate of changes of a key that is new; None while nothing is known."""
        if self.seconds <= 0.0:
            return None
        return Rate(1.0, self.seconds / (self.changes + 1.0))

    @property
    def silent_share(self) -> float:
        """The share of changes that no purge announces."""
        return (self.silent + DOUBT) / (self.announced + self.silent + DOUBT)

    @property
    def factor(self) -> float:
        """The factor on the target."""
        return exp(self.correction)

    @property
    def staleness(self) -> float | None:
        """The measured share of stale answers; None while nothing was measured."""
        return self.stale / self.covered if self.covered > 0.0 else None

    def learn(self, seen: Seen, target: float) -> None:
        """Take in what a refresh has shown. `target` is the share of stale answers that is allowed."""
        if seen.young:
            self._learn_rate(seen)
        if seen.changed:
            self._learn_announcement(seen.announced)
        self._learn_staleness(seen, target)

    @property
    def lifetime(self) -> float | None:
        """The usual learned lifetime (a geometric mean) in seconds; None while there is none."""
        return exp(self.lifetimes / self.rounds) if self.rounds > 0.0 else None

    @property
    def saved(self) -> float | None:
        """The share of calls that the learned lifetimes save, beside the initial one; may be negative."""
        return 1.0 - self.calls / self.initial_calls if self.initial_calls > 0.0 else None

    @property
    def reached_share(self) -> float | None:
        """The share of entries with which the target can be kept."""
        return self.reached / self.rounds if self.rounds > 0.0 else None

    def figures(self) -> dict[str, float]:
        """Return what is of interest to people, without what is not known yet: see docs/learning.md."""
        known = {
            "lifetime": self.lifetime,
            "stale": self.staleness,
            "reached": self.reached_share,
            "saved": self.saved,
        }
        changes = self.announced + self.silent
        return {
            "refreshes": self.refreshes,
            "changes": changes,
            **({"announced": self.announced / changes} if changes else {}),
            **{name: value for name, value in known.items() if value is not None},
        }

    def note(self, round_: Round) -> None:
        """Take in the lifetimes of an entry that was just stored.

        With a lifetime T and r requests a second, one call serves 1 + rT requests.
        """
        scale = 1.0 - 1.0 / _MEASURED
        served = 1.0 + round_.requests * round_.used
        self.rounds = self.rounds * scale + 1.0
        self.lifetimes = self.lifetimes * scale + log(round_.learned)
        self.reached = self.reached * scale + round_.reached
        self.calls = self.calls * scale + served / (1.0 + round_.requests * round_.learned)
        self.initial_calls = self.initial_calls * scale + served / (
            1.0 + round_.requests * round_.initial
        )

    def _learn_rate(self, seen: Seen) -> None:
        if seen.changed:
            expected = self.expected
            if expected is None or seen.announced:
                self.changes += 1.0
            else:
                self.changes += at_least_one(expected.mean * seen.seconds)
        self.seconds += seen.seconds
        scale = min(1.0, _COUNTED / max(self.changes, 1.0))
        self.changes *= scale
        self.seconds *= scale

    def _learn_announcement(self, announced: bool) -> None:
        scale = min(1.0, _COUNTED / (self.announced + self.silent + 1.0))
        self.announced = (self.announced + announced) * scale
        self.silent = (self.silent + (not announced)) * scale

    def _learn_staleness(self, seen: Seen, target: float) -> None:
        # An announced change has ended the old answer at once.
        asked = seen.requests * seen.lifetime
        stale = 0.0
        if seen.changed and not seen.announced and seen.seconds > 0.0:
            # It came inside the lifetime with this probability, and then in the middle of it.
            inside = min(1.0, seen.lifetime / seen.seconds)
            stale = seen.lifetime * inside / 2 * asked / (1.0 + asked)
        scale = 1.0 - 1.0 / _MEASURED
        self.covered = self.covered * scale + seen.lifetime
        self.stale = self.stale * scale + stale
        self.refreshes = self.refreshes * scale + 1.0
        if not seen.free or (seen.changed and seen.announced):
            return
        usual = self.covered / self.refreshes
        if usual > 0.0:
            step = _GAIN * (target * seen.lifetime - stale) / (target * usual)
            self.correction = min(0.0, max(_LOWEST, self.correction + step))

    def merged(self, base: LearnedKind, mine: LearnedKind) -> LearnedKind:
        """Return this state with what a process has learned since `base`, which is `mine` by now."""
        sums = {
            name: getattr(self, name) + getattr(mine, name) - getattr(base, name)
            for name in self.__struct_fields__
        }
        kept = {name: max(0.0, total) for name, total in sums.items() if name not in _LOGARITHMS}
        correction = min(0.0, max(_LOWEST, sums["correction"]))
        return LearnedKind(**kept, lifetimes=sums["lifetimes"], correction=correction)


_LOGARITHMS = ("lifetimes", "correction")
"""The fields that may be negative."""
