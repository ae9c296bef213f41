"""The shop under Flask: `gunicorn "shop.flask_app:create_app()"`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify, request

from . import Shop, ShopError, Shown, Written, caching, open_shop


def create_app() -> Flask:
    """Make the application, with the cache around it unless `SHOP_CACHE=off`."""
    shop, cache = open_shop(), caching.open_cache()

    def write(change: Callable[..., Written], *args: Any) -> Response:
        return jsonify(caching.purge(cache, change(*args, request.get_json(force=True))))

    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    add_reads(app, shop)
    add_writes(app, shop, write)
    app.register_error_handler(ShopError, on_problem)
    app.register_error_handler(
        400, lambda _: on_problem(ShopError(400, "the body must be a JSON object"))
    )
    app.register_error_handler(404, lambda _: on_problem(ShopError(404, "Not Found")))
    if cache is not None:
        from cachemw.wsgi import CacheMiddleware

        app.wsgi_app = CacheMiddleware(app.wsgi_app, cache=cache)  # type: ignore[method-assign]
    return app


def add_reads(app: Flask, shop: Shop) -> None:
    """Add the routes that show something."""
    reads = shop.reads

    @app.get("/products")
    def products() -> Response:
        asked = request.args
        page, sort = asked.get("page", "1"), asked.get("sort", "name")
        return respond(reads.products(page=page, sort=sort, category=asked.get("category")))

    @app.get("/products/<int:number>")
    def product(number: int) -> Response:
        return respond(reads.product(number))

    @app.get("/orders")
    def orders() -> Response:
        return respond(reads.orders(request.args.get("customer", "")))

    @app.get("/orders/<int:number>")
    def order(number: int) -> Response:
        return respond(reads.order(number))

    @app.get("/customers/<int:number>")
    def customer(number: int) -> Response:
        return respond(reads.customer(number))

    @app.get("/catalog")
    def catalog() -> Response:
        return respond(reads.catalog())

    @app.get("/catalog/<category>")
    def category(category: str) -> Response:
        return respond(reads.category(category))

    @app.get("/recommendations/<int:number>")
    def recommendations(number: int) -> Response:
        return respond(reads.recommendations(number))

    @app.get("/inventory/<int:number>")
    def inventory(number: int) -> Response:
        return respond(reads.inventory(number))

    @app.get("/metrics")
    def metrics() -> Response:
        return respond(reads.metrics())

    @app.get("/healthcheck")
    def healthcheck() -> Response:
        return respond(reads.health())

    @app.get("/logs")
    def logs() -> Response:
        return respond(reads.logs())


def add_writes(app: Flask, shop: Shop, write: Callable[..., Response]) -> None:
    """Add the routes that change something."""
    writes = shop.writes

    @app.route("/products/<int:number>", methods=["PUT", "PATCH"])
    def set_price(number: int) -> Response:
        return write(writes.set_price, number)

    @app.post("/inventory/<int:number>")
    def set_stock(number: int) -> Response:
        return write(writes.set_stock, number)

    @app.post("/orders")
    def place_order() -> Response:
        return write(writes.place_order)


def respond(shown: Shown) -> Response:
    """Turn what a read returned into a response."""
    return Response(shown, mimetype="text/plain") if isinstance(shown, str) else jsonify(shown)


def on_problem(problem: ShopError) -> tuple[Response, int]:
    """Shown what is wrong with a request."""
    return jsonify({"detail": problem.detail}), problem.status
