"""The stream that is the log, and the epoch that names its present life.

Appending never makes a stream: one that began again by itself would look whole. A log without its
stream, or without a sound epoch, begins a new life in one transaction, with a purge of everything
as its first record.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from cachemw.invalidation.floors import NO_EPOCH
from cachemw.invalidation.log.records import number, purge_fields, stream_id
from cachemw.invalidation.purges import Purge

__all__ = ["Record", "Stream", "first_record"]

Record = tuple[int, Any]
"""A record's number and its fields, as redis-py gives them."""

_ATTEMPTS = 10
"""Attempts to begin a new life while others do; each failed one is another's success."""


class Stream:
    """The stream of one namespace."""

    def __init__(self, namespace: str, max_records: int) -> None:
        self.key = f"cachemw:{{{namespace}}}:log".encode()
        self.epoch_key = f"cachemw:{{{namespace}}}:epoch".encode()
        self._limit = ("MAXLEN", "~", max_records)

    def append_command(self, fields: list[bytes]) -> tuple[Any, ...]:
        """Give the command that appends a record; it answers None where there is no stream."""
        return ("XADD", self.key, "NOMKSTREAM", *self._limit, "*", *fields)

    def first_command(self) -> tuple[Any, ...]:
        """Give the command that reads the first record that is left."""
        return ("XRANGE", self.key, "-", "+", "COUNT", 1)

    def append_to_new_log(self, client: Any, command: tuple[Any, ...]) -> bytes:
        """Append where there was no stream: begin a new life first."""
        self.ensure_epoch(client)
        identity = client.execute_command(*command)
        if identity is None:
            raise ValueError("the log's stream keeps disappearing")
        return bytes(identity)

    def ensure_epoch(self, client: Any) -> bytes:
        """Give the log's epoch; without a sound one, or a stream to go with it, begin a new life."""
        from redis.exceptions import WatchError

        for _ in range(_ATTEMPTS):
            with client.pipeline() as pipeline:
                pipeline.watch(self.epoch_key, self.key)
                (epoch,) = pipeline.mget(self.epoch_key)  # None for a value of another type
                has_stream = pipeline.type(self.key) == b"stream"
                if epoch is not None and len(epoch) == len(NO_EPOCH) and has_stream:
                    return bytes(epoch)
                epoch = os.urandom(len(NO_EPOCH))
                pipeline.multi()
                if not has_stream:
                    pipeline.delete(self.key)
                pipeline.execute_command("XADD", self.key, "*", *purge_fields(Purge(tags=None)))
                pipeline.set(self.epoch_key, epoch)
                try:
                    pipeline.execute()
                except WatchError:
                    continue  # another process has just begun it
                return epoch
        raise ValueError("the log's epoch keeps changing")

    def start_new_epoch(self, client: Any) -> bytes:
        """Begin a new life, whatever there is."""
        client.delete(self.epoch_key)
        return self.ensure_epoch(client)

    def newest_until(self, client: Any, last: int) -> Record | None:
        """Give the newest record up to this number."""
        found = client.xrevrange(self.key, stream_id(last), "-", count=1)
        return first_record(found)

    def append_above(self, client: Any, least: int, fields: list[bytes]) -> None:
        """Append a record with a number above `least`, also where the server's clock is behind it."""
        from redis.exceptions import ResponseError

        milliseconds, _, sequence = stream_id(least).partition("-")
        seconds, micros = client.time()
        if seconds * 1000 + micros // 1000 <= int(milliseconds):
            above = f"{milliseconds}-{int(sequence) + 1}"
            with suppress(
                ResponseError
            ):  # the log is past it already, so what it gives out is above
                client.execute_command("XADD", self.key, "NOMKSTREAM", above, *fields)
                return
        client.execute_command("XADD", self.key, "NOMKSTREAM", "*", *fields)

    def trim(self, client: Any, oldest: float) -> None:
        """Let the server drop records from before a time of its own, in seconds, roughly."""
        client.execute_command("XTRIM", self.key, "MINID", "~", max(0, int(oldest * 1000)))

    def extent(self, client: Any) -> tuple[int, bool]:
        """Give the first number in the stream, and whether anything was trimmed off it.

        Of a stream with no records left, it is the number of the last that there was.
        """
        info: Any = client.xinfo_stream(self.key)
        last = number(info["last-generated-id"])
        trimmed = info.get("entries-added", info["length"]) != info["length"]
        entry = info["first-entry"]
        return (number(entry[0]) if entry else last), trimmed


def first_record(found: Any) -> Record | None:
    """Give the first record of what XRANGE found; None where it found none, or failed."""
    return (number(found[0][0]), found[0][1]) if isinstance(found, list) and found else None
