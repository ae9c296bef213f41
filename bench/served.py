"""The two applications that the servers run: the bare one, and the same behind the cache."""

from __future__ import annotations

from bench.asgi_calls import bare
from bench.constants import config
from cachemw import Cache
from cachemw.asgi import CacheMiddleware

__all__ = ["bare", "cached"]

cached = CacheMiddleware(bare, cache=Cache.from_dict(config()))
