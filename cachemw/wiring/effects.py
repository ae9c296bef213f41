"""The runner of effects: lookups and writes in the shared store, and waiting for a flight's leader."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.connections.request_budget import begin_request
from cachemw.engine.core.effects import (
    Acquire,
    Await,
    Claim,
    Effect,
    Lease,
    Lookup,
    Pause,
    Save,
    Settle,
)
from cachemw.engine.core.flights import Flight, FlightResult, Waiter
from cachemw.engine.model.entry import Item, Key
from cachemw.invalidation.base import InvalidationLog
from cachemw.process.clock import Clock
from cachemw.stores.base import SharedTier
from cachemw.stores.redis.leases import Leases
from cachemw.telemetry.spans import span_lookup, span_store

__all__ = ["EffectRunner"]


class EffectRunner:
    """Runs effects: `perform` in a thread, `aperform` in an event loop."""

    def __init__(
        self,
        clock: Clock,
        log: InvalidationLog,
        shared: SharedTier | None = None,
        leases: Leases | None = None,
        *,
        redis: RedisConfig | None = None,
    ) -> None:
        """Allow a request to wait in vain for `redis` for one deadline in all."""
        self._clock = clock
        self._log = log
        self.shared = shared
        """The shared store, or None. `cachemw.testing.chaos` wraps it."""
        self._leases = leases
        self.redis = redis

    def begin_request(self) -> None:
        """Start the time that the request of this thread or task may wait for the shared store."""
        if self.redis is not None:
            begin_request(self.redis)

    def perform(self, effect: Effect) -> tuple[Any, float]:
        """Run one effect in this thread."""
        match effect:
            case Await(flight, timeout, further):
                return _wait(flight, timeout, further), self._clock.monotonic()
            case Lookup(key):
                return self._lookup(key), self._clock.monotonic()
            case Save(entry, key):
                return self._save(entry, key), self._clock.monotonic()
            case Acquire(key):
                return self._acquire(key), self._clock.monotonic()
            case Pause(seconds):
                time.sleep(seconds)
                return None, self._clock.monotonic()
            case Settle(lease, uncacheable):
                self._settle(lease, uncacheable)
                return None, self._clock.monotonic()

    async def aperform(self, effect: Effect) -> tuple[Any, float]:
        """Run one effect in the running event loop."""
        match effect:
            case Await(flight, timeout, further):
                return await _await(flight, timeout, further), self._clock.monotonic()
            case Lookup(key):
                return await self._alookup(key), self._clock.monotonic()
            case Save(entry, key):
                return await self._asave(entry, key), self._clock.monotonic()
            case Acquire(key):
                return await self._aacquire(key), self._clock.monotonic()
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None, self._clock.monotonic()
            case Settle(lease, uncacheable):
                await self._asettle(lease, uncacheable)
                return None, self._clock.monotonic()

    def _usable(self, key: Key) -> SharedTier | None:
        """Return the shared store, if entries can be judged (I5) and the key's server is reachable (I3)."""
        shared = self.shared
        if shared is None or not self._log.judges_shared or not shared.reachable(key):
            return None
        return shared

    def _lookup(self, key: Key) -> Item | None:
        shared = self._usable(key)
        if shared is None:
            return None
        with span_lookup():
            return shared.get(key, self._log.floors.epoch)

    async def _alookup(self, key: Key) -> Item | None:
        shared = self._usable(key)
        if shared is None:
            return None
        with span_lookup():
            return await shared.aget(key, self._log.floors.epoch)

    def _save(self, entry: Item, key: Key) -> bool:
        shared = self._usable(key)
        if shared is None or entry.position.epoch != self._log.floors.epoch:
            return False
        with span_store():
            shared.put(key, entry)
        return True

    async def _asave(self, entry: Item, key: Key) -> bool:
        shared = self._usable(key)
        if shared is None or entry.position.epoch != self._log.floors.epoch:
            return False
        with span_store():
            await shared.aput(key, entry)
        return True

    def _leasing(self, key: Key) -> Leases | None:
        """Return the leases, if the answer of another process could be used."""
        return None if self._usable(key) is None else self._leases

    def _acquire(self, key: Key) -> Lease | Claim:
        leases = self._leasing(key)
        return Claim.UNAVAILABLE if leases is None else leases.acquire(key)

    async def _aacquire(self, key: Key) -> Lease | Claim:
        leases = self._leasing(key)
        return Claim.UNAVAILABLE if leases is None else await leases.aacquire(key)

    def _settle(self, lease: Lease, uncacheable: bool) -> None:
        leases = self._leasing(lease.key)
        if leases is not None:
            leases.settle(lease, uncacheable)
        elif self._leases is not None:
            self._leases.settle_later(lease, uncacheable)

    async def _asettle(self, lease: Lease, uncacheable: bool) -> None:
        leases = self._leasing(lease.key)
        if leases is not None:
            await leases.asettle(lease, uncacheable)
        elif self._leases is not None:
            self._leases.settle_later(lease, uncacheable)


def _wait(flight: Flight, timeout: float, further: float) -> FlightResult:
    woken = threading.Event()

    def wake() -> bool:
        woken.set()
        return True

    waiter = Waiter(wake)
    flight.join(waiter)
    try:
        if not woken.wait(timeout):
            flight.mark_late(waiter)
            woken.wait(further)
    except BaseException:  # the worker was stopped: another follower must get its turn
        flight.cancel(waiter)
        raise
    return flight.leave(waiter)


async def _await(flight: Flight, timeout: float, further: float) -> FlightResult:
    loop = asyncio.get_running_loop()
    woken = loop.create_future()

    def settle() -> None:
        if not woken.done():
            woken.set_result(None)

    def wake() -> bool:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is closed: this follower never runs again
            return False
        return True

    waiter = Waiter(wake)
    flight.join(waiter)
    try:
        await asyncio.wait((woken,), timeout=timeout)
        if not woken.done():
            flight.mark_late(waiter)
            await asyncio.wait((woken,), timeout=further)
    except BaseException:
        flight.cancel(waiter)
        raise
    return flight.leave(waiter)
