"""The Redis tier: entries that all processes share, read in one round trip.

An entry carries all that is needed to judge it: the epoch of the log, and the position from before it
was made. So one read of one key is enough, on any node of a Cluster. GETRANGE limits the read to the
largest possible entry, so that a huge value under the same name costs no more than that.

Every failure is counted and raises StoreUnavailable, and the request goes on without Redis (I3). After
repeated failures the breaker of the node keeps requests away. Then only the log's thread checks whether
the node is back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.engine.model.entry import Item, Key
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import EntryRejected
from cachemw.stores.redis.codec import VERSION, Codec
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.key_names import name_of

__all__ = ["FORMAT", "RedisTier", "ServerClock"]

ServerClock = Callable[[], float | None]
"""Return server time minus monotonic time. None: not known yet."""

FORMAT = f"e{VERSION}"
"""Changes with the version of the envelope, so that releases with different versions do not share entries."""


class RedisTier:
    """Entries in Redis. Thread-safe. Methods with the prefix `a` are for event loops."""

    def __init__(
        self,
        commands: Commands,
        namespace: str,
        codec: Codec,
        *,
        server_clock: ServerClock,
        monotonic: Callable[[], float],
        count: Callable[[EventName, str], None],
    ) -> None:
        self._commands = commands
        self._namespace = namespace
        self._codec = codec
        # GETRANGE includes both ends: this reads one byte more than an entry can have.
        self._last = codec.largest
        self._server_clock = server_clock
        self._monotonic = monotonic
        self._count = count

    def reachable(self, key: Key) -> bool:
        """Tell whether the server of this key is known and its breaker is closed."""
        return self._commands.is_reachable(self._name(key))

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Return the entry of a key if it belongs to this epoch of the log."""
        name = self._name(key)
        try:
            blob = self._commands.run("get", name, "GETRANGE", name, 0, self._last)
            return self._open(blob, key, epoch)
        except EntryRejected as rejected:
            self._count("entry_rejected", rejected.reason)
            return None

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Return the entry of a key if it belongs to this epoch of the log."""
        name = self._name(key)
        try:
            blob = await self._commands.arun("get", name, "GETRANGE", name, 0, self._last)
            return self._open(blob, key, epoch)
        except EntryRejected as rejected:
            self._count("entry_rejected", rejected.reason)
            return None

    def put(self, key: Key, entry: Item) -> None:
        """Store an entry until the time at which it is useless (`dies_at`)."""
        command = self._set_command(key, entry)
        if command is not None:
            self._commands.run("set", command[1], *command)

    async def aput(self, key: Key, entry: Item) -> None:
        """Store an entry until the time at which it is useless (`dies_at`)."""
        command = self._set_command(key, entry)
        if command is not None:
            await self._commands.arun("set", command[1], *command)

    def _name(self, key: Key) -> bytes:
        return name_of(self._namespace, key, FORMAT)

    def _open(self, blob: bytes, key: Key, epoch: bytes) -> Item | None:
        shift = self._server_clock()
        if not blob or shift is None:  # GETRANGE of a missing key is empty
            return None
        now = self._monotonic()
        entry = self._codec.decode(blob, key, now=now, server_now=now + shift)
        return entry if entry.position.epoch == epoch else None

    def _set_command(self, key: Key, entry: Item) -> tuple[Any, ...] | None:
        shift = self._server_clock()
        now = self._monotonic()
        lifetime = int((entry.dies_at - now) * 1000)
        if shift is None or lifetime <= 0:
            return None
        try:
            blob = self._codec.encode(entry, key, now=now, server_now=now + shift)
        except EntryRejected as rejected:
            self._count("not_stored", f"shared-{rejected.reason}")
            return None
        return "SET", self._name(key), blob, "PX", lifetime
