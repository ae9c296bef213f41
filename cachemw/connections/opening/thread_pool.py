"""A pool for threads that hands out open connections only.

A request takes a connection that is open. Where none is free, one is opened in a background thread, and
the request waits for it, or for another one to become free, for a short time. Opening goes on after
that, for the next request. What failed is raised where somebody waits for it, so that it is
counted and told.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cachemw.connections.opening.dialing import OPENING_FAILED

__all__ = ["POOL_EMPTY", "DedicatedPool", "Failure", "ThreadPool", "Waits"]

POOL_EMPTY = "No connection available"
"""The message where no connection was free or opened in time. It says nothing of the server."""

AT_ONCE = 4
"""Connections that are opened at the same time: with TLS each costs this process some milliseconds."""
_KNOWN_FOR = 1.0
"""Seconds for which a failure that nobody waited for is raised to the next request."""


@dataclass(frozen=True)
class Waits:
    """Seconds that a request waits for a connection."""

    full: float
    """While the pool has as many connections as it may have: for one to become free."""
    opening: float
    """While it may have more: for one to be opened, or to become free."""
    first: float
    """While an event loop has opened none yet."""


@dataclass(frozen=True, eq=False)
class Failure:
    """A connection that could not be opened."""

    error: BaseException
    known_until: float = 0.0
    """When it is of no interest any more. 0: somebody has been told."""

    def is_news(self) -> bool:
        """Tell whether nobody has been told yet, and it has only just happened."""
        return time.monotonic() < self.known_until

    def as_error(self) -> RedisConnectionError:
        """Return a new error to raise: one object must not be raised in several threads."""
        error = RedisConnectionError(OPENING_FAILED)
        error.__cause__ = self.error
        return error

    @classmethod
    def now(cls, error: BaseException, *, waited_for: bool) -> Failure:
        """Return a failure of this moment; `waited_for` says that somebody is being told."""
        return cls(error, 0.0 if waited_for else time.monotonic() + _KNOWN_FOR)


class ThreadPool(redis.ConnectionPool):
    """Open connections, for all threads of a process."""

    def __init__(self, waits: Waits, max_connections: int, **options: Any) -> None:
        """Take redis-py's `connection_class` and the options of its connections."""
        self._waits = waits
        super().__init__(max_connections=max_connections, **options)

    def reset(self) -> None:
        """Start without connections; those that are open are forgotten, and not closed."""
        # A signal handler may close the pool in the middle of what this thread does with it.
        self._changed = threading.Condition(threading.RLock())
        self._free: list[Any] = []
        self._all: set[Any] = set()
        self._old: set[Any] = set()
        """Connections with credentials that have been replaced: they are closed after their next use."""
        self._opening = self._waiting = 0
        self._life = 0
        """Changes when the pool is closed. A connection that was being opened then is closed too."""
        self._failure: Failure | None = None
        super().reset()

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """Return an open connection. Raises redis-py's ConnectionError if none is open in time."""
        self._checkpid()
        while True:
            with self._changed:
                connection = self._take()
            if connection is None:
                connection = self._await(None)
            if _is_usable(connection):
                return connection
            self._drop(connection)

    def ensure(self, wait: float) -> None:
        """Wait at most `wait` seconds until a connection is open. Raises ConnectionError if none is."""
        self._checkpid()
        with self._changed:
            outdated = [each for each in self._free if each.is_outdated()]
            self._free = [each for each in self._free if each not in outdated]
        for connection in outdated:
            self._drop(connection)
        if not self._all:
            self.release(self._await_twice(wait))

    def _await_twice(self, wait: float) -> Any:
        """Return a connection; what an attempt met that had begun before says nothing of the server now."""
        ends = time.monotonic() + wait
        is_old = bool(self._opening) or (self._failure is not None and self._failure.is_news())
        try:
            return self._await(wait)
        except RedisConnectionError:
            left = ends - time.monotonic()
            if not is_old or left <= 0.0:
                raise
        return self._await(left)

    def release(self, connection: Any) -> None:
        """Take a connection back."""
        self._checkpid()
        with self._changed:
            kept = (
                connection in self._all
                and connection not in self._old
                and connection.is_connected
                and not connection.should_reconnect()
            )
            if kept:
                self._free.append(connection)
                if self._waiting:
                    self._changed.notify()
        if not kept:
            self._drop(connection)

    def renew(self) -> None:
        """Replace each connection after its next use: there are new credentials."""
        with self._changed:
            self._old = set(self._all)

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections, and those that are being opened when they are open."""
        self._checkpid()
        with self._changed:
            self._life += 1
            closing = set(self._all if inuse_connections else self._free)
            self._all -= closing
            self._old -= closing
            self._free.clear()
        for connection in closing:
            connection.disconnect()

    def _drop(self, connection: Any) -> None:
        with self._changed:
            self._all.discard(connection)
            self._old.discard(connection)
            self._open_more()
        connection.disconnect()

    def _await(self, wait: float | None) -> Any:
        """Return a connection when one is free. Raises what hindered it from being opened."""
        with self._changed:
            if wait is None:
                is_full = len(self._all) >= self.max_connections
                wait = self._waits.full if is_full else self._waits.opening
            self._waiting += 1
            try:
                self._tell_news()
                return self._await_free(time.monotonic() + wait)
            finally:
                self._waiting -= 1

    def _tell_news(self) -> None:
        """Raise a failure that nobody has been told; a next attempt begins."""
        failure = self._failure
        if failure is not None and failure.is_news():
            self._failure = Failure(failure.error)
            self._open_more()
            raise failure.as_error()

    def _await_free(self, ends: float) -> Any:
        before = self._failure
        while (connection := self._take()) is None:
            self._open_more()
            left = ends - time.monotonic()
            if left <= 0.0:
                raise RedisConnectionError(POOL_EMPTY)
            self._changed.wait(left)
            failure = self._failure
            if failure is not None and failure is not before and not self._free:
                raise failure.as_error()
        return connection

    def _take(self) -> Any:
        try:
            return self._free.pop()
        except IndexError:
            return None

    # -- opening ---------------------------------------------------------------------------------

    def _open_more(self) -> None:
        """Start to open a connection for each waiting thread, up to the limits. Under the lock."""
        while (
            self._opening < min(self._waiting, AT_ONCE)
            and len(self._all) + self._opening < self.max_connections
        ):
            self._opening += 1
            try:
                threading.Thread(
                    target=self._open, args=(self._life,), name="cachemw-connect", daemon=True
                ).start()
            except RuntimeError as error:  # the system has no thread left
                self._opening -= 1
                self._failure = Failure.now(error, waited_for=True)
                return

    def _open(self, life: int) -> None:
        connection: Any = None
        failed: BaseException | None = None
        try:
            connection = self.connection_class(**self.connection_kwargs)
            connection.connect()
        except BaseException as error:
            failed = error
        with self._changed:
            self._opening -= 1
            closed = life != self._life
            if failed is not None:
                if not closed:
                    self._note(failed)
            elif not closed:
                self._failure = None
                self._all.add(connection)
                self._free.append(connection)
            self._changed.notify_all()
        if closed and connection is not None:
            connection.disconnect()

    def _note(self, error: BaseException) -> None:
        self._failure = Failure.now(error, waited_for=bool(self._waiting))


class DedicatedPool(redis.BlockingConnectionPool):
    """One connection of a thread that no request waits for. It is opened where it is needed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def renew(self) -> None:
        """Replace the connection after its next use: there are new credentials."""
        for connection in self._connections:
            connection.mark_for_reconnect()
            connection.forget()


def _is_usable(connection: Any) -> bool:
    """Tell whether an idle connection is still open, and nothing was left to be read from it."""
    try:
        is_open = connection.is_connected and not connection.is_outdated()
        return is_open and not connection.can_read()
    except (RedisError, OSError):
        return False
