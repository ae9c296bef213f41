"""Storage of a rollout: in Redis for all processes that share it, in the process without Redis.

A commit is one step. The state, the record in the history, the live flags and the purge become true
together, or none of them does: a rolled-back flag without its purge would leave the entries that caused
the rollback (I6).

A commit is made on the newest state. If another process wrote in the meantime, the move is made again
on what that process wrote, and may then raise RolloutError.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.flags.live import LiveFlags, read_document
from cachemw.rollout.state import Look, Move, Record, State

__all__ = [
    "CommitDocuments",
    "Documents",
    "FlagsChanged",
    "LocalStore",
    "MakeMove",
    "SharedStore",
    "Store",
]

MakeMove = Callable[[State | None], Move]
"""Return the move for the present state; it may raise RolloutError. It may be called more than once."""
T = TypeVar("T")

_RECORDS: Final = 1000
"""Most records that a process without Redis keeps (I4)."""
_LOOKS: Final = 5000
"""Most looks kept of one phase (I4): three and a half days at one a minute."""


class FlagsChanged(Exception):
    """The live flags are not those that a move expects. Nothing has been written."""


def _require_flags(move: Move, live: LiveFlags) -> None:
    """Raise FlagsChanged if the live flags are not those that a move expects."""
    for risk, expected in move.expected.items():
        if (state := live.classes.get(risk, "default")) != expected:
            raise FlagsChanged(f"{risk} is {state!r}, and this step has {expected!r}")


class Store(Protocol):
    """The storage as the controller and operators use it. Methods of SharedStore raise StoreUnavailable."""

    def read(self) -> State | None:
        """Return the state of the rollout, or None if there never was one."""

    def commit(self, make: MakeMove) -> Move:
        """Make a move and return it as it was written. Raises FlagsChanged."""

    def looks(self, attempt: int) -> list[Look]:
        """Return the stored looks of this attempt."""

    def history(self, count: int) -> list[Record]:
        """Return the last `count` records, the oldest first."""

    def lead(self) -> bool:
        """Take or renew the controller's lease; return whether this process holds it."""

    def resign(self) -> None:
        """Release the lease if this process holds it."""

    def probe(self) -> str:
        """Test the store; return what is wrong with it, or an empty string."""

    def reset_after_fork(self) -> None:
        """Drop what belongs to the parent process."""


class LocalStore:
    """The rollout of one process. Thread-safe."""

    def __init__(self, flags: Flags, purge: Callable[[Sequence[str]], object]) -> None:
        """Store in memory; `purge` purges the entries of some risk classes' routes."""
        self._flags = flags
        self._purge = purge
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin with no rollout: the parent's rollout goes on in the parent."""
        self._lock = threading.Lock()
        self._state: State | None = None
        self._looks: deque[Look] = deque(maxlen=_LOOKS)
        self._records: deque[Record] = deque(maxlen=_RECORDS)

    def read(self) -> State | None:
        """Return the state of the rollout."""
        return self._state

    def commit(self, make: MakeMove) -> Move:
        """Make a move and return it as it was written."""
        with self._lock:
            before = self._state
            move = make(before)
            _require_flags(move, self._flags.live)
            if move.flags:
                self._flags.set(move.flags)
                revision = self._flags.live.revision
                move = replace(move, state=replace(move.state, flags_revision=revision))
            if move.purged:
                self._purge(move.purged)
            if before is None or before.attempt != move.state.attempt:
                self._looks.clear()
            if move.look is not None:
                self._looks.append(move.look)
            if move.record is not None:
                self._records.append(move.record)
            self._state = move.state
            return move

    def looks(self, attempt: int) -> list[Look]:
        """Return the stored looks of this attempt."""
        return [look for look in self._looks if look.attempt == attempt]

    def history(self, count: int) -> list[Record]:
        """Return the last `count` records, the oldest first."""
        return list(self._records)[-count:]

    def lead(self) -> bool:
        """Return True: there is no other process."""
        return True

    def resign(self) -> None:
        """Do nothing."""

    def probe(self) -> str:
        """Return an empty string: memory is always there."""
        return ""


class CommitDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of one commit, encoded."""

    state: bytes
    flags: bytes | None = None
    purged: tuple[str, ...] = ()
    """The tags to purge."""
    record: bytes | None = None
    look: bytes | None = None
    forget_looks: bool = False
    """Whether the stored looks belong to an earlier attempt and are to be deleted."""
    active: bool
    """Whether the rollout needs a controller."""


class Documents(Protocol):
    """The documents in Redis, as bytes. Every method raises StoreUnavailable."""

    def read(self) -> bytes | None:
        """Return the state."""

    def exchange(self, change: Callable[[bytes | None, bytes | None], CommitDocuments]) -> None:
        """Write what `change` returns for the present state and live flags, in one transaction."""

    def looks(self) -> list[bytes]:
        """Return the looks, the oldest first."""

    def records(self, count: int) -> list[bytes]:
        """Return the last `count` records, the oldest first."""

    def lead(self) -> bool:
        """Take or renew the lease; return whether this process holds it."""

    def resign(self) -> None:
        """Release the lease if this process holds it."""

    def probe(self) -> str:
        """Test the server; return what is wrong with it, or an empty string."""


class SharedStore:
    """The rollout of all processes that share a Redis."""

    def __init__(
        self,
        documents: Documents,
        flags: Flags,
        tags_of: Callable[[Sequence[str]], tuple[str, ...]],
    ) -> None:
        """Store in `documents`; `tags_of` returns the tags that purge some risk classes' routes."""
        self._documents = documents
        self._flags = flags
        self._tags_of = tags_of
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Drop the state that the parent has seen."""
        self._known: State | None = None
        """The newest state that this process has seen. Redis may lose its own copy."""

    def read(self) -> State | None:
        """Return the state of the rollout, also if Redis has just lost it (I6)."""
        newest = self._newest(self._documents.read())
        self._known = newest
        return newest

    def _newest(self, document: bytes | None) -> State | None:
        stored = _state(document)
        known = self._known
        if stored is None or (known is not None and known.revision > stored.revision):
            return known
        return stored

    def commit(self, make: MakeMove) -> Move:
        """Make a move with its flags and its purge, and return it as it was written."""
        made: list[tuple[Move, bytes | None]] = []  # one for each attempt: the last one was written

        def change(state: bytes | None, flags: bytes | None) -> CommitDocuments:
            before = self._newest(state)
            move = make(before)
            _require_flags(move, read_document(self._flags.newest(flags)) or LiveFlags())
            document = None
            if move.flags:
                live = self._flags.amended(flags, move.flags)
                document = msgspec.json.encode(live)
                move = replace(move, state=replace(move.state, flags_revision=live.revision))
            made.append((move, document))
            return CommitDocuments(
                state=msgspec.json.encode(move.state),
                flags=document,
                purged=self._tags_of(move.purged) if move.purged else (),
                record=None if move.record is None else msgspec.json.encode(move.record),
                look=None if move.look is None else msgspec.json.encode(move.look),
                active=move.state.needs_controller,
                forget_looks=before is None or before.attempt != move.state.attempt,
            )

        self._documents.exchange(change)
        move, document = made[-1]
        self._known = move.state
        if document is not None:
            self._flags.receive(document)
        return move

    def looks(self, attempt: int) -> list[Look]:
        """Return the stored looks of this attempt, without those that cannot be read."""
        decoded = [_decoded(each, Look) for each in self._documents.looks()]
        return [look for look in decoded if look is not None and look.attempt == attempt]

    def history(self, count: int) -> list[Record]:
        """Return the last `count` records, the oldest first."""
        decoded = [_decoded(each, Record) for each in self._documents.records(count)]
        return [record for record in decoded if record is not None]

    def lead(self) -> bool:
        """Take or renew the controller's lease; return whether this process holds it."""
        return self._documents.lead()

    def resign(self) -> None:
        """Release the lease if this process holds it."""
        self._documents.resign()

    def probe(self) -> str:
        """Test Redis; return what is wrong with it, or an empty string."""
        return self._documents.probe()


def _state(document: bytes | None) -> State | None:
    return None if document is None else _decoded(document, State)


def _decoded(document: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.MsgspecError:
        return None
