"""Keying: from a request to its key, or to the reason why it bypasses the cache.

What `classify` does with a request, in this order:

1. It finds the route: by the plan of the target if the memo has one, otherwise by the router.
2. It checks whether the request may use the cache: the route's flag, its methods, and everything in the
   request that could make its response personal or dangerous to share (`privacy.bypass`).
3. It makes the plan of the target, or takes it from the memo: the key of scheme, host, path and query.
4. It extends this plan by what else may change the response: keyed headers, declared cookies, the
   identity, the body (I1). A plan that was extended is remembered with the headers that led to it.
5. It determines what the application will see: whatever is not in the key is removed from the request.

I7: what the application can see of a request is in the key, or was removed, or must be named in the Vary
of the response. Credentials that the key does not hold are visible too; such a request may only get, and
only leaves, a response that says that it is for everybody (`CacheableRequest.personal`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from cachemw.config.syntax.flag import FULL, OFF, SHADOW
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.entry import Key
from cachemw.engine.model.keys import encode_parts
from cachemw.engine.model.plan import Plan, weigh_other
from cachemw.engine.model.routes import Extra, Identify, RouteState, Target
from cachemw.engine.model.tags import url_tags
from cachemw.engine.privacy.bypass import (
    CONDITIONAL,
    DIRECTIVES,
    KEYED,
    bypass_reason,
    host_of,
    normalised_host,
)
from cachemw.engine.privacy.cookie_rules import Cookies
from cachemw.engine.privacy.identity_headers import is_nobody
from cachemw.engine.request.bodies import body_part, body_reason, may_mutate, unkeyed_body
from cachemw.engine.request.tag_values import all_families, header_tags, request_tags
from cachemw.engine.request.urls import paths_of
from cachemw.http import request_control
from cachemw.http.conditional import is_conditional
from cachemw.http.fields import Fields, Pair
from cachemw.http.messages import Request
from cachemw.http.request_control import RequestControl

__all__ = [
    "Bypass",
    "CacheableRequest",
    "Rewrite",
    "classify",
    "keyed_headers",
    "visible_headers",
]


class Rewrite(Struct, frozen=True, kw_only=True):
    """The query and headers that the application sees instead of those that the client sent."""

    query: bytes
    headers: Fields


class Bypass(Struct, frozen=True):
    """A request that bypasses the cache."""

    route: RouteState | None
    reason: str
    """A short, stable word: a key of `reasons.FORWARDED`."""
    off: bool = False
    """Whether a flag or the configuration keeps it out."""
    mutates: bool = False
    """Whether it may change something, on a route with a query language."""
    shadow: Plan | None = None
    """The plan of its target, if its cookies alone keep it out of a route in shadow."""


class CacheableRequest(Struct, kw_only=True, eq=False):
    """A request that the cache may answer."""

    request: Request
    route: RouteState
    plan: Plan
    target: Plan
    """The plan of the target alone, which `plan` extends or is."""
    key: Key
    """The key to look up: the plan's, or the variant's once it is known that the responses vary."""
    headers: Fields
    """The request's headers as the application sees them."""
    query: bytes
    cookies_sent: bool
    """Whether the application sees cookies that are not in the key."""
    authorization_sent: bool
    """Whether it sees Authorization, or something else that says who is asking, that is not in the key."""
    ranged: bool
    """Whether the client asks for a part of the response."""
    directives: RequestControl | None = None
    """The client's own Cache-Control, if the route honours it and the client sent any."""
    in_shadow: bool = False
    """Whether the route is in shadow: the application answers, and its response is only compared."""

    @property
    def speaks_for_all(self) -> bool:
        """Whether the result of this request says anything about those of other clients."""
        plain = self.directives is None and self.request.method != "HEAD"
        return plain and not self.personal and not self.ranged

    @property
    def personal(self) -> bool:
        """Whether the request has credentials that are not in the key.

        I1: it may get only a response that says that it is for everybody, and never shares a flight.
        """
        return self.cookies_sent or self.authorization_sent

    @property
    def has_removed_cookies(self) -> bool:
        """Whether the client sent cookies that the application does not see."""
        sent = self.request.headers.values(b"cookie")
        return bool(sent) and sent != self.headers.values(b"cookie")

    @property
    def bypasses_by_now(self) -> bool:
        """Whether a cookie of the client counts as personal since the application was seen to read it."""
        return self.route.cookies.bypasses(self.request.headers.values(b"cookie"))

    def rewrite(self, *, keep_conditions: bool, conditions: Sequence[Pair] = ()) -> Rewrite | None:
        """Return what the application sees, or None if it sees the request unchanged.

        `conditions` are our own, which validate a stored entry. They replace the client's.
        """
        headers = self.headers
        if (conditions or not keep_conditions) and is_conditional(headers):
            headers = headers.without(CONDITIONAL)
        if conditions:
            headers = headers.plus(*conditions)
        if headers is self.request.headers and self.query == self.request.query:
            return None
        return Rewrite(query=self.query, headers=headers)


