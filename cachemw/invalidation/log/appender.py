"""Appending purges to the log, and waiting until all processes have applied them.

Theory of operation. A purge goes through these steps:

1. XADD appends it. If the stream is gone, a new life of the log is started first.
2. It is applied in this process at once, under its number in the log, ahead of the log's thread.
3. The heartbeats of all processes are read until every process with a recent one has reached this
   number: then the purge is **confirmed**. If the time is up before that, it is only **appended**.
   This process counts too: until its own thread has read the record, what it fetches has a position
   below the purge, and could not be used.

And if something fails (I3, I5):

- Redis cannot be reached: the purge is applied in this process at once and **queued**. The log's thread
  appends the queue when Redis is back. The queue is bounded (I4): when it is full, one purge of
  everything replaces it.
- The server is too old for the log: as if it could not be reached. The log line names both versions.
- Redis answers, but refuses writes (it is full or read-only): it still allows DEL. Deleting the epoch
  starts a new life of the log, which purges everything.
- Redis has just lost its data: its hash of heartbeats is empty, so no process seems to follow the log.
  No purge is confirmed until all processes have had time to come back (`RETURN_TIME`).

The waiting is a generator, `_confirm`, which yields commands. `purge` runs it in a thread and `apurge`
in an event loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, Protocol

from cachemw.config.model import LogSettings as LogConfig
from cachemw.connections.nodes import Nodes
from cachemw.connections.versions import refuse_old_server
from cachemw.errors import StoreUnavailable
from cachemw.invalidation.floors import Floors
from cachemw.invalidation.log.followers import RETURN_TIME, Followers, is_refusal
from cachemw.invalidation.log.hooks import LogHooks
from cachemw.invalidation.log.records import appended_at, number, purge_fields
from cachemw.invalidation.log.stream import Stream, first_record
from cachemw.invalidation.purges import Purge, PurgeResult

__all__ = ["Appender", "FollowerPort", "seconds"]


_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.016
"""Seconds between two reads of the heartbeats."""


class FollowerPort(Protocol):
    """The follower of this process, as the appender uses it."""

    me: str
    """The name of this process in the heartbeats."""
    floors: Floors
    server_shift: float | None

    @property
    def following(self) -> bool:
        """Whether this process follows the log."""

    @property
    def live(self) -> bool:
        """Whether the log is being followed right now."""

    @property
    def others_are_back(self) -> bool:
        """Whether all processes have had time to come back to the log after it was lost."""

    def mark_log_lost(self) -> None:
        """Note that the log has lost its data just now."""

    def start(self) -> None:
        """Start to follow the log."""


class Appender:
    """The purges of one process on their way to the log. Thread-safe."""

    def __init__(
        self,
        stream: Stream,
        followers: Followers,
        follower: FollowerPort,
        nodes: Nodes,
        config: LogConfig,
        monotonic: Callable[[], float],
        hooks: LogHooks,
    ) -> None:
        self.queues = True
        """Whether purges are queued while Redis cannot be reached. If not, StoreUnavailable is raised."""
        self._stream = stream
        self._followers = followers
        self._follower = follower
        self._nodes = nodes
        self._config = config
        self._floors = follower.floors
        self._monotonic = monotonic
        self._hooks = hooks
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Start with an empty queue: the parent process appends its own queue."""
        self._lock = threading.Lock()
        self._queue: deque[Purge] = deque()
        self._queue_all = False

    @property
    def queued(self) -> int:
        """How many purges wait until Redis is back."""
        return len(self._queue) + self._queue_all

    def queued_purges(self) -> list[Purge]:
        """Return the purges that wait until Redis is back, in order."""
        with self._lock:
            return [Purge(tags=None)] if self._queue_all else list(self._queue.copy())

    def purge(self, purge: Purge) -> PurgeResult:
        """Append a purge. Wait a limited time until every process has applied it."""
        if self._queues_at_once(purge):
            return self._queue_purge(purge)
        try:
            append = self._stream.append_command(purge_fields(purge))
            client = self._nodes.find(self._stream.key).sync()
            identity = client.execute_command(*append) or self._append_to_new_log(append)
        except Exception as error:
            return self._failed(purge, error)
        steps, pauses = self._confirm(purge, identity), _pauses()
        command = next(steps)
        while True:
            if command is None:
                time.sleep(next(pauses))
                reply: Any = None
            else:
                reply = self._run_command(command)
            try:
                command = steps.send(reply)
            except StopIteration as stop:
                result: PurgeResult = stop.value
                return result

    async def apurge(self, purge: Purge) -> PurgeResult:
        """Append a purge. Wait a limited time until every process has applied it."""
        if self._queues_at_once(purge):
            return self._queue_purge(purge)
        deadline = self._nodes.config.deadline
        try:
            append = self._stream.append_command(purge_fields(purge))
            client = (await self._nodes.afind(self._stream.key)).aio()
            async with asyncio.timeout(deadline):
                identity = await client.execute_command(*append)
            identity = identity or self._append_to_new_log(append)
        except Exception as error:
            return self._failed(purge, error)
        steps, pauses = self._confirm(purge, identity), _pauses()
        command = next(steps)
        while True:
            reply: Any = None
            if command is None:
                await asyncio.sleep(next(pauses))
            else:
                try:
                    async with asyncio.timeout(deadline):
                        reply = await client.execute_command(*command)
                except Exception as error:
                    reply = error
            try:
                command = steps.send(reply)
            except StopIteration as stop:
                result: PurgeResult = stop.value
                return result

    def _run_command(self, command: tuple[Any, ...]) -> Any:
        try:
            return self._client().execute_command(*command)
        except Exception as error:
            return error

    def _client(self) -> Any:
        return self._nodes.of(self._stream.key).sync()

    def _append_to_new_log(self, command: tuple[Any, ...]) -> bytes:
        """Append to a log that was lost. Blocks, even in an event loop, because it is rare."""
        self._follower.mark_log_lost()
        return self._stream.append_to_new_log(self._client(), command)

    def _confirm(
        self, purge: Purge, identity: bytes
    ) -> Generator[tuple[Any, ...] | None, Any, PurgeResult]:
        """Apply an appended purge here, then wait until all processes have applied it.

        Yields a command to run, or None for a pause. An error of a command is sent in as its answer.
        """
        appended = number(identity)
        self._floors.apply(appended, purge.tags, soft=purge.soft, follow=False)
        wait = self._config.confirm_wait if purge.confirm_wait is None else purge.confirm_wait
        ends = self._monotonic() + wait
        shift = self._follower.server_shift
        if shift is None:  # a process that only purges does not know the server's time yet
            reply = yield ("TIME",)
            if not isinstance(reply, Exception):
                shift = seconds(reply) - self._monotonic()
        settled = True
        if not self._follower.following:  # nor whether the log has only just started
            first = first_record((yield self._stream.first_command()))
            settled = first is None or appended_at(appended) - appended_at(first[0]) > RETURN_TIME
        while True:
            reply = yield ("HGETALL", self._followers.key)
            reached, waiting = self._count_confirmations(reply, appended, shift)
            if not waiting and settled and self._follower.others_are_back:
                return PurgeResult(status="confirmed", reached=reached)
            if self._monotonic() >= ends:
                return PurgeResult(status="appended", reached=reached, waiting=waiting)
            yield None

    def _count_confirmations(
        self, reply: Any, appended: int, shift: float | None
    ) -> tuple[int, int]:
        """Return how many processes have applied a record, and how many have not yet."""
        me = self._follower.me if self._follower.following else None
        here = int(me is not None and self._floors.position >= appended)
        if isinstance(reply, Exception):
            return here, 1
        now = None if shift is None else self._monotonic() + shift
        applied, waiting = self._followers.count(reply, me, appended, now)
        if me is not None and not here:
            waiting += 1
        return here + applied, waiting

    def _failed(self, purge: Purge, error: Exception) -> PurgeResult:
        """Queue a purge that could not be appended or, where Redis is full, purge everything."""
        self._hooks.count("store_error", "purge")
        if is_refusal(error):
            error = self._refusal_of_old_server() or error
            self._hooks.failed(error, "")
        if is_refusal(error) and self._delete_epoch():
            self._floors.apply_locally(None, soft=False)
            return PurgeResult(status="appended", reached=1, waiting=1, everything=True)
        if not self.queues and isinstance(error, StoreUnavailable):
            raise error
        if not self.queues:
            raise StoreUnavailable(f"purge: {type(error).__name__}") from error
        return self._queue_purge(purge)

    def _refusal_of_old_server(self) -> StoreUnavailable | None:
        """Return why the server is no use at all, if it is too old: then nothing is purged there."""
        try:
            refuse_old_server(self._client())
        except StoreUnavailable as refusal:
            return refusal
        except Exception:  # it went away just now; the purge was refused before that
            return None
        return None

    def _queues_at_once(self, purge: Purge) -> bool:
        """Tell whether to queue without trying: Redis is away, and the purge is a request's (I3)."""
        return purge.confirm_wait is not None and self.queues and not self._follower.live

    def _queue_purge(self, purge: Purge) -> PurgeResult:
        """Apply a purge in this process, and queue it until Redis is back."""
        self._floors.apply_locally(purge.tags, soft=purge.soft)
        with self._lock:
            if len(self._queue) >= self._config.queue:
                self._queue.clear()
                self._queue_all = True
            if not self._queue_all:
                self._queue.append(purge)
        with suppress(RuntimeError):  # no thread can be started now: closing appends the queue
            self._follower.start()  # its thread does, also in a process that only purges
        return PurgeResult(status="queued", reached=1)

    def _delete_epoch(self) -> bool:
        """Delete the epoch. A server that refuses writes still accepts this, and it purges everything."""
        return self._run_command(("DEL", self._stream.epoch_key)) in (0, 1)

    def drain(self, client: Any) -> None:
        """Append the queued purges or, where Redis is full, purge everything."""
        try:
            if self._queue_all:
                self._append_queued(client, Purge(tags=None))
                self._queue_all = False
            while self._queue:
                self._append_queued(client, self._queue[0])
                self._queue.popleft()
        except Exception as error:
            if not is_refusal(error):
                raise
            self._hooks.failed(error, "")
            client.delete(self._stream.epoch_key)
            self._queue.clear()
            self._queue_all = False

    def _append_queued(self, client: Any, purge: Purge) -> None:
        identity = client.execute_command(*self._stream.append_command(purge_fields(purge)))
        if identity is None:
            raise ValueError("the log's stream is gone")
        # Apply it again, under its number in the log. Since the purge was made, other processes may
        # have stored entries whose position is above the floor that was set here then.
        self._floors.apply(number(identity), purge.tags, soft=purge.soft, follow=False)


def _pauses() -> Iterator[float]:
    """Yield the seconds between reads of the heartbeats. Each read gets those of all processes."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


def seconds(reply: Any) -> float:
    """Return the answer of TIME in seconds."""
    whole, micros = reply
    return float(whole + micros / 1e6)
