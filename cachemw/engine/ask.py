"""From a request to what is asked of the cache: its plan, its privacy, and what the application sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cachemw.engine.engine import Engine
from cachemw.engine.keys import encode_parts
from cachemw.engine.routes import Extra, Identify, Plan, RouteState, Target
from cachemw.engine.screen import CONDITIONAL, KEYED, REMOVED, bypass_reason, normalised_host
from cachemw.engine.tags import fill, normalise, url_tags
from cachemw.http.conditional import is_conditional
from cachemw.http.fields import cookie_pairs, has, values
from cachemw.http.messages import Headers, Request

__all__ = ["Ask", "Pass", "Rewrite", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What the application is to see instead of what the client sent."""

    query: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Pass:
    """The request goes past the cache; `reason` is a short, stable word, `off` that a flag did it."""

    route: RouteState | None
    reason: str
    off: bool = False


@dataclass(slots=True, kw_only=True)
class Ask:
    """A request that the cache may answer."""

    request: Request
    plan: Plan
    headers: Headers
    """The request's fields as the application sees them."""
    query: bytes
    cookies_sent: bool
    """Whether the application sees cookies that the key does not hold."""
    authorization_sent: bool

    @property
    def route(self) -> RouteState:
        """The route."""
        return self.plan.route

    @property
    def personal(self) -> bool:
        """Whether the client is known: then only answers that say so are for it, and it never queues."""
        return self.cookies_sent or self.authorization_sent

    def rewrite(self, *, keep_conditions: bool) -> Rewrite | None:
        """Give the request that the application is to see, or None when it is what came in."""
        headers = self.headers
        if not keep_conditions and is_conditional(headers):
            headers = [pair for pair in headers if pair[0] not in CONDITIONAL]
        if headers is self.request.headers and self.query == self.request.query:
            return None
        return Rewrite(query=self.query, headers=headers)


def ask(engine: Engine, request: Request, target: Target, extra: Extra | None) -> Ask | Pass:
    """Match, screen and key a request."""
    plan = engine.known(target)
    if plan is None:
        match = engine.router.match(request.mount, request.path)
        if match is None:
            return Pass(None, "no-route")
        route, params = engine.routes[match[0]], match[1]
    else:
        route, params = plan.route, {}
    if not route.on:
        return Pass(route, "off", off=True)
    if request.method not in route.methods:
        return Pass(route, "method")
    reason = bypass_reason(request, engine.watched.suspicious)
    if reason:
        return Pass(route, reason)
    if plan is None:
        plan = _base_plan(engine, route, params, request)
        if route.identity is None:
            engine.remember(target, plan)
    return _personal(engine, plan, request, extra or ())


def _base_plan(engine: Engine, route: RouteState, params: dict[str, str], request: Request) -> Plan:
    query = route.read_query(request.query)
    host = normalised_host(request)
    path = request.mount.encode("utf-8", "surrogateescape") + request.raw_path
    tags = [normalise(fill(template, params)) for template in route.tags]
    tags += [route.own_tag, *url_tags(host.decode("ascii"), path, query)]
    base = encode_parts(
        (
            request.scheme.encode("ascii", "replace"),
            host,
            request.mount.encode("utf-8", "surrogateescape"),
            request.raw_path,
            request.path.encode("utf-8", "surrogateescape"),
            query,
        )
    )
    key = engine.keys.make((base, None, None, None))
    return Plan(route=route, key=key, base=base, query=query, tags=tuple(tags))


def _personal(
    engine: Engine, plan: Plan, request: Request, extra: Sequence[tuple[bytes, bytes]]
) -> Ask | Pass:
    """Add to a target's plan what the watched fields of this request make of it."""
    route = plan.route
    headers, cookies = _seen(route, request.headers)
    identity = None
    if route.identity is not None:
        identity = _identify(engine, route.identity, request)
        if identity is None:
            return Pass(route, "identity")
    keyed = _keyed(route, request.headers) if extra else []
    if keyed or cookies or identity is not None:
        plan = _extended(engine, plan, keyed, cookies, identity, extra)
    return Ask(
        request=request,
        plan=plan,
        headers=headers,
        query=plan.query,
        cookies_sent=identity is None and route.cookies is None and has(headers, b"cookie"),
        authorization_sent=identity is None and has(headers, b"authorization"),
    )


def _identify(engine: Engine, identify: Identify, request: Request) -> str | None:
    """Ask the application's own function who this is; one that fails knows nobody (I3)."""
    try:
        return identify(request)
    except Exception:  # whatever somebody else's code raises must not become our error
        engine.count("not_stored", "identity-error")
        return None


def _seen(route: RouteState, headers: Headers) -> tuple[Headers, list[tuple[bytes, bytes]]]:
    """Give the fields that the application may see, and the declared cookies among them."""
    drops = {name for name, _ in headers if name in REMOVED and name not in route.varies}
    cookies: list[tuple[bytes, bytes]] = []
    if route.cookies is not None and has(headers, b"cookie"):
        cookies = cookie_pairs(headers, route.cookies)
        drops.add(b"cookie")
    if not drops:
        return headers, cookies
    seen = [pair for pair in headers if pair[0] not in drops]
    if cookies:
        seen.append((b"cookie", b"; ".join(b"=".join(pair) for pair in cookies)))
    return seen, cookies


def _keyed(route: RouteState, headers: Headers) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in headers if name in KEYED or name in route.varies}
    return [(name, b", ".join(values(headers, name))) for name in sorted(names)]


def _extended(
    engine: Engine,
    plan: Plan,
    keyed: list[tuple[bytes, bytes]],
    cookies: list[tuple[bytes, bytes]],
    identity: str | None,
    extra: Sequence[tuple[bytes, bytes]],
) -> Plan:
    """Give the plan under these keyed fields, cookies and identity, and keep it if it can recur."""
    conceal = engine.keys.conceal
    parts = (
        plan.base,
        encode_parts(part for pair in keyed for part in pair) if keyed else None,
        encode_parts(conceal(b"=".join(pair)) for pair in cookies) if cookies else None,
        conceal(identity.encode("utf-8", "surrogateescape")) if identity is not None else None,
    )
    extended = Plan(
        route=plan.route,
        key=engine.keys.make(parts),
        base=plan.base,
        query=plan.query,
        tags=plan.tags,
    )
    names = {name for name, _ in extra} - {name for name, _ in keyed}
    if plan.route.cookies is not None:
        names.discard(b"cookie")
    if identity is None and not names:
        plan.remember(list(extra), extended)
    return extended
