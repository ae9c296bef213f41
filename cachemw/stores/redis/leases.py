"""Leases: of all processes that miss on a key at once, one calls the application.

A lease is a key in Redis with a random token and a time to live, beside the entry that it is about.
Its holder writes the entry first and gives the lease back then; where the answer cannot be kept it
leaves that word in the lease's place, so that nobody waits for the next one. A holder that dies
leaves a lease that ends by itself; one that lives and is slow has it renewed, by a thread that
calls `renew` now and then. Only its own token renews a lease or gives it back: one that ran out may
belong to somebody else by now.

Who holds a lease is known by the object: `Leases` refers to it weakly, so that one that was dropped
on whatever way out is not renewed, and nothing has to be signed off.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from msgspec import Struct

from cachemw.engine.core.effects import Claim, Lease
from cachemw.engine.model.entry import Key
from cachemw.errors import StoreUnavailable
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.key_names import name_of

__all__ = ["Leases"]

_UNCACHEABLE = b"-"
"""Stands in place of a token where the answer could not be kept."""

_LONGEST = 60.0
"""Seconds for which a lease is renewed, in all: no client is there for longer, since proxies give up
by then (nginx's proxy_read_timeout is 60 s), and a call that never ends must not hold one for ever."""
_MOST = 1000
"""Leases of a process that are renewed; beyond them they end by themselves."""
_BUDGET = 0.05
"""Seconds that one round of renewals may take: the thread that makes it has the log to follow."""

# Scripts, for each must be one step; of one key, for the sake of Cluster. They read no more than one
# byte above a token's 16, for whatever somebody else may have put there.
_ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GETRANGE', KEYS[1], 0, 16)
"""
_SETTLE = """
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
return 1
"""
_RENEW = """
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class _Holding(Struct):
    """Since when a lease is held, and when it was last renewed."""

    taken: float
    renewed: float


class _DeferredSettlement(Struct, frozen=True):
    """A lease that Redis was not there to take back; others would wait for what will not come."""

    lease: Lease
    uncacheable: bool
    since: float


class Leases:
    """The leases of one namespace. Thread-safe; the methods with an `a` are for event loops."""

    def __init__(
        self,
        commands: Commands,
        namespace: str,
        *,
        lifetime: float,
        remembered: float,
        monotonic: Callable[[], float],
    ) -> None:
        """A lease ends `lifetime` seconds after it was taken, or renewed; that nobody need wait holds
        for `remembered`."""
        self._commands = commands
        self._namespace = namespace
        self._lifetime = max(1, int(lifetime * 1000))
        self._remembered = int(remembered * 1000)
        self._renewed_after = lifetime / 3
        self._monotonic = monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget what is held: the calls are the parent's."""
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[Lease, _Holding] = WeakKeyDictionary()
        self._deferred: deque[_DeferredSettlement] = deque(maxlen=_MOST)

    def acquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or say why it is not to be had. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        with self._deferred_on_failure(lease, uncacheable=False):
            return self._read_claim(lease, self._run(lease, self._acquire_command(lease)))

    async def aacquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or say why it is not to be had. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        with self._deferred_on_failure(lease, uncacheable=False):
            return self._read_claim(lease, await self._arun(lease, self._acquire_command(lease)))

    def settle(self, lease: Lease, uncacheable: bool) -> None:
        """Give a lease back, or leave word that nobody need wait. Raises StoreUnavailable."""
        with self._deferred_on_failure(lease, uncacheable):
            self._run(lease, self._settle_command(lease, uncacheable))

    async def asettle(self, lease: Lease, uncacheable: bool) -> None:
        """Give a lease back, or leave word that nobody need wait. Raises StoreUnavailable."""
        with self._deferred_on_failure(lease, uncacheable):
            await self._arun(lease, self._settle_command(lease, uncacheable))

    def settle_later(self, lease: Lease, uncacheable: bool) -> None:
        """Remember to settle a lease when Redis is back: a replica that took over has it still."""
        self._deferred.append(_DeferredSettlement(lease, uncacheable, self._monotonic()))

    def settle_deferred(self) -> None:
        """Settle what is owed, and not over by itself. Raises StoreUnavailable."""
        while self._deferred:
            deferred = self._deferred[0]
            if self._monotonic() - deferred.since < self._lifetime / 1000:
                self._run(
                    deferred.lease, self._settle_command(deferred.lease, deferred.uncacheable)
                )
            self._deferred.popleft()

    @contextmanager
    def _deferred_on_failure(self, lease: Lease, uncacheable: bool) -> Iterator[None]:
        """Owe a lease if Redis fails: what was asked for may have been done for all that."""
        try:
            yield
        except StoreUnavailable:
            self.settle_later(lease, uncacheable)
            raise

    def renew(self) -> None:
        """Renew what is held and was not renewed of late. Raises StoreUnavailable."""
        began = self._monotonic()
        for lease, holding in self._due(began):
            if not self._run(lease, self._renew_command(lease)):
                self._forget(lease)  # it ran out, and may be somebody else's
            holding.renewed = self._monotonic()
            if holding.renewed - began > _BUDGET:
                return  # the others are due in the next round

    def _due(self, now: float) -> Iterator[tuple[Lease, _Holding]]:
        with self._lock:
            held = list(self._held.items())
        for lease, holding in held:
            if lease.dropped:
                self._forget(lease)
                self.settle_later(lease, uncacheable=False)
            elif now - holding.taken > _LONGEST:
                self._forget(lease)
            elif now - holding.renewed > self._renewed_after:
                yield lease, holding

    def _forget(self, lease: Lease) -> None:
        with self._lock:
            self._held.pop(lease, None)

    def _read_claim(self, lease: Lease, answer: Any) -> Lease | Claim:
        if answer != 1:
            return Claim.UNCACHEABLE if answer == _UNCACHEABLE else Claim.HELD
        now = self._monotonic()
        with self._lock:
            if len(self._held) < _MOST:
                self._held[lease] = _Holding(now, now)
        return lease

    def _run(self, lease: Lease, command: tuple[Any, ...]) -> Any:
        return self._commands.run("lease", self._name(lease), *command)

    async def _arun(self, lease: Lease, command: tuple[Any, ...]) -> Any:
        return await self._commands.arun("lease", self._name(lease), *command)

    def _acquire_command(self, lease: Lease) -> tuple[Any, ...]:
        return "EVAL", _ACQUIRE, 1, self._name(lease), lease.token.hex(), self._lifetime

    def _settle_command(self, lease: Lease, uncacheable: bool) -> tuple[Any, ...]:
        marker_lifetime = self._remembered if uncacheable else 0
        return "EVAL", _SETTLE, 1, self._name(lease), lease.token.hex(), marker_lifetime

    def _renew_command(self, lease: Lease) -> tuple[Any, ...]:
        return "EVAL", _RENEW, 1, self._name(lease), lease.token.hex(), self._lifetime

    def _name(self, lease: Lease) -> bytes:
        return name_of(self._namespace, lease.key, "lease")
