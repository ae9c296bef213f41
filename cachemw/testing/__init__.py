"""Tools for tests of an application behind the cache.

Reading order:

- `fake_clock`: a clock that moves only when a test moves it.
- `isolation`: tests that do not see each other's stored responses, and tests without the cache.
- `pytest_plugin`: the same as fixtures. Only pytest imports it.
- `chaos`: a Redis tier that fails at random.
- `server`: a real Valkey or Redis server that a test can kill, hang, fill or make read-only.
- `replicated`: several servers that replicate, behind Sentinels or as a Cluster.
- `proxy`: a TCP proxy that makes the network to Redis bad.
- `certificates`: a certificate for servers on this machine.
- `relay`: one connection through that proxy.
- `redis_protocol`: the small part of the Redis protocol that these need.
"""

from __future__ import annotations

from cachemw.testing.chaos import ChaosStore, chaos
from cachemw.testing.fake_clock import FakeClock
from cachemw.testing.isolation import (
    CacheOffMixin,
    EmptyCacheMixin,
    caches_off,
    empty_caches,
)
from cachemw.testing.proxy import ChaosProxy
from cachemw.testing.replicated import RedisCluster, RedisSentinel
from cachemw.testing.server import RedisServer, ServerStartError

__all__ = [
    "CacheOffMixin",
    "ChaosProxy",
    "ChaosStore",
    "EmptyCacheMixin",
    "FakeClock",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ServerStartError",
    "caches_off",
    "chaos",
    "empty_caches",
]
