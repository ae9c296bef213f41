"""Caches that reach Redis for a command, and Redis errors as messages.

A command is a process of its own: it never sees the memory of the processes that serve requests.
It reaches them only through Redis: the entries, the invalidation log and the live flags are there.
So most commands need `redis` in the configuration, and say what to do instead where it is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from cachemw.cache import Cache
from cachemw.config import Config
from cachemw.config.model import RedisSettings
from cachemw.connections.failures import describe_failure
from cachemw.errors import CacheError, StoreError
from cachemw.invalidation.log.follower import RedisLog

__all__ = [
    "command_cache",
    "import_from_here",
    "redis_settings",
    "reporting_redis_errors",
    "reporting_value_errors",
    "watching_cache",
]

_REPLY_SECONDS = 2.0
"""How long Redis may take to reply, at least. Here a person waits and no request does, and the
person's machine may be further away from Redis than the application's."""


def import_from_here() -> None:
    """Find modules in this folder, as servers find an application there, and scripts do not."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def redis_settings(config: Config, without: str) -> RedisSettings:
    """Return how to reach Redis, with a longer deadline than requests have.

    Raises click.ClickException where the configuration has no Redis. `without` is the end of that
    message: what this means, and what to do instead.
    """
    if config.redis is None:
        raise click.ClickException(f"the configuration has no `redis` setting: {without}")
    if config.redis.credentials is not None:
        import_from_here()
    return replace(config.redis, deadline=max(_REPLY_SECONDS, config.redis.deadline))


def command_cache(config: Config, without: str) -> tuple[Cache, RedisLog]:
    """Return a cache that serves no request, and its log; opens no connection yet.

    Nothing is queued while Redis is away: the process ends before it could be sent.
    """
    patient = replace(config, redis=redis_settings(config, without))
    # A command answers no requests, so it does not import the application's identity functions.
    identities = {route.identity: lambda _: None for route in config.routes if route.identity}
    cache = Cache(patient, identities=identities)
    assert isinstance(cache.log, RedisLog)
    cache.log.appender.queues = False
    return cache, cache.log


@contextmanager
def watching_cache(config: Config, without: str, undone: str) -> Iterator[Cache]:
    """Yield a cache that only reads: it changes nothing in Redis, and no purge waits for it.

    Errors inside the block become click.ClickException; see `reporting_redis_errors` for `undone`.
    """
    redis = redis_settings(config, without)
    cache, log = command_cache(config, without)
    log.only_listens = True
    try:
        with reporting_redis_errors(redis, undone), reporting_value_errors():
            # This read raises what is wrong with Redis; without it, Redis would only seem silent.
            cache.flags.answered(log.flags.read())
            yield cache
    finally:
        cache.close()


@contextmanager
def reporting_value_errors() -> Iterator[None]:
    """Turn a ValueError about a wrong name or URL into click.ClickException."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, CacheError):
            raise
        raise click.ClickException(str(error)) from error


@contextmanager
def reporting_redis_errors(redis: RedisSettings, undone: str) -> Iterator[None]:
    """Turn an error of Redis into click.ClickException.

    `undone` is the end of the message: what was not done, or is not known.
    """
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError, StoreError) as error:
        failure = describe_failure(error, redis.deadline)
        raise click.ClickException(f"Redis at {redis.safe_url} {failure}: {undone}") from error
