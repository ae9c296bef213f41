"""Two servers behind one host name, as a managed service has them: a primary and its replica."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cachemw.testing import ChaosProxy, RedisServer
from cachemw.testing.redis_protocol import ReplyError
from tests.support.waiting import until

__all__ = ["Pair", "await_replication", "pair_of_servers"]


class Pair:
    """A primary, its replica, and the name of the primary."""

    def __init__(self, primary: RedisServer, replica: RedisServer, name: ChaosProxy) -> None:
        self.primary = primary
        self.replica = replica
        self.name = name

    @property
    def url(self) -> str:
        return self.name.url

    def promote(self) -> None:
        """Make the replica a primary. The old one goes on as if nothing had happened."""
        self.await_replication()
        self.replica.command("REPLICAOF", "NO", "ONE")

    def demote(self) -> None:
        """Make the old primary a replica of the new one; its connections stay open."""
        self.primary.command("REPLICAOF", "127.0.0.1", self.replica.port)

    def fail_over(self) -> None:
        """Do all of it, in the order of a managed service: the name leads to the new primary last."""
        self.promote()
        self.demote()
        self.name.lead_to(self.replica.url)

    def await_replication(self) -> None:
        """Wait until the replica has what the primary has now."""
        await_replication(self.primary, self.replica)


def await_replication(primary: RedisServer, replica: RedisServer) -> None:
    """Wait until a replica has what its primary has now."""
    mark = os.urandom(8).hex().encode()
    primary.command("SET", "mark", mark)

    def has_all() -> bool:
        with suppress(OSError, ReplyError):  # LOADING
            return replica.command("GET", "mark") == mark
        return False

    until(has_all)


@contextmanager
def pair_of_servers() -> Iterator[Pair]:
    """Start both servers, and wait until they replicate."""
    with (
        RedisServer(options=("--repl-diskless-sync-delay", "0")) as primary,
        RedisServer() as replica,
        ChaosProxy(primary.url) as name,
    ):
        replica.command("REPLICAOF", "127.0.0.1", primary.port)
        await_replication(primary, replica)
        yield Pair(primary, replica, name)
