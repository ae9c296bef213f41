"""The purges that one process knows, and whether an entry is still valid (I5).

Theory of operation. The log numbers its records, and all processes see the same numbers.

- The **position** of a process is the number of the last record that it applied. It is noted *before*
  the application is called, and the entry that is made from the response carries it.
- The **floor** of a tag is the number of the last record that purges the tag. An entry with this tag
  and a lower position is purged.
- The **horizon** is the floor of everything. Entries with a lower position are purged, whatever their
  tags are.
- The **epoch** names the life of the log. Positions of different epochs cannot be compared.

So if a purge lands while the application is still working, the entry has a position below the purge's
number. It is dead as soon as it is stored, in every process, and no lock is needed. If a process lags
behind the log, its entries get a lower position than they deserve: that costs misses, but it never
serves a purged response.

The rules of `judge`:

- An entry is **dead** if its epoch is not the present one, if it is below the horizon, or if a hard
  purge with a higher number names one of its tags.
- It is **stale** if only soft purges do so. It may then be served while it is refreshed, or on errors.
- Otherwise it is **valid**, and stays valid until `version` changes. `judge` notes that version in
  `entry.checked`, so the next memory hit compares one integer and does not look at tags at all.

The number of floors is bounded (I4). When the oldest floor is dropped, the horizon rises to it.
Everything below counts as purged then, which again costs misses only.

Threads: writers take the lock, and readers do not. The order in which writers change the epoch, the
horizon and the floors, and in which `judge` reads them, therefore matters. Each place says why.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from cachemw.engine.model.entry import Item, Position, Verdict
from cachemw.invalidation.purges import Purge

__all__ = ["LOCAL_BITS", "NO_EPOCH", "Floors"]

NO_EPOCH = bytes(8)
"""The epoch until the log is reached for the first time."""

LOCAL_BITS = 0xFFFF
"""The lowest bits of a number. They count local purges after a record, which the log does not have yet."""


class Floors:
    """The floors of one process. Purges and the log's thread write them, every request reads them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.version = 0
        """Rises whenever something may have been purged."""
        self._current = Position(NO_EPOCH, 0)
        self.horizon = 0
        """Entries with a lower position are dead."""
        self._hard: OrderedDict[str, int] = OrderedDict()
        self._soft: OrderedDict[str, int] = OrderedDict()
        self._all_soft = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._hard) + len(self._soft)

    def current_position(self) -> Position:
        """Return the position for an entry whose application call starts now."""
        return self._current

    @property
    def epoch(self) -> bytes:
        """The epoch of the log that this process follows."""
        return self._current.epoch

    @property
    def position(self) -> int:
        """The number of the last record applied."""
        return self._current.id

    def apply(
        self, number: int, tags: Iterable[str] | None, *, soft: bool, follow: bool = True
    ) -> None:
        """Apply one purge record. `tags` None means everything.

        With `follow` False, the position does not move. That is for a record which this process has
        just appended: its floors count at once, but earlier records may not have been read yet.
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
            # Raise the horizon before the floor is removed. `judge` takes no lock and reads the horizon
            # last, so it sees at least one of the two (I5).
            self.horizon = max(self.horizon, next(iter(floors.values())))
            floors.popitem(last=False)

    def apply_locally(self, tags: Iterable[str] | None, *, soft: bool) -> None:
        """Apply a purge that is not in the log yet, because Redis cannot be reached.

        Its number is just above the last applied record, in `LOCAL_BITS`, which the numbers of the
        log leave free. So entries that are made after this purge are not taken for older ones.
        """
        number = self.position + 1
        # When the free bits are used up, the position stays. New entries with these tags are then
        # dead until the log is back, which is the safe side.
        self.apply(number, tags, soft=soft, follow=number & LOCAL_BITS != 0)

    def advance(self, number: int) -> None:
        """Move the position to a record that purges nothing."""
        with self._lock:
            self._move(number)

    def _move(self, number: int) -> None:
        if number > self._current.id:
            self._current = Position(self._current.epoch, number)

    def begin_epoch(self, epoch: bytes, horizon: int) -> None:
        """Start another life of the log. All entries of the old one are dead."""
        with self._lock:
            # Set the epoch before the floors are cleared. `judge` takes no lock and reads the epoch after
            # the floors, so no entry of the old life can pass in between (I5).
            self._current = Position(epoch, horizon)
            self.horizon = horizon
            self._hard.clear()
            self._soft.clear()
            self._all_soft = 0
            self.version += 1

    def reset_after_fork(self) -> None:
        """Make a new lock: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def purges_since(self, number: int) -> list[Purge]:
        """Return the purges above a number, joined into as few as possible."""
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
        """Raise the horizon to a number: the log does not have the records before it any more."""
        with self._lock:
            if number > self.horizon:
                self.horizon = number
                self.version += 1

    def overtakes(self, position: Position, tags: Iterable[str]) -> bool:
        """Tell whether an entry with these tags, made from this position, would be dead."""
        if any(self._hard.get(tag, 0) > position.id for tag in tags):
            return True
        return position.epoch != self._current.epoch or position.id < self.horizon

    def names(self, position: Position, tags: Iterable[str]) -> bool:
        """Tell whether a hard purge after this position has named one of these tags.

        In another epoch the numbers cannot be compared: then it is not known, and False.
        """
        if position.epoch != self._current.epoch:
            return False
        return any(self._hard.get(tag, 0) > position.id for tag in tags)

    def judge(self, entry: Item) -> Verdict:
        """Tell whether a purge has overtaken an entry. For a valid one, note the version on it.

        `version` is read before the floors: if a record is applied in between, `checked` is an old
        version, and the next hit judges again. Epoch and horizon are read after the floors: code
        that removes a floor has changed one of these two before (`_trim`, `begin_epoch`).
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
        if entry.position.epoch != self._current.epoch or began < self.horizon:
            return Verdict.DEAD
        if stale:
            return Verdict.STALE
        entry.checked = version
        return Verdict.VALID
