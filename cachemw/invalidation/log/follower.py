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
- an epoch or a stream that is missing or strange (FLUSHALL, eviction, another server) begins a new
  life: everything is purged. Appending never makes a stream: one that began again by itself would
  look whole;
- where a failover lost records that we have applied, we append them again (`trail`);
- entries in Redis carry times on the server's clock: one that is set back begins a new life too;
- a purge is *confirmed* when every process with a recent heartbeat says that it has applied it;
- out of reach, purges apply here at once and wait in a bounded queue; one too many means "all".
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from cachemw.config.model import LogSettings as LogConfig
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import EventName
from cachemw.invalidation.base import process_id
from cachemw.invalidation.floors import NO_EPOCH, Floors
from cachemw.invalidation.log.appender import Appender, seconds
from cachemw.invalidation.log.flag_document import FlagStore
from cachemw.invalidation.log.followers import SETTLE, Followers, unless_refused
from cachemw.invalidation.log.records import (
    FlagsRecord,
    appended_at,
    number,
    read_record,
    stream_id,
)
from cachemw.invalidation.log.stream import Stream, record_of
from cachemw.invalidation.log.trail import Trail
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge, Recent

if TYPE_CHECKING:
    import redis

__all__ = ["Hooks", "RedisLog"]

_BATCH = 2000
"""Records read at once: a process that joins a long log must not hold the GIL for long."""
_STEP = 1.0
"""Seconds that the server's clock may seem to go back: what a slow round trip makes of it."""
_TRIM_EVERY = 600.0
"""Seconds between a process's trims of the log by age."""
_RETRY = 0.4
"""Seconds between attempts to reach Redis again, give or take half."""
_SLACK = 0.1
"""Seconds by which a beat may come late on a busy machine without memory going untrusted."""


class Hooks:
    """What the log tells the rest of cachemw; the composition root puts its functions in."""

    def __init__(self) -> None:
        self.flags: Callable[[bytes], None] = lambda document: None
        """The live flags changed."""
        self.newest_flags: Callable[[bytes | None], bytes | None] = lambda document: document
        """The newer of the live flags that Redis has and those that this process knows."""
        self.tick: Callable[[redis.Redis], None] = lambda client: None
        """A poll went by; the client may be used to publish."""
        self.rejoined: Callable[[], None] = lambda: None
        """The log is followed, for the first time or again."""
        self.lost: Callable[[str], None] = lambda error: None
        self.regained: Callable[[float, int], None] = lambda seconds, records: None
        self.unsent: Callable[[int], None] = lambda count: None
        """The log is closed, and so many purges were never appended."""
        self.breaker_closed: Callable[[], None] = lambda: None
        """A breaker is closed again: Redis is used."""
        self.count: Callable[[EventName, str], None] = lambda event, reason: None


