"""The invalidation log in a Redis stream, followed by one daemon thread in each process.

What is in Redis, for the namespace `shop`:

    cachemw:{shop}:log        the stream: purges and flag changes, in the server's order
    cachemw:{shop}:epoch      8 random bytes that name this life of the log
    cachemw:{shop}:followers  hash: process -> last ID applied and when, by the server's clock
    cachemw:{shop}:flags      the live flags, for processes that join

How it stays right:

- the follower reads from the last ID it applied, so a reconnect misses nothing; every read that
  returns, even empty, proves the log alive, and then the epoch is checked;
- a process that joins reads the whole retained log first; what was trimmed before that is below
  the horizon, and entries from there are dead;
- an epoch or a stream that is missing or strange (FLUSHALL, eviction, another server), or a stream
  that ends before what we have applied (a failover lost records), begins a new life: everything is
  purged. Appending never makes a stream: one that began again by itself would look whole;
- a purge is *confirmed* when every process with a recent heartbeat says that it has applied it;
- out of reach, purges apply here at once and wait in a bounded queue; one too many means "all".
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from cachemw.config.model import Log as LogConfig
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.floors import NO_EPOCH, Floors
from cachemw.invalidation.followers import Followers, refused, unless_refused
from cachemw.invalidation.log import Purge, PurgeResult, process_id
from cachemw.invalidation.records import (
    FlagsRecord,
    flag_fields,
    number,
    purge_fields,
    read_record,
    stream_id,
)
from cachemw.stores.breaker import Breaker
from cachemw.stores.clients import Clients

if TYPE_CHECKING:
    import redis

    from cachemw.rollout.flags import Change

__all__ = ["Hooks", "RedisLog"]

_BATCH = 2000
"""Records read at once: a process that joins a long log must not hold the GIL for long."""
_RETRY = 0.4
"""Seconds between attempts to reach Redis again, give or take half."""
_EXCHANGES = 10
"""Attempts to change what others change too; each failed one is another's success."""
_SLACK = 0.1
"""Seconds by which a beat may come late on a busy machine without memory going untrusted."""
_SETTLE = 2.0
"""Seconds after Redis came back without its data in which no purge counts as confirmed: the others
may still be on their way back, and nobody is on record to be waited for."""


class Hooks:
    """What the log tells the rest of cachemw; the composition root puts its functions in."""

    def __init__(self) -> None:
        self.flags: Callable[[bytes], None] = lambda document: None
        """The live flags changed."""
        self.current_flags: Callable[[], bytes | None] = lambda: None
        """The live flags as this process knows them, to restore what Redis lost."""
        self.tick: Callable[[redis.Redis], None] = lambda client: None
        """A poll went by; the client may be used to publish."""
        self.rejoined: Callable[[], None] = lambda: None
        """The log is followed, for the first time or again."""
        self.lost: Callable[[str], None] = lambda error: None
        self.regained: Callable[[float, int], None] = lambda seconds, records: None
        self.count: Callable[[str, str], None] = lambda event, reason: None


