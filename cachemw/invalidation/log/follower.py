"""`RedisLog`: the invalidation log in a Redis stream, followed by one daemon thread per process.

Keys in Redis, for the namespace `shop`:

    cachemw:{shop}:log        stream: purges and flag changes, in the order of the server
    cachemw:{shop}:epoch      8 random bytes that name this life of the log
    cachemw:{shop}:followers  hash: process -> last ID applied and the server's time
    cachemw:{shop}:server     the run ID of the log's server, and since when it has the log
    cachemw:{shop}:flags      the live flags, for processes that join

Theory of operation. The thread *joins* the log, then *follows* it: it reads with XREAD, which blocks
for one poll, applies the records, and sends a *heartbeat*. On any error it waits a moment and joins
again. These rules keep a confirmed purge from being missed (I5):

- The thread always reads from the last ID that it applied, so a reconnect misses no record. Pub/sub
  would lose what was sent in between.
- Each heartbeat proves that the log is alive and the same: it checks the epoch, the stream's type, and
  the last applied record. Memory is served unchecked until the next one is overdue (`trust`).
- A process that joins reads all records that the log still has. Records that were trimmed before are
  below the horizon, so entries from that time are dead.
- A missing or wrong epoch or stream (FLUSHALL, eviction, another server) starts a new life of the log,
  and everything is purged. Appending never creates the stream (`stream`).
- After a failover that lost records which this process has applied, it appends them again (`trail`).
- Entries in Redis carry times on the server's clock. If that clock is set back, entries would live too
  long, so a new life of the log starts.
- A purge is *confirmed* when every process with a recent heartbeat has applied it. A process reports
  before it reads the log for the first time. One whose heartbeat is refused counts as cut off.
- While Redis cannot be reached, purges apply in this process at once and wait in a bounded queue
  (`appender`). What memory may still serve then is limited by `partition_limit` (`trust`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cachemw.config.model import LogSettings as LogConfig
from cachemw.connections.interruption import interrupt
from cachemw.connections.node import Node
from cachemw.connections.nodes import Nodes
from cachemw.connections.versions import refuse_old_server
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.floors import NO_EPOCH, Floors
from cachemw.invalidation.log.appender import Appender
from cachemw.invalidation.log.flag_document import FlagDocument
from cachemw.invalidation.log.followers import Followers, ignore_refusals
from cachemw.invalidation.log.hooks import LogHooks
from cachemw.invalidation.log.presence import Presence
from cachemw.invalidation.log.records import (
    FlagsRecord,
    appended_at,
    number,
    read_record,
    stream_id,
)
from cachemw.invalidation.log.server_life import ServerLife
from cachemw.invalidation.log.stream import Stream, seconds
from cachemw.invalidation.log.trail import Trail
from cachemw.invalidation.log.trust import Trust
from cachemw.invalidation.purges import Purge, PurgeResult
from cachemw.invalidation.recent_purges import PastPurge, RecentPurges
from cachemw.process.chance import draw
from cachemw.process.threads import Daemon, StopSignal

if TYPE_CHECKING:
    import redis

__all__ = ["RedisLog"]

_BATCH = 2000
"""Records read at once. A process that joins a long log must not hold the GIL for long."""
_STEP = 1.0
"""Seconds that the server's clock may seem to go back, because round trips take different times."""
_TRIM_EVERY = 600.0
"""Seconds between two trims of the log by age, on average."""
_RETRY = 0.4
"""Seconds between attempts to reach Redis again, on average: the jitter is plus or minus half."""
_RETRY_ELSEWHERE = 0.1
"""The same for the first attempt after a server has refused, or another one has the log."""


class _LogMoved(StoreUnavailable):
    """Another server has the log now."""


