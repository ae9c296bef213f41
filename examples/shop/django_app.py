"""The shop under Django, settings and all: `gunicorn "shop.django_app:create_app()"`."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import path

from . import Shop, ShopError, Shown, Written, caching, open_shop

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["*"],
    "APPEND_SLASH": False,
    "DEBUG": False,
    "INSTALLED_APPS": [],
    "LOGGING_CONFIG": None,
    "MIDDLEWARE": ["django.middleware.common.CommonMiddleware"],
    "ROOT_URLCONF": __name__,
    "SECRET_KEY": "the shop signs nothing",
    "USE_TZ": True,
}

urlpatterns: list[Any] = []
"""Filled when the application is made: importing this opens no database."""

View = Callable[..., HttpResponse]


def create_app() -> Callable[..., Any]:
    """Configure Django, the cache first in `MIDDLEWARE` unless it is off, and return WSGI."""
    chosen = dict(SETTINGS)
    if caching.is_on():
        chosen["MIDDLEWARE"] = ["cachemw.django.CacheMiddleware", *SETTINGS["MIDDLEWARE"]]
        chosen["CACHEMW"] = caching.CONFIG
    settings.configure(**chosen)
    urlpatterns.extend(routes(open_shop()))
    return get_wsgi_application()


def routes(shop: Shop) -> list[Any]:
    """Return the URL patterns; each view is told the methods it answers."""
    reads, writes = shop.reads, shop.writes
    set_price = writing(writes.set_price)
    return [
        path("products", view(GET=reading(lambda q: reads.products(**listing(q))))),
        path(
            "products/<int:number>",
            view(GET=showing(reads.product), PUT=set_price, PATCH=set_price),
        ),
        path(
            "orders",
            view(
                GET=reading(lambda q: reads.orders(q.get("customer", ""))),
                POST=writing(writes.place_order),
            ),
        ),
        path("orders/<int:number>", view(GET=showing(reads.order))),
        path("customers/<int:number>", view(GET=showing(reads.customer))),
        path("catalog", view(GET=showing(reads.catalog))),
        path("catalog/<str:category>", view(GET=showing(reads.category))),
        path("recommendations/<int:number>", view(GET=showing(reads.recommendations))),
        path(
            "inventory/<int:number>",
            view(GET=showing(reads.inventory), POST=writing(writes.set_stock)),
        ),
        path("metrics", view(GET=showing(reads.metrics))),
        path("healthcheck", view(GET=showing(reads.health))),
        path("logs", view(GET=showing(reads.logs))),
    ]


def view(**methods: View) -> View:
    """Choose by method, and answer what the data layer objects to."""

    def dispatch(request: HttpRequest, **captured: Any) -> HttpResponse:
        handler = methods.get(request.method or "")
        if handler is None:
            return HttpResponseNotAllowed(list(methods))
        try:
            return handler(request, *captured.values())
        except ShopError as problem:
            return JsonResponse({"detail": problem.detail}, status=problem.status)

    return dispatch


def showing(read: Callable[..., Shown]) -> View:
    """Make a view of a read that takes what the path captured."""

    @wraps(read)
    def show(request: HttpRequest, *captured: Any) -> HttpResponse:
        return respond(read(*captured))

    return show


def reading(read: Callable[[Any], Shown]) -> View:
    """Make a view of a read that takes the query."""

    def show(request: HttpRequest) -> HttpResponse:
        return respond(read(request.GET))

    return show


def writing(change: Callable[..., Written]) -> View:
    """Make a view of a write: change, purge, answer."""

    @wraps(change)
    def write(request: HttpRequest, *captured: Any) -> HttpResponse:
        try:
            form = json.loads(request.body)
        except ValueError:
            raise ShopError(400, "the body must be a JSON object") from None
        return JsonResponse(caching.purge(current_cache(), change(*captured, form)))

    return write


def current_cache() -> Any:
    """Return the cache that the middleware uses, or None."""
    if not caching.is_on():
        return None
    from cachemw.django import get_cache

    return get_cache()


def listing(query: Any) -> dict[str, Any]:
    """Read what a list of products is asked by."""
    return {
        "page": query.get("page", "1"),
        "sort": query.get("sort", "name"),
        "category": query.get("category"),
    }


def respond(shown: Shown) -> HttpResponse:
    """Turn what a read returned into a response."""
    if isinstance(shown, str):
        return HttpResponse(shown, content_type="text/plain")
    return JsonResponse(shown)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Shown a path that is nothing of the shop's."""
    return JsonResponse({"detail": "Not Found"}, status=404)
