"""From a request to what is asked of the cache: its plan, its privacy, and what the application sees."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from msgspec import Struct

from cachemw.config.syntax.flag import FULL, OFF, SHADOW
from cachemw.engine.core.engine import Engine
from cachemw.engine.model.bypass import (
    CONDITIONAL,
    DIRECTIVES,
    KEYED,
    REMOVED,
    bypass_reason,
    normalised_host,
)
from cachemw.engine.model.entry import Key
from cachemw.engine.model.keys import decode_parts, encode_parts
from cachemw.engine.model.plan import Plan, weigh_other
from cachemw.engine.model.routes import Extra, Identify, RouteState, Target
from cachemw.engine.model.tags import fill, normalise, url_tags, with_families
from cachemw.engine.request.bodies import body_part, body_reason
from cachemw.http import request_control
from cachemw.http.conditional import is_conditional
from cachemw.http.fields import Fields, Pair, cookie_pairs
from cachemw.http.messages import Request
from cachemw.http.request_control import RequestControl

__all__ = ["CacheableRequest", "Keyed", "Pass", "Rewrite", "classify", "read_key"]


class Rewrite(Struct, frozen=True, kw_only=True):
    """What the application is to see instead of what the client sent."""

    query: bytes
    headers: Fields


class Pass(Struct, frozen=True):
    """The request goes past the cache; `reason` is a short, stable word, `off` that a flag did it."""

    route: RouteState | None
    reason: str
    off: bool = False
    mutates: bool = False
    """Whether it changes something, for all that is known, on a route that has a language."""


class CacheableRequest(Struct, kw_only=True, eq=False):
    """A request that the cache may answer."""

    request: Request
    route: RouteState
    plan: Plan
    key: Key
    """What is looked for: the plan's key, or the variant's where it is known that the answer varies."""
    headers: Fields
    """The request's fields as the application sees them."""
    query: bytes
    cookies_sent: bool
    """Whether the application sees cookies that the key does not hold."""
    authorization_sent: bool
    ranged: bool
    """Whether a part of the answer is asked for."""
    directives: RequestControl | None = None
    """What the client asks of caches, where the route honours it and anything is asked."""
    in_shadow: bool = False
    """Whether nothing that is stored may answer it, and the application's answer is only watched."""

    @property
    def speaks_for_all(self) -> bool:
        """Whether what becomes of this request says anything of those that others make."""
        plain = self.directives is None and self.request.method != "HEAD"
        return plain and not self.personal and not self.ranged

    @property
    def personal(self) -> bool:
        """Whether the client is known: then only answers that say so are for it, and it never queues."""
        return self.cookies_sent or self.authorization_sent

    def rewrite(self, *, keep_conditions: bool, conditions: Sequence[Pair] = ()) -> Rewrite | None:
        """Give the request that the application is to see, or None when it is what came in.

        `conditions` are ours, to validate a stored answer with; they stand in for the client's.
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
) -> CacheableRequest | Pass:
    """Match, screen and key a request."""
    plan = engine.memo.known(target)
    if plan is None:
        match = engine.router.match(request.mount, request.path)
        if match is None:
            return Pass(None, "no-route")
        route, params = engine.routes[match[0]], match[1]
    else:
        route, params = plan.route, {}
    # In a language, what nobody reads may change something; it counts for unsafe methods alone.
    unread = route.language is not None
    if route.share == OFF:
        return Pass(route, "off", off=True, mutates=unread)
    if request.method not in route.methods:
        return Pass(route, "method", mutates=unread)
    reason = _screened(engine, route, request, watched=extra is not None)
    if reason:
        return Pass(route, reason, mutates=unread)
    if plan is None:
        plan = _base_plan(engine, route, params, request)
        if route.identity is None:
            engine.memo.remember(target, plan)
    if route.language is not None:
        operation = route.language.operation(request, plan.query)
        if operation != "query":
            return Pass(route, "operation", mutates=operation == "mutation")
    cacheable: CacheableRequest | Pass
    if extra is None and route.identity is None and request.method not in route.bodied:
        cacheable = _impersonal(plan, request)
    else:
        cacheable = _personal(engine, plan, request, extra or ())
    if route.share != FULL and isinstance(cacheable, CacheableRequest):
        return _let_in(route, cacheable)
    return cacheable


def _let_in(route: RouteState, cacheable: CacheableRequest) -> CacheableRequest | Pass:
    """Say how far a request is let in; once, since flags change meanwhile."""
    share = route.share
    if share == SHADOW:
        cacheable.in_shadow = True
        return cacheable
    return (
        cacheable
        if share != OFF and route.takes(cacheable.key)
        else Pass(route, "canary", off=True)
    )


def _screened(engine: Engine, route: RouteState, request: Request, *, watched: bool) -> str | None:
    """Say why a request must go past the cache, or None."""
    suspicious = engine.watched.suspicious
    if request.method not in route.bodied:
        return bypass_reason(request, suspicious, watched=watched)
    reason = bypass_reason(request, suspicious, watched=watched, keyed=True)
    return reason or body_reason(route, request)


def _base_plan(engine: Engine, route: RouteState, params: dict[str, str], request: Request) -> Plan:
    query = route.read_query(request.query)
    host = normalised_host(request)
    mount = request.mount.encode("utf-8", "surrogateescape")
    key = engine.keys.make(
        (
            request.scheme.encode("ascii", "replace"),
            host,
            mount,
            request.raw_path,
            request.path.encode("utf-8", "surrogateescape"),
            query,
        )
    )
    tags = [normalise(fill(template, params)) for template in route.tags]
    tags += [route.own_tag, *url_tags(host.decode("ascii"), mount + request.raw_path, query)]
    if route.language is not None and query:  # so that a change purges what GETs asked, too
        tags += url_tags(host.decode("ascii"), mount + request.raw_path, b"")
    families = route.families
    if ":" in "".join(params.values()):
        families = None
    return Plan(
        route=route,
        key=key,
        query=query,
        tags=with_families(tags) if families is None else (*tags, *families),
    )


def _impersonal(plan: Plan, request: Request) -> CacheableRequest:
    """Ask by the target's plan alone: the request has no watched field, so nothing else counts."""
    headers = request.headers
    if not REMOVED.isdisjoint(headers.names):
        headers = headers.without(REMOVED - plan.route.varies)
    return CacheableRequest(
        request=request,
        route=plan.route,
        plan=plan,
        key=plan.key,
        headers=headers,
        query=plan.query,
        cookies_sent=False,
        authorization_sent=False,
        ranged=False,
    )


