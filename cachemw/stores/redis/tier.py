"""The Redis tier: entries that processes share, read in one round trip and never waited for.

An entry says of itself what it needs to be judged by: the epoch of the log and the position from
before it was made. So a read is of one key, on whichever node of a Cluster that is. It asks for no
more bytes than an entry can have, so that a value of any size costs no more to refuse than that.
Whatever goes wrong raises StoreUnavailable for the flow to go on without, and is counted; after
repeated failures the node's breaker keeps requests away, and only the log's follower asks whether
it is back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.engine.model.entry import Item, Key
from cachemw.errors import EntryRejected
from cachemw.stores.redis.codec import VERSION, Codec
from cachemw.stores.redis.commands import Commands
from cachemw.stores.redis.key_names import name_of

__all__ = ["FORMAT", "RedisTier", "ServerClock"]

ServerClock = Callable[[], float | None]
"""Gives what to add to the monotonic clock for the server's time; None: it is not known."""

FORMAT = f"e{VERSION}"
"""Changes with the envelope, so that releases side by side keep to their own entries."""


class RedisTier:
    """Entries in Redis. Thread-safe; the methods with an `a` are for event loops."""

    def __init__(
        self,
        commands: Commands,
        namespace: str,
        codec: Codec,
        *,
        server_clock: ServerClock,
        monotonic: Callable[[], float],
        count: Callable[[str, str], None],
    ) -> None:
        self._commands = commands
        self._namespace = namespace
        self._codec = codec
        self._last = codec.largest  # GETRANGE counts both ends: one byte more than an entry has
        self._server_clock = server_clock
        self._monotonic = monotonic
        self._count = count

    def reachable(self, key: Key) -> bool:
        """Say whether the server that would have this entry may be asked."""
        return self._commands.reaches(self._name(key))

    def get(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry of this epoch of the log."""
        name = self._name(key)
        try:
            blob = self._commands.ask("get", name, "GETRANGE", name, 0, self._last)
            return self._open(blob, key, epoch)
        except EntryRejected as rejected:
            self._count("entry_rejected", rejected.reason)
            return None

    async def aget(self, key: Key, epoch: bytes) -> Item | None:
        """Read an entry of this epoch of the log."""
        name = self._name(key)
        try:
            blob = await self._commands.aask("get", name, "GETRANGE", name, 0, self._last)
            return self._open(blob, key, epoch)
        except EntryRejected as rejected:
            self._count("entry_rejected", rejected.reason)
            return None

    def put(self, key: Key, entry: Item) -> None:
        """Write an entry, to live in Redis until it is of no use."""
        command = self._sealed(key, entry)
        if command is not None:
            self._commands.ask("set", command[1], *command)

    async def aput(self, key: Key, entry: Item) -> None:
        """Write an entry, to live in Redis until it is of no use."""
        command = self._sealed(key, entry)
        if command is not None:
            await self._commands.aask("set", command[1], *command)

    def _name(self, key: Key) -> bytes:
        return name_of(self._namespace, key, FORMAT)

    def _open(self, blob: bytes, key: Key, epoch: bytes) -> Item | None:
        shift = self._server_clock()
        if not blob or shift is None:  # a range of what is not there is empty
            return None
        now = self._monotonic()
        entry = self._codec.decode(blob, key, now=now, server_now=now + shift)
        return entry if entry.position.epoch == epoch else None

    def _sealed(self, key: Key, entry: Item) -> tuple[Any, ...] | None:
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
