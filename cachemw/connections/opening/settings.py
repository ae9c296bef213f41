"""The ways to the servers of one deployment, and the clients that take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.config.syntax.redis_url import Address
from cachemw.connections.opening.addresses import Addresses
from cachemw.connections.opening.deadline import reply_within_deadline
from cachemw.connections.opening.tls import TlsContext, tls_options

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from cachemw.connections.opening.credentials import Credentials
    from cachemw.connections.opening.thread_pool import Waits

__all__ = ["Opening"]

_SHORTEST_LIMIT = 1.0
"""Seconds. Opening a connection gets at least this. No request waits for all of it."""
_LOOKUP_SHARE = 10
"""Times the deadline: the limit for servers of which others can be asked instead, below the limit above."""
_OPENING_SHARE = 0.3
"""Of the deadline: I3 allows 75 ms for one request, 50 to read, 15 to wait for a connection."""
_FIRST_SHARE = 0.8
"""Of the deadline, for the first connection of an event loop: the rest of it is for the command."""


class Opening:
    """The ways to the servers of one deployment, and the clients that take them. Thread-safe."""

    def __init__(self, config: RedisConfig, url: str) -> None:
        """Take the URL of one server, which may be a placeholder for several. Raises ConfigError."""
        from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url

        self._config = config
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        kind = options.pop("connection_class", None)
        tls = tls_options(options)
        self._is_unix = kind is UnixDomainSocketConnection
        self._tls = TlsContext(tls) if kind is SSLConnection else None
        self._host = (options.pop("host", "localhost"), options.pop("port", 6379))
        self._options = {name: value for name, value in options.items() if name not in tls}
        self._credentials: Credentials | None = None
        if config.credentials is not None:
            from cachemw.connections.opening.credentials import Credentials, import_provider

            self._credentials = Credentials(import_provider(config.credentials), self.limit)
        self._ways: dict[Address, Addresses] = {}

    @property
    def limit(self) -> float:
        """Seconds that opening a connection may take. It is not part of a request's deadline."""
        return max(_SHORTEST_LIMIT, self._config.deadline)

    def on_renewal(self, renew: Callable[[], None]) -> None:
        """Call `renew` when a provider that streams credentials has new ones."""
        if self._credentials is not None:
            self._credentials.on_renewal(renew)

    def reset_after_fork(self) -> None:
        """Keep what is known, and forget the calls that the parent process has begun."""
        for part in (self._tls, self._credentials, *self._ways.values()):
            if part is not None:
                part.reset_after_fork()

    def look_up_again(self, address: Address | None) -> None:
        """Look the name of a server up before the next connection is opened: it may have moved."""
        addresses = self._ways.get(address or self._host)
        if addresses is not None:
            addresses.expire()

    def thread_client(self, address: Address | None) -> redis.Redis:
        """Return a client for the requests of all threads."""
        import redis

        from cachemw.connections.opening.dialing import Dialed, DialedUnix
        from cachemw.connections.opening.thread_pool import ThreadPool

        pool = ThreadPool(
            self._waits(),
            self._config.pool_size,
            connection_class=DialedUnix if self._is_unix else Dialed,
            parser_class=reply_within_deadline(),
            **self._all_options(address, self._config.deadline),
        )
        return redis.Redis.from_pool(pool)

    def loop_client(self, address: Address | None) -> redis.asyncio.Redis:
        """Return a client for the requests of the running event loop."""
        import redis.asyncio
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        from cachemw.connections.opening.dialing import AsyncDialed, AsyncDialedUnix
        from cachemw.connections.opening.loop_pool import LoopPool

        pool = LoopPool(
            self._waits(),
            self._config.pool_size,
            connection_class=AsyncDialedUnix if self._is_unix else AsyncDialed,
            **{**self._all_options(address, self._config.deadline), "retry": Retry(NoBackoff(), 0)},
        )
        return redis.asyncio.Redis.from_pool(pool)

    def dedicated_client(
        self, address: Address | None, read_timeout: float, limit: float | None = None
    ) -> redis.Redis:
        """Return a client with one connection, for a thread that no request waits for."""
        return self._single(self._all_options(address, read_timeout), limit)

    def sentinel_client(
        self, address: Address, credentials: Mapping[str, str], read_timeout: float
    ) -> redis.Redis:
        """Return a client of a Sentinel. It has the URL's options for TLS, and its own credentials."""
        options = {**self._timeouts(read_timeout), **self._way(address), **credentials}
        return self._single(options, self.lookup_limit)

    @property
    def lookup_limit(self) -> float:
        """Seconds that opening a connection to one of several servers may take."""
        return min(self.limit, _LOOKUP_SHARE * self._config.deadline)

    def _single(self, options: dict[str, Any], limit: float | None) -> redis.Redis:
        import redis

        from cachemw.connections.opening.dialing import Dialed, DialedUnix
        from cachemw.connections.opening.thread_pool import DedicatedPool

        if limit is not None:
            options["socket_connect_timeout"] = limit
        pool = DedicatedPool(
            max_connections=1,
            timeout=self._config.pool_wait,
            connection_class=DialedUnix if self._is_unix else Dialed,
            **options,
        )
        return redis.Redis.from_pool(pool)

    def _waits(self) -> Waits:
        from cachemw.connections.opening.thread_pool import Waits

        full, deadline = self._config.pool_wait, self._config.deadline
        return Waits(full, max(full, _OPENING_SHARE * deadline), max(full, _FIRST_SHARE * deadline))

    def _all_options(self, address: Address | None, read_timeout: float) -> dict[str, Any]:
        options = {**self._options, **self._timeouts(read_timeout), **self._way(address)}
        if self._credentials is not None:
            options["credential_provider"] = self._credentials
        return options

    def _timeouts(self, read_timeout: float) -> dict[str, Any]:
        """Return the options that a URL cannot change: without them, a request waits for seconds."""
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        return {
            "socket_timeout": read_timeout,
            "socket_connect_timeout": self.limit,
            "driver_info": None,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }

    def _way(self, address: Address | None) -> dict[str, Any]:
        from cachemw.connections.opening.dialing import Way

        if self._is_unix:
            return {}
        host, port = address = address or self._host
        addresses = self._ways.get(address) or self._ways.setdefault(address, Addresses(host, port))
        return {"host": host, "port": port, "way": Way(addresses, self._tls)}
