"""The shop's URLs and views under Django."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import path

from . import django_reads as reads
from . import django_writes as writes
from .forms import Row, ShopError, Shown

View = Callable[..., HttpResponse]


def view(**methods: View) -> View:
    """Return a view that chooses by method, and answers a ShopError with its status."""

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
    """Return a view of a read whose arguments come from the path."""

    @wraps(read)
    def show(request: HttpRequest, *captured: Any) -> HttpResponse:
        return respond(read(*captured))

    return show


def reading(read: Callable[[Any], Shown]) -> View:
    """Return a view of a read whose arguments come from the query."""

    def show(request: HttpRequest) -> HttpResponse:
        return respond(read(request.GET))

    return show


def writing(change: Callable[..., Row]) -> View:
    """Return a view of a write."""

    @wraps(change)
    def write(request: HttpRequest, *captured: Any) -> HttpResponse:
        try:
            form = json.loads(request.body)
        except ValueError:
            raise ShopError(400, "the body must be a JSON object") from None
        return JsonResponse(change(*captured, form))

    return write


def list_products(query: Any) -> Shown:
    """Return the page of products that the query asks for."""
    page, sort = query.get("page", "1"), query.get("sort", "name")
    return reads.products(page, sort, query.get("category"))


def list_orders(query: Any) -> Shown:
    """Return the orders of the customer that the query names."""
    return reads.orders(query.get("customer", ""))


def respond(shown: Shown) -> HttpResponse:
    """Return a response with what a read returned."""
    if isinstance(shown, str):
        return HttpResponse(shown, content_type="text/plain")
    return JsonResponse(shown)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the response for an unknown path."""
    return JsonResponse({"detail": "Not Found"}, status=404)


set_price = writing(writes.set_price)

urlpatterns = [
    path("products", view(GET=reading(list_products))),
    path("products/<int:number>", view(GET=showing(reads.product), PUT=set_price, PATCH=set_price)),
    path("orders", view(GET=reading(list_orders), POST=writing(writes.place_order))),
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
