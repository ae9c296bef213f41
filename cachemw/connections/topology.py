"""Which server has which key: a single server, the master of Sentinels, or the slots of a Cluster.

Requests only read what is known. They never look a server up: the Sentinel and Cluster clients of
redis-py do that inside a command, with retries, and a request would wait for it (I3). The look-up is
`locate`. The background thread that follows the invalidation log calls it before it joins the log,
and whenever the known topology may be outdated. Until then a key that has moved is a miss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from cachemw.config.syntax.redis_url import Address, Deployment
from cachemw.connections.failures import describe_failure
from cachemw.connections.opening.settings import Opening
from cachemw.errors import StoreUnavailable
from cachemw.process.chance import GENERATOR

__all__ = ["LOOKUP_TIMEOUT", "URL_ADDRESS", "Connect", "Topology", "topology_of"]

URL_ADDRESS: Address = ("", 0)
"""Stands for the address in the URL of a single server: redis-py reads it from there."""

_SHOWN = 3
"""Addresses with the same failure that an error names."""
_SLOTS = 16_384  # of every Redis Cluster, by its specification

Connect = Callable[[Address], Any]
"""Return a client of one server that gives up quickly. The caller closes it."""


class Failures:
    """Why no server could tell where keys are, as a text: each cause once, with the servers' addresses."""

    def __init__(self) -> None:
        self._by_cause: dict[tuple[str, str], set[Address]] = {}

    def add(self, kind: str, address: Address, cause: str) -> None:
        """Note what a server of this kind (`Sentinel`, `master`, `node`) did in place of an answer."""
        self._by_cause.setdefault((kind, cause), set()).add(address)

    def __str__(self) -> str:
        # Sorted, because equal lines are logged once a minute, and servers are asked in a random order.
        told = sorted((kind, cause, sorted(each)) for (kind, cause), each in self._by_cause.items())
        return ", and ".join(f"{kind} {_list(each)} {cause}" for kind, cause, each in told)


def _list(addresses: list[Address]) -> str:
    """Return addresses as a text; of many, only the first ones."""
    shown = " and ".join(f"{host}:{port}" for host, port in addresses[:_SHOWN])
    hidden = len(addresses) - _SHOWN
    return f"{shown} and {hidden} more" if hidden > 0 else shown


class Topology(Protocol):
    """The known places of keys. Thread-safe."""

    doubtful: bool
    """Whether the known places may be outdated, so that `locate` should be called."""
    look_again: float
    """Seconds after which `locate` should be called although nothing seems wrong."""

    def address_of(self, key: bytes) -> Address:
        """Return the server of a key. Raises StoreUnavailable if none is known."""

    def moved(self, key: bytes, to: Address) -> None:
        """Note where a key is now, as a server has said (MOVED)."""

    def locate(self, connect: Connect) -> None:
        """Look up where keys are. Blocks, at most some tenths of a second for each server asked.

        Raises StoreUnavailable if no server that should know can be reached.
        """

    def servers(self) -> Iterable[Address] | None:
        """Return the servers that have keys. None: there is only the server of the URL."""


def topology_of(deployment: Deployment, opening: Opening) -> Topology:
    """Return the topology of a deployment, before any look-up."""
    if deployment.mode == "sentinel":
        return _Sentinels(deployment, opening)
    if deployment.mode == "cluster":
        return _Cluster(deployment.seeds)
    return _SingleServer()


class _SingleServer:
    """One server, at the address in its URL. Nothing has to be looked up."""

    look_again = math.inf

    def __init__(self) -> None:
        self.doubtful = False

    def address_of(self, key: bytes) -> Address:
        return URL_ADDRESS

    def moved(self, key: bytes, to: Address) -> None:
        """Do nothing: MOVED comes from a Cluster, and this one is not configured as a Cluster."""

    def locate(self, connect: Connect) -> None:
        self.doubtful = False

    def servers(self) -> None:
        return None


