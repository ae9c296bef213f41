"""The Redis servers of one deployment, found by key.

Every use of Redis names a key and gets the node (server) that has it. Nodes are added and removed as
the topology changes. Each node has its own breaker: if one server of a Cluster fails, the keys on
the other servers stay usable.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.config.syntax.redis_url import Address, deployment
from cachemw.connections.breaker import Breaker
from cachemw.connections.distance import RoundTrip
from cachemw.connections.failures import is_read_only
from cachemw.connections.node import Node
from cachemw.connections.opening.settings import Opening
from cachemw.connections.topology import LOOKUP_TIMEOUT, URL_ADDRESS, topology_of
from cachemw.errors import ConfigError, Problem, StoreUnavailable
from cachemw.process.fork import notice_fork

__all__ = ["Nodes"]

_LONGEST_BREAK = 2.0
"""Seconds. The doubling of a breaker's wait ends here, so that with jitter Redis is used again within 3 s
of its return."""
_UNKNOWN_FOR = 4.0
"""Seconds for which no look-up need succeed while the known servers answer. Less than the time in which
every process has come over to a new server (`followers.RETURN_TIME`)."""


class Nodes:
    """The nodes of one deployment. Thread-safe."""

    def __init__(
        self, config: RedisConfig, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare without opening a connection.

        Raises ConfigError if redis-py is not installed, or the credential provider cannot be imported.
        """
        _require_redis()
        self.config = config
        self.monotonic = monotonic
        """The clock of everything that uses these nodes."""
        where = deployment(config.url)
        self._opening = Opening(config, where.url)
        self._topology = topology_of(where, self._opening)
        self._looked_at = self._found_at = -1e9
        self.round_trip = RoundTrip()
        """How long a round trip takes, as the follower of the log learns it."""
        self.failed: Callable[[BaseException, str], None] = lambda error, server: None
        """Called with the error of a server that was tried again and still fails, and its address."""
        self.reset_after_fork()
        # The provider may outlive these nodes, and must not keep them.
        self._opening.on_renewal(_without_keeping(self._renew))

    def reset_after_fork(self) -> None:
        """Forget all clients without closing them: the sockets are shared with the parent."""
        self._lock = threading.RLock()  # `retire` may interrupt its holder
        self._by_address: dict[Address, Node] = {}
        self._opening.reset_after_fork()

    def of(self, key: bytes) -> Node:
        """Return the node that has a key. Raises StoreUnavailable if that is not known."""
        notice_fork()  # a connection of the parent would give its answers to the wrong process
        address = self._topology.address_of(key)
        return self._by_address.get(address) or self._add(address)

    def find(self, key: bytes) -> Node:
        """Return the node that has a key, after a look-up if that is not known. May block."""
        try:
            return self.of(key)
        except StoreUnavailable:
            self.locate()
            return self.of(key)

    def all_nodes(self) -> list[Node]:
        """Return a node for each server that has keys, after a look-up. May block."""
        self.locate()
        servers = self._topology.servers()
        return [self._add(each) for each in ([URL_ADDRESS] if servers is None else servers)]

    def name_of(self, node: Node) -> str:
        """Return host and port of a node, for a log line; empty if the URL names only this one."""
        with self._lock:
            for (host, port), each in self._by_address.items():
                if each is node and (host, port) != URL_ADDRESS:
                    return f"{host}:{port}"
        return ""

    async def afind(self, key: bytes) -> Node:
        """Return the node that has a key, as `find` does, without blocking the event loop."""
        try:
            return self.of(key)
        except StoreUnavailable:
            return await asyncio.to_thread(self.find, key)

    # -- in the background -----------------------------------------------------------------------

    def locate(self) -> None:
        """Look up which server has which keys. Raises StoreUnavailable if no server can tell."""
        self._looked_at = self.monotonic()
        self._topology.locate(self._connect)
        self._found_at = self._looked_at
        servers = self._topology.servers()
        if servers is None:
            return
        with self._lock:
            kept = set(servers)
            gone = [self._by_address.pop(each) for each in set(self._by_address) - kept]
        for node in gone:
            node.retire()

    def locate_if_due(self) -> None:
        """Look the servers up again if it is time, or if the known topology may be outdated."""
        if self._topology.doubtful:
            self.locate()
            return
        now = self.monotonic()
        if now - self._looked_at >= self._topology.look_again:
            try:
                self.locate()
            except StoreUnavailable:
                if now - self._found_at > _UNKNOWN_FOR:
                    raise

    def probe(self, answered: Node) -> bool:
        """Send a PING to each server whose breaker is due for a probe.

        `answered` is the node that has just answered another command: it needs no PING. Return
        whether its breaker was closed by this.
        """
        for node in self._known_nodes():
            if node is not answered and node.breaker.may_probe():
                self._ping(node)
        if answered.breaker.may_probe():
            answered.breaker.success()
            return True
        return False

    # -- reports from requests -------------------------------------------------------------------

    def learn_from_error(self, key: bytes, error: BaseException) -> bool:
        """Learn from an error where a key is. Return whether the server itself works well."""
        from redis.exceptions import AskError, MovedError

        if isinstance(error, MovedError):
            self._topology.moved(key, (error.host, error.port))
            return True
        if is_read_only(error):
            self._topology.doubtful = True
        # ASK: the slot is being moved. Until that is done, its keys are misses.
        return isinstance(error, AskError)

    def is_elsewhere(self, key: bytes, error: BaseException) -> bool:
        """Learn from an error where a key is. Return whether a second attempt may find it there.

        The new server is named by the old one (MOVED), or found by its host name (READONLY).
        """
        from redis.exceptions import MovedError

        self.learn_from_error(key, error)
        return isinstance(error, MovedError) or is_read_only(error)

    def mark_doubtful(self) -> None:
        """Report that a server did not answer: another server may have replaced it."""
        self._topology.doubtful = True

    @property
    def breakers(self) -> list[Breaker]:
        """The breakers of the servers that were used so far."""
        return [node.breaker for node in self._known_nodes()]

    # -- closing ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the clients for threads."""
        for node in self._known_nodes():
            node.close()

    async def aclose(self) -> None:
        """Close the clients of the running event loop."""
        for node in self._known_nodes():
            await node.aclose()

    def retire(self) -> None:
        """Close all clients, from any thread and also while garbage is collected."""
        for node in self._known_nodes():
            node.retire()

    def _renew(self) -> None:
        """Replace all connections little by little: there are new credentials."""
        for node in self._known_nodes():
            node.renew()

    def _ping(self, node: Node) -> None:
        import redis

        try:
            node.connected().ping()
        except (redis.RedisError, OSError) as error:
            node.breaker.failure()
            self.failed(error, self.name_of(node))
        else:
            node.breaker.success()

    def _known_nodes(self) -> list[Node]:
        with self._lock:
            return list(self._by_address.values())

    def _add(self, address: Address) -> Node:
        with self._lock:
            node = self._by_address.get(address)
            if node is None:
                node = self._by_address[address] = self._make(address)
            return node

    def _make(self, address: Address) -> Node:
        breaker = Breaker(
            self.config.breaker_failures,
            self.config.breaker_reset,
            self.monotonic,
            random.Random(),
            longest=_LONGEST_BREAK,
        )
        return Node(self._opening, None if address == URL_ADDRESS else address, breaker)

    def _connect(self, address: Address) -> Any:
        limit = self._opening.lookup_limit
        return self._opening.dedicated_client(address, LOOKUP_TIMEOUT, limit)


def _without_keeping(method: Callable[[], None]) -> Callable[[], None]:
    """Return a call of a method that does not keep its object alive."""
    weak = WeakMethod(method)

    def call() -> None:
        alive = weak()
        if alive is not None:
            alive()

    return call


def _require_redis() -> None:
    try:
        # Now, and not in the first request: importing takes tens of milliseconds.
        import cachemw.connections.opening.loop_pool  # noqa: F401
    except ImportError as error:
        message = 'needs redis-py: pip install "cachemw[redis]"'
        raise ConfigError([Problem("redis", message)]) from error
