"""Where a rollout is kept: in Redis for a fleet, in the process where there is none.

A commit is one step: the state, the record in the history, the live flags and the purge become true
together, or nothing does. It is made on the newest state there is; when somebody was faster it is made
again on what they wrote, and may then refuse.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from cachemw.rollout.flags.flags import Flags
from cachemw.rollout.state import Look, Move, Record, State

__all__ = ["Documents", "LocalStore", "Make", "SharedStore", "Store", "Written"]

MakeMove = Callable[[State | None], Move]
"""Makes the move out of where the rollout stands; it may raise RolloutError."""
T = TypeVar("T")

_RECORDS = 1000
"""Records that a process without Redis keeps."""
_LOOKS = 5000
"""Looks that are kept of one phase: three and a half days of one a minute."""


class Store(Protocol):
    """What the controller and operators need. All but LocalStore's raise StoreUnavailable."""

    def read(self) -> State | None:
        """Give where the rollout stands; None: there never was one."""

    def commit(self, make: MakeMove) -> Move:
        """Make a move and give it as it was made."""

    def looks(self, attempt: int) -> list[Look]:
        """Give what the looks of this attempt have found."""

    def history(self, count: int) -> list[Record]:
        """Give the last records, the oldest first."""

    def lead(self) -> bool:
        """Take or keep the lease of the one controller there may be; say whether we have it."""

    def resign(self) -> None:
        """Give the lease back, if it is ours."""

    def probe(self) -> str:
        """Try the store; give what is wrong with it, nothing where all is well."""

    def reset_after_fork(self) -> None:
        """Begin anew in a child process."""


class LocalStore:
    """The rollout of one process. Thread-safe."""

    def __init__(self, flags: Flags, purge: Callable[[Sequence[str]], object]) -> None:
        """`purge` purges the routes of some risk classes."""
        self._flags = flags
        self._purge = purge
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin with no rollout: the parent's goes on in the parent."""
        self._lock = threading.Lock()
        self._state: State | None = None
        self._looks: deque[Look] = deque(maxlen=_LOOKS)
        self._records: deque[Record] = deque(maxlen=_RECORDS)

    def read(self) -> State | None:
        """Give where the rollout stands."""
        return self._state

    def commit(self, make: MakeMove) -> Move:
        """Make a move."""
        with self._lock:
            before = self._state
            move = make(before)
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
        """Give what the looks of this attempt have found."""
        return [look for look in self._looks if look.attempt == attempt]

    def history(self, count: int) -> list[Record]:
        """Give the last records, the oldest first."""
        return list(self._records)[-count:]

    def lead(self) -> bool:
        """Say yes: there is nobody else."""
        return True

    def resign(self) -> None:
        """Do nothing."""

    def probe(self) -> str:
        """Say that all is well."""
        return ""


class CommitDocuments(msgspec.Struct, frozen=True, kw_only=True):
    """What one commit writes."""

    state: bytes
    flags: bytes | None = None
    purged: tuple[str, ...] = ()
    """Tags."""
    record: bytes | None = None
    look: bytes | None = None
    forget_looks: bool = False
    active: bool


class Documents(Protocol):
    """The documents in Redis, as bytes. All of it raises StoreUnavailable."""

    def read(self) -> bytes | None:
        """Give the state."""

    def exchange(self, change: Callable[[bytes | None, bytes | None], CommitDocuments]) -> None:
        """Write what `change` makes of the present state and live flags, in one step."""

    def looks(self) -> list[bytes]:
        """Give the looks, the oldest first."""

    def records(self, count: int) -> list[bytes]:
        """Give the last records, the oldest first."""

    def lead(self) -> bool:
        """Take or keep the lease."""

    def resign(self) -> None:
        """Give it back."""

    def probe(self) -> str:
        """Try the server."""


class SharedStore:
    """The rollout of a fleet."""

    def __init__(
        self,
        documents: Documents,
        flags: Flags,
        tags_of: Callable[[Sequence[str]], tuple[str, ...]],
    ) -> None:
        """`tags_of` gives the tags that the routes of some risk classes are purged by."""
        self._documents = documents
        self._flags = flags
        self._tags_of = tags_of
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget what the parent has seen."""
        self._known: State | None = None
        """The newest state that this process has seen: Redis may lose its own."""

    def read(self) -> State | None:
        """Give where the rollout stands, also where Redis has just lost it."""
        found = self._newest(self._documents.read())
        self._known = found
        return found

    def _newest(self, document: bytes | None) -> State | None:
        stored = _state(document)
        known = self._known
        if stored is None or (known is not None and known.revision > stored.revision):
            return known
        return stored

    def commit(self, make: MakeMove) -> Move:
        """Make a move, with the flags and the purge that belong to it."""
        made: list[tuple[Move, bytes | None]] = []

        def change(state: bytes | None, flags: bytes | None) -> CommitDocuments:
            before = self._newest(state)
            move = make(before)
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
        """Give what the looks of this attempt have found; what cannot be read is left out."""
        found = [_decoded(each, Look) for each in self._documents.looks()]
        return [look for look in found if look is not None and look.attempt == attempt]

    def history(self, count: int) -> list[Record]:
        """Give the last records, the oldest first."""
        found = [_decoded(each, Record) for each in self._documents.records(count)]
        return [record for record in found if record is not None]

    def lead(self) -> bool:
        """Take or keep the lease of the one controller there may be."""
        return self._documents.lead()

    def resign(self) -> None:
        """Give the lease back, if it is ours."""
        self._documents.resign()

    def probe(self) -> str:
        """Try Redis."""
        return self._documents.probe()


def _state(document: bytes | None) -> State | None:
    return None if document is None else _decoded(document, State)


def _decoded(document: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.MsgspecError:
        return None