class _Sentinels:
    """The master that the Sentinels name."""

    look_again = 0.4
    """Often, for nothing else tells of a planned failover: the old master goes on answering as a master for
    up to ten seconds, and what it is told in this time is lost."""

    def __init__(self, deployment: Deployment, opening: Opening) -> None:
        self.doubtful = True
        self._opening = opening
        self._service = deployment.service
        self._sentinels = list(deployment.seeds)
        self._credentials = dict(deployment.sentinel_options)
        self._master: Address | None = None

    def address_of(self, key: bytes) -> Address:
        master = self._master
        if master is None:
            raise StoreUnavailable("no master is known yet")
        return master

    def moved(self, key: bytes, to: Address) -> None:
        """Do nothing: only a Cluster moves keys."""

    def locate(self, connect: Connect) -> None:
        failures = Failures()
        for sentinel in list(self._sentinels):
            master = self._ask_sentinel(sentinel, failures)
            known = master == self._master and not self.doubtful
            if master is not None and (known or _is_master(connect, master, failures)):
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)  # it answered, so ask it first next time
                self._master = master
                self.doubtful = False
                return
        raise StoreUnavailable(f"no master called {self._service!r} is known: {failures}")

    def _ask_sentinel(self, sentinel: Address, failures: Failures) -> Address | None:
        import redis

        client = self._opening.sentinel_client(sentinel, self._credentials, LOOKUP_TIMEOUT)
        try:
            found: Any = client.sentinel_get_master_addr_by_name(self._service)
        except (redis.RedisError, OSError) as error:
            failures.add("Sentinel", sentinel, _describe_sentinel(error))
            return None
        finally:
            client.close()
        if found is None:
            failures.add(
                "Sentinel", sentinel, "knows none: is that the name behind `sentinel monitor`?"
            )
            return None
        return _text(found[0]), int(found[1])

    def servers(self) -> Iterable[Address]:
        return [] if self._master is None else [self._master]


class _Cluster:
    """The slots of a Cluster and their primary servers."""

    look_again = 5.0

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

        self.doubtful = True  # usually several slots are moved together
        if self._slots and to[0]:
            self._slots[key_slot(key)] = to

    def locate(self, connect: Connect) -> None:
        known = list(dict.fromkeys(address for address in self._slots if address))
        GENERATOR.shuffle(known)  # many processes look at once: not all of them at the same node
        failures = Failures()
        second_best: list[Address | None] = []
        for address in dict.fromkeys([*known, *self._seeds]):
            healthy, slots = _read_slots(connect, address, failures)
            if healthy:
                break
            second_best = second_best or slots
        else:
            slots = second_best
        if not slots:
            raise StoreUnavailable(f"no node of the Cluster is known: {failures}")
        self._slots = slots
        self.doubtful = not healthy

    def servers(self) -> Iterable[Address]:
        return {address for address in self._slots if address}


LOOKUP_TIMEOUT = 0.25
"""Seconds that a server has to answer a look-up. Only a background thread waits for it."""


def _describe_sentinel(error: Exception) -> str:
    """Return what a Sentinel does in place of an answer."""
    from redis.exceptions import AuthenticationError

    if "unknown command" in str(error).lower():
        return "is no Sentinel: their port is usually 26379"
    advice = "; that of Sentinels is ?sentinel_password=... at the end of the URL"
    described = describe_failure(error, LOOKUP_TIMEOUT)
    return described + advice if isinstance(error, AuthenticationError) else described


def _is_master(connect: Connect, address: Address, failures: Failures) -> bool:
    """Tell whether a server says that it is the master. A Sentinel may know an old one."""
    import redis

    client = connect(address)
    try:
        role: Any = client.role()
    except (redis.RedisError, OSError) as error:
        failures.add("master", address, describe_failure(error, LOOKUP_TIMEOUT))
        return False
    finally:
        client.close()
    if _text(role[0]) == "master":
        return True
    failures.add("master", address, "says that it is none: the Sentinels may soon name another")
    return False


def _read_slots(
    connect: Connect, address: Address, failures: Failures
) -> tuple[bool, list[Address | None]]:
    """Return whether a node sees the Cluster as complete, and the slots as this node sees them."""
    import redis

    client = connect(address)
    try:
        state: Any = client.execute_command("CLUSTER INFO")
        ranges: Any = client.execute_command("CLUSTER SLOTS")
    except (redis.RedisError, OSError) as error:
        failures.add("node", address, describe_failure(error, LOOKUP_TIMEOUT))
        return False, []
    finally:
        client.close()
    if not ranges:
        failures.add("node", address, "knows no node with slots: the Cluster is not set up yet")
        return False, []
    slots: list[Address | None] = [None] * _SLOTS
    for first, last, (host, port, *_), *_ in ranges:
        # A node that does not know its own address leaves it empty: use the one that was asked.
        owner = (_text(host or address[0]), int(port))
        slots[first : last + 1] = [owner] * (last + 1 - first)
    return state.get("cluster_state") == "ok", slots


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
