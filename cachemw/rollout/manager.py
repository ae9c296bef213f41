"""A rollout as operators move it, and the thread that controls it while there is something to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from cachemw.config import Config
from cachemw.config.rollout_plan import RolloutPlan, fit, plan_from
from cachemw.errors import RolloutError, StoreError
from cachemw.process.clock import Clock
from cachemw.rollout import state as moves
from cachemw.rollout.controller import Controller
from cachemw.rollout.plan_file import default_plan
from cachemw.rollout.state import Move, Record, State, plan_of
from cachemw.rollout.store import Store

__all__ = ["Rollout"]

_RETRY = 1.0
"""Seconds after which a controller that could not reach the store tries again."""
_CLOSE_WAIT = 5.0
_OPERATOR = "an operator"

_Step = Callable[[State, RolloutPlan, float, str, str], Move]


class Rollout:
    """The rollout of a fleet, or of one process without Redis. Thread-safe.

    What moves it raises RolloutError where it cannot be moved so, and StoreUnavailable where Redis is
    away: then nothing has changed.
    """

    def __init__(
        self,
        store: Store,
        controller: Controller,
        config: Config,
        *,
        clock: Clock,
        tell: Callable[[Record], None],
        failed: Callable[[str], None],
    ) -> None:
        """`tell` tells people of a record, `failed` logs a fault of our own by its name."""
        self._store = store
        self._controller = controller
        self._config = config
        self._clock = clock
        self._tell = tell
        self._failed = failed
        self.begun: list[Callable[[], None]] = []
        """Called when somebody has moved it through this object."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin without a thread, and without what the parent's had seen."""
        self._store.reset_after_fork()
        self._controller.forget()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wanted = False
        """Whether the thread was asked for since it last began to look for work."""
        self._stopping = threading.Event()

    # -- looking -----------------------------------------------------------------------------------

    def status(self) -> State | None:
        """Give where it stands; None: there never was a rollout."""
        return self._store.read()

    def history(self, count: int = 100) -> list[Record]:
        """Give the last decisions, the oldest first."""
        return self._store.history(count)

    # -- moving ------------------------------------------------------------------------------------

    def start(
        self, plan: Mapping[str, Any] | None = None, *, by: str = _OPERATOR, reason: str = ""
    ) -> State:
        """Begin a rollout by a plan, as its file would say it, or by that of `cachemw rollout plan`.

        Raises ConfigError for a plan that cannot work, here or at all.
        """
        written = default_plan(self._config) if plan is None else plan
        read = plan_from(written)
        warnings = fit(read, self._config)
        said = "; ".join(filter(None, (reason, *(f"warning: {each}" for each in warnings))))

        def make(before: State | None) -> Move:
            return moves.begin(read, written, before, self._clock.time(), by, said)

        return self._made(self._store.commit(make))

    def promote(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Go on to the next step or phase now, whatever the evidence."""
        return self._move(moves.promote, by, reason)

    def approve(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Let the phase begin that waits for it."""
        return self._move(moves.approve, by, reason)

    def pause(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Stay where it is; guardrails go on watching."""
        return self._move(moves.pause, by, reason)

    def resume(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Go on after a pause, or begin the phase again that was rolled back."""
        return self._move(moves.resume, by, reason)

    def roll_back(
        self, *, everything: bool = False, by: str = _OPERATOR, reason: str = ""
    ) -> State:
        """Turn off what the present phase has let in, or every phase, and purge what it has stored."""

        def back(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
            return moves.roll_back(state, plan, at, by, reason, everything=everything)

        return self._move(back, by, reason)

    def _move(self, step: _Step, by: str, reason: str) -> State:
        def make(present: State | None) -> Move:
            if present is None:
                raise RolloutError("there is no rollout: start one")
            return step(present, plan_of(present), self._clock.time(), by, reason)

        return self._made(self._store.commit(make))

    def _made(self, move: Move) -> State:
        if move.record is not None:
            self._tell(move.record)
        for told in self.begun:
            told()
        return move.state

    # -- controlling -------------------------------------------------------------------------------

    def control(self, stopping: threading.Event, *, stay: bool = False) -> None:
        """Be the controller, or wait to be it, in this thread; `stay` also while there is no rollout."""
        while not stopping.is_set():
            wait = self._turn()
            if wait is None and not stay:
                break
            stopping.wait(_RETRY if wait is None else wait)
        with suppress(StoreError):
            self._store.resign()

    def _turn(self) -> float | None:
        try:
            return self._controller.turn()
        except StoreError:  # nothing moves without the store: the next turn tries again
            return _RETRY
        except Exception:
            self._failed("rollout_failed")
            return _RETRY

    def ensure_control(self) -> None:
        """Have a thread of this process control it, if none does yet; it ends with the work."""
        with self._lock:
            self._wanted = True
            if self._thread is None or not self._thread.is_alive():
                self._stopping = threading.Event()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._stopping,), name="cachemw-rollout", daemon=True
                )
                try:
                    self._thread.start()
                except RuntimeError:  # no thread is to be had: the next tick of the log tries again
                    self._thread = None

    def _serve(self, stopping: threading.Event) -> None:
        while self._is_wanted(stopping):
            self.control(stopping)

    def _is_wanted(self, stopping: threading.Event) -> bool:
        """Say whether there may be work; if not, whoever asks from now on begins another thread."""
        with self._lock:
            if stopping.is_set():
                return False
            wanted, self._wanted = self._wanted, False
            if not wanted:
                self._thread = None
            return wanted

    def close(self) -> None:
        """Stop the thread, and give back the lease."""
        with self._lock:
            thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_WAIT)
