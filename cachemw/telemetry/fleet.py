"""Share every process's statistics through one Redis hash, and read the fleet's sum.

The hash `cachemw:{namespace}:stats` has a field per process: a heartbeat in the *server's* time,
so that no two clocks are compared, and the process's statistics in msgpack.
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
"""The form of a field; another release's form is counted as unreadable and left alone."""

LIVE_SECONDS: Final = 10.0
FORGET_SECONDS: Final = 3600.0
_FORGET_MS: Final = int(FORGET_SECONDS * 1e3)
_KEY_TTL: Final = 2 * int(FORGET_SECONDS)  # the hash goes when the last process has long ended
_TIMEOUT: Final = 2.0  # seconds; a person or a dashboard waits for the answer


class FleetClient(Protocol):
    """What is used of a synchronous redis-py client, standalone, Sentinel's or Cluster's."""

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
    shape: int
    at_ms: int
    stats: bytes
    component: str


class ProcessStats(msgspec.Struct, frozen=True, kw_only=True):
    """One process as it last reported."""

    id: str
    age: float
    """Seconds since its last heartbeat."""
    live: bool
    component: str
    """What it is a part of, by its configuration."""
    stats: Stats


class FleetStats(msgspec.Struct, frozen=True, kw_only=True):
    """All processes of a namespace.

    `stats` is the sum over the live ones: it falls when a process ends, so rates over time are
    to be taken process by process.
    """

    stats: Stats
    processes: tuple[ProcessStats, ...]
    """The live ones and those that ended within the hour, by id."""
    unreadable: int = 0
    """Fields of another release, or damaged."""


def publish(
    client: FleetClient, namespace: str, process_id: str, component: str, stats_bytes: bytes
) -> None:
    """Report this process's `Stats.encode()`; raises StoreUnavailable.

    A process's first report also clears away what dead ones left, so restarts cannot pile up.
    """
    key = name_of(namespace)
    with _mapped_errors():
        now_ms = _now_ms(client)
        field = msgspec.msgpack.encode(_HashValue(SHAPE, now_ms, stats_bytes, component))
        if client.hset(key, process_id, field):
            _forget(client, key, client.hgetall(key), now_ms)
        client.expire(key, _KEY_TTL)


def read(source: str | FleetClient, namespace: str) -> FleetStats:
    """Read the fleet from a Redis URL or through a client; raises StoreUnavailable."""
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
        found = client.hgetall(key)
        forgotten = _forget(client, key, found, now_ms)
    total = Stats()
    processes = []
    unreadable = 0
    for name, value in sorted(found.items()):
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


def _forget(client: FleetClient, key: str, found: Mapping[bytes, bytes], now_ms: int) -> set[bytes]:
    """Delete the fields without a heartbeat for FORGET_SECONDS; return their names."""
    old = {name for name, value in found.items() if now_ms - _heartbeat(value, now_ms) > _FORGET_MS}
    if old:
        client.hdel(key, *old)
    return old


def _heartbeat(value: bytes, unknown: int) -> int:
    try:
        return msgspec.msgpack.decode(value, type=_HashValue).at_ms
    except ValueError:
        return unknown


def name_of(namespace: str) -> str:
    """Name the hash in Redis."""
    return f"cachemw:{{{namespace}}}:stats"


def _now_ms(client: FleetClient) -> int:
    reply = client.time()
    # A Cluster client may ask every node; the latest clock is the same one for all who ask.
    seconds, microseconds = max(reply.values()) if isinstance(reply, dict) else reply
    return int(seconds) * 1000 + int(microseconds) // 1000


@contextmanager
def _mapped_errors() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise StoreUnavailable(f"fleet statistics: {type(error).__name__}") from error