def classify(
    engine: Engine, request: Request, target: Target, extra: Extra | None
) -> CacheableRequest | Bypass:
    """Return the request with its key and plan, or the reason why it bypasses the cache."""
    plan = engine.memo.known(target)
    if plan is None:
        match = engine.router.match(request.mount, request.path)
        if match is None:
            return Bypass(None, "no-route")
        route, params = engine.routes[match[0]], match[1]
    else:
        route, params = plan.route, {}
    if route.share == OFF:
        return _bypass(route, request, "flags-unknown" if route.unknown else "off", off=True)
    if request.method not in route.methods:
        return _bypass(route, request, "method")
    reason = _bypass_reason(engine, route, request, watched=extra is not None)
    if not reason and request.outer:
        reason = _misplaced(engine, route, request)
    if reason:
        return _bypass(route, request, reason)
    if plan is None:
        plan = _base_plan(engine, route, params, request)
        if plan is None:
            return _bypass(route, request, "tag-values")
        if route.identity is None:
            engine.memo.remember(target, plan)
    if route.language is not None:
        operation = route.language.operation(request, plan.query, persisted=route.persisted)
        if operation != "query":
            return _bypass(route, request, "operation")
    if engine.has_cookie_conflict(plan):
        return Bypass(route, "cookie-conflict")
    cacheable: CacheableRequest | Bypass
    if extra is None and route.identity is None and request.method not in route.bodied:
        cacheable = _by_target_alone(plan, request)
    else:
        cacheable = _by_whole_request(engine, plan, request, extra or ())
    if route.share != FULL and isinstance(cacheable, CacheableRequest):
        return _apply_flag(route, cacheable)
    return cacheable


def _bypass(route: RouteState, request: Request, reason: str, *, off: bool = False) -> Bypass:
    """Return the bypass of a request that may change something by its query language."""
    return Bypass(route, reason, off=off, mutates=may_mutate(route, request, reason))


def _apply_flag(route: RouteState, cacheable: CacheableRequest) -> CacheableRequest | Bypass:
    """Apply the route's flag. It is read once, because it may change at any time."""
    share = route.share
    if share == SHADOW:
        cacheable.in_shadow = True
        return cacheable
    return (
        cacheable
        if share != OFF and route.admits(cacheable.key)
        else Bypass(route, "canary", off=True)
    )


def _bypass_reason(
    engine: Engine, route: RouteState, request: Request, *, watched: bool
) -> str | None:
    """Return why a request must bypass the cache, or None."""
    suspicious = engine.watched.suspicious
    if request.method not in route.bodied:
        reason = bypass_reason(request, suspicious, watched=watched)
        return reason or unkeyed_body(request.content)
    reason = bypass_reason(request, suspicious, watched=watched, keyed=True)
    return reason or body_reason(route, request)


def _misplaced(engine: Engine, route: RouteState, request: Request) -> str | None:
    """Return the reason to bypass where outer middleware has put a session or a user into a request.

    I1: the application sees it, and the cache cannot know what it says. It may come from a cookie that
    the route has removed.
    """
    for pair in request.outer:
        if pair[0] in route.refuses:
            engine.misplaced(route, pair)
            return "outer-identity"
    return None


def _base_plan(
    engine: Engine, route: RouteState, params: dict[str, str], request: Request
) -> Plan | None:
    """Return the plan of a target; None if it would have too many tags."""
    query, host = route.read_query(request.query), host_of(request)
    tags = request_tags(route.tags, params, query, Fields([(b"host", host)]))
    if tags is None:
        return None
    name = normalised_host(host.decode("latin-1"))
    key = engine.keys.make(
        (
            request.scheme.encode("ascii", "replace"),
            host,
            request.mount.encode("utf-8", "surrogateescape"),
            request.raw_path,
            request.path.encode("utf-8", "surrogateescape"),
            query,
        )
    )
    tags.append(route.own_tag)
    # A change has to purge what was asked in a query language by GET too.
    queries = (query, b"") if route.language is not None and query else (query,)
    for path in paths_of(request):
        for each in queries:
            tags += url_tags(name, path, each)
    # The families of a route's tags are the same for all targets, unless a value has a colon in it.
    families = route.families
    if ":" in "".join(params.values()):
        families = None
    return Plan(
        route=route,
        key=key,
        query=query,
        tags=all_families(route, tags) if families is None else (*tags, *families),
    )


def _tags_with_headers(engine: Engine, plan: Plan, request: Request) -> tuple[str, ...]:
    """Return the tags of a plan for a request that may have headers whose values are in them."""
    route = plan.route
    if route.tag_headers.isdisjoint(request.headers.names):
        return plan.tags
    match = engine.router.match(request.mount, request.path)
    params = {} if match is None else match[1]
    return header_tags(route, plan.tags, params, plan.query, request.headers)


