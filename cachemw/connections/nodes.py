"""The servers of one deployment: a node for each that keys are at, found by the key.

Every use of Redis names a key and gets the node that has it. Nodes come and go with what the
topology learns; each has a breaker of its own, so that one ill server of a Cluster does not cost
what the others hold.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from cachemw.config.model import RedisSettings as RedisConfig
from cachemw.config.syntax.redis_url import Address, deployment
from cachemw.connections.breaker import Breaker
from cachemw.connections.node import Node
from cachemw.connections.topology import LOOKUP_TIMEOUT, URL_ADDRESS, topology_of
from cachemw.errors import ConfigError, Problem, StoreUnavailable

__all__ = ["Nodes"]

_LONGEST_BREAK = 2.0
"""Seconds; the breaker's doubling ends here, for Redis is to be in use again 3 s after it is back."""
_LOOK_AGAIN = 5.0
"""Seconds after which the servers are looked up again, also when nothing seems wrong: one that was
cut off from its Sentinels, and from nobody else, goes on as if it were the master."""


class Nodes:
    """The nodes of one deployment. Thread-safe."""

    def __init__(
        self, config: RedisConfig, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Open no connection yet. Raises ConfigError without redis-py."""
        _require_redis()
        self.config = config
        self._monotonic = monotonic
        where = deployment(config.url)
        self._url = where.url
        self._topology = topology_of(where)
        self._looked_at = -1e9
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget every client without a word to its connections: they are the parent's."""
        self._lock = threading.Lock()
        self._by_address: dict[Address, Node] = {}

    def of(self, key: bytes) -> Node:
        """Give the node that has a key; raises StoreUnavailable while nobody knows which."""
        address = self._topology.address_of(key)
        return self._by_address.get(address) or self._add(address)

    def find(self, key: bytes) -> Node:
        """Give the node that has a key, and look for it where nobody knows: this may block."""
        try:
            return self.of(key)
        except StoreUnavailable:
            self.locate()
            return self.of(key)

    def all_nodes(self) -> list[Node]:
        """Give the node of each server that keys are at; looks for them first, so this may block."""
        self.locate()
        servers = self._topology.servers()
        return [self._add(each) for each in ([URL_ADDRESS] if servers is None else servers)]

    async def afind(self, key: bytes) -> Node:
        """Give the node that has a key as `find` does, without blocking the event loop."""
        try:
            return self.of(key)
        except StoreUnavailable:
            return await asyncio.to_thread(self.find, key)

    # -- in the background -----------------------------------------------------------------------

    def locate(self) -> None:
        """Find out where keys are now; raises StoreUnavailable when nobody can be asked."""
        self._looked_at = self._monotonic()
        self._topology.locate(self._connect)
        servers = self._topology.servers()
        if servers is None:
            return
        with self._lock:
            kept = set(servers)
            gone = [self._by_address.pop(each) for each in set(self._by_address) - kept]
        for node in gone:
            node.retire()

    def locate_if_due(self) -> None:
        """Look again if it is time, or if something was heard that makes it worth while."""
        if self._topology.doubtful or self._monotonic() - self._looked_at > _LOOK_AGAIN:
            self.locate()

    def probe(self, answered: Node) -> bool:
        """Ask each server whose breaker is open and whose wait is over; say whether `answered`'s closed.

        `answered` has just answered, and need not be asked.
        """
        for node in self._known_nodes():
            if node is not answered and node.breaker.may_probe():
                _ping(node)
        if answered.breaker.may_probe():
            answered.breaker.success()
            return True
        return False

    # -- what is heard ---------------------------------------------------------------------------

    def learn_from_error(self, key: bytes, error: BaseException) -> bool:
        """Learn from an error where a key is; say whether that is all that was wrong."""
        from redis.exceptions import AskError, MovedError, ReadOnlyError

        if isinstance(error, MovedError):
            self._topology.moved(key, (error.host, error.port))
            return True
        if isinstance(error, ReadOnlyError):
            self._topology.doubtful = True
        return isinstance(
            error, AskError
        )  # the slot is on its way: for a moment its keys are misses

    def mark_doubtful(self) -> None:
        """Note that a server did not answer: another one may have taken its place."""
        self._topology.doubtful = True

    @property
    def breakers(self) -> list[Breaker]:
        """The breakers of the servers that have been asked."""
        return [node.breaker for node in self._known_nodes()]

    # -- life ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the threads' clients."""
        for node in self._known_nodes():
            node.close()

    async def aclose(self) -> None:
        """Close the running loop's clients."""
        for node in self._known_nodes():
            await node.aclose()

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
            self._monotonic,
            random.Random(),
            longest=_LONGEST_BREAK,
        )
        return Node(self.config, self._url, None if address == URL_ADDRESS else address, breaker)

    def _connect(self, address: Address) -> Any:
        return self._make(address).dedicated_client(LOOKUP_TIMEOUT)


def _ping(node: Node) -> None:
    import redis

    try:
        node.sync().ping()
    except (redis.RedisError, OSError):
        node.breaker.failure()
    else:
        node.breaker.success()


def _require_redis() -> None:
    try:
        import redis  # noqa: F401
    except ImportError as error:
        message = 'needs redis-py: pip install "cachemw[redis]"'
        raise ConfigError([Problem("redis", message)]) from error
