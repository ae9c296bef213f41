"""What an operator writes about one route, and about the kinds of data that routes share.

Defaults stand as they would be written in a file, and are parsed like anything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from cachemw.config.checks import rules
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Rule,
    Setting,
    Settings,
    option,
    options_of,
    required,
    settings,
)
from cachemw.config.syntax.raw_types import Duration, Names, Size

__all__ = ["Kind", "Route", "filled"]

Risk = Literal["low", "medium", "high"]
Body = Literal["raw", "graphql"]
ClientDirectives = Literal["ignore", "honour"]
Consistency = Literal["bounded", "strict"]

DEFAULT_BODY_LIMIT = "2MiB"


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
    consistency: Setting[Consistency | None, Consistency | None] = option(
        v.CONSISTENCY, default=None, help="As for a route."
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
    consistency: Setting[Consistency | None, Consistency] = option(
        v.CONSISTENCY,
        default=None,
        help='"strict": cut off from the log, serve nothing. Left out: as its risk class has it.',
    )
    enabled: Setting[bool, bool] = option(
        v.boolean, default=True, help="Whether the route is cached at start."
    )
    methods: Setting[Names, tuple[str, ...]] = option(
        v.METHODS,
        default=("GET",),
        help="What is cached: GET with its HEAD, POST and QUERY with `body`; none: `invalidates` alone.",
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
    volatile: Setting[Names, tuple[str, ...]] = option(
        v.VOLATILE,
        default=(),
        help="What shadow is not to compare: response headers, and JSON paths as `$.items[*].age`.",
    )
    invalidates: Setting[Names, tuple[str, ...]] = option(
        v.TAGS,
        default=(),
        help="What an unsafe request to the path purges when it succeeds, such as `product:{id}`.",
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
        Rule(("path", "tags"), rules.tag_parameters("tags")),
        Rule(("path", "invalidates"), rules.tag_parameters("invalidates")),
        Rule(("ttl", "kind", "methods"), rules.some_ttl),
        Rule(("methods", "invalidates"), rules.some_purpose),
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


def _name_of(path: str) -> str:
    return (
        re.sub(r"[^A-Za-z0-9_.]+", "-", re.sub(r":[a-z]+\}", "}", path)).strip("-")[:100] or "root"
    )


def filled(
    route: Route, kinds: Mapping[str, Kind], consistency: Mapping[str, Consistency]
) -> Route:
    """Give a route with what it left out filled in from its kind, then from its risk class."""
    kind = None if route.kind is None else kinds[route.kind]
    left_out: dict[str, Any] = {
        name: getattr(kind, name, None) for name in options_of(Kind) if getattr(route, name) is None
    }
    if "consistency" in left_out and left_out["consistency"] is None:
        left_out["consistency"] = consistency[route.risk]
    if "max_size" in left_out and left_out["max_size"] is None:
        left_out["max_size"] = v.size(DEFAULT_BODY_LIMIT)
    return replace(route, **left_out)