def _personal(
    engine: Engine, plan: Plan, request: Request, extra: Sequence[Pair]
) -> CacheableRequest | Pass:
    """Add to a target's plan what the watched fields of this request make of it."""
    route = plan.route
    headers, cookies = _seen(route, request.headers)
    identity = None
    if route.identity is not None:
        identity = _identify(engine, route.identity, request)
        if identity is None:
            return Pass(route, "identity")
    keyed = _keyed(route, request.headers) if extra else []
    body = body_part(engine, request) if request.method in route.bodied else None
    if keyed or cookies or identity is not None or body is not None:
        plan = _extended(engine, plan, keyed, cookies, identity, body, extra)
    return CacheableRequest(
        request=request,
        route=route,
        plan=plan,
        key=plan.key,
        headers=headers,
        query=plan.query,
        cookies_sent=identity is None and route.cookies is None and b"cookie" in headers,
        authorization_sent=identity is None and b"authorization" in headers,
        ranged=b"range" in request.headers,
        directives=_directives(route, request.headers) if extra else None,
    )


def _directives(route: RouteState, fields: Fields) -> RequestControl | None:
    if not route.honours or DIRECTIVES.isdisjoint(fields.names):
        return None
    control = request_control.parse(fields)
    return control if control != RequestControl() else None


def _identify(engine: Engine, identify: Identify, request: Request) -> str | None:
    """Ask the application's own function who this is; one that fails knows nobody (I3)."""
    try:
        return identify(request)
    except Exception:  # whatever somebody else's code raises must not become our error
        engine.count("not_stored", "identity-error")
        return None


