"""The options of the connection to Redis."""

from __future__ import annotations

from collections.abc import Mapping

from cachemw.config.checks.url_options import option_mistakes
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Parser,
    Setting,
    Settings,
    option,
    required,
    settings,
    table,
)
from cachemw.config.syntax.raw_types import Duration
from cachemw.config.syntax.redis_url import read_url, redacted

__all__ = ["REDIS", "RedisSettings"]


def _read_url(value: object) -> str:
    """Check a Redis URL with its options, and return it. Raises ValueError, which repeats no secret."""
    url = read_url(value)
    if mistakes := option_mistakes(url):
        raise ValueError("; ".join(mistakes))
    return url


@settings
class RedisSettings(Settings):
    """The connection to Redis, which stores entries for all processes."""

    url: Setting[str, str] = required(
        Parser(_read_url, "a redis://, rediss:// or unix:// URL, or one of Sentinels or a Cluster"),
        help="The address of Redis. Its password is never shown in messages or logs.",
    )
    deadline: Setting[Duration, float] = option(
        v.positive_duration,
        default="50ms",
        help="Maximum time of one Redis operation. After that the request goes on without Redis.",
    )
    pool_size: Setting[int, int] = option(
        v.integer(1, 10_000), default=20, help="Maximum number of connections to Redis per process."
    )
    pool_wait: Setting[Duration, float] = option(
        v.duration,
        default="10ms",
        help="Maximum wait for a free connection. After that the request is a miss.",
    )
    breaker_failures: Setting[int, int] = option(
        v.integer(1),
        default=5,
        help="Failures in a row after which Redis is not called for `breaker_reset`.",
    )
    breaker_reset: Setting[Duration, float] = option(
        v.positive_duration,
        default="1s",
        help="How long Redis is not called after these failures. Then one call tests it.",
    )

    @property
    def safe_url(self) -> str:
        """The URL without its passwords, for logs."""
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"Redis(url={self.safe_url!r}, deadline={self.deadline}, pool_size={self.pool_size})"


def _redis(value: object) -> RedisSettings:
    if isinstance(value, (RedisSettings, Mapping)):
        return table(RedisSettings)(value)
    return RedisSettings(url=_read_url(value))


REDIS = Parser(_redis, "a URL, or a table", RedisSettings)
