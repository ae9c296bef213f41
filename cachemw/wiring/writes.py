"""Writes to the shared store, after the response has gone out."""

from __future__ import annotations

import asyncio

from cachemw.connections.request_budget import is_spent
from cachemw.engine.core.drivers import arun, run
from cachemw.engine.core.effects import Lease, SharedWrite, save
from cachemw.process.tasks import Tasks
from cachemw.process.threads import WorkerPool
from cachemw.telemetry.reporter import Reporter
from cachemw.wiring.effects import EffectRunner

__all__ = ["SharedWriter"]


class SharedWriter:
    """Writes entries to the shared store, and settles leases.

    A client waits for none of this, and no failure reaches it (I3).
    """

    def __init__(
        self, effects: EffectRunner, workers: WorkerPool, tasks: Tasks, reporter: Reporter
    ) -> None:
        self._effects = effects
        self._workers = workers
        self._tasks = tasks
        self._reporter = reporter

    def save(self, write: SharedWrite) -> None:
        """Write entries in this thread, or in the background where its request has waited long enough."""
        if self._effects.shared is None:
            return
        redis = self._effects.redis
        if redis is not None and is_spent(redis):
            self._save_in_background(write)
            return
        try:
            run(save(write), self._effects.perform)
        except Exception:
            self._reporter.logs.failed("save_failed")

    async def asave(self, write: SharedWrite) -> None:
        """Write entries in the running event loop."""
        if self._effects.shared is None:
            return
        try:
            await arun(save(write), self._effects.aperform)
        except Exception:
            self._reporter.logs.failed("save_failed")

    def save_later(self, write: SharedWrite) -> None:
        """Write entries in a task of the running event loop; drop and count them if it has too many."""
        if self._effects.shared is None:
            return
        if not self._tasks.spawn(self.asave(write)):
            self._reporter.count("dropped_stores", "")

    def _save_in_background(self, write: SharedWrite) -> None:
        accepted = self._workers.submit(lambda: self.save(write))
        if not accepted:
            self._reporter.count("dropped_stores", "")
        if write.lease is not None:
            write.lease.dropped = not accepted

    def settle(self, lease: Lease, *, uncacheable: bool) -> None:
        """Settle, in the background, a lease whose response was not stored."""
        write = SharedWrite((), "", lease, uncacheable)
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop: this is a thread
            task = None
        # The loop of a task that is being cancelled may be ending, and run nothing any more.
        if task is None or task.cancelling():
            accepted = self._workers.submit(lambda: self.save(write))
        else:
            accepted = self._tasks.spawn(self.asave(write))
        # A lease that nobody will settle must not be renewed: the other processes wait for it.
        lease.dropped = not accepted
