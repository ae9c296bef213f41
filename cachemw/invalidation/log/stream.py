"""The Redis stream of the log, and the epoch that names its present life.

Appending never creates the stream (NOMKSTREAM): a stream that started again by itself would look
complete. If the stream or a valid epoch is missing, one transaction starts a new life of the log: a new
epoch, and a stream whose first record purges everything.
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
"""The number of a record and its fields, as redis-py returns them."""

_ATTEMPTS = 10
"""Attempts to start a new life. Each one that fails is the success of another process."""


class Stream:
    """The stream of one namespace."""

    def __init__(self, namespace: str, max_records: int) -> None:
        self.key = f"cachemw:{{{namespace}}}:log".encode()
        self.epoch_key = f"cachemw:{{{namespace}}}:epoch".encode()
        self._limit = ("MAXLEN", "~", max_records)

    def append_command(self, fields: list[bytes]) -> tuple[Any, ...]:
        """Return the command that appends a record. Its answer is None if there is no stream."""
        return ("XADD", self.key, "NOMKSTREAM", *self._limit, "*", *fields)

    def first_command(self) -> tuple[Any, ...]:
        """Return the command that reads the oldest record."""
        return ("XRANGE", self.key, "-", "+", "COUNT", 1)

    def append_to_new_log(self, client: Any, command: tuple[Any, ...]) -> bytes:
        """Start a new life of the log, whose stream is missing, then append."""
        self.ensure_epoch(client)
        identity = client.execute_command(*command)
        if identity is None:
            raise ValueError("the log's stream keeps disappearing")
        return bytes(identity)

    def ensure_epoch(self, client: Any) -> bytes:
        """Return the epoch. Start a new life first if the epoch or the stream is missing or wrong."""
        from redis.exceptions import WatchError

        for _ in range(_ATTEMPTS):
            with client.pipeline() as pipeline:
                pipeline.watch(self.epoch_key, self.key)
                (epoch,) = pipeline.mget(self.epoch_key)  # MGET: None for a value of another type
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
                    continue  # another process has just done it
                return epoch
        raise ValueError("the log's epoch keeps changing")

    def start_new_epoch(self, client: Any) -> bytes:
        """Start a new life of the log in any case, and return its epoch."""
        client.delete(self.epoch_key)
        return self.ensure_epoch(client)

    def newest_until(self, client: Any, last: int) -> Record | None:
        """Return the newest record up to this number."""
        found = client.xrevrange(self.key, stream_id(last), "-", count=1)
        return first_record(found)

    def append_above(self, client: Any, least: int, fields: list[bytes]) -> None:
        """Append a record with a number above `least`, even if the server's clock is behind that."""
        from redis.exceptions import ResponseError

        milliseconds, _, sequence = stream_id(least).partition("-")
        seconds, micros = client.time()
        if seconds * 1000 + micros // 1000 <= int(milliseconds):
            above = f"{milliseconds}-{int(sequence) + 1}"
            # An error means that the log is above this number already. Then `*` is above it too.
            with suppress(ResponseError):
                client.execute_command("XADD", self.key, "NOMKSTREAM", above, *fields)
                return
        client.execute_command("XADD", self.key, "NOMKSTREAM", "*", *fields)

    def trim(self, client: Any, oldest: float) -> None:
        """Ask the server to remove records from before this server time, in seconds. Approximate."""
        client.execute_command("XTRIM", self.key, "MINID", "~", max(0, int(oldest * 1000)))

    def oldest(self, client: Any) -> int:
        """Return the number of the oldest record that the log still has.

        For a stream without records, it is the number of the last record that it had. Whether older
        records were trimmed cannot be known: `entries-added` is missing before Redis 7.0, and after an
        upgrade to 7.0 it counts only what was left. A new life begins with a record that purges
        everything, so it costs nothing to take every log for a trimmed one.
        """
        info: Any = client.xinfo_stream(self.key)
        entry = info["first-entry"]
        return number(entry[0] if entry else info["last-generated-id"])


def first_record(found: Any) -> Record | None:
    """Return the first record of an answer of XRANGE. None if there is none, or for an error."""
    return (number(found[0][0]), found[0][1]) if isinstance(found, list) and found else None