class RedisLog:
    """Follows and appends. Thread-safe."""

    def __init__(
        self,
        nodes: Nodes,
        namespace: str,
        config: LogConfig,
        hooks: Hooks,
        monotonic: Callable[[], float],
    ) -> None:
        self.floors = Floors(config.floors)
        self.trusted_until = 0.0
        self.alive_at: float | None = None
        """Monotonic time of the last proof of life."""
        self.server_shift: float | None = None
        """What to add to the monotonic clock for the server's time."""
        self.only_listens = False
        """Whether this process serves nobody: no purge need wait for it, and nobody counts it."""
        self.stream = Stream(namespace, config.max_records)
        self._followers = Followers(f"cachemw:{{{namespace}}}:followers".encode(), config.poll)
        self._nodes = nodes
        self._config = config
        self._hooks = hooks
        self._monotonic = monotonic
        self.flags = FlagStore(namespace, self.stream, nodes, self._count)
        self.appender = Appender(
            self.stream,
            self._followers,
            self,
            nodes,
            config,
            self.floors,
            monotonic,
            self._count,
        )
        self._fresh_state()

    def _count(self, event: EventName, reason: str) -> None:
        self._hooks.count(event, reason)

    @property
    def _patience(self) -> float:
        """Seconds after which a read of the log that has not returned counts as failed."""
        return self._config.poll + self._nodes.config.deadline + 0.2

    def _fresh_state(self) -> None:
        self.me = process_id()
        self.live = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lost_at: float | None = None
        self._settled_at = 0.0
        self._cursor = 0
        self._trail = Trail()
        self._recent = Recent()
        self._trimmed_at = 0.0

    @property
    def following(self) -> bool:
        """Whether this process follows the log, or tries to."""
        return self._thread is not None

    @property
    def judges_shared(self) -> bool:
        """Whether others' entries can be judged: the log is live, and has all that was purged here.

        What waits for the log is numbered by where we stood, and they may have stood further.
        """
        return self.live and not self.appender.queued

    @property
    def settled(self) -> bool:
        """Whether whoever followed a log that was lost has had time to come back, ourselves too."""
        back = self.live or not self.following
        return back and self._monotonic() >= self._settled_at

    def unsettle(self) -> None:
        """Note that the log was lost just now."""
        self._settled_at = self._monotonic() + SETTLE

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most `confirm_wait` seconds for every process to apply it."""
        return self.appender.purge(purge)

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most `confirm_wait` seconds for every process to apply it."""
        return await self.appender.apurge(purge)

    def recent(self) -> list[PastPurge]:
        """Give the last purges: those that wait for Redis, then those that were read from the log."""
        waiting = [PastPurge.of(purge, None) for purge in self.appender.waiting()]
        return waiting[::-1] + self._recent.newest_first()

    def reset_after_fork(self) -> None:
        """Begin anew in a child: the thread stayed behind, and the connections are the parent's."""
        self._fresh_state()
        self.appender.reset_after_fork()
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
        alive_at = self.alive_at
        since = born if alive_at is None else max(born, alive_at)
        return now < since + self._config.partition_limit

    # -- following -------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow, once per process."""
        # Whoever finds it being started goes on. It must not wait: where gevent patched `threading`
        # only after the lock was made, the greenlet that starts the other one would never run again.
        if self._thread is None and self._lock.acquire(blocking=False):
            try:
                if self._thread is None:
                    thread = threading.Thread(
                        target=self._run, args=(self._stopping,), name="cachemw-log", daemon=True
                    )
                    thread.start()  # raises where there is no thread to be had: tried again later
                    self._thread = thread
            finally:
                self._lock.release()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            node: Node | None = None
            try:
                self._nodes.keep_up()
                node = self._nodes.of(self.stream.key)
                with closing(node.alone(self._patience)) as client:
                    self._join(client, node)
                    while not stopping.is_set():
                        self._follow(client, node)
                    self.trusted_until = 0.0  # no purge waits for us from here on
                    client.hdel(self._followers.key, self.me)
            except Exception as error:  # nothing may end this thread while the process serves
                self._lose(type(error).__name__, node)
            if not stopping.is_set():
                stopping.wait(_RETRY * (0.5 + random.random()))

    def _lose(self, error: str, node: Node | None) -> None:
        self._nodes.suspect()
        was_live, self.live = self.live, False
        self.trusted_until = 0.0
        if self._lost_at is None:
            self._lost_at = self._monotonic()
        if node is not None and node.breaker.closed:
            node.breaker.trip()
            self._hooks.count("breaker_opened", "")
        if was_live:
            self._hooks.lost(error)

    def _join(self, client: redis.Redis, node: Node) -> None:
        """Find out whether the log is the one we know, and catch up with it."""
        epoch = self.stream.epoch(client)
        if epoch == self.floors.epoch and (lost := self._trail.missing(self.stream, client)):
            self.unsettle()  # nobody who followed it may count as having heard of anything new
            if not self._trail.give_back(self.stream, client, self.floors, lost):
                epoch = self.stream.new_epoch(client)
            self._hooks.count("log_losses", "")
        first, trimmed = self.stream.extent(client)
        if epoch != self.floors.epoch:
            if self.floors.epoch != NO_EPOCH:
                self.unsettle()
            self._cursor = first if trimmed else 0
            self.floors.begin(epoch, self._cursor)
            self._trail.clear()
            self._recent.clear()
            # The first retained record itself has still to be read.
            self._cursor = max(0, self._cursor - 1)
        elif trimmed and self._cursor < first:
            self.floors.raise_horizon(first)
        # Told before the log is read: a purge that is not read now will wait for us.
        self._tell(client, seconds(client.time()))
        records = self._catch_up(client)
        document = self.flags.restore(client, self._hooks.newest_flags)
        if document is not None:
            self._hooks.flags(document)
        self.appender.drain(client)
        self._beat(client)
        self._followers.drop_dead(client, seconds(client.time()))
        self._trim(client)
        self.live = True
        self._probe(node)
        self._hooks.rejoined()
        lost_at, self._lost_at = self._lost_at, None
        if lost_at is not None:
            self._hooks.regained(self._monotonic() - lost_at, records)

    def _catch_up(self, client: redis.Redis) -> int:
        total = 0
        while True:
            count = self._read(client, block=None)
            total += count
            if count < _BATCH:
                return total

    def _follow(self, client: redis.Redis, node: Node) -> None:
        """Wait for records, apply them, say so, and see that the log is still the same."""
        self._read(client, block=int(self._config.poll * 1000))
        if self.appender.queued:
            self.appender.drain(client)
        self._beat(client)
        self._probe(node)
        self._trim(client)
        if not self.only_listens:
            self._hooks.tick(client)
        self._nodes.keep_up()
        if self._nodes.of(self.stream.key) is not node:
            raise ValueError("the log is on another server now")

    def _probe(self, node: Node) -> None:
        """Close open breakers whose wait is over: the heartbeat that just came was one probe."""
        if self._nodes.probe(node):
            self._hooks.breaker_closed()

    def _trim(self, client: redis.Redis) -> None:
        """Drop records that are older than any entry may be, now and then."""
        now = self._monotonic()
        if self.server_shift is not None and now >= self._trimmed_at:
            self._trimmed_at = now + _TRIM_EVERY * (0.5 + random.random())
            with unless_refused():
                self.stream.trim(client, now + self.server_shift - self._config.max_age)

    def _read(self, client: redis.Redis, block: int | None) -> int:
        return self._apply_all(client.xread(self._unread, count=_BATCH, block=block))

    @property
    def _unread(self) -> dict[Any, Any]:
        return {self.stream.key: stream_id(self._cursor)}

    def _apply_all(self, found: Any) -> int:
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
            self._recent.add(record, appended_at(record_number))
        self._cursor = record_number
        self._trail.add(record_number, fields)
        self._hooks.count("log_records", "")

    def _beat(self, client: redis.Redis) -> None:
        """Prove the log alive: same epoch, all of it applied, our position told, the clock read.

        It reads once more: a record that came just after the last reading would count as applied.
        """
        began = self._monotonic()
        pipeline = client.pipeline(transaction=False)
        pipeline.mget(self.stream.epoch_key)
        pipeline.type(self.stream.key)
        boundary = stream_id(self._trail.boundary)
        pipeline.xrange(self.stream.key, boundary, boundary)
        pipeline.xread(self._unread, count=_BATCH)
        pipeline.time()
        epochs, kind, found, unread, time_there = pipeline.execute(raise_on_error=False)
        for reply in (epochs, kind, time_there):
            if isinstance(reply, Exception):
                raise reply
        (epoch,) = epochs
        ended = self._monotonic()
        if epoch != self.floors.epoch or kind != b"stream":
            # Purged at once, also if Redis cannot take a new epoch yet.
            self.floors.begin(os.urandom(len(NO_EPOCH)), 0)
            raise ValueError("the log has begun a new life, or has to")
        # A connection that broke between two commands is made anew without a word to us, perhaps to
        # another server: that records which we have applied are gone shows here, or never.
        if not self._trail.is_boundary(record_of(found)) and self._trail.missing(
            self.stream, client
        ):
            raise ValueError("the log has lost records")
        behind = self._apply_all(unread) == _BATCH
        self._trail.advance()
        server_now = seconds(time_there)
        self._set_shift(client, server_now - (began + ended) / 2)
        self._tell(client, server_now)
        if behind:
            return  # nothing is proved yet: the next reading comes at once
        self.alive_at = began
        # Until the next beat, or until its absence is noticed. What may be served beyond that is for
        # `serves` to say, and for each route.
        self.trusted_until = began + self._patience + _SLACK

    def _tell(self, client: redis.Redis, server_now: float) -> None:
        """Say where we are, so that purges wait for us."""
        if not self.only_listens:
            self._followers.tell(client, self.me, self._cursor, server_now)

    def _set_shift(self, client: redis.Redis, shift: float) -> None:
        """Learn the server's time; entries that were stored before it went back would live too long."""
        before, self.server_shift = self.server_shift, shift
        if before is not None and shift < before - _STEP:
            self.stream.new_epoch(client)
            raise ValueError("the server's clock was set back")

    def close(self) -> None:
        """Stop following; waits at most about a poll for the thread, and a deadline for what is queued."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._config.poll + 1.0)
        self.live = False
        self._stopping = threading.Event()  # a closed log can be started again
        if self.appender.queued:
            self._append_last()

    def _append_last(self) -> None:
        """Append what waits for Redis: this process may not be there any more when it is back."""
        try:
            node = self._nodes.found(self.stream.key)
            with closing(node.alone(self._nodes.config.deadline)) as client:
                self.appender.drain(client)
        except Exception:
            self._hooks.unsent(self.appender.queued)
