"""Setup: from the configuration's routes to the engine's routes and router."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cachemw.config import Config, LearnedTtl, Route
from cachemw.config.syntax.flag import FULL, OFF
from cachemw.config.syntax.template import TagPlaceholder, parse_tag, parse_template
from cachemw.config.syntax.values import BODIED_METHODS
from cachemw.engine.model.differences import volatile_parts
from cachemw.engine.model.query import query_reader
from cachemw.engine.model.router import Router
from cachemw.engine.model.routes import Bounds, Identify, Language, RouteState
from cachemw.engine.model.tags import normalise, route_tag, static_families, with_families
from cachemw.engine.privacy.analytics_cookies import ANALYTICS
from cachemw.engine.privacy.bypass import DIRECTIVES, REMOVED
from cachemw.engine.privacy.cookie_rules import CookieRules
from cachemw.engine.privacy.identity_headers import OUTER_IDENTITY, identity_names, keyed_names
from cachemw.errors import ConfigError, Problem
from cachemw.http.storing import Policy

__all__ = ["check_tag_headers", "make_router", "make_routes"]

_PARAMETER_IN_FAMILY = re.compile(r"\}.*:|\{(?:query|header)\.")
"""A value from a query or a header often has a colon: it may be a URL."""


def make_router(config: Config) -> Router:
    """Make the router of a configuration's routes."""
    return Router([(parse_template(route.path), route.mount) for route in config.routes])


def make_routes(
    config: Config, identities: Mapping[str, Identify], languages: Mapping[str, Language]
) -> list[RouteState]:
    """Make the live routes, in the order listed.

    `identities` has a function for each name that is used; `languages` has a reader for each `body`
    except "raw".
    """
    check_tag_headers(config)
    asking = identity_names(config.identity_headers)
    ignored = ANALYTICS if config.remove_analytics_cookies else ()
    routes = [
        _make_route(
            index, route, identities, languages, asking, ignored, config.proposed_personal(route)
        )
        for index, route in enumerate(config.routes)
    ]
    if config.learning != "off":
        for state, route in zip(routes, config.routes, strict=True):
            _let_learn(state, route)
    return routes


def check_tag_headers(config: Config) -> None:
    """Check that no tag holds a header that says who is asking. Raises ConfigError.

    I1: in keys such a header is a keyed digest. Tags are stored and shown as they are.
    """
    asking = identity_names(config.identity_headers)
    problems = [
        Problem(
            f"routes[{index}].{option}[{number}]",
            f"{{{each.text}}} says who is asking, and tags are stored and shown as they are:"
            " call cachemw.tag() in the application instead",
        )
        for index, route in enumerate(config.routes)
        for option in ("tags", "invalidates")
        for number, template in enumerate(getattr(route, option))
        for each in parse_tag(template)
        if isinstance(each, TagPlaceholder)
        and each.source == "header"
        and each.name.encode("latin-1") in asking
    ]
    if problems:
        raise ConfigError(problems)


def _tag_headers(route: Route) -> frozenset[bytes]:
    """Return the headers in a route's tags, without the host, which is part of every target."""
    return frozenset(
        each.name.encode("latin-1")
        for template in route.tags
        for each in parse_tag(template)
        if isinstance(each, TagPlaceholder) and each.source == "header" and each.name != "host"
    )


def _make_route(
    index: int,
    route: Route,
    identities: Mapping[str, Identify],
    languages: Mapping[str, Language],
    asking: frozenset[bytes],
    ignored: tuple[str, ...],
    personal: tuple[str, ...],
) -> RouteState:
    varies = keyed_names(route.vary)
    return RouteState(
        index=index,
        name=route.name,
        template=(route.mount or "") + route.path,
        risk=route.risk,
        strict=route.consistency == "strict",
        methods=_methods(route),
        bodied=frozenset(route.methods) & BODIED_METHODS,
        body_limit=route.body_limit,
        language=languages.get(route.body or "raw"),
        persisted=route.persisted_queries or "mutation",
        policy=_policy(route),
        max_size=route.max_size,
        max_variants=route.max_variants,
        read_query=query_reader(route.query, route.ignore_query),
        varies=varies,
        removed=REMOVED - varies - asking,
        identifying=frozenset() if route.identity else asking - varies,
        refuses=frozenset() if route.identity or route.same_for_all_users else OUTER_IDENTITY,
        cookies=_cookie_rules(route, ignored),
        proposed=_proposed_rules(route, personal),
        unread=_unread(route),
        honours=route.client_directives == "honour",
        identity=identities[route.identity] if route.identity else None,
        renews_nonce=route.csp_nonce,
        tags=route.tags,
        volatile=volatile_parts(route.volatile),
        invalidates=route.invalidates,
        invalidates_on_redirect=route.invalidates_on_redirect,
        own_tag=route_tag(route.name),
        families=_families(route.tags),
        tag_headers=_tag_headers(route),
        static_families=static_families(route.tags),
        share=FULL if route.enabled else OFF,
    )


def _methods(route: Route) -> frozenset[str]:
    return frozenset({*route.methods, *(("HEAD",) if "GET" in route.methods else ())})


def _let_learn(state: RouteState, route: Route) -> None:
    """Make a route whose `ttl` has bounds one whose lifetimes are learned."""
    ttl = route.ttl
    if isinstance(ttl, LearnedTtl):
        # No answer lives longer than the longest lifetime, whatever is learned.
        state.policy = replace(state.policy, ttl=ttl.max)
        state.learning = Bounds(
            kind=route.kind or f"route:{route.name}",
            shortest=ttl.min,
            longest=ttl.max,
            target=ttl.stale_target,
            initial=_fixed(ttl),
            window=route.stale_while_revalidate or 0.0,
        )


def _fixed(ttl: LearnedTtl) -> float:
    """Return the lifetime where nothing is learned."""
    return ttl.min if ttl.initial is None else ttl.initial


def _policy(route: Route) -> Policy:
    ttl = route.ttl
    if isinstance(ttl, LearnedTtl):
        ttl = _fixed(ttl)
    return Policy(
        ttl=None if ttl == "response" else ttl,
        negative_ttl=route.negative_ttl,
        stale_while_revalidate=route.stale_while_revalidate,
        stale_if_error=route.stale_if_error,
        heuristic=route.heuristic,
        retain=route.retain,
    )


def _cookie_rules(route: Route, ignored: tuple[str, ...]) -> CookieRules:
    return CookieRules(
        None if route.cookies is None else frozenset(route.cookies),
        (*(route.ignore_cookies or ()), *ignored),
        route.personal_cookies or (),
        frozenset(route.keyed_cookies),
        frozenset(route.drop_set_cookie or ()),
    )


def _proposed_rules(route: Route, personal: tuple[str, ...]) -> CookieRules | None:
    """Return the rules with these personal cookies alone; None if there are none to propose."""
    if not personal:
        return None
    declared = None if route.cookies is None else frozenset(route.cookies)
    return CookieRules(declared, (), personal, frozenset(route.keyed_cookies))


def _families(templates: Sequence[str]) -> tuple[str, ...] | None:
    """Return the families of the tags that these templates make; None if a family contains a parameter."""
    if any(_PARAMETER_IN_FAMILY.search(template) for template in templates):
        return None
    tags = with_families(normalise(template) for template in templates)
    return tuple(tag for tag in tags if tag.endswith(":*"))


def _unread(route: Route) -> frozenset[bytes]:
    # `CookieRules` reads the cookies that count.
    fields = frozenset() if route.client_directives == "honour" else DIRECTIVES
    if route.same_for_all_users:
        fields |= OUTER_IDENTITY
    return fields | {b"cookie"}
