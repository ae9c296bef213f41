"""The rollout as operators use it, and the thread that controls it while there is work to do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from cachemw.config import Config
from cachemw.config.rollout_plan import RolloutPlan, fit, plan_from
from cachemw.errors import RolloutError, StoreError
from cachemw.process.clock import Clock
from cachemw.process.threads import StoppableThread, StopSignal
from cachemw.rollout import transitions
from cachemw.rollout.controller import Controller
from cachemw.rollout.plan_file import own_plan
from cachemw.rollout.state import Move, Record, State, plan_of
from cachemw.rollout.store import Store

__all__ = ["Rollout"]

_RETRY: Final = 1.0
"""Seconds after which a controller that could not reach the store tries again."""
_OPERATOR: Final = "an operator"


class Stopping(Protocol):
    """A signal that ends the controller, such as an Event of `threading`."""

    def is_set(self) -> bool:
        """Tell whether it is to end."""

    def wait(self, timeout: float) -> bool:
        """Wait until it is to end, at most `timeout` seconds."""


_Transition = Callable[[State, RolloutPlan, float, str, str], Move]


class Rollout:
    """The rollout of all processes that share a Redis, or of one process without Redis. Thread-safe.

    A method that moves the rollout raises RolloutError if the move is not possible now, and
    StoreUnavailable if Redis is away. In both cases nothing has changed.
    """

    def __init__(
        self,
        store: Store,
        controller: Controller,
        config: Config,
        *,
        clock: Clock,
        report: Callable[[Record], None],
        failed: Callable[[str], None],
    ) -> None:
        """Manage the rollout in `store`.

        `report` is called with each record that this process makes; `failed` logs an internal error
        under a name.
        """
        self._store = store
        self._controller = controller
        self._config = config
        self._clock = clock
        self._report = report
        self._failed = failed
        self.on_move: list[Callable[[], None]] = []
        """Called after each move that was made through this object."""
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Drop the parent's thread and evidence."""
        self._store.reset_after_fork()
        self._controller.forget()
        self._lock = (
            threading.RLock()
        )  # a signal handler that closes may have interrupted its holder
        self._thread: StoppableThread | None = None
        self._wanted = False
        """Whether control was asked for since the thread last began to look for work."""
        self._stopped = False
        """Whether no thread may be started, because the log's thread may still ask for one."""

    # -- looking -----------------------------------------------------------------------------------

    def status(self) -> State | None:
        """Return the state of the rollout, or None if there never was one."""
        return self._store.read()

    def history(self, count: int = 100) -> list[Record]:
        """Return the last `count` records, the oldest first."""
        return self._store.history(count)

    # -- moving ------------------------------------------------------------------------------------

    def start(
        self, plan: Mapping[str, Any] | None = None, *, by: str = _OPERATOR, reason: str = ""
    ) -> State:
        """Begin a rollout.

        `plan` has the keys of a plan file; without it, the plan is the one that `rollout.plan` names,
        else the one that `cachemw rollout plan` writes. Raises ConfigError for a plan that is wrong or
        does not fit the configuration.
        """
        written = own_plan(self._config) if plan is None else plan
        read = plan_from(written)
        warnings = fit(read, self._config)
        full_reason = "; ".join(filter(None, (reason, *(f"warning: {each}" for each in warnings))))

        def make(before: State | None) -> Move:
            return transitions.begin(read, written, before, self._clock.time(), by, full_reason)

        return self._commit(make)

    def promote(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Go on to the next step or phase now, even where evidence is missing."""
        return self._move(transitions.promote, by, reason)

    def approve(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Begin the phase that waits for approval."""
        return self._move(transitions.approve, by, reason)

    def pause(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Stay in the present step; guardrails go on watching."""
        return self._move(transitions.pause, by, reason)

    def resume(self, *, by: str = _OPERATOR, reason: str = "") -> State:
        """Go on after a pause; after a rollback, begin the phase again."""
        return self._move(transitions.resume, by, reason)

    def roll_back(
        self, *, everything: bool = False, by: str = _OPERATOR, reason: str = ""
    ) -> State:
        """Turn off the present phase, or every phase, and purge the entries of its routes."""

        def back(state: State, plan: RolloutPlan, at: float, by: str, reason: str) -> Move:
            return transitions.roll_back(state, plan, at, by, reason, everything=everything)

        return self._move(back, by, reason)

    def _move(self, transition: _Transition, by: str, reason: str) -> State:
        def make(present: State | None) -> Move:
            if present is None:
                raise RolloutError("there is no rollout: start one")
            return transition(present, plan_of(present), self._clock.time(), by, reason)

        return self._commit(make)

    def _commit(self, make: Callable[[State | None], Move]) -> State:
        move = self._store.commit(make)
        if move.record is not None:
            self._report(move.record)
        for callback in self.on_move:
            callback()
        return move.state

    # -- controlling -------------------------------------------------------------------------------

    def control(self, stopping: Stopping, *, stay: bool = False) -> None:
        """Run the controller in this thread until there is no work, or with `stay` until stopped."""
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
        except StoreError:  # nothing moves without the store; the next turn tries again
            return _RETRY
        except Exception:
            self._failed("rollout_failed")
            return _RETRY

    def ensure_control(self) -> None:
        """Start the controller's thread in this process if none runs; it ends with the work."""
        with self._lock:
            self._wanted = True
            if self._thread is None or not self._thread.is_alive():
                self._thread = StoppableThread(self._run, "cachemw-rollout")
                if self._stopped:  # asked for after the thread was there: else `stop` may miss it
                    self._thread = None
                    return
                try:
                    self._thread.start()
                except RuntimeError:
                    # No thread can be started now. The log's next tick tries again.
                    self._thread = None

    def _run(self, stopping: StopSignal) -> None:
        while self._is_wanted(stopping):
            self.control(stopping)

    def _is_wanted(self, stopping: StopSignal) -> bool:
        """Tell whether there may be work; if not, forget the thread in the same locked step.

        Otherwise `ensure_control` could see a live thread that has just decided to end, and the work
        would wait for nobody.
        """
        with self._lock:
            if stopping.is_set():
                return False
            wanted, self._wanted = self._wanted, False
            if not wanted:
                self._thread = None
            return wanted

    def stop(self) -> None:
        """Ask the thread to release the lease and to end. None is started until `finish`."""
        self._stopped = True
        thread = self._thread
        if thread is not None:
            thread.stopping.set()

    def finish(self, until: float) -> None:
        """Wait for the thread until this time. Later work starts another one."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end(until)
        self._stopped = False
