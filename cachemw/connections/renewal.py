"""The replacement of open connections of one server by new ones.

An open connection may lead to the wrong place. After a planned failover, the old primary lives on as a
read-only replica, and only a new connection resolves the host name again. And a firewall may have
forgotten a connection that was idle: what is sent over it is lost, and no error comes back.

So connections are *outdated* when the server has said READONLY, when the log's connection was lost, or
when they were idle and another idle one was silent. What must work at the first attempt, such as a purge,
gets no idle connection (`without_idle`). A request may get one: to open a connection would cost it more.

Nobody closes the connection of another thread or event loop: each is replaced by its next user, when the
pool is about to hand it out (`is_outdated`). A command in progress, and a transaction that watches keys,
keep the connection that they have.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from cachemw.connections.failures import is_read_only

__all__ = ["IDLE", "Renewal", "without_idle"]

IDLE = 1.0
"""Seconds without a reply after which a connection counts as idle."""


_without_idle: ContextVar[bool] = ContextVar("cachemw_without_idle", default=False)


@contextmanager
def without_idle() -> Iterator[None]:
    """Replace the idle connections that the block gets from a pool, in this thread or task."""
    token = _without_idle.set(True)
    try:
        yield
    finally:
        _without_idle.reset(token)


class Renewal:
    """The rules by which connections of one server are outdated. Thread-safe."""

    def __init__(self, moved: Callable[[], None]) -> None:
        """Call `moved` where the server's name may lead to another address now."""
        self._moved = moved
        self.generation = 0
        """Connections of an earlier generation are outdated."""
        self.used_since = -1e9
        """Monotonic time. Connections without a reply since then are outdated."""
        self._excused = 0
        self._classes: dict[tuple[type[Any], bool], type[Any]] = {}

    def replace_all(self) -> None:
        """Replace every connection that is open now. The name is looked up again."""
        self.generation += 1
        self._moved()

    def replace_idle(self) -> None:
        """Replace the connections that are idle now."""
        self.used_since = time.monotonic() - IDLE

    def idle_failed(self) -> None:
        """Report that an idle connection gave no answer. The other idle ones may be dead too."""
        self._excused += 1
        self.replace_idle()

    def take_excuse(self) -> bool:
        """Return whether a timeout was that of an idle connection, once for each of these."""
        if self._excused:
            self._excused -= 1
            return True
        return False

    def apply(self, pool: Any, *, in_loop: bool, once: bool = False) -> None:
        """Make a pool of redis-py, which is still empty, replace outdated connections.

        With `once`, nothing is replaced: after a connection is lost, each command is an error. That is for
        a client whose user must know that the server may be another one now.
        """
        base = pool.connection_class
        found = self._classes.get((base, once))
        if found is None:  # one for all pools: a class is not freed with its last connection
            bases = (_Async if in_loop else _Sync, base)
            found = type(f"Renewed{base.__name__}", bases, {"_renewal": self, "_once": once})
            self._classes[base, once] = found
        pool.connection_class = found


class _Connection:
    """The part that is the same for threads and for event loops."""

    _renewal: Renewal
    _once: bool
    _generation: int | None = None
    """That of the renewal when the connection was opened. None: it was never open."""
    _used_at = 0.0
    """Monotonic time of the last reply."""
    _idle = 0.0
    """Seconds without a reply, when the pool handed the connection out."""

    def is_outdated(self) -> bool:
        """Tell whether to replace the connection, which is being handed out."""
        if self._generation is None or self._once:
            return False
        self._idle = time.monotonic() - self._used_at
        renewal = self._renewal
        if self._generation != renewal.generation or self._used_at < renewal.used_since:
            return True
        return self._idle >= IDLE and _without_idle.get()

    def _opening(self) -> int:
        """Return the generation of a connection that is about to be opened."""
        from redis.exceptions import ConnectionError as RedisConnectionError

        if self._once and self._generation is not None:
            raise RedisConnectionError("the connection was lost")
        return self._renewal.generation

    def forget(self) -> None:
        """Allow a connection that connects only once to do so again: it is replaced on purpose."""
        self._generation = None

    def _opened(self, generation: int) -> None:
        self._generation, self._used_at, self._idle = generation, time.monotonic(), 0.0

    def _answered(self) -> None:
        self._used_at, self._idle = time.monotonic(), 0.0

    def _refused(self, error: Exception) -> None:
        self._answered()
        if is_read_only(error):
            self._renewal.replace_all()

    def _silent(self) -> None:
        if self._idle >= IDLE:
            self._renewal.idle_failed()
            self._idle = 0.0


class _Sync(_Connection):
    """A connection for threads."""

    def connect_check_health(self, *args: Any, **options: Any) -> None:
        """Open the connection if it is not open."""
        if self._sock:  # type: ignore[attr-defined]
            return
        generation = self._opening()
        super().connect_check_health(*args, **options)  # type: ignore[misc]
        self._opened(generation)

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply, and note what it tells about the connection."""
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as RedisTimeout

        try:
            reply = super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            self._refused(error)
            raise
        except RedisTimeout:
            self._silent()
            raise
        self._answered()
        return reply


class _Async(_Connection):
    """A connection for an event loop."""

    async def connect_check_health(self, *args: Any, **options: Any) -> None:
        """Open the connection if it is not open."""
        if self.is_connected:  # type: ignore[attr-defined]
            return
        generation = self._opening()
        await super().connect_check_health(*args, **options)  # type: ignore[misc]
        self._opened(generation)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply, and note what it tells about the connection."""
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as RedisTimeout

        try:
            reply = await super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            self._refused(error)
            raise
        except (RedisTimeout, TimeoutError, asyncio.CancelledError):
            self._silent()  # the deadline of a command cancels its read
            raise
        self._answered()
        return reply