def _seen(route: RouteState, fields: Fields) -> tuple[Fields, list[Pair]]:
    """Give the fields that the application may see, and the declared cookies among them."""
    seen = fields
    if not REMOVED.isdisjoint(fields.names):
        seen = seen.without(REMOVED - route.varies)
    if route.cookies is None or b"cookie" not in fields:
        return seen, []
    cookies = cookie_pairs(fields.values(b"cookie"), route.cookies)
    seen = seen.without((b"cookie",))
    if cookies:
        seen = seen.plus((b"cookie", b"; ".join(b"=".join(pair) for pair in cookies)))
    return seen, cookies


def _keyed(route: RouteState, fields: Fields) -> list[Pair]:
    names = sorted(name for name in fields.names if name in KEYED or name in route.varies)
    return [(name, b", ".join(fields.values(name))) for name in names]


def _extended(
    engine: Engine,
    plan: Plan,
    keyed: list[Pair],
    cookies: list[Pair],
    identity: str | None,
    body: bytes | None,
    extra: Sequence[Pair],
) -> Plan:
    """Give the plan under these keyed fields, cookies, identity and body, and keep it if it can recur."""
    conceal = engine.keys.conceal
    # With the plan's own key an even number of parts: the key of a variant has an odd one.
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
        tags=plan.tags,
    )
    names = {name for name, _ in extra} - {name for name, _ in keyed}
    names -= plan.route.unread
    if identity is None and body is None and not names:  # plans are found by GETs alone
        plan.remember(list(extra), extended)
        engine.memo.add_weight(weigh_other(extra, extended))
    return extended


# -- and back --------------------------------------------------------------------------------------


class Keyed(Struct, frozen=True, kw_only=True):
    """What a full key says of the requests that it stands for; secrets are digests in it, and stay so."""

    method: str
    url: str
    by: tuple[str, ...]
    """What else it holds: names of fields, `cookie`, `identity`, `body`."""


_TARGET = 7
"""Parts of the key of a target, the namespace first; see `_base_plan`."""
_PLAN = 6
"""Parts of the key of a plan for watched fields, the target's key first; see `_extended`."""
_DEPTH = 2
"""A variant's key holds a plan's, which holds a target's."""
_IN_PATH = "/%:@!$&'()*+,;=~-._[]"
_IN_QUERY = _IN_PATH + "?"


def read_key(full: bytes) -> Keyed:
    """Undo what `classify` made of a request; raises ValueError for what is no key of its making."""
    parts, method = decode_parts(full), "GET"
    by: list[str] = []
    for _ in range(_DEPTH):
        within = parts[0] if parts else None
        if within is None or not within.startswith(b"\0"):  # as no namespace does
            break
        if len(parts) == _PLAN and parts[1] is None:
            names, method = _read_plan(parts)
            by[:0] = names
        else:
            by += [_text(name) for name in parts[1::2]]
        parts = decode_parts(within)
    if len(parts) != _TARGET or None in parts:
        raise ValueError("no key of a request")
    _, scheme, host, mount, path, _, query = map(_bytes, parts)
    url = (
        f"{_text(scheme)}://{_text(host)}{quote(mount, safe=_IN_PATH)}{quote(path, safe=_IN_PATH)}"
    )
    if query:
        url += f"?{quote(query, safe=_IN_QUERY)}"
    return Keyed(method=method, url=url, by=tuple(dict.fromkeys(by)))


def _read_plan(parts: list[bytes | None]) -> tuple[list[str], str]:
    """Give what a plan's key holds beside its target's, and the method."""
    _, _, keyed, cookies, identity, body = parts
    names = [] if keyed is None else [_text(name) for name in decode_parts(keyed)[::2]]
    for name, part in (("cookie", cookies), ("identity", identity), ("body", body)):
        if part is not None:
            names.append(name)
    return names, "GET" if body is None else _text((decode_parts(body) or [None])[0])


def _bytes(part: bytes | None) -> bytes:
    return part or b""


def _text(part: bytes | None) -> str:
    return _bytes(part).decode("latin-1")
