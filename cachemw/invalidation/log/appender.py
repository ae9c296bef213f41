"""Appending purges to the log, hearing who has applied them, and keeping those that must wait.

A purge is *confirmed* when every process with a recent heartbeat says that it has applied it. Out
of reach, it applies here at once and waits in a bounded queue, which the follower appends when
Redis is back; one too many, and everything is purged. A Redis that refuses writes still deletes:
taking the epoch away purges everything.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Protocol

from cachemw.config.model import LogSettings as LogConfig
from cachemw.connections.nodes import Nodes
from cachemw.engine.model.outcomes import EventName
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.floors import Floors
from cachemw.invalidation.log.followers import SETTLE, Followers, refused
from cachemw.invalidation.log.records import appended_at, number, purge_fields
from cachemw.invalidation.log.stream import Stream, record_of
from cachemw.invalidation.purges import Purge, PurgeResult

__all__ = ["Appender", "Follower", "seconds"]


_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.016


class Follower(Protocol):
    """What must be known of this process's own following."""

    me: str
    server_shift: float | None

    @property
    def following(self) -> bool:
        """Whether this process follows the log."""

    @property
    def live(self) -> bool:
        """Whether the log is being followed right now."""

    @property
    def settled(self) -> bool:
        """Whether whoever followed the log before it was lost has had time to come back."""

    def unsettle(self) -> None:
        """Note that the log was lost just now."""

    def start(self) -> None:
        """Begin to follow."""


