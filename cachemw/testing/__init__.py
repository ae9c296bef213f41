"""For testing with cachemw: a clock to turn, a real server and a network to break, a tier that fails."""

from __future__ import annotations

from cachemw.testing.chaos import ChaosStore, chaos
from cachemw.testing.fake_clock import FakeClock
from cachemw.testing.proxy import ChaosProxy
from cachemw.testing.replicated import RedisCluster, RedisSentinel
from cachemw.testing.server import RedisServer, ServerStartError

__all__ = [
    "ChaosProxy",
    "ChaosStore",
    "FakeClock",
    "RedisCluster",
    "RedisSentinel",
    "RedisServer",
    "ServerStartError",
    "chaos",
]
