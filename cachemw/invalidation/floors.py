"""What has been purged, as one process knows it: the floors under which entries are dead.

The log numbers its records. A *floor* is the number of the last record that names a tag: an entry
that carries the tag and was begun before that record is dead. *Position* is the last record
applied; an origin call notes it first and its entry carries it, so a fill that was overtaken by a
purge is dead on arrival, in every process, without a lock.

The rules:

- an entry is **dead** if its epoch is not ours, if it was begun before the horizon, or if a hard
  record with a later number names one of its tags, or everything;
- it is **stale** if only soft records do: it may serve while it is refreshed, or on errors;
- otherwise it is **valid**, and stays so until `version` changes: hits compare that one integer.

Floors are bounded. When the oldest is dropped the horizon rises to it, and everything begun before
that counts as purged: forgetting costs misses, never a purged answer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from cachemw.engine.model.entry import Item, Position, Verdict
from cachemw.invalidation.purges import Purge

__all__ = ["LOCAL_BITS", "NO_EPOCH", "Floors"]

NO_EPOCH = bytes(8)
"""The epoch before a log was ever reached."""

LOCAL_BITS = 0xFFFF
"""The lowest bits of a number count purges between two records of the log."""


class Floors:
    """The floors of one process. Written by whoever purges or follows the log, read by every request."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.version = 0
        """Changes whenever anything might have been purged."""
        self._here = Position(NO_EPOCH, 0)
        self.horizon = 0
        """Entries begun before this number cannot be judged, so they are dead."""
        self._hard: OrderedDict[str, int] = OrderedDict()
        self._soft: OrderedDict[str, int] = OrderedDict()
        self._all_soft = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._hard) + len(self._soft)

    def here(self) -> Position:
        """Give the position that an origin call beginning now must note."""
        return self._here

    @property
    def epoch(self) -> bytes:
        """The life of the log that is followed."""
        return self._here.epoch

    @property
    def position(self) -> int:
        """The number of the last record applied."""
        return self._here.id

    def apply(
        self, number: int, tags: Iterable[str] | None, *, soft: bool, follow: bool = True
    ) -> None:
        """Apply one record; `tags` None means everything.

        `follow` False applies a record ahead of the log's order (our own, just appended): its
        floors count at once but the position stays, since earlier records may still be coming.
        """
        with self._lock:
            if tags is None:
                if soft:
                    self._all_soft = max(self._all_soft, number)
                else:
                    self.horizon = max(self.horizon, number)
            else:
                floors = self._soft if soft else self._hard
                for tag in tags:
                    floors[tag] = max(number, floors.get(tag, 0))
                    floors.move_to_end(tag)
                self._trim(floors)
            if follow:
                self._move(number)
            self.version += 1

    def _trim(self, floors: OrderedDict[str, int]) -> None:
        while len(floors) > self.limit:
            # The horizon first: readers take no lock, and must find one or the other: `judge` reads it last.
            self.horizon = max(self.horizon, next(iter(floors.values())))
            floors.popitem(last=False)

    def apply_locally(self, tags: Iterable[str] | None, *, soft: bool) -> None:
        """Apply a purge that the log does not have yet.

        It is numbered just after the last record applied, in the bits that the server's numbers
        leave free, so that what is begun from now on is not taken for older than it.
        """
        number = self.position + 1
        if (
            number & LOCAL_BITS == 0
        ):  # the free bits are used up: what follows is dead until the log
            self.apply(number, tags, soft=soft, follow=False)  # is back, which is the safe side
        else:
            self.apply(number, tags, soft=soft)

    def advance(self, number: int) -> None:
        """Move the position past a record that purges nothing."""
        with self._lock:
            self._move(number)

    def _move(self, number: int) -> None:
        if number > self._here.id:
            self._here = Position(self._here.epoch, number)

    def begin(self, epoch: bytes, horizon: int) -> None:
        """Begin another life of the log: everything known belongs to the old one and is dead."""
        with self._lock:
            # First, for readers take no lock: no floor may be gone while entries of the old life count.
            self._here = Position(epoch, horizon)
            self.horizon = horizon
            self._hard.clear()
            self._soft.clear()
            self._all_soft = 0
            self.version += 1

    def reset_after_fork(self) -> None:
        """Make the lock anew: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()

    def since(self, number: int) -> list[Purge]:
        """Give the purges that records after a number made, in as few as they can be said in."""
        with self._lock:
            if self.horizon > number:
                return [Purge(tags=None)]
            purges = [Purge(tags=None, soft=True)] if self._all_soft > number else []
            for floors, soft in ((self._hard, False), (self._soft, True)):
                tags = tuple(tag for tag, floor in floors.items() if floor > number)
                if tags:
                    purges.append(Purge(tags=tags, soft=soft))
            return purges

    def raise_horizon(self, number: int) -> None:
        """Count everything begun before a number as purged: the log has lost what came before it."""
        with self._lock:
            if number > self.horizon:
                self.horizon = number
                self.version += 1

    def judge(self, entry: Item) -> Verdict:
        """Say whether a purge has overtaken an entry, and remember a good answer on it.

        The version is read before the floors: a record that lands in between leaves `checked`
        behind, and the next hit judges again. Epoch and horizon are read after them: what has just
        gone from the floors has moved one of the two before.
        """
        version = self.version
        began = entry.position.id
        hard, soft = self._hard, self._soft
        for tag in entry.tags:
            if hard.get(tag, 0) > began:
                return Verdict.DEAD
        stale = self._all_soft > began or (
            bool(soft) and any(soft.get(tag, 0) > began for tag in entry.tags)
        )
        if entry.position.epoch != self._here.epoch or began < self.horizon:
            return Verdict.DEAD
        if stale:
            return Verdict.STALE
        entry.checked = version
        return Verdict.VALID
