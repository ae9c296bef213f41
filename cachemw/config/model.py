"""The options of a cache. Each class parses and checks its options when an object of it is made.

Defaults are written as in a file, and are parsed like any other value. The `help` texts are the last
column of the tables in docs/configuration.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from cachemw.config.checks import rules
from cachemw.config.checks.cookies import CookieLists, lists_of_site, none_of_a_session
from cachemw.config.memory_settings import MemorySettings
from cachemw.config.recording_settings import RecordingSettings
from cachemw.config.redis_settings import REDIS, RedisSettings
from cachemw.config.route import Consistency, Kind, Learning, Route, filled
from cachemw.config.syntax import cookie_names
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Rule,
    Setting,
    Settings,
    list_of,
    mapping_of,
    option,
    settings,
    table,
)
from cachemw.config.syntax.raw_types import Duration, Names, RawTable, Size

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
class CoalesceSettings(Settings):
    """How concurrent requests for one missing answer share one call of the application (coalescing)."""

    wait: Setting[Duration, float] = option(
        v.duration,
        default="5s",
        help="How long a request waits for the answer of a concurrent one. At most twice as long in all.",
    )
    lease: Setting[Duration, float] = option(
        v.duration,
        default="2s",
        help="How long other processes wait for one that died. 0: processes do not wait for each other.",
    )
    alone: Setting[int, int] = option(
        v.integer(1),
        default=4,
        help="How many requests for one answer may call the application together when `wait` is over.",
    )
    max_waiters: Setting[int, int] = option(
        v.integer(0),
        default=1000,
        help="Maximum number of waiting requests per process. More call the application at once.",
    )
    hit_for_miss: Setting[Duration, float] = option(
        v.duration,
        default="10s",
        help="How long requests do not wait for each other after an answer that cannot be stored.",
    )
    hit_for_miss_size: Setting[int, int] = option(
        v.integer(1),
        default=10_000,
        help="Maximum number of such answers that each process remembers.",
    )


@settings
class LogSettings(Settings):
    """The invalidation log: a stream in Redis that carries purges to every process."""

    partition_limit: Setting[Duration, float] = option(
        v.duration,
        default="30s",
        help="How long a process without a connection to the log may serve entries from its memory.",
    )
    max_records: Setting[int, int] = option(
        v.integer(1),
        default=100_000,
        help="Maximum number of purges kept in Redis. Entries older than all of these are not served.",
    )
    max_age: Setting[Duration, float] = option(
        v.positive_duration,
        default="7d",
        help="How long purges are kept in Redis. Entries older than all of these are not served.",
    )
    floors: Setting[int, int] = option(
        v.integer(1),
        default=100_000,
        help="Maximum number of purged tags and keys that a process remembers. More: extra misses.",
    )
    confirm_wait: Setting[Duration, float] = option(
        v.duration,
        default="250ms",
        help="How long a purge waits for all processes to apply it, before it returns unconfirmed.",
    )
    poll: Setting[Duration, float] = option(
        v.POLL,
        default="500ms",
        help="How long one read of the log waits for purges. They arrive at once all the same.",
    )
    queue: Setting[int, int] = option(
        v.integer(1),
        default=10_000,
        help="Maximum number of purges kept while Redis is away. More: everything is purged.",
    )


@settings
class CompressionSettings(Settings):
    """The compression of bodies in Redis."""

    threshold: Setting[Size, int] = option(
        v.size, default="1KiB", help="Bodies of fewer bytes are not compressed."
    )
    level: Setting[int, int] = option(
        v.integer(1, 19), default=3, help="The zstd level. Higher: smaller entries, and more CPU."
    )


@settings
class EndpointSettings(Settings):
    """Purging by HTTP with a token: `PURGE` on any URL, and `POST` on one path."""

    token: Setting[str | Sequence[str] | None, tuple[str, ...] | None] = option(
        v.TOKENS,
        default=None,
        repr=False,
        help="The secret for `Authorization: Bearer`. Left out: nobody may purge by HTTP. Never shown.",
    )
    path: Setting[str, str] = option(
        v.ENDPOINT_PATH,
        default="/.cachemw/purge",
        help="The path, below the mount, that accepts `POST` with a purge in JSON.",
    )


@settings
class RolloutSettings(Settings):
    """Which plan a rollout follows, which process controls it, and who is told of its decisions."""

    plan: Setting[str | None, str | None] = option(
        v.PATH,
        default=None,
        help="A plan file. Its risk classes are off until the rollout lets them in. Left out: none.",
    )

    controller: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether a serving process may control the rollout. If not, run `cachemw controller`.",
    )
    webhook: Setting[str | None, str | None] = option(
        v.WEBHOOK,
        default=None,
        repr=False,
        help="A URL that gets every decision as JSON in Slack's format. Left out: none. Never shown.",
    )


@settings
class Config(Settings):
    """The whole configuration of one cache."""

    namespace: Setting[str, str] = option(
        v.NAMESPACE,
        default="default",
        help="The name of this cache. Caches that share a Redis need different ones.",
    )
    redis: Setting[RedisSettings | str | RawTable | None, RedisSettings | None] = option(
        REDIS,
        default=None,
        help="The Redis that all processes share. Left out: each process uses only its own memory.",
    )
    memory: Setting[MemorySettings | RawTable, MemorySettings] = option(
        table(MemorySettings), factory=dict, help="The entries in each process's memory."
    )
    coalesce: Setting[CoalesceSettings | RawTable, CoalesceSettings] = option(
        table(CoalesceSettings),
        factory=dict,
        help="How concurrent requests share one call of the application.",
    )
    log: Setting[LogSettings | RawTable, LogSettings] = option(
        table(LogSettings),
        factory=dict,
        help="The invalidation log, which carries purges to every process.",
    )
    compression: Setting[CompressionSettings | RawTable, CompressionSettings] = option(
        table(CompressionSettings), factory=dict, help="The compression of bodies in Redis."
    )
    recording: Setting[RecordingSettings | RawTable, RecordingSettings] = option(
        table(RecordingSettings), factory=dict, help="Which data an answer was built from."
    )
    endpoint: Setting[EndpointSettings | RawTable, EndpointSettings] = option(
        table(EndpointSettings), factory=dict, help="Purging by HTTP."
    )
    rollout: Setting[RolloutSettings | RawTable, RolloutSettings] = option(
        table(RolloutSettings),
        factory=dict,
        help="Which process controls a rollout, and who is told.",
    )
    component: Setting[str, str] = option(
        v.KEY,
        default="api",
        help="The part of your system that this process belongs to. A rollout phase may require it.",
    )
    dependencies: Setting[Mapping[str, Sequence[str]], dict[str, tuple[str, ...]]] = option(
        mapping_of(v.NODES, check=v.node),
        factory=dict,
        help="For a tag, the tags that it is built from. A purge of one of those purges the tag too.",
    )
    forms: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether pages with CSRF tokens are stored without them, and filled for each client.",
    )
    holes: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FUNCTION, check=v.KEY),
        factory=dict,
        help='For a hole, by its name, the function that fills it, such as "module:function".',
    )
    learning: Setting[Learning, Learning] = option(
        v.choice("on", "shadow", "off"),
        default="on",
        help='For a `ttl` with bounds: "on"; "shadow": learn, and use the initial one; "off": that alone.',
    )
    kinds: Setting[Mapping[str, Kind | RawTable], dict[str, Kind]] = option(
        mapping_of(table(Kind), check=v.KEY),
        factory=dict,
        help="Defaults that several routes share, by the name of their `kind`.",
    )
    routes: Setting[Sequence[Route | RawTable], tuple[Route, ...]] = option(
        list_of(table(Route)),
        default=(),
        help="The routes that are cached. The first one that matches a request counts.",
    )
    ignore_cookies: Setting[Names, tuple[str, ...]] = option(
        cookie_names.COOKIE_PATTERNS,
        default=(),
        help="For routes without a list of their own: cookies that are removed and not in the key.",
    )
    personal_cookies: Setting[Names | None, tuple[str, ...] | None] = option(
        cookie_names.COOKIE_PATTERNS,
        default=None,
        help="As on a route, for those without a list. Left out: in Django the session's, else none.",
    )
    drop_set_cookie: Setting[Names, tuple[str, ...]] = option(
        cookie_names.COOKIES,
        default=(),
        help="For routes without a list of their own: cookies that a stored answer does not set.",
    )
    remove_analytics_cookies: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether cookies of known analytics scripts are removed on all routes.",
    )
    flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "on")),
        factory=dict,
        help='For a risk class, "on", "off", "shadow" or "canary 10%". A class left out is "on".',
    )
    consistency: Setting[Mapping[str, str], dict[str, Consistency]] = option(
        mapping_of(v.CONSISTENCY, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "bounded")),
        factory=dict,
        help='For a risk class, the `consistency` of its routes. A class left out is "bounded".',
    )
    route_flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.ROUTE_NAME),
        factory=dict,
        help="As `flags`, for a route by its name. The more restrictive of the two counts.",
    )
    holdout: Setting[str | float, float] = option(
        v.HOLDOUT,
        default=0.0,
        help="The share of requests, chosen at random, that bypass the cache for comparison. 0: none.",
    )
    kill: Setting[bool, bool] = option(
        v.boolean, default=False, help="Turns the whole cache off, regardless of flags."
    )
    cache_in_development: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether to cache under Django's `DEBUG` or a server that reloads. If not, edits show at once.",
    )
    flags_file: Setting[str | None, str | None] = option(
        v.PATH,
        default=None,
        help="A TOML file. Its flags replace the live flags on this machine. Left out: none.",
    )
    flags_mirror: Setting[str | bool, str | bool] = option(
        v.PATH_OR_SWITCH,
        default=True,
        help="A file with a copy of the live flags, for a start without Redis. true: in the state folder.",
    )
    flags_mirror_age: Setting[Duration, float] = option(
        v.positive_duration,
        default="24h",
        help="Up to what age this copy may turn something on. An older one can only turn off.",
    )
    flags_unknown: Setting[str, str] = option(
        v.choice("off", "configured"),
        default="off",
        help="What counts until Redis has answered, without such a copy: nothing on, or the configuration.",
    )
    log_levels: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.LEVEL, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "info")),
        factory=dict,
        help='For a risk class, the log level of its request lines. A class left out has "info".',
    )
    log_rate: Setting[int, int] = option(
        v.integer(0),
        default=200,
        help="Maximum number of logged requests per second and process. 0: none.",
    )
    x_cache: Setting[bool, bool] = option(
        v.boolean, default=False, help="Whether to send `X-Cache` besides `Cache-Status`."
    )
    show_keys: Setting[bool, bool] = option(
        v.boolean, default=False, help="Whether `Cache-Status` shows the digest of the cache key."
    )
    targeted: Setting[Names, tuple[str, ...]] = option(
        v.TARGETED_NAMES,
        default=("cachemw-cache-control", "cdn-cache-control"),
        help="Response headers that replace Cache-Control (RFC 9213). The first one present counts.",
    )
    identity_headers: Setting[Names, tuple[str, ...]] = option(
        v.FIELD_NAMES,
        default=(),
        help="More request headers that say who is asking: each counts as Authorization does.",
    )
    secret: Setting[str | Sequence[str] | None, tuple[str, ...] | None] = option(
        v.SECRETS,
        default=None,
        repr=False,
        help="Signs entries in Redis. In a list, the first signs and all are accepted. Never shown.",
    )
    digest_secret: Setting[str | None, str | None] = option(
        v.SECRET,
        default=None,
        repr=False,
        help="The key of the digests that name entries. After a change, no old entry is found. Never shown.",
    )
    refresh_workers: Setting[int, int] = option(
        v.integer(1, 1000),
        default=4,
        help="Maximum number of threads that refresh stale answers under WSGI.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("routes",), rules.unique_names),
        Rule(("routes",), rules.reachable),
        Rule(("routes", "kinds"), rules.known_kinds),
        Rule(("routes", "ignore_cookies", "personal_cookies", "drop_set_cookie"), lists_of_site),
        Rule(("drop_set_cookie",), none_of_a_session),
        Rule(("routes", "route_flags"), rules.flagged_routes),
        Rule(("dependencies",), rules.sound_dependencies),
    )

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # super() cannot be used: slots make a second class
        object.__setattr__(self, "routes", self.resolved_routes())

    def proposed_personal(self, route: Route) -> tuple[str, ...]:
        """Return the `personal_cookies` that a route might have instead of its own; empty: none.

        They are the top level's, or those of a route that has some, or else what frameworks call the cookie
        of a session. Shadow tries them.
        """
        own = set(route.personal_cookies or ())
        if route.identity is not None or (own and not self.personal_cookies):
            return ()
        keyed = {*(route.cookies or ()), *route.keyed_cookies}
        others = (each.personal_cookies for each in self.routes if each.personal_cookies)
        names = self.personal_cookies or next(others, cookie_names.SESSIONS)
        proposed = tuple(name for name in names if name not in keyed)
        return () if set(proposed) == own else proposed

    def resolved_routes(self) -> tuple[Route, ...]:
        """Return the routes, each with missing options filled in: see `route.filled`."""
        lists = CookieLists(self.ignore_cookies, self.personal_cookies, self.drop_set_cookie)
        return tuple(filled(route, self.kinds, self.consistency, lists) for route in self.routes)
