"""Several servers that replicate, behind Sentinels or as a Cluster, to test a failover.

Both treat a master as dead after a second without an answer. After a failover, writes that the old
master had not yet replicated are lost, as in production.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from cachemw.testing import redis_protocol as resp
from cachemw.testing.server import HOST, PORT_ATTEMPTS, RedisServer, free_port, is_free

__all__ = ["RedisCluster", "RedisSentinel"]

_MASTER = "main"
_DOWN_AFTER = 1000
"""Milliseconds without an answer after which a server counts as dead."""
_READY_SECONDS = 30.0
_SLOTS = 16_384
_TO_BUS = 10_000
"""From the port for clients to that for the other servers of a Cluster."""


class _Servers:
    """A group of servers; as a context manager, it starts and closes them."""

    servers: list[RedisServer]

    def __init__(self) -> None:
        self._stack = ExitStack()

    def start(self) -> None:
        """Start all servers, and return when they replicate."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop all servers for good."""
        self._stack.close()

    def _start(self, server: RedisServer) -> RedisServer:
        return self._stack.enter_context(server)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RedisSentinel(_Servers):
    """A master, two replicas, and three Sentinels that watch them.

    Takes some seconds to start. To bring a killed master back as a replica, call its `start`.
    """

    sentinels: list[RedisServer]

    @property
    def url(self) -> str:
        """The URL for `redis` in a configuration."""
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.sentinels)
        trust = self.servers[0].trust
        return f"{'rediss' if trust else 'redis'}+sentinel://{hosts}/{_MASTER}{trust}"

    @property
    def master(self) -> RedisServer:
        """The current master, according to the Sentinels."""
        port = self._master_port()
        return next(each for each in self.servers if each.port == port)

    def start(self) -> None:
        """Start all servers, and return when every Sentinel knows all of them."""
        first = self._start(RedisServer())
        copy = ("--replicaof", HOST, str(first.port), "--repl-ping-replica-period", "1")
        self.servers = [first, *(self._start(RedisServer(options=copy)) for _ in range(2))]
        self.sentinels = [self._start(_Sentinel(first.port)) for _ in range(3)]
        _until(lambda: all(_knows_all(each) for each in self.sentinels))

    def fail_over(self) -> None:
        """Make a replica take over from a healthy master, and return when it has."""
        before = self._master_port()
        _until(lambda: self._ask_sentinel("SENTINEL", "FAILOVER", _MASTER) == b"OK")
        self.await_another(before)

    def await_another(self, than: int) -> RedisServer:
        """Wait until the master is not the server on port `than`; return the new master."""
        _until(lambda: self._master_port() != than and _is_master(self.master))
        return self.master

    def _master_port(self) -> int:
        found = self._ask_sentinel("SENTINEL", "GET-MASTER-ADDR-BY-NAME", _MASTER)
        assert isinstance(found, list)
        assert isinstance(found[1], bytes)
        return int(found[1])

    def _ask_sentinel(self, *command: str) -> resp.Reply:
        sentinel = next(each for each in self.sentinels if each.running)
        with suppress(resp.ReplyError):  # no replica is ready yet; the caller asks again
            return sentinel.command(*command)
        return None


