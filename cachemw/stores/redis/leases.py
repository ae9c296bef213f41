"""Leases: if several processes miss on the same key at once, only one calls the application.

Theory of operation. A lease is a key in Redis, next to its entry, with a random token as its value and
a time to live:

- `acquire` sets it with NX. The process that succeeds is the holder and calls the application; the
  others wait for the entry.
- `settle` ends it. The holder first stores the entry, then deletes the lease. If the response cannot be
  stored, the holder replaces the token with a "not cacheable" marker, which lives for a while. A process
  that finds the marker calls the application at once, without a lease (hit-for-miss).
- `renew` extends the leases of this process. The log's thread calls it regularly, so a slow holder keeps
  its lease. If a holder dies, nobody renews its lease, and it ends by itself.
- Every script compares the token first. A lease that ran out may belong to another process now, and
  must not be renewed or deleted for it.

If Redis fails during `acquire` or `settle`, the command may or may not have been executed. The lease is
then settled later (`settle_deferred`), so that no process waits for a holder that does not exist.

`Leases` refers to its `Lease` objects weakly. When the last user of a lease is gone, in whatever way it
ended, the object is freed and no longer renewed. So no caller has to sign off. Where a traceback may
keep the object alive, its user marks it `dropped`, and it is settled at the next renewal.
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
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.key_names import name_of

__all__ = ["Leases"]

_UNCACHEABLE = b"-"
"""The "not cacheable" marker: the value in place of a token."""

_LONGEST = 60.0
"""Seconds for which a lease is renewed altogether. Proxies give up by then (proxy_read_timeout of nginx is
60 s), so no client waits any more; and a call that never ends must not hold a lease for ever."""
_MOST = 1000
"""Leases that one process renews (I4). Further ones are not renewed and end by themselves."""
_BUDGET = 0.05
"""Seconds that one round of renewals may take: its thread must also follow the log."""

# These are scripts because each must be atomic. Each uses one key only, as a Cluster requires. GETRANGE
# reads 17 bytes, one more than a token has: somebody else may have put a large value there.
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
    """When a lease was taken, and when it was last renewed."""

    taken: float
    renewed: float


class _DeferredSettlement(Struct, frozen=True):
    """A lease to settle later, because Redis failed. Other processes may be waiting for it."""

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
        """Keep a lease `lifetime` seconds after each renewal, and a marker `remembered` seconds."""
        self._commands = commands
        self._namespace = namespace
        self._lifetime = max(1, int(lifetime * 1000))
        self._remembered = int(remembered * 1000)
        self._renewed_after = lifetime / 3
        self._monotonic = monotonic
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget all leases: the calls to the application run in the parent process."""
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[Lease, _Holding] = WeakKeyDictionary()
        self._deferred: deque[_DeferredSettlement] = deque(maxlen=_MOST)

    def acquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or return why there is none. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        with self._deferred_on_failure(lease, uncacheable=False):
            return self._read_claim(lease, self._run(lease, self._acquire_command(lease)))

    async def aacquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or return why there is none. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        with self._deferred_on_failure(lease, uncacheable=False):
            return self._read_claim(lease, await self._arun(lease, self._acquire_command(lease)))

    def settle(self, lease: Lease, uncacheable: bool) -> None:
        """Delete a lease, or replace it with a "not cacheable" marker. Raises StoreUnavailable."""
        with self._deferred_on_failure(lease, uncacheable):
            self._run(lease, self._settle_command(lease, uncacheable))

    async def asettle(self, lease: Lease, uncacheable: bool) -> None:
        """Delete a lease, or replace it with a "not cacheable" marker. Raises StoreUnavailable."""
        with self._deferred_on_failure(lease, uncacheable):
            await self._arun(lease, self._settle_command(lease, uncacheable))

    def settle_later(self, lease: Lease, uncacheable: bool) -> None:
        """Remember to settle a lease when Redis is back. A promoted replica may still have it."""
        self._deferred.append(_DeferredSettlement(lease, uncacheable, self._monotonic()))

    def settle_deferred(self) -> None:
        """Settle the remembered leases that have not ended by themselves. Raises StoreUnavailable."""
        while self._deferred:
            deferred = self._deferred[0]
            if self._monotonic() - deferred.since < self._lifetime / 1000:
                self._run(
                    deferred.lease, self._settle_command(deferred.lease, deferred.uncacheable)
                )
            self._deferred.popleft()

    @contextmanager
    def _deferred_on_failure(self, lease: Lease, uncacheable: bool) -> Iterator[None]:
        """Settle a lease later where a command failed or was cancelled: Redis may have executed it."""
        try:
            yield
        except BaseException:
            self.settle_later(lease, uncacheable)
            raise

    def renew(self) -> None:
        """Renew the leases of this process that are due. Raises StoreUnavailable."""
        began = self._monotonic()
        for lease, holding in self._due(began):
            if not self._run(lease, self._renew_command(lease)):
                self._forget(lease)  # it ran out, and may belong to another process now
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
