"""The cost of many processes for their Redis: following the log, purging, joining, and reading.

Costs are the server's own processor time, as it reports it, so they also hold for a server on a
machine of its own. Latencies are those of everything together on this machine. Reading from a
Cluster is compared with reading from one server, purging many entries with purging one.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.constants import config
from bench.effort import Effort
from bench.rows import Row, at_most, note
from bench.scale import filled
from bench.timing import ratio, spread
from cachemw import Cache
from cachemw.engine.model.entry import Entry, Key
from cachemw.testing import RedisCluster, RedisServer

__all__ = ["fleet"]

JOIN_SECONDS = 2.0
"""Limit for a new process to follow a log of 100,000 records."""
_PATIENT = {"deadline": "1s"}
"""A busy machine must not make the cache give Redis up."""
_FOLLOWERS_PER_PROCESS = 25
_BODY = random.Random(7).randbytes(10_000)
_STREAM = "cachemw:{bench}:log"


def fleet(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this group."""
    for count in effort.followers:
        yield from _following(effort, count)
    yield _joining()
    yield _purging_many(effort)
    yield from _reading(effort)


# -- the log ---------------------------------------------------------------------------------------


def _following(effort: Effort, count: int) -> Iterator[Row]:
    with RedisServer() as server, ExitStack() as stack:
        without_followers = _load(server, effort.idle_seconds)
        stack.enter_context(_followers(server, count))
        cache = stack.enter_context(_cache(server.url))
        time.sleep(6.0)  # a new log confirms purges only after some seconds
        idle = _load(server, effort.idle_seconds)
        yield note(
            f"{count} processes that follow the log: the server's processor time for an idle one",
            spread([(idle - without_followers) / (count + 1)]),
            unit=" µs a second",
            scale=1e6,
            digits=0,
            beside=f"{idle:.2%} of one core in all, {without_followers:.2%} without followers",
        )
        times, began, busy = [], time.monotonic(), _processor_seconds(server)
        for _ in range(effort.rounds):
            asked = time.perf_counter()
            if not cache.purge(tags=["anything"]).confirmed:
                raise RuntimeError("a purge was not confirmed")
            times.append(time.perf_counter() - asked)
            time.sleep(0.02)
        cost = _processor_seconds(server) - busy - idle * (time.monotonic() - began)
        yield note(
            f"the same: a purge, until all {count} have confirmed it",
            spread(times),
            unit=" ms",
            scale=1e3,
            digits=1,
            beside=f"{cost / len(times) / count * 1e6:.0f} µs of the server's time for each follower",
            cost_per_follower=cost / len(times) / count,
        )


def _load(server: RedisServer, seconds: float) -> float:
    """Return the share of a core that the server uses while no command is sent."""
    began, busy = time.monotonic(), _processor_seconds(server)
    time.sleep(seconds)
    return (_processor_seconds(server) - busy) / (time.monotonic() - began)


@contextmanager
def _followers(server: RedisServer, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        started = []
        for first in range(0, count, _FOLLOWERS_PER_PROCESS):
            many = str(min(_FOLLOWERS_PER_PROCESS, count - first))
            child = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-B", "-m", "bench.followers", server.url, many],
                    cwd=Path(__file__).parents[1],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(child.kill)
            started.append(child)
        for child in started:
            if child.stdout is None or child.stdout.readline() != "live\n":
                raise RuntimeError("a follower did not start")
        yield


@contextmanager
def _cache(url: str) -> Iterator[Cache]:
    cache = Cache.from_dict(
        config(redis={"url": url, **_PATIENT}, log={"confirm_wait": "10s", "floors": 1_000_000})
    )
    with closing(cache):
        _start_and_wait(cache)
        yield cache


def _start_and_wait(cache: Cache) -> float:
    """Start a cache; return the seconds until it follows the log."""
    began = time.monotonic()
    cache.start()
    while not cache.log.live:
        time.sleep(0.001)
    return time.monotonic() - began


def _processor_seconds(server: RedisServer) -> float:
    """Return the processor seconds that the server has used so far."""
    info = server.command("INFO", "cpu")
    assert isinstance(info, bytes)
    lines = dict(line.split(b":") for line in info.splitlines() if b":" in line)
    return float(lines[b"used_cpu_user"]) + float(lines[b"used_cpu_sys"])


def _joining() -> Row:
    """Measure how long a new process needs to follow a log of the greatest length."""
    with RedisServer() as server, _cache(server.url) as cache:
        client = cache._core.redis.nodes.of(_STREAM.encode()).sync()  # type: ignore[union-attr]
        for first in range(0, 100_000, 1000):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, first + 1000):
                fields = ("k", "tags", "s", "0", "v", f'["products:{number}"]')
                pipeline.execute_command("XADD", _STREAM, "*", *fields)
            pipeline.execute()
        size = server.command("MEMORY", "USAGE", _STREAM, "SAMPLES", 0)
        assert isinstance(size, int)
        times = []
        for _ in range(3):
            other = Cache.from_dict(config(redis={"url": server.url, **_PATIENT}))
            with closing(other):
                times.append(_start_and_wait(other))
        return at_most(
            "joining a log of 100,000 records, until the process reads from Redis",
            spread(times),
            JOIN_SECONDS,
            unit=" s",
            beside=f"{size / 100_000:.0f} B of Redis's memory a record",
        )


