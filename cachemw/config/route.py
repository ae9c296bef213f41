"""The options of one route, and of a kind of data that several routes share.

Defaults are written as in a file, and are parsed like any other value. A route gets a missing option
from its kind, then from its risk class (`consistency`), then from the default here; see `filled`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from cachemw.config.checks import rules
from cachemw.config.checks.cookies import (
    CookieLists,
    lists_of,
    none_of_a_session,
    one_way_to_know,
    own_lists,
)
from cachemw.config.syntax import cookie_names
from cachemw.config.syntax import values as v
from cachemw.config.syntax.decode import (
    Parser,
    Rule,
    Setting,
    Settings,
    option,
    options_of,
    required,
    settings,
    table,
)
from cachemw.config.syntax.raw_types import Duration, Names, RawTable, Size

__all__ = ["Kind", "LearnedTtl", "Route", "filled"]

Risk = Literal["low", "medium", "high"]
Body = Literal["raw", "graphql"]
PersistedQueries = Literal["mutation", "query"]
ClientDirectives = Literal["ignore", "honour"]
Consistency = Literal["bounded", "strict"]
Learning = Literal["on", "shadow", "off"]

DEFAULT_BODY_LIMIT = "2MiB"


@settings
class LearnedTtl(Settings):
    """A lifetime that is learned inside bounds, in the place of a fixed one."""

    min: Setting[Duration, float] = required(
        v.positive_duration,
        help="The shortest lifetime. It is used where the target cannot be kept.",
    )
    max: Setting[Duration, float] = required(
        v.positive_duration, help="The longest lifetime, however rarely the content changes."
    )
    stale_target: Setting[float, float] = option(
        v.FRACTION,
        default=0.02,
        help="The share of answers that may be older than the content: 0.02 is one in fifty.",
    )
    initial: Setting[Duration | None, float | None] = option(
        v.positive_duration,
        default=None,
        help='The lifetime while `learning` is "off" or "shadow". Left out: `min`.',
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("min", "max"), rules.ordered_bounds),
        Rule(("min", "max", "initial"), rules.initial_in_bounds),
    )


def _ttl(value: object) -> float | Literal["response"] | LearnedTtl:
    is_table = isinstance(value, (Mapping, LearnedTtl))
    return table(LearnedTtl)(value) if is_table else v.TTL(value)


TTL = Parser(_ttl, f"{v.TTL.expects}, or a table with `min` and `max`", LearnedTtl)


@settings
class Kind(Settings):
    """Defaults for the routes that name this kind. A route's own option wins."""

    ttl: Setting[Duration | RawTable | None, float | Literal["response"] | LearnedTtl | None] = (
        option(
            TTL,
            default=None,
            help='How long an answer that states no lifetime is fresh; "response": only RFC 9111 decides.',
        )
    )
    stale_while_revalidate: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long a stale answer is served while it is refreshed. Left out: as it states.",
    )
    stale_if_error: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long a stale answer is served instead of an error. Left out: as it states.",
    )
    negative_ttl: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long 404 and 410 are fresh. Left out: they are not stored.",
    )
    max_size: Setting[Size | None, int | None] = option(
        v.positive_size,
        default=None,
        help=f"Bodies of more bytes are not stored. Left out: `{DEFAULT_BODY_LIMIT}`.",
    )
    consistency: Setting[Consistency | None, Consistency | None] = option(
        v.CONSISTENCY,
        default=None,
        help='"strict": serve nothing without a connection to the log. Left out: as the risk class.',
    )


