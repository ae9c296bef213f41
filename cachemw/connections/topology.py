"""Which server has a key: always the same one, the one that the Sentinels call master, or a Cluster's.

Requests read what is known, and never ask for it: redis-py's own Sentinel and Cluster clients look
the servers up inside a command, with retries, and a request would wait for that (I3). Looking is
`locate`, done in the background by whoever follows the invalidation log: before it joins, and as
soon as something makes what is known doubtful. Until then a key that has moved is a miss.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from cachemw.config.syntax.redis_url import Address, Deployment
from cachemw.errors import StoreUnavailable

__all__ = ["LOOKUP_TIMEOUT", "URL_ADDRESS", "Connect", "Topology", "topology_of"]

URL_ADDRESS: Address = ("", 0)
"""The one server of a URL that names one: redis-py reads its address there."""

_SLOTS = 16_384

Connect = Callable[[Address], Any]
"""Gives a client of one server that gives up quickly; whoever calls it closes it."""


class Topology(Protocol):
    """What is known of where keys are. Thread-safe."""

    doubtful: bool
    """Whether something has been heard that `locate` should look into."""

    def address_of(self, key: bytes) -> Address:
        """Give the server of a key; raises StoreUnavailable while none is known."""

    def moved(self, key: bytes, to: Address) -> None:
        """Take a server's word for where a key is now."""

    def locate(self, connect: Connect) -> None:
        """Find out where keys are. Blocks, for at most some tenths of a second per server asked.

        Raises StoreUnavailable when nobody who should know can be reached.
        """

    def servers(self) -> Iterable[Address] | None:
        """Give the servers that keys are at; None: whichever were asked so far."""


def topology_of(deployment: Deployment) -> Topology:
    """Give what looks after one deployment; it has looked nowhere yet."""
    if deployment.mode == "sentinel":
        return _Sentinels(deployment)
    if deployment.mode == "cluster":
        return _Cluster(deployment.seeds)
    return _SingleServer()


class _SingleServer:
    """One server, wherever its URL says: there is nothing to find out."""

    def __init__(self) -> None:
        self.doubtful = False

    def address_of(self, key: bytes) -> Address:
        return URL_ADDRESS

    def moved(self, key: bytes, to: Address) -> None:
        """Do nothing: a server that knows better is one of a Cluster, and is not used as one."""

    def locate(self, connect: Connect) -> None:
        self.doubtful = False

    def servers(self) -> None:
        return None


class _Sentinels:
    """The master that Sentinels know."""

    def __init__(self, deployment: Deployment) -> None:
        self.doubtful = True
        self._service = deployment.service
        self._sentinels = list(deployment.seeds)
        self._options: dict[str, Any] = dict(deployment.sentinel_options)
        self._master: Address | None = None

    def address_of(self, key: bytes) -> Address:
        master = self._master
        if master is None:
            raise StoreUnavailable("no master is known yet")
        return master

    def moved(self, key: bytes, to: Address) -> None:
        """Do nothing: only a Cluster moves keys."""

    def locate(self, connect: Connect) -> None:
        for sentinel in list(self._sentinels):
            master = self._ask(sentinel)
            if master is not None and _is_master(connect, master):
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)  # first to be asked the next time
                self._master = master
                self.doubtful = False
                return
        raise StoreUnavailable(f"no Sentinel that answers knows a master called {self._service!r}")

    def _ask(self, sentinel: Address) -> Address | None:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = redis.Redis(
            *sentinel,
            socket_timeout=LOOKUP_TIMEOUT,
            socket_connect_timeout=LOOKUP_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **self._options,
        )
        try:
            found: Any = client.sentinel_get_master_addr_by_name(self._service)
        except (redis.RedisError, OSError):
            return None
        finally:
            client.close()
        return None if found is None else (_text(found[0]), int(found[1]))

    def servers(self) -> Iterable[Address]:
        return [] if self._master is None else [self._master]


class _Cluster:
    """The slots of a Cluster and their primaries."""

    def __init__(self, seeds: tuple[Address, ...]) -> None:
        self.doubtful = True
        self._seeds = seeds
        self._slots: list[Address | None] = []

    def address_of(self, key: bytes) -> Address:
        from redis.crc import key_slot

        slots = self._slots
        address = slots[key_slot(key)] if slots else None
        if address is None:
            self.doubtful = True
            raise StoreUnavailable("no node is known for the key's slot")
        return address

    def moved(self, key: bytes, to: Address) -> None:
        from redis.crc import key_slot

        self.doubtful = True  # a slot rarely comes alone
        if self._slots and to[0]:
            self._slots[key_slot(key)] = to

    def locate(self, connect: Connect) -> None:
        known = list(dict.fromkeys(address for address in self._slots if address))
        random.shuffle(known)  # a fleet that looks at once must not ask one node
        second_best: list[Address | None] = []
        for address in dict.fromkeys([*known, *self._seeds]):
            healthy, slots = _read_slots(connect, address)
            if healthy:
                break
            second_best = second_best or slots
        else:
            slots = second_best
        if not slots:
            raise StoreUnavailable("no node of the Cluster answers")
        self._slots = slots
        self.doubtful = not healthy

    def servers(self) -> Iterable[Address]:
        return {address for address in self._slots if address}


LOOKUP_TIMEOUT = 0.25
"""Seconds that a server has to say where keys are: nobody waits for it but a background thread."""


def _is_master(connect: Connect, address: Address) -> bool:
    """Say whether a server takes itself for the master: a Sentinel may not have heard the news."""
    import redis

    client = connect(address)
    try:
        role: Any = client.role()
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()
    return _text(role[0]) == "master"


def _read_slots(connect: Connect, address: Address) -> tuple[bool, list[Address | None]]:
    """Give a node's view of the Cluster, and whether it takes the Cluster for whole."""
    import redis

    client = connect(address)
    try:
        state: Any = client.execute_command("CLUSTER INFO")
        ranges: Any = client.execute_command("CLUSTER SLOTS")
    except (redis.RedisError, OSError):
        return False, []
    finally:
        client.close()
    slots: list[Address | None] = [None] * _SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own address leaves it out: it is where we have asked.
        owner = (_text(host or address[0]), int(port))
        slots[first : last + 1] = [owner] * (last + 1 - first)
    return state.get("cluster_state") == "ok", slots


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
