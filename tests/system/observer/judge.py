"""What the observer knows for sure, and whether an answer fits it."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from .kit import Answer

__all__ = ["Judge", "Purge", "Violation"]

COUNTED = 1.2
"""Seconds without a heartbeat up to which a process surely counts as following: it is 1.5 s
(docs/consistency.md), and the two clocks are not quite one."""
BOUND = 1.0 + 1.0
"""Seconds after which nothing purged is served, cut off or not: `partition_limit`, and as much for a
busy machine."""
LASTING = 1.0 + 1.0 + 0.5
"""Seconds for which a quick page may be served without any purge: fresh, stale, and the clocks."""
SHOWN = 60


class Violation(AssertionError):
    """Something that must never be seen."""


@dataclass(frozen=True)
class Purge:
    """One purge that is back."""

    back: float
    version: int
    """What was written before it."""
    status: str
    worker: int


class Judge:
    """The versions that were written, the purges that came back, and what came to pass. Thread-safe."""

    def __init__(self, title: str, pages: Iterable[str]) -> None:
        self.title = title
        self.begun = time.monotonic()
        self.written: dict[str, list[float]] = {page: [self.begun] for page in pages}
        """Page -> when each of its versions, from 1 on, was written."""
        self.purges: dict[str, list[Purge]] = defaultdict(list)
        self.killed: dict[int, float] = {}
        self.seen: Counter[str] = Counter()
        self.violation = ""
        """The first, in words."""
        self._events: deque[str] = deque(maxlen=SHOWN)
        self._lock = threading.Lock()

    def note(self, event: str) -> None:
        """Remember an event for the message of a violation."""
        self._events.append(f"{time.monotonic() - self.begun:8.3f} {event}")

    def violate(self, what: str) -> None:
        """Keep the first violation; whoever asks goes on until it has its answer."""
        with self._lock:
            if not self.violation:
                self.note(f"VIOLATION {what}")
                self.violation = what

    def verdict(self) -> None:
        """Raise the violation, if there was one, with the events around it."""
        if self.violation:
            raise Violation("\n  ".join([self.title, self.violation, *self._events]))

    # -- what happened -------------------------------------------------------------------------------

    def wrote(self, page: str) -> int:
        """Note that a page is about to be written, and give the version that it will have."""
        self.written[page].append(time.monotonic())
        return len(self.written[page])

    def purged(self, pages: dict[str, int], answer: Answer, what: str) -> None:
        """Note that a purge is back; `pages` are the versions that it left nothing older of."""
        purge_of = {
            page: Purge(time.monotonic(), version, answer.body, answer.worker)
            for page, version in pages.items()
        }
        for page, purge in purge_of.items():
            self.purges[page].append(purge)
        self.seen[f"purge {answer.body}"] += 1
        self.note(f"{what} by {answer.worker}: {answer.body}")

    def broke(self, opened: float, worker: int | None, error: Exception) -> None:
        """Judge a connection that broke: only a killed worker's may."""
        self.note(f"a connection to {worker} broke: {error!r}")
        if worker is None:
            fits = any(at > opened - 1.0 for at in self.killed.values())
        else:
            fits = worker in self.killed
        if not fits:
            self.violate(f"I3: a connection to {worker} broke: {error!r}")

    # -- answers -------------------------------------------------------------------------------------

    def read(self, page: str, who: str, asked: float, answer: Answer) -> None:
        """Judge an answer to a request that was sent at `asked`."""
        self.seen["hit" if "; hit" in answer.cache_status else "read"] += 1
        self.note(f"{page} for {who} by {answer.worker}: {answer.body!r} {answer.cache_status}")
        if answer.status != 200:
            self.violate(f"I3: {answer}")
            return
        path, version, made_for = answer.body.split(" ")
        if (path, made_for) != (page, who):
            self.violate(f"I1, I2: {page} asked for {who}: {answer}")
        oldest = max(self._purged(page, asked, answer), self._lasting(page, asked))
        if int(version) < oldest[0]:
            heard = asked - answer.heard
            self.violate(
                f"I5: {page} asked {asked - self.begun:.3f}, heard {heard:.3f} s before: {answer.body!r}"
                f" by {answer.worker}, older than {oldest}"
            )

    def _purged(self, page: str, asked: float, answer: Answer) -> tuple[int, str]:
        """Give the oldest version that the purges allow, and why."""
        oldest = (0, "")
        for purge in reversed(self.purges[page]):
            if purge.back >= asked:
                continue
            followed = answer.heard >= purge.back - COUNTED
            due = (
                (purge.status == "confirmed" and followed)
                or (purge.status != "queued" and purge.back + BOUND < asked)
                or purge.worker == answer.worker
            )
            if due and purge.version > oldest[0]:
                oldest = purge.version, f"{purge} at {purge.back - self.begun:.3f}"
        return oldest

    def _lasting(self, page: str, asked: float) -> tuple[int, str]:
        """Give the oldest version that a lifetime allows: a quick page lasts for seconds."""
        if not page.startswith("/quick/"):
            return 0, ""
        over = sum(at < asked - LASTING for at in list(self.written[page]))
        return over, "its lifetime"
