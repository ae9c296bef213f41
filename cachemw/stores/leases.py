"""Leases: of all processes that miss on a key at once, one calls the application.

A lease is a key in Redis with a random token and a time to live, beside the entry that it is about.
Its holder writes the entry first and gives the lease back then; where the answer cannot be kept it
leaves that word in the lease's place, so that nobody waits for the next one. A holder that dies
leaves a lease that ends by itself. Only its own token gives a lease back: one that ran out may
belong to somebody else by now.
"""

from __future__ import annotations

import os
from typing import Any

from cachemw.engine.effects import Claim, Lease
from cachemw.engine.entry import Key
from cachemw.stores.commands import Commands
from cachemw.stores.names import name_of

__all__ = ["Leases"]

_NOBODY_WAITS = b"-"
"""Stands in place of a token where the answer could not be kept."""

# Scripts, for each must be one step; of one key, for the sake of Cluster.
_ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return redis.call('GET', KEYS[1])
"""
_SETTLE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], '-', 'PX', ARGV[2])
return 1
"""


class Leases:
    """The leases of one namespace. Thread-safe; the methods with an `a` are for event loops."""

    def __init__(
        self, commands: Commands, namespace: str, *, lifetime: float, remembered: float
    ) -> None:
        """A lease ends after `lifetime` seconds; that nobody need wait holds for `remembered`."""
        self._commands = commands
        self._namespace = namespace
        self._lifetime = max(1, int(lifetime * 1000))
        self._remembered = int(remembered * 1000)

    def acquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or say why it is not to be had. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        return _claimed(
            lease, self._commands.ask("lease", self._name(lease), *self._acquiring(lease))
        )

    async def aacquire(self, key: Key) -> Lease | Claim:
        """Take a lease, or say why it is not to be had. Raises StoreUnavailable."""
        lease = Lease(key, os.urandom(8))
        return _claimed(
            lease, await self._commands.aask("lease", self._name(lease), *self._acquiring(lease))
        )

    def settle(self, lease: Lease, uncacheable: bool) -> None:
        """Give a lease back, or leave word that nobody need wait. Raises StoreUnavailable."""
        self._commands.ask("lease", self._name(lease), *self._settling(lease, uncacheable))

    async def asettle(self, lease: Lease, uncacheable: bool) -> None:
        """Give a lease back, or leave word that nobody need wait. Raises StoreUnavailable."""
        await self._commands.aask("lease", self._name(lease), *self._settling(lease, uncacheable))

    def _acquiring(self, lease: Lease) -> tuple[Any, ...]:
        return "EVAL", _ACQUIRE, 1, self._name(lease), lease.token.hex(), self._lifetime

    def _settling(self, lease: Lease, uncacheable: bool) -> tuple[Any, ...]:
        word = self._remembered if uncacheable else 0
        return "EVAL", _SETTLE, 1, self._name(lease), lease.token.hex(), word

    def _name(self, lease: Lease) -> bytes:
        return name_of(self._namespace, lease.key, "lease")


def _claimed(lease: Lease, answer: Any) -> Lease | Claim:
    if answer == 1:
        return lease
    return Claim.UNCACHEABLE if answer == _NOBODY_WAITS else Claim.HELD
