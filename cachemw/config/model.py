"""What an operator writes. Every class parses and checks its options when it is made.

Defaults stand as they would be written in a file, and are parsed like anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from cachemw.config.checks import rules
from cachemw.config.route import Consistency, Kind, Route, filled
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Parser,
    Rule,
    Setting,
    Settings,
    list_of,
    mapping_of,
    option,
    required,
    settings,
    table,
)
from cachemw.config.syntax.raw_types import Duration, Names, RawTable, Size
from cachemw.config.syntax.redis_url import read_url, redacted

__all__ = [
    "CoalesceSettings",
    "CompressionSettings",
    "Config",
    "EndpointSettings",
    "LogSettings",
    "MemorySettings",
    "RecordingSettings",
    "RedisSettings",
    "RolloutSettings",
]


@settings
class RedisSettings(Settings):
    """How the shared tier is reached."""

    url: Setting[str, str] = required(
        Parser(read_url, "a redis://, rediss:// or unix:// URL, or one of Sentinels or a Cluster"),
        help="Where Redis is. A password in it is never shown.",
    )
    deadline: Setting[Duration, float] = option(
        v.positive_duration,
        default="50ms",
        help="How long one operation may take before it counts as failed.",
    )
    pool_size: Setting[int, int] = option(
        v.integer(1, 10_000), default=20, help="Connections per process, at most."
    )
    pool_wait: Setting[Duration, float] = option(
        v.duration,
        default="10ms",
        help="How long to wait for a free connection; then it is a miss.",
    )
    breaker_failures: Setting[int, int] = option(
        v.integer(1), default=5, help="Failures in a row after which Redis is left alone."
    )
    breaker_reset: Setting[Duration, float] = option(
        v.positive_duration, default="1s", help="How long it is left alone before one try."
    )

    @property
    def safe_url(self) -> str:
        """The URL with its passwords blanked, fit for logs."""
        return redacted(self.url)

    def __repr__(self) -> str:
        return f"Redis(url={self.safe_url!r}, deadline={self.deadline}, pool_size={self.pool_size})"


@settings
class MemorySettings(Settings):
    """The memory tier of each process."""

    max_size: Setting[Size, int] = option(
        v.positive_size, default="256MiB", help="The cap on stored bytes, in each process."
    )
    shadow_size: Setting[Size, int] = option(
        v.positive_size,
        default="16MiB",
        help="The cap on what routes in shadow would have stored, beside `max_size`.",
    )
    planned_size: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help="What the rollout expects to use; exceeding it by 20 % is an alarm.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (Rule(("max_size", "planned_size"), rules.planned_size),)


@settings
class CoalesceSettings(Settings):
    """How concurrent requests for one missing answer share one call of the application."""

    wait: Setting[Duration, float] = option(
        v.duration,
        default="5s",
        help="How long a request waits for another's answer, then for its turn.",
    )
    lease: Setting[Duration, float] = option(
        v.duration,
        default="2s",
        help="How long others wait for a process that died; renewed while it lives. 0: no turns.",
    )
    alone: Setting[int, int] = option(
        v.integer(1),
        default=4,
        help="Of those who have waited for one answer, how many go for it at a time, per process.",
    )
    max_waiters: Setting[int, int] = option(
        v.integer(0), default=1000, help="Waiting requests per process, at most."
    )
    hit_for_miss: Setting[Duration, float] = option(
        v.duration, default="10s", help="How long it is remembered that an answer cannot be stored."
    )
    hit_for_miss_size: Setting[int, int] = option(
        v.integer(1), default=10_000, help="How many such answers are remembered."
    )


@settings
class LogSettings(Settings):
    """The invalidation log, which carries purges to every process."""

    partition_limit: Setting[Duration, float] = option(
        v.duration, default="30s", help="How long memory may serve without hearing from the log."
    )
    max_records: Setting[int, int] = option(
        v.integer(1), default=100_000, help="Records kept in Redis, at most."
    )
    max_age: Setting[Duration, float] = option(
        v.positive_duration,
        default="7d",
        help="Age at which records go. What was made before the oldest record is not served.",
    )
    floors: Setting[int, int] = option(
        v.integer(1), default=100_000, help="Purged tags and keys each process remembers, at most."
    )
    confirm_wait: Setting[Duration, float] = option(
        v.duration, default="250ms", help="How long a purge waits to be confirmed."
    )
    poll: Setting[Duration, float] = option(
        v.POLL, default="500ms", help="How long one blocking read of the log lasts."
    )
    queue: Setting[int, int] = option(
        v.integer(1), default=10_000, help="Purges held while Redis is away; more mean purge all."
    )


@settings
class CompressionSettings(Settings):
    """How bodies are compressed in Redis."""

    threshold: Setting[Size, int] = option(
        v.size, default="1KiB", help="Smaller bodies are stored as they are."
    )
    level: Setting[int, int] = option(v.integer(1, 19), default=3, help="The zstd level.")


@settings
class RecordingSettings(Settings):
    """What answers are built from, noted while they are made."""

    database: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether the recorders of databases note what is read, and purge when it changes.",
    )
    threads: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether threads that a request starts note what they read for its answer.",
    )
    max_tags: Setting[int, int] = option(
        v.integer(1, 10_000), default=1000, help="Answers with more tags than this are not stored."
    )
    fields: Setting[Names, tuple[str, ...]] = option(
        v.RESPONSE_FIELDS,
        default=("cache-tag", "surrogate-key"),
        help="Response headers that hold tags, divided by commas or spaces.",
    )
    keep_fields: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether they go on to the client: a CDN may want them, and nobody else.",
    )


@settings
class EndpointSettings(Settings):
    """Purging by HTTP, for whoever has a token: `PURGE` on any URL, and `POST` on one path."""

    token: Setting[str | Sequence[str] | None, tuple[str, ...] | None] = option(
        v.TOKENS,
        default=None,
        repr=False,
        help="Who sends it as `Authorization: Bearer` may purge. Left out: nobody. Never shown.",
    )
    path: Setting[str, str] = option(
        v.ENDPOINT_PATH,
        default="/.cachemw/purge",
        help="Where orders in JSON are taken, below the mount.",
    )


@settings
class RolloutSettings(Settings):
    """How a staged rollout is controlled, and who hears of it."""

    controller: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether serving processes control a rollout; if not, `cachemw controller` must run.",
    )
    webhook: Setting[str | None, str | None] = option(
        v.WEBHOOK,
        default=None,
        repr=False,
        help="Told of every decision in JSON, as Slack takes it. Never shown.",
    )


@settings
class Config(Settings):
    """Everything one cache is configured with."""

    namespace: Setting[str, str] = option(
        v.NAMESPACE, default="default", help="Keeps apart the caches that share a Redis."
    )
    redis: Setting[RedisSettings | str | RawTable | None, RedisSettings | None] = option(
        Parser(lambda value: _redis(value), "a URL, or a table"),
        default=None,
        help="The shared tier. Left out: memory only.",
    )
    memory: Setting[MemorySettings | RawTable, MemorySettings] = option(
        table(MemorySettings), factory=dict, help="The memory tier."
    )
    coalesce: Setting[CoalesceSettings | RawTable, CoalesceSettings] = option(
        table(CoalesceSettings), factory=dict, help="Sharing one call among concurrent requests."
    )
    log: Setting[LogSettings | RawTable, LogSettings] = option(
        table(LogSettings), factory=dict, help="The invalidation log."
    )
    compression: Setting[CompressionSettings | RawTable, CompressionSettings] = option(
        table(CompressionSettings), factory=dict, help="Compression of stored bodies."
    )
    recording: Setting[RecordingSettings | RawTable, RecordingSettings] = option(
        table(RecordingSettings), factory=dict, help="What answers are built from."
    )
    endpoint: Setting[EndpointSettings | RawTable, EndpointSettings] = option(
        table(EndpointSettings), factory=dict, help="Purging by HTTP."
    )
    rollout: Setting[RolloutSettings | RawTable, RolloutSettings] = option(
        table(RolloutSettings), factory=dict, help="The control of a staged rollout."
    )
    component: Setting[str, str] = option(
        v.KEY,
        default="api",
        help="What this process is a part of; phases of a rollout may ask for it to be there.",
    )
    dependencies: Setting[Mapping[str, Sequence[str]], dict[str, tuple[str, ...]]] = option(
        mapping_of(v.NODES, check=v.node),
        factory=dict,
        help="Tags to the tags that they are built from: purged with them, and so on.",
    )
    kinds: Setting[Mapping[str, Kind | RawTable], dict[str, Kind]] = option(
        mapping_of(table(Kind), check=v.KEY), factory=dict, help="Kinds of data, by name."
    )
    routes: Setting[Sequence[Route | RawTable], tuple[Route, ...]] = option(
        list_of(table(Route)), default=(), help="What is cached. The first route that matches wins."
    )
    flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "on")),
        factory=dict,
        help='Risk classes to "on", "off", "shadow" or "canary 10%". Left out: "on".',
    )
    consistency: Setting[Mapping[str, str], dict[str, Consistency]] = option(
        mapping_of(v.CONSISTENCY, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "bounded")),
        factory=dict,
        help='Risk classes to "bounded" or "strict", for their routes. Left out: "bounded".',
    )
    route_flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.ROUTE_NAME),
        factory=dict,
        help='Routes, by name, to "on", "off", "shadow" or "canary 10%"; the lesser counts.',
    )
    holdout: Setting[str | float, float] = option(
        v.HOLDOUT,
        default=0.0,
        help="The share of requests that goes past the cache, by chance, to compare with.",
    )
    kill: Setting[bool, bool] = option(
        v.boolean, default=False, help="Turns the whole cache off, whatever the flags say."
    )
    flags_file: Setting[str | None, str | None] = option(
        v.PATH,
        default=None,
        help="A TOML file whose flags count on this machine in place of the live ones.",
    )
    flags_mirror: Setting[str | None, str | None] = option(
        v.PATH,
        default=None,
        help="Where the live flags are kept on this machine, for a start while Redis is away.",
    )
    log_levels: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.LEVEL, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "info")),
        factory=dict,
        help='Risk classes to the level of their request lines. Left out: "info".',
    )
    log_rate: Setting[int, int] = option(
        v.integer(0), default=200, help="Request lines per second and process, at most."
    )
    x_cache: Setting[bool, bool] = option(
        v.boolean, default=False, help="Also send `X-Cache`, beside `Cache-Status`."
    )
    show_keys: Setting[bool, bool] = option(
        v.boolean, default=False, help="Also say in `Cache-Status` the digest of the key."
    )
    targeted: Setting[Names, tuple[str, ...]] = option(
        v.TARGETED_NAMES,
        default=("cachemw-cache-control", "cdn-cache-control"),
        help="Response headers that count instead of Cache-Control (RFC 9213); the first there wins.",
    )
    secret: Setting[str | Sequence[str] | None, tuple[str, ...] | None] = option(
        v.SECRETS,
        default=None,
        repr=False,
        help="Signs stored entries. Of several the first signs, and all are accepted. Never shown.",
    )
    digest_secret: Setting[str | None, str | None] = option(
        v.SECRET,
        default=None,
        repr=False,
        help="Keys the digests in keys. Another one finds no entry of before. Never shown.",
    )
    refresh_workers: Setting[int, int] = option(
        v.integer(1, 1000), default=4, help="Threads that renew stale answers under WSGI."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("routes",), rules.unique_names),
        Rule(("routes",), rules.reachable),
        Rule(("routes", "kinds"), rules.known_kinds),
        Rule(("routes", "route_flags"), rules.flagged_routes),
        Rule(("dependencies",), rules.sound_dependencies),
    )

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # super() cannot be used: slots make a second class
        object.__setattr__(self, "routes", self.resolved_routes())

    def resolved_routes(self) -> tuple[Route, ...]:
        """Give the routes with what they left out filled in from their kinds and risk classes."""
        return tuple(filled(route, self.kinds, self.consistency) for route in self.routes)


def _redis(value: object) -> RedisSettings:
    if isinstance(value, (RedisSettings, Mapping)):
        return table(RedisSettings)(value)
    return RedisSettings(url=read_url(value))