class Appender:
    """Appends the purges of one process. Thread-safe."""

    def __init__(
        self,
        stream: Stream,
        followers: Followers,
        follower: Follower,
        nodes: Nodes,
        config: LogConfig,
        floors: Floors,
        monotonic: Callable[[], float],
        count: Callable[[EventName, str], None],
    ) -> None:
        self.queues = True
        """Whether purges wait here for a Redis that is away; else they raise StoreUnavailable."""
        self._stream = stream
        self._followers = followers
        self._follower = follower
        self._nodes = nodes
        self._config = config
        self._floors = floors
        self._monotonic = monotonic
        self._count = count
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Begin with an empty queue: what waits in the parent is the parent's to append."""
        self._lock = threading.Lock()
        self._queue: deque[Purge] = deque()
        self._queue_all = False

    @property
    def queued(self) -> int:
        """Purges waiting for Redis to come back."""
        return len(self._queue) + self._queue_all

    def waiting(self) -> list[Purge]:
        """Give the purges that wait for Redis to come back, in order."""
        with self._lock:
            return [Purge(tags=None)] if self._queue_all else list(self._queue.copy())

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most its patience for every process to apply it."""
        if self._must_wait(purge):
            return self._keep(purge)
        try:
            append = self._stream.append(purge_fields(purge))
            client = self._nodes.found(self._stream.key).sync()
            identity = client.execute_command(*append) or self._append_anew(append)
        except Exception as error:
            return self._failed(purge, error)
        steps, pauses = self._confirming(purge, identity), _pauses()
        wanted = next(steps)
        while True:
            if wanted is None:
                time.sleep(next(pauses))
                reply: Any = None
            else:
                reply = self._ask(wanted)
            try:
                wanted = steps.send(reply)
            except StopIteration as stop:
                result: PurgeResult = stop.value
                return result

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge; wait at most its patience for every process to apply it."""
        if self._must_wait(purge):
            return self._keep(purge)
        deadline = self._nodes.config.deadline
        try:
            append = self._stream.append(purge_fields(purge))
            client = (await self._nodes.afound(self._stream.key)).aio()
            async with asyncio.timeout(deadline):
                identity = await client.execute_command(*append)
            identity = identity or self._append_anew(append)
        except Exception as error:
            return self._failed(purge, error)
        steps, pauses = self._confirming(purge, identity), _pauses()
        wanted = next(steps)
        while True:
            reply: Any = None
            if wanted is None:
                await asyncio.sleep(next(pauses))
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
            return self._client().execute_command(*command)
        except Exception as error:
            return error

    def _client(self) -> Any:
        return self._nodes.of(self._stream.key).sync()

    def _append_anew(self, command: tuple[Any, ...]) -> bytes:
        """Append to a log that has been lost. Blocks, for an event loop too: it is rare."""
        self._follower.unsettle()
        return self._stream.append_anew(self._client(), command)

    def _confirming(
        self, purge: Purge, identity: bytes
    ) -> Generator[tuple[Any, ...] | None, Any, PurgeResult]:
        """Apply an appended purge here, then ask who else has, until all have or time is up.

        Yields a command to run, or None to pause a moment.
        """
        appended = number(identity)
        self._floors.apply(appended, purge.tags, soft=purge.soft, follow=False)
        patience = self._config.confirm_wait if purge.patience is None else purge.patience
        ends = self._monotonic() + patience
        shift = self._follower.server_shift
        if shift is None:  # a process that only purges does not know what a recent heartbeat is
            reply = yield ("TIME",)
            if not isinstance(reply, Exception):
                shift = seconds(reply) - self._monotonic()
        settled = True
        if not self._follower.following:  # nor that the log has only just begun
            first = record_of((yield self._stream.first()))
            settled = first is None or appended_at(appended) - appended_at(first[0]) > SETTLE
        while True:
            reply = yield ("HGETALL", self._followers.key)
            reached, waiting = self._heard(reply, appended, shift)
            if not waiting and settled and self._follower.settled:
                return PurgeResult(status="confirmed", reached=reached)
            if self._monotonic() >= ends:
                return PurgeResult(status="appended", reached=reached, waiting=waiting)
            yield None

    def _heard(self, reply: Any, appended: int, shift: float | None) -> tuple[int, int]:
        """Count the processes that have applied a record, and those that follow and have not."""
        own = 1 if self._follower.following else 0
        if isinstance(reply, Exception):
            return own, 1
        now = None if shift is None else self._monotonic() + shift
        me = self._follower.me if own else None
        applied, waiting = self._followers.count(reply, me, appended, now)
        return own + applied, waiting

    def _failed(self, purge: Purge, error: Exception) -> PurgeResult:
        """Keep a purge that could not be appended, or, where Redis is full, purge everything."""
        self._count("store_error", "purge")
        if refused(error) and self._forget_epoch():
            self._floors.apply_locally(None, soft=False)
            return PurgeResult(status="appended", reached=1, waiting=1, everything=True)
        if not self.queues:
            raise StoreUnavailable(f"purge: {type(error).__name__}") from error
        return self._keep(purge)

    def _must_wait(self, purge: Purge) -> bool:
        """Whether Redis is known to be away, and this purge belongs to a request (I3)."""
        return purge.patience is not None and self.queues and not self._follower.live

    def _keep(self, purge: Purge) -> PurgeResult:
        """Apply a purge here, and queue it for when Redis is back."""
        self._floors.apply_locally(purge.tags, soft=purge.soft)
        with self._lock:
            if len(self._queue) >= self._config.queue:
                self._queue.clear()
                self._queue_all = True
            if not self._queue_all:
                self._queue.append(purge)
        self._follower.start()  # the follower appends what is queued, also in a process that only purges
        return PurgeResult(status="queued", reached=1)

    def _forget_epoch(self) -> bool:
        """Delete the epoch: the one purge that a server which refuses writes still takes."""
        return self._ask(("DEL", self._stream.epoch_key)) in (0, 1)

    def drain(self, client: Any) -> None:
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
            client.delete(self._stream.epoch_key)
            self._queue.clear()
            self._queue_all = False

    def _append_late(self, client: Any, purge: Purge) -> None:
        identity = client.execute_command(*self._stream.append(purge_fields(purge)))
        if identity is None:
            raise ValueError("the log's stream is gone")
        # Others may have stored answers since, under positions behind ours: the floor that was set
        # here when the purge came is too low for those.
        self._floors.apply(number(identity), purge.tags, soft=purge.soft, follow=False)


def _pauses() -> Iterator[float]:
    """Give the seconds between looks at the heartbeats: all of them are read, and a fleet is large."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def seconds(reply: Any) -> float:
    """Read the answer to TIME."""
    whole, micros = reply
    return float(whole + micros / 1e6)
