"""The memory of a rollout outside Redis: in each process, and in the mirror of its machine.

Every process that follows the log keeps the newest state of the rollout and its last decisions. If Redis
has lost its data, it gets them back together with the live flags: a phase that was rolled back stays
rolled back, and its history says why.

**Flags first.** The flags may be newer than the state that is remembered. A state that says `running`
beside flags that say otherwise would let a controller go on, and turn on what was turned off since. So
a state whose flags have changed since its last move is restored as `rolled back` or `paused`, and a person
decides. The flags of its own step are not enough: a later phase may have begun and been rolled back.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from cachemw.errors import ConfigError
from cachemw.rollout.flags.live import LiveFlags
from cachemw.rollout.state import Record, State, Status, plan_of

__all__ = ["RememberedRollout", "reconciled"]

T = TypeVar("T")
RECORDS: Final = 50
"""Most decisions that are remembered (I4)."""
_MAX_SIZE: Final = 128 * 1024
"""Most bytes of the document: half of what a mirror may have."""
_LOST: Final = (
    "Redis lost its data, and the flags may be newer than this step: check them; `resume` sets those of"
    " this step"
)


class _Document(msgspec.Struct, frozen=True):
    state: State | None = None
    history: tuple[Record, ...] = ()

    @property
    def revision(self) -> int:
        return self.state.revision if self.state else -1


class RememberedRollout:
    """The newest state and the last decisions that this process knows of. Thread-safe."""

    def __init__(self) -> None:
        self._known = _Document()
        self._encoded = msgspec.json.encode(self._known)
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Replace the lock, which a thread that the fork did not copy may have held."""
        self._lock = threading.Lock()

    def learn(self, state: bytes | None, records: Sequence[bytes]) -> None:
        """Remember what Redis has, if it is newer."""
        found = _decoded(state, State)
        history = [record for each in records if (record := _decoded(each, Record)) is not None]
        self._keep(_Document(found, tuple(history)))

    def restore(self, stored: bytes, *, young: bool) -> None:
        """Remember what a mirror has, of any age, if it is newer."""
        self._keep(_decoded(stored, _Document) or _Document())

    def _keep(self, found: _Document) -> None:
        with self._lock:
            if found.revision > self._known.revision:
                self._known = found
                self._encoded = _bounded(found)

    def newest(self, stored: bytes) -> bytes:
        """Return the newer of a stored document and what this process remembers."""
        theirs = _decoded(stored, _Document)
        if theirs is not None and theirs.revision >= self._known.revision:
            return stored
        return self._encoded

    def missing(
        self, stored: bytes | None, live: LiveFlags
    ) -> tuple[State, tuple[Record, ...]] | None:
        """Return state and history if Redis, which has the state `stored`, has lost them.

        `live` are the newest live flags that this process knows.
        """
        theirs, known = _decoded(stored, State), self._known
        if known.state is None or (theirs and theirs.revision >= known.state.revision):
            return None
        return reconciled(known.state, live), known.history


def reconciled(state: State, live: LiveFlags) -> State:
    """Return a state that fits the live flags: no controller goes on where they say otherwise."""
    if not state.active:
        return state
    try:
        phase = plan_of(state).phases[state.phase]
        step, flags = phase.steps[state.step], {live.classes.get(risk) for risk in phase.risks}
    except (ConfigError, IndexError):
        step, flags = "", set()
    if flags == {step} and live.revision == state.flags_revision:
        return state
    status: Status = "rolled back" if flags == {"off"} else "paused"
    return replace(state, revision=state.revision + 1, status=status, reason=_LOST)


def _bounded(document: _Document) -> bytes:
    """Return the document in JSON, with as many of the last decisions as there is room for."""
    kept = replace(document, history=document.history[-RECORDS:])
    encoded = msgspec.json.encode(kept)
    while len(encoded) > _MAX_SIZE and kept.history:
        kept = replace(kept, history=kept.history[len(kept.history) // 2 + 1 :])
        encoded = msgspec.json.encode(kept)
    return encoded if len(encoded) <= _MAX_SIZE else msgspec.json.encode(_Document())


def _decoded(document: bytes | None, kind: type[T]) -> T | None:
    try:
        return None if document is None else msgspec.json.decode(document, type=kind)
    except (msgspec.MsgspecError, RecursionError):
        return None