class RedisLog:
    """The log of one namespace: it follows the stream and appends purges. Thread-safe."""

    def __init__(
        self,
        nodes: Nodes,
        namespace: str,
        config: LogConfig,
        hooks: LogHooks,
        monotonic: Callable[[], float],
    ) -> None:
        self.floors = Floors(config.floors)
        self.server_shift: float | None = None
        """Server time minus monotonic time. None: not known yet."""
        self.only_listens = False
        """Whether this process serves no requests (a tool). Then no purge waits for it."""
        self.stream = Stream(namespace, config.max_records)
        self._followers = Followers(f"cachemw:{{{namespace}}}:followers".encode(), config.poll)
        server = ServerLife(namespace, self._followers.return_time)
        self._presence = Presence(self._followers, server, monotonic)
        self._nodes = nodes
        self._config = config
        self._hooks = hooks
        self._monotonic = monotonic
        self._trust = Trust(config.poll, self._read_timeout, config.partition_limit)
        self.trust = self._trust.until
        self.serves = self._trust.serves
        self.flags = FlagDocument(namespace, self.stream, nodes, hooks)
        self.appender = Appender(self.stream, self._followers, server, self, nodes, config, hooks)
        self._daemon = Daemon(self._run, "cachemw-log")
        self._reset_state()

    @property
    def _read_timeout(
        self,
    ) -> float:  # seconds after which a blocking read of the log counts as failed
        return self._config.poll + self._nodes.config.deadline + 0.2

    def _reset_state(self) -> None:
        self._presence.reset()
        self.live = False
        self._daemon.reset_after_fork()
        self._waiting: redis.Redis | None = None  # the client that waits for records
        self.started_at: float | None = None  # monotonic, since when this process asks Redis
        self._lost_at: float | None = None
        self._cursor = 0
        self._trail = Trail()
        self._recent = RecentPurges()
        self._trimmed_at = 0.0

    @property
    def me(self) -> str:
        """The name of this process in the heartbeats."""
        return self._presence.me

    @property
    def _position(self) -> int | None:
        """The position to report, if this process is to be waited for."""
        return None if self.only_listens else self._cursor

    @property
    def following(self) -> bool:
        """Whether this process follows the log, or tries to."""
        return self._daemon.started

    @property
    def lost(self) -> bool:
        """Whether the log could not be read since this process last followed it."""
        return self._lost_at is not None

    @property
    def judges_shared(self) -> bool:
        """Whether entries of other processes can be judged: the log is heard, and no purge waits here.

        A queued purge got its number from the position of this process. Another process may be
        further, and its entries would wrongly look newer than the purge.
        """
        heard = self.live and self._monotonic() < self.trust[0]
        return heard and not self.appender.queued

    @property
    def alive_at(self) -> float | None:
        """Monotonic time when the log was last proved alive."""
        return self._trust.alive_at

    @property
    def others_are_back(self) -> bool:
        """Whether all processes have had time to come back to the log after it was lost."""
        back = self.live or not self.following  # this process
        return back and self._presence.others_are_back

    def mark_log_lost(self) -> None:
        """Note that the log has lost its data just now."""
        self._presence.mark_log_lost()

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge. Wait a limited time until every process has applied it."""
        return self.appender.purge(purge)

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge. Wait a limited time until every process has applied it."""
        return await self.appender.apurge(purge)

    def recent(self) -> list[PastPurge]:
        """Return the last purges: the queued ones first, then those of the log, newest first."""
        waiting = [PastPurge.of(purge, None) for purge in self.appender.queued_purges()]
        return waiting[::-1] + self._recent.newest_first()

    def reset_after_fork(self) -> None:
        """Start again in a child process: the thread and the connections belong to the parent."""
        self._reset_state()
        self.appender.reset_after_fork()
        self.floors.reset_after_fork()
        self.floors.begin_epoch(NO_EPOCH, 0)
        self._trust.forget()
        self.server_shift = None

    # -- following -------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread that follows the log, once per process."""
        self._daemon.start(self._begin)

    def _begin(self) -> None:
        self.started_at = self._monotonic()
        self._trust.suspend()

    def _run(self, stopping: StopSignal) -> None:
        while not stopping.is_set():
            node: Node | None = None
            try:
                self._nodes.locate_if_due()
                node = self._nodes.of(self.stream.key)
                with closing(node.dedicated_client(self._read_timeout)) as client:
                    self._join(client, node)
                    while not stopping.is_set():
                        self._follow(client, node, stopping)
            except Exception as error:  # no error may end this thread (I3)
                if not stopping.is_set():  # otherwise `stop` may have cut the connection
                    pause = self._disconnected(error, node)
                    stopping.wait(pause * (0.5 + draw()))
        self._leave()

    def _disconnected(self, error: Exception, node: Node | None) -> float:
        """Note that the log cannot be followed. Return the seconds to wait before the next attempt."""
        from redis.exceptions import ResponseError

        self._hooks.failed(error, "" if node is None else self._nodes.name_of(node))
        self._nodes.mark_doubtful()
        was_live, self.live = self.live, False
        self._trust.end()
        if self._lost_at is None:
            self._lost_at = self._monotonic()
        if node is not None:
            node.renewal.replace_all()  # the next connection may lead to another server
            if node.breaker.closed:
                node.breaker.trip()
                self._hooks.count("breaker_opened", "")
        self._hooks.unreached()
        if was_live:
            self._hooks.lost(error)
        refused = isinstance(error, (ResponseError, _LogMoved))
        return _RETRY_ELSEWHERE if was_live and refused else _RETRY

    def _join(self, client: redis.Redis, node: Node) -> None:
        """Find out whether the log is the known one, and catch up with it."""
        refuse_old_server(client)
        self.flags.answer(client, self._hooks.flags_answered, was_away=self.lost)
        epoch = self.stream.ensure_epoch(client)
        if epoch == self.floors.epoch and (lost := self._trail.missing(self.stream, client)):
            self.mark_log_lost()  # old heartbeats prove nothing about new records
            if not self._trail.restore(self.stream, client, self.floors, lost):
                epoch = self.stream.start_new_epoch(client)
            self._hooks.count("log_losses", "")
        first = self.stream.oldest(client)
        if epoch != self.floors.epoch:
            if self.floors.epoch != NO_EPOCH:
                self.mark_log_lost()
            self.floors.begin_epoch(epoch, first)
            self._trail.clear()
            self._recent.clear()
            # XREAD starts after the cursor, and the first retained record must be read too.
            self._cursor = max(0, first - 1)
        elif self._cursor < first:
            self.floors.raise_horizon(first)
        # Report before reading: a purge that is appended after the read waits for this process.
        returning = self.alive_at is not None
        refusal = self._presence.introduce(client, self._position, returning=returning)
        records = self._catch_up(client)
        if refusal is not None:
            raise refusal  # what could be read counts all the same, and is read again at the next attempt
        document = self.flags.restore(client, self._hooks.newest_flags)
        if document is not None:
            self._hooks.flags(document)
        self.appender.drain(client)
        self._heartbeat(client)
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

    def _follow(self, client: redis.Redis, node: Node, stopping: StopSignal) -> None:
        """Wait for records, apply them, send a heartbeat, and do the periodic work."""
        self._waiting = client
        if not stopping.is_set():
            self._read(client, block=int(self._config.poll * 1000))
        self._waiting = None
        if self.appender.queued:
            self.appender.drain(client)
        self._heartbeat(client)
        self._probe(node)
        self._trim(client)
        if not self.only_listens:
            self._hooks.tick(client)
        self._nodes.locate_if_due()
        if self._nodes.of(self.stream.key) is not node:
            raise _LogMoved("the log is on another server now")

    def _probe(self, node: Node) -> None:
        """Probe servers whose breaker is open. The heartbeat just now was the probe of `node`."""
        if self._nodes.probe(node):
            self._hooks.breaker_closed()

    def _trim(self, client: redis.Redis) -> None:
        """Remove, from time to time, records that are older than any entry can be."""
        now = self._monotonic()
        if self.server_shift is not None and now >= self._trimmed_at:
            self._trimmed_at = now + _TRIM_EVERY * (0.5 + draw())
            with ignore_refusals(lambda error: self._hooks.failed(error, "")):
                self.stream.trim(client, now + self.server_shift - self._config.max_age)

    def _read(self, client: redis.Redis, block: int | None) -> int:
        unread: Any = {self.stream.key: stream_id(self._cursor)}
        return self._apply_all(client.xread(unread, count=_BATCH, block=block))

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
            if record.tags is not None:
                record = replace(record, tags=self._hooks.widen(record.tags))
            self.floors.apply(record_number, record.tags, soft=record.soft)
            self._recent.add(record, appended_at(record_number))
        self._cursor = record_number
        self._trail.add(record_number, fields)
        self._hooks.count("log_records", "")

    def _heartbeat(self, client: redis.Redis) -> None:
        """Prove that the log is alive and the same, and report the position of this process.

        Besides the checks, it reads records once more, in the same pipeline. Otherwise a record that
        came after the last read would count as applied for as long as memory is trusted.
        """
        began = self._monotonic()
        state = self.stream.read_state(client, self._trail.boundary, self._cursor, _BATCH)
        ended = self._monotonic()
        if state.epoch != self.floors.epoch or not state.is_stream:
            # Purge everything now, also if Redis cannot store a new epoch yet.
            self.floors.begin_epoch(os.urandom(len(NO_EPOCH)), 0)
            raise StoreUnavailable("the log has begun a new life, or has to")
        # Only this check shows that records which were applied here are gone.
        if not self._trail.is_boundary(state.boundary) and self._trail.missing(self.stream, client):
            raise StoreUnavailable("the log has lost records")
        behind = self._apply_all(state.unread) == _BATCH
        self._trail.advance()
        self._nodes.round_trip.note(ended - began)
        self._learn_server_time(client, state.time - (began + ended) / 2)
        self._presence.report(client, self._position, state.time)
        if behind:
            return  # there is more to read: nothing is proved yet
        # Trust memory until the next heartbeat is overdue. After that, `serves` and the route decide.
        if late := self._trust.prove(began, ended - began):
            self._hooks.late(late)

    def _learn_server_time(self, client: redis.Redis, shift: float) -> None:
        """Note the server's time. Start a new life of the log if that clock was set back."""
        before, self.server_shift = self.server_shift, shift
        if before is not None and shift > before + _STEP:
            self.mark_log_lost()  # the heartbeats of others look old, and they are not
        if before is not None and shift < before - _STEP:
            # Entries that were stored before would live too long.
            self.stream.start_new_epoch(client)
            raise StoreUnavailable("the server's clock was set back")

    def stop(self) -> None:
        """Ask the thread to end, and wake it if it waits for records."""
        self._daemon.stop()
        if (waiting := self._waiting) is not None:
            interrupt(waiting)

    def finish(self, until: float) -> None:
        """Wait for the thread until this time; without one, append the queued purges here."""
        alone = not self._daemon.started
        self._daemon.end(until)
        self.live = False
        if alone and self.appender.queued:
            self._leave()

    def _leave(self) -> None:
        """Take back the heartbeat, and append the queued purges: this process may be about to end."""
        self.live = False
        self._trust.suspend()  # from here on no purge waits for this process
        try:
            node = self._nodes.find(self.stream.key)
            with closing(node.dedicated_client(self._nodes.config.deadline)) as client:
                self.appender.drain(client)
                self._presence.take_back(client)
        except Exception:
            if self.appender.queued:
                self._hooks.unsent(self.appender.queued)
