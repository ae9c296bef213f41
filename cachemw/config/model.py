"""What an operator writes. Every class parses and checks its options when it is made.

Defaults stand as they would be written in a file, and are parsed like anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from . import rules
from . import values as v
from .decode import (
    Parser,
    Rule,
    Setting,
    Settings,
    list_of,
    mapping_of,
    option,
    options_of,
    required,
    settings,
    table,
)
from .redis_url import read_url, redacted

__all__ = [
    "Coalesce",
    "Compression",
    "Config",
    "Kind",
    "Log",
    "Memory",
    "Redis",
    "Route",
]

Duration = str | float
Size = str | int
Risk = Literal["low", "medium", "high"]
Body = Literal["raw", "graphql"]
ClientDirectives = Literal["ignore", "honour"]
Names = Sequence[str]
Written = Mapping[str, Any]
"""A table, as it comes out of a file."""

DEFAULT_BODY_LIMIT = "2MiB"


@settings
class Redis(Settings):
    """How the shared tier is reached."""

    url: Setting[str, str] = required(
        Parser(read_url, "a redis://, rediss:// or unix:// URL"),
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
class Memory(Settings):
    """The memory tier of each process."""

    max_size: Setting[Size, int] = option(
        v.positive_size, default="256MiB", help="The cap on stored bytes, in each process."
    )
    planned_size: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help="What the rollout expects to use; exceeding it by 20 % is an alarm.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (Rule(("max_size", "planned_size"), rules.planned_size),)


@settings
class Coalesce(Settings):
    """How concurrent requests for one missing answer share one call of the application."""

    wait: Setting[Duration, float] = option(
        v.duration, default="5s", help="How long a request waits for another's answer."
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
class Log(Settings):
    """The invalidation log, which carries purges to every process."""

    partition_limit: Setting[Duration, float] = option(
        v.duration, default="30s", help="How long memory may serve without hearing from the log."
    )
    max_records: Setting[int, int] = option(
        v.integer(1), default=100_000, help="Records kept in Redis, at most."
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
class Compression(Settings):
    """How bodies are compressed in Redis."""

    threshold: Setting[Size, int] = option(
        v.size, default="1KiB", help="Smaller bodies are stored as they are."
    )
    level: Setting[int, int] = option(v.integer(1, 19), default=3, help="The zstd level.")


@settings
class Kind(Settings):
    """Defaults shared by the routes of one kind of data."""

    ttl: Setting[Duration | None, float | Literal["response"] | None] = option(
        v.TTL, default=None, help="As for a route."
    )
    stale_while_revalidate: Setting[Duration | None, float | None] = option(
        v.duration, default=None, help="As for a route."
    )
    stale_if_error: Setting[Duration | None, float | None] = option(
        v.duration, default=None, help="As for a route."
    )
    negative_ttl: Setting[Duration | None, float | None] = option(
        v.duration, default=None, help="As for a route."
    )
    max_size: Setting[Size | None, int | None] = option(
        v.positive_size, default=None, help="As for a route."
    )


@settings
class Route(Settings):
    """One cached route. Options left out come from its kind, where it names one that has them."""

    path: Setting[str, str] = required(
        v.TEMPLATE, help="The path template below the mount, such as `/products/{id:int}`."
    )
    name: Setting[str | None, str] = option(
        v.ROUTE_NAME,
        default=None,
        help="A unique name, used in flags and metrics. Made from the path if left out.",
    )
    mount: Setting[str | None, str | None] = option(
        v.MOUNT,
        default=None,
        help="Match only below this ASGI `root_path` or WSGI `SCRIPT_NAME`. Left out: any.",
    )
    ttl: Setting[Duration | None, float | Literal["response"] | None] = option(
        v.TTL,
        default=None,
        help='How long an answer that states no lifetime is fresh; "response" keeps to RFC 9111.',
    )
    kind: Setting[str | None, str | None] = option(
        v.KEY, default=None, help="The kind of data, whose options are this route's defaults."
    )
    risk: Setting[Risk, Risk] = option(
        v.RISK, default="high", help="What a wrong answer would cost; drives flags and rollout."
    )
    enabled: Setting[bool, bool] = option(
        v.boolean, default=True, help="Whether the route is cached at start."
    )
    methods: Setting[Names, tuple[str, ...]] = option(
        v.METHODS,
        default=("GET",),
        help="What is cached. HEAD is answered from a stored GET; POST and QUERY need `body`.",
    )
    body: Setting[Body | None, Body | None] = option(
        v.BODY,
        default=None,
        help='What keys a POST or QUERY: its bytes ("raw"), for "graphql" of queries only.',
    )
    body_limit: Setting[Size, int] = option(
        v.positive_size, default="64KiB", help="Requests with larger bodies go past the cache."
    )
    query: Setting[Names | None, tuple[str, ...] | None] = option(
        v.PARAMETERS,
        default=None,
        help="The parameters the route reads; it sees no others. Left out: all, order kept.",
    )
    ignore_query: Setting[Names, tuple[str, ...]] = option(
        v.IGNORED_PARAMETERS,
        default=(),
        help="Parameters that are not keyed and not passed on. Not together with `query`.",
    )
    vary: Setting[Names, tuple[str, ...]] = option(
        v.FIELD_NAMES, default=(), help="Request headers the answer depends on."
    )
    cookies: Setting[Names | None, tuple[str, ...] | None] = option(
        v.COOKIES,
        default=None,
        help="The cookies the route reads; it sees no others. Left out: no cookies, or no cache.",
    )
    identity: Setting[str | None, str | None] = option(
        v.IDENTITY,
        default=None,
        help="A function that says who is asking; each has answers of their own.",
    )
    tags: Setting[Names, tuple[str, ...]] = option(
        v.TAGS, default=(), help="Names to purge by, such as `product:{id}`."
    )
    stale_while_revalidate: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long a stale answer is served while one request renews it.",
    )
    stale_if_error: Setting[Duration | None, float | None] = option(
        v.duration, default=None, help="How long a stale answer is served in place of an error."
    )
    negative_ttl: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long 404 and 410 are fresh. Left out: they are not stored.",
    )
    retain: Setting[Duration, float] = option(
        v.duration,
        default="1h",
        help="How long a stale answer is kept to ask the application if it is still current.",
    )
    heuristic: Setting[float | None, float | None] = option(
        v.FRACTION,
        default=None,
        help='With ttl = "response": fresh for this share of its age, where it states no lifetime.',
    )
    client_directives: Setting[ClientDirectives, ClientDirectives] = option(
        v.CLIENT_DIRECTIVES,
        default="ignore",
        help='"honour": clients may ask for fresh answers by Cache-Control, and so load the origin.',
    )
    max_variants: Setting[int, int] = option(
        v.integer(1, 10_000),
        default=64,
        help="Answers kept per URL and process where they vary; the oldest makes room.",
    )
    max_size: Setting[Size | None, int] = option(
        v.positive_size,
        default=None,
        help=f"Larger bodies are passed through, not stored. Left out: `{DEFAULT_BODY_LIMIT}`.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("query", "ignore_query"), rules.one_query_rule),
        Rule(("path", "tags"), rules.tag_parameters),
        Rule(("ttl", "kind"), rules.some_ttl),
        Rule(("methods", "body"), rules.body_of_methods),
        Rule(("ttl", "heuristic"), rules.heuristic_of_response),
    )

    @classmethod
    def derive(cls, values: dict[str, Any]) -> None:
        """Name the route after its path, and give one without a kind the default body limit."""
        if "name" in values and values["name"] is None:
            del values["name"]
            if "path" in values and "mount" in values:
                values["name"] = _name_of((values["mount"] or "") + values["path"])
        if values.get("kind", "") is None and values.get("max_size", 0) is None:
            values["max_size"] = v.size(DEFAULT_BODY_LIMIT)


@settings
class Config(Settings):
    """Everything one cache is configured with."""

    namespace: Setting[str, str] = option(
        v.NAMESPACE, default="default", help="Keeps apart the caches that share a Redis."
    )
    redis: Setting[Redis | str | Written | None, Redis | None] = option(
        Parser(lambda value: _redis(value), "a URL, or a table"),
        default=None,
        help="The shared tier. Left out: memory only.",
    )
    memory: Setting[Memory | Written, Memory] = option(
        table(Memory), factory=dict, help="The memory tier."
    )
    coalesce: Setting[Coalesce | Written, Coalesce] = option(
        table(Coalesce), factory=dict, help="Sharing one call among concurrent requests."
    )
    log: Setting[Log | Written, Log] = option(
        table(Log), factory=dict, help="The invalidation log."
    )
    compression: Setting[Compression | Written, Compression] = option(
        table(Compression), factory=dict, help="Compression of stored bodies."
    )
    kinds: Setting[Mapping[str, Kind | Written], dict[str, Kind]] = option(
        mapping_of(table(Kind), check=v.KEY), factory=dict, help="Kinds of data, by name."
    )
    routes: Setting[Sequence[Route | Written], tuple[Route, ...]] = option(
        list_of(table(Route)), default=(), help="What is cached. The first route that matches wins."
    )
    flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.RISK_KEY, default=dict.fromkeys(v.RISKS, "on")),
        factory=dict,
        help='Risk classes to "on" or "off". Left out: "on".',
    )
    route_flags: Setting[Mapping[str, str], dict[str, str]] = option(
        mapping_of(v.FLAG, check=v.ROUTE_NAME),
        factory=dict,
        help='Routes, by name, to "on" or "off".',
    )
    kill: Setting[bool, bool] = option(
        v.boolean, default=False, help="Turns the whole cache off, whatever the flags say."
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
    secret: Setting[str | None, str | None] = option(
        v.SECRET,
        default=None,
        repr=False,
        help="Keys the checksums and digests of stored entries. Never shown.",
    )
    refresh_workers: Setting[int, int] = option(
        v.integer(1, 1000), default=4, help="Threads that renew stale answers under WSGI."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("routes",), rules.unique_names),
        Rule(("routes",), rules.reachable),
        Rule(("routes", "kinds"), rules.known_kinds),
        Rule(("routes", "route_flags"), rules.flagged_routes),
    )

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # super() cannot be used: slots make a second class
        object.__setattr__(self, "routes", self.resolved_routes())

    def resolved_routes(self) -> tuple[Route, ...]:
        """Give the routes with what they left out filled in from their kinds."""
        return tuple(_filled(route, self.kinds) for route in self.routes)


def _redis(value: object) -> Redis:
    if isinstance(value, (Redis, Mapping)):
        return table(Redis)(value)
    return Redis(url=read_url(value))


def _name_of(path: str) -> str:
    return (
        re.sub(r"[^A-Za-z0-9_.]+", "-", re.sub(r":[a-z]+\}", "}", path)).strip("-")[:100] or "root"
    )


def _filled(route: Route, kinds: Mapping[str, Kind]) -> Route:
    if route.kind is None:
        return route
    left_out = {
        name: getattr(kinds[route.kind], name)
        for name in options_of(Kind)
        if getattr(route, name) is None
    }
    if "max_size" in left_out and left_out["max_size"] is None:
        left_out["max_size"] = v.size(DEFAULT_BODY_LIMIT)
    return replace(route, **left_out)
