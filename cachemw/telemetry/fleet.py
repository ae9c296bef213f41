"""Statistics of all processes that share a Redis.

The hash `cachemw:{namespace}:stats` has one field per process. Its value holds a heartbeat and the
process's statistics in msgpack. The heartbeat is in the *server's* time, so the clocks of two machines
are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final, Protocol

import msgspec

from cachemw.errors import StoreUnavailable
from cachemw.telemetry.stats import Stats

__all__ = ["FleetClient", "FleetStats", "ProcessStats", "name_of", "publish", "read"]

SHAPE: Final = 2
"""The version of a value. Values of other versions are counted as unreadable and not changed."""

LIVE_SECONDS: Final = 10.0
"""A process is live if its heartbeat is not older. Processes report once per second."""
FORGET_SECONDS: Final = 3600.0
"""A process without a heartbeat for so long is deleted."""
_FORGET_MS: Final = int(FORGET_SECONDS * 1e3)
_KEY_TTL: Final = 2 * int(FORGET_SECONDS)  # Redis deletes the hash after the last process has ended
_TIMEOUT: Final = 2.0  # seconds; a person or a dashboard waits for the result, no request does


class FleetClient(Protocol):
    """The methods used of a synchronous redis-py client: standalone, Sentinel or Cluster."""

    def time(self) -> Any:
        """Return the server's (seconds, microseconds)."""

    def hset(self, name: str, key: str, value: bytes) -> Any:
        """Return 1 when the field is new."""

    def hgetall(self, name: str) -> Any:
        """Return all fields."""

    def hdel(self, name: str, *keys: bytes) -> Any:
        """Delete fields."""

    def expire(self, name: str, time: int) -> Any:
        """Set the time to live in seconds."""


class _HashValue(msgspec.Struct, frozen=True, array_like=True):
    """The value of one process. Stored: the order of the fields is the format."""

    shape: int
    at_ms: int
    stats: bytes
    component: str


class ProcessStats(msgspec.Struct, frozen=True, kw_only=True):
    """One process, as it last reported."""

    id: str
    age: float
    """Seconds since its last heartbeat."""
    live: bool
    component: str
    """The component it belongs to, by its configuration."""
    stats: Stats


class FleetStats(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of a namespace.

    `stats` is the sum over the live processes. It falls when a process ends, so compute rates over time
    for each process.
    """

    stats: Stats
    processes: tuple[ProcessStats, ...]
    """The live processes and those that ended within the last hour, ordered by id."""
    unreadable: int = 0
    """Values of another release, or damaged ones."""


def publish(
    client: FleetClient, namespace: str, process_id: str, component: str, stats_bytes: bytes
) -> None:
    """Write this process's statistics, from `Stats.encode()`; raise StoreUnavailable.

    The first report of a process also deletes old processes, so that restarts do not fill the hash (I4).
    """
    key = name_of(namespace)
    with _mapped_errors():
        now_ms = _now_ms(client)
        value = msgspec.msgpack.encode(_HashValue(SHAPE, now_ms, stats_bytes, component))
        if client.hset(key, process_id, value):
            _forget(client, key, client.hgetall(key), now_ms)
        client.expire(key, _KEY_TTL)


def read(source: str | FleetClient, namespace: str) -> FleetStats:
    """Read the statistics of all processes by a Redis URL or a client; raise StoreUnavailable."""
    if not isinstance(source, str):
        return _read(source, namespace)
    from redis import Redis

    with closing(
        Redis.from_url(source, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
    ) as client:
        return _read(client, namespace)


def _read(client: FleetClient, namespace: str) -> FleetStats:
    key = name_of(namespace)
    with _mapped_errors():
        now_ms = _now_ms(client)
        values = client.hgetall(key)
        forgotten = _forget(client, key, values, now_ms)
    total = Stats()
    processes = []
    unreadable = 0
    for name, value in sorted(values.items()):
        if name in forgotten:
            continue
        try:
            process = _process(name, value, now_ms)
            total = total.merge(process.stats) if process.live else total
        except ValueError:
            unreadable += 1
            continue
        processes.append(process)
    return FleetStats(stats=total, processes=tuple(processes), unreadable=unreadable)


def _process(name: bytes, value: bytes, now_ms: int) -> ProcessStats:
    field = msgspec.msgpack.decode(value, type=_HashValue)
    if field.shape != SHAPE:
        raise ValueError(f"shape {field.shape}")
    age = max(0, now_ms - field.at_ms) / 1e3
    stats = Stats.decode(field.stats)
    return ProcessStats(
        id=name.decode(),
        age=age,
        live=age <= LIVE_SECONDS,
        component=field.component,
        stats=stats,
    )


def _forget(
    client: FleetClient, key: str, values: Mapping[bytes, bytes], now_ms: int
) -> set[bytes]:
    """Delete processes without a heartbeat for FORGET_SECONDS; return their names."""
    old = {
        name for name, value in values.items() if now_ms - _heartbeat(value, now_ms) > _FORGET_MS
    }
    if old:
        client.hdel(key, *old)
    return old


def _heartbeat(value: bytes, unknown: int) -> int:
    """Return the time of the heartbeat, or `unknown` for another version: those are not deleted."""
    try:
        return msgspec.msgpack.decode(value, type=_HashValue).at_ms
    except ValueError:
        return unknown


def name_of(namespace: str) -> str:
    """Return the name of the hash in Redis."""
    return f"cachemw:{{{namespace}}}:stats"


def _now_ms(client: FleetClient) -> int:
    reply = client.time()
    # A Cluster client may ask every node. The latest clock is the same one for every process.
    seconds, microseconds = max(reply.values()) if isinstance(reply, dict) else reply
    return int(seconds) * 1000 + int(microseconds) // 1000


@contextmanager
def _mapped_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"fleet statistics: {type(error).__name__}") from error
