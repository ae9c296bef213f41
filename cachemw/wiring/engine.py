"""The engine of one cache, made from its configuration."""

from __future__ import annotations

from math import inf

import cachetools

from cachemw.config import Config, MemorySettings, RecordingSettings
from cachemw.engine.core.engine import Engine
from cachemw.engine.core.ports import EngineSettings, Hooks, Parts
from cachemw.engine.core.setup import make_router
from cachemw.engine.model.keys import KeyMaker
from cachemw.engine.model.routes import RouteState
from cachemw.engine.privacy.identity_headers import identity_names
from cachemw.invalidation.base import InvalidationLog
from cachemw.process.clock import Clock
from cachemw.stores.memory.interning import intern_pairs
from cachemw.telemetry.reporter import Reporter
from cachemw.wiring.memory import Held, max_size

__all__ = ["make_engine"]

_VARIANT = 2048
"""Bytes: the size of a typical variant, to turn the memory limit into a number of variants."""
_MOST_VARIANTS = 32_768
_COOKIE_CONFLICT = 60.0
"""Seconds for which a URL bypasses the cache after its response set a cookie that was removed from its
request. When they are over, one visitor's request costs two calls of the application again: one a minute
is no load, and after a deployment that mends the view the URL is cached again within a minute."""
_MEMO_SHARE, _SMALLEST_MEMO, _LARGEST_MEMO = 8, 1 << 20, 32 << 20


def make_engine(
    config: Config,
    routes: list[RouteState],
    clock: Clock,
    *,
    held: Held,
    log: InvalidationLog,
    reporter: Reporter,
) -> Engine:
    """Make the engine over the memory tier and the invalidation log of a process."""
    digest_secret = config.digest_secret or f"cachemw:{config.namespace}"
    uncacheable = cachetools.TTLCache[bytes, bool](
        config.coalesce.hit_for_miss_size,
        config.coalesce.hit_for_miss,
        timer=clock.monotonic,
    )
    cookie_conflicts = cachetools.TTLCache[bytes, bool](
        config.coalesce.hit_for_miss_size, _COOKIE_CONFLICT, timer=clock.monotonic
    )
    return Engine(
        settings=_settings(config),
        parts=Parts(
            memory=held.memory,
            floors=log.floors,
            log=log,
            shadows=held.shadows,
            lifetimes=held.lifetimes,
            uncacheable=uncacheable,
            cookie_conflicts=cookie_conflicts,
            intern=intern_pairs,
        ),
        hooks=Hooks(
            count=reporter.count,
            refused=reporter.refused,
            mismatched=reporter.mismatched,
            forecast=reporter.forecast,
            misplaced=reporter.misplaced,
            cookies_read=reporter.cookies_read,
        ),
        routes=routes,
        router=make_router(config),
        keys=KeyMaker(config.namespace, digest_secret.encode()),
    )


def _settings(config: Config) -> EngineSettings:
    return EngineSettings(
        memo_bytes=_memo_bytes(config.memory),
        variants_limit=_variants_limit(config.memory),
        max_waiters=config.coalesce.max_waiters,
        alone=config.coalesce.alone,
        coalesce_wait=config.coalesce.wait,
        has_shared=config.redis is not None,
        leases=config.redis is not None and config.coalesce.lease > 0,
        x_cache=config.x_cache,
        show_keys=config.show_keys,
        max_tags=config.recording.max_tags,
        unknown_lifetime=_unknown_lifetime(config.recording),
        tag_fields=frozenset(name.encode("ascii") for name in config.recording.fields),
        keeps_tag_fields=config.recording.keep_fields,
        identity_names=identity_names(config.identity_headers),
        targets=tuple(name.encode("ascii") for name in config.targeted),
    )


def _unknown_lifetime(config: RecordingSettings) -> float:
    """Return the longest lifetime of a response that is made from an unknown value, in seconds."""
    if config.unknown_cached == "shorten":
        return config.unknown_ttl
    return inf if config.unknown_cached == "keep" else 0.0


def _memo_bytes(config: MemorySettings) -> int:
    """Return the bytes of each of the memo's two generations: an eighth of the memory tier."""
    return min(max(max_size(config) // _MEMO_SHARE, _SMALLEST_MEMO), _LARGEST_MEMO)


def _variants_limit(config: MemorySettings) -> int:
    """Return how many variants are counted, over all targets: as many of 2 KiB as there is room for."""
    return min(max_size(config) // _VARIANT + 1, _MOST_VARIANTS)