def _purging_many(effort: Effort) -> Row:
    """Compare purging a tag of many entries with purging a tag of one."""
    with closing(asyncio.new_event_loop()) as loop:
        app, _ = filled(effort.entries, loop)
    cache: Cache = app.cache
    many, few = [], []
    for number in range(effort.rounds):
        # All entries are on the route `orders`, except the popular ones of the other routes.
        for what, times in (({"routes": ["orders"]}, many), ({"tags": [f"orders:{number}"]}, few)):
            began = time.perf_counter()
            cache.purge(**what)  # type: ignore[arg-type]
            times.append(time.perf_counter() - began)
    return note(
        f"purging a tag of {effort.entries:,} entries, against one of a single entry",
        ratio(many, few),
        unit=" x",
        beside=f"{spread(many).median * 1e6:.1f} µs",
    )


# -- entries ---------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """Reads of entries of 10 kB through the Redis tier, as a request in a thread does."""

    cache: Cache
    busy: Callable[[], float]
    keys: list[Key]

    def round(self) -> tuple[float, float]:
        """Return the seconds that a read takes, and the servers' processor seconds for it."""
        shared: Any = self.cache._core.effects.shared
        epoch = self.cache.log.floors.epoch
        busy, began = self.busy(), time.perf_counter()
        for key in self.keys:
            if shared.get(key, epoch) is None:
                raise RuntimeError("an entry is missing")
        took = time.perf_counter() - began
        return took / len(self.keys), (self.busy() - busy) / len(self.keys)


def _reading(effort: Effort) -> Iterator[Row]:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer())
        cluster = stack.enter_context(RedisCluster())
        one, three = (stack.enter_context(_cache(each.url)) for each in (server, cluster))
        single = _reader(one, lambda: _processor_seconds(server))
        spread_out = _reader(
            three, lambda: sum(_processor_seconds(each) for each in cluster.servers[:3])
        )
        rounds = [(single.round(), spread_out.round()) for _ in range(effort.rounds)]
    took = [[each[0] for each in pair] for pair in rounds]
    busy = spread([alone[1] for alone, _ in rounds]).median
    yield note(
        "reading 10 kB from a Cluster of three, one after the other, against one server",
        ratio([pair[1] for pair in took], [pair[0] for pair in took]),
        unit=" x",
        beside=f"{spread([pair[1] for pair in took]).median * 1e6:.0f} µs",
    )
    yield note(
        "the server's processor time for such a read",
        spread([alone[1] for alone, _ in rounds]),
        unit=" µs",
        scale=1e6,
        digits=1,
        beside=f"one core is full at {1 / busy:,.0f} reads a second; each node of a Cluster adds as many",
    )


def _reader(cache: Cache, busy: Callable[[], float]) -> _Reader:
    keys = [Key(number.to_bytes(16, "big"), b"%d" % number) for number in range(500)]
    shared: Any = cache._core.effects.shared
    now = cache._core.clock.monotonic()
    for key in keys:
        shared.put(key, _entry(key, now, cache))
    return _Reader(cache, busy, keys)


def _entry(key: Key, now: float, cache: Cache) -> Entry:
    return Entry(
        key=key.digest,
        status=200,
        headers=((b"content-type", b"application/json"), (b"content-encoding", b"identity")),
        body=_BODY,
        route="orders",
        born=now,
        fresh_until=now + 3600,
        stale_until=now + 3600,
        stale_error_until=now + 3600,
        dies_at=now + 3600,
        position=cache._core.engine.floors.current_position(),
        tags=(),
    )
