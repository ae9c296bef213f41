"""The lifetimes of answers, learned from what their refreshes show.

Whenever a response of a learning route is stored, the engine calls `Lifetimes.learn`. It compares the
response with the one before, learns from that for the key and for its kind, and chooses the lifetime: the
longest one inside the kind's bounds that keeps the share of stale answers below the target.

A lifetime says only for how long an answer may be served. What a purge names is gone at once, however
long its lifetime is (I5).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from msgspec.structs import replace

from cachemw.engine.model.entry import Learned, Made
from cachemw.engine.model.routes import Bounds
from cachemw.learning.kinds import YOUNG, LearnedKind, Round, Seen
from cachemw.learning.known_answers import KnownAnswers
from cachemw.learning.rates import Rate
from cachemw.learning.stale_share import longest_lifetime, stale_share

__all__ = ["Lifetimes"]

_FORGETS = 0.9
"""The weight of the waits that were known before, at each new one."""
_MARGIN = 1.001
"""A lifetime this close to a bound counts as the bound."""


class Lifetimes:
    """The knowledge of one process. Thread-safe."""

    def __init__(self, limit: int, *, applies: bool) -> None:
        """Remember at most `limit` keys. With `applies` False, learn but change no lifetime."""
        self._applies = applies
        self._keys = KnownAnswers(limit)
        self._kinds: dict[str, LearnedKind] = {}
        self._shared: dict[str, LearnedKind] = {}
        """The state at the last `adopt`: what differs from it is not shared yet."""
        self._offered: dict[str, LearnedKind] = {}
        self._merged: dict[str, LearnedKind] = {}
        self._lock = threading.Lock()

    def reset_after_fork(self) -> None:
        """Go on with what the parent knows. What it has not shared yet, it shares itself."""
        self._lock = threading.Lock()
        self._shared = self.kinds()

    def known(self, key: bytes, stored: Learned | None) -> Learned | None:
        """Return what is known of a key: here, or with its stored entry, whichever is newer."""
        with self._lock:
            return self._keys.get(key, stored)

    def learn(self, made: Made, bounds: Bounds, before: Learned | None) -> Learned:
        """Learn from a response, and return what is known of its key now, with its lifetime.

        `before` is what was known of it.
        """
        with self._lock:
            kind = self._kinds.setdefault(bounds.kind, LearnedKind())
            learned = self._first(made, bounds, kind)
            if before is not None and before.seen_at < made.at:
                learned = self._compared(learned, made, before, bounds, kind)
            elif before is not None:  # it was made at the same time as one that is known already
                learned = _as_known(learned, before)
            learned = self._with_lifetime(learned, made, bounds, kind)
            self._keys.put(made.key, learned)
            return learned

    def lifetime(self, key: bytes, bounds: Bounds) -> float:
        """Return the lifetime that a response under this key would have now."""
        with self._lock:
            known = self._keys.get(key, None)
        return known.lifetime if known is not None and self._applies else bounds.initial

    def kinds(self) -> dict[str, LearnedKind]:
        """Return a copy of what is known of each kind."""
        return {name: replace(kind) for name, kind in self._kinds.copy().items()}

    def merge(self, known: Mapping[str, LearnedKind]) -> dict[str, LearnedKind]:
        """Return what all processes know, with what this one has learned since the last `adopt`."""
        with self._lock:
            self._offered = self.kinds()
            nothing = LearnedKind()
            merged = {
                name: known.get(name, nothing).merged(self._shared.get(name, nothing), mine)
                for name, mine in self._offered.items()
            }
            self._merged = {**known, **merged}
            return self._merged

    def adopt(self) -> None:
        """Go on with the last result of `merge`, which all processes know by now."""
        with self._lock:
            nothing = LearnedKind()
            self._kinds = {
                name: kind.merged(self._offered.get(name, nothing), self._kinds.get(name, nothing))
                for name, kind in self._merged.items()
            }
            self._shared = self._merged

    @staticmethod
    def _first(made: Made, bounds: Bounds, kind: LearnedKind) -> Learned:
        """Return what is assumed of a key that nobody knows."""
        # Without any knowledge, a rate for which the shortest lifetime is about right.
        rate = kind.expected or Rate(1.0, bounds.shortest / (2 * bounds.target))
        return Learned(
            content=made.content,
            seen_at=made.at,
            position=made.position,
            fresh_until=made.born,
            lifetime=0.0,
            free=False,
            changes=rate.changes,
            seconds=rate.seconds,
            asked=1.0,
            waited=bounds.shortest,
        )

    @staticmethod
    def _compared(
        now: Learned, made: Made, before: Learned, bounds: Bounds, kind: LearnedKind
    ) -> Learned:
        """Return what is known of a key after a comparison with its response before."""
        seen = Seen(
            seconds=made.at - before.seen_at,
            changed=made.named or made.content != before.content,
            announced=made.purged,
            lifetime=before.lifetime,
            requests=before.asked / before.waited,
            young=before.refreshes < YOUNG,
            free=before.free,
        )
        kind.learn(seen, bounds.target)
        rate = Rate(before.changes, before.seconds).observed(
            seen.seconds, changed=seen.changed, announced=seen.announced
        )
        asked, waited = before.asked, before.waited
        wait = made.at - before.fresh_until
        if wait > 0.0 and not made.purged:  # somebody waited for nothing: it had become stale
            asked, waited = asked * _FORGETS + 1.0, waited * _FORGETS + wait
        return replace(
            now,
            refreshes=before.refreshes + 1,
            changes=rate.changes,
            seconds=rate.seconds,
            asked=asked,
            waited=waited,
        )

    def _with_lifetime(
        self, learned: Learned, made: Made, bounds: Bounds, kind: LearnedKind
    ) -> Learned:
        rate = Rate(learned.changes, learned.seconds).slowed(kind.silent_share)
        requests = learned.asked / learned.waited
        limits = (bounds.shortest, bounds.longest)
        chosen = longest_lifetime(
            bounds.target * kind.factor, rate, requests, limits, bounds.window
        )
        used = chosen if self._applies else bounds.initial
        kind.note(
            Round(
                learned=chosen,
                used=used,
                initial=bounds.initial,
                requests=requests,
                reached=stale_share(chosen, rate, requests, bounds.window) <= bounds.target * 1.01,
            )
        )
        at_bound = chosen * _MARGIN >= bounds.longest or chosen <= bounds.shortest * _MARGIN
        return replace(
            learned,
            fresh_until=made.born + used,
            lifetime=used,
            free=self._applies and not at_bound,
        )


def _as_known(now: Learned, before: Learned) -> Learned:
    """Return what is known of a key, with nothing new."""
    return replace(
        now,
        refreshes=before.refreshes,
        changes=before.changes,
        seconds=before.seconds,
        asked=before.asked,
        waited=before.waited,
    )
