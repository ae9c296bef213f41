"""The engine of one cache, made from its configuration."""

from __future__ import annotations

import cachetools

from cachemw.config import Config, MemorySettings
from cachemw.engine.core.engine import Engine, EngineSettings
from cachemw.engine.core.flights import Flights
from cachemw.engine.core.setup import make_router
from cachemw.engine.model.bypass import watched
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.routes import RouteState
from cachemw.engine.model.variants import Variants
from cachemw.invalidation.base import InvalidationLog
from cachemw.process.clock import Clock
from cachemw.stores.memory.interning import intern_pairs
from cachemw.stores.memory.shadows import ShadowTier
from cachemw.stores.memory.tier import MemoryTier
from cachemw.telemetry.reporter import Reporter

__all__ = ["make_engine"]

_VARIANT = 2048
"""Bytes: the size of a typical variant, to turn the memory limit into a number of variants."""
_MOST_VARIANTS = 32_768
_MEMO_SHARE, _SMALLEST_MEMO, _LARGEST_MEMO = 8, 1 << 20, 32 << 20


def make_engine(
    config: Config,
    routes: list[RouteState],
    clock: Clock,
    *,
    memory: MemoryTier,
    shadows: ShadowTier,
    log: InvalidationLog,
    reporter: Reporter,
) -> Engine:
    """Make the engine over the memory tier and the invalidation log of a process."""
    digest_secret = config.digest_secret or f"cachemw:{config.namespace}"
    declared = frozenset(name for route in routes for name in route.varies)
    uncacheable = cachetools.TTLCache[bytes, bool](
        config.coalesce.hit_for_miss_size,
        config.coalesce.hit_for_miss,
        timer=clock.monotonic,
    )
    return Engine(
        settings=_settings(config),
        routes=routes,
        router=make_router(config),
        keys=KeyMaker(config.namespace, digest_secret.encode()),
        watched=watched(declared, honours=any(route.honours for route in routes)),
        memory=memory,
        floors=log.floors,
        log=log,
        flights=Flights(config.coalesce.max_waiters, config.coalesce.alone),
        uncacheable=uncacheable,
        variants=Variants(_variants_limit(config.memory)),
        memo_bytes=_memo_bytes(config.memory),
        count=reporter.count,
        refused=reporter.refused,
        intern=intern_pairs,
        shadows=shadows,
        mismatched=reporter.mismatched,
    )


def _settings(config: Config) -> EngineSettings:
    return EngineSettings(
        coalesce_wait=config.coalesce.wait,
        has_shared=config.redis is not None,
        leases=config.redis is not None and config.coalesce.lease > 0,
        x_cache=config.x_cache,
        show_keys=config.show_keys,
        max_tags=config.recording.max_tags,
        tag_fields=frozenset(name.encode("ascii") for name in config.recording.fields),
        keeps_tag_fields=config.recording.keep_fields,
        targets=tuple(name.encode("ascii") for name in config.targeted),
    )


def _memo_bytes(config: MemorySettings) -> int:
    """Return the bytes of each of the memo's two generations: an eighth of the memory tier."""
    return min(max(config.max_size // _MEMO_SHARE, _SMALLEST_MEMO), _LARGEST_MEMO)


def _variants_limit(config: MemorySettings) -> int:
    """Return how many variants are counted, over all targets: as many of 2 KiB as there is room for."""
    return min(config.max_size // _VARIANT + 1, _MOST_VARIANTS)