class RedisLog:
    """Follows and appends. Thread-safe."""

    def __init__(
        self,
        clients: Clients,
        namespace: str,
        config: LogConfig,
        breaker: Breaker,
        hooks: Hooks,
        monotonic: Callable[[], float],
    ) -> None:
        self.floors = Floors(config.floors)
        self.trusted_until = 0.0
        self.alive_at: float | None = None
        """Monotonic time of the last proof of life."""
        self.server_shift: float | None = None
        """What to add to the monotonic clock for the server's time."""
        self.queues = True
        """Whether purges wait here for a Redis that is away; else they raise StoreUnavailable."""
        self.epoch_key = f"cachemw:{{{namespace}}}:epoch".encode()
        self._stream = f"cachemw:{{{namespace}}}:log".encode()
        self._followers = Followers(f"cachemw:{{{namespace}}}:followers".encode(), config.poll)
        self._flags = f"cachemw:{{{namespace}}}:flags".encode()
        self._clients = clients
        self._config = config
        self._breaker = breaker
        self._hooks = hooks
        self._monotonic = monotonic
        self._fresh_state()

    @property
    def _patience(self) -> float:
        """Seconds after which a read of the log that has not returned counts as failed."""
        return self._config.poll + self._clients.config.deadline + 0.2

    def _fresh_state(self) -> None:
        self.me = process_id()
        self.live = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._queue: deque[Purge] = deque()
        self._queue_all = False
        self._lost_at: float | None = None
        self._settled_at = 0.0
        self._cursor = 0

    @property
    def queued(self) -> int:
        """Purges waiting for Redis to come back."""
        return len(self._queue) + self._queue_all

    def reset_after_fork(self) -> None:
        """Begin anew in a child: the thread stayed behind, and the connections are the parent's."""
        self._fresh_state()
        self.floors.reset_after_fork()
        self.floors.begin(NO_EPOCH, 0)
        self.trusted_until = 0.0
        self.alive_at = self.server_shift = None

    # -- trust -----------------------------------------------------------------------------------

    def serves(self, born: float, now: float) -> bool:
        """Say whether an entry may be served without a live log.

        What it may have missed happened after it was made and after the log was last alive, so
        within `partition_limit` of either the published bound holds.
        """
        return now < max(self.trusted_until, born + self._config.partition_limit)

    # -- following -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow, once per process."""
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    thread = threading.Thread(
                        target=self._run, args=(self._stopping,), name="cachemw-log", daemon=True
                    )
                    thread.start()  # raises where there is no thread to be had: tried again later
                    self._thread = thread

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            client = self._clients.follower(self._patience)
            try:
                self._join(client)
                while not stopping.is_set():
                    self._follow(client)
                client.hdel(self._followers.key, self.me)
            except Exception as error:  # nothing may end this thread while the process serves
                self._lose(type(error).__name__)
            finally:
                client.close()
                client.connection_pool.disconnect()
            if not stopping.is_set():
                stopping.wait(_RETRY * (0.5 + random.random()))

    def _lose(self, error: str) -> None:
        was_live, self.live = self.live, False
        if self.alive_at is not None:
            self.trusted_until = self.alive_at + self._config.partition_limit
        if self._lost_at is None:
            self._lost_at = self._monotonic()
        if self._breaker.closed:
            self._breaker.trip()
            self._hooks.count("breaker_opened", "")
        if was_live:
            self._hooks.lost(error)

    def _join(self, client: redis.Redis) -> None:
        """Find out whether the log is the one we know, and catch up with it."""
        epoch = self._epoch(client)
        first, last, trimmed = self._extent(client)
        if epoch == self.floors.epoch and last < self._cursor:
            epoch = self._new_epoch(client)  # records that we have applied are gone
        if epoch != self.floors.epoch:
            if self.floors.epoch != NO_EPOCH:
                self._settled_at = self._monotonic() + _SETTLE
            self._cursor = first if trimmed else 0
            self.floors.begin(epoch, self._cursor)
            # The first retained record itself has still to be read.
            self._cursor = max(0, self._cursor - 1)
        elif trimmed and self._cursor < first:
            self.floors.raise_horizon(first)
        # Told before the log is read: a purge that is not read now will wait for us.
        self._followers.tell(client, self.me, self._cursor, _seconds(client.time()))
        records = self._catch_up(client)
        self._restore_flags(client)
        self._drain(client)
        self._beat(client)
        self._followers.drop_dead(client, _seconds(client.time()))
        self.live = True
        self._probe()
        self._hooks.rejoined()
        lost_at, self._lost_at = self._lost_at, None
        if lost_at is not None:
            self._hooks.regained(self._monotonic() - lost_at, records)

    def _epoch(self, client: Any) -> bytes:
        """Give the log's epoch; without a sound one, or a stream to go with it, begin a new life."""
        from redis.exceptions import WatchError

        for _ in range(_EXCHANGES):
            with client.pipeline() as pipeline:
                pipeline.watch(self.epoch_key, self._stream)
                (epoch,) = pipeline.mget(self.epoch_key)  # None for a value of another type
                has_stream = pipeline.type(self._stream) == b"stream"
                if epoch is not None and len(epoch) == len(NO_EPOCH) and has_stream:
                    return bytes(epoch)
                epoch = os.urandom(len(NO_EPOCH))
                pipeline.multi()
                if not has_stream:
                    pipeline.delete(self._stream)
                pipeline.execute_command("XADD", self._stream, "*", *purge_fields(Purge(tags=None)))
                pipeline.set(self.epoch_key, epoch)
                try:
                    pipeline.execute()
                except WatchError:
                    continue  # another process has just begun it
                return epoch
        raise ValueError("the log's epoch keeps changing")

    def _new_epoch(self, client: redis.Redis) -> bytes:
        client.delete(self.epoch_key)
        return self._epoch(client)

    def _extent(self, client: redis.Redis) -> tuple[int, int, bool]:
        """Give the first and last number in the stream, and whether anything was trimmed off it."""
        info: Any = client.xinfo_stream(self._stream)
        last = number(info["last-generated-id"])
        trimmed = info.get("entries-added", info["length"]) != info["length"]
        entry = info["first-entry"]
        return (number(entry[0]) if entry else last), last, trimmed

    def _catch_up(self, client: redis.Redis) -> int:
        total = 0
        while True:
            count = self._read(client, block=None)
            total += count
            if count < _BATCH:
                return total

    def _follow(self, client: redis.Redis) -> None:
        """Wait for records, apply them, say so, and see that the log is still the same."""
        self._read(client, block=int(self._config.poll * 1000))
        if self._queue or self._queue_all:
            self._drain(client)
        self._beat(client)
        self._probe()
        self._hooks.tick(client)

    def _probe(self) -> None:
        """Close an open breaker whose wait is over: the heartbeat that just came was the probe."""
        if not self._breaker.closed and self._breaker.may_probe():
            self._breaker.success()
            self._hooks.count("breaker_closed", "")

    def _read(self, client: redis.Redis, block: int | None) -> int:
        found: Any = client.xread(
            {self._stream: stream_id(self._cursor)}, count=_BATCH, block=block
        )
        records = found[0][1] if found else []
        for identity, fields in records:
            self._apply(number(identity), fields)
        return len(records)

    def _apply(self, record_number: int, fields: Any) -> None:
        record = read_record(fields)
        if isinstance(record, FlagsRecord):
            self._hooks.flags(record.document)
            self.floors.advance(record_number)
        else:
            self.floors.apply(record_number, record.tags, soft=record.soft)
        self._cursor = record_number
        self._hooks.count("log_records", "")

    def _beat(self, client: redis.Redis) -> None:
        """Prove the log alive: same epoch, our position told, the server's clock read."""
        began = self._monotonic()
        pipeline = client.pipeline(transaction=False)
        pipeline.mget(self.epoch_key)
        pipeline.type(self._stream)
        pipeline.time()
        (epoch,), kind, time_there = pipeline.execute()
        ended = self._monotonic()
        if epoch != self.floors.epoch or kind != b"stream":
            # Purged at once, also if Redis cannot take a new epoch yet.
            self.floors.begin(os.urandom(len(NO_EPOCH)), 0)
            raise ValueError("the log has begun a new life, or has to")
        server_now = _seconds(time_there)
        self.server_shift = server_now - (began + ended) / 2
        self._followers.tell(client, self.me, self._cursor, server_now)
        self.alive_at = began
        # Until the next beat, or until its absence is noticed, whatever the limit: 0 is for routes
        # that must not be served without a live log, not for a cache that never serves.
        self.trusted_until = began + max(self._config.partition_limit, self._patience + _SLACK)

    def _restore_flags(self, client: redis.Redis) -> None:
        """Learn the live flags, or give them back to a Redis that has lost them."""
        (document,) = client.mget(self._flags)  # None for a value of another type
        if isinstance(document, bytes):
            self._hooks.flags(document)
        elif (current := self._hooks.current_flags()) is not None:
            with unless_refused():
                client.set(self._flags, current, nx=True)

    # -- appending -------------------------------------------------------------------------------

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most `confirm_wait` seconds for every process to apply it."""
        try:
            append = self._append(purge_fields(purge))
            identity = self._clients.sync().execute_command(*append) or self._append_anew(append)
        except Exception as error:
            return self._failed(purge, error)
        steps = self._confirming(purge, identity)
        wanted = next(steps)
        while True:
            if wanted is None:
                time.sleep(0.001)
                reply: Any = None
            else:
                reply = self._ask(wanted)
            try:
                wanted = steps.send(reply)
            except StopIteration as stop:
                result: PurgeResult = stop.value
                return result

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most `confirm_wait` seconds for every process to apply it."""
        client = self._clients.aio()
        deadline = self._clients.config.deadline
        try:
            append = self._append(purge_fields(purge))
            async with asyncio.timeout(deadline):
                identity = await client.execute_command(*append)
            identity = identity or self._append_anew(append)
        except Exception as error:
            return self._failed(purge, error)
        steps = self._confirming(purge, identity)
        wanted = next(steps)
        while True:
            reply: Any = None
            if wanted is None:
                await asyncio.sleep(0.001)
            else:
                try:
                    async with asyncio.timeout(deadline):
                        reply = await client.execute_command(*wanted)
                except Exception as error:
                    reply = error
            try:
                wanted = steps.send(reply)
            except StopIteration as stop:
                result: PurgeResult = stop.value
                return result

    def _ask(self, command: tuple[Any, ...]) -> Any:
        try:
            return self._clients.sync().execute_command(*command)
        except Exception as error:
            return error

    def _append(self, fields: list[bytes]) -> tuple[Any, ...]:
        limit = ("MAXLEN", "~", self._config.max_records)
        return ("XADD", self._stream, "NOMKSTREAM", *limit, "*", *fields)

    def _append_anew(self, command: tuple[Any, ...]) -> bytes:
        """Append where there was no stream: begin a new life first. Blocks, for a loop too: it is rare."""
        client = self._clients.sync()
        self._epoch(client)
        identity = client.execute_command(*command)
        if identity is None:
            raise ValueError("the log's stream keeps disappearing")
        return bytes(identity)

    def _confirming(
        self, purge: Purge, identity: bytes
    ) -> Generator[tuple[Any, ...] | None, Any, PurgeResult]:
        """Apply an appended purge here, then ask who else has, until all have or time is up.

        Yields a command to run, or None to pause a moment.
        """
        appended = number(identity)
        self.floors.apply(appended, purge.tags, soft=purge.soft, follow=False)
        ends = self._monotonic() + self._config.confirm_wait
        shift = self.server_shift
        if shift is None:  # a process that only purges does not know what a recent heartbeat is
            reply = yield ("TIME",)
            if not isinstance(reply, Exception):
                shift = _seconds(reply) - self._monotonic()
        while True:
            reply = yield ("HGETALL", self._followers.key)
            reached, waiting = self._heard(reply, appended, shift)
            if not waiting:
                return PurgeResult(status="confirmed", reached=reached)
            if self._monotonic() >= ends:
                return PurgeResult(status="appended", reached=reached, waiting=waiting)
            yield None

    def _heard(self, reply: Any, appended: int, shift: float | None) -> tuple[int, int]:
        """Count the processes that have applied a record, and those that follow and have not."""
        own = 1 if self._thread is not None else 0
        if isinstance(reply, Exception):
            return own, 1
        now = None if shift is None else self._monotonic() + shift
        applied, waiting = self._followers.count(reply, self.me, appended, now)
        unknown = self._monotonic() < self._settled_at
        return own + applied, waiting + unknown

    def _failed(self, purge: Purge, error: Exception) -> PurgeResult:
        """Keep a purge that could not be appended, or, where Redis is full, purge everything."""
        self._hooks.count("store_error", "purge")
        if refused(error) and self._forget_epoch():
            self.floors.apply_locally(None, soft=False)
            return PurgeResult(status="appended", reached=1, waiting=1, everything=True)
        if not self.queues:
            raise StoreUnavailable(f"purge: {type(error).__name__}") from error
        self.floors.apply_locally(purge.tags, soft=purge.soft)
        with self._lock:
            if len(self._queue) >= self._config.queue:
                self._queue.clear()
                self._queue_all = True
            if not self._queue_all:
                self._queue.append(purge)
        self.start()  # the follower appends what is queued, also in a process that only purges
        return PurgeResult(status="queued", reached=1)

    def _forget_epoch(self) -> bool:
        """Delete the epoch: the one purge that a server which refuses writes still takes."""
        return self._ask(("DEL", self.epoch_key)) in (0, 1)

    def _drain(self, client: Any) -> None:
        """Append what was purged while Redis was away, or where Redis is full purge everything."""
        try:
            if self._queue_all:
                self._append_late(client, Purge(tags=None))
                self._queue_all = False
            while self._queue:
                self._append_late(client, self._queue[0])
                self._queue.popleft()
        except Exception as error:
            if not refused(error):
                raise
            client.delete(self.epoch_key)
            self._queue.clear()
            self._queue_all = False

    def _append_late(self, client: Any, purge: Purge) -> None:
        identity = client.execute_command(*self._append(purge_fields(purge)))
        if identity is None:
            raise ValueError("the log's stream is gone")
        # Others may have stored answers since, under positions behind ours: the floor that was set
        # here when the purge came is too low for those.
        self.floors.apply(number(identity), purge.tags, soft=purge.soft, follow=False)

    def exchange_flags(self, change: Change) -> bytes | None:
        """Change the live flags and tell every process, in one step; give what was written.

        None when Redis could not be told. When somebody else writes in between, the change is
        made again from what they wrote.
        """
        from redis.exceptions import WatchError

        for _ in range(_EXCHANGES):
            try:
                with self._clients.sync().pipeline() as pipeline:
                    pipeline.watch(self._flags)
                    (current,) = pipeline.mget(self._flags)
                    document = change(current)
                    pipeline.multi()
                    pipeline.set(self._flags, document)
                    pipeline.execute_command(*self._append(flag_fields(document)))
                    pipeline.execute()
                    return document
            except WatchError:
                continue
            except Exception:
                self._hooks.count("store_error", "flags")
                return None
        return None

    def read_flags(self) -> bytes | None:
        """Read the live flags as Redis has them; raises what redis-py raises."""
        found = self._clients.sync().get(self._flags)
        return found if isinstance(found, bytes) else None

    def close(self) -> None:
        """Stop following; waits at most about a poll for the thread."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._config.poll + 1.0)
        self.live = False
        self._stopping = threading.Event()  # a closed log can be started again


def _seconds(reply: Any) -> float:
    """Read the answer to TIME."""
    seconds, micros = reply
    return float(seconds + micros / 1e6)