def _by_target_alone(plan: Plan, request: Request) -> CacheableRequest:
    """Use the plan of the target as it is: the request has no watched header, so nothing else counts."""
    headers = request.headers
    if not plan.route.removed.isdisjoint(headers.names):
        headers = headers.without(plan.route.removed)
    return CacheableRequest(
        request=request,
        route=plan.route,
        plan=plan,
        target=plan,
        key=plan.key,
        headers=headers,
        query=plan.query,
        cookies_sent=False,
        authorization_sent=False,
        ranged=False,
    )


def _by_whole_request(
    engine: Engine, plan: Plan, request: Request, extra: Sequence[Pair]
) -> CacheableRequest | Bypass:
    """Extend the plan of the target by what else of this request may change the response."""
    route, target = plan.route, plan
    cookies = route.cookies.read(request.headers.values(b"cookie"))
    if cookies is None:
        return Bypass(route, "personal-cookie", shadow=plan if route.share == SHADOW else None)
    headers = visible_headers(route, request.headers, cookies)
    identity = None
    if route.identity is not None:
        identity = _identify(engine, route.identity, request)
        if identity is None:
            return Bypass(route, "identity")
    keyed, identified = keyed_headers(engine, route, request) if extra else ([], False)
    body = body_part(engine, request) if request.method in route.bodied else None
    if keyed or cookies.keyed or identity is not None or body is not None:
        plan = _extended_plan(engine, plan, keyed, cookies.keyed, identity, body, extra, request)
    return CacheableRequest(
        request=request,
        route=route,
        plan=plan,
        target=target,
        key=plan.key,
        headers=headers,
        query=plan.query,
        cookies_sent=identity is None and cookies.unkeyed,
        authorization_sent=identified,
        ranged=b"range" in request.headers,
        directives=_directives(route, request.headers) if extra else None,
    )


def _directives(route: RouteState, fields: Fields) -> RequestControl | None:
    """Return the client's own Cache-Control, if the route honours it."""
    if not route.honours or DIRECTIVES.isdisjoint(fields.names):
        return None
    control = request_control.parse(fields)
    return control if control != RequestControl() else None


def _identify(engine: Engine, identify: Identify, request: Request) -> str | None:
    """Return who is asking, by the application's own function; None if it fails (I3)."""
    try:
        return identify(request)
    except Exception:  # it is the application's code; its error must not fail the request
        engine.count("not_stored", "identity-error")
        return None


def visible_headers(route: RouteState, fields: Fields, cookies: Cookies) -> Fields:
    """Return the headers that the application may see.

    I7: what is not in the key must not reach the application, so it is removed here.
    """
    visible = fields
    if not route.removed.isdisjoint(fields.names):
        visible = visible.without(route.removed)
    if not cookies.altered or b"cookie" not in fields:
        return visible
    visible = visible.without((b"cookie",))
    return visible if cookies.visible is None else visible.plus((b"cookie", cookies.visible))


def keyed_headers(engine: Engine, route: RouteState, request: Request) -> tuple[list[Pair], bool]:
    """Return the headers that are part of the key, each with its combined value.

    The second result tells whether others, which are not part of it, say who is asking (I1).
    """
    fields = request.headers
    if request.outer:
        fields = fields.plus(*request.outer)
    varies, identifying = route.varies, route.identifying
    names = [n for n in fields.names if n in KEYED or n in varies or n in identifying]
    keyed, identified = [], False
    for name in sorted(names):
        value = b", ".join(fields.values(name))
        if name in identifying and not is_nobody(name, value):
            identified = True
        elif name in engine.settings.identity_names:
            keyed.append((name, engine.keys.conceal(value)))
        else:
            keyed.append((name, value))
    return keyed, identified


def _extended_plan(
    engine: Engine,
    plan: Plan,
    keyed: list[Pair],
    cookies: Sequence[Pair],
    identity: str | None,
    body: bytes | None,
    extra: Sequence[Pair],
    request: Request,
) -> Plan:
    """Return the plan under these headers, cookies, identity and body; remember it if it can recur."""
    conceal = engine.keys.conceal
    # Together with the plan's own key these are six parts. The key of a variant has an odd number of
    # parts, so the two can never be equal. Secrets enter as keyed digests: the full key is stored (I1).
    parts = (
        None,
        encode_parts(part for pair in keyed for part in pair) if keyed else None,
        encode_parts(conceal(b"=".join(pair)) for pair in cookies) if cookies else None,
        conceal(identity.encode("utf-8", "surrogateescape")) if identity is not None else None,
        body,
    )
    extended = Plan(
        route=plan.route,
        key=engine.keys.extend(plan.key, parts),
        query=plan.query,
        tags=_tags_with_headers(engine, plan, request),
    )
    names = {name for name, _ in extra} - {name for name, _ in keyed}
    names -= plan.route.unread
    can_recur = identity is None and body is None and not names  # only GETs look for plans
    if can_recur and plan.remember(list(extra), extended):
        engine.memo.add_weight(weigh_other(extra, extended))
    return extended
