"""What has been promised so far, and whether an answer keeps it: the plain model.

It knows nothing of positions, floors or tiers. It knows when each purge was called, what came back,
when the making of each answer began, and which processes have been cut off since all were last heard.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

from cachemw.invalidation.purges import PurgeResult

from .application import ROUTES, Application, Given, route_of
from .fleet import BOUND, SIZE, Answer

__all__ = ["Promises", "Violation"]

SLACK = 0.3
"""Seconds by which two processes may differ on the server's clock, which they read over the wire."""
OURS = frozenset({"age", "cache-status", "content-length", "etag"})
"""What cachemw may add to an answer; an application's own `ETag` must be there all the same."""
SHOWN = 30

Purged = dict[tuple[bool, str], float]
"""(soft, path) -> when it was purged: what was begun before is dead, or stale where it was soft."""


class Violation(AssertionError):
    """An invariant is broken; the message says which, and what came to pass before."""


class Promises:
    """The state of the model."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.held: list[Purged] = [{} for _ in range(SIZE)]
        """By process: what it must know of from now on."""
        self.logged: Purged = {}
        """What is in the log, or was when that was lost."""
        self.bounded: dict[tuple[bool, str], list[tuple[float, float]]] = defaultdict(list)
        """When a purge was back, and when it was called: it holds everywhere a while later."""
        self.disturbed: set[int] = set()
        """Processes whose following something has broken since all were last heard."""
        self.flags: dict[str, str] = {}
        """The live flags of the fleet, by route."""
        self.keepers = set(range(SIZE))
        """Processes that would give a Redis that has lost the flags its own."""
        self.redis_lost = False
        self.events: deque[str] = deque(maxlen=SHOWN)

    def note(self, event: str) -> None:
        """Remember an event for the message of a violation."""
        self.events.append(event)

    def violated(self, invariant: str, *facts: object) -> Violation:
        """Make a violation out of what is wrong, and of what came before."""
        lines = [invariant, *map(str, facts), f"the last {len(self.events)} events:", *self.events]
        return Violation("\n  ".join(lines))

    # -- purges --------------------------------------------------------------------------------------

    def purge(
        self, index: int, paths: Iterable[str], soft: bool, purge: Callable[[], PurgeResult]
    ) -> PurgeResult:
        """Purge in a process, and note what its result promises."""
        called = time.monotonic()
        result = purge()
        back = time.monotonic()
        purged = {(soft, path): called for path in paths}
        self.held[index] |= purged
        if result.status != "queued":
            self.logged |= purged
            for key in purged:
                self.bounded[key].append((back, called))
        if result.confirmed:
            for other in set(range(SIZE)) - self.disturbed:
                self.held[other] |= purged
        if result.reached == SIZE:  # whoever has applied a record has applied all before it
            for other in set(range(SIZE)) - {index}:
                self.held[other] |= self.logged
        self.note(f"{'soft ' * soft}purge of {', '.join(paths)} in {index}: {result}")
        return result

    def caught_up(self) -> None:
        """Note that no purge waits, and that every process has applied what is in the log."""
        for held in self.held:
            self.logged |= {key: max(at, self.logged.get(key, 0.0)) for key, at in held.items()}
        self.held = [dict(self.logged) for _ in range(SIZE)]
        self.disturbed.clear()
        if self.redis_lost and not self.keepers:
            self.flags.clear()
        self.keepers, self.redis_lost = set(range(SIZE)), False

    def begun_anew(self, index: int) -> None:
        """Note that a process was ended and begun: what it had not appended is lost."""
        self.held[index] = {}
        self.disturbed.add(index)
        self.keepers.discard(index)

    # -- answers -------------------------------------------------------------------------------------

    def due(self, index: int) -> Purged:
        """Give what a process must know of when it is asked now."""
        now = time.monotonic()
        due = dict(self.held[index])
        for key, purges in self.bounded.items():
            reached = [called for back, called in purges if back + BOUND < now]
            due[key] = max([due.get(key, 0.0), *reached])
        return due

    def check(self, index: int, answer: Answer, due: Purged) -> None:
        """Hold an answer against the invariants; `due` is from before it was asked for."""
        given = self._faithful(answer)
        own = given.at >= answer.began
        route = route_of(answer.path)
        facts = (f"asked in {index}: {answer}", f"given: {given}")
        self.note(f"{answer.path} for {answer.who} in {index}: {answer.cache_status}")
        if given.who != answer.who:
            raise self.violated("I1: what was made for one reached another", *facts)
        if own:
            return
        if route == "sessions":
            raise self.violated("I1: a cookie was handed out twice", *facts)
        if route == "varied" and given.language != answer.language:
            raise self.violated("I2: an answer to another request", *facts)
        lasting = ROUTES[route]
        window = lasting.window if "detail=stale" in answer.cache_status else 0.0
        if answer.began > given.at + lasting.fresh + window + SLACK:
            raise self.violated("I2: an answer that is past its lifetime", *facts)
        if given.at < due.get((False, answer.path), 0.0):
            raise self.violated("I5: an answer that was purged", *facts)
        if given.at < due.get((True, answer.path), 0.0) and not window:
            raise self.violated("I5: what was softly purged is served as if it were fresh", *facts)
        if self.flags.get(route) == "off" and index not in self.disturbed:
            raise self.violated("I6: a route that is off was answered by the cache", *facts)

    def _faithful(self, answer: Answer) -> Given:
        """Find what the application gave, and compare every byte of it (I2)."""
        number = answer.body.partition(b" ")[0]
        given = self.app.book.get(int(number)) if number.isdigit() else None
        if given is None or (given.path, given.body) != (answer.path, answer.body):
            raise self.violated("I2: nobody gave this answer", answer, given)
        wanted: list[Any] = [(name.lower(), value) for name, value in given.headers]
        own = [pair for pair in answer.headers if pair in wanted or pair[0] not in OURS]
        if (answer.status, own) != (given.status, wanted):
            raise self.violated("I2: other status or fields than were given", answer, given)
        return given
