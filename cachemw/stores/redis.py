"""The Redis tier: entries that processes share, read in one round trip and never waited for.

Every read asks for the entry and the log's epoch together: an entry of another epoch, or a log
whose epoch is gone, is no entry. Whatever goes wrong raises StoreUnavailable for the flow to go on
without, and is counted; after repeated failures the breaker keeps requests away, and only the log's
follower asks whether Redis is back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cachemw.engine.entry import Entry, Key
from cachemw.errors import EntryRejected
from cachemw.stores.codec import Codec
from cachemw.stores.commands import Commands

__all__ = ["RedisTier", "ServerClock"]

ServerClock = Callable[[], float | None]
"""Gives what to add to the monotonic clock for the server's time; None: it is not known."""

_FORMAT = "e1"
"""Changes with the envelope, so that releases side by side keep to their own entries."""


class RedisTier:
    """Entries in Redis. Thread-safe; the methods with an `a` are for event loops."""

    def __init__(
        self,
        commands: Commands,
        namespace: str,
        codec: Codec,
        *,
        epoch_key: bytes,
        server_clock: ServerClock,
        monotonic: Callable[[], float],
        count: Callable[[str, str], None],
    ) -> None:
        self.breaker = commands.breaker
        self._commands = commands
        self._prefix = f"cachemw:{{{namespace}}}:{_FORMAT}:".encode("ascii")
        self._codec = codec
        self._epoch_key = epoch_key
        self._server_clock = server_clock
        self._monotonic = monotonic
        self._count = count

    def get(self, key: Key, epoch: bytes) -> Entry | None:
        """Read an entry of this epoch of the log."""
        found = self._commands.ask("get", "MGET", self._name(key), self._epoch_key)
        return self._open(found, key, epoch)

    async def aget(self, key: Key, epoch: bytes) -> Entry | None:
        """Read an entry of this epoch of the log."""
        found = await self._commands.aask("get", "MGET", self._name(key), self._epoch_key)
        return self._open(found, key, epoch)

    def put(self, key: Key, entry: Entry) -> None:
        """Write an entry, to live in Redis until it is of no use."""
        command = self._sealed(key, entry)
        if command is not None:
            self._commands.ask("set", *command)

    async def aput(self, key: Key, entry: Entry) -> None:
        """Write an entry, to live in Redis until it is of no use."""
        command = self._sealed(key, entry)
        if command is not None:
            await self._commands.aask("set", *command)

    def _name(self, key: Key) -> bytes:
        return self._prefix + key.digest.hex().encode("ascii")

    def _open(self, found: Any, key: Key, epoch: bytes) -> Entry | None:
        blob, seen_epoch = found
        shift = self._server_clock()
        if blob is None or shift is None or seen_epoch != epoch:
            return None
        now = self._monotonic()
        try:
            return self._codec.decode(blob, key, now=now, server_now=now + shift)
        except EntryRejected as rejected:
            self._count("entry_rejected", rejected.reason)
            return None

    def _sealed(self, key: Key, entry: Entry) -> tuple[Any, ...] | None:
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
