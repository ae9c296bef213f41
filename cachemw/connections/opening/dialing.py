"""redis-py's connections, with addresses that are known already and a TLS context that is made already.

Everything that opening a connection takes (look-up, TCP, TLS, password, database) has one limit of
its own, `socket_connect_timeout`. It is not part of the deadline of a request, which only uses
connections that are open.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cachemw.connections.opening.addresses import Addresses, Place
from cachemw.connections.opening.tls import TlsContext
from cachemw.errors import ConnectError

__all__ = [
    "AsyncDialed",
    "AsyncDialedUnix",
    "Dialed",
    "DialedUnix",
    "Way",
]


OPENING_FAILED = "a connection could not be opened"
_NO_ADDRESS = "the host name has no address"


@dataclass(frozen=True, eq=False)
class Way:
    """The way to one server."""

    addresses: Addresses
    tls: TlsContext | None


class _Unhurried:
    """Gives the handshake of a connection for threads the limit for connecting."""

    def connect(self: Any) -> None:
        """Open the connection, unless it is open."""
        if self.is_connected:
            return
        usual, self.socket_timeout = self.socket_timeout, self.socket_connect_timeout
        try:
            super().connect()  # type: ignore[misc]
        except ConnectError as error:
            raise RedisConnectionError(OPENING_FAILED) from error
        finally:
            self.socket_timeout = usual
        self._sock.settimeout(usual)
        self._parser.on_connect(self)  # it has noted the limit for connecting


class Dialed(_Unhurried, redis.Connection):
    """A connection for threads, over TCP with or without TLS."""

    def __init__(self, *, way: Way, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._way = way

    def _connect(self) -> socket.socket:
        limit: Any = self.socket_connect_timeout
        ends = time.monotonic() + limit
        places = self._way.addresses.get(limit)
        try:
            for place, share, is_last in _tries(places, ends):
                try:
                    return self._dial(place, time.monotonic() + share)
                except OSError:
                    if is_last:
                        raise
            raise OSError(_NO_ADDRESS)
        except BaseException:
            self._way.addresses.expire()
            raise

    def _dial(self, place: Place, ends: float) -> socket.socket:
        family, address = place
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._keep_alive(opened)
            opened.settimeout(_left(ends))
            opened.connect(address)
            if self._way.tls is not None:
                context = self._way.tls.get(_left(ends))
                opened.settimeout(_left(ends))
                opened = context.wrap_socket(opened, server_hostname=self.host)
            opened.settimeout(self.socket_timeout)
        except BaseException:
            opened.close()
            raise
        return opened

    def can_read(self, timeout: float = 0) -> bool:
        """Tell whether a reply, or its end, waits to be read: then an idle connection cannot be used."""
        # With TLS 1.3 a server sends session tickets after the handshake. They make the socket readable,
        # and redis-py with hiredis would take them for a reply. So they are read first.
        opened: Any = self._sock
        if isinstance(opened, ssl.SSLSocket) and _holds_a_reply(opened):
            return True
        return super().can_read(timeout)

    def _keep_alive(self, opened: socket.socket) -> None:
        if self.socket_keepalive:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in self.socket_keepalive_options.items():
                opened.setsockopt(socket.IPPROTO_TCP, option, value)


class DialedUnix(_Unhurried, redis.UnixDomainSocketConnection):
    """A connection for threads, over a Unix socket."""


class _AsyncUnhurried:
    """Gives opening a connection for event loops one limit for all of it."""

    async def connect(self: Any) -> None:
        """Open the connection, unless it is open."""
        if self.is_connected:
            return
        usual, self.socket_timeout = self.socket_timeout, self.socket_connect_timeout
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                await super().connect()  # type: ignore[misc]
        except ConnectError as error:
            raise RedisConnectionError(OPENING_FAILED) from error
        except TimeoutError as error:
            raise RedisTimeoutError("Timeout connecting to server") from error
        finally:
            self.socket_timeout = usual


class AsyncDialed(_AsyncUnhurried, redis.asyncio.Connection):
    """A connection for an event loop, over TCP with or without TLS."""

    def __init__(self, *, way: Way, **options: Any) -> None:
        super().__init__(**options)
        self._way = way
        self._place: dict[str, Any] = {}

    def _connection_arguments(self) -> dict[str, Any]:
        return self._place

    async def _connect(self) -> None:
        limit: Any = self.socket_connect_timeout
        tls = self._way.tls
        ends = time.monotonic() + limit
        context = None if tls is None else await tls.aget(limit)
        places = await self._way.addresses.aget(limit)
        try:
            for (_, address), share, is_last in _tries(places, ends):
                self._place = {"host": address[0], "port": address[1], "ssl": context}
                if context is not None:
                    self._place["server_hostname"] = self.host
                try:
                    async with asyncio.timeout(share):
                        return await super()._connect()  # type: ignore[no-any-return, no-untyped-call]
                except OSError:
                    if is_last:
                        raise
            raise OSError(_NO_ADDRESS)
        except BaseException:
            self._way.addresses.expire()
            raise


class AsyncDialedUnix(_AsyncUnhurried, redis.asyncio.UnixDomainSocketConnection):
    """A connection for an event loop, over a Unix socket."""


def _holds_a_reply(opened: ssl.SSLSocket) -> bool:
    """Read what TLS itself has sent, and tell whether a part of a reply, or its end, follows."""
    usual = opened.gettimeout()
    opened.settimeout(0.0)
    try:
        opened.recv(1)  # a byte of a reply is lost, and so is the connection: nobody asked for it
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True
    finally:
        opened.settimeout(usual)
    return True


def _tries(places: Sequence[Place], ends: float) -> Iterator[tuple[Place, float, bool]]:
    """Yield each address, the seconds for it, and whether it is the last.

    The last one has the rest of the time; one before it must leave some to the others.
    """
    for left in range(len(places), 0, -1):
        yield places[-left], _left(ends) / left, left == 1


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0.0:
        raise TimeoutError("connecting took too long")
    return left