@settings
class Route(Settings):
    """One cached route. Options that are left out come from its `kind`, if it names one that has them."""

    path: Setting[str, str] = required(
        v.TEMPLATE, help="The paths of the route, below the mount, such as `/products/{id:int}`."
    )
    name: Setting[str | None, str] = option(
        v.ROUTE_NAME,
        default=None,
        help="A unique name for flags and metrics. Left out: made from the path.",
    )
    mount: Setting[str | None, str | None] = option(
        v.MOUNT,
        default=None,
        help="The ASGI `root_path` or WSGI `SCRIPT_NAME` that must be present. Left out: any.",
    )
    ttl: Setting[Duration | RawTable | None, float | Literal["response"] | LearnedTtl | None] = (
        option(
            TTL,
            default=None,
            help='How long an answer that states no lifetime is fresh; "response": only RFC 9111 decides.',
        )
    )
    kind: Setting[str | None, str | None] = option(
        v.KEY, default=None, help="The `[kinds.NAME]` with this route's defaults. Left out: none."
    )
    risk: Setting[Risk, Risk] = option(
        v.RISK,
        default="high",
        help="The cost of a wrong answer. Flags, rollout, `consistency` and logs are set by class.",
    )
    consistency: Setting[Consistency | None, Consistency] = option(
        v.CONSISTENCY,
        default=None,
        help='"strict": serve nothing without a connection to the log. Left out: as the risk class.',
    )
    enabled: Setting[bool, bool] = option(
        v.boolean,
        default=True,
        help="Whether the route is cached until a live flag says otherwise.",
    )
    methods: Setting[Names, tuple[str, ...]] = option(
        v.METHODS,
        default=("GET",),
        help="The cached methods: GET (with HEAD), POST and QUERY (with `body`). Empty: none.",
    )
    body: Setting[Body | None, Body | None] = option(
        v.BODY,
        default=None,
        help='"raw": the bytes of the body are in the key. "graphql": so too, and only queries are cached.',
    )
    persisted_queries: Setting[PersistedQueries | None, PersistedQueries | None] = option(
        v.PERSISTED_QUERIES,
        default=None,
        help='What a GraphQL request is that names a stored query by its identifier. Left out: "mutation".',
    )
    body_limit: Setting[Size, int] = option(
        v.positive_size,
        default="64KiB",
        help="Requests with bodies of more bytes bypass the cache.",
    )
    query: Setting[Names | None, tuple[str, ...] | None] = option(
        v.PARAMETERS,
        default=None,
        help="The query parameters in the key. All others are removed. Left out: all are in the key.",
    )
    ignore_query: Setting[Names, tuple[str, ...]] = option(
        v.IGNORED_PARAMETERS,
        default=(),
        help="Query parameters that are removed and not in the key. Not together with `query`.",
    )
    vary: Setting[Names, tuple[str, ...]] = option(
        v.FIELD_NAMES,
        default=(),
        help="Request headers that the answer depends on. They are in the key.",
    )
    cookies: Setting[Names | None, tuple[str, ...] | None] = option(
        cookie_names.COOKIES,
        default=None,
        help="The cookies in the key. All others are removed. Left out: with cookies, usually bypass.",
    )
    ignore_cookies: Setting[Names | None, tuple[str, ...] | None] = option(
        cookie_names.COOKIE_PATTERNS,
        default=None,
        help="Cookies that are removed and not in the key. Left out: those of the top level.",
    )
    personal_cookies: Setting[Names | None, tuple[str, ...] | None] = option(
        cookie_names.COOKIE_PATTERNS,
        default=None,
        help="With one of these, bypass. Otherwise as with `cookies`. Left out: those of the top level.",
    )
    keyed_cookies: Setting[Names, tuple[str, ...]] = option(
        cookie_names.COOKIES,
        default=(),
        help="Cookies that are always in the key. Nothing is removed by this list.",
    )
    drop_set_cookie: Setting[Names | None, tuple[str, ...] | None] = option(
        cookie_names.COOKIES,
        default=None,
        help="Cookies that a stored answer does not set. Left out: those of the top level.",
    )
    identity: Setting[str | None, str | None] = option(
        v.IDENTITY,
        default=None,
        help="A function that returns who is asking. Each person gets separate answers. Left out: none.",
    )
    same_for_all_users: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether users whom outer middleware has let in all get the same. If not, they bypass.",
    )
    csp_nonce: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether each client gets a nonce of its own. If not, pages with a nonce are not stored.",
    )
    tags: Setting[Names, tuple[str, ...]] = option(
        v.TAGS,
        default=(),
        help="Tags to purge the answer by, such as `product:{id}` or `comments:{query.page}`.",
    )
    volatile: Setting[Names, tuple[str, ...]] = option(
        v.VOLATILE,
        default=(),
        help="Headers, and JSON paths such as `$.items[*].age`, that may differ in shadow.",
    )
    invalidates: Setting[Names, tuple[str, ...]] = option(
        v.TAGS,
        default=(),
        help="Tags that a successful unsafe request (such as a POST) to this path purges.",
    )
    invalidates_on_redirect: Setting[bool, bool] = option(
        v.boolean,
        default=False,
        help="Whether a 3xx answer to an unsafe request counts as success, as after a form was saved.",
    )
    stale_while_revalidate: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long a stale answer is served while it is refreshed. Left out: as it states.",
    )
    stale_if_error: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long a stale answer is served instead of an error. Left out: as it states.",
    )
    negative_ttl: Setting[Duration | None, float | None] = option(
        v.duration,
        default=None,
        help="How long 404 and 410 are fresh. Left out: they are not stored.",
    )
    retain: Setting[Duration, float] = option(
        v.duration,
        default="1h",
        help="How long a stale answer with a validator is kept, so that a 304 can renew it.",
    )
    heuristic: Setting[float | None, float | None] = option(
        v.FRACTION,
        default=None,
        help='With ttl = "response": without a lifetime, fresh for this share of its time unchanged.',
    )
    client_directives: Setting[ClientDirectives, ClientDirectives] = option(
        v.CLIENT_DIRECTIVES,
        default="ignore",
        help='"honour": obey Cache-Control of requests. Clients can then cause load on the application.',
    )
    max_variants: Setting[int, int] = option(
        v.integer(1, 10_000),
        default=64,
        help="Maximum number of variants per URL and process. Above it, the oldest is dropped.",
    )
    max_size: Setting[Size | None, int] = option(
        v.positive_size,
        default=None,
        help=f"Bodies of more bytes are not stored. Left out: `{DEFAULT_BODY_LIMIT}`.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(("query", "ignore_query"), rules.one_query_rule),
        Rule((*rules.KEYED, "tags"), rules.tag_parameters("tags")),
        Rule((*rules.KEYED, "invalidates"), rules.tag_parameters("invalidates")),
        Rule(("identity", "same_for_all_users"), rules.one_answer_for_users),
        Rule(("ttl", "kind", "methods"), rules.some_ttl),
        Rule(("methods", "invalidates"), rules.some_purpose),
        Rule(("methods", "body"), rules.body_of_methods),
        Rule(("body", "persisted_queries"), rules.persisted_of_graphql),
        Rule(("ttl", "heuristic"), rules.heuristic_of_response),
        Rule(("cookies", "ignore_cookies", "personal_cookies", "drop_set_cookie"), own_lists),
        Rule(("drop_set_cookie",), none_of_a_session),
        Rule(("identity", "personal_cookies"), one_way_to_know),
    )

    @classmethod
    def derive(cls, values: dict[str, Any]) -> None:
        """Make a missing name from the path, and set the default `max_size` of a route without a kind."""
        if "name" in values and values["name"] is None:
            del values["name"]
            if "path" in values and "mount" in values:
                values["name"] = _name_of((values["mount"] or "") + values["path"])
        if values.get("kind", "") is None and values.get("max_size", 0) is None:
            values["max_size"] = v.size(DEFAULT_BODY_LIMIT)


def _name_of(path: str) -> str:
    """Return the name of a route with this path: `/products/{id:int}` becomes `products-id`."""
    return (
        re.sub(r"[^A-Za-z0-9_.]+", "-", re.sub(r":[a-z]+\}", "}", path)).strip("-")[:100] or "root"
    )


def filled(
    route: Route,
    kinds: Mapping[str, Kind],
    consistency: Mapping[str, Consistency],
    cookie_lists: CookieLists,
) -> Route:
    """Return a route with missing options filled in from its kind, its risk class and the top level.

    `cookie_lists` are those of the top level.
    """
    kind = None if route.kind is None else kinds[route.kind]
    missing: dict[str, Any] = {
        name: getattr(kind, name, None) for name in options_of(Kind) if getattr(route, name) is None
    }
    if "consistency" in missing and missing["consistency"] is None:
        missing["consistency"] = consistency[route.risk]
    if "max_size" in missing and missing["max_size"] is None:
        missing["max_size"] = v.size(DEFAULT_BODY_LIMIT)
    lists = lists_of(route, cookie_lists)
    return replace(
        route,
        **missing,
        ignore_cookies=lists.ignored,
        personal_cookies=lists.personal,
        drop_set_cookie=lists.dropped,
    )
