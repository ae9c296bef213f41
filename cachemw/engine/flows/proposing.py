"""Shadow with other cookie rules: what a route would gain if only the cookie of the session were personal.

The rules of cookies decide most about the hit rate for browsers. So a route in shadow is tried with a second
set of them (`RouteState.proposed`), too. What it would store is held beside the other shadows under keys of
its own, and compared in the same way. It is only counted.
"""

from __future__ import annotations

from cachemw.engine.core.engine import Engine
from cachemw.engine.lookup.in_shadow import would_serve
from cachemw.engine.model.keys import encode_parts
from cachemw.engine.model.outcomes import ForecastName
from cachemw.engine.model.plan import Plan
from cachemw.engine.model.routes import RouteState
from cachemw.engine.request.bodies import body_part
from cachemw.engine.request.decisions import Proposed
from cachemw.engine.request.keying import CacheableRequest, keyed_headers, visible_headers
from cachemw.http.messages import Request

__all__ = ["count_bypassed", "default_counts", "propose"]


def propose(
    engine: Engine, target: Plan, tags: tuple[str, ...], request: Request, now: float
) -> Proposed | None:
    """Return a request as the proposed rules read it, with what they would serve.

    `tags` are those of the route for this request. None: there are no such rules, or by them the request
    bypasses the cache.
    """
    route = target.route
    if route.proposed is None:
        return None
    cookies = route.proposed.read(request.headers.values(b"cookie"))
    if cookies is None:
        return None
    keyed, identified = keyed_headers(engine, route, request)
    parts = (
        b"proposed",  # no other key has this part, so nothing else finds these shadows
        encode_parts(part for pair in keyed for part in pair),
        encode_parts(engine.keys.conceal(b"=".join(pair)) for pair in cookies.keyed),
        None,
        body_part(engine, request) if request.method in route.bodied else None,
    )
    plan = Plan(
        route=route,
        key=engine.keys.extend(target.key, parts),
        query=target.query,
        tags=tags,
    )
    cacheable = CacheableRequest(
        request=request,
        route=route,
        plan=plan,
        target=plan,
        key=plan.key,
        headers=visible_headers(route, request.headers, cookies),
        query=plan.query,
        cookies_sent=False,
        authorization_sent=identified,
        ranged=b"range" in request.headers,
        in_shadow=True,
    )
    shadow, is_stale = would_serve(engine, cacheable, now)
    return Proposed(cacheable=cacheable, would_serve=shadow, would_refresh=is_stale)


def count_bypassed(engine: Engine, target: Plan, request: Request, now: float) -> None:
    """Count a request in shadow that bypasses the cache by its cookies, and what the proposal would do."""
    proposed = propose(engine, target, target.tags, request, now)
    engine.forecast(target.route, ["requests", *default_counts(target.route, proposed)])


def default_counts(route: RouteState, proposed: Proposed | None) -> list[ForecastName]:
    """Return what a request adds to the forecast of the proposed rules, if the route has some."""
    if route.proposed is None:
        return []
    served = proposed is not None and proposed.would_serve is not None
    return ["default_requests", "default_hits"] if served else ["default_requests"]