class RedisCluster(_Servers):
    """Three masters with a third of the slots each, and a replica of each.

    Takes some seconds to start. To bring a killed master back as a replica, call its `start`.
    """

    @property
    def url(self) -> str:
        """The URL for `redis` in a configuration; it names the first three servers only."""
        hosts = ",".join(f"{HOST}:{each.port}" for each in self.servers[:3])
        trust = self.servers[0].trust
        return f"{'rediss' if trust else 'redis'}+cluster://{hosts}{trust}"

    def start(self) -> None:
        """Start all servers, and return when all slots are served and replicated."""
        self.servers = [self._start(_ClusterNode()) for _ in range(6)]
        for epoch, server in enumerate(self.servers, 1):
            server.command("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for number, server in enumerate(self.servers[:3]):
            first, last = _SLOTS * number // 3, _SLOTS * (number + 1) // 3 - 1
            # ADDSLOTSRANGE would be shorter, but Redis 6.2 does not have it.
            server.command("CLUSTER", "ADDSLOTS", *range(first, last + 1))
        for server in self.servers[1:]:
            self._meet(self.servers[0], server)
        _until(lambda: all(_is_whole(each, len(self.servers)) for each in self.servers))
        for master, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            identity = master.command("CLUSTER", "MYID")
            assert isinstance(identity, bytes)
            replica.command("CLUSTER", "REPLICATE", identity)
        _until(lambda: all(_is_linked(each) for each in self.servers[3:]))

    def owner(self, key: str | bytes) -> RedisServer:
        """Return the master that stores a key."""
        slot = self._any().command("CLUSTER", "KEYSLOT", key)
        port = next(each.port for each in self._ranges() if slot in each.slots)
        return next(each for each in self.servers if each.port == port)

    def slots_of(self, master: RedisServer) -> list[int]:
        """Return the slots of a master."""
        return [slot for each in self._ranges() if each.port == master.port for slot in each.slots]

    def fail_over(self, master: RedisServer) -> RedisServer:
        """Make the replica of a healthy master take over; return it when it has."""
        replica = self.replica_of(master)
        _until(lambda: replica.command("CLUSTER", "FAILOVER") == b"OK")
        _until(lambda: _is_master(replica) and self.knows(replica))
        return replica

    def await_takeover(self, dead: RedisServer) -> None:
        """Wait until a replica has taken over from a master that was killed or hangs."""
        _until(lambda: all(each.port != dead.port for each in self._ranges()))

    def knows(self, master: RedisServer) -> bool:
        """Tell whether every running server knows that this one has slots."""
        return all(
            any(found.port == master.port for found in _ranges_of(each))
            for each in self.servers
            if each.running
        )

    def replica_of(self, master: RedisServer) -> RedisServer:
        """Return the replica of a master."""
        identity = master.command("CLUSTER", "MYID")
        assert isinstance(identity, bytes)
        (found,) = _as_list(master.command("CLUSTER", "REPLICAS", identity))
        assert isinstance(found, bytes)
        port = int(found.split()[1].split(b"@")[0].rpartition(b":")[2])
        return next(each for each in self.servers if each.port == port)

    def _any(self) -> RedisServer:
        return next(each for each in self.servers if each.running)

    def _ranges(self) -> list[_SlotRange]:
        for each in self.servers:
            if each.running:
                with suppress(OSError, resp.ReplyError):  # this server hangs; ask the next one
                    return _ranges_of(each)
        return []

    @staticmethod
    def _meet(one: RedisServer, other: RedisServer) -> None:
        assert isinstance(other, _ClusterNode)
        one.command("CLUSTER", "MEET", HOST, other.port, other.bus)


class _Sentinel(RedisServer):
    """A Sentinel. It writes what it learns into its configuration file, which is created only once."""

    def __init__(self, master: int) -> None:
        super().__init__()
        self._master = master

    def _arguments(self) -> list[str]:
        path = self._directory / "sentinel.conf"
        if not path.exists():
            lines = [
                f"sentinel monitor {_MASTER} {HOST} {self._master} 2",
                f"sentinel down-after-milliseconds {_MASTER} {_DOWN_AFTER}",
                f"sentinel failover-timeout {_MASTER} 5000",
            ]
            path.write_text("\n".join(lines) + "\n")
        return [str(path), "--sentinel", "--bind", HOST, *self._listening()]


class _ClusterNode(RedisServer):
    """A server of a Cluster; `bus` is its port for the other servers."""

    def __init__(self) -> None:
        super().__init__(
            options=(
                *("--cluster-enabled", "yes"),
                *("--cluster-node-timeout", str(_DOWN_AFTER), "--repl-ping-replica-period", "1"),
            )
        )

    @property
    def bus(self) -> int:
        """The port for the other servers. Redis 6.2 can have no other distance between the two."""
        return self.port + _TO_BUS

    def _choose_port(self) -> int:
        for _ in range(PORT_ATTEMPTS):
            bus = free_port()
            if bus > 2 * _TO_BUS and is_free(bus - _TO_BUS):
                return bus - _TO_BUS
        return super()._choose_port()


def _until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + _READY_SECONDS
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(
                f"the servers did not reach the expected state in {_READY_SECONDS:g} s"
            )
        time.sleep(0.02)


def _as_dict(reply: resp.Reply) -> dict[bytes, resp.Reply]:
    """Return a flat list of names and values as a dictionary."""
    flat: Any = reply
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _as_list(reply: resp.Reply) -> list[resp.Reply]:
    assert isinstance(reply, list)
    return reply


def _knows_all(sentinel: RedisServer) -> bool:
    known = _as_dict(sentinel.command("SENTINEL", "MASTER", _MASTER))
    return (known[b"num-slaves"], known[b"num-other-sentinels"]) == (b"2", b"2")


def _is_master(server: RedisServer) -> bool:
    return _as_list(server.command("ROLE"))[0] == b"master"


def _is_whole(server: RedisServer, size: int) -> bool:
    info = server.command("CLUSTER", "INFO")
    assert isinstance(info, bytes)
    return b"cluster_state:ok" in info and b"cluster_known_nodes:%d\r" % size in info


def _is_linked(replica: RedisServer) -> bool:
    role = _as_list(replica.command("ROLE"))
    return role[0] == b"slave" and role[3] == b"connected"


class _SlotRange(NamedTuple):
    """Some slots and the port of their master."""

    slots: range
    port: int


def _ranges_of(server: RedisServer) -> list[_SlotRange]:
    found: Any = server.command("CLUSTER", "SLOTS", timeout=0.5)
    return [_SlotRange(range(first, last + 1), owner[1]) for first, last, owner, *_ in found]
