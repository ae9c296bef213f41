"""For testing with cachemw: a clock that you turn, and a real server that you break."""

from __future__ import annotations

from cachemw.testing.clock import FakeClock
from cachemw.testing.server import RedisServer, ServerStartError

__all__ = ["FakeClock", "RedisServer", "ServerStartError"]
